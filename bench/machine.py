"""The machine of a result: its processor, its units and their measured peaks, and the versions of the programs."""
import datetime
import os
import platform
import re
import subprocess


def cpu_facts():
    with open("/proc/cpuinfo") as file:
        text = file.read()
    flags = set(re.search(r"^flags\s*:(.*)$", text, re.M)[1].split())
    name = re.search(r"^model name\s*:\s*(.*)$", text, re.M)[1].strip()
    family, model = (re.search(rf"^{field}\s*:\s*(\d+)$", text, re.M)[1] for field in ("cpu family", "model"))
    return name, f"family {family}, model {model}", flags


def kind(flags):
    """The column of the bars that applies to a machine."""
    return "amx" if {"amx_tile", "amx_bf16"} <= flags else "avx512_bf16" if "avx512_bf16" in flags else "avx2"


def memory_bytes():
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def peaks(bench):
    """GFLOP/s of each unit, named like "avx512bf16 bf16", on as many cores at once as the comparison uses."""
    totals = {}
    if not os.path.exists(bench.kernels):
        bench.skip("the units' peaks and the roofline", f"no {bench.kernels}; `make bench` builds it")
        return totals
    done = subprocess.run([bench.kernels, "all", "peak", str(bench.threads)], capture_output=True, text=True, check=False)
    if done.returncode:
        bench.skip("the units' peaks and the roofline", done.stderr.strip() or f"{bench.kernels} failed")
        return totals
    for isa, precision, rate in re.findall(r"^(\S+) +(\S+) +peak +([0-9.]+) GFLOP/s", done.stdout, re.M):
        totals[f"{isa} {precision}"] = float(rate)
    return totals


def git(*arguments):
    done = subprocess.run(["git", *arguments], cwd=os.path.dirname(os.path.abspath(__file__)), capture_output=True, text=True)
    return done.stdout.strip()


def commit():
    """The version of the working tree, with a plus where it has changes in measured files."""
    changed = git("status", "--porcelain", "--untracked-files=no", "--", "../src", "../cli", "../include", "../meson.build")
    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + ("+" if changed else "")


def versions(bench):
    """The versions of the peers' packages and of llama.cpp, where they are installed."""
    found = {}
    python = f"{bench.peers}/venv/bin/python"
    if os.path.exists(python):
        names = ["cappr", "torch", "transformers", "tokenizers", "numpy"]
        code = "import importlib.metadata as m; print(*[n + ' ' + m.version(n) for n in %r], sep='\\n')" % names
        done = subprocess.run([python, "-c", code], capture_output=True, text=True)
        found.update(line.split() for line in done.stdout.splitlines())
    sources = f"{bench.peers}/llama/llama_cpp/__init__.py"
    if os.path.exists(sources):
        with open(sources) as file:
            version = re.search(r'__version__ = "(.*)"', file.read())
        found["llama.cpp"] = f"of llama-cpp-python {version[1] if version else '?'}"
    return found


def describe(bench):
    name, model, flags = cpu_facts()
    return {"processor": name, "model": model, "kind": kind(flags), "cores": len(os.sched_getaffinity(0)),
            "memory_bytes": memory_bytes(), "kernel": platform.release(), "threads": bench.threads, "peak_gflops": peaks(bench)}


def slug():
    """A folder name for the results of machines like this one."""
    name, model, flags = cpu_facts()
    words = re.sub(r"\(.*?\)|@.*|processor|cpu", " ", name, flags=re.I)
    return "-".join(re.findall(r"[a-z0-9]+", f"{words} {model.replace('family', '').replace('model', '')}".lower())
                    + [kind(flags).replace("_", "-")])


def today():
    return datetime.date.today().isoformat()
