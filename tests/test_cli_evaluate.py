"""The evaluate command, and output of predictions only."""
import csv
import json
import math
import re

import integers
import pytest
from command import CLASSES, GOOD, as_text, classify, fails, rows_of, run


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
        done = run("evaluate", *model, *CLASSES, "--label", "c", "--json", "-", "--overwrite", "-o", out, path)
        report = json.loads(done.stdout)
        assert REPORT <= set(report) and report["n"] == 30 and report["accuracy"] == 20 / 30
        assert sum(pair["count"] for pair in report["confusions"]) == 10
        assert report["confusions"][0]["label"] in names and report["peak_memory_bytes"] > 1_000_000
        rows = [json.loads(line) for line in out.read_bytes().splitlines()]
        assert [row["label_index"] for row in rows] == labels
        assert [row["label"] for row in rows] == [names[label] for label in labels]
        assert [row["correct"] for row in rows] == [label == choice for label, choice in zip(labels, choices)]
    report_file = tmp_path / "report.json"
    text = run("evaluate", *model, *CLASSES, "--label", "c", "--json", report_file, named).stdout.decode()
    assert "accuracy   0.6667 (20 of 30)" in text and "taken for" in text and "rows/s" in text
    report = json.loads(report_file.read_text())
    assert report["n"] == 30 and 0 < report["file_resident_bytes"] <= report["file_bytes"]


@pytest.mark.parametrize("how, deciding", [(["--isa", "ref"], "i16"), ([], "f32")])
def test_close_rows_name_the_precision_that_decides(model, tmp_path, how, deciding):
    """A model of integers; and one of floats, on processors that are faster in bfloat16."""
    used = ["-m", integers.make(tmp_path, "Q4_0")] if deciding == "i16" else model
    rows = "".join(json.dumps({"text": f"text {i}", "c": "c1"}) + "\n" for i in range(200))
    done = run("evaluate", *used, *how, "--precision", "auto", "-c", ",".join(f"c{i}" for i in range(60)), "--label", "c",
               "--json", tmp_path / "report.json", stdin=rows)
    if json.loads((tmp_path / "report.json").read_text())["precision"] != "auto":
        pytest.skip("one precision is the fastest and decides, too")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["deciding"] == deciding and report["scoring"] in ("bf16", "mixed", "f32") and report["scoring"] != deciding
    assert re.search(rf"^close +\d+ rows? (was|were) scored again in {deciding}$", done.stdout.decode(), re.M)


def test_evaluate_rows_to_stdout(model):
    rows = '{"text": "a", "label": "yes"}\n{"text": "b", "label": "no"}\n'
    done = run("evaluate", *model, *CLASSES, "--label", "label", "-o", "-", stdin=rows)
    assert [row["label"] for row in rows_of(done)] == ["yes", "no"] and b"accuracy" in done.stderr


def test_numeric_classes_are_meant_by_name(model):
    done = run("evaluate", *model, "-c", "1,2,3", "--label", "stars", "-o", "-", stdin='{"text": "a", "stars": 1}\n')
    assert rows_of(done)[0]["label_index"] == 0


@pytest.mark.parametrize("label", ['"maybe"', "2", "-1", "0.5", "null"])
def test_unknown_label(model, label):
    rows = '{"text": "a", "label": "yes"}\n{"text": "b", "label": %s}\n' % label
    fails(run("evaluate", *model, *CLASSES, "--label", "label", stdin=rows), "stdin:2:", "label")


def test_missing_label(model):
    fails(run("evaluate", *model, *CLASSES, "--label", "label", stdin='{"text": "a"}\n'), "stdin:1:", "'label'", "text")


def test_evaluate_reports_the_rows_before_a_bad_one(model, tmp_path):
    rows, report = '{"prompt": "a", "completions": ["b", "c"], "label": "b"}\n{bad\n', tmp_path / "r.json"
    done = run("evaluate", *model, "--label", "label", "--json", report, stdin=rows)
    assert done.returncode == 2 and b"stdin:2" in done.stderr
    report = json.loads(report.read_text())
    assert report["n"] == 1 and report["complete"] is False


def test_messages_are_one_line_whatever_the_row_holds(model):
    row = json.dumps({"text": "a", "label": "two\nlines \x1b[31m\x7f"})
    done = fails(run("evaluate", *model, *CLASSES, "--label", "label", stdin=row), "stdin:1:", "'two lines  [31m '")
    assert b"\x1b" not in done.stderr


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
        assert [{**row, "id": int(row["id"])} for row in csv.DictReader(file) if row.pop("text")] == [
            {key: value if key in ("id", "prediction") else str(value) for key, value in row.items()} for row in rows]


def test_aggregates_differ(model):
    texts = as_text(f"text {i} of several" for i in range(40))
    mean, total = (rows_of(run("classify", *model, "-c", MANY, *more, stdin=texts)) for more in ([], ["--aggregate", "sum"]))
    assert [row["index"] for row in mean] != [row["index"] for row in total]
    assert all(abs(sum(row["probabilities"].values()) - 1) < 1e-12 for row in total)


@pytest.mark.parametrize("aggregate", ["mean", "sum", "bytes"])
def test_aggregates_of_logprobs(model, aggregate):
    """Probabilities that are not normalized are exp of the aggregate of the log-probabilities that logprobs writes."""
    choices = [*MANY.split(","), "Füße"]
    texts = as_text(f"text {i} of several" for i in range(5))
    how = [*model, "--precision", "f32", "-c", ",".join(choices)]
    full = rows_of(run("logprobs", *how, stdin=texts))
    rows = rows_of(run("classify", *how, "--multi-label", "--aggregate", aggregate, stdin=texts))
    for row, of in zip(rows, full, strict=True):
        logprobs = [completion["logprobs"] for completion in of["completions"]]
        lengths = {"mean": map(len, logprobs), "sum": [1] * len(choices), "bytes": (len(c.encode()) for c in choices)}
        expected = [math.exp(sum(tokens) / n) for tokens, n in zip(logprobs, lengths[aggregate])]
        assert list(row["probabilities"].values()) == pytest.approx(expected, rel=1e-6)


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


def test_only_prediction_reports_the_rows_before_a_bad_one(model):
    done = run("classify", *model, *CLASSES, "--only-prediction", stdin=GOOD + '{"text": ""}\n')
    fails(done, "stdin:2:", "empty")
    assert done.stdout.count(b"\n") == 1


# ---- Resumed runs ----------------------------------------------------------------------------------------------------

SAME = ["accuracy", "n", "correct", "log_loss", "confusions", "complete"]


@pytest.mark.parametrize("ending", ["jsonl", "csv", "tsv.gz"])
@pytest.mark.parametrize(
    "more",
    [
        [],
        ["--rename", "index=chosen", "--rename", "probabilities=p", "--rename", 'b "c"=other'],
        ["--top", "3"],
        ["--only-prediction"],
        ["-c", "a,a,b", "--keep", "none"],
        ["--keep", "all", "--on-error", "null", "--id", "key"],
        ["--on-error", "skip"],
    ],
)
def test_a_run_that_goes_on_reports_on_all_rows(model, write, tmp_path, ending, more):
    """Equal to the last bit: earlier results are read back from the rows."""
    classes = ["-c", "@" + str(write("classes.json", json.dumps(["a", 'b "c"', "d,\te"])))]
    rows = [{"text": f"text {i}, of \"many\"\n", "label": i % 3, "key": f"k{i}"} for i in range(40)]
    rows[11]["text"] = rows[30]["text"] = "" if "--on-error" in more else "x"
    path = write("in.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    if "--rename" in more and ending != "jsonl":
        more = [part for i, part in enumerate(more) if i not in (2, 3)]  # each probability has a column
    elif "--rename" in more:
        more = more[:4]
    how = ["evaluate", *model, *classes, *more, "--label", "label", "-q"]
    whole, out, reports = tmp_path / f"whole.{ending}", tmp_path / f"out.{ending}", []
    status = 3 if "--on-error" in more else 0
    assert run(*how, "-o", whole, "--json", tmp_path / "whole.json", path).returncode == status
    expected = json.loads((tmp_path / "whole.json").read_text())
    assert run(*how, "-o", out, path).returncode == status
    for kept in 0.2, 0.6, 1:
        data = whole.read_bytes()
        out.write_bytes(data[: int(len(data) * kept)])
        done = run(*how, "-o", out, "--resume", "--json", "-", path)
        assert done.returncode == status, done.stderr
        report = json.loads(done.stdout)
        assert {key: report[key] for key in SAME} == {key: expected[key] for key in SAME}
        reports.append(report.get("rows_kept", 0))
    assert reports[-1] == 40 - 2 * ("skip" in more) and (reports[0] < reports[1] or ending.endswith("gz"))


def test_what_top_leaves_out_is_not_known(model, write, tmp_path):
    """A label that is not among the best has no probability in the rows. Then the log-loss of all rows is missing
    too."""
    rows = [{"text": f"text {i}", "label": i % 3} for i in range(12)]
    path, out = write("in.jsonl", "".join(json.dumps(row) + "\n" for row in rows)), tmp_path / "out.csv"
    how = ["evaluate", *model, "-c", "a,b,c", "--label", "label", "--top", "1", "-o", out]
    whole = run(*how, path)
    report = run(*how, "--resume", "--json", "-", path).stdout
    assert json.loads(report)["log_loss"] is None and json.loads(report)["n"] == 12
    told = run(*how, "--resume", path).stdout
    assert b"log-loss   unknown" in told and whole.stdout.splitlines()[0] == told.splitlines()[0]


def test_rows_that_were_changed_are_not_reported_on(model, write, tmp_path):
    path, out = write("in.jsonl", '{"text": "a", "label": 0}\n{"text": "b", "label": 1}\n'), tmp_path / "out.jsonl"
    how = ["evaluate", *model, *CLASSES, "--label", "label", "-q", "-o", out, path]
    assert run(*how).returncode == 0
    rows = out.read_bytes().splitlines(keepends=True)
    for changed in b'{"id": 0}\n', b'{"id": 0, "index": 7}\n', b"no JSON\n":
        out.write_bytes(changed + rows[1])
        fails(run(*how, "--resume"), "out.jsonl", "--overwrite")
