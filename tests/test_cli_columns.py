"""The columns that classify and evaluate write: names of classes, kept columns, new names, the best K, and rows that
could not be scored."""
import csv
import gzip
import json
import subprocess

import pytest
from command import CAPP, CLASSES, classify, fails, rows_of, run

TABLE = 'id,text,note\na,"one, two",x\nb,"say ""hi""",\nc,three,"two\nlines"\n'
OWN = ["prediction", "index", "probability", "second", "margin"]


def table(path, separator=","):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file, delimiter=separator))


@pytest.fixture
def source(write):
    return write("in.csv", TABLE)


@pytest.mark.parametrize("ending, separator", [("csv", ","), ("tsv", "\t")])
def test_a_column_a_class(model, source, tmp_path, ending, separator):
    out = tmp_path / f"out.{ending}"
    reference = rows_of(classify(model, source))
    assert classify(model, source, "-o", out).returncode == 0
    header, *rows = table(out, separator)
    assert header == ["id", "text", "note", *OWN, "yes", "no"]
    assert [row[:3] for row in rows] == [["a", "one, two", "x"], ["b", 'say "hi"', ""], ["c", "three", "two\nlines"]]
    for row, expected in zip(rows, reference, strict=True):
        values = dict(zip(header, row))
        assert {"yes": float(values["yes"]), "no": float(values["no"])} == expected["probabilities"]
        assert [values[name] for name in ("prediction", "second")] == [expected["prediction"], expected["second"]]
        assert float(values["margin"]) == expected["margin"] == expected["probability"] - min(
            expected["probabilities"].values())


def test_packed_rows_are_the_same(model, source, tmp_path):
    plain, packed, frames = tmp_path / "a.csv", tmp_path / "b.csv.gz", tmp_path / "c.csv.zst"
    for out in plain, packed, frames:
        assert classify(model, source, "-o", out).returncode == 0
    assert gzip.decompress(packed.read_bytes()) == plain.read_bytes()
    assert subprocess.run(["zstd", "-dcq", frames], stdout=subprocess.PIPE).stdout == plain.read_bytes()


def test_json_lines_by_every_name(model, source, tmp_path):
    expected = classify(model, source).stdout
    for ending in "jsonl", "json", "ndjson", "JSONL":
        out = tmp_path / f"out.{ending}"
        assert classify(model, source, "-o", out).returncode == 0 and out.read_bytes() == expected


@pytest.mark.parametrize("name", ["out", "out.txt", "out.csv.bz2", "out.gz", "out.jsonl.tmp", "out.xlsx"])
def test_other_endings_are_errors(model, source, tmp_path, name):
    fails(classify(model, source, "-o", tmp_path / name), name, ".jsonl", ".csv")
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("command", [["logprobs", *CLASSES], ["tokenize"], ["generate"]])
def test_lists_are_no_table(model, source, tmp_path, command):
    out = tmp_path / "out.csv"
    fails(run(*command, *model, "-o", out, source), "out.csv", "JSON lines", ".jsonl")
    assert not out.exists()


# ---- Kept columns and their names ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "keep, names", [("all", ["text", "note"]), ("none", []), ("note", ["note"]), ("note,text", ["text", "note"])])
def test_keep(model, source, tmp_path, keep, names):
    out = tmp_path / "out.csv"
    assert classify(model, source, "--keep", keep, "-o", out).returncode == 0
    assert table(out)[0] == ["id", *names, *OWN, "yes", "no"]
    rows = rows_of(classify(model, source, "--keep", keep))
    assert list(rows[0]) == ["id", *names, *OWN, "probabilities"]
    assert all(row[name] == kept[["id", "text", "note"].index(name)]
               for row, kept in zip(rows, table(source)[1:]) for name in names)


def test_keep_of_json_keeps_values_as_they_stood(model, write):
    rows = '{"text": "a", "price": 19.990, "tags": ["x", 1e3], "none": null, "s": "\\u00e9"}\n'
    done = classify(model, write("in.jsonl", rows), "--keep", "all")
    assert b'"price": 19.990, "tags": ["x",1e3], "none": null' in done.stdout.replace(b", 1e3", b",1e3"), done.stdout
    assert rows_of(done)[0]["s"] == "é" and rows_of(done)[0]["text"] == "a"


def test_keep_of_json_in_a_table(model, write, tmp_path):
    rows = [{"text": "a", "n": 1.50, "o": {"k": [1]}}, {"text": "b", "n": None}, {"text": "c", "new": 1}]
    path, out = write("in.jsonl", "".join(json.dumps(row) + "\n" for row in rows)), tmp_path / "out.csv"
    done = classify(model, path, "-o", out)
    assert done.returncode == 0 and b"'new'" in done.stderr and b"left out" in done.stderr
    header, *rows = table(out)
    assert header == ["id", "text", "n", "o", *OWN, "yes", "no"]
    assert [row[1:4] for row in rows] == [["a", "1.5", '{"k":[1]}'], ["b", "", ""], ["c", "", ""]]


def test_what_is_kept_must_be_there(model, source):
    fails(classify(model, source, "--keep", "text,nothing"), "--keep 'nothing'")


@pytest.mark.parametrize("name", ["prediction", "index", "probability", "second", "margin", "yes"])
def test_a_column_with_a_name_of_capps_own(model, write, tmp_path, name):
    path, out = write("in.csv", f"text,{name}\na,b\n"), tmp_path / "out.csv"
    fails(classify(model, path, "-q", "-o", out), f"'{name}'", f"--rename '{name}=NEW'", "--keep")
    assert classify(model, path, "-q", "-o", out, "--rename", f"{name}=was {name}").returncode == 0
    header, row = table(out)
    assert header == ["id", "text", f"was {name}", *OWN, "yes", "no"] and row[2] == "b"
    assert classify(model, path, "-q", "-o", out, "--overwrite", "--keep", "text").returncode == 0


def test_a_class_with_a_name_of_capps_own(model, write, tmp_path):
    path, out = write("in.csv", "text\na\n"), tmp_path / "out.csv"
    fails(run("classify", *model, "-q", "-c", "index,no", "-o", out, path), "class 'index'", "--rename 'index=NEW'")
    how = ["classify", *model, "-q", "-c", "index,no", "-o", out, "--rename", "index=p(index)"]
    assert run(*how, path).returncode == 0 and table(out)[0] == ["id", "text", *OWN, "p(index)", "no"]


def test_rename(model, source, tmp_path):
    out = tmp_path / "out.csv"
    renames = ["--rename", "note=remark", "--rename", "prediction=topic", "--rename", "yes=p=yes"]
    assert classify(model, source, *renames, "-o", out).returncode == 0
    assert table(out)[0] == ["id", "text", "remark", "topic", *OWN[1:], "p=yes", "no"]
    row = rows_of(classify(model, source, "--rename", "prediction=topic"))[0]
    assert list(row) == ["id", "topic", *OWN[1:], "probabilities"]
    fails(classify(model, source, "--rename", "nothing=x"), "--rename 'nothing'")
    fails(classify(model, source, "--rename", "prediction"), "OLD=NEW")
    fails(classify(model, source, "--rename", "note=index", "-o", tmp_path / "x.csv"), "'index'")


def test_id_column(model, source, write, tmp_path):
    assert [row["id"] for row in rows_of(classify(model, source, "--id", "text"))] == ["one, two", 'say "hi"', "three"]
    fails(classify(model, source, "--id", "nothing"), "'nothing'", "id, text, note")
    out = tmp_path / "out.csv"
    fails(classify(model, source, "--id", "text", "-t", "{text}", "-o", out), "'id'", "--rename 'id=NEW'")
    how = ["--id", "text", "--rename", "id=old", "-o", out]
    assert classify(model, source, *how).returncode == 0
    assert table(out)[1][:2] == ["one, two", "a"]
    numbers = rows_of(classify(model, write("in.jsonl", '{"text": "a", "n": 7.0}\n'), "--id", "n"))
    assert numbers[0]["id"] == 7


# ---- Probabilities ---------------------------------------------------------------------------------------------------


def test_probabilities_are_a_list_where_names_say_nothing(model, tmp_path, write):
    row = '{"text": "a", "completions": ["x", "y"]}\n'
    assert isinstance(rows_of(run("classify", *model, stdin=row))[0]["probabilities"], list)
    assert isinstance(rows_of(run("classify", *model, *CLASSES, stdin=row))[0]["probabilities"], list)
    twice = rows_of(run("classify", *model, "-q", "-c", "yes,yes,no", stdin="a\n"))[0]["probabilities"]
    assert isinstance(twice, list) and len(twice) == 3
    path, out = write("in.jsonl", row), tmp_path / "out.csv"
    assert run("classify", *model, "-q", "-o", out, path).returncode == 0
    header, cells = table(out)
    assert header == ["id", "text", *OWN, "probabilities"] and len(json.loads(cells[-1])) == 2
    out.unlink()
    fails(classify(model, path, "-q", "-o", out), "its own completions", ".jsonl")


def test_top(model, source, tmp_path):
    classes = ["-c", "yes,no,on,the other,there"]
    full = rows_of(run("classify", *model, *classes, source))
    rows = rows_of(run("classify", *model, *classes, "--top", 3, source))
    out, all_out = tmp_path / "out.csv", tmp_path / "all.csv"
    assert run("classify", *model, *classes, "--top", 2, "-o", out, source).returncode == 0
    assert run("classify", *model, *classes, "--top", 9, "-o", all_out, source).returncode == 0
    header, *cells = table(out)
    assert header == ["id", "text", "note", *OWN, "top_1", "top_1_probability", "top_2", "top_2_probability"]
    assert len(table(all_out)[0]) == len(header) + 6
    for row, expected, line in zip(rows, full, cells, strict=True):
        best = sorted(expected["probabilities"].items(), key=lambda item: -item[1])
        assert [(item["class"], item["probability"]) for item in row["top"]] == best[:3]
        assert row["second"] == best[1][0] and "probabilities" not in row
        assert [line[8], float(line[9]), line[10], float(line[11])] == [*best[0], *best[1]]
    fails(run("classify", *model, *classes, "--top", 2, "--only-prediction", source), "--top", "--only-prediction")


def test_labels_are_text(model, write, tmp_path):
    path, out = write("in.csv", "text,topic,more\na,no,1\nb,yes,2\n"), tmp_path / "out.csv"
    assert run("evaluate", *model, *CLASSES, "--label", "topic", "-o", out, path).returncode == 0
    header, *rows = table(out)
    assert header == ["id", "text", "more", *OWN, "yes", "no", "label", "label_index", "correct"]
    assert [row[-3:-1] for row in rows] == [["no", "1"], ["yes", "0"]]
    assert all(row[-1] == str(row[3] == row[-3]).lower() for row in rows)


@pytest.mark.parametrize("content, columns", [("text,note\n", ["text", "note"]), ("", [])])
def test_a_header_where_there_are_no_rows(model, write, tmp_path, content, columns):
    out = tmp_path / "out.csv"
    assert classify(model, write("in.csv", content), "-q", "-o", out).returncode == 0
    assert table(out) == [["id", *columns, *OWN, "yes", "no"]]


# ---- Rows that cannot be scored --------------------------------------------------------------------------------------

BAD = '{"text": "one"}\n{"text": ""}\n{broken\n{"id": "long", "text": "%s"}\n{"text": "five"}\n{"other": 1}\n' % (
    "many words " * 400)
BAD_ROWS = [1, 2, 3, 5]


@pytest.fixture
def bad(write):
    return write("in.jsonl", BAD)


@pytest.mark.parametrize("command", [["classify", *CLASSES], ["classify", *CLASSES, "--only-prediction"],
                                     ["logprobs", *CLASSES], ["generate", "-n", "2"]])
def test_skip_and_null(model, bad, tmp_path, command):
    how = [*command, *model]
    fine = rows_of(run(*how, stdin='{"text": "one"}\n{"id": 4, "text": "five"}\n'))
    out = tmp_path / "skip.jsonl"
    done = run(*how, "-q", "--on-error", "skip", "-o", out, bad)
    assert done.returncode == 3, done.stderr
    assert [json.loads(line) for line in out.read_bytes().splitlines()] == fine
    told = [json.loads(line) for line in (tmp_path / "skip.jsonl.errors.jsonl").read_bytes().splitlines()]
    assert [row["row"] for row in told] == BAD_ROWS and [row["line"] for row in told] == [i + 1 for i in BAD_ROWS]
    assert all(row["error"] for row in told) and told[2]["id"] == "long" and "context" in told[2]["error"]
    out = tmp_path / "null.jsonl"
    done = run(*how, "--on-error", "null", "-o", out, bad)
    assert done.returncode == 3 and b"4 of 6 rows could not be scored" in done.stderr
    rows = [json.loads(line) for line in out.read_bytes().splitlines()]
    assert len(rows) == 6 and [rows[0], rows[4]] == fine
    for i, row in zip(BAD_ROWS, told, strict=True):
        assert rows[i]["error"] == row["error"] and rows[i]["id"] == row["id"]
        assert command[0] != "classify" or rows[i]["prediction"] is None


def test_null_rows_of_a_table(model, bad, tmp_path):
    out = tmp_path / "out.csv"
    assert classify(model, bad, "-q", "--on-error", "null", "-o", out).returncode == 3
    header, *rows = table(out)
    assert header == ["id", "text", *OWN, "yes", "no", "error"] and len(rows) == 6
    assert [bool(row[-1]) for row in rows] == [i in BAD_ROWS for i in range(6)]
    assert all(set(row[2:-1]) == {""} for row in rows if row[-1])


def test_bad_rows_of_a_pipe_are_told_on_stderr(model, bad):
    done = run("classify", *model, *CLASSES, "--on-error", "skip", stdin=BAD)
    told = done.stderr.decode()
    assert done.returncode == 3 and len(done.stdout.splitlines()) == 2
    assert all(f"stdin:{i + 1}: left out" in told for i in BAD_ROWS) and "4 of 6 rows" in told


def test_stop_says_how_to_go_on(model, write, tmp_path):
    out = tmp_path / "out.jsonl"
    rows = '{"text": "one"}\n{"text": ""}\n'
    done = run("classify", *model, *CLASSES, "-o", out, stdin=rows)
    assert done.returncode == 2 and b"1 rows before it are written" in done.stderr and b"--on-error" in done.stderr
    assert len(out.read_bytes().splitlines()) == 1


def test_evaluate_counts_what_could_be_scored(model, tmp_path, write):
    path = write("in.jsonl", '{"text": "a", "label": "yes"}\n{"text": "", "label": "no"}\n{"text": "b", "label": "no"}\n')
    report = tmp_path / "report.json"
    done = run("evaluate", *model, *CLASSES, "--label", "label", "--on-error", "skip", "--json", report, path)
    assert done.returncode == 3 and json.loads(report.read_text())["n"] == 2


@pytest.mark.parametrize("policy", ["skip", "null"])
def test_a_run_with_bad_rows_goes_on(model, write, tmp_path, policy):
    """Wherever the run was stopped, also between bad rows: the result, reasons included, has the bytes of an unbroken
    run."""
    lines = ['{"text": ""}' if i % 3 == 1 else '{"text": "%s"}' % ("long " * 400) if i % 7 == 2 else
             '{"text": "row %d"}' % i for i in range(40)]
    path = write("in.jsonl", "\n".join(lines) + "\n")
    whole, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    how = ["classify", *model, *CLASSES, "-q", "--on-error", policy]
    assert run(*how, "-o", whole, path).returncode == 3
    assert run(*how, "-o", out, path).returncode == 3
    rows = whole.read_bytes().splitlines(keepends=True)
    for n in 1, 5, 6, len(rows) - 1, len(rows):
        out.write_bytes(b"".join(rows[:n]) + (rows[n][:9] if n < len(rows) else b""))
        assert run(*how, "-o", out, "--resume", path).returncode == 3
        for ending in "", ".errors.jsonl":
            assert (tmp_path / f"out.jsonl{ending}").read_bytes() == (tmp_path / f"whole.jsonl{ending}").read_bytes()
    (tmp_path / "out.jsonl.errors.jsonl").unlink()
    fails(run(*how, "-o", out, "--resume", path), "errors.jsonl", "cannot open the file")
