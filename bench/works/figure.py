"""The seed's figure: 48 COPA prompts, batches of 16, n classes, GPT-2 small's shape with random weights; time and peak
memory of each method. Also the accuracy of each method on the same task, with SmolLM2's weights."""
import contextlib
import re

import base
import engine
import flops
import machine
import peers
import tasks

BATCH = 16
THEIRS, OURS = "gpt2-random", "gpt2-random-f32"


def methods(bench, peer, label, rows):
    """name -> function, the peer's first: capp is limited to the peak memory of cached CAPPr at the same point."""
    task, menus = bench.write(rows), bench.write([tasks.menu(row) for row in rows])
    held, weight_bytes = {}, engine.weights(bench, OURS)

    def cached():
        facts = peer.score(task, BATCH)
        held["memory"] = engine.held_to(facts["peak_bytes"], weight_bytes)
        return facts

    theirs = {} if peer is None else {
        f"CAPPr cached {label}": cached,
        f"CAPPr uncached {label}": lambda: peer.score(task, BATCH, cached=False),
        f"generate 4 {label}": lambda: peer.generate(menus, 4, BATCH),
        f"generate 1 {label}": lambda: peer.generate(menus, 1, BATCH)}
    ours = {"capp": lambda: engine.evaluate(bench, OURS, task, memory=held.get("memory"))}
    if label != bench.dtype:  # beside float32 peers, capp runs in float32 too
        ours["capp f32"] = lambda: engine.evaluate(bench, OURS, task, "f32", held.get("memory"))
    else:
        ours |= {f"capp generate {n}": lambda n=n: engine.generate(bench, OURS, menus, n, held.get("memory")) for n in (4, 1)}
    return task, {**theirs, **ours}


def without_texts(facts):
    for method in facts.values():
        method.pop("texts", None)
    return facts


def point(bench, peer, dtype, form, n, reps):
    task, each = methods(bench, peer, dtype, tasks.figure(bench, n, form))
    facts = without_texts(base.agree(base.alternate(bench, each, reps)))
    bench.say(f"{form}, {n} classes: {base.summary(facts)}")
    return {"name": f"{form} {dtype}", "form": form, "n": n, "dtype": dtype, "commit": machine.commit(),
            "need": flops.needed(bench, OURS, task), "methods": facts}


def number_in(text, n):
    """The choice that a generated text names: its first number, where the list has it."""
    found = re.search(r"\d+", text)
    return int(found[0]) if found and int(found[0]) < n else None


def accuracies(bench, n):
    """The accuracy of each method with SmolLM2's weights; a text that names no choice is wrong."""
    with contextlib.ExitStack() as stack:
        peer = open_peer(bench, stack, "smollm2", bench.dtype)
        rows = tasks.figure(bench, n, "distinct", bench.pick(48, 8))
        labels = [row["label"] for row in rows]
        task, menus = bench.write(rows), bench.write([tasks.menu(row) for row in rows])
        found = {"capp": engine.evaluate(bench, "smollm2", task)["predictions"]}
        texts = {f"capp generate {k}": engine.generate(bench, "smollm2", menus, k)["texts"] for k in (4, 1)}
        if peer:
            for name, cached in (("cached", True), ("uncached", False)):
                found[f"CAPPr {name}"] = peer.score(task, BATCH, cached)["predictions"]
            texts |= {f"generate {k}": peer.generate(menus, k, BATCH)["texts"] for k in (4, 1)}
        found |= {name: [number_in(text, n) for text in each] for name, each in texts.items()}
        return {"n": n, "rows": len(rows), "dtype": bench.dtype,
                "accuracy": {name: base.share_equal(each, labels) for name, each in found.items()},
                "named": {name: sum(x is not None for x in each) / len(each) for name, each in found.items()}}


def open_peer(bench, stack, model, dtype):
    try:
        return stack.enter_context(peers.transformers(bench, model, dtype))
    except base.Skip as why:
        bench.skip(f"CAPPr and generation by transformers, {dtype}", why)


def jobs(bench):
    """(label, dtype of the peer, function that measures) for everything available, peer by peer."""
    sizes, few = bench.pick((2, 4, 8, 12, 16, 20, 24, 28, 32), (2, 8)), min(bench.reps, 3)
    works = [(bench.dtype, "distinct", sizes, bench.reps), (bench.dtype, "repeated", bench.pick((8, 16, 32), ()), few)]
    if bench.dtype != "float32":
        works.append(("float32", "distinct", bench.pick((2, 8, 32), (2,)), few))
    for dtype, form, each, reps in works:
        for n in each:
            yield f"{form} {dtype} {n}", dtype, lambda peer, d=dtype, f=form, n=n, r=reps: point(bench, peer, d, f, n, r)
    for n in bench.pick((2, 8, 32), (2,)):
        yield f"accuracy {n}", None, lambda _, n=n: accuracies(bench, n)


def data_of(bench, found):
    results = {label: found[label] for label, *_ in jobs(bench) if label in found}
    return {"points": [x for label, x in results.items() if not label.startswith("accuracy")],
            "accuracy": [x for label, x in results.items() if label.startswith("accuracy")]}


def run(bench):
    """Keeps earlier results of the points that bench.only excludes."""
    before, peer, dtype = bench.before("figure"), None, None
    found = {f"{x['name']} {x['n']}": x for x in before.get("points", ())}
    found |= {f"accuracy {x['n']}": x for x in before.get("accuracy", ())}
    with contextlib.ExitStack() as outer:
        stack = outer.enter_context(contextlib.ExitStack())
        for label, wanted, job in jobs(bench):
            if not bench.wants(label):
                continue
            if wanted != dtype and wanted:
                stack.close()
                peer, dtype = open_peer(bench, stack, THEIRS, wanted), wanted
            found[label] = job(peer)
            bench.keep(data_of(bench, found))
    return data_of(bench, found)
