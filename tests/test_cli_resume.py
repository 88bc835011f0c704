"""Runs that end before their time: what they leave is whole rows, and --resume ends with the bytes of an unbroken run."""
import gzip
import json
import os
import random
import re
import resource
import signal
import subprocess
import time

import pytest
from command import CAPP, CLASSES, classify, fails, run

ENDINGS = ["jsonl", "csv", "csv.gz", "csv.zst"]
SLOWLY = ["--isa", "ref", "--threads", "1"]


def table(n):
    return "id,text\n" + "".join(f'r{i},"text {i} of ""many"",\nin {i % 7} lines"\n' for i in range(n))


def content(path):
    data = path.read_bytes()
    if path.suffix == ".gz":
        return gzip.decompress(data)
    if path.suffix == ".zst":
        return subprocess.run(["zstd", "-dcq", path], stdout=subprocess.PIPE, check=True).stdout
    return data


@pytest.fixture
def source(write):
    return write("in.csv", table(600))


@pytest.fixture
def long_source(write):
    """Some seconds of work, so that a signal hits within it."""
    return write("long.csv", table(4000))


def command_of(model, source, out, *more):
    return [CAPP, "classify", *model, *CLASSES, *SLOWLY, *map(str, more), "-o", str(out), str(source)]


def kill_once(command, out, seconds, number=signal.SIGKILL):
    """Starts the command and sends a signal some time after the output is there: whether it hit."""
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        deadline = time.time() + 30
        while process.poll() is None and not (out.exists() and out.stat().st_size) and time.time() < deadline:
            time.sleep(0.005)
        time.sleep(seconds)
        process.send_signal(number)
        process.stderr.read()
        return process.wait(timeout=30) in (-number, 128 + number)


@pytest.mark.parametrize("ending", ENDINGS)
def test_killed_at_random_instants(model, long_source, tmp_path, ending):
    """By SIGKILL, again and again: the rows at the end are those of a run that nobody disturbed."""
    whole, out = tmp_path / f"whole.{ending}", tmp_path / f"out.{ending}"
    subprocess.run(command_of(model, long_source, whole), check=True, stderr=subprocess.PIPE)
    rng, hits = random.Random(ending), 0
    for i in range(3):
        hits += kill_once(command_of(model, long_source, out, *(["--resume"] if i else [])), out, rng.random() * 0.2)
    done = subprocess.run(command_of(model, long_source, out, "--resume"), stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
    assert hits and content(out) == content(whole)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_torn_end_is_cut(model, source, tmp_path, ending):
    """Wherever the file ends, and whatever half a row or member stands there."""
    whole, out = tmp_path / f"whole.{ending}", tmp_path / f"out.{ending}"
    assert run("classify", *model, *CLASSES, "-o", whole, source).returncode == 0
    assert run("classify", *model, *CLASSES, "-o", out, source).returncode == 0
    data, rng = out.read_bytes(), random.Random(5)
    for _ in range(3):
        out.write_bytes(data[: rng.randrange(len(data))])
        done = run("classify", *model, *CLASSES, "-o", out, "--resume", source)
        assert done.returncode == 0, done.stderr
        assert content(out) == content(whole)


def test_a_finished_run_is_left_alone(model, source, tmp_path):
    out = tmp_path / "out.csv"
    assert run("classify", *model, *CLASSES, "-o", out, source).returncode == 0
    data = out.read_bytes()
    assert run("classify", *model, *CLASSES, "-o", out, "--resume", source).returncode == 0 and out.read_bytes() == data
    assert run("classify", *model, *CLASSES, "-o", tmp_path / "new.csv", "--resume", source).returncode == 0
    assert (tmp_path / "new.csv").read_bytes() == data


def test_an_earlier_run_is_not_destroyed(model, write, tmp_path):
    path, out = write("in.txt", "one\ntwo\n"), tmp_path / "out.jsonl"
    assert classify(model, path, "-o", out).returncode == 0
    rows = out.read_bytes()
    for more in [], ["--quiet"], ["-c", "other,classes"]:
        fails(classify(model, path, "-o", out, *more), "already holds", "--resume", "--overwrite")
        assert out.read_bytes() == rows
    assert classify(model, path, "-o", out, "--overwrite", "-c", "other,classes").returncode == 0
    assert out.read_bytes() != rows
    out.write_bytes(b"")
    assert classify(model, path, "-o", out).returncode == 0 and out.read_bytes() == rows  # nothing is lost with it


@pytest.mark.parametrize(
    "change, part",
    [
        (["-c", "yes,no,other"], "--classes"),
        (["-t", "Say {text}"], "--template"),
        (["--aggregate", "sum"], "--aggregate"),
        (["--precision", "f32"], "precision"),
        (["--top", "1"], "--top"),
        (["--keep", "none"], "--keep"),
        (["--on-error", "skip"], "--on-error"),
        (["--multi-label"], "--multi-label"),
    ],
)
def test_another_run_is_told_apart(model, write, tmp_path, change, part):
    path, out = write("in.txt", "one\ntwo\n"), tmp_path / "out.jsonl"
    assert classify(model, path, "-o", out).returncode == 0
    rows = out.read_bytes()
    if run("classify", *model, *CLASSES, *change, stdin="one\n").returncode == 2:
        pytest.skip("this machine has no such precision")
    fails(classify(model, path, "-o", out, "--resume", *change), "a run with other settings", part)
    assert out.read_bytes() == rows
    assert classify(model, path, "-o", out, "--resume", "--threads", "1", "--memory", "1G", "-q").returncode == 0


def test_what_a_run_is_made_of(model, tiny_gpt2, write, tmp_path):
    """Other rows, another model, classes of a file that changed; not the same file under another name."""
    path, out, classes = write("in.txt", "one\ntwo\n"), tmp_path / "out.jsonl", write("classes.json", '["yes", "no"]')
    how = ["classify", "-c", f"@{classes}", "-o", out]
    assert run(*how, *model, path).returncode == 0
    facts = json.loads((tmp_path / "out.jsonl.run").read_text())
    assert facts["input"]["bytes"] == 8 and facts["model"]["bytes"] == os.path.getsize(model[1])
    assert facts["arithmetic"] >= 1 and facts["precision"] and facts["isa"] and facts["command"] == "classify"
    printed = json.loads(run("inspect", "--fingerprint", model[1]).stdout)
    assert printed["model"] == facts["model"] and printed["adapters"] == facts["adapters"] == []
    copy = write("copy.txt", path.read_bytes())
    assert run(*how, *model, "--resume", copy).returncode == 0
    fails(run(*how, "-m", tiny_gpt2, "--resume", path), "the model")
    fails(run(*how, *model, "--resume", write("other.txt", "one\ntw0\n")), "the input")
    classes.write_text('["yes", "No"]')
    fails(run(*how, *model, "--resume", path), "--classes")
    (tmp_path / "out.jsonl.run").write_text("{")
    fails(run(*how, *model, "--resume", path), "out.jsonl.run", "--overwrite")
    (tmp_path / "out.jsonl.run").unlink()
    fails(run(*how, *model, "--resume", path), "out.jsonl.run", "--overwrite")


def test_resume_needs_a_file(model, write, tmp_path):
    out = tmp_path / "out.jsonl"
    assert run("classify", *model, *CLASSES, "-o", out, stdin="one\n").returncode == 0
    fails(run("classify", *model, *CLASSES, "-o", out, "--resume", stdin="one\ntwo\n"), "--resume", "pipe")
    fails(run("classify", *model, *CLASSES, "--resume", stdin="one\n"), "-o FILE")
    fails(run("classify", *model, *CLASSES, "--overwrite", "-o", "-", stdin="one\n"), "-o FILE")
    fails(run("classify", *model, *CLASSES, "--overwrite", "--resume", "-o", out, stdin="one\n"), "use one of the two")


@pytest.mark.parametrize("command", [["logprobs", *CLASSES], ["tokenize"], ["generate", "-n", "3"],
                                     ["evaluate", *CLASSES, "--label", "label"]])
def test_every_command_goes_on(model, write, tmp_path, command):
    path = write("in.jsonl", "".join(json.dumps({"text": f"text {i}", "label": i % 2}) + "\n" for i in range(40)))
    whole, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    for name in whole, out:
        assert run(*command, *model, "-o", name, path).returncode == 0
    lines = whole.read_bytes().splitlines(keepends=True)
    out.write_bytes(b"".join(lines[:17]) + lines[17][:5])
    done = run(*command, *model, "-o", out, "--resume", path)
    assert done.returncode == 0 and b"keeping 17 complete rows and continuing" in done.stderr
    assert out.read_bytes() == whole.read_bytes()
    if command[0] == "evaluate":
        assert b"17 rows of the earlier run" in done.stdout and b"of 23)" in done.stdout


# ---- Signals and full disks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_says_how_to_go_on(model, long_source, tmp_path, number):
    out = tmp_path / "out.csv"
    with subprocess.Popen(command_of(model, long_source, out), stderr=subprocess.PIPE) as process:
        while not (out.exists() and out.stat().st_size):
            time.sleep(0.005)
        process.send_signal(number)
        told = process.stderr.read().decode()
        assert process.wait(timeout=30) == 128 + number
    n = int(re.search(r"stopped by a signal after (\d+) rows, all complete in .*out.csv; .*--resume", told)[1])
    assert 0 < n < 4000
    done = run("classify", *model, *CLASSES, *SLOWLY, "-o", out, "--resume", long_source)
    assert done.returncode == 0 and f"keeping {n} complete rows and continuing" in done.stderr.decode()


def limited(size):
    """A file may have so many bytes: what a full disk is to a test without a disk of its own."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize("ending", ["jsonl", "csv", "csv.gz"])
def test_a_full_disk_leaves_whole_rows(model, source, tmp_path, ending):
    whole = tmp_path / f"whole.{ending}"
    assert run("classify", *model, *CLASSES, "-o", whole, source).returncode == 0
    size, rng = whole.stat().st_size, random.Random(ending)
    for i in range(2):
        out = tmp_path / f"out{i}.{ending}"
        room = rng.randrange(4096, size)
        done = run("classify", *model, *CLASSES, "-o", out, source, preexec_fn=limited(room))
        told = done.stderr.decode()
        assert done.returncode == 2, told
        n = int(re.search(r"File too large; the file has (\d+) complete rows; .*--resume", told)[1])
        assert out.stat().st_size <= room and content(whole).startswith(content(out))
        done = run("classify", *model, *CLASSES, "-o", out, "--resume", source)
        assert done.returncode == 0 and f"keeping {n} complete rows and continuing" in done.stderr.decode() or n == 0
        assert content(out) == content(whole)


def test_a_full_disk_from_the_first_byte_on(model, source, tmp_path):
    out = tmp_path / "out.csv"
    fails(run("classify", *model, *CLASSES, "-o", out, source, preexec_fn=limited(10)), "out.csv", "0 complete rows")
    assert out.read_bytes() == b""
    assert run("classify", *model, *CLASSES, "-o", out, source).returncode == 0


def test_standard_output_into_a_full_file_keeps_whole_rows(model, source, tmp_path):
    out = tmp_path / "out.jsonl"
    with open(out, "wb") as file:
        done = subprocess.run([CAPP, "classify", *model, *CLASSES, source], stdout=file, stderr=subprocess.PIPE,
                              preexec_fn=limited(50_001))
    assert done.returncode == 2 and b"File too large" in done.stderr
    rows = out.read_bytes()
    assert 0 < len(rows) <= 50_001 and rows.endswith(b"}\n") and all(map(json.loads, rows.splitlines()))


def test_fsync(model, source, tmp_path):
    out, plain = tmp_path / "out.csv.gz", tmp_path / "plain.csv"
    assert run("classify", *model, *CLASSES, "--fsync", "-o", out, source).returncode == 0
    assert run("classify", *model, *CLASSES, "-o", plain, source).returncode == 0
    assert content(out) == content(plain)


# ---- Two processes, closed descriptors -------------------------------------------------------------------------------


def test_two_processes_with_one_output(model, tmp_path):
    out = tmp_path / "out.jsonl"
    with subprocess.Popen([CAPP, "classify", *model, *CLASSES, "-o", out], stdin=subprocess.PIPE) as first:
        first.stdin.write(b"one\n")
        first.stdin.flush()
        while not (out.exists() and out.stat().st_size):
            time.sleep(0.005)
        for more in [], ["--overwrite"], ["--resume"]:
            fails(run("classify", *model, *CLASSES, "-o", out, *more, stdin="two\n"), "another process")
        first.stdin.write(b"three\n")
        first.stdin.close()
        assert first.wait(timeout=30) == 0
    assert [json.loads(line)["id"] for line in out.read_bytes().splitlines()] == [0, 1]


def test_two_processes_with_one_report(model, write, tmp_path):
    report = tmp_path / "report.json"
    how = ["evaluate", *model, *CLASSES, "--label", "label", "--json", str(report)]
    with subprocess.Popen([CAPP, *how], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as first:
        first.stdin.write(b'{"text": "a", "label": "yes"}\n')
        first.stdin.flush()
        while not report.exists():
            time.sleep(0.005)
        time.sleep(0.2)
        fails(run(*how, stdin='{"text": "a", "label": "yes"}\n'), "report.json", "another process")
        first.stdin.close()
        assert first.wait(timeout=30) == 0


@pytest.mark.parametrize("closed", ["2>&-", "1>&- 2>&-", "0<&- 2>&-", "0<&- 1>&- 2>&-", "1>&-"])
def test_no_message_lands_in_the_rows(model, write, tmp_path, closed):
    """Classes given twice are warned of; a closed descriptor's number must not be that of the file of rows."""
    path, out = write("in.txt", "one\ntwo\n"), tmp_path / "out.jsonl"
    shell = f'"$@" {closed}'
    command = ["sh", "-c", shell, "sh", CAPP, "classify", *model, "-c", "yes,no,yes", "-o", out, path]
    assert subprocess.run(command, capture_output=True, timeout=60).returncode == 0
    rows = [json.loads(line) for line in out.read_bytes().splitlines()]
    assert [row["id"] for row in rows] == [0, 1]


def test_a_closed_standard_file_fails_as_one(model, write):
    path = write("in.txt", "one\n")
    command = ["sh", "-c", '"$@" >&-', "sh", CAPP, "classify", *model, *CLASSES, path]
    done = subprocess.run(command, stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 2 and b"stdout: cannot write" in done.stderr
    done = subprocess.run(["sh", "-c", '"$@" <&-', "sh", CAPP, "classify", *model, *CLASSES], capture_output=True)
    assert done.returncode == 2 and b"stdin: cannot read the file" in done.stderr


# ---- Many rows -------------------------------------------------------------------------------------------------------


def resident(pid):
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            return int(re.search(r"VmRSS:\s+(\d+) kB", file.read())[1]) / 1024
    except (OSError, TypeError):
        return 0


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_200_000_rows(model, tmp_path):
    """Memory is flat, the first row is there soon after the model is open, and never are there 5 s without a row on disk."""
    n, path, out = 200_000, tmp_path / "in.csv", tmp_path / "out.csv"
    path.write_text("id,text\n" + "".join(f"r{i},text {i} of many in {i % 977} lines\n" for i in range(n)))
    with subprocess.Popen([CAPP, "classify", *model, *CLASSES, "-q", "-o", out, path]) as process:
        while process.poll() is None and not (tmp_path / "out.csv.run").exists():
            time.sleep(0.01)
        opened = last = time.time()
        size, sizes, longest, first = 0, {}, 0, None
        while process.poll() is None:
            time.sleep(0.05)
            now, grown = time.time(), out.stat().st_size
            if grown > size:
                first = first or now - opened
                longest, last, size = max(longest, now - last), now, grown
                sizes[grown] = resident(process.pid) or sizes.get(size, 0)
        assert process.wait() == 0
    assert first <= 2 and longest <= 5, (first, longest)
    tenth = max(rss for at, rss in sizes.items() if at <= size / 10)
    assert max(sizes.values()) <= tenth + 4, (tenth, max(sizes.values()))
    assert out.read_bytes().count(b"\n") == n + 1
