"""Runs that end early leave whole rows; --resume then ends with the bytes of an unbroken run."""
import gzip
import json
import os
import random
import re
import resource
import signal
import subprocess
import time
from pathlib import Path

import integers
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
    """Work for some seconds, so that a signal arrives during it."""
    return write("long.csv", table(4000))


def command_of(model, source, out, *more):
    return [CAPP, "classify", *model, *CLASSES, *SLOWLY, *map(str, more), "-o", str(out), str(source)]


def kill_once(command, out, seconds, number=signal.SIGKILL):
    """Starts the command and sends a signal some time after the output file exists. Returns whether the signal came in
    time."""
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
    """Killed with SIGKILL again and again: the rows at the end are those of an undisturbed run."""
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
    """Wherever the file ends, and whatever incomplete row or member is at its end."""
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
        (["--precision", "bf16"], "precision"),
        (["--top", "1"], "--top"),
        (["--keep", "none"], "--keep"),
        (["--on-error", "null"], "--on-error"),
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
    """Refused: other rows, another model, classes from a changed file. Accepted: the same file under another name."""
    path, out, classes = write("in.txt", "one\ntwo\n"), tmp_path / "out.jsonl", write("classes.json", '["yes", "no"]')
    how = ["classify", "-c", f"@{classes}", "-o", out]
    assert run(*how, *model, path).returncode == 0
    facts = json.loads((tmp_path / "out.jsonl.run").read_text())
    assert facts["input"]["bytes"] == 8 and facts["model"]["bytes"] == os.path.getsize(model[1])
    assert facts["arithmetic"] >= 1 and facts["precision"] and facts["isa"] and facts["command"] == "classify"
    printed = json.loads(run("inspect", "--fingerprint", model[1]).stdout)
    assert printed["model"] == facts["model"] and printed["adapters"] == facts["adapters"] == []
    assert printed["arithmetic"] == facts["arithmetic"] and printed["precision"] == facts["precision"]
    assert printed["isa"] == (None if printed["precision"] == "f32" else facts["isa"])
    exact = ["inspect", "--fingerprint", "--precision", "f32", model[1]]
    assert json.loads(run(*exact).stdout) == {**printed, "precision": "f32", "scoring": "f32", "deciding": "f32", "isa": None, "margin": None}
    assert run(*exact, "--isa", "ref").stdout == run(*exact).stdout
    (tmp_path / "damaged.gguf").write_bytes(b"GGUF")
    damaged = json.loads(run("inspect", "--fingerprint", tmp_path / "damaged.gguf").stdout)
    assert damaged["model"]["bytes"] == 4 and {damaged[name] for name in ("precision", "scoring", "deciding", "isa", "margin")} == {None}
    fails(run("inspect", "--fingerprint", "--isa", "avx1024", model[1]), "avx1024")
    fails(run("inspect", "--fingerprint", "--isa", "ref", "--precision", "bf16", model[1]), "precision bf16 needs")
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


def test_lanes_of_auto_tell_runs_apart(write, tmp_path):
    """Under auto the precisions that score and decide count, not the instruction set, which changes no bit of these."""
    model = ["-m", str(integers.make(tmp_path, "Q4_0"))]
    path, out = write("in.txt", "one\ntwo\n"), tmp_path / "out.jsonl"
    if classify([*model, "--isa", "avxvnni"], path, "-o", out).returncode == 2:
        pytest.skip("this machine lacks AVX-VNNI")

    def printed(isa):
        facts = json.loads(run("inspect", "--fingerprint", "--isa", isa, model[1]).stdout)
        return [facts[name] for name in ("precision", "scoring", "deciding", "isa")]

    assert printed("avx2") == printed("avxvnni") == ["i16", "i16", "i16", None]
    assert printed("ref") == ["auto", "f32", "i16", None]
    assert classify([*model, "--isa", "avx2"], path, "-o", out, "--resume").returncode == 0
    fails(classify([*model, "--isa", "ref"], path, "-o", out, "--resume"), "the precision that scores all rows (then", "i16", "f32")


def test_a_run_with_another_margin(write, tmp_path):
    """A version of capp that scores fewer or more rows again. Older ones have no margin among the facts of a run."""
    model = ["-m", str(integers.make(tmp_path, "Q4_0")), "--isa", "ref"]  # float32, and close rows in i16
    path, out, facts = write("in.txt", "one\ntwo\n"), tmp_path / "out.jsonl", tmp_path / "out.jsonl.run"
    assert classify(model, path, "-o", out).returncode == 0
    text = facts.read_text()
    margin = json.loads(text)["margin"]
    assert margin > 0 and json.loads(run("inspect", "--fingerprint", "--isa", "ref", model[1]).stdout)["margin"] == margin
    facts.write_text(text.replace(f'"margin": {margin}', '"margin": 0.02'))
    fails(classify(model, path, "-o", out, "--resume"), f"the margin of close rows (then 0.02, now {margin})", "--overwrite")
    line = f' "margin": {margin},\n'
    assert line in text
    facts.write_text(text.replace(line, ""))
    fails(classify(model, path, "-o", out, "--resume"), f"the margin of close rows (then none, now {margin})")
    facts.write_text(text)
    assert classify(model, path, "-o", out, "--resume").returncode == 0
    exact = [*model, "--precision", "f32"]
    assert classify(exact, path, "-o", out, "--overwrite").returncode == 0
    facts.write_text(facts.read_text().replace(' "margin": null,\n', ""))  # no margin, so nothing differs
    assert '"margin"' not in facts.read_text() and classify(exact, path, "-o", out, "--resume").returncode == 0


@pytest.mark.parametrize("name", ["own.csv", "own.jsonl", "own.csv.gz"])
@pytest.mark.parametrize("data", [b"notes without a line end", b"\x1f\x8b\x08notes", b"notes\n"])
def test_what_no_run_has_written_is_kept(model, source, tmp_path, name, data):
    out = tmp_path / name
    out.write_bytes(data)
    fails(run("classify", *model, *CLASSES, "-o", out, "--resume", source), f"{name}.run", "--overwrite")
    assert out.read_bytes() == data


def test_a_run_that_stopped_at_a_bad_row_goes_on_without_it(model, write, tmp_path):
    """And again: from then on the run leaves bad rows out."""
    rows = ['{"text": "row %d"}' % i for i in range(30)]
    own = '{"text": "own", "completions": ["a", "b"]}'  # bad only in a table: no pass over the file finds it
    path, out = write("in.jsonl", "\n".join([*rows[:20], own, *rows[20:]]) + "\n"), tmp_path / "out.csv"
    how = ["classify", *model, *CLASSES, "--window", "4", "-o", out, path]
    done = run(*how)
    assert done.returncode == 2 and b"20 rows before it are written" in done.stderr and b"--on-error" in done.stderr
    assert run(*how, "--resume", "--on-error", "skip").returncode == 3
    whole = out.read_bytes()
    assert whole.count(b"\n") == 31 and (tmp_path / "out.csv.errors.jsonl").read_bytes().count(b"\n") == 1
    out.write_bytes(whole[:-40])
    assert run(*how, "--resume", "--on-error", "skip").returncode == 3 and out.read_bytes() == whole
    fails(run(*how, "--resume"), "other settings", "--on-error")


def test_bad_rows_of_an_earlier_run_are_forgotten(model, write, tmp_path):
    out, told = tmp_path / "out.jsonl", tmp_path / "out.jsonl.errors.jsonl"
    how = ["classify", *model, *CLASSES, "-o", out, "--on-error", "skip"]
    assert run(*how, write("bad.jsonl", '{"text": "a"}\n{"text": ""}\n')).returncode == 3
    assert told.read_bytes()
    assert run(*how, "--overwrite", write("good.jsonl", '{"text": "a"}\n')).returncode == 0
    assert told.read_bytes() == b""


@pytest.mark.parametrize("ending", [".run", ".errors.jsonl"])
def test_files_beside_the_output_are_not_written_over_inputs(model, write, tmp_path, ending):
    rows = '{"text": "a"}\n'
    path = write(f"out.jsonl{ending}", rows)
    fails(run("classify", *model, *CLASSES, "--on-error", "skip", "-o", tmp_path / "out.jsonl", path), "also the input")
    assert path.read_text() == rows and not (tmp_path / "out.jsonl").exists()


def test_a_run_that_fails_at_once_leaves_no_file(model, write, tmp_path):
    path, out = write("in.csv", "text\n\na\n"), tmp_path / "out.csv"
    fails(run("classify", *model, *CLASSES, "-t", "{other}", "-o", out, path), "other", status=2)
    assert list(tmp_path.glob("out.csv*")) == []


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
        assert b"17 rows of the earlier run" in done.stdout and b"of 40)" in done.stdout


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
    """Limits the size of files: this simulates a full disk for a test that has no disk of its own."""
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


@pytest.mark.parametrize("ending", ["jsonl", "csv", "csv.gz", "csv.zst"])
def test_a_small_disk(model, write, tmp_path, disk, ending):
    """The disk is full at the manifest, the bad rows or the rows: what was written is whole, and with more room the run
    completes."""
    path = write("in.csv", table(300) + "".join(f'b{i},""\n' for i in range(40)) + table(100)[8:])
    folder, resize = disk
    how = ["classify", *model, *CLASSES, "--on-error", "skip"]
    whole, out = tmp_path / f"whole.{ending}", folder / f"out.{ending}"
    assert run(*how, "-o", whole, path).returncode == 3
    for kib in 4, 8, 12, 16, 28, 60:
        resize(kib)
        done = run(*how, "-o", out, *(["--resume"] if out.exists() else []), path)
        assert done.returncode in (2, 3), done.stderr
        assert done.returncode == 3 or b"No space left" in done.stderr and b"--resume" in done.stderr, done.stderr
        assert content(whole).startswith(content(out) if out.stat().st_size else b"")
    resize(4096)
    assert run(*how, "-o", out, "--resume", path).returncode == 3
    assert content(out) == content(whole)
    beside = [tmp_path / f"whole.{ending}.errors.jsonl", folder / f"out.{ending}.errors.jsonl"]
    assert beside[0].read_bytes() == beside[1].read_bytes() and beside[0].read_bytes().count(b"\n") == 40


def test_one_row_is_told_as_one(model, write, tmp_path):
    """Only the first row, with a long id, has room."""
    path, whole, out = write("in.csv", f"id,text\n{'x' * 9000},a\ny,b\n"), tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    assert classify(model, path, "-o", whole).returncode == 0
    room = whole.read_bytes().index(b"\n") + 1
    fails(run("classify", *model, *CLASSES, "-o", out, path, preexec_fn=limited(room)), "the file has 1 complete row; ")
    done = classify(model, path, "-o", out, "--resume")
    assert b"keeping 1 complete row and continuing after it\n" in done.stderr and content(out) == content(whole)


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
        end = time.monotonic() + 30
        while not (report.exists() and f":{report.stat().st_ino} " in Path("/proc/locks").read_text()):  # a moment after it exists
            assert time.monotonic() < end
            time.sleep(0.005)
        fails(run(*how, stdin='{"text": "a", "label": "yes"}\n'), "report.json", "another process")
        first.stdin.close()
        assert first.wait(timeout=30) == 0


@pytest.mark.parametrize("closed", ["2>&-", "1>&- 2>&-", "0<&- 2>&-", "0<&- 1>&- 2>&-", "1>&-"])
def test_no_message_lands_in_the_rows(model, write, tmp_path, closed):
    """The command warns of duplicate classes; a closed descriptor's number must not become that of the file of rows."""
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
    """Memory is constant, the first row is there soon after the model is open, and rows reach the disk at least every 5
    s."""
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
