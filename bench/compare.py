"""capp beside CAPPr on the same work, in one run, alternating: seconds of scoring with the model loaded, and ratios.

usage: compare.py CAPP [--peers FOLDER] [--shared FOLDER] [--reps N] [--work copa,figure,listed] [--precision P] [--json FILE]
Needs the peers (../shared/peers/setup.sh). The figure's classes are distinct: n choices taken from the following COPA
items; a tree that merges equal ones would win the repeated form for nothing.
"""
import argparse
import csv
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))


class CAPPr:
    def __init__(self, args, model):
        command = [f"{args.peers}/venv/bin/python", f"{HERE}/cappr_driver.py", f"{args.shared}/peers", model, args.dtype]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                        text=True, env={**os.environ, "PEERS": args.peers})
        self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit("compare.py: CAPPr ended; run ../shared/peers/setup.sh and look at its messages")
        return json.loads(line)

    def run(self, work):
        order = {"task": work["cappr"], "prefix": work["prefix"], "batch": work["batch"]}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def capp(args, model, work, folder):
    out, stats = f"{folder}/out.jsonl", f"{folder}/stats.json"
    command = [args.capp, "evaluate", "-m", f"{args.peers}/models/{model}.gguf", "--label", "label", "--precision",
               args.precision, "--quiet", "--threads", "2", "-o", out, "--json", stats, work["capp"]]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    stats = json.load(open(stats))
    stats["predictions"] = [json.loads(line)["index"] for line in open(out)]
    return stats


def write(path, rows):
    with open(path, "w") as file:
        for row in rows:
            file.write(json.dumps({"label": 0, **row}) + "\n")
    return path


def copa_rows(args):
    return [json.loads(line) for line in open(f"{args.shared}/data/copa-dev.prompts.jsonl")]


def copa(args, folder):
    path = write(f"{folder}/copa.jsonl", copa_rows(args))
    return "smollm2", {"cappr": path, "capp": path, "prefix": None, "batch": 16}


def figure(args, folder, n=32):
    rows = copa_rows(args)
    choices = [c for row in rows[:48] for c in row["completions"]]
    rows = [{"prompt": row["prompt"], "completions": [choices[(2 * i + j) % len(choices)] for j in range(n)]}
            for i, row in enumerate(rows[:48])]
    path = write(f"{folder}/figure.jsonl", rows)
    return ("gpt2-random", "gpt2-random-f32"), {"cappr": path, "capp": path, "prefix": None, "batch": 16}


def listed(args, folder, count=12):
    data = f"{args.shared}/data"
    names = json.load(open(f"{data}/banking77-categories.json"))
    classes = [name.replace("_", " ").lower() for name in names]
    texts = list(csv.DictReader(open(f"{data}/banking77-test.csv")))
    random.Random(1).shuffle(texts)
    prefix = "A bank customer asks about one of these topics:\n" + "\n".join("- " + c for c in classes) + "\n"
    rows = [{"prompt": f"Question: {t['text'].strip()}\nTopic:", "completions": classes,
             "label": names.index(t["category"])} for t in texts[:count]]
    whole = [{**row, "prompt": prefix + " " + row["prompt"]} for row in rows]
    return "smollm2", {"cappr": write(f"{folder}/part.jsonl", rows), "capp": write(f"{folder}/whole.jsonl", whole),
                       "prefix": prefix, "batch": 2}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("capp")
    parser.add_argument("--peers", default=os.environ.get("PEERS", os.path.expanduser("~/.cache/capp-peers")))
    parser.add_argument("--shared", default=os.environ.get("CAPP_SHARED", f"{HERE}/../../shared"))
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--work", default="copa,figure,listed")
    parser.add_argument("--precision", default="f32")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--json")
    args = parser.parse_args()
    if not os.path.exists(f"{args.peers}/venv/bin/python"):
        sys.exit(f"compare.py: no peers in {args.peers}; run ../shared/peers/setup.sh")
    report = {}
    for name in args.work.split(","):
        with tempfile.TemporaryDirectory() as folder:
            model, work = {"copa": copa, "figure": figure, "listed": listed}[name](args, folder)
            theirs, ours = model if isinstance(model, tuple) else (model, model)
            peer = CAPPr(args, theirs)
            a, b = [], []
            for _ in range(args.reps):
                a.append(capp(args, ours, work, folder))
                b.append(peer.run(work))
            peer.end()
        same = sum(x == y for x, y in zip(a[0]["predictions"], b[0]["predictions"])) / len(a[0]["predictions"])
        ratios = [y["seconds"] / x["seconds"] for x, y in zip(a, b)]
        report[name] = {"capp_seconds": statistics.median(x["seconds"] for x in a),
                        "cappr_seconds": statistics.median(y["seconds"] for y in b),
                        "ratio": statistics.median(ratios), "same_predictions": same,
                        "tokens_computed": a[0]["tokens_computed"], "capp_peak_bytes": a[0]["peak_memory_bytes"]}
        print(f"{name}: capp {report[name]['capp_seconds']:.3f} s, CAPPr {report[name]['cappr_seconds']:.3f} s, "
              f"{report[name]['ratio']:.2f} times, {100 * same:.1f} % the same predictions", flush=True)
    if args.json:
        json.dump(report, open(args.json, "w"), indent=1)


main()
