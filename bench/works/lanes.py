"""How fast each precision is with each instruction set that this machine has, and which one `auto` takes: prefill of one
text, where no row is scored again. The choices of src/engine/precision.c follow such rates."""
import base
import classes
import engine
import machine
from works import big

MODELS = {"smollm2": 512, "gemma3": 512, "7b": 128}  # and the tokens of the text
LABELS = [(model, isa) for model in MODELS for isa in classes.ISAS]
PRECISIONS = ("mixed", "i16", "f32", "bf16")


def chosen(bench, model, options):
    """The precisions of `auto`: the one that scores all rows, and the one that decides."""
    facts = engine.evaluate(bench, model, bench.write([{"prompt": "a", "completions": ["b"], "normalize": False}]), "auto", options=options)
    return {"scoring": facts["scoring"], "deciding": facts["deciding"]}


def point(bench, model, isa):
    options = (*big.IN_FILE, "--isa", isa) if model == "7b" else ("--isa", isa)
    row, tokens = big.text_of(bench, model, MODELS[model])
    path = bench.write([row])
    big.warm(bench, model)
    known = [name for name in PRECISIONS if name != "bf16" or isa in ("avx512bf16", "amx")]
    facts = base.alternate(bench, {name: lambda name=name: engine.evaluate(bench, model, path, name, options=options) for name in known},
                           1 if model == "7b" else min(bench.reps, 3))
    bench.say(f"{model} {isa}: " + ", ".join(f"{name} {tokens / base.median(f):.1f} tokens/s" for name, f in facts.items()))
    return {"model": model, "isa": isa, "tokens": tokens, "commit": machine.commit(), "date": machine.today(),
            "auto": chosen(bench, model, options), "methods": base.agree(facts, "i16")}


def data_of(found):
    return {"points": [found[label] for label in LABELS if label in found]}


def run(bench):
    """Keeps earlier results of the points that bench.only excludes."""
    found = {(each["model"], each["isa"]): each for each in bench.before("lanes").get("points", ())}
    for model, isa in LABELS:
        if not bench.wants(f"{model} {isa}") or isa not in classes.here():
            continue
        try:
            bench.model(model)
            found[model, isa] = point(bench, model, isa)
            bench.keep(data_of(found))
        except base.Skip as why:
            bench.skip(f"precisions of {model}, {isa}", why)
    return data_of(found)
