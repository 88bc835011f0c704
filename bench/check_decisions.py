#!/usr/bin/env python3
"""Counts the rows that precision auto decides otherwise than f32, and prints each with its gap: how far apart float32's
two best scores are, as a difference of mean log-probabilities.

usage: check_decisions.py FOLDER [--model NAME]... [--task NAME]... [--isa NAME]... [--every N]
                          [--threads N] [--seconds S]

FOLDER holds the rows and the results. A run that is stopped, or that ends after S seconds, continues when it is started
again with the same options. The tasks are COPA's 500 rows and Banking77's 3,080, each plain and with the classes listed
in the prompt: 7,160 rows. --every N takes each Nth row, and `make check` each eighth. Without --isa, auto runs with the
best instruction set of this machine. Both runs stop a row when its prediction is certain (--only-prediction); float32
scores the rows that differ again, whole, for their gaps. Ends with 1 if more rows of a model differ than may (most_of).
"""
import argparse
import json
import math
import os
import pathlib
import signal
import subprocess
import sys
import types

import tasks

ROOT = pathlib.Path(__file__).resolve().parent.parent
SHARED = os.environ.get("CAPP_SHARED") or ROOT.parent / "shared"
MODELS = pathlib.Path(os.environ.get("CAPP_MODELS") or pathlib.Path.home() / ".cache" / "capp" / "models")
ROWS, MOST = 7160, 6  # of all rows of a model, how many may differ


def most_of(rows):
    """How many of so many rows may differ: 2 of each eighth row. If MOST of all rows differ, at most one sample in twenty
    has more than that, by chance. If 60 of all rows differ, each eighth row shows it in 98 of 100 samples."""
    def chance(n):  # that n of those MOST are in a sample
        return math.comb(MOST, n) * math.comb(ROWS - MOST, rows - n) / math.comb(ROWS, rows) if n <= rows else 0

    return next(most for most in range(MOST + 1) if sum(map(chance, range(most + 1, MOST + 1))) <= 0.05)


def listed(row):
    return {**row, "prompt": "Choose one of these:\n" + "\n".join("- " + each for each in row["completions"]) + f"\n{row['prompt']}"}


def rows_of(task, every):
    data = types.SimpleNamespace(data=lambda name: f"{SHARED}/data/{name}")
    if task.startswith("copa"):
        rows = tasks.copa(data)[::every]
        return [listed(row) for row in rows] if task == "copa-listed" else rows
    return tasks.banking77(data, None, "listed" if task == "banking77-listed" else "plain")[::every]


def score(capp, model, rows, out, options, seconds, threads):
    """Scores the rows, or those that are missing in out. False if the time was over first."""
    command = [capp, "classify", "-m", MODELS / f"{model}.gguf", "--quiet", "--threads", threads, "-o", out, *options, rows]
    command += ["--resume"] if out.exists() else []
    with subprocess.Popen([str(part) for part in command]) as process:
        try:
            if process.wait(seconds):
                sys.exit(f"{' '.join(map(str, command))} ended with {process.returncode}")
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            process.wait()
            return False
    return True


def read(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def probabilities(row):
    found = row["probabilities"]
    return list(found.values()) if isinstance(found, dict) else found


def differences(reference, found):
    """Numbers of the rows that are decided otherwise."""
    return [number for number, (one, other) in enumerate(zip(reference, found, strict=True)) if one["index"] != other["index"]]


def gaps(capp, model, rows, path, threads):
    """How far apart float32's two best scores of each row are."""
    write(path, rows)
    out = path.with_suffix(".scores.jsonl")
    out.unlink(missing_ok=True)
    score(capp, model, path, out, ["--precision", "f32"], None, threads)
    for row in read(out):
        best, second = sorted(probabilities(row), reverse=True)[:2]
        yield math.log(best / second)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--capp", default=ROOT / "build" / "capp")
    parser.add_argument("--model", action="append", choices=["smollm2", "gemma3"])
    parser.add_argument("--task", action="append", choices=["copa", "copa-listed", "banking77", "banking77-listed"])
    parser.add_argument("--isa", action="append")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float)
    o = parser.parse_args()
    o.folder.mkdir(parents=True, exist_ok=True)
    failed = False
    for model in o.model or ["smollm2", "gemma3"]:
        total, count = {}, 0
        for task in o.task or ["copa", "copa-listed", "banking77", "banking77-listed"]:
            name = f"{model}-{task}" + (f"-{o.every}" if o.every > 1 else "")
            path = o.folder / f"{name}.jsonl"
            rows = rows_of(task, o.every)
            if not path.exists():
                write(path, rows)
            ways = {"f32": ["--precision", "f32"], **({isa: ["--isa", isa] for isa in o.isa} if o.isa else {"auto": []})}
            results = {way: o.folder / f"{name}-{way}.jsonl" for way in ways}
            for way, options in ways.items():
                if not score(o.capp, model, path, results[way], ["--only-prediction", *options], o.seconds, o.threads):
                    sys.exit(f"{results[way]} is not complete; start again to continue")
            count += len(rows)
            for way in list(ways)[1:]:
                found = differences(read(results["f32"]), read(results[way]))
                total[way] = total.get(way, 0) + len(found)
                apart = gaps(o.capp, model, [rows[n] for n in found], o.folder / f"{name}-{way}-differ.jsonl", o.threads)
                print(f"{name}, {way}: {len(found)} of {len(rows)} rows differ"
                      + "".join(f"; row {n}, gap {gap:.5f}" for n, gap in zip(found, apart if found else [])), flush=True)
        for way, n in total.items():
            print(f"{model}, {way}: {n} of {count} rows differ; at most {most_of(count)} may")
            failed = failed or n > most_of(count)
    return failed


if __name__ == "__main__":
    sys.exit(main())
