"""Shared by the tests of the command: running it, reading its rows, and inputs."""
import json
import os
import subprocess
from pathlib import Path

BUILD = Path(os.environ.get("CAPP_BUILD", Path(__file__).resolve().parent.parent / "build"))
CAPP = str(BUILD / "capp")
CLASSES = ["-c", "yes,no"]


def run(*arguments, stdin=b"", **options):
    if isinstance(stdin, str):
        stdin = stdin.encode()
    return subprocess.run([CAPP, *map(str, arguments)], input=stdin, capture_output=True, timeout=60, **options)


def supports(capp, model, isa):
    """Whether this machine has the instruction set."""
    done = subprocess.run([capp, "inspect", "--fingerprint", "--isa", isa, model], capture_output=True, text=True)
    assert done.returncode == 0 or "an instruction set that this machine does not support" in done.stderr, done.stderr
    return done.returncode == 0


def rows_of(done):
    assert done.returncode == 0, done.stderr.decode()
    return [json.loads(line) for line in done.stdout.splitlines()]


def lines_told(stderr):
    """Its lines, without the line that says how the command read the input."""
    return [line for line in stderr.decode().splitlines(True) if not line.startswith("capp: reading ")]


def told(done):
    return lines_told(done.stderr)


def fails(done, *parts, status=2):
    """Checks that stderr is one line that contains all parts, and that the command ended with status."""
    message = "".join(told(done))
    assert done.returncode == status, message
    assert message.startswith("capp: ") and message.count("\n") == 1, message
    for part in parts:
        assert part in message, message
    return done


def classify(model, path, *more):
    return run("classify", *model, *CLASSES, *more, path)


TEXTS = ["where is it?", 'she said "go", twice', "déjà vu"]
GOOD = '{"text": "fine"}\n'  # a row before a bad one


def as_csv(texts, end="\n"):
    return "id,text" + end + "".join(f'r{i},"' + text.replace('"', '""') + '"' + end for i, text in enumerate(texts))


def as_jsonl(texts, end="\n"):
    return "".join(json.dumps({"id": f"r{i}", "text": text}, ensure_ascii=False) + end for i, text in enumerate(texts))


def as_text(texts, end="\n"):
    return "".join(text + end for text in texts)


def good(done):
    """What a command that succeeded wrote."""
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def good_text(done):
    return good(done).decode()
