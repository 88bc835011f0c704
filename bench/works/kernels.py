"""The matrix products: the share of a unit's peak that bench_kernels reaches at the engine's shapes, and, where perf
works, the share that the products, attention's included, reach inside a run of the engine."""
import os
import re
import shutil
import subprocess

import base
import engine
import flops
import machine
import tasks

# Functions that multiply rows by packed weights, with their names in perf; what the compiler adds to one follows a dot.
PRODUCTS = (r"^(packed|spread|narrow|tile|fine)_\d|^(accumulate_(half_kept|kept|half|one|many)|load_part|store_part|split|widen|restore|multiply_panel|matmul|matmul_on)"
            r"($|\.)")
RATE = 999  # samples per second of each thread


def micro(bench):
    if not os.path.exists(bench.kernels):
        raise base.Skip(f"no {bench.kernels}; `make bench` builds it")
    text = subprocess.run([bench.kernels], capture_output=True, text=True, check=True).stdout
    row = re.compile(r"^(\S+ +\S+) +(\S+) +([\d ]+?) +([0-9.]+) GFLOP/s +([0-9.]+) %$", re.M)
    return [{"isa": " ".join(unit.split()), "op": op, "shape": shape.strip(), "gflops": float(rate), "share": float(share) / 100}
            for unit, op, shape, rate, share in row.findall(text)]


def samples(report):
    """symbol -> seconds of processor time, from `perf report` sorted by symbol with its period in nanoseconds."""
    return {name: int(period) * 1e-9 for period, name in re.findall(r"^ *(\d+) +\[.\] (\S+)", report, re.M)}


def operations(bench, model, path, facts):
    """(products, attention): the operations of a run over the rows of a file, by the tokens that it computed."""
    shape = flops.shape(bench, model)
    count = flops.tree(engine.token_ids(bench, model, path))
    attention = shape.flops(**count) - shape.flops(count["tokens"], count["head_rows"], 0, 0)
    return (shape.flops(facts["tokens_computed"], facts["head_rows"], 0, 0),
            attention * facts["tokens_computed"] / count["tokens"])


def least_seconds(products, attention, unit, peaks, threads):
    """The processor time of all threads at the peak of the units, or None if it was not measured. Attention has the unit of the
    products only in float32 and bfloat16."""
    isa, scoring = unit.split()
    rates = [peaks.get(unit), peaks.get(f"{isa} {'bf16' if scoring == 'bf16' else 'f32'}")]
    return threads * 1e-9 * sum(work / rate for work, rate in zip((products, attention), rates)) if all(rates) else None


def inside(bench, model, path):
    """The processor time of the products in one run, and their share of the unit's peak."""
    if not shutil.which("perf"):
        raise base.Skip("no perf, so no share of the products inside the engine; Debian's package is linux-perf")
    data, report = f"{bench.folder}/perf.data", f"{bench.folder}/perf.json"
    command = ["perf", "record", "-q", "-F", str(RATE), "-e", "cpu-clock:u", "-o", data, bench.capp, "evaluate",
               *map(str, engine.common(bench, model, bench.precision, None)), "--label", "label", "--json", report, path]
    if subprocess.run(command, capture_output=True).returncode:
        raise base.Skip("perf may not record here (kernel.perf_event_paranoid)")
    found = samples(subprocess.run(["perf", "report", "-i", data, "--stdio", "-F", "period,symbol"], capture_output=True,
                                   text=True).stdout)
    facts = engine.read(report)
    seconds = sum(s for name, s in found.items() if re.search(PRODUCTS, name))
    if not seconds:
        raise base.Skip("perf saw no function of the matrix products: see PRODUCTS in bench/works/kernels.py")
    work = operations(bench, model, path, facts)
    unit = engine.facts_of(facts, bench.precision)["isa"]
    least = least_seconds(*work, unit, machine.peaks(bench), bench.threads)
    return {"model": model, "isa": unit, "processor_seconds": seconds, "run_seconds": facts["seconds"],
            "share_of_time": seconds / (facts["seconds"] * bench.threads), "flops": sum(work),
            "share_of_peak": least / seconds if least else None,
            "functions": dict(sorted(found.items(), key=lambda x: -x[1])[:12])}


def run(bench):
    found = {"micro": [], "inside": []}
    try:
        found["micro"] = micro(bench)
    except base.Skip as why:
        bench.skip("the kernels' micro-benchmark", why)
    works = (("gpt2-random-f32", tasks.figure(bench, bench.pick(32, 2), "distinct")),
             ("smollm2", tasks.banking77(bench, bench.pick(24, 1))))
    for model, rows in works:
        try:
            found["inside"].append(inside(bench, model, bench.write(rows)))
            bench.say(f"products inside the engine, {model}: {found['inside'][-1]['share_of_peak']:.3f} of the peak")
        except base.Skip as why:
            bench.skip(f"products inside the engine, {model}", why)
    return found
