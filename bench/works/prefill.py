"""Prefill of one text of 512 tokens, against llama-bench on the same file and transformers (oneDNN), and of long texts,
where attention is most of the work, against llama-bench."""
import contextlib

import base
import engine
import flops
import peers

TOKENS, LONG = 512, (2048, 8000)
MODELS = {"smollm2": "smollm2", "smollm2-Q8_0": None, "gemma3": "gemma3"}  # file -> the model of transformers beside it


def point(bench, model, theirs, tokens=TOKENS):
    with contextlib.ExitStack() as stack:
        methods = {"llama-bench": lambda: peers.llama_bench(bench, model, tokens)}
        if theirs:
            try:
                peer = stack.enter_context(peers.transformers(bench, theirs, bench.dtype))
                peer.prefill(tokens)
                methods[f"transformers {bench.dtype}"] = lambda: peer.prefill(tokens)
            except base.Skip as why:
                bench.skip("prefill by transformers", why)
        methods["capp"] = lambda: engine.prefill(bench, model, tokens)
        facts = base.alternate(bench, methods)
    bench.say(f"prefill of {tokens}, {model}: " + ", ".join(f"{name} {f['tokens'] / base.median(f):.0f} tokens/s" for name, f in facts.items()))
    return {"name": model, "tokens": tokens, "need": flops.prefill(bench, model, tokens), "methods": facts}


def run(bench):
    found = []
    points = [(model, theirs, TOKENS) for model, theirs in MODELS.items()] + [("smollm2", None, n) for n in LONG if not bench.quick]
    for model, theirs, tokens in points:
        try:
            bench.model(model)
            found.append(point(bench, model, theirs, tokens))
        except base.Skip as why:
            bench.skip(f"prefill of {model}", why)
    return {"points": found}
