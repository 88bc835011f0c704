"""Score stores: classify -o run.db, capp export, capp decide."""
import contextlib
import gzip
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import integers
import numpy as np
import pytest
from command import CAPP, CLASSES, fails, good, rows_of, run

SLOWLY = ["--isa", "ref", "--threads", "1"]
EXACT = ["--precision", "f32"]


def table(n):
    return "id,text,n\n" + "".join(f'r{i},"text {i} of ""many"",\nin {i % 7} lines",{i}\n' for i in range(n))


def objects(n):
    """Rows with their own completions, priors, ends of prompts and types of fields."""
    rows = []
    for i in range(n):
        row = {"id": i if i % 2 else f"r{i}", "text": f"text {i} é", "number": 1.50, "none": None, "list": [1, {"a": "b"}]}
        if i % 3 == 1:
            row |= {"completions": ["a b", "c", "d e f"], "prior": [0.5, 0.25, 0.25]}
        if i % 5 == 2:
            row["end_of_prompt"] = ""
        if i % 7 == 3:
            row["normalize"] = i % 2 == 0
        rows.append(json.dumps(row, ensure_ascii=False))
    return "\n".join(rows).replace("1.5,", "1.50,") + "\n"


@pytest.fixture
def source(write):
    return write("in.csv", table(300))


def opened(path):
    return contextlib.closing(sqlite3.connect(path))


def content(path):
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data


def numbers_of(path, query="SELECT count(*) FROM rows"):
    with opened(path) as database:
        return database.execute(query).fetchone()[0]


# ---- Export ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["jsonl", "csv", "tsv", "jsonl.gz"])
def test_export_gives_the_bytes_of_a_run(model, source, tmp_path, ending):
    store, whole, out = tmp_path / "run.db", tmp_path / f"whole.{ending}", tmp_path / f"out.{ending}"
    good(run("classify", *model, *CLASSES, "-o", whole, source))
    good(run("classify", *model, *CLASSES, "-o", store, source))
    good(run("export", store, "-o", out))
    assert content(out) == content(whole)
    assert sorted(path.name for path in tmp_path.glob("run.db*")) == ["run.db"]


@pytest.mark.parametrize("more", [[], ["--keep", "all"], ["--keep", "number,list"], ["--top", "2"], ["--keep", "all", "--rename", "text=said"]])
def test_rows_of_any_kind(model, write, tmp_path, more):
    path, store = write("in.jsonl", objects(40)), tmp_path / "run.db"
    good(run("classify", *model, *CLASSES, "-o", store, path))
    assert good(run("export", store, *more)) == good(run("classify", *model, *CLASSES, *more, path))


@pytest.mark.parametrize("policy", ["skip", "null"])
@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_bad_rows(model, write, tmp_path, policy, ending):
    path = write("in.jsonl", '{"text": "one"}\n{"text": ""}\n{"text": 5\n{"text": "two", "k": 1}\n{"no": 1}\n')
    store, whole, out = tmp_path / "run.db", tmp_path / f"whole.{ending}", tmp_path / f"out.{ending}"
    assert run("classify", *model, *CLASSES, "--on-error", policy, "-o", whole, path).returncode == 3
    assert run("classify", *model, *CLASSES, "--on-error", policy, "-o", store, path).returncode == 3
    assert run("export", store, "-o", out).returncode == 3
    assert out.read_bytes() == whole.read_bytes()
    assert numbers_of(store) == 5 and numbers_of(store, "SELECT count(*) FROM rows WHERE error IS NOT NULL") == 3


def test_no_rows(model, write, tmp_path):
    path, store, whole, out = write("in.csv", "id,text\n"), tmp_path / "run.db", tmp_path / "whole.csv", tmp_path / "out.csv"
    good(run("classify", *model, *CLASSES, "-o", whole, path))
    good(run("classify", *model, *CLASSES, "-o", store, path))
    good(run("export", store, "-o", out))
    assert out.read_bytes() == whole.read_bytes() != b""


def test_a_live_pipe(model, tmp_path):
    store = tmp_path / "run.db"
    with subprocess.Popen([CAPP, "classify", *model, *CLASSES, "-o", store], stdin=subprocess.PIPE) as process:
        process.stdin.write(b"one\ntwo\n")
        process.stdin.flush()
        deadline = time.time() + 30
        while time.time() < deadline:  # others read the store while the run writes to it
            done = run("export", store)
            if done.stdout.count(b"\n") == 2:
                break
            time.sleep(0.05)
        assert done.stdout.count(b"\n") == 2 and b"has not ended" in done.stderr
        for command in [["classify", *model, *CLASSES, "-o", store, "--overwrite"],
                        ["classify", *model, *CLASSES, "-o", store, "--resume"],
                        ["decide", store, "--rescore", *model]]:
            fails(run(*command), "another process")
        process.stdin.close()
        assert process.wait(timeout=30) == 0
    assert good(run("export", store)) == good(run("classify", *model, *CLASSES, stdin="one\ntwo\n"))


# ---- Runs that end early -----------------------------------------------------------------------------------------------


def killed_and_resumed(model, source, whole, tmp_path, kills, seed):
    """Kills runs at random instants until so many were killed before their end, and resumes each. The instants are spread
    over the duration of a whole run, which is measured anew with each run that ends. Returns how many of the kills came
    when some of the rows, not all, were in the store."""
    store, rng, hits, within, took = tmp_path / "run.db", random.Random(seed), 0, 0, None
    command = [CAPP, "classify", *model, *CLASSES, *SLOWLY, "-q", "-o", str(store), str(source)]
    while hits < kills:
        whole_run = not store.exists()
        begun = time.time()
        with subprocess.Popen(command + ([] if whole_run else ["--resume"]), stderr=subprocess.PIPE) as process:
            if took:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=rng.random() * took)
                process.send_signal(signal.SIGKILL)
            said = process.stderr.read()
            killed = process.wait(timeout=60) == -signal.SIGKILL
        assert not said, said
        if store.exists():
            check_store(store)
        hits += killed
        within += killed and 0 < numbers_of_rows(store) < 2000
        if killed:
            continue
        assert process.returncode == 0
        took = time.time() - begun if whole_run else took
        assert good(run("export", store)) == whole
        for path in tmp_path.glob("run.db*"):
            path.unlink()
    good(run(*command[1:], *(["--resume"] if store.exists() else [])))
    check_store(store)
    return within


def numbers_of_rows(store):
    try:
        return numbers_of(store) if store.exists() else 0
    except sqlite3.OperationalError:  # killed before the tables were there
        return 0


def check_store(store):
    with opened(store) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        if database.execute("SELECT count(*) FROM sqlite_master WHERE name = 'rows'").fetchone()[0]:
            n, last = database.execute("SELECT count(*), coalesce(max(row) + 1, 0) FROM rows").fetchone()
            assert n == last  # no row is lost or doubled


def check_killed(model, write, tmp_path, kills, least):
    source = write("long.csv", table(2000))
    whole = good(run("classify", *model, *CLASSES, *SLOWLY, source))
    within = killed_and_resumed(model, source, whole, tmp_path, kills, seed=kills)
    print(f"{kills} runs were killed, {within} of them with some of their rows in the store")
    assert within >= least
    assert good(run("export", tmp_path / "run.db")) == whole


def test_killed_at_random_instants(model, write, tmp_path):
    check_killed(model, write, tmp_path, 6, 1)


@pytest.mark.long
def test_killed_at_200_random_instants(model, write, tmp_path):
    check_killed(model, write, tmp_path, 200, 100)


def test_a_signal_says_how_to_go_on(model, write, tmp_path):
    source, store = write("long.csv", table(4000)), tmp_path / "run.db"
    command = [CAPP, "classify", *model, *CLASSES, *SLOWLY, "-o", str(store), str(source)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        while not store.exists() or not store.stat().st_size:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        said = process.stderr.read().decode()
        assert process.wait(timeout=30) == 128 + signal.SIGINT
    assert "all complete in" in said
    check_store(store)


def test_a_small_disk(model, write, tmp_path, disk):
    """A run fills its disk. The rows that were committed stay, the message counts these, and --resume continues them."""
    folder, resize = disk
    path, whole, store = write("in.csv", table(2000)), tmp_path / "whole.jsonl", folder / "run.db"
    good(run("classify", *model, *CLASSES, "-o", whole, path))
    for kib in 64, 160:
        resize(kib)
        more = ["--resume"] if store.exists() else []
        done = fails(run("classify", *model, *CLASSES, "-q", "-o", store, *more, path), "free some space", "--resume")
        resize(8192)
        check_store(store)
        assert f"the file has {numbers_of_rows(store)} complete rows;" in done.stderr.decode()
    good(run("classify", *model, *CLASSES, "-o", store, "--resume", path))
    check_store(store)
    assert good(run("export", store)) == whole.read_bytes()


@pytest.mark.parametrize("change, part", [(["-c", "yes,no,other"], "--classes"), (["-t", "Say {text}"], "--template"),
                                          (["--prior", "0.3,0.7"], "--prior"), (["--precision", "f32"], "precision")])
def test_another_run_is_told_apart(model, tiny_gpt2, write, tmp_path, change, part):
    path, store = write("in.csv", table(5)), tmp_path / "run.db"
    if part == "precision" and json.loads(good(run("inspect", "--fingerprint", model[1])))["scoring"] == "f32":
        pytest.skip("this machine has no unit for bfloat16: auto is f32")
    good(run("classify", *model, *CLASSES, "-o", store, path))
    rows = good(run("export", store))
    fails(run("classify", *model, *CLASSES, *change, "-o", store, "--resume", path), "run.db", part, "then")
    fails(run("classify", "-m", tiny_gpt2, *CLASSES, "-o", store, "--resume", path), "run.db", "the model", "xxh3",
          f'then "{model[1]}" with', f'now "{tiny_gpt2}" with')
    fails(run("classify", *model, *CLASSES, "-o", store, path), "already holds", "--resume")
    assert good(run("export", store)) == rows
    good(run("classify", *model, *CLASSES, *change, "-o", store, "--overwrite", path))
    if part != "precision":  # f32 may be what auto has chosen
        assert good(run("export", store)) != rows
    good(run("classify", *model, *CLASSES, *change, "-o", store, "--resume", path))
    fails(run("classify", *model, *CLASSES, "-o", store, "--resume", path), "run.db", part, "then")


def test_long_values_are_cut_where_they_differ(model, write, tmp_path):
    path, store, same = write("in.csv", table(3)), tmp_path / "run.db", "é" * 35
    good(run("classify", *model, "-c", f"{same},the second,end", "-o", store, path))
    done = run("classify", *model, "-c", f"{same},the third,end", "-o", store, "--resume", path)
    fails(done, "--classes (then ...", 'the second,end", now ...', 'the third,end")')
    done.stderr.decode()  # no character is cut


def test_what_cannot_be_a_store(model, source, tmp_path):
    store = tmp_path / "run.db"
    fails(run("classify", *model, *CLASSES, "--only-prediction", "-o", store, source), "--only-prediction")
    fails(run("classify", *model, *CLASSES, "--top", "1", "-o", store, source), "capp export")
    fails(run("evaluate", *model, *CLASSES, "--label", "text", "-o", store, source), "only classify")
    fails(run("export", store), "no such file")
    fails(run("classify", *model, *CLASSES, "-o", tmp_path / "run.parquet", source), "Python writes Parquet", "to_parquet", "pyarrow")
    os.mkfifo(tmp_path / "pipe.db")
    fails(run("export", tmp_path / "pipe.db"), "not a regular file")
    store.write_bytes(b"some other file" * 50)
    fails(run("export", store), "run.db", "not a database", "capp classify -o NAME.db")
    fails(run("export", source / "run.db"), "in.csv/run.db: cannot open", "Not a directory")
    with opened(tmp_path / "other.db") as database:
        database.execute("CREATE TABLE t(a)")
    fails(run("export", tmp_path / "other.db"), "not a store")
    fails(run("classify", *model, *CLASSES, "-o", tmp_path / "other.db", "--resume", source), "not a store")


def test_cures_exist(model, source, write, tmp_path):
    """A message names --resume only where the command has it and it would work."""
    store, other, kept = tmp_path / "run.db", tmp_path / "other.db", tmp_path / "kept.csv"
    good(run("classify", *model, *CLASSES, "-o", store, source))
    kept.write_text("id\n")
    with opened(other) as database:
        database.execute("CREATE TABLE t(a)")
    sweep = ["sweep", *model, *CLASSES, "-t", "{text}", "-t", "Say {text}", "--label", "n", "-o", tmp_path / "sweep",
             write("labeled.csv", "text,n\na,yes\nb,no\n")]
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "1.db").write_bytes(store.read_bytes())
    for done in (run("export", store, "-o", kept), run("decide", store, "-o", kept), run(*sweep),
                 run("classify", *model, *CLASSES, "-o", other, source)):
        fails(done, "already holds", "use --overwrite to replace it, or another name")
        assert b"--resume" not in done.stderr
    fails(run("classify", *model, *CLASSES, "-o", store, source), "--resume to continue")
    with opened(store) as database, database:
        database.execute("UPDATE settings SET value = '0' WHERE name = 'ended'")
    assert b"has not ended; these are the first 300 rows; for all rows, run its command again" in run("export", store).stderr


def test_a_name_like_a_uri(model, source, tmp_path):
    name = "file:run.db"
    good(run("classify", *model, *CLASSES, "-o", name, source, cwd=tmp_path))
    assert [path.name for path in tmp_path.glob("*run.db*")] == [name]
    assert good(run("export", name, cwd=tmp_path)) == good(run("classify", *model, *CLASSES, source))


def test_a_damaged_store(model, source, tmp_path):
    store, copy = tmp_path / "run.db", tmp_path / "copy.db"
    good(run("classify", *model, *CLASSES, "-o", store, source))
    for change in ("UPDATE settings SET value = 'nan' WHERE name = 'margin'", "UPDATE settings SET value = '-1' WHERE name = 'margin'",
                   "UPDATE completions SET ids = '[1e300]'", "UPDATE completions SET ids = '[-1]'", "UPDATE completions SET ids = '[1.5]'"):
        copy.write_bytes(store.read_bytes())
        with opened(copy) as database, database:
            database.execute(change)
        fails(run("decide", copy), "damaged")
    copy.write_bytes(store.read_bytes())
    with opened(copy) as database, database:
        database.execute("PRAGMA user_version = 1")  # its margin was for means of any number of tokens
    before = copy.read_bytes()
    fails(run("decide", copy), "a store of format 1", "reads format 2", "use the version that made it")
    assert copy.read_bytes() == before
    whole = store.read_bytes()
    copy.write_bytes(whole[:4096] + bytes(reversed(whole[4096:])))
    fails(run("export", copy), "copy.db", "malformed", "restore a copy")


# ---- Decisions ---------------------------------------------------------------------------------------------------------

CHOICES = [["--aggregate", "sum"], ["--aggregate", "bytes"], ["--prior", "0.2,0.5,0.3"], ["--multi-label"],
           ["--aggregate", "sum", "--prior", "0.1,0.1,0.8"], ["-c", "perhaps not,yes"], ["-c", "no,yes", "--prior", "0.9,0.1"],
           ["--top", "2"]]
THREE = ["-c", "yes,no,perhaps not"]


def equal_decisions(model, source, store):
    """Every choice, by decide and by classify afresh: the same bytes, under auto after --rescore. Returns how many rows
    were undecided before."""
    good(run("classify", *model, *THREE, "-o", store, source))
    assert good(run("decide", store)) == good(run("export", store))
    undecided = 0
    for choice in CHOICES:
        whole = good(run("classify", *model, *THREE, *choice, source))
        found = run("decide", store, *choice)
        marked = found.stdout.count(b'"undecided": true')
        assert (f"{marked} of 300 rows are undecided" in found.stderr.decode()) == (marked > 0)
        if marked:
            undecided += marked
            assert found.stdout != whole
            found = run("decide", store, *choice, "--rescore", *model)
        assert good(found) == whole
        assert good(run("decide", store, *choice)) == whole  # the store has the scores now
    return undecided


def test_decide_equals_classify(model, source, tmp_path):
    assert not equal_decisions([*model, *EXACT], source, tmp_path / "run.db")


@pytest.mark.parametrize("isa", ["ref", "avx2"])
def test_decide_equals_classify_in_lanes(source, tmp_path, isa):
    """Plain C: float32, and i16 for close rows. AVX2 computes a small model in i16 alone, so no row is undecided."""
    model = ["-m", str(integers.make(tmp_path, "Q4_0")), "--isa", isa, "--precision", "auto"]
    if b"lacks" in run("classify", *model, *CLASSES, stdin="one\n").stderr:
        pytest.skip(f"this machine lacks {isa}")
    assert (equal_decisions(model, source, tmp_path / "run.db") > 0) == (isa == "ref")


def test_own_completions_under_other_options(model, write, tmp_path):
    path, store = write("in.jsonl", objects(40)), tmp_path / "run.db"
    good(run("classify", *model, *CLASSES, *EXACT, "-o", store, path))
    for choice in ["--aggregate", "sum"], ["--multi-label"]:
        assert good(run("decide", store, *choice)) == good(run("classify", *model, *CLASSES, *EXACT, *choice, path))
    fails(run("decide", store, "-c", "no,yes"), "own completions")


@pytest.mark.parametrize("precision", ["f32", "auto"])
@pytest.mark.parametrize("discount", [["--discount", "-1", "--domain", "Topic:"], ["--discount", "-0.5", "--aggregate", "sum"]])
def test_discounts(model, source, tmp_path, precision, discount):
    store, late = tmp_path / "run.db", tmp_path / "late.db"
    model = [*model, "--precision", precision]
    whole = good(run("classify", *model, *THREE, *discount, source))
    good(run("classify", *model, *THREE, *discount, "-o", store, source))
    assert good(run("export", store)) == good(run("decide", store)) == whole
    good(run("classify", *model, *THREE, "-o", late, source))
    fails(run("decide", late, *discount), "--rescore -m MODEL")
    assert good(run("decide", late, *discount, "--rescore", *model[:2])) == whole
    assert good(run("decide", late, *discount)) == whole
    part = [*discount, "-c", "no,yes"]
    assert good(run("decide", late, *part, "--rescore", *model[:2])) == good(run("classify", *model, *part, source))


def test_rescore_wants_the_model_of_the_store(model, tiny_gpt2, source, tmp_path):
    store = tmp_path / "run.db"
    good(run("classify", *model, *THREE, "-o", store, source))
    fails(run("decide", store, "--discount", "-1", "--rescore", "-m", tiny_gpt2), "another model", "xxh3")
    fails(run("decide", store, "--rescore"), "add -m")
    fails(run("decide", store, *model), "--rescore")
    fails(run("decide", store, "-c", "yes,never"), "'never'", "not in the store")
    fails(run("decide", store, "--prior", "0.5,0.5"), "3 classes")
    fails(run("decide", store, "--prior", "0.5,1.5,-1"), "the prior of class 2 is 1.5")


def test_rescore_wants_the_precision_that_decided_then(model, source, tmp_path):
    """Another version of capp may decide in another precision, as it does with adapters on models of integers."""
    store = tmp_path / "run.db"
    good(run("classify", *model, *THREE, "-o", store, source))
    with opened(store) as database:
        [(manifest,)] = database.execute("SELECT value FROM settings WHERE name = 'manifest'")
        then = manifest.replace('"deciding": "f32"', '"deciding": "i16"')
        assert then != manifest
        database.execute("UPDATE settings SET value = ? WHERE name = 'manifest'", (then,))
        database.commit()
    differs = 'the precision that decides (then "i16", now "f32")'
    fails(run("decide", store, "--discount", "-1", "--rescore", *model), differs, "run capp classify again")
    fails(run("classify", *model, *THREE, "--resume", "-o", store, source), differs, "--overwrite")


def test_chosen_classes_keep_the_prior_of_the_run(model, source, tmp_path):
    store = tmp_path / "run.db"
    good(run("classify", *model, *THREE, *EXACT, "--prior", "0.25,0.25,0.5", "-o", store, source))
    for classes, prior in ("no,yes", "0.5,0.5"), ("perhaps not,no", "0.6666666666666666,0.3333333333333333"):
        expected = good(run("classify", *model, *EXACT, "-c", classes, "--prior", prior, source))
        assert good(run("decide", store, "-c", classes)) == expected


def test_rows_that_the_options_do_not_fit(model, write, tmp_path):
    """They are bad rows, as in a run."""
    path = write("in.jsonl", '{"text": "one", "k": "no"}\n{"text": "two", "completions": ["a", "b", "c"], "k": "a"}\n')
    store, prior = tmp_path / "run.db", ["--prior", "0.3,0.7"]
    good(run("classify", *model, *CLASSES, *EXACT, "--on-error", "null", "-o", store, path))
    whole = run("classify", *model, *CLASSES, *EXACT, "--on-error", "null", *prior, path)
    found = run("decide", store, *prior)
    assert found.returncode == whole.returncode == 3 and found.stdout == whole.stdout
    assert "1 row has no label of a class, or no score" in good(run("evaluate", store, *prior, "--label", "k")).decode()
    good(run("classify", *model, *CLASSES, *EXACT, "-o", store, "--overwrite", path))
    fails(run("decide", store, *prior), "row 1: --prior has 2 numbers, but the row has 3 completions")


# ---- Queries -----------------------------------------------------------------------------------------------------------


def test_what_others_read(model, source, tmp_path):
    """The tables are those of docs/store.md: token log-probabilities are float32, fields are JSON."""
    store = tmp_path / "run.db"
    good(run("classify", *model, *THREE, *EXACT, "-o", store, source))
    rows = rows_of(run("export", store))
    with opened(store) as database:
        found = database.execute("SELECT id, prediction, probability, margin, fields->>'text' FROM decisions ORDER BY row").fetchall()
        ids = [json.loads(ids) for (ids,) in database.execute("SELECT ids FROM completions WHERE list = 0 ORDER BY place")]
        tokens = [json.loads(t) for (t,) in database.execute("SELECT tokens FROM completions WHERE list = 0 ORDER BY place")]
        (blob,) = database.execute("SELECT logprobs FROM rows WHERE row = 7").fetchone()
    assert [(r["id"], r["prediction"], r["probability"], r["margin"]) for r in rows] == [f[:4] for f in found]
    assert found[3][4] == 'text 3 of "many",\nin 3 lines'
    assert ["".join(t) for t in tokens] == [" yes", " no", " perhaps not"] and list(map(len, ids)) == list(map(len, tokens))
    logprobs = np.frombuffer(blob, "<f4")
    means = [part.astype(float).mean() for part in np.split(logprobs, np.cumsum([*map(len, ids)])[:-1])]
    posterior = np.exp(means) / np.exp(means).sum()
    assert np.allclose(posterior, list(rows[7]["probabilities"].values()), rtol=1e-12)


# ---- Costs -------------------------------------------------------------------------------------------------------------


def peak_of(command):
    """Peak memory of a command in KiB; its parent's does not count."""
    peak = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            with contextlib.suppress(OSError):
                found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())
                peak = int(found[1]) if found else peak
            time.sleep(0.01)
    assert process.returncode == 0
    return peak


@pytest.mark.long
def test_200_000_rows(model, tmp_path):
    """Memory does not grow with the rows, of the run and of the commands that read the store."""
    source, store = tmp_path / "in.csv", tmp_path / "run.db"
    peaks = []
    for n in 20_000, 200_000:
        source.write_text("id,text\n" + "".join(f"{i},text number {i}\n" for i in range(n)))
        for command in [["classify", *model, *CLASSES, "--memory", "64M", "-q", "--overwrite", "-o", store, source], ["export", store],
                        ["decide", store, "--aggregate", "sum"]]:
            peaks.append(peak_of([CAPP, *map(str, command)]))
    assert all(large < 1.1 * small + 4096 for small, large in zip(peaks[:3], peaks[3:])), peaks
    assert numbers_of(store) == 200_000
