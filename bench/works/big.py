"""Models of 4 to 30 billion parameters whose weights stay in the file, against llama.cpp on the same file: prefill of
512 tokens, COPA and Banking77, time and memory, and the start. Some have layers with recurrent states, side embeddings or
a mixture of experts. There is one comparison for each class of instruction sets that this machine has and for which a
llama.cpp is built (MORE=1 ../shared/peers/setup.sh). Neither program has a warm-up: both begin with the file in the page cache."""
import re

import base
import classes
import engine
import flops
import machine
import peers
import tasks
from base import Skip

TOKENS = 512
MODELS = {"7b": "../shared/peers/make_big.py", "30b-a3b": "bench/make_models.py", "qwen35-4b": "bench/make_models.py",
          "gemma4-e4b": "bench/make_models.py"}  # and what makes them
FLAGS = {"COPA": "-np 32 -c 64", "Banking77": "-np 77 -c 16"}
IN_FILE = ("--weights-memory", 0)


def options_of(isa):
    return (*IN_FILE, *(("--isa", isa) if isa else ()))


def warm(bench, model):
    """Reads the file, so that it is in the page cache: what is measured is not the disk."""
    with open(bench.model(model), "rb", buffering=0) as file:
        while file.read(1 << 24):
            pass


def run_capp(bench, model, path, isa, precision):
    warm(bench, model)
    return engine.evaluate(bench, model, path, precision, options=options_of(isa))


def text_of(bench, model, tokens=TOKENS):
    """A row whose prompt has that many tokens, or one or two fewer, and their number. It has one completion, so that no
    other is close to it and scored again."""
    most, words = bench.pick(tokens, 32), " ".join(row["prompt"] for row in tasks.copa(bench)).split()
    texts = [" ".join(words[:n]) for n in range(most // 2, most)]
    counts = engine.count_tokens(bench, model, texts)
    count, text = max((count, text) for count, text in zip(counts, texts, strict=True) if count <= most)
    return {"prompt": text, "completions": ["a"], "normalize": False}, count


def fewest_experts(bench, model, facts):
    """How many experts ran at least in each layer but the last, in which only the row that is scored goes on. It
    follows from the number of all: as many as possible in all layers but one."""
    experts, used = map(int, re.match(r"(\d+), (\d+) for a token", engine.inspect(bench, model)["model"]["experts"]).groups())
    others = facts["expert_layers_run"] - 1
    return max(0, facts["experts_run"] - used * facts["head_rows"] - experts * (others - 1))


def prefill(bench, model, build, isa, precision, _):
    row, tokens = text_of(bench, model)
    path = bench.write([row])
    facts = base.alternate(bench, {
        "llama-bench": lambda: peers.llama_bench(bench, model, tokens, build, warm_up=False),
        "capp": lambda: run_capp(bench, model, path, isa, precision),
    }, min(bench.reps, 3))
    ours = facts.get("capp", {})
    if "experts_run" in ours and ours["expert_layers_run"] == flops.shape(bench, model).layers:  # one wave
        ours["experts_fewest"] = fewest_experts(bench, model, ours)
    return {"tokens": tokens, "need": flops.prefill(bench, model, tokens), "methods": base.agree(facts)}


def choices(bench, model, work, rows, build, isa, precision, need):
    path = bench.write(rows)
    facts = base.alternate(bench, {
        "llama-perplexity": lambda: peers.perplexity(bench, model, rows, FLAGS[work].split(), build),
        "capp": lambda: run_capp(bench, model, path, isa, precision),
    }, 1)
    return {"rows": len(rows), "need": need or flops.needed(bench, model, path), "methods": base.agree(facts)}


def start(bench, model):
    engine.first_decision(bench, model, IN_FILE)  # warms the page cache
    facts = base.alternate(bench, {"capp": lambda: engine.first_decision(bench, model, IN_FILE)}, bench.pick(3, 1))
    return {"name": "start", "model": model, "commit": machine.commit(), "date": machine.today(), "methods": facts}


def works(bench, model):
    """(name of a task, function of a class's build, instruction set, precision, and the need of the task if it is known)."""
    yield "prefill", lambda *a: prefill(bench, model, *a)
    if model != "30b-a3b":
        copa = tasks.copa(bench)[:bench.pick(24, 4)]
        yield "COPA", lambda *a: choices(bench, model, "COPA", copa, *a)
    if model == "7b":
        banking = tasks.banking77(bench, bench.pick(10, 1))
        yield "Banking77", lambda *a: choices(bench, model, "Banking77", banking, *a)


def tell(bench, label, point):
    ours = point["methods"].get("capp", {})
    held = f"; capp holds {ours['anonymous_bytes'] >> 20} MB of its own" if "anonymous_bytes" in ours else ""
    ran = f" and ran at least {ours['experts_fewest']} experts in each layer but the last" if "experts_fewest" in ours else ""
    bench.say(f"{label}: {base.summary(point['methods'])}{held}{ran}")


def data_of(found):
    order = [f"{model} {work}" for model in MODELS for work in
             (*(f"{work} {name}" for work in ("prefill", *FLAGS) for name in classes.CLASSES), "start")]
    return {"points": [found[label] for label in order if label in found]}


def measure_classes(bench, model, work, measure, found):
    for name in classes.CLASSES:
        label = f"{model} {work} {name}"
        if not bench.wants(label):
            continue
        need = next((point["need"] for point in found.values() if point["name"].split()[0] == work and point["model"] == model), None)
        try:
            point = measure(*classes.checked(bench, name), need)
        except Skip as why:
            bench.skip(f"{work} of {model}, {name}", why)
            continue
        found[label] = {"name": f"{work} {name}", "model": model, "class": name, "commit": machine.commit(), "date": machine.today(),
                        "layers": flops.shape(bench, model).layers, **point}
        tell(bench, label, found[label])
        bench.keep(data_of(found))


def run(bench):
    """Keeps earlier results of the points that bench.only excludes."""
    found = {f"{point['model']} {point['name']}": point for point in bench.before("big").get("points", ())}
    for model, maker in MODELS.items():
        try:
            bench.model(model)
        except Skip as why:
            bench.skip(f"the model {model} ({maker} makes it)", why)
            continue
        for work, measure in works(bench, model):
            measure_classes(bench, model, work, measure, found)
        if bench.wants(f"{model} start"):
            found[f"{model} start"] = start(bench, model)
            tell(bench, f"{model} start", found[f"{model} start"])
            bench.keep(data_of(found))
    return data_of(found)
