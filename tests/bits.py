"""The bits that precision f32 gives on every machine, for each model in tests/fixtures/tiny and tests/fixtures/llama_cpp: the log-probabilities
of the tokens in its reference, and the posterior probabilities of its runs as completions. tools/make_bits.py writes
these bits into tests/fixtures/bits.json; tests/test_expected_bits.py compares with them."""
import json
import os
import re
import struct
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TINY = ROOT / "tests" / "fixtures" / "tiny"
EXPECTED = ROOT / "tests" / "fixtures" / "bits.json"
NAMES = sorted(folder.name for folder in TINY.iterdir())
FILES = ROOT / "tests" / "fixtures" / "llama_cpp"
FILE_NAMES = sorted(path.stem for path in FILES.glob("*.gguf"))
LACKING = 77  # model_tool's exit code on a machine without the unit


def arithmetic():
    """The version in include/capp.h."""
    return int(re.search(r"#define CAPP_ARITHMETIC (\d+)", (ROOT / "include" / "capp.h").read_text())[1])


def bits_of(build, name, unit, emulator=()):
    """{"logprobs": [hex digits, 8 per token, for each run], "posterior": [...]}; None where the machine lacks the
    unit. emulator: a command that runs the programs of the build."""
    if name in FILE_NAMES:
        path, runs = FILES / f"{name}.gguf", json.loads((FILES / "references.json").read_text())["models"][name]
    else:
        path, runs = TINY / name, json.loads((TINY / name / "reference.json").read_text())["runs"]
    contexts = sorted({run.get("context", 0) for run in runs})
    found = {"logprobs": [], "posterior": []}
    for context in contexts:
        environment = {**os.environ, "CAPP_POSTERIOR": "1", **({"CAPP_CONTEXT": str(context)} if context else {})}
        lines = "".join(" ".join(map(str, run["ids"])) + "\n" for run in runs if run.get("context", 0) == context)
        done = subprocess.run([*emulator, build / "tests" / "model_tool", path, unit], input=lines, capture_output=True,
                              text=True, env=environment)
        if done.returncode == LACKING:
            return None
        assert done.returncode == 0, done.stderr
        *logprobs, posterior = done.stdout.splitlines()
        found["logprobs"] += ["".join(struct.pack(">f", float(number)).hex() for number in line.split())
                              for line in logprobs]
        found["posterior"] += posterior.split()
    return found
