"""The peers in comparisons. Each gets the same rows and the same number of threads as capp.

Each Python peer is a process (driver.py) that loads its model once. llama.cpp's programs report their time or are
timed, without loading. Environment variables that could limit their threads are removed.
"""
import concurrent.futures
import json
import os
import re
import socket
import struct
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

from base import Skip
from watch import Watch

HOW = "../shared/peers/setup.sh installs it"
HERE = os.path.dirname(os.path.abspath(__file__))


def environment(bench, build="build"):
    theirs = {name: value for name, value in os.environ.items()
              if not name.startswith(("OMP_", "GOMP_", "KMP_", "OPENBLAS_", "MKL_", "DNNL_", "ONEDNN_", "TORCH_", "GGML_"))}
    return {**theirs, "PEERS": bench.peers, "THREADS": str(bench.threads), "LD_LIBRARY_PATH": f"{bench.peers}/llama/{build}/bin",
            "TOKENIZERS_PARALLELISM": "false"}


def have(bench, path, what):
    path = f"{bench.peers}/{path}"
    if not os.path.exists(path):
        raise Skip(f"{what} is not there ({path}); {HOW}")
    return path


class Driver:
    """A Python peer with one model; a context manager."""

    def __init__(self, bench, kind, model, detail):
        python = have(bench, "venv/bin/python", "the Python peers' environment")
        have(bench, "models/" + ("gpt2-random-hf/config.json" if model == "gpt2-random" else f"{model}.gguf"), f"the peers' {model}")
        self.name, self.errors = f"{kind} {model} {detail}", tempfile.TemporaryFile("w+")
        command = [python, f"{HERE}/driver.py", f"{bench.shared}/peers", kind, model, str(detail)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
                                        env=environment(bench))
        self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            self.errors.seek(0)
            message = self.errors.read().strip().splitlines()
            raise Skip(f"the peer {self.name} ended: {message[-1] if message else 'without a word'}")
        return json.loads(line)

    def order(self, **order):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def score(self, rows, batch, cached=True, prefix=None):
        return self.order(op="score", rows=rows, batch=batch, cached=cached, prefix=prefix)

    def generate(self, rows, tokens, batch):
        return self.order(op="generate", rows=rows, tokens=tokens, batch=batch)

    def prefill(self, tokens):
        return self.order(op="prefill", tokens=tokens)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        self.process.wait()
        self.process.stdout.close()
        self.errors.close()


def transformers(bench, model, dtype):
    return Driver(bench, "transformers", model, dtype)


def llama_python(bench, model, context):
    return Driver(bench, "llama", model, context)


# ---- llama-perplexity ------------------------------------------------------------------------------------------------


def packed(rows):
    """Rows in the binary format of --multiple-choice: a count and offsets; then for each task the question, answers and
    labels, and a second, empty set of answers."""
    def text(s):
        return struct.pack("<I", len(s.encode())) + s.encode()

    tasks = [text(row["prompt"]) + struct.pack("<I", len(row["completions"])) + b"".join(map(text, row["completions"]))
             + struct.pack(f"<{len(row['completions'])}i", *[int(i == row["label"]) for i in range(len(row["completions"]))])
             + struct.pack("<I", 0) for row in rows]
    offsets, at = [], 4 + 4 * len(tasks)
    for task in tasks:
        offsets.append(at)
        at += len(task)
    return struct.pack(f"<{1 + len(tasks)}I", len(tasks), *offsets) + b"".join(tasks)


def run_reading(command, env, on_line):
    """Runs a program and passes each line of its output to on_line. Returns its memory peaks in bytes, and its
    status."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=env)
    with Watch(process.pid) as watch:
        for line in process.stdout:
            on_line(line)
    process.stdout.close()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return {"peak_bytes": 1024 * usage.ru_maxrss, **watch.facts}, process.returncode


def perplexity(bench, model, rows, flags, build="build"):
    """llama-perplexity --multiple-choice: the seconds between the head of its table and its final result."""
    program = have(bench, f"llama/{build}/bin/llama-perplexity", "llama-perplexity")
    seen = {}

    def on_line(line):
        if "acc_norm" in line:
            seen["begin"] = time.perf_counter()
        if "Final result" in line:
            seen["end"] = time.perf_counter()
            seen["accuracy"] = float(re.search(r"([0-9.]+) *\+/-", line)[1]) / 100

    with tempfile.NamedTemporaryFile(suffix=".bin", dir=bench.folder) as file:
        file.write(packed(rows))
        file.flush()
        command = [program, "-m", bench.model(model), "--multiple-choice", "-bf", file.name, "-t", str(bench.threads), "-tb",
                   str(bench.threads), *flags]
        memory, code = run_reading(command, environment(bench, build), on_line)
    if code or "end" not in seen:
        raise Skip(f"llama-perplexity {' '.join(flags)} ended with {code}")
    return {"seconds": seen["end"] - seen["begin"], "accuracy": seen["accuracy"], **memory, "flags": " ".join(flags)}


def best_flags(bench, model, rows, candidates):
    """The fastest of several settings of flags on a part of the work; the seconds of each are kept."""
    tried = {}
    for flags in candidates:
        try:
            tried[flags] = perplexity(bench, model, rows, flags.split())["seconds"]
        except Skip as why:
            bench.say(str(why))
    if not tried:
        raise Skip("llama-perplexity ran with none of the flags tried; " + HOW)
    best = min(tried, key=tried.get)
    bench.say(f"llama-perplexity's best flags: {best} ({', '.join(f'{f}: {s:.2f} s' for f, s in tried.items())})")
    return best.split(), tried


# ---- llama-bench -----------------------------------------------------------------------------------------------------


def llama_bench(bench, model, tokens, build="build", warm_up=True):
    """One prefill by llama-bench, after its own warm-up: another prefill of this length."""
    program, lines = have(bench, f"llama/{build}/bin/llama-bench", "llama-bench"), []
    command = [program, "-m", bench.model(model), "-p", str(tokens), "-n", "0", "-r", "1", "-t", str(bench.threads), "-o", "jsonl",
               *([] if warm_up else ["--no-warmup"])]
    memory, code = run_reading(command, environment(bench, build), lines.append)
    reports = [json.loads(line) for line in lines if line.startswith("{")]
    if code or len(reports) != 1:
        raise Skip(f"llama-bench ended with {code}: {''.join(lines).strip()[-200:]}")
    return {"seconds": reports[0]["avg_ns"] * 1e-9, "tokens": reports[0]["n_prompt"], **memory}


# ---- llama-server ----------------------------------------------------------------------------------------------------


class Server:
    """llama-server generating greedily, on prompts with a common beginning that stays in each slot's cache; a context
    manager."""

    def __init__(self, bench, model, prefix, slots, context=2048):
        program = have(bench, "llama/build/bin/llama-server", "llama-server")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.slots, self.prefix, self.log = slots, prefix, tempfile.TemporaryFile("w+")
        threads = str(bench.threads)
        self.process = subprocess.Popen(
            [program, "-m", bench.model(model), "-t", threads, "-tb", threads, "-np", str(slots), "-c", str(context * slots),
             "--host", "127.0.0.1", "--port", str(self.port)], stdout=self.log, stderr=self.log, env=environment(bench))
        self.wait()
        for slot in range(slots):
            self.complete(prefix, slot)

    def wait(self):
        for _ in range(600):
            if self.process.poll() is not None:
                raise Skip(f"llama-server ended with {self.process.returncode}")
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5):
                    return
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.1)
        raise Skip("llama-server did not start within a minute")

    def complete(self, prompt, slot, tokens=12):
        body = {"prompt": prompt, "n_predict": tokens, "temperature": 0, "cache_prompt": True, "stop": ["\n"], "id_slot": slot}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/completion", json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=600) as answer:
            return json.load(answer)["content"]

    def run(self, rows):
        """Processes all rows, as many at once as there are slots."""
        texts, turns, lock = [None] * len(rows), iter(range(len(rows))), threading.Lock()

        def work(slot):
            while True:
                with lock:
                    i = next(turns, None)
                if i is None:
                    return
                texts[i] = self.complete(rows[i]["prompt"], slot)

        start = time.perf_counter()
        with concurrent.futures.ThreadPoolExecutor(self.slots) as pool:
            list(pool.map(work, range(self.slots)))
        seconds = time.perf_counter() - start
        right = sum(text.strip().lower() == row["completions"][row["label"]] for text, row in zip(texts, rows))
        return {"seconds": seconds, "accuracy": right / len(rows), "slots": self.slots}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.log.close()
