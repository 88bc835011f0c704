"""The command never guesses silently. It reports what it takes the input for, how it reads labels, and what is unusual
in rows. It finds errors before it scores the first row."""
import contextlib
import fcntl
import gzip
import json
import os
import re
import resource
import select
import signal
import sqlite3
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from command import CAPP, CLASSES, classify, fails, rows_of, run, told


def reading(done):
    """The line that says how the command reads the input."""
    lines = [line for line in done.stderr.decode().splitlines() if line.startswith("capp: reading ")]
    assert len(lines) == 1, done.stderr.decode()
    return lines[0].removeprefix("capp: reading ")


# ---- What the input is ----------------------------------------------------------------------------------------------

TABLES = [
    ("id,text\na,x\n", "CSV: separator ',', columns id, text"),
    ("id\ttext\na\tx\n", "TSV: separator tab, columns id, text"),
    ("id;text\na;x\n", "CSV: separator ';', columns id, text"),
    ("id|text\na|x\n", "CSV: separator '|', columns id, text"),
    ('"id","text"\n"a","x"\n', "CSV: separator ',', columns id, text"),
    ("\n\nid,text\na,x\n", "CSV: separator ',', columns id, text"),
    ("\ufeffid,text\r\na,x\r\n", "CSV: separator ',', columns id, text"),
    ('[{"id": "a", "text": "x"}]', "JSON: fields id, text"),
    (' \n[\n {"id": "a",\n "text": "x"}\n]\n', "JSON: fields id, text"),
    ('{\n"id": "a",\n"text": "x"\n}\n', "JSON: fields id, text"),
    ('  {"id": "a", "text": "x"}\n', "JSON lines: fields id, text"),
    ('\n\n{"id": "a", "text": "x"}\n', "JSON lines: fields id, text"),
]


@pytest.mark.parametrize("content, words", TABLES)
@pytest.mark.parametrize("name", ["rows", "rows.csv", "rows.jsonl", "rows.txt", None])
def test_the_first_bytes_tell_the_format(model, write, content, words, name):
    path = [write(name, content)] if name else []
    done = run("logprobs", *model, *CLASSES, *path, stdin="" if name else content)
    if name == "rows.jsonl" and words.startswith("JSON: fields") and "{\n" in content:
        name = None  # one object over several lines: the content contradicts the name
    assert f" as {words}" in reading(done)
    assert [(row["id"], row["prompt"]) for row in rows_of(done)] == [("a", "x")]


@pytest.mark.parametrize("content", ["Hello, world\nbye\n", "one\ntwo\n", "[INST] a\nb\n", "a; b\nc\n", '"Hi", he said\nb\n', "x|\n"])
def test_plain_text_stays_plain_text(model, write, content):
    for done in run("logprobs", *model, *CLASSES, stdin=content), run("logprobs", *model, *CLASSES, write("rows", content)):
        assert reading(done).endswith("as plain text, one text per line")
        assert [row["prompt"] for row in rows_of(done)] == content.splitlines()


@pytest.mark.parametrize(
    "content", ["question,answer\na,b\n", "text\na\n", "1\tgood\n2\tbad\n", "[1, 2]\n", '["a"]\n', "{'text': 1}\n", "{text}\n", '"a\nb",c\n']
)
def test_what_is_ambiguous_is_refused(model, write, content):
    done = fails(run("classify", *model, *CLASSES, stdin=content), "begins with", "--format")
    assert not done.stdout
    if content.startswith('"a'):
        return  # in a file the end is visible: it is a quoted cell
    fails(classify(model, write("rows", content)), "begins with", "--format")


def test_a_format_that_is_named_counts(model):
    for format, content, prompts in [
        ("text", "id,text\na,x\n", ["id,text", "a,x"]),
        ("csv", "text\na\n", ["a"]),
        ("tsv", "text\tb\na,\tb\n", ["a,"]),
        ("text", '{"text": "a"}\n', ['{"text": "a"}']),
        ("text", "[1, 2]\n", ["[1, 2]"]),
        ("jsonl", '{"text":\t"a"}\n', ["a"]),
        ("json", '[{"text": "a"}]\n', ["a"]),
    ]:
        assert [row["prompt"] for row in rows_of(run("logprobs", *model, *CLASSES, "--format", format, stdin=content))] == prompts
    done = run("logprobs", *model, *CLASSES, "--separator", ":", stdin="id:text\na:x,y\n")
    assert [row["prompt"] for row in rows_of(done)] == ["x,y"]
    fails(run("logprobs", *model, *CLASSES, "--separator", "ab", stdin=""), "--separator 'ab'")
    fails(run("logprobs", *model, *CLASSES, "--separator", ";", "--format", "json", stdin=""), "--separator is for CSV")


def test_the_template_tells_columns(model, write):
    done = run("logprobs", *model, *CLASSES, "-t", "{question}", stdin="question,answer\na,b\n")
    assert reading(done).startswith("stdin as CSV") and [row["prompt"] for row in rows_of(done)] == ["a"]
    done = run("evaluate", *model, *CLASSES, "-t", "{q}", "--label", "right", write("rows.txt", "q;right\na;yes\n"))
    assert "(its name says plain text)" in reading(done) and done.returncode == 0


@pytest.mark.parametrize(
    "data, part",
    [
        ("id,text\n".encode("utf-16"), "UTF-16"),
        (b"PK\3\4\0\0\0\0", "spreadsheet"),
        (b"PAR1\x15\0", "Parquet"),
        (b"BZh91AY&SY\xff\xfe", "bzip2 -dc"),
        (b"\xFD7zXZ\0", "xz -dc"),
        (b"SQLite format 3\0", "SQLite"),
        (b"GGUF\3\0\0\0", "-m"),
        ("id,text\na,b\n".encode("utf-16-le"), "UTF-16"),
        ("id,text\na,b\n".encode("utf-16-be"), "UTF-16"),
        (gzip.compress(gzip.compress(b"text\na\n")), "compressed twice"),
    ],
)
def test_files_that_are_no_text(model, write, data, part):
    fails(classify(model, write("rows.csv", data)), "rows.csv", part)
    fails(run("classify", *model, *CLASSES, stdin=data), part)


def zstd(data):
    import ctypes

    library = ctypes.CDLL("libzstd.so.1")
    library.ZSTD_compressBound.restype = library.ZSTD_compress.restype = ctypes.c_size_t
    room = library.ZSTD_compressBound(ctypes.c_size_t(len(data)))
    made = ctypes.create_string_buffer(room)
    size = library.ZSTD_compress(made, ctypes.c_size_t(room), data, ctypes.c_size_t(len(data)), 3)
    return made.raw[:size]


@pytest.mark.parametrize("pack, words", [(gzip.compress, "gzip"), (zstd, "Zstandard")])
def test_compressed_input(model, write, pack, words):
    content = [b"id,text\na,x\nb", b",y\nc,", b"z\n"]
    expected = [(name, prompt) for name, prompt in zip("abc", "xyz")]
    for name in "rows.csv.gz", "rows.csv.zst", "rows", "rows.txt":
        packed = b"".join(map(pack, content))  # several members or frames
        done = run("logprobs", *model, *CLASSES, write(name, packed))
        assert f"as CSV in {words}" in reading(done)
        assert [(row["id"], row["prompt"]) for row in rows_of(done)] == expected
    assert [(row["id"], row["prompt"]) for row in rows_of(run("logprobs", *model, *CLASSES, stdin=packed))] == expected
    first = b"\x50\x2a\x4d\x18\4\0\0\0size" if words == "Zstandard" else b""  # a frame without data, as pzstd writes it
    last = b"" if first else bytes(700)  # zero bytes at the end, as from a tape
    padded = write("padded", first + packed + last)
    assert [(row["id"], row["prompt"]) for row in rows_of(run("logprobs", *model, *CLASSES, padded))] == expected
    fails(classify(model, write("cut", packed[:-3])), "cut", words, "truncated")
    fails(classify(model, write("bad", packed + b"xx")), "bad", words, "damaged")
    if words == "gzip":  # frames of Zstandard need no checksum
        fails(classify(model, write("crc", packed[:12] + bytes([packed[12] ^ 255]) + packed[13:])), "crc", words)
    done = run("logprobs", *model, *CLASSES, write("plain.csv.gz", b"".join(content)))
    assert " in " not in reading(done) and len(rows_of(done)) == 3


LIVE = [
    ([], [b"one\n", b"two\n"]),
    ([], [b"id,text\na,x\n", b"b,y\n"]),
    ([], [b"id\ttext\na\tx\n", b"b\ty\n"]),
    ([], [b'{"text": "a"}\n', b'{"text": "b"}\n']),
    ([], [b'[{"text": "a"}', b',\n{"text": "b"}', b"]\n"]),
    (["--format", "csv"], [b"text\na\n", b"b\n"]),
    (["--format", "text"], [b"id,text\n", b"b\n"]),
    (["--format", "jsonl"], [b'{"text": "a"}\n', b'{"text": "b"}\n']),
]


@pytest.mark.parametrize("arguments, parts", LIVE)
def test_nothing_waits_for_a_second_row(model, arguments, parts):
    with subprocess.Popen([CAPP, "classify", *model, *CLASSES, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as process:
        for i, part in enumerate(parts):
            process.stdin.write(part)
            process.stdin.flush()
            if i < 2:
                assert select.select([process.stdout], [], [], 30)[0], f"no answer to row {i}"
                assert json.loads(process.stdout.readline())
        process.stdin.close()
        assert process.wait(timeout=30) == 0


# ---- A field's text is the text in the file --------------------------------------------------------------------------


def test_numbers_keep_their_digits(model):
    rows = '{"id": 19.990, "n": 19.99, "l": [1.50, {"a": -0.0}]}\n{"id": 12345678901234567890, "n": 1E5, "l": "é"}\n'
    done = run("logprobs", *model, *CLASSES, "-t", "{n} {l}", stdin=rows)
    assert [row["prompt"] for row in rows_of(done)] == ['19.99 [1.50,{"a":-0.0}]', "1E5 é"]
    assert b'"id": 19.990,' in done.stdout and b'"id": 12345678901234567890,' in done.stdout
    done = run("logprobs", *model, stdin='{"prompt": "a", "completions": ["b"], "label": 0.10}\n')
    assert b'"label": 0.10' in done.stdout


# ---- Labels ---------------------------------------------------------------------------------------------------------

TEXTS = [f"text {i} of some" for i in range(12)]


def accuracy(model, classes, labels, *more, stdin=None, write=None):
    rows = "".join(json.dumps({"text": text, "y": label}) + "\n" for text, label in zip(TEXTS, labels))
    path = [] if stdin else [write("in.jsonl", rows)]
    done = run("evaluate", *model, "-c", ",".join(classes), "--label", "y", "--json", "-", *more, *path, stdin=rows if stdin else b"")
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)["accuracy"]


def chosen(model, classes):
    done = run("classify", *model, "-c", ",".join(classes), stdin="".join(text + "\n" for text in TEXTS))
    return [row["index"] for row in rows_of(done)]


@pytest.mark.parametrize("classes", [["1", "2", "3"], ["2", "1", "0"], ["no", "on", "1"]])
def test_labels_are_read_in_one_way(model, write, classes):
    right = chosen(model, classes)
    texts = [classes[i] for i in right]
    assert accuracy(model, classes, texts, write=write) == 1
    assert accuracy(model, classes, texts, stdin=True) == 1
    assert accuracy(model, classes, [int(t) if t.isdigit() else t for t in texts], write=write) == 1
    assert accuracy(model, classes, right, "--label-index", write=write) == 1
    assert accuracy(model, classes, right, "--label-index", stdin=True) == 1
    if classes == ["1", "2", "3"]:
        assert 0 in right
        assert accuracy(model, classes, right, write=write) == 1  # one label is not text: all are indices
        assert accuracy(model, classes, list(map(str, right)), write=write) == 1


def test_labels_that_are_neither(model, write):
    rows = "text,y\na,0\nb,1\nc,3\nd,2\n"
    evaluate = ["evaluate", *model, "-c", "1,2,3", "--label", "y"]
    done = fails(run(*evaluate, write("in.csv", rows)), "in.csv", "line 2 '0'", "line 4 '3'", "--label-index")
    assert not done.stdout
    fails(run(*evaluate, stdin=rows), "stdin:2:", "'0'", "--label-index")
    fails(run(*evaluate, "--label-index", write("in.csv", rows)), "in.csv:4:", "'3'", "from 0 to 2", "no row was scored")
    fails(run(*evaluate, write("in.csv", "text,y\na,1\nb,maybe\nc,-1\n")), "in.csv:3:", "'maybe'", "1 more row")
    fails(run(*evaluate, write("in.csv", "text,y\na,1\nb,\n")), "in.csv:3:", "label 'y' is empty")
    fails(run(*evaluate, write("in.csv", "text,y\na,7\n")), "in.csv:2:", "'7'", "not an index from 0 to 2")
    for labels, said in ("012", True), ("122", False), ("321", False):  # a reading that is not obvious is reported
        rows = "text,y\n" + "".join(f"a,{label}\n" for label in labels)
        assert said == (b"reading labels as indices, 0 for the first class" in run(*evaluate, write("in.csv", rows)).stderr)
    fails(run(*evaluate, write("in.csv", "text,y\na,1 \n")), "in.csv:2:", "spaces around it")


def test_labels_of_rows_with_their_own_completions(model, write):
    rows = [{"prompt": "a", "completions": ["b", "c"], "y": i % 2} for i in range(4)]
    path = write("in.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert json.loads(run("evaluate", *model, "--label", "y", "--json", "-", path).stdout)["accuracy"] == 0.5
    rows[3]["y"] = "b"
    path = write("in.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    fails(run("evaluate", *model, "--label", "y", path), "line 1 '0'", "line 4 'b'")


# ---- Unusual input is reported once ----------------------------------------------------------------------------------


def warns(done, *parts):
    lines = told(done)
    assert done.returncode == 0 and len(lines) == 1 and lines[0].startswith("capp: warning: "), done.stderr.decode()
    for part in parts:
        assert part in lines[0], lines[0]


def test_a_template_without_columns(model):
    fails(run("classify", *model, *CLASSES, "-t", "What is it?", stdin="a\n"), "names no column", "{text}")
    fails(run("classify", *model, *CLASSES, "-t", "{{text}}", stdin="a\n"), "names no column")
    fails(run("generate", *model, "-t", "once", stdin="a\n"), "names no column")
    warns(run("classify", *model, "-t", "Once", stdin='{"completions": ["a", "b"]}\n'), "names no column")


@pytest.mark.parametrize(
    "arguments, rows, parts",
    [
        (["-t", "Q: {text} "], "a\nb\n", ["stdin:1:", "ends with a space", "--end-of-prompt ''"]),
        ([], '{"text": "a"}\n{"text": "b "}\n{"text": "c "}\n', ["stdin:2:", "ends with a space"]),
        (["-t", "Q: {text}\\n"], "a\n", ["stdin:1:", "line feed"]),
        ([], '{"text": "a", "completions": ["x", " y"]}\n' * 2, ["stdin:1:", "completion 1 begins with a space"]),
        ([], '{"a": 1, "text": "a", "a": 2}\n' * 2, ["stdin:1:", "'a' twice"]),
        ([], "text,a,a\nx,y,z\nx,y,z\n", ["stdin:1:", "columns 2 and 3", "'a'"]),
        ([], "id,text\nu,a\nv,b\nu,c\nu,d\n", ["stdin:4:", "id 'u'"]),
        ([], '{"id": 7, "text": "a"}\n{"id": "7", "text": "b"}\n', ["stdin:2:", "id '7'"]),
        ([], '{"id": 1, "text": "a"}\n' + '{"text": "b"}\n' * 2, ["stdin:2:", "some rows have an id"]),
        ([], '{"text": "a"}\n{"id": 0, "text": "b"}\n{"text": "c"}\n', ["stdin:2:", "some rows have an id"]),
        (["-t", "{text} {b}:"], "text,b\nx,y\nx,\n,y\n", ["stdin:3:", "'b' is empty"]),
        ([], '{"text": "a", "completions": ["e\\u0301", "x", "\\u00e9"]}\n', ["completions 0 and 2", "look the same"]),
    ],
)
def test_odd_rows_are_told_once(model, write, arguments, rows, parts):
    warns(run("classify", *model, *CLASSES, *arguments, stdin=rows), *parts)
    warns(run("classify", *model, *CLASSES, *arguments, write("stdin", rows)), *parts)
    assert not run("classify", *model, *CLASSES, "-q", *arguments, stdin=rows).stderr


def test_a_discount_without_a_domain(model, tiny_gemma3, write, tmp_path):
    """The marginals of a class alone begin with its second token, whether the model adds BOS or not."""
    path, store, parts = write("in.txt", "a\nyes\n"), tmp_path / "run.db", ["without --domain", "first token of each class", "--domain 'Topic:'"]
    for of in ["-m", tiny_gemma3], model:
        warns(run("classify", *of, *CLASSES, "--discount", "-1", "-o", store, "--overwrite", path), "--discount", *parts)
        with contextlib.closing(sqlite3.connect(store)) as database:
            assert struct.unpack_from("d", database.execute("SELECT logprobs FROM marginals").fetchone()[0]) == (0,)
    assert told(run("classify", *model, *CLASSES, "--discount", "-1", "--domain", "Topic:", path)) == []
    assert told(run("classify", *model, *CLASSES, "--discount", "-1", "-q", path)) == []
    assert any("Without --domain" in said for said in json.loads(run("plan", *model, *CLASSES, "-t", "{text}:", "--discount", "-1", "--json", "-", path).stdout)["warnings"])
    warns(run("decide", store, "--calibrate", "pmi"), "--calibrate pmi", *parts)
    assert told(run("decide", store)) == []
    for command in ["evaluate", store], ["compare", store, store]:
        done = run(*command, "--label", "text", "--on-error", "skip", "--calibrate", "pmi")
        assert done.stderr.count(b"without --domain") == 1 and b"--calibrate pmi" in done.stderr
    variants = ["-t", "{text} is", "-t", "{text}:", "--discount", "-1"]
    done = run("sweep", *model, *CLASSES, *variants, "--label", "text", write("labeled.txt", "yes\nno\n"))
    assert done.returncode == 0 and done.stderr.count(b"without --domain") == 1


def test_the_rows_are_also_the_examples(model, write, tmp_path):
    path, other = write("rows.csv", "text,label\na,yes\nb,no\n"), write("others.csv", "text,label\na,yes\n")
    asked = [*model, *CLASSES, "-t", "{text} is"]
    warns(run("classify", *asked, "--examples", path, path), str(path), "--examples", "other rows")
    (tmp_path / "link.csv").symlink_to(path)
    warns(run("evaluate", *asked, "--label", "label", "--examples", tmp_path / "link.csv", path), "--examples", "other rows")
    for how in ["--examples", path, "-q", path], ["--examples", other, path]:
        assert told(run("classify", *asked, *how)) == []
    assert told(run("classify", *asked, "--examples", path, stdin=path.read_text())) == []
    for examples, n in (path, 1), (other, 0):
        said = json.loads(run("plan", *asked, "--examples", examples, "--json", "-", path).stdout)["warnings"]
        assert sum("from other rows" in each for each in said) == n
    done = run("sweep", *asked, "-t", "{text}:", "--label", "label", "--examples", path, path)
    assert done.stderr.count(b"from other rows") == 1


@pytest.mark.parametrize("end", [["--end-of-prompt", ""]])
def test_no_space_between_no_warning(model, end):
    assert told(run("classify", *model, *CLASSES, *end, "-t", "{text} ", stdin="a\n")) == []
    assert told(run("logprobs", *model, stdin='{"text": "a "}\n')) == []
    assert told(run("tokenize", *model, stdin="a \n")) == []


@pytest.mark.parametrize(
    "classes, parts",
    [
        (["e\u0301", "é", "x"], ["classes 1 and 2", "look the same"]),
        ([" yes", "yes\u00a0"], ["look the same"]),
        (["a\u200bb", "x", "ab"], ["classes 1 and 3"]),
        (["x", " y"], ["class 2 begins with a space"]),
    ],
)
def test_classes_that_look_the_same(model, write, classes, parts):
    path = write("c.json", json.dumps(classes))
    done = run("classify", *model, "-c", f"@{path}", stdin="a\n")
    text = "".join(told(done))
    assert done.returncode == 0 and all(part in text for part in parts), text
    assert not run("classify", *model, "-q", "-c", f"@{path}", stdin="a\n").stderr


def test_names_that_are_needed_and_stand_twice(model, write):
    fails(classify(model, write("a.jsonl", '{"text": "a", "text": "b"}\n')), "a.jsonl:1:", "'text' twice", "remove")
    fails(classify(model, write("a.csv", "id,text,id\n1,a,2\n")), "a.csv:1:", "two columns 'id'", "rename")
    fails(classify(model, write("a.csv", "a,b,a\n1,a,2\n"), "-t", "{a}"), "two columns 'a'")
    fails(classify(model, write("a.json", '[{"a": 1, "a": 2}]'), "-t", "{a}"), "'a' twice")


def test_the_text_of_bos(smollm2, tiny_gemma3):
    for options, rows, known in [([], "a\n<bos>b\n", False), (["--parse-special"], "<bos>a\n<bos>b\n", True)]:
        done = run("classify", "-m", tiny_gemma3, *CLASSES, *options, stdin=rows)
        warns(done, "begins with <bos>", "remove", "adds the same token" if known else "plain text")
    assert told(run("classify", "-m", tiny_gemma3, *CLASSES, stdin="a <bos>\n")) == []


# ---- Before the first row -------------------------------------------------------------------------------------------


def test_all_rows_are_checked_before_the_first(model, write):
    rows = "".join(f"{i},text {i}\n" for i in range(2000))
    path = write("in.csv", f"id,text\n{rows}x,\n1,2,3\n" + rows.replace(",", "b,"))
    done = fails(classify(model, path), "in.csv:2002:", "empty", "1 more row", "no row was scored", "--on-error skip")
    assert not done.stdout
    with open(path) as stdin:
        done = subprocess.run([CAPP, "classify", *model, *CLASSES], stdin=stdin, capture_output=True)
    fails(done, "stdin:2002:", "no row was scored")
    fails(run("classify", *model, *CLASSES, "--on-error", "ignore", stdin="a\n"), "--on-error 'ignore'", "stop, skip or null")


@pytest.mark.parametrize("template, cells, bad", [("{a}", ",y", True), ("{a}{b}", ",", True), ("x {a}:", ",y", True), ("{a}{b}", "x,", False)])
def test_empty_cells(model, write, template, cells, bad):
    done = classify(model, write("in.csv", f"a,b\nx,y\n{cells}\n"), "-t", template)
    if bad:
        fails(done, "in.csv:3:", "empty", "no row was scored")
    else:
        assert len(rows_of(done)) == 2


@pytest.mark.parametrize("command", [["classify", "--id", "nope"], ["evaluate", "--label", "nope"], ["logprobs", "--id", "nope"]])
def test_columns_that_the_header_lacks(model, write, command):
    """They are no bad rows: --on-error skip would leave out all of them."""
    rows, name = "id,text\n1,a\n2,b\n", command[0]
    parts = ["there is no column 'nope'", "the input has: id, text"]
    for policy in "stop", "skip", "null":
        how = [name, *model, *CLASSES, *command[1:], "--on-error", policy]
        done = fails(run(*how, write("in.csv", rows)), "in.csv:1:", *parts, "no row was scored")
        assert b"more row" not in done.stderr and b"--on-error" not in done.stderr
        fails(run(*how, stdin=rows), "stdin:1:", *parts)


@pytest.mark.parametrize("end", ["\n\n\n", "\n  \n", "\r\n\r\n", "\n \t\r\n\n"])
def test_blank_last_lines_are_no_rows(model, write, end):
    for done in classify(model, write("in.txt", "a\nb" + end)), run("classify", *model, *CLASSES, stdin="a\nb" + end):
        assert [row["id"] for row in rows_of(done)] == [0, 1]
    fails(classify(model, write("in.txt", "a" + end + "b\n")), "in.txt:2:", "empty")


@pytest.mark.parametrize("arguments, part", [([], "context is 40"), (["--only-prediction"], "context is 40")])
def test_long_rows_are_found_before_the_first(model, write, arguments, part):
    path = write("in.txt", "short\n" * 500 + "word " * 50 + "end\n" + "short\n" * 500)
    fails(classify(model, path, "--context", 40, *arguments), "in.txt:501:", part, "--context", "no row was scored")
    fails(run("generate", *model, "--context", 40, path), "in.txt:501:", part)
    fails(run("logprobs", *model, "--context", 40, path), "in.txt:501:", part)
    assert run("tokenize", *model, path).returncode == 0
    assert classify(model, write("in.txt", "short\n"), "--context", 0).returncode == 0


def test_a_long_row_is_told_what_helps(model, write):
    """A larger --context only if the model supports one."""
    limit = int(re.search(r"\n  context +(\d+) tokens", run("inspect", model[1]).stdout.decode())[1])
    text = "word " * (limit + 1) + "\n"
    path, larger, none = write("in.txt", text), f", or set a larger --context, up to {limit}", "(the model supports no larger context)"
    for command in [["classify", *CLASSES], ["plan", *CLASSES, "-t", "{text}:"]]:
        for more, said, unsaid in (["--context", 40], larger, none), ([], none, "larger --context"):
            for done in run(*command, *model, *more, path), run(*command, *model, *more, stdin=text):
                told = (done.stdout + done.stderr).decode()
                assert f"the context {'of' if command[0] == 'plan' else 'is'} {more[1] if more else limit}" in told
                assert said in told and unsaid not in told, told
    for policy in "skip", "null":
        done = run("classify", *model, *CLASSES, "--context", 40, "--on-error", policy, stdin=f"a\n{text}b\n{text}")
        assert done.returncode == 3 and done.stderr.decode().splitlines()[-1] == f"capp: 2 rows are too long for the context; shorten such rows{larger}"


# ---- Records without end --------------------------------------------------------------------------------------------

PIECE = 1 << 20


def peak_of(command, **options):
    """The finished process, its peak memory in bytes and its time in seconds."""
    start = time.monotonic()
    watch = ("import resource, subprocess, sys; done = subprocess.run(sys.argv[1:], stdin=sys.stdin, capture_output=True);"
             "sys.stdout.buffer.write(done.stdout); sys.stderr.buffer.write(done.stderr);"
             "sys.stderr.write(f'\\npeak {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss}'); sys.exit(done.returncode)")
    done = subprocess.run([sys.executable, "-c", watch, *map(str, command)], capture_output=True, timeout=60, **options)
    message, _, peak = done.stderr.decode().rpartition("\npeak ")
    done.stderr = message.encode()
    return done, int(peak) * 1024, time.monotonic() - start


@pytest.mark.parametrize(
    "head, format", [(b"", "text"), (b'text\n"', "csv"), (b'{"text": "', "jsonl"), (b'[{"text": "', "json"), (b"text\n", "csv")]
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_record_without_end_is_refused(model, write, head, format, packed):
    """200 MB in one record cost twice the largest record allowed, not 200 MB. The file is sparse, or consists of packed
    zeros."""
    path = write("in", gzip.compress(head + bytes(200 * PIECE), 1) if packed else head)
    if not packed:
        os.truncate(path, len(head) + 200 * PIECE)
    plain, usual, _ = peak_of([CAPP, "classify", *model, *CLASSES, write("one.txt", "a\n")])
    assert plain.returncode == 0
    done, peak, seconds = peak_of([CAPP, "classify", *model, *CLASSES, "--format", format, path])
    fails(done, "16 MB", "--max-record")
    assert peak - usual < 2 * 16 * PIECE + 2 * PIECE and seconds < 10
    done, peak, _ = peak_of([CAPP, "classify", *model, *CLASSES, "--format", format, "--max-record", "2M", path])
    fails(done, "2 MB", "--max-record")
    assert peak - usual < 2 * 2 * PIECE + 2 * PIECE


def test_a_record_of_the_most_bytes(model):
    rows = ["x" * 98 + "\n", "text,b\n" + "x" * 97 + ",\n", '{"text": "' + "x" * 86 + '"}\n']
    for row in rows:
        assert len(row.splitlines(True)[-1]) == 99
        assert run("tokenize", *model, "--max-record", 99, stdin=row).returncode == 0
        fails(run("tokenize", *model, "--max-record", 98, stdin=row), "--max-record")


def wait_until_read(process):
    """Until the command has read all that it was sent, and sleeps because it waits for more."""
    left, end = bytearray(4), time.monotonic() + 30
    while True:
        fcntl.ioctl(process.stdin, termios.FIONREAD, left)
        if not any(left) and Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "S":
            return
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.01)


@pytest.mark.parametrize("head", [b"", b'[{"text": "', b'text,b\n"'])
def test_an_interrupt_is_heard_within_a_record(model, head):
    with subprocess.Popen([CAPP, "classify", *model, *CLASSES, "--max-record", "1T"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdin.write(head + b"x" * (64 << 10))
        process.stdin.flush()
        wait_until_read(process)
        process.send_signal(signal.SIGINT)
        start = time.monotonic()
        assert process.wait(timeout=10) == 130 and time.monotonic() - start < 1


def test_memory_does_not_grow_with_the_file(model, write):
    line = "".join(f"some words of row {i},x\n" for i in range(1000))
    peaks = [peak_of([CAPP, "evaluate", *model, "-c", "x,y", "--label", "y", "--context", 4,
                      write(f"{n}.csv", "text,y\n" + line * n)])[1] for n in (20, 200)]
    assert peaks[1] < peaks[0] + 4 * PIECE


# ---- Suggestions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, parts",
    [
        (["classify", "--output", "x"], ["'--output'", "--out?"]),
        (["classify", "--outptu", "x"], ["--out?"]),
        (["classify", "--clases", "x"], ["--classes?"]),
        (["classify", "--batch-size", "8"], ["--memory?"]),
        (["evaluate", "--labels", "x"], ["--label?"]),
        (["generate", "--max-tokens", "x"], ["--tokens?"]),
        (["classify", "-out", "x"], ["'-out' is -o with the argument 'ut'", "--out?"]),
        (["classify", "-model", "x"], ["--model?"]),
        (["classify", "--input", "x"], ["'--input'", "INPUT"]),
        (["classify", "-m", "x", "-c", "names.txt"], ["'names.txt' is one class", "-c '@names.txt'"]),
        (["classify", "-m", "x", "-c", "yes"], ["'yes' is only one class", "--multi-label"]),
        (["classify", "-m", "x", "-c", "yes;no"], ["one class", "commas", "';'"]),
        (["classify", "-m", "x", "-c", "yes|no"], ["one class", "commas", "'|'"]),
    ],
)
def test_messages_guess_what_was_meant(arguments, parts):
    fails(run(*arguments), *parts)


def test_names_of_files_where_their_content_was_meant(write):
    path = write("list", "yes\nno\n")
    fails(run("classify", "-m", "x", "-c", path), f"-c '@{path}'")
    fails(run("classify", "-m", "x", "-c", "a,b", "--prior", path), f"@{path}")
    fails(run("classify", "-m", "x", "-c", "a,b", "-t", path), "-t needs the text itself", "$(cat ")
    fails(run("classify", "-m", "x", "-c", "a,b", "-t", "{text", "--prior", path), "-t")


def test_one_completion_of_a_row(model):
    fails(run("classify", *model, stdin='{"text": "a", "completions": ["b"]}\n'), "stdin:1:", "one completion", "--multi-label")
    assert rows_of(run("classify", *model, "--multi-label", stdin='{"text": "a", "completions": ["b"]}\n'))
