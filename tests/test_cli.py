"""The command: formats, templates, streams, and the message and exit status of each bad input."""

import contextlib
import csv
import json
import math
import os
import pty
import re
import select
import signal
import string
import struct
import subprocess
import time
from pathlib import Path

import pytest

BUILD = Path(os.environ.get("CAPP_BUILD", Path(__file__).resolve().parent.parent / "build"))
CAPP = str(BUILD / "capp")
CLASSES = ["-c", "yes,no"]


def run(*arguments, stdin=b"", **options):
    if isinstance(stdin, str):
        stdin = stdin.encode()
    return subprocess.run([CAPP, *map(str, arguments)], input=stdin, capture_output=True, timeout=60, **options)


def rows_of(done):
    assert done.returncode == 0, done.stderr.decode()
    return [json.loads(line) for line in done.stdout.splitlines()]


def fails(done, *parts, status=2):
    """One line on stderr that holds all parts; the command ended with status."""
    message = done.stderr.decode()
    assert done.returncode == status, message
    assert message.startswith("capp: ") and message.count("\n") == 1, message
    for part in parts:
        assert part in message, message
    return done


@pytest.fixture
def model(tiny_model):
    return ["-m", str(tiny_model)]


@pytest.fixture
def write(tmp_path):
    def write_file(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


def classify(model, path, *more):
    return run("classify", *model, *CLASSES, *more, path)


# ---- Help and arguments ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["classify", "evaluate", "logprobs", "tokenize", "inspect", "generate", "bench"])
def test_help(command):
    first, second = run("help", command), run(command, "--help")
    assert first.returncode == second.returncode == 0 and not first.stderr
    assert first.stdout == second.stdout and f"Usage: capp {command}" in first.stdout.decode()
    assert max(map(len, first.stdout.decode().splitlines())) <= 120
    assert f"  {command} " in run("help").stdout.decode()


def test_version():
    assert re.fullmatch(rb"capp \d+\.\d+\.\d+\n", run("--version").stdout)


def test_no_arguments():
    done = run()
    assert done.returncode == 2 and not done.stdout and b"Usage: capp COMMAND" in done.stderr


@pytest.mark.parametrize(
    "arguments, parts",
    [
        (["clasify"], ["unknown command 'clasify'", "classify"]),
        (["help", "clasify"], ["unknown command 'clasify'"]),
        (["classify", "--foo"], ["unknown option '--foo'", "capp help classify"]),
        (["classify", "-Z"], ["unknown option '-Z'"]),
        (["classify", "-m"], ["--model needs FILE"]),
        (["classify", "--quiet=1"], ["--quiet takes no argument"]),
        (["classify", "-c", "a,b"], ["no model", "-m FILE"]),
        (["classify", "-m", "x", "a", "b"], ["'b' is one too many"]),
        (["classify", "-m", "x", "--threads", "two"], ["--threads 'two'", "whole number"]),
        (["classify", "-m", "x", "--memory", "1Q"], ["--memory '1Q'", "512M"]),
        (["classify", "-m", "x", "--precision", "f64"], ["--precision 'f64'", "bf16"]),
        (["classify", "-m", "x", "--aggregate", "max"], ["--aggregate 'max'", "mean, sum or bytes"]),
        (["classify", "-m", "x", "--window", "0"], ["--window '0'"]),
        (["classify", "-m", "x", "--end-of-prompt", ": "], ["--end-of-prompt ': '"]),
        (["classify", "-m", "x", "--format", "xml"], ["--format 'xml'", "jsonl"]),
        (["classify", "-m", "x", "-t", "{text"], ["-t", "'{' at byte 1", "{{"]),
        (["classify", "-m", "x", "-t", "a}"], ["-t", "'}' at byte 2", "}}"]),
        (["classify", "-m", "x", "-t", "{}"], ["-t", "names no column"]),
        (["classify", "-m", "x", "-t", ""], ["-t", "empty"]),
        (["classify", "-m", "x", "-c", "a,,b"], ["class 2 is empty"]),
        (["classify", "-m", "x", "-c", "a,"], ["class 2 is empty"]),
        (["classify", "-m", "x", "-c", ""], ["no classes"]),
        (["classify", "-m", "x", "-c", "@no-such-file"], ["no-such-file", "No such file"]),
        (["classify", "-m", "x", "-c", "a,b", "--prior", "1,x"], ["--prior '1,x'"]),
        (["classify", "-m", "x", "-c", "a,b", "--prior", "1"], ["--prior has 1", "2 classes"]),
        (["classify", "-m", "x", "-c", "a,b", "--prior", "0.5,0.6"], ["prior", "1"]),
        (["classify", "-m", "x", "-c", "a,b", "--prior", "-1,2"], ["prior", "0"]),
        (["classify", "-m", "x", "-c", "a"], ["ormalize"]),
        (["evaluate", "-m", "x", "-c", "a,b"], ["--label"]),
        (["classify", "-m", "x", "-c", "a,b", "--prior", ""], ["--prior ''"]),
        (["classify", "-m", "x", "-c", "a,b", "--prior", "nan,1"], ["prior", "nan"]),
        (["classify", "-m", "x", "-c", "a,b", "--prior", "@/dev/null"], ["/dev/null", "empty"]),
        (["classify", "-m", "x", "-c", "a\nb", "--label", "x"], ["unknown option '--label'"]),
        (["classify", "-m", "x", "--memory", "5 "], ["--memory '5 '", "512M"]),
        (["classify", "-m", "x", "--memory", "8E"], ["--memory '8E'"]),
        (["classify", "-m", ""], ["-m is an empty name"]),
        (["classify", "-m", "x", "-o", ""], ["-o is an empty name"]),
        (["classify", "-m", "x", "-c", "a,b", ""], ["INPUT is an empty name"]),
        (["evaluate", "-m", "x", "--label", "x", "--json", ""], ["--json is an empty name"]),
        (["logprobs", "-m", "x", "-o", "x.csv"], [".csv"]),
        (["generate", "-m", "x", "-n", "0"], ["-n '0'"]),
        (["inspect"], ["capp inspect FILE"]),
        (["bench", "-m", "x", "rows"], ["'rows'"]),
    ],
)
def test_bad_arguments(arguments, parts):
    fails(run(*arguments), *parts)


@pytest.mark.parametrize("command", [["classify", *CLASSES], ["tokenize"], ["logprobs"], ["generate"]])
def test_missing_model(command, tmp_path):
    fails(run(*command, "-m", tmp_path / "none.gguf"), "none.gguf")


def test_not_a_model(write):
    fails(run("inspect", write("bad.gguf", "this is no model")), "bad.gguf")
    fails(run("inspect", write("empty.gguf", "")), "empty.gguf")


# ---- Formats --------------------------------------------------------------------------------------------------------

TEXTS = ["where is it?", 'she said "go", twice', "déjà vu"]


def as_csv(texts, end="\n"):
    return "id,text" + end + "".join(f'r{i},"' + text.replace('"', '""') + '"' + end for i, text in enumerate(texts))


def as_jsonl(texts, end="\n"):
    return "".join(json.dumps({"id": f"r{i}", "text": text}, ensure_ascii=False) + end for i, text in enumerate(texts))


def as_text(texts, end="\n"):
    return "".join(text + end for text in texts)


def test_formats_agree(model, write):
    mark = "\ufeff"
    reference = rows_of(classify(model, write("a.jsonl", as_jsonl(TEXTS))))
    assert [row["id"] for row in reference] == ["r0", "r1", "r2"]
    named = {
        "a.ndjson": as_jsonl(TEXTS, "\r\n"),
        "b.jsonl": mark + as_jsonl(TEXTS),
        "c.jsonl": "\n" + as_jsonl(TEXTS, "\n\n"),
        "d": as_jsonl(TEXTS).rstrip(),
        "a.csv": as_csv(TEXTS),
        "b.csv": mark + as_csv(TEXTS, "\r\n"),
        "c.CSV": as_csv(TEXTS, "\n\n").rstrip(),
        "d.csv": as_csv(TEXTS, "\r"),
    }
    for name, content in named.items():
        assert rows_of(classify(model, write(name, content))) == reference, name
    for i, row in enumerate(reference):
        row["id"] = i
    named = {"a.txt": as_text(TEXTS), "b": mark + as_text(TEXTS, "\r\n"), "c": as_text(TEXTS)[:-1]}
    for name, content in named.items():
        assert rows_of(classify(model, write(name, content))) == reference, name


def test_stdin_formats(model):
    reference = rows_of(run("classify", *model, *CLASSES, stdin=as_text(TEXTS)))
    for arguments, content in [
        (["-"], as_jsonl(TEXTS)),
        (["--format", "csv"], as_csv(TEXTS)),
        (["--format", "text", "-"], as_text(TEXTS)),
    ]:
        rows = rows_of(run("classify", *model, *CLASSES, *arguments, stdin=content))
        assert [row["probabilities"] for row in rows] == [row["probabilities"] for row in reference]


def test_row_fields(model):
    done = rows_of(run("classify", *model, *CLASSES, stdin="one\ntwo\n"))
    for i, row in enumerate(done):
        assert list(row) == ["id", "prediction", "index", "probability", "probabilities"]
        assert row["id"] == i and row["prediction"] == ["yes", "no"][row["index"]]
        assert row["probability"] == row["probabilities"][row["index"]] == max(row["probabilities"])
        assert abs(sum(row["probabilities"]) - 1) < 1e-12


def test_csv_output(model, write, tmp_path):
    source = write("in.csv", as_csv(TEXTS))
    reference = rows_of(classify(model, source))
    out = tmp_path / "out.csv"
    done = classify(model, source, "-o", out)
    assert done.returncode == 0 and not done.stdout
    with open(out, newline="") as file:
        rows = list(csv.DictReader(file))
    for row, expected in zip(rows, reference, strict=True):
        assert row["id"] == expected["id"] and row["prediction"] == expected["prediction"]
        assert int(row["index"]) == expected["index"] and float(row["probability"]) == expected["probability"]
        assert json.loads(row["probabilities"]) == expected["probabilities"]


def test_rows_bring_their_own(model):
    rows = [
        {"id": 7, "prompt": "a", "completions": ["b", "c", "c"]},
        {"id": "x", "prompt": "a", "completions": ["b", "c"], "prior": [1, 0]},
        {"id": [1.5], "text": "a", "normalize": False},
        {"prompt": "a", "completions": ["b"], "normalize": False, "end_of_prompt": ""},
    ]
    done = rows_of(run("classify", *model, *CLASSES, stdin="".join(json.dumps(row) + "\n" for row in rows)))
    assert [row["id"] for row in done] == [7, "x", [1.5], 3]
    assert [len(row["probabilities"]) for row in done] == [3, 2, 2, 1]
    assert done[0]["probabilities"][1] == done[0]["probabilities"][2]
    assert done[1]["probabilities"] == [1, 0] and done[1]["prediction"] == "b"
    assert sum(done[2]["probabilities"]) < 1


def test_prior_and_multi_label(model, write):
    plain, tilted, multi, from_file = (
        rows_of(run("classify", *model, *CLASSES, *more, stdin="one\n"))[0]["probabilities"]
        for more in ([], ["--prior", "0.2, 0.8"], ["--multi-label"], ["--prior", f"@{write('p.json', '[0.2, 0.8]')}"])
    )
    odds = plain[1] / plain[0] * 4
    assert tilted[1] / tilted[0] == pytest.approx(odds) and from_file == tilted
    assert multi[0] / multi[1] == pytest.approx(plain[0] / plain[1]) and sum(multi) < 1


@pytest.mark.parametrize("content", ["yes\nno\n", "yes\r\nno\r\n\r\n", ' ["yes", "no"]', "\ufeffyes\nno"])
def test_class_files(model, write, content):
    assert rows_of(run("classify", *model, "-c", f"@{write('classes', content)}", stdin="one\n")) == rows_of(
        run("classify", *model, "-c", " yes , no ", stdin="one\n")
    )


@pytest.mark.parametrize(
    "content, part",
    [("yes\n\nno\n", "class 2 is empty"), ('["a", 3]', "class 2"), ('["a",', "JSON"), ("\n", "no classes"),
     (b"a\xff", "UTF-8 at byte 2")],
)
def test_bad_class_files(model, write, content, part):
    fails(run("classify", *model, "-c", f"@{write('classes', content)}", stdin="one\n"), part)


def test_duplicate_classes_warn(model):
    done = run("classify", *model, "-c", "yes,no,yes,yes", stdin="one\n")
    row = rows_of(done)[0]
    assert done.stderr.count(b"\n") == 1 and b"warning: class 'yes'" in done.stderr
    assert row["probabilities"][0] == row["probabilities"][2] == row["probabilities"][3] and row["index"] in (0, 1)
    assert not run("classify", *model, "-q", "-c", "yes,no,yes", stdin="one\n").stderr


# ---- Only predictions -----------------------------------------------------------------------------------------------

MANY = "the,a word,no,nothing at all,yes,yes and no,on,the other,there"


@pytest.mark.parametrize("aggregate", ["mean", "sum", "bytes"])
def test_only_prediction(model, write, tmp_path, aggregate):
    texts = as_text(f"text {i} of several" for i in range(40))
    how = ["-c", MANY, "--aggregate", aggregate]
    full = rows_of(run("classify", *model, *how, stdin=texts))
    rows = rows_of(run("classify", *model, *how, "--only-prediction", stdin=texts))
    for row, expected in zip(rows, full, strict=True):
        assert list(row) == ["id", "prediction", "index", "completion_tokens", "completion_tokens_run"]
        assert [row[key] for key in ("id", "prediction", "index")] == [expected[key] for key in ("id", "prediction", "index")]
        assert 0 <= row["completion_tokens_run"] <= row["completion_tokens"]
    assert sum(row["completion_tokens_run"] for row in rows) < sum(row["completion_tokens"] for row in rows)
    out = tmp_path / "out.csv"
    assert run("classify", *model, *how, "--only-prediction", "-o", out, stdin=texts).returncode == 0
    with open(out, newline="") as file:
        assert [{**row, "id": int(row["id"])} for row in csv.DictReader(file)] == [
            {key: value if key in ("id", "prediction") else str(value) for key, value in row.items()} for row in rows]


def test_aggregates_differ(model):
    texts = as_text(f"text {i} of several" for i in range(40))
    mean, total = (rows_of(run("classify", *model, "-c", MANY, *more, stdin=texts)) for more in ([], ["--aggregate", "sum"]))
    assert [row["index"] for row in mean] != [row["index"] for row in total]
    assert all(abs(sum(row["probabilities"]) - 1) < 1e-12 for row in total)


@pytest.mark.parametrize("aggregate", ["mean", "sum", "bytes"])
def test_aggregates_of_logprobs(model, aggregate):
    """Probabilities that are not normalised are exp of the aggregate of what logprobs writes."""
    choices = [*MANY.split(","), "Füße"]
    texts = as_text(f"text {i} of several" for i in range(5))
    how = [*model, "--precision", "f32", "-c", ",".join(choices)]
    full = rows_of(run("logprobs", *how, stdin=texts))
    rows = rows_of(run("classify", *how, "--multi-label", "--aggregate", aggregate, stdin=texts))
    for row, of in zip(rows, full, strict=True):
        logprobs = [completion["logprobs"] for completion in of["completions"]]
        lengths = {"mean": map(len, logprobs), "sum": [1] * len(choices), "bytes": (len(c.encode()) for c in choices)}
        expected = [math.exp(sum(tokens) / n) for tokens, n in zip(logprobs, lengths[aggregate])]
        assert row["probabilities"] == pytest.approx(expected, rel=1e-6)


def test_evaluate_only_prediction(model, write, tmp_path):
    path = write("in.jsonl", "".join(json.dumps({"text": f"text {i}", "label": i % 9}) + "\n" for i in range(30)))
    how = ["evaluate", *model, "-c", MANY, "--label", "label", "--json"]
    full, report = tmp_path / "full.json", tmp_path / "report.json"
    assert b"unfinished" not in run(*how, full, path).stdout
    out = tmp_path / "rows.jsonl"
    text = run(*how, report, "--only-prediction", "-o", out, path).stdout.decode()
    full, report = json.loads(full.read_text()), json.loads(report.read_text())
    assert report["accuracy"] == full["accuracy"] and report["confusions"] == full["confusions"]
    assert report["log_loss"] is None and "log-loss" not in text and "completion_tokens" not in full
    assert 0 < report["completion_tokens_run"] < report["completion_tokens"] < report["completion_logprobs"]
    assert report["completion_logprobs_read"] < report["completion_logprobs"]
    assert report["tokens_computed"] < full["tokens_computed"] and report["tokens_saved"] > full["tokens_saved"]
    never_run = report["completion_tokens"] - report["completion_tokens_run"]
    assert f"unfinished {never_run} of {report['completion_tokens']} completion tokens" in text
    rows = [json.loads(line) for line in out.read_bytes().splitlines()]
    assert sum(row["correct"] for row in rows) == report["correct"]
    assert sum(row["completion_tokens_run"] for row in rows) == report["completion_tokens_run"]


def test_only_prediction_reports_the_rows_before_a_bad_one(model, write):
    done = classify(model, write("in.jsonl", GOOD + '{"text": ""}\n'), "--only-prediction")
    fails(done, "in.jsonl:2:", "empty")
    assert done.stdout.count(b"\n") == 1


# ---- Templates ------------------------------------------------------------------------------------------------------


def prompts(model, template, stdin):
    return [row["prompt"] for row in rows_of(run("logprobs", *model, *CLASSES, "-t", template, stdin=stdin))]


def test_templates(model):
    row = json.dumps({"a": "A", "b b": 'q"\n', "n": 3, "x": 0.1, "l": [1, "é"], "t": True, "none": None})
    for template, text in [
        (r"Q: {a}\nT:\t\\n\x", "Q: A\nT:\t\\n\\x"),
        ("{{{a}}}", "{A}"),
        ("{a}{b b}{a}", 'Aq"\nA'),
        ("{n} {x} {l} {t}|{none}|", '3 0.10000000000000001 [1,"é"] true||'),
        (r"\{a}", "\\A"),
        ("no field", "no field"),
    ]:
        assert prompts(model, template, row) == [text], template


def test_template_unknown_column(model, write):
    path = write("a.csv", "text,category\nx,y\n")
    fails(classify(model, path, "-t", "{txt}"), "a.csv:1:", "'txt'", "text, category")
    fails(classify(model, write("b.csv", "text,category\n"), "-t", "{txt}"), "'txt'", "text, category")
    fails(classify(model, write("c.txt", "x\n"), "-t", "{txt}"), "'txt'", "text")
    done = classify(model, write("d.jsonl", '{"txt": "a"}\n{"text": "a"}\n'), "-t", "{txt}")
    fails(done, "d.jsonl:2:", "'txt'", "text")
    assert done.stdout.count(b"\n") == 1


# ---- Bad rows: rows before them are written -------------------------------------------------------------------------

GOOD = '{"text": "fine"}\n'


@pytest.mark.parametrize(
    "name, content, place, parts",
    [
        ("a.csv", "text,c\na,b\nx,y,z\n", 3, ["row 2 has 3 fields", "header has 2"]),
        ("a.csv", 'text,c\n"a\n1",b\nx\n', 4, ["row 2 has 1 field,", "header has 2"]),
        ("a.csv", 'text,c\na,b\n"x,y\nz\n', 3, ["quote", "never ends"]),
        ("a.csv", 'text,c\na,b\nx "q",y\n', 3, ["quote"]),
        ("a.csv", "text,c\na,b\n,y\n", 3, ["empty"]),
        ("a.csv", b"text,c\na,b\nab\xffd,y\n", 3, ["UTF-8 at byte 3"]),
        ("a.jsonl", GOOD + '{"text": b}\n', 2, ["JSON at column 10", "one JSON object"]),
        ("a.jsonl", GOOD + '\n{"text": "b"\n', 3, ["JSON at column"]),
        ("a.jsonl", GOOD + "[1]\n", 2, ["not a JSON object"]),
        ("a.jsonl", GOOD + '{"words": "b"}\n', 2, ["no prompt", "'text'", "words", "-t"]),
        ("a.jsonl", GOOD.encode() + b'{"text": "\xc3("}\n', 2, ["UTF-8 at byte 11"]),
        ("a.jsonl", GOOD.encode() + b'{"text": "\xed\xa0\x80"}\n', 2, ["UTF-8 at byte 11"]),
        ("a.jsonl", GOOD + '{"text": "\\ud800"}\n', 2, ["JSON"]),
        ("a.jsonl", GOOD + '{"text": ""}\n', 2, ["empty"]),
        ("a.jsonl", GOOD + '{"text": "a", "completions": "b"}\n', 2, ["'completions'", "list"]),
        ("a.jsonl", GOOD + '{"text": "a", "completions": ["b", 1]}\n', 2, ["item 1", "string"]),
        ("a.jsonl", GOOD + '{"text": "a", "completions": ["b", ""]}\n', 2, ["empty"]),
        ("a.jsonl", GOOD + '{"text": "a", "completions": []}\n', 2, ["completion"]),
        ("a.jsonl", GOOD + '{"text": "a", "completions": ["b"]}\n', 2, ["ormalize"]),
        ("a.jsonl", GOOD + '{"text": "a", "prior": [1]}\n', 2, ["1 number", "2 completions"]),
        ("a.jsonl", GOOD + '{"text": "a", "prior": 1}\n', 2, ["'prior'"]),
        ("a.jsonl", GOOD + '{"text": "a", "prior": ["a", 1]}\n', 2, ["item 0", "number"]),
        ("a.jsonl", GOOD + '{"text": "a", "prior": [0.5, 0.6]}\n', 2, ["prior"]),
        ("a.jsonl", GOOD + '{"text": "a", "prior": [2, -1]}\n', 2, ["prior"]),
        ("a.jsonl", GOOD + '{"text": "a", "normalize": 1}\n', 2, ["'normalize'"]),
        ("a.jsonl", GOOD + '{"text": "a", "end_of_prompt": 1}\n', 2, ["'end_of_prompt'"]),
        ("a.jsonl", GOOD + '{"text": "a", "end_of_prompt": "--"}\n', 2, ["end_of_prompt"]),
        ("a.txt", "fine\n\nb\n", 2, ["empty"]),
        ("a.txt", "fine\r\nx\x00\n".encode() + b"\x80\n", 3, ["UTF-8 at byte 1 "]),
    ],
)
@pytest.mark.parametrize("window", [1, 4096])
def test_bad_rows(model, write, name, content, place, parts, window):
    done = classify(model, write(name, content), "--window", window)
    fails(done, f"{name}:{place}: ", *parts)
    first = content if isinstance(content, bytes) else content.encode()
    expected = 2 if b"\x00" in first else 1
    assert len(done.stdout.splitlines()) == expected
    assert json.loads(done.stdout.splitlines()[0])["id"] == 0


def test_no_completions(model):
    fails(run("classify", *model, stdin='{"prompt": "a"}\n'), "stdin:1:", "no completions", "-c")
    fails(run("logprobs", *model, stdin='{"prompt": "a"}\n'), "stdin:1:", "no completions", "-c")


def test_row_too_long(model, write):
    path = write("long.txt", "a\n" + "b " * 40 + "\n")
    done = classify(model, path, "--context", 12)
    fails(done, "long.txt:2:", "12")
    assert done.stdout.count(b"\n") == 1


def test_missing_input(model, tmp_path):
    fails(classify(model, tmp_path / "none.csv"), "none.csv", "No such file")
    fails(classify(model, tmp_path), "directory")


@pytest.mark.parametrize(
    "name, content", [("a.csv", ""), ("b.csv", "text,c\n"), ("a.jsonl", "\n"), ("a.txt", ""), ("a", "")]
)
def test_empty_input(model, write, name, content, tmp_path):
    path = write(name, content)
    out = write("out.jsonl", "old")
    done = classify(model, path, "-o", out)
    assert done.returncode == 0 and b"no rows" in done.stderr and not done.stdout and out.read_bytes() == b""
    assert not classify(model, path, "-q").stderr


# ---- Output ---------------------------------------------------------------------------------------------------------


def test_unwritable_output(model, tmp_path):
    for path in tmp_path / "none" / "out", tmp_path:
        fails(run("classify", *model, *CLASSES, "-o", path, stdin="one\n"), str(path), "cannot be written")


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
    fails(classify(model, path, "-o", path), "read from")
    fails(classify(model, path, "-o", link), "read from")
    fails(run("classify", *model, "-c", f"@{classes}", "-o", classes, path), "read from")
    size = os.path.getsize(tiny_model)
    fails(classify(model, path, "-o", tiny_model), "read from")
    fails(run("evaluate", *model, *CLASSES, "--label", "text", "--json", tiny_model, path), "read from")
    with open(path, "rb") as stdin:
        done = subprocess.run([CAPP, "classify", *model, *CLASSES, "-o", path], stdin=stdin, capture_output=True)
    fails(done, "read from")
    assert path.read_text() == "text\nx\n" and os.path.getsize(tiny_model) == size


def test_failure_keeps_old_output(model, write):
    out = write("out.jsonl", "old results\n")
    fails(run("classify", *model, *CLASSES, "-t", "{nothing}", "-o", out, stdin="one\n"), "nothing")
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
        assert process.wait(timeout=30) == 0 and process.stderr.read() == b""


def test_broken_pipe_within_a_window(model, write):
    path = write("many.txt", "".join(f"row number {i} of many\n" for i in range(4000)))
    command = [CAPP, "classify", *model, *CLASSES, path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0) as process:
        assert process.stdout.read(10) == b'{"id": 0, '
        process.stdout.close()
        assert process.wait(timeout=60) == 0 and process.stderr.read() == b""


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
    """Each row is answered before the next is there, also where a row comes in pieces."""
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
    assert run("classify", *model, *CLASSES, stdin="one\n").stderr == b""


def on_terminal(*arguments):
    """Runs with standard error on a terminal: the exit status and what the terminal was told."""
    own, theirs = pty.openpty()
    with subprocess.Popen([CAPP, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=theirs) as process:
        os.close(theirs)
        told = b""
        with contextlib.suppress(OSError):  # EIO: the other side is closed
            while part := os.read(own, 65536):
                told += part
        os.close(own)
        return process.wait(timeout=60), told.decode()


BAR = r"\[(#*)\.*\] +(\d+) %  (\d+) rows, [\d.]+/s, \d+:\d\d left"


def test_progress_on_a_terminal(model, write):
    """One window, and work for a second or so: the bar moves within it."""
    n, tail = 3000, " of many rows, with a tail that makes it long enough to take some time to read"
    path = write("many.txt", "".join(f"{i} is the number{tail}\n" for i in range(n)))
    slowly = ["--isa", "ref", "--threads", "1"]
    status, told = on_terminal("classify", *model, *CLASSES, *slowly, path)
    bars = re.findall(BAR, told)
    assert status == 0 and bars
    inside = [(int(share), int(rows)) for _, share, rows in bars if 0 < int(rows) < n]
    assert len(inside) > 1 and inside == sorted(inside)
    assert all(abs(share / 100 - rows / n) < 0.1 for share, rows in inside)
    assert told.endswith("\r\x1b[K")  # wiped at the end
    assert on_terminal("classify", *model, *CLASSES, *slowly, "--quiet", path) == (0, "")


# ---- evaluate -------------------------------------------------------------------------------------------------------

REPORT = {
    *("accuracy", "n", "log_loss", "seconds", "load_seconds"),
    *("tokens_computed", "tokens_saved", "peak_memory_bytes"),
}


def test_evaluate(model, write, tmp_path):
    texts = [f"text {i}" for i in range(30)]
    choices = [row["index"] for row in rows_of(run("classify", *model, *CLASSES, stdin=as_text(texts)))]
    labels = [choice if i % 3 else 1 - choice for i, choice in enumerate(choices)]
    names = ["yes", "no"]
    named = write("named.csv", "text,c\n" + "".join(f"{t},{names[label]}\n" for t, label in zip(texts, labels)))
    numbered = write("a.jsonl", "".join(json.dumps({"text": t, "c": label}) + "\n" for t, label in zip(texts, labels)))
    for path in named, numbered:
        out = tmp_path / "rows.jsonl"
        done = run("evaluate", *model, *CLASSES, "--label", "c", "--json", "-", "-o", out, path)
        report = json.loads(done.stdout)
        assert REPORT <= set(report) and report["n"] == 30 and report["accuracy"] == 20 / 30
        assert sum(pair["count"] for pair in report["confusions"]) == 10
        assert report["confusions"][0]["label"] in names and report["peak_memory_bytes"] > 1_000_000
        rows = [json.loads(line) for line in out.read_bytes().splitlines()]
        assert [row["label"] for row in rows] == labels
        assert [row["correct"] for row in rows] == [label == choice for label, choice in zip(labels, choices)]
    report_file = tmp_path / "report.json"
    text = run("evaluate", *model, *CLASSES, "--label", "c", "--json", report_file, named).stdout.decode()
    assert "accuracy   0.6667 (20 of 30)" in text and "taken for" in text and "rows/s" in text
    assert json.loads(report_file.read_text())["n"] == 30


def test_evaluate_rows_to_stdout(model):
    rows = '{"text": "a", "label": "yes"}\n{"text": "b", "label": 1}\n'
    done = run("evaluate", *model, *CLASSES, "--label", "label", "-o", "-", stdin=rows)
    assert [row["label"] for row in rows_of(done)] == [0, 1] and b"accuracy" in done.stderr


def test_numeric_classes_are_meant_by_name(model):
    done = run("evaluate", *model, "-c", "1,2,3", "--label", "stars", "-o", "-", stdin='{"text": "a", "stars": 1}\n')
    assert rows_of(done)[0]["label"] == 0


@pytest.mark.parametrize("label", ['"maybe"', "2", "-1", "0.5", "null"])
def test_unknown_label(model, label):
    rows = '{"text": "a", "label": "yes"}\n{"text": "b", "label": %s}\n' % label
    fails(run("evaluate", *model, *CLASSES, "--label", "label", stdin=rows), "stdin:2:", "label")


def test_missing_label(model):
    fails(run("evaluate", *model, *CLASSES, "--label", "label", stdin='{"text": "a"}\n'), "stdin:1:", "'label'", "text")


# ---- logprobs, tokenize, generate, inspect, bench -------------------------------------------------------------------


def is_float32(value):
    return struct.unpack("f", struct.pack("f", value))[0] == pytest.approx(value, rel=1e-8) and value <= 0


def test_logprobs(model):
    rows = [
        {"id": 5, "prompt": "a b", "completions": ["c", "d e"], "label": 1},
        {"prompt": "a b", "completions": [{"text": "c"}, {"text": "d e"}], "label": "one"},
        {"text": "a b c"},
        {"prompt": "a b", "completions": ["c"]},
    ]
    done = rows_of(run("logprobs", *model, stdin="".join(json.dumps(row) + "\n" for row in rows)))
    first = done[0]
    assert list(first) == ["id", "prompt", "prompt_ids", "completions", "label"]
    assert first["id"] == 5 and first["label"] == 1 and done[1]["label"] == "one"
    assert first["completions"] == done[1]["completions"] and "label" not in done[2]
    for completion in first["completions"]:
        assert len(completion["ids"]) == len(completion["logprobs"]) > 0
        assert all(map(is_float32, completion["logprobs"]))
    assert list(done[2]) == ["id", "text", "ids", "logprobs"] and done[2]["id"] == 2
    assert len(done[2]["ids"]) == len(done[2]["logprobs"])
    assert done[2]["logprobs"][0] is None and all(map(is_float32, done[2]["logprobs"][1:]))
    assert done[3]["completions"] == [first["completions"][0]]


def test_logprobs_reads_its_own_output(model):
    first = run("logprobs", *model, *CLASSES, stdin='{"id": "q", "text": "a \\u0007\\"b\\\\", "label": 0}\n')
    assert rows_of(first) and run("logprobs", *model, stdin=first.stdout).stdout == first.stdout


def test_tokenize(model):
    texts = '{"id": "a", "text": "one two"}\n{"text": ""}\n{"text": "a\\u0000b"}\n'
    rows = rows_of(run("tokenize", *model, stdin=texts))
    assert list(rows[0]) == ["id", "ids"] and list(rows[1]) == ["ids"] and rows[0]["ids"] and rows[2]["ids"]
    bare = rows_of(run("tokenize", *model, "--no-bos", stdin="one two\n"))[0]["ids"]
    assert rows[0]["ids"][-len(bare) :] == bare
    fails(run("tokenize", *model, stdin='{"prompt": "a"}\n'), "stdin:1:", "'text'", "prompt")


def test_tokenize_agrees_with_logprobs(model):
    scored = rows_of(run("logprobs", *model, *CLASSES, stdin="one two\n"))[0]
    assert scored["prompt_ids"] == rows_of(run("tokenize", *model, stdin="one two\n"))[0]["ids"]


def test_generate(model):
    rows = rows_of(run("generate", *model, "-n", 5, "--ignore-eos", stdin="one\ntwo three\n"))
    assert [row["id"] for row in rows] == [0, 1]
    for row in rows:
        assert list(row) == ["id", "text", "ids", "finish"] and len(row["ids"]) == 5 and row["finish"] == "length"
    again = rows_of(run("generate", *model, "-n", 5, "--ignore-eos", "-t", "{text}", stdin="one\n"))
    assert again[0]["ids"] == rows[0]["ids"]


def test_generate_reports(model, tmp_path):
    report = tmp_path / "report.json"
    rows = rows_of(run("generate", *model, "-n", 5, "--ignore-eos", "--json", report, stdin="one\ntwo three\n"))
    facts = json.loads(report.read_text())
    assert facts["n"] == len(rows) == 2 and facts["seconds"] > 0 and facts["head_rows"] == 10
    assert facts["tokens_computed"] >= 8 and facts["peak_memory_bytes"] > facts["weight_bytes"] > 0
    fails(run("generate", *model, "--json", model[1], stdin="one\n"), "read from")


def test_generate_stops(model):
    prompts = "".join(f"{letter}\n" for letter in string.ascii_letters + string.digits + ".,;:!?")
    whole = rows_of(run("generate", *model, "-n", 8, "--ignore-eos", stdin=prompts))
    # A tiny random model speaks in pieces of characters: take what is text from the first character on.
    row = next(row for row in whole if len(row["text"]) > 1 and "\ufffd" not in row["text"][:2])
    stop = row["text"][1].replace("\\", "\\\\").replace("\n", "\\n")
    done = rows_of(run("generate", *model, "-n", 8, "--ignore-eos", "--stop", "no such", "--stop", stop, stdin=prompts))
    assert done[row["id"]]["finish"] == "stop"
    assert done[row["id"]]["text"] == row["text"][: row["text"].index(row["text"][1])]


def test_inspect(tiny_model):
    text = run("inspect", tiny_model)
    facts = run("inspect", "--json", tiny_model)
    assert text.returncode == facts.returncode == 0
    sections = json.loads(facts.stdout)
    assert {"file", "model", "tokenizer", "metadata", "tensors"} <= set(sections)
    for section in sections:
        assert f"\n{section}\n" in "\n" + text.stdout.decode()


def test_bench(model):
    report = json.loads(run("bench", *model, "--prefill", 24, "--repeat", 2, "--json", "-").stdout)
    assert report["prefill_tokens_per_second"] > 0 and report["score_rows_per_second"] > 0
    assert 16 <= report["prefill_tokens"] <= 26 and report["load_seconds"] >= 0 and report["peak_memory_bytes"] > 0
    assert b"tokens/s" in run("bench", *model, "--repeat", 1).stdout


# ---- What a review found -------------------------------------------------------------------------------------------


def test_evaluate_reports_the_rows_before_a_bad_one(model, write, tmp_path):
    path, report = write("in.jsonl", '{"prompt": "a", "completions": ["b", "c"], "label": 0}\n{bad\n'), tmp_path / "r.json"
    done = run("evaluate", *model, "--label", "label", "--json", report, path)
    assert done.returncode == 2 and b"in.jsonl:2" in done.stderr
    report = json.loads(report.read_text())
    assert report["n"] == 1 and report["complete"] is False


def test_a_column_named_twice(model, write):
    fails(classify(model, write("in.csv", "text,text\na,b\n"), "-t", "{text}"), "two columns 'text'", "rename")


def test_end_of_prompt_with_a_nul(model, write):
    row = '{"prompt": "a", "completions": ["b", "c"], "end_of_prompt": "\\u0000x"}\n'
    fails(run("classify", *model, write("in.jsonl", row)), "end_of_prompt", "in.jsonl:1")


@pytest.mark.parametrize("memory", ["1", "1K", "100K"])
def test_a_budget_far_too_small(model, write, memory):
    fails(classify(model, write("in.txt", "a\n"), "--memory", memory), "memory budget", "in.txt:1")


@pytest.mark.parametrize("name, content", [("p.json", "[]"), ("p.json", ""), ("p.json", "{}"), ("p.json", "[[1]]")])
def test_a_prior_file_that_holds_no_prior(model, write, name, content):
    fails(run("classify", *model, *CLASSES, "--prior", f"@{write(name, content)}", stdin="a\n"), "prior" if content else name)


def test_nul_bytes_belong_to_the_text(model, write):
    classes = write("classes", "yes\0\nno\n")
    row = rows_of(run("logprobs", *model, "-c", f"@{classes}", "--format", "csv", stdin='text\n"a\0b"\n'))[0]
    assert row["prompt"] == "a\0b" and [c["text"] for c in row["completions"]] == ["yes\0", "no"]


def test_messages_are_one_line_whatever_the_row_holds(model):
    row = json.dumps({"text": "a", "label": "two\nlines \x1b[31m\x7f"})
    done = fails(run("evaluate", *model, *CLASSES, "--label", "label", stdin=row), "stdin:1:", "'two lines  [31m '")
    assert b"\x1b" not in done.stderr


def test_a_split_model(model, tmp_path):
    import tiny

    tiny.make(tmp_path / "parts.gguf", "llama", split=6)
    parts = sorted(tmp_path.glob("parts-*.gguf"))
    assert len(parts) > 2 and parts[0].name == f"parts-00001-of-{len(parts):05}.gguf"
    assert run("logprobs", "-m", parts[0], *CLASSES, stdin="one\n").stdout == run(
        "logprobs", *model, *CLASSES, stdin="one\n").stdout
    fails(run("classify", "-m", parts[1], *CLASSES, stdin="one\n"), parts[1].name, "00001")
    parts[-1].unlink()
    fails(run("classify", "-m", parts[0], *CLASSES, stdin="one\n"), parts[-1].name)


def test_a_truncated_model(tiny_model, tmp_path):
    whole, path = Path(tiny_model).read_bytes(), tmp_path / "short.gguf"
    for eighth in range(8):
        path.write_bytes(whole[: len(whole) * eighth // 8])
        fails(run("classify", "-m", path, *CLASSES, stdin="one\n"), "short.gguf")


def test_a_context_of_exactly_the_tokens(model):
    ids = rows_of(run("logprobs", *model, *CLASSES, stdin="one two\n"))[0]
    need = len(ids["prompt_ids"]) + max(len(c["ids"]) for c in ids["completions"])
    assert rows_of(run("classify", *model, *CLASSES, "--context", need, stdin="one two\n"))
    fails(run("classify", *model, *CLASSES, "--context", need - 1, stdin="one two\n"), "stdin:1:", f"{need} tokens")


@pytest.mark.parametrize("command", [["classify", *CLASSES], ["generate", "-n", 8, "--ignore-eos"]])
def test_the_memory_that_is_asked_for_is_enough(model, write, command):
    """And results do not depend on it."""
    path = write("many.txt", "".join(f"{'many words of ' * (i % 8)}row {i}\n" for i in range(100)))
    command = [*command, *model, "--threads", "1", path]
    plenty, memory = run(*command), "1K"
    for _ in range(20):  # each row may need more than those before it
        done = run(*command, "--memory", memory)
        if done.returncode == 0:
            break
        memory = re.search(r"need (\d+) MiB", done.stderr.decode())[1] + "M"
    assert done.returncode == 0 and done.stdout == plenty.stdout and len(plenty.stdout.splitlines()) == 100
