"""Prefill of one text of 512 tokens, against llama-bench on the same file and transformers (oneDNN)."""
import contextlib

import base
import engine
import flops
import peers

TOKENS = 512
MODELS = {"smollm2": "smollm2", "smollm2-Q8_0": None, "gemma3": "gemma3"}  # file -> the model of transformers beside it


def point(bench, model, theirs):
    with contextlib.ExitStack() as stack:
        methods = {"llama-bench": lambda: peers.llama_bench(bench, model, TOKENS)}
        if theirs:
            try:
                peer = stack.enter_context(peers.transformers(bench, theirs, bench.dtype))
                peer.prefill(TOKENS)
                methods[f"transformers {bench.dtype}"] = lambda: peer.prefill(TOKENS)
            except base.Skip as why:
                bench.skip("prefill by transformers", why)
        methods["capp"] = lambda: engine.prefill(bench, model, TOKENS)
        facts = base.alternate(bench, methods)
    bench.say(f"prefill, {model}: " + ", ".join(f"{name} {f['tokens'] / base.median(f):.0f} tokens/s" for name, f in facts.items()))
    return {"name": model, "tokens": TOKENS, "need": flops.prefill(bench, model, TOKENS), "methods": facts}


def run(bench):
    found = []
    for model, theirs in MODELS.items():
        try:
            bench.model(model)
            found.append(point(bench, model, theirs))
        except base.Skip as why:
            bench.skip(f"prefill of {model}", why)
    return {"points": found}
