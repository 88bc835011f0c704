#!/usr/bin/env python3
"""Compares capp with its peers on the same tasks, in one run, with the methods taking turns.

Each task writes a JSON file to bench/results/MACHINE; bench/render.py makes docs/performance.md and its figures from
these files. Tasks may be measured at different times on a machine: existing results are kept. Without peers
(../shared/peers/setup.sh) the tasks that need none run, and a message names those that are skipped.
"""
import argparse
import importlib
import json
import os
import shutil
import sys
import tempfile
import time

import base
import engine
import machine

HERE = os.path.dirname(os.path.abspath(__file__))
WORKS = ("start", "prefill", "lanes", "big", "copa", "banking77", "figure", "kernels", "decisions", "early", "scaling", "tokenizing")


def options():
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", default="all", help=f"comma-separated, of {', '.join(WORKS)}; default all")
    parser.add_argument("--reps", type=int, default=5, help="repetitions, of which the median counts (5)")
    parser.add_argument("--quick", action="store_true", help="few points, once: tries the harness, measures nothing worth keeping")
    parser.add_argument("--only", default="", metavar="REGEX",
                        help="only points like 'distinct bfloat16 32' of the figure, '7b prefill AVX2' of big, 'smollm2 512 AVX2' of prefill, '7b avx2' of lanes; the others stay as they are")
    parser.add_argument("--precision", default=None, choices=["auto", "bf16", "f32"], help="of capp (auto; f32 beside float32)")
    parser.add_argument("--dtype", choices=["bfloat16", "float32"], help="of the Python peers (by the machine)")
    parser.add_argument("--threads", type=int, default=2, help="of capp and of each peer (2)")
    parser.add_argument("--capp", default=f"{HERE}/../build/capp")
    parser.add_argument("--kernels", default=f"{HERE}/../build-test/tests/bench_kernels")
    parser.add_argument("--peers", default=os.environ.get("PEERS") or f"{cache}/capp-peers")
    parser.add_argument("--shared", default=os.environ.get("CAPP_SHARED") or f"{HERE}/../../shared")
    parser.add_argument("--models", default=os.environ.get("CAPP_MODELS") or f"{cache}/capp/models")
    parser.add_argument("--results", help="folder (bench/results, or results-quick with --quick)")
    return parser.parse_args()


def save(path, result):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)
        file.write("\n")
    os.replace(path + ".new", path)


def main():
    o = options()
    names = WORKS if o.work == "all" else tuple(o.work.split(","))
    unknown = [name for name in names if name not in WORKS]
    if unknown:
        sys.exit(f"bench: no work is called {', '.join(unknown)}; there are {', '.join(WORKS)}")
    if not shutil.which(o.capp):
        sys.exit(f"bench: no command {o.capp}; `make` builds it")
    kind = machine.kind(machine.cpu_facts()[2])
    dtype = o.dtype or ("float32" if kind == "avx2" else "bfloat16")
    precision = o.precision or ("f32" if dtype == "float32" else "auto")
    folder = f"{o.results or HERE + ('/results-quick' if o.quick else '/results')}/{machine.slug()}"
    with tempfile.TemporaryDirectory() as scratch:
        bench = base.Bench(o.capp, o.kernels, *map(os.path.abspath, (o.peers, o.shared, o.models)), scratch,
                           1 if o.quick else o.reps, o.quick, precision, dtype, o.threads, folder, o.only)
        facts = machine.describe(bench)
        about = {"machine": facts, "date": machine.today(), "commit": machine.commit(), "peers": machine.versions(bench),
                 "reps": bench.reps, "quick": o.quick, "precision": precision, "dtype": dtype}
        for name in names:
            print(f"{name}:", flush=True)
            bench.skipped, start = [], time.monotonic()

            def keep(data, name=name, start=start):
                took = round(time.monotonic() - start)
                save(f"{folder}/{name}.partial", {"work": name, **about, "took_seconds": took, "skipped": bench.skipped, "data": data})

            bench.keep = keep
            try:
                data = importlib.import_module("works." + name).run(bench)
            except base.Skip as why:
                bench.skip(name, why)
                continue
            keep(data)
            os.replace(f"{folder}/{name}.partial", f"{folder}/{name}.json")
            bench.say(f"{time.monotonic() - start:.0f} s in all")
    print(f"results are in {os.path.relpath(folder)}; bench/render.py makes docs/performance.md of them")


if __name__ == "__main__":
    main()
