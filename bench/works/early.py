"""Deciding without finishing (--only-prediction) on lists of 1,000 and 10,000 classes: the completion tokens and time
that it saves. Checks that the decisions equal those of the full computation."""
import os
import json
import subprocess
import sys

import base
import engine

MODEL = "smollm2"
MAKER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "make_classes.py")
PROMPTS = {"occupations": "{} The person to ask is the", "nouns": "{} In one word:", "products": "{} What they need is a"}


def class_file(bench, kind, n):
    if not os.path.exists(MAKER):
        raise base.Skip("no tools/make_classes.py, which writes long lists of classes")
    path = f"{bench.folder}/{kind}-{n}.txt"
    done = subprocess.run([sys.executable, MAKER, kind, str(n), "-o", path], capture_output=True, text=True)
    if done.returncode:
        raise base.Skip(f"make_classes.py {kind} {n}: {done.stderr.strip()[-200:]}")
    return path


def prompts(bench, kind, count):
    with open(bench.data("copa-dev.jsonl"), encoding="utf-8") as file:
        return [{"prompt": PROMPTS[kind].format(json.loads(line)["premise"].strip())} for line, _ in zip(file, range(count))]


def point(bench, kind, n, count, aggregate):
    task, options = bench.write(prompts(bench, kind, count)), ("-c", "@" + class_file(bench, kind, n), "--aggregate", aggregate)
    early = {"only prediction": lambda: engine.evaluate(bench, MODEL, task, options=(*options, "--only-prediction")),
             "full": lambda: engine.evaluate(bench, MODEL, task, options=options)}
    facts = base.agree(base.alternate(bench, early, 1), "full")
    if len(facts) < 2:
        raise base.Skip("the command lacks --only-prediction")
    run = facts["only prediction"]
    saved = 1 - run["completion_tokens_run"] / run["completion_tokens"]
    bench.say(f"{n} {kind}, {aggregate}: {100 * saved:.1f} % of completion tokens saved; {base.summary(facts)}")
    return {"name": kind, "n": n, "rows": count, "aggregate": aggregate, "saved": saved,
            "same": run["same_as_full"], "methods": facts}


def run(bench):
    works = bench.pick((("occupations", 1000, 8), ("products", 1000, 8), ("nouns", 10000, 2), ("products", 10000, 2)),
                       (("occupations", 200, 1),))
    found = []
    for kind, n, count in works:
        for aggregate in ("mean", "sum"):
            try:
                found.append(point(bench, kind, n, count, aggregate))
            except base.Skip as why:
                bench.skip(f"deciding without finishing, {n} {kind}, {aggregate}", why)
    return {"points": found}
