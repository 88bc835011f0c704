"""The command's output: files, pipes, signals, progress."""
import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import time

import pytest
from command import CAPP, CLASSES, classify, fails, lines_told, run, told


# ---- Output ---------------------------------------------------------------------------------------------------------


def test_unwritable_output(model, tmp_path):
    folder = tmp_path / "folder.jsonl"
    folder.mkdir()
    for path in tmp_path / "none" / "out.jsonl", folder:
        fails(run("classify", *model, *CLASSES, "-o", path, stdin="one\n"), str(path), "cannot write")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_disk_full(model):
    fails(run("classify", *model, *CLASSES, "-o", "/dev/full", stdin="one\n"), "/dev/full", "No space left")
    with open("/dev/full", "wb") as full:
        done = subprocess.run([CAPP, "--version"], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 2 and b"No space left" in done.stderr


def test_output_is_not_written_over_inputs(model, write, tiny_model):
    path, classes = write("a.csv", "text\nx\n"), write("classes.txt", "a\nb\n")
    link = path.with_name("link.csv")
    link.symlink_to(path)
    fails(classify(model, path, "-o", path), "is also the input")
    fails(classify(model, path, "-o", link), "is also the input")
    fails(run("classify", *model, "-c", f"@{classes}", "-o", classes, path), "is also the input")
    size = os.path.getsize(tiny_model)
    fails(classify(model, path, "-o", tiny_model), "is also the input")
    fails(run("evaluate", *model, "-c", "x,y", "--label", "text", "--json", tiny_model, path), "is also the input")
    with open(path, "rb") as stdin:
        done = subprocess.run([CAPP, "classify", *model, *CLASSES, "-o", path], stdin=stdin, capture_output=True)
    fails(done, "is also the input")
    assert path.read_text() == "text\nx\n" and os.path.getsize(tiny_model) == size


def test_failure_keeps_old_output(model, write):
    out = write("out.jsonl", "old results\n")
    fails(run("classify", *model, *CLASSES, "-t", "{nothing}", "--overwrite", "-o", out, stdin="one\n"), "nothing")
    assert out.read_text() == "old results\n"


def test_broken_pipe(model):
    with subprocess.Popen(
        [CAPP, "classify", *model, *CLASSES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdin.write(b"one\n")
        process.stdin.flush()
        assert process.stdout.readline()
        process.stdout.close()
        process.stdin.write(b"two\n")
        process.stdin.close()
        assert process.wait(timeout=30) == 0 and lines_told(process.stderr.read()) == []


def test_broken_pipe_within_a_window(model, write):
    path = write("many.txt", "".join(f"row number {i} of many\n" for i in range(4000)))
    command = [CAPP, "classify", *model, *CLASSES, path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0) as process:
        assert process.stdout.read(10) == b'{"id": 0, '
        process.stdout.close()
        assert process.wait(timeout=60) == 0 and lines_told(process.stderr.read()) == []


def start(*arguments):
    pipe = subprocess.PIPE
    return subprocess.Popen([CAPP, *map(str, arguments)], stdin=pipe, stdout=pipe, stderr=pipe)


def answer(process):
    assert select.select([process.stdout], [], [], 30)[0], "no answer to a row on a live pipe"
    return json.loads(process.stdout.readline())


@pytest.mark.parametrize(
    "arguments, rows",
    [
        ([], [b"one\n", b"two\n"]),
        ([], [b'{"text": "one"}\n', b'{"text"', b': "two"}\n']),
        (["--format", "csv"], [b"text,c\n1,2\n", b'"a\n', b'b",3\n']),
    ],
)
def test_live_pipe(model, arguments, rows):
    """Each row is answered before the next one arrives, also where a row arrives in pieces."""
    with start("classify", *model, *CLASSES, *arguments) as process:
        for i, row in enumerate(rows):
            process.stdin.write(row)
            process.stdin.flush()
            if i in (0, len(rows) - 1):
                assert answer(process)["id"] == (i > 0)
            else:
                time.sleep(0.1)
        process.stdin.close()
        assert process.wait(timeout=30) == 0


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_while_waiting(model, number, status):
    with start("classify", *model, *CLASSES) as process:
        process.stdin.write(b"one\n")
        process.stdin.flush()
        assert answer(process)["id"] == 0
        process.send_signal(number)
        assert process.wait(timeout=10) == status
        assert b"after 1 rows" in process.stderr.read()


def test_signal_while_working(model, write, tmp_path):
    path, out = write("many.txt", "".join(f"row number {i} of many\n" for i in range(200_000))), tmp_path / "out.jsonl"
    with start("classify", *model, *CLASSES, "-o", out, path) as process:
        deadline = time.time() + 30
        while not (out.exists() and out.stat().st_size) and time.time() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 130
    rows = [json.loads(line) for line in out.read_bytes().splitlines()]  # whole rows only
    assert 0 < len(rows) < 200_000 and [row["id"] for row in rows] == list(range(len(rows)))


def test_nothing_but_errors_on_stderr(model):
    done = run("classify", *model, *CLASSES, stdin="one\n")
    assert done.stderr == b"capp: reading stdin as plain text, one text per line\n" and told(done) == []
    assert run("classify", *model, *CLASSES, "-q", stdin="one\n").stderr == b""


def on_terminal(*arguments):
    """Runs the command with standard error on a terminal; returns the exit status and what it wrote there."""
    own, theirs = pty.openpty()
    with subprocess.Popen([CAPP, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=theirs) as process:
        os.close(theirs)
        told = b""
        with contextlib.suppress(OSError):  # EIO: the other side is closed
            while part := os.read(own, 65536):
                told += part
        os.close(own)
        return process.wait(timeout=60), told.decode()


BAR = r"\[(#*)\.*\]  (\d+) %  (\d+) rows  [\d.]+/s"


def test_progress_on_a_terminal(model, write):
    """One window, and work for about a second, however fast the machine is: the bar moves within the window."""
    n, tail, inside = 1500, " of many rows, with a tail that makes it long enough to take some time to read", []
    while len(inside) < 2 and n < 1_000_000:
        n *= 2
        path = write("many.txt", "".join(f"{i} is the number{tail}\n" for i in range(n)))
        slowly = ["--isa", "ref", "--threads", "1", "--window", str(n + 1000)]
        status, told = on_terminal("classify", *model, *CLASSES, *slowly, path)
        bars = re.findall(BAR, told)
        assert status == 0
        inside = [(int(share), int(rows)) for _, share, rows in bars if 0 < int(rows) < n]
    assert len(inside) > 1 and inside == sorted(inside)
    assert all(abs(share / 100 - rows / n) < 0.1 for share, rows in inside)
    assert told.endswith("\r\x1b[K")  # wiped at the end
    assert on_terminal("classify", *model, *CLASSES, *slowly, "--quiet", path) == (0, "")
