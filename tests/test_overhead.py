"""The time that Python adds to the command's scoring: user and system processor time of whole processes that alternate.
The time for COPA's first row is subtracted from the time for all of COPA, so that start and load do not count."""
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
REPETITIONS, MOST = 5, 1.05

SCORE = """
import json, sys
import capp
from capp.classify import predict_proba_examples
with open(sys.argv[2], encoding="utf-8") as file:
    rows = [json.loads(line) for line in file]
examples = [capp.Example(row["prompt"], row["completions"]) for row in rows]
model = capp.Model(sys.argv[1], precision="f32", threads=1)
print(predict_proba_examples(examples, model, show_progress_bar=False).tolist())
"""


def used_by(command, env):
    """Processor seconds and output."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_python_costs_little_beside_the_command(capp, build, smollm2, shared, tmp_path):
    lines = Path(shared, "data", "copa-dev.prompts.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    env = {**os.environ, "CAPP_LIBRARY": str(build / "libcapp.so.0"), "PYTHONPATH": str(ROOT / "python")}
    seconds, outputs = {}, {}
    for n in (1, len(lines)):
        path = tmp_path / f"{n}.jsonl"
        path.write_text("".join(lines[:n]), encoding="utf-8")
        commands = {"command": [capp, "classify", "-q", "-m", smollm2, "--precision", "f32", "--threads", "1", path],
                    "python": [sys.executable, "-c", SCORE, smollm2, path]}
        for _ in range(REPETITIONS):
            for who, command in commands.items():
                used, outputs[who] = used_by(command, env)
                seconds[who, n] = min(used, seconds.get((who, n), used))
    command, python = (seconds[who, len(lines)] - seconds[who, 1] for who in ("command", "python"))
    print(f"command {command:.3f} s, Python {python:.3f} s: {python / command:.4f}")
    rows = [json.loads(line)["probabilities"] for line in outputs["command"].splitlines()]
    assert json.loads(outputs["python"]) == rows
    assert python <= MOST * command


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_store_costs_at_most_3_percent(capp, smollm2, shared, tmp_path):
    """Processor time of a run that writes a store, beside one that writes JSON lines."""
    lines = Path(shared, "data", "copa-dev.prompts.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    path, seconds = tmp_path / "rows.jsonl", {}
    path.write_text("".join(lines[:120]), encoding="utf-8")
    for _ in range(REPETITIONS):
        for name in ("run.jsonl", "run.db"):
            command = [capp, "classify", "-q", "-m", smollm2, "--threads", "1", "-o", tmp_path / name, "--overwrite", path]
            used, _ = used_by(command, None)
            seconds[name] = min(used, seconds.get(name, used))
    print(f"JSON lines {seconds['run.jsonl']:.3f} s, store {seconds['run.db']:.3f} s: {seconds['run.db'] / seconds['run.jsonl']:.4f}")
    assert seconds["run.db"] <= 1.03 * seconds["run.jsonl"]
