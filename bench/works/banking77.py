"""Banking77's 77 classes with SmolLM2: plain, listed in a prefix that all texts share, and listed after each text. The
peers are CAPPr, cappr.llama_cpp, llama-perplexity and generation by llama-server. Each runs on as many texts as its
speed allows; capp runs the same texts for comparison."""
import contextlib

import base
import engine
import flops
import peers
import tasks

MODEL = "smollm2"
FLAGS = ("-np 77 -c 16", "-np 77 -c 6", "-np 77 -c 16 -fa off", "-np 77 -c 16 -b 512 -ub 512", "-np 128 -c 16")


def point(bench, name, form, rows, theirs, reps, opened=None):
    """theirs: name -> function without arguments; opened: an object whose process they use."""
    task = bench.write(rows)
    methods = {**theirs, "capp": lambda: engine.evaluate(bench, MODEL, task),
               "capp, prediction only": lambda: engine.evaluate(bench, MODEL, task, options=("--only-prediction",))}
    facts = base.agree(base.alternate(bench, methods, reps))
    bench.say(f"{form}, {len(rows)} texts: {base.summary(facts)}")
    return {"name": name, "form": form, "texts": len(rows), "need": flops.needed(bench, MODEL, task), "methods": facts}


def listed_by(peer, bench, rows, batch):
    """The peer keeps the list in its cache and receives only the part after it."""
    part = bench.write([{**row, "prompt": row["rest"]} for row in rows])
    prefix = tasks.class_list(rows[0]["completions"])
    return lambda: peer.score(part, batch, prefix=prefix)


def with_cappr(bench):
    reps = min(bench.reps, 3)
    with peers.transformers(bench, MODEL, bench.dtype) as peer:
        name = f"CAPPr {bench.dtype}"
        rows = tasks.banking77(bench, bench.pick(24, 2), "plain")
        task = bench.write(rows)
        yield point(bench, "CAPPr plain", "plain", rows, {name: lambda: peer.score(task, 2)}, reps)
        rows = tasks.banking77(bench, bench.pick(12, 2), "listed")
        yield point(bench, "CAPPr listed", "listed", rows, {name: listed_by(peer, bench, rows, 2)}, reps)
        rows = tasks.banking77(bench, bench.pick(6, 1), "after")
        behind = bench.write(rows)
        yield point(bench, "CAPPr after", "after", rows, {name: lambda: peer.score(behind, 2)}, reps)


def with_llama_python(bench):
    with peers.llama_python(bench, MODEL, 2048) as peer:
        rows = tasks.banking77(bench, bench.pick(3, 1), "plain")
        task = bench.write(rows)
        yield point(bench, "cappr.llama_cpp plain", "plain", rows, {"cappr.llama_cpp": lambda: peer.score(task, None)},
                    min(bench.reps, 3))
        if not bench.quick:  # two minutes per text
            rows = tasks.banking77(bench, 1, "listed")
            yield point(bench, "cappr.llama_cpp listed", "listed", rows,
                        {"cappr.llama_cpp": listed_by(peer, bench, rows, None)}, 1)


def with_perplexity(bench):
    rows = tasks.banking77(bench, bench.pick(100, 4), "plain")
    flags, tried = peers.best_flags(bench, MODEL, rows[:bench.pick(20, 4)], bench.pick(FLAGS, FLAGS[:2]))
    yield {**point(bench, "llama-perplexity plain", "plain", rows,
                   {"llama-perplexity": lambda: peers.perplexity(bench, MODEL, rows, flags)}, bench.reps), "tried": tried}


def with_server(bench):
    rows, best = tasks.banking77(bench, bench.pick(50, 4), "listed"), None
    prefix = tasks.class_list(rows[0]["completions"])
    tried = {}
    for slots in bench.pick((1, 2, 4, 8), (1,)):
        with peers.Server(bench, MODEL, prefix, slots) as server:
            tried[slots] = server.run(rows)["seconds"]
    best = min(tried, key=tried.get)
    with peers.Server(bench, MODEL, prefix, best) as server:
        yield {**point(bench, "llama-server listed", "listed", rows, {"llama-server": lambda: server.run(rows)},
                       min(bench.reps, 3)), "tried": {f"-np {n}": seconds for n, seconds in tried.items()}}


def alone(bench):
    """capp alone on each form, where no peer is installed."""
    for form, count in (("plain", bench.pick(100, 4)), ("listed", bench.pick(100, 4)), ("after", bench.pick(12, 1))):
        yield point(bench, f"capp {form}", form, tasks.banking77(bench, count, form), {}, min(bench.reps, 3))


def run(bench):
    found = []
    for part in (with_cappr, with_llama_python, with_perplexity, with_server, alone):
        with contextlib.closing(part(bench)) as each:
            try:
                found += each
            except base.Skip as why:
                bench.skip(f"Banking77 {part.__name__.replace('_', ' ')}", why)
    return {"points": found}
