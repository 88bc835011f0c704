"""Prefill of one text of 512 tokens by class of processors, against llama-bench on the same file and transformers
(oneDNN), and of long texts, where attention is most of the work, against llama-bench."""
import contextlib

import base
import classes
import engine
import flops
import machine
import peers

TOKENS, LONG = 512, (2048, 8000)
MODELS = {"smollm2": "smollm2", "smollm2-Q8_0": None, "gemma3": "gemma3"}  # file -> the model of transformers beside it
POINTS = [(model, tokens, name) for name in classes.CLASSES for model, tokens in (*((model, TOKENS) for model in MODELS),
                                                                                  *(("smollm2", tokens) for tokens in LONG))]


def label_of(model, tokens, name):
    return f"{model} {tokens} {name}"


def transformers(bench, stack, model, tokens):
    """The peer's method, or none."""
    try:
        peer = stack.enter_context(peers.transformers(bench, model, bench.dtype))
        peer.prefill(tokens)
        return {f"transformers {bench.dtype}": lambda: peer.prefill(tokens)}
    except base.Skip as why:
        bench.skip("prefill by transformers", why)
        return {}


def point(bench, model, tokens, name):
    build, isa, precision = classes.checked(bench, name)
    options = ("--isa", isa) if isa else ()
    with contextlib.ExitStack() as stack:
        methods = {"llama-bench": lambda: peers.llama_bench(bench, model, tokens, build)}
        if MODELS[model] and name == "own" and tokens == TOKENS:
            methods.update(transformers(bench, stack, MODELS[model], tokens))
        methods["capp"] = lambda: engine.prefill(bench, model, tokens, precision, options)
        facts = base.alternate(bench, methods)
    bench.say(f"{label_of(model, tokens, name)}: " + ", ".join(f"{who} {f['tokens'] / base.median(f):.0f} tokens/s" for who, f in facts.items()))
    return {"name": model, "tokens": tokens, "class": name, "commit": machine.commit(), "date": machine.today(),
            "need": flops.prefill(bench, model, tokens), "methods": facts}


def data_of(found):
    return {"points": [found[label] for label in (label_of(*each) for each in POINTS) if label in found]}


def run(bench):
    """Keeps earlier results of the points that bench.only excludes."""
    found = {label_of(each["name"], each["tokens"], each["class"]): each for each in bench.before("prefill").get("points", ())}
    for model, tokens, name in POINTS:
        label = label_of(model, tokens, name)
        if not bench.wants(label) or (bench.quick and tokens in LONG):
            continue
        try:
            bench.model(model)
            found[label] = point(bench, model, tokens, name)
            bench.keep(data_of(found))
        except base.Skip as why:
            bench.skip(f"prefill, {label}", why)
    return data_of(found)
