"""The tokenizer alone, with one thread, against the tokenizers package: opening, short texts (Banking77) and long ones,
with the published tokenizers of four models. capp encodes through its C API (tests/bench_tokenizer.c)."""
import lzma
import os
import struct
import subprocess

import base
import peers
import tasks

TOKENIZERS = ("gpt2", "llama2", "llama3", "qwen3")
HERE = os.path.dirname(os.path.abspath(__file__))


class End:
    """A program that encodes all texts on request; a context manager."""

    def __init__(self, command, env=None):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        self.opening = float(self.read()[0])

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise base.Skip(f"{os.path.basename(self.process.args[0])} ended with {self.process.wait()}")
        return line.split()

    def run(self, order=""):
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()
        seconds, ids, checksum = self.read()
        return {"seconds": float(seconds), "ids": int(ids), "checksum": checksum}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def write(bench, name, texts):
    path = f"{bench.folder}/{name}.texts"
    with open(path, "wb") as file:
        for text in texts:
            data = text.encode()
            file.write(struct.pack("<I", len(data)) + data)
    return path


def corpora(bench):
    """Short texts, and long ones that each join up to 300 of the short ones."""
    texts = [text for text, _ in tasks.banking_texts(bench)][:bench.pick(None, 200)]
    return {"short": texts, "long": ["\n".join(texts[i:i + 300]) for i in range(0, len(texts), 300)]}


def point(bench, tokenizer, name, texts, ends):
    path = write(bench, name, texts)
    capp, package = ends
    with capp(tokenizer, path) as ours, package(tokenizer, path) as theirs:
        methods = {"capp": ours.run, "tokenizers encode": lambda: theirs.run("encode"),
                   "tokenizers encode_batch": lambda: theirs.run("batch")}
        for run in methods.values():
            run()  # warms both caches
        facts = base.alternate(bench, methods)
        opening = {"capp": ours.opening, "tokenizers": theirs.opening}
    same = len({each.pop("checksum") for each in facts.values()}) == 1
    return {"texts": name, "count": len(texts), "bytes": sum(len(text.encode()) for text in texts), "same_ids": same,
            "opening": opening, "methods": facts}


def run(bench):
    program = os.path.join(os.path.dirname(bench.kernels), "bench_tokenizer")
    if not os.path.exists(program):
        raise base.Skip(f"no {program}; `make bench` builds it")
    python = peers.have(bench, "venv/bin/python", "the Python peers' environment")
    env = {**peers.environment(bench), "RAYON_NUM_THREADS": "1"}
    ends = (lambda tokenizer, path: End([program, tokenizer, path]),
            lambda tokenizer, path: End([python, f"{HERE}/../tokenizer_peer.py", tokenizer, path], env))
    points = []
    for name in TOKENIZERS[:bench.pick(None, 1)]:
        tokenizer = f"{bench.folder}/{name}.json"
        with lzma.open(bench.data(f"tokenizers/{name}.json.xz")) as packed, open(tokenizer, "wb") as file:
            file.write(packed.read())
        for kind, texts in corpora(bench).items():
            points.append({"name": name, **point(bench, tokenizer, kind, texts, ends)})
            bench.say(f"{name}, {kind} texts: {base.summary(points[-1]['methods'])}")
    return {"points": points}
