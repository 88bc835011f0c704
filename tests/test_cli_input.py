"""The command's input: formats, classes, templates, and the message and place of each bad row."""
import csv
import json

import pytest
from command import CLASSES, GOOD, TEXTS, as_csv, as_jsonl, as_text, classify, fails, rows_of, run, told


# ---- Formats --------------------------------------------------------------------------------------------------------


def test_objects_on_one_line(model, write):
    content = '{"text": "a"}{"text": "b"} {"text": "c"}'
    for path in [write("rows.json", content)], [write("rows.jsonl", content)], []:
        rows = rows_of(run("logprobs", *model, *CLASSES, *path, stdin=b"" if path else content))
        assert [row["prompt"] for row in rows] == ["a", "b", "c"]


@pytest.mark.parametrize("marks", [1, 2])
def test_byte_order_marks_are_no_text(model, write, marks):
    for content in "text,id\na,1\n", '{"text": "a"}\n', "a\n":
        done = run("logprobs", *model, *CLASSES, write("rows", "\ufeff" * marks + content))
        assert [row["prompt"] for row in rows_of(done)] == ["a"]


def test_names_that_are_hard_to_read_are_told_in_quotes(model, write):
    fails(classify(model, write("rows.csv", ' text ,"a,b",\nx,y,z\n')), "the input has: ' text ', 'a,b', ''")
    fails(classify(model, write("rows.csv", "x" * 9000 + ",a\ny,z\n")), "x...", "a")
    fails(classify(model, write("rows.jsonl", "{}\n")), "'text'", "the row is empty")


def test_of_a_name_that_stands_twice_the_last_one_is_kept(model, tmp_path):
    rows = '{"text": "a", "z": 1, "y": 2, "z": 3}\n'
    for ending, kept in (".jsonl", '"text": "a", "y": 2, "z": 3, '), (".csv", "0,a,2,3,"):
        out = tmp_path / f"out{ending}"
        assert run("classify", *model, *CLASSES, "--keep", "all", "-o", out, stdin=rows).returncode == 0
        assert kept in out.read_text() and '"z": 1' not in out.read_text()


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
        assert list(row) == ["id", "prediction", "index", "probability", "second", "margin", "probabilities"]
        assert row["id"] == i and row["prediction"] == ["yes", "no"][row["index"]]
        probabilities = row["probabilities"]
        assert row["probability"] == probabilities[row["prediction"]] == max(probabilities.values())
        assert {row["prediction"], row["second"]} == {"yes", "no"} == set(probabilities)
        assert row["margin"] == row["probability"] - probabilities[row["second"]]
        assert abs(sum(probabilities.values()) - 1) < 1e-12


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
        assert {name: float(row[name]) for name in ("yes", "no")} == expected["probabilities"]


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
    assert sum(done[2]["probabilities"].values()) < 1


def test_prior_and_multi_label(model, write):
    plain, tilted, multi, from_file = (
        [*rows_of(run("classify", *model, *CLASSES, *more, stdin="one\n"))[0]["probabilities"].values()]
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
    assert len(told(done)) == 1 and b"warning: class 'yes'" in done.stderr
    assert row["probabilities"][0] == row["probabilities"][2] == row["probabilities"][3] and row["index"] in (0, 1)
    assert not run("classify", *model, "-q", "-c", "yes,no,yes", stdin="one\n").stderr


def test_nul_bytes_belong_to_the_text(model, write):
    classes = write("classes", "yes\0\nno\n")
    row = rows_of(run("logprobs", *model, "-c", f"@{classes}", "--format", "csv", stdin='text\n"a\0b"\n'))[0]
    assert row["prompt"] == "a\0b" and [c["text"] for c in row["completions"]] == ["yes\0", "no"]


@pytest.mark.parametrize("name, content", [("p.json", "[]"), ("p.json", ""), ("p.json", "{}"), ("p.json", "[[1]]")])
def test_a_prior_file_that_holds_no_prior(model, write, name, content):
    fails(run("classify", *model, *CLASSES, "--prior", f"@{write(name, content)}", stdin="a\n"), "prior" if content else name)


# ---- Templates ------------------------------------------------------------------------------------------------------


def prompts(model, template, stdin):
    return [row["prompt"] for row in rows_of(run("logprobs", *model, *CLASSES, "-t", template, stdin=stdin))]


def test_templates(model):
    row = json.dumps({"a": "A", "b b": 'q"\n', "n": 3, "x": 0.1, "l": [1, "é"], "t": True, "none": None})
    for template, text in [
        (r"Q: {a}\nT:\t\\n\x", "Q: A\nT:\t\\n\\x"),
        ("{{{a}}}", "{A}"),
        ("{a}{b b}{a}", 'Aq"\nA'),
        ("{n} {x} {l} {t}|{none}|", '3 0.1 [1,"é"] true||'),
        (r"\{a}", "\\A"),
    ]:
        assert prompts(model, template, row) == [text], template


def test_template_unknown_column(model, write):
    path = write("a.csv", "text,category\nx,y\n")
    fails(classify(model, path, "-t", "{txt}"), "a.csv:1:", "'txt'", "text, category")
    fails(classify(model, write("b.csv", "text,category\n"), "-t", "{txt}"), "'txt'", "text, category")
    fails(classify(model, write("c.txt", "x\n"), "-t", "{txt}"), "'txt'", "text")
    done = classify(model, write("d.jsonl", '{"txt": "a"}\n{"text": "a"}\n'), "-t", "{txt}")
    fails(done, "d.jsonl:2:", "'txt'", "text", "no row was scored")


# ---- Bad rows -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, content, place, parts",
    [
        ("a.csv", "text,c\na,b\nx,y,z\n", 3, ["row 2 has 3 fields", "header has 2"]),
        ("a.csv", 'text,c\n"a\n1",b\nx\n', 4, ["row 2 has 1 field,", "header has 2"]),
        ("a.csv", 'text,c\na,b\n"x,y\nz\n', 3, ["quote", "does not end"]),
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
    """In a file, bad rows are found before the first row is scored; from a pipe, the rows before them are written."""
    done = classify(model, write(name, content), "--window", window)
    fails(done, f"{name}:{place}: ", *parts, "no row was scored")
    assert not done.stdout
    format = {"csv": "csv", "jsonl": "jsonl", "txt": "text"}[name.split(".")[1]]
    done = run("classify", *model, *CLASSES, "--window", window, "--format", format, stdin=content)
    fails(done, f"stdin:{place}: ", *parts)
    first = content if isinstance(content, bytes) else content.encode()
    expected = 2 if b"\x00" in first else 1
    assert len(done.stdout.splitlines()) == expected
    assert json.loads(done.stdout.splitlines()[0])["id"] == 0


def test_no_completions(model):
    fails(run("classify", *model, stdin='{"prompt": "a"}\n'), "stdin:1:", "no completions", "-c")
    fails(run("logprobs", *model, stdin='{"prompt": "a"}\n'), "stdin:1:", "no completions", "-c")


def test_row_too_long(model, write):
    content = "a\n" + "b " * 40 + "b\n"
    done = classify(model, write("long.txt", content), "--context", 12)
    fails(done, "long.txt:2:", "context is 12", "--context", "no row was scored")
    assert not done.stdout
    done = run("classify", *model, *CLASSES, "--context", 12, stdin=content)
    fails(done, "stdin:2:", "context is 12", "--context")
    assert done.stdout.count(b"\n") == 1


def test_missing_input(model, tmp_path):
    fails(classify(model, tmp_path / "none.csv"), "none.csv", "No such file")
    fails(classify(model, tmp_path), "this is a folder")


@pytest.mark.parametrize(
    "name, content", [("a.csv", ""), ("b.csv", "text,c\n"), ("a.jsonl", "\n"), ("a.txt", ""), ("a", "")]
)
def test_empty_input(model, write, name, content, tmp_path):
    path = write(name, content)
    out = write("out.jsonl", "old")
    done = classify(model, path, "--overwrite", "-o", out)
    assert done.returncode == 0 and b"no rows" in done.stderr and not done.stdout and out.read_bytes() == b""
    assert not classify(model, path, "-q").stderr
    assert classify(model, path, "-q", "--id", "id").returncode == 0  # there is no row that lacks it


def test_a_column_named_twice(model, write):
    fails(classify(model, write("in.csv", "text,text\na,b\n"), "-t", "{text}"), "two columns 'text'", "rename")


def test_end_of_prompt_with_a_nul(model, write):
    row = '{"prompt": "a", "completions": ["b", "c"], "end_of_prompt": "\\u0000x"}\n'
    fails(run("classify", *model, write("in.jsonl", row)), "end_of_prompt", "in.jsonl:1")
