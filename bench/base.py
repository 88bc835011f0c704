"""Shared by all parts of the benchmark: paths, the number of repetitions of a task, messages."""
import dataclasses
import json
import os
import re
import statistics
import time
import typing

# A run longer than this many seconds is repeated at most this often, because slow peers would take hours otherwise. The
# tables say how many runs each median has.
LIMITS = ((100, 1), (40, 3))


class Skip(Exception):
    """A task or a method cannot run here; the message says why, and how to get what is missing."""


@dataclasses.dataclass
class Bench:
    capp: str       # the command
    kernels: str    # bench_kernels
    peers: str      # folder of the peers, see ../shared/peers/setup.sh
    shared: str     # folder of the shared data
    models: str     # folder of capp's own models
    folder: str     # for files of this run
    reps: int
    quick: bool     # few points, for trying the harness itself
    precision: str  # of capp: auto, bf16 or f32
    dtype: str      # of the Python peers beside it: bfloat16, or float32 on a machine without a unit for bfloat16
    threads: int
    results: str    # folder of the results of this machine
    only: str = ""  # a regular expression: measure only those points; see wants
    keep: typing.Callable = lambda data: None  # saves the points so far as WORK.partial, for a run that is stopped
    skipped: list = dataclasses.field(default_factory=list)
    count: int = 0

    def wants(self, label):
        return re.search(self.only, label) is not None

    def before(self, work):
        """The earlier results of a task of which only some points are measured now."""
        path = f"{self.results}/{work}.json"
        if not self.only or not os.path.exists(path):
            return {}
        with open(path, encoding="utf-8") as file:
            return json.load(file)["data"]

    def model(self, name):
        """Path of NAME.gguf, from the peers' models or capp's own; for a folder, the folder itself."""
        if isinstance(name, os.PathLike):
            return str(name)
        for folder in (f"{self.peers}/models", self.models):
            if os.path.exists(f"{folder}/{name}.gguf"):
                return f"{folder}/{name}.gguf"
        raise Skip(f"no model {name}.gguf; `make models` or ../shared/peers/setup.sh brings it")

    def data(self, name):
        path = f"{self.shared}/data/{name}"
        if not os.path.exists(path):
            raise Skip(f"no {path}; name the folder of shared data by CAPP_SHARED")
        return path

    def pick(self, full, quick):
        return quick if self.quick else full

    def write(self, rows, name="rows"):
        """A file of rows; capp evaluate needs a label in each row."""
        self.count += 1
        path = f"{self.folder}/{name}-{self.count}.jsonl"
        with open(path, "w", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps({"label": 0, **row}) + "\n")
        return path

    def say(self, text):
        print(f"  {text}", flush=True)

    def skip(self, what, why):
        self.skipped.append(f"{what}: {why}")
        self.say(f"skipped {what}: {why}")


def most_runs(seconds, reps):
    return min([reps] + [runs for limit, runs in LIMITS if seconds > limit])


def alternate(bench, methods, reps=None):
    """Runs the methods in turn, repetition by repetition, so that a disturbance of the machine affects all of them;
    each repetition after the first begins with another method. methods: name -> a function that does the work once and
    returns facts, including seconds. Returns for each method all its seconds, the highest peak_bytes, and the other
    facts of its last run."""
    reps = reps or bench.reps
    results, names = {}, list(methods)
    for rep in range(reps):
        turn = rep % len(names)
        for name in names[turn:] + names[:turn]:
            known = results.get(name, {"seconds": []})
            if known is None or (known["seconds"] and rep >= most_runs(known["seconds"][0], reps)):
                continue
            try:
                facts = methods[name]()
            except Skip as why:
                bench.skip(name, why)
                results[name] = None
                continue
            peaks = [x["peak_bytes"] for x in (known, facts) if "peak_bytes" in x]
            seconds = known["seconds"] + [facts["seconds"]]
            results[name] = {**facts, "seconds": seconds, **({"peak_bytes": max(peaks)} if peaks else {})}
    return {name: facts for name, facts in results.items() if facts}


def median(facts):
    return statistics.median(facts["seconds"])


def summary(methods):
    return ", ".join(f"{name} {median(facts):.3g} s" for name, facts in methods.items())


def share_equal(a, b):
    return sum(x == y for x, y in zip(a, b, strict=True)) / len(a)


def agree(methods, ours="capp"):
    """Replaces lists of predictions by the share that equals ours, because results are kept in files."""
    mine = methods.get(ours, {}).get("predictions")
    for name, facts in methods.items():
        theirs = facts.get("predictions")
        if theirs and mine and name != ours and len(theirs) == len(mine):
            facts[f"same_as_{ours.split()[0]}"] = share_equal(theirs, mine)
    for facts in methods.values():
        facts.pop("predictions", None)
    return methods


def timed(call):
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result
