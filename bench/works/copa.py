"""COPA, all 500 rows with two choices each: against CAPPr and llama-perplexity."""
import contextlib

import base
import engine
import flops
import peers
import tasks

FLAGS = ("-np 32 -c 64", "-np 64 -c 32", "-np 64 -c 32 -ub 1024", "-np 128 -c 32 -ub 2048", "-np 64 -c 32 -fa off")


def peer_methods(bench, stack, model, rows, task, tried):
    for dtype in dict.fromkeys((bench.dtype, "float32")) if model == "smollm2" else (bench.dtype,):
        try:
            peer = stack.enter_context(peers.transformers(bench, model, dtype))
            yield f"CAPPr {dtype}", lambda peer=peer: peer.score(task, 16)
        except base.Skip as why:
            bench.skip(f"COPA with CAPPr {dtype}", why)
    try:
        flags, times = peers.best_flags(bench, model, rows[:bench.pick(120, 16)], bench.pick(FLAGS, FLAGS[:2]))
        tried.update(times)
        yield "llama-perplexity", lambda: peers.perplexity(bench, model, rows, flags)
    except base.Skip as why:
        bench.skip("COPA with llama-perplexity", why)


def point(bench, model, reps):
    rows, tried = tasks.copa(bench)[:bench.pick(500, 32)], {}
    task = bench.write(rows)
    with contextlib.ExitStack() as stack:
        methods = dict(peer_methods(bench, stack, model, rows, task, tried))
        methods["capp"] = lambda: engine.evaluate(bench, model, task)
        methods["capp f32"] = lambda: engine.evaluate(bench, model, task, "f32")
        facts = base.agree(base.alternate(bench, methods, reps))
    bench.say(f"COPA, {model}, {len(rows)} rows: {base.summary(facts)}")
    return {"name": model, "rows": len(rows), "need": flops.needed(bench, model, task), "tried": tried, "methods": facts}


def run(bench):
    reps = {"smollm2": bench.reps, **({} if bench.quick else {"gemma3": 1})}
    return {"points": [point(bench, model, n) for model, n in reps.items()]}
