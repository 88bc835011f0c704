"""capp label: which rows it shows, keys, undo, labels in the store, a terminal."""
import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess

import numpy as np
import pytest
from command import CAPP, fails, good_text as good, rows_of, run
from test_cli_terminal import Terminal

NAMES = ["yes", "no", "perhaps not"]
THREE = ["-c", ",".join(NAMES), "--precision", "f32"]
WORDS = "card money bank loan train plane bus ticket apple bread milk egg".split()


@pytest.fixture
def store(model, write, tmp_path):
    path = tmp_path / "run.db"
    rows = "".join(f"r{i},{WORDS[i % 12]} {WORDS[i * 5 % 12]} {i}\n" for i in range(80))
    good(run("classify", *model, *THREE, "-o", path, write("in.csv", "id,text\n" + rows)))
    return path


def labels_of(store):
    with contextlib.closing(sqlite3.connect(store)) as database:
        return dict(database.execute("SELECT row, label FROM labels"))


def shown(text):
    return [int(number) for number in re.findall(r"^--- row r?(\d+):", text, re.M)]


def test_keys_label_rows(store):
    said = good(run("label", store, "--keys", "12s3q"))
    rows = shown(said)
    assert len(set(rows)) == len(rows) == 5
    assert labels_of(store) == {rows[0]: "yes", rows[1]: "no", rows[3]: "perhaps not"}
    assert "3 rows labeled; 3 of 80 rows" in said and "card" in said
    # The next session goes on with other rows; all sessions together label all rows.
    more = shown(good(run("label", store, "--keys", "1" * 100)))
    assert len(labels_of(store)) == 80 and not {rows[0], rows[1], rows[3]} & set(more)
    assert shown(good(run("label", store, "--keys", "1"))) == []


def test_overwrite_spares_labels(model, store, tmp_path):
    command = ["classify", *model, *THREE, "-o", store, "--overwrite", tmp_path / "in.csv"]
    good(run("label", store, "--keys", "12q"))
    before = labels_of(store)
    fails(run(*command), "run.db has 2 labels", "another name", "delete the file")
    assert labels_of(store) == before and len(before) == 2
    with contextlib.closing(sqlite3.connect(store)) as database, database:
        database.execute("DELETE FROM labels")
    good(run(*command))


def test_only_the_part_of_the_row_is_shown(model, write, tmp_path):
    """Not the instruction, the list of classes and the examples, which all rows share."""
    path, rows = tmp_path / "run.db", write("in.jsonl", '{"text": "bread"}\n{"text": "milk and\\nan egg"}\n')
    for more, parts in [([], ["\n...Text: bread\nIs it?\n\n", "\n...Text: milk and\nan egg"]),
                        (["-t", "Text: {text}\n" + "z" * 81], ["\nText: bread...\n\n"])]:
        how = ["-t", "Rules\n- one: say\nText: {text}\nIs it?", *more][-2:]
        good(run("classify", *model, *THREE, *how, "-o", path, "--overwrite", rows))
        said = good(run("label", path, "--keys", "sss"))
        assert not [part for part in parts if part not in said], said
        assert "Rules" not in said and "one: say" not in said and "zz" not in said


def test_undo(store):
    said = good(run("label", store, "--keys", "12uuu3q"))
    a, b, c, b2, a2, a3, *_ = shown(said)
    assert (a2, a3, b2) == (a, a, b) and labels_of(store) == {a: "perhaps not"}
    assert "1 rows labeled; 1 of 80" in said
    skipped = shown(good(run("label", store, "--keys", "su1q")))
    assert skipped[0] == skipped[2] and labels_of(store)[skipped[0]] == "yes"


def test_the_least_certain_rows_come_first(store):
    margins = np.array([row["margin"] for row in rows_of(run("decide", store))])
    rows = shown(good(run("label", store, "--keys", "s" * 80)))
    rank = np.argsort(np.argsort(margins))[rows]
    assert sorted(rows) == list(range(80))
    assert all(rank[i] < i + 20 for i in range(80))  # one of the 20 least certain that are left
    assert rank[0] == 0 and list(rank) != sorted(rank)  # then the most different one
    other = shown(good(run("label", store, "--order", "random", "--keys", "s" * 80)))
    assert sorted(other) == list(range(80)) and other != rows
    assert abs(np.corrcoef(np.argsort(np.argsort(margins))[other], np.arange(80))[0, 1]) < 0.3


def test_rows_unlike_those_shown(model, write, tmp_path):
    """Twenty rows about one thing and one about another: the other one is shown second."""
    path = tmp_path / "run.db"
    rows = [{"text": "the same words again and again"} for _ in range(15)] + [{"text": "entirely unlike"}]
    good(run("classify", *model, *THREE, "-o", path, write("in.jsonl", "".join(json.dumps(row) + "\n" for row in rows))))
    assert 15 in shown(good(run("label", path, "--keys", "ssq")))[:2]


def test_many_classes_and_typed_names(model, write, tmp_path):
    path, names = tmp_path / "run.db", [f"class {i:02}" for i in range(40)]
    good(run("classify", *model, "-c", ",".join(names), "--precision", "f32", "-o", path, write("in.txt", "one\ntwo\nthree\n")))
    order = rows_of(run("decide", path))
    said = good(run("label", path, "--keys", "1/class 3\n/class 31\n/class 07\n"))
    labels = labels_of(path)
    assert "more than one, begins so" in said and "of 8 more" in said and set(labels.values()) >= {"class 31", "class 07"}
    (first,) = [row for row, label in labels.items() if label not in ("class 31", "class 07")]
    assert labels[first] == order[first]["prediction"]  # with many classes, key 1 is the most probable one


def test_a_wrong_key_is_told(store):
    said = good(run("label", store, "--keys", "9q"))
    assert "no class has this key" in said and not labels_of(store)


def rows_right(rows, known):
    return sum(rows[row]["prediction"] == label for row, label in known.items())


def test_labels_are_used(store, model):
    good(run("label", store, "--order", "random", "--keys", "123" * 10 + "q"))
    known = labels_of(store)
    assert len(known) == 30
    report, rows = json.loads(good(run("evaluate", store, "--json", "-"))), rows_of(run("decide", store))
    assert report["n"] == 30 and report["correct"] == rows_right(rows, known)
    assert "30 with a label" in good(run("compare", store, store))
    other = store.with_name("other.db")  # has no labels: those of the first count for both
    other.write_bytes(store.read_bytes())
    with contextlib.closing(sqlite3.connect(other)) as database, database:
        database.execute("DELETE FROM labels")
    for pair in (store, other), (other, store):
        report = json.loads(good(run("compare", *pair, "--json", "-")))
        assert report["n"] == 30 and report["accuracy"] == [rows_right(rows, known) / 30] * 2
    assert not labels_of(other)
    assert good(run("decide", store, "--sets", "0.5")).count('"set": [') == 80
    fails(run("evaluate", store, "--label", "text"), "row 0")


def test_what_label_cannot_do(store, model, write):
    fails(run("label", store), "terminal", "--keys")
    fails(run("label", store.with_name("none.db")), "no such file")
    fails(run("label", store, "--order", "best", "--keys", "q"), "'best'", "uncertain or random")
    fails(run("label"), "no store")
    assert "1 of 80" in good(run("label", store, "-n", "1", "--keys", "1111"))
    assert b"--keys" in run("help", "label").stdout


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_output_is_told_once(store):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([CAPP, "label", store, "--keys", "sq"], stdout=full, stderr=subprocess.PIPE)
    fails(done, "No space left")


def test_text_cannot_move_the_cursor(model, write, tmp_path):
    path = tmp_path / "run.db"
    good(run("classify", *model, *THREE, "-o", path, write("in.jsonl", '{"text": "a\\u001b[2Jb\\u009b3Jc\\u0007"}\n')))
    said = run("label", path, "--keys", "1").stdout
    assert b"\x1b" not in said and b"\xc2\x9b" not in said and b"\x07" not in said and b"a [2Jb 3Jc" in said


# ---- A terminal ------------------------------------------------------------------------------------------------------


def test_a_terminal(store, monkeypatch):
    import termios

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal = Terminal()
    plain = termios.tcgetattr(terminal.theirs)
    terminal.start(CAPP, "label", store)
    terminal.wait_for(r"0 of 80 rows[\s\S]*q quit: ")
    assert "\x1b[1m" in terminal.told
    for n, key in enumerate([b"1", b"2", b"3"], 1):
        terminal.press(key)
        terminal.wait_for(rf"{n} of 80 rows[\s\S]*q quit: ")
        assert len(labels_of(store)) == n  # each label is in the store at once
    terminal.press(b"u")
    terminal.wait_for(r"2 of 80 rows[\s\S]*2 of 80 rows[\s\S]*q quit: ")
    assert len(labels_of(store)) == 2
    terminal.press(b"/")
    terminal.wait_for("class: ")
    terminal.press(b"perh\r")
    terminal.wait_for("3 of 80 rows[\\s\\S]*3 of 80 rows[\\s\\S]*q quit: ")
    terminal.press(b"q")
    assert terminal.end() == 0 and sorted(labels_of(store).values()) == ["no", "perhaps not", "yes"]
    assert termios.tcgetattr(terminal.theirs) == plain  # as it was
    monkeypatch.setenv("NO_COLOR", "1")
    terminal.start(CAPP, "label", store)
    terminal.wait_for("q quit: ")
    assert "\x1b" not in terminal.told
    os.kill(terminal.process.pid, signal.SIGINT)
    assert terminal.end() == 128 + signal.SIGINT and len(labels_of(store)) == 3
    assert termios.tcgetattr(terminal.theirs) == plain


def test_two_writers(store):
    terminal = Terminal()
    terminal.start(CAPP, "label", store)
    terminal.wait_for("q quit: ")
    fails(run("label", store, "--keys", "1"), "another process")
    terminal.press(b"q")
    assert terminal.end() == 0
