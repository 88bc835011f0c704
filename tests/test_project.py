"""Project files, and what they can say about prompts and classes: phrasings, examples, the list of classes and its
orders."""
import json
import os
import pty
import re
import sqlite3
import sys
from pathlib import Path

import numpy as np
import pytest
from command import BUILD, CAPP, fails, good, rows_of, run

os.environ.setdefault("CAPP_LIBRARY", str(BUILD / "libcapp.so.0"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "python"))

import capp  # noqa: E402
from capp.classify import predict_proba  # noqa: E402

ROWS = "id,text,topic\n" + "".join(f'r{i},"text {i} of, many",{"abc"[i % 3]}\n' for i in range(20))
PROJECT = """
template = "Text: {text}\\nTopic:"
classes = ["a", "b, and more", "c"]   # a comma is no separator here
prior = [0.5, 0.25, 0.25]
aggregate = "sum"
precision = "f32"
top = 2
keep = ["text", "topic"]
"""
PHRASED = """
template = "{text} is about"
precision = "f32"
[[class]]
name = "a"
phrasings = ["a", "the letter", "first of all"]
prior = 0.5
[[class]]
name = "b"
prior = 0.25
[[class]]
name = "c"
phrasings = ["something else", "c"]
prior = 0.25
"""
SHOTS = "text,topic\none,a\ntwo,b\n"


@pytest.fixture
def source(write):
    return write("in.csv", ROWS)


def query(store, text):
    database = sqlite3.connect(store)
    try:
        return database.execute(text).fetchall()
    finally:
        database.close()


# ---- The file ------------------------------------------------------------------------------------------------------


def test_a_project_is_its_options(model, source, write, tmp_path):
    path = write("p.toml", f'model = "{model[1]}"\n' + PROJECT)
    classes = write("classes.json", '["a", "b, and more", "c"]')
    options = ["-t", "Text: {text}\\nTopic:", "-c", f"@{classes}", "--prior", "0.5,0.25,0.25", "--aggregate", "sum", "--precision", "f32",
               "--top", "2", "--keep", "text,topic"]
    expected = good(run("classify", *model, *options, source))
    assert good(run("classify", "--project", path, source)) == expected
    assert good(run("classify", "-p", path, source)) == expected
    # The command line counts more, and --without removes a key.
    assert good(run("classify", "-p", path, "--top", "1", source)) == good(run("classify", *model, *options, "--top", "1", source)) != expected
    mean = good(run("classify", *model, *options, "--aggregate", "mean", source))
    assert good(run("classify", "-p", path, "--without", "aggregate", source)) == mean != expected
    shots = write("q.toml", 'examples = "missing.csv"\nexamples-label = "topic"\n' + path.read_text())
    assert good(run("classify", "-p", shots, "--without", "examples", source)) == expected
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "capp.toml").write_text(path.read_text())
    assert good(run("classify", "-p", tmp_path / "folder", source)) == expected
    # Only if asked: a capp.toml in the working folder changes nothing by itself.
    fails(run("classify", source, cwd=tmp_path / "folder"), "no model")


def test_without_prior_leaves_out_those_of_classes(model, source, write):
    path, plain = write("p.toml", PHRASED), write("plain.toml", re.sub("prior = .*\n", "", PHRASED))
    expected = good(run("classify", *model, "-p", plain, source))
    assert good(run("classify", *model, "-p", path, "--without", "prior", source)) == expected != good(run("classify", *model, "-p", path, source))
    other = ["--prior", "0.1,0.2,0.7"]
    assert good(run("classify", *model, "-p", path, *other, source)) == good(run("classify", *model, "-p", plain, *other, source))
    fails(run("classify", *model, "-p", plain, "--without", "prior", source), "no such key")


def test_files_are_those_beside_the_project(model, source, write, tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "tiny.gguf").symlink_to(model[1])
    (folder / "classes.txt").write_text("a\nb\nc\n")
    (folder / "prior.json").write_text("[0.2, 0.3, 0.5]")
    (folder / "shots.csv").write_text(SHOTS)
    (folder / "capp.toml").write_text('model = "tiny.gguf"\ntemplate = "{text}:"\nclasses = "@classes.txt"\nprior = "@prior.json"\n'
                                      'examples = "shots.csv"\nexamples-label = "topic"\n')
    expected = good(run("classify", *model, "-t", "{text}:", "-c", "a,b,c", "--prior", "0.2,0.3,0.5", "--examples", folder / "shots.csv",
                        "--examples-label", "topic", source))
    assert good(run("classify", "-p", "project", source, cwd=tmp_path)) == expected
    assert good(run("classify", "-p", folder / "capp.toml", source, cwd="/")) == expected


def test_other_commands_take_what_they_use(model, source, write, tmp_path):
    path = write("p.toml", f'model = "{model[1]}"\n' + PROJECT.replace("b, and more", "b") + 'label = "topic"\n')
    store, two = tmp_path / "run.db", tmp_path / "two.db"
    good(run("classify", "-p", path, "-o", store, source))
    good(run("classify", "-p", path, "--aggregate", "mean", "-o", two, source))
    found = json.loads(good(run("evaluate", "-p", path, "--json", "-", source)))
    again = json.loads(good(run("evaluate", "-p", path, "--json", "-", store)))
    assert found["n"] == again["n"] == 20 and found["accuracy"] == again["accuracy"]
    assert good(run("decide", "-p", path, two)) == good(run("classify", "-p", path, source))
    assert good(run("export", "-p", path, store)) == good(run("classify", "-p", path, source))
    assert json.loads(good(run("compare", "-p", path, "--json", "-", store, two)))["n"] == 20


@pytest.mark.parametrize("text, parts", [
    ('template = "{text"\n', (":1: ", "not closed")),
    ('\nclasses = ["a", 1]\n', (":2: ", "put each in quotes")),
    ('clases = "a,b"\n', (":1: ", "did you mean classes")),
    ('# out\nout = "x.csv"\n', (":2: ", "belongs to a run", "command line")),
    ('chat = "yes"\n', (":1: ", "true or false")),
    ('top = true\n', (":1: ", "not true or false")),
    ('top = 0\n', (":1: ", "--top", "from 1")),
    ('precision = "f23"\n', (":1: ", "use auto, f32")),
    ('classes = ["a", "b"]\n[[class]]\nname = "a"\n', (":2: ", "keep one")),
    ('[class]\nname = "a"\n', (":1: ", "[[class]]")),
    ('[[class]]\nnam = "a"\n', (":2: ", "name, description")),
    ('[[class]]\ndescription = "a"\n', (":1: ", "no name")),
    ('[options]\ntop = 1\n', (":1: ", "unknown table")),
    ('[[class]]\nname = "a"\nprior = 0.5\n[[class]]\nname = "b"\n', (":1: ", "all or none")),
    ('prior = [0.5, 0.5]\n[[class]]\nname = "a"\nprior = 0.5\n[[class]]\nname = "b"\nprior = 0.5\n', (":4: ", "keep one")),
    ('[[class]]\nname = "a"\nprior = +0.5\n[[class]]\nname = "b"\nprior = 0.6\n', (":1: ", "sums to 1.1")),
    ('[[class]]\nname = "a"\nphrasings = []\n[[class]]\nname = "b"\n', (":1: ", "not a list of texts")),
    ('classes = ["a", "b"]\nprior = [0.5, 0.6]\n', (":1: ", "sums to 1.1")),
    ('classes = ["a", "b"]\nprior = [0.5]\n', (":2: ", "1 numbers", "2 classes")),
    ('keep = ["a,b"]\n', (":1: ", "comma")),
    ('template = "{text}"\nlist = "{clas}"\nclasses = ["a", "b"]\n', ("neither", "{classes}")),
    ('template = "{text}{classes}"\nlist = "{clas}"\nclasses = ["a", "b"]\n', (":2: ", "{clas}", "{class}")),
    ('template = "{text}"\norders = 2\nclasses = ["a", "b"]\n', ("--orders", "--list")),
    ('template = "{text}{classes}"\nlist = "{class}"\norders = 3\nclasses = ["a", "b"]\n', (":3: ", "only 2 rotations")),
    ('template = "{text}{classes}"\nlist = "{class}"\ninstruction = "{text}"\nclasses = ["a", "b"]\n', (":3: ", "{text}", "{classes}")),
    ('when = 1979-05-27\n', (":1: ", "dates and times")),
    ('model = "a\\u0000b"\n', (":1: ", "NUL"))])
def test_errors_name_file_line_and_cure(model, source, write, text, parts):
    path = write("bad.toml", text)
    where = "bad.toml" if parts[0].startswith(":") else ""
    fails(run("classify", *([] if "model =" in text else model), "-p", path, source), where, *parts)


def test_options_of_the_project(model, source, write):
    path = write("p.toml", PROJECT)
    fails(run("classify", *model, "--without", "top", source), "--without 'top'", "--project")
    fails(run("classify", *model, "-p", path, "--without", "tpo", source), "--without 'tpo'", "no such key")
    fails(run("classify", *model, "-p", "missing.toml", source), "missing.toml")
    fails(run("generate", *model, "-p", path, source), "unknown option")


def test_a_run_is_resumed_only_with_the_same_project(model, source, write, tmp_path):
    shots, out = write("shots.csv", SHOTS), tmp_path / "out.jsonl"
    path = write("p.toml", PHRASED + "")
    path.write_text('examples = "shots.csv"\nexamples-label = "topic"\n' + PHRASED)
    good(run("classify", *model, "-p", path, "-o", out, source))
    whole = out.read_bytes()
    out.write_bytes(b"".join(whole.splitlines(True)[:7]))
    path.write_text(path.read_text().replace("letter", "lettre"))
    fails(run("classify", *model, "-p", path, "-o", out, "--resume", source), "--classes")
    path.write_text(path.read_text().replace("lettre", "letter"))
    shots.write_text(SHOTS.replace("one", "four"))
    fails(run("classify", *model, "-p", path, "-o", out, "--resume", source), "--examples")
    shots.write_text(SHOTS)
    good(run("classify", *model, "-p", path, "-o", out, "--resume", source))
    assert out.read_bytes() == whole


# ---- Phrasings -----------------------------------------------------------------------------------------------------


def logprobs_of(model, rows, completions, *more):
    """[row][completion]: arrays of log-probabilities, from capp logprobs."""
    rows = "".join(json.dumps({"prompt": prompt, "completions": completions}) + "\n" for prompt in rows)
    found = rows_of(run("logprobs", *model, "--precision", "f32", *more, stdin=rows))
    return [[np.array(c["logprobs"]) for c in row["completions"]] for row in found]


@pytest.mark.parametrize("aggregate", ["mean", "sum", "bytes"])
def test_likelihoods_of_phrasings_are_added(model, source, write, aggregate):
    path = write("p.toml", PHRASED)
    phrasings, class_of, prior = ["a", "the letter", "first of all", "b", "something else", "c"], [0, 0, 0, 1, 2, 2], [0.5, 0.25, 0.25]
    rows = rows_of(run("classify", *model, "-p", path, "--aggregate", aggregate, source))
    prompts = [f"text {i} of, many is about" for i in range(20)]
    for row, logprobs in zip(rows, logprobs_of(model, prompts, phrasings), strict=True):
        size = [1 if aggregate == "sum" else len(p) if aggregate == "mean" else len(text.encode()) for p, text in zip(logprobs, phrasings)]
        likelihood = np.exp([p.sum() / n for p, n in zip(logprobs, size)])
        joint = np.bincount(class_of, likelihood) * prior
        assert list(row["probabilities"]) == ["a", "b", "c"]
        np.testing.assert_allclose(list(row["probabilities"].values()), joint / joint.sum(), rtol=1e-6)
        assert row["prediction"] == "abc"[int(joint.argmax())]


def test_labels_and_columns_are_classes(model, source, write, tmp_path):
    path, out = write("p.toml", 'label = "topic"\n' + PHRASED), tmp_path / "out.csv"
    report = json.loads(good(run("evaluate", *model, "-p", path, "--json", "-", "-o", out, source)))
    rows = rows_of(run("classify", *model, "-p", path, source))
    assert report["accuracy"] == sum(row["prediction"] == "abc"[i % 3] for i, row in enumerate(rows)) / 20
    assert out.read_text().splitlines()[0] == "id,text,prediction,index,probability,second,margin,a,b,c,label,label_index,correct"


@pytest.mark.parametrize("classes, message", [
    ([("x", ["a", "b"]), ("y", ["b", "c"])], "phrasing 'b' occurs more than once; its likelihood counts each time"),
    ([("x", ["a", "a"]), ("y", ["c"])], "phrasing 'a' occurs more than once"), ([("x", ["a", "b"]), ("y", ["c", "d"])], None),
    ([("x", ["a", "b"]), ("x", ["c", "d"])], "class 'x' occurs more than once; labels and columns"),
    ([("x", ["x"]), ("x", ["x"])], "class 'x' occurs more than once")])
def test_equal_classes_and_phrasings(model, source, write, classes, message):
    path = write("p.toml", 'template = "{text}"\n' + "".join(f'[[class]]\nname = "{n}"\nphrasings = {json.dumps(p)}\n' for n, p in classes))
    done = run("classify", *model, "-p", path, source)
    assert done.returncode == 0 and done.stderr.decode().count("more than once") == (message is not None)
    assert message is None or message in done.stderr.decode()


def test_one_phrasing_each(model, source, write):
    """Other words for the same classes: the predictions are those of the words, under the names of the classes."""
    path = write("p.toml", 'template = "{text}"\n' + "".join(f'[[class]]\nname = "{n}"\nphrasings = ["{p}"]\n' for n, p in [("x", "the first"), ("y", "no")]))
    plain = rows_of(run("classify", *model, "-t", "{text}", "-c", "the first,no", source))
    for only in [], ["--only-prediction"]:
        rows = rows_of(run("classify", *model, "-p", path, *only, source))
        assert [row["index"] for row in rows] == [row["index"] for row in plain]
        assert {row["prediction"] for row in rows} <= {"x", "y"}
    fails(run("classify", *model, "-p", write("q.toml", PHRASED), "--only-prediction", source), "--only-prediction", "phrasings")
    rows = '{"text": "a", "completions": ["x", "y"]}\n'
    fails(run("classify", *model, "-p", path, stdin=rows), "stdin:1:", "phrasings", "remove")


# ---- Examples ------------------------------------------------------------------------------------------------------


def test_examples_stand_before_each_row(model, source, write):
    shots = write("shots.csv", SHOTS)
    path = write("p.toml", 'instruction = "Name the topic."\nexamples = "shots.csv"\nexamples-label = "topic"\n' + PHRASED)
    written = "Name the topic.\n\none is about a\n\ntwo is about b\n\n{text} is about"
    plain = write("plain.toml", PHRASED.replace("{text} is about", written.replace("\n", "\\n")))
    assert good(run("classify", *model, "-p", path, source)) == good(run("classify", *model, "-p", plain, source))
    other = ["--examples-separator", " | ", "--without", "instruction"]
    plain.write_text(PHRASED.replace("{text} is about", "one is about a | two is about b | {text} is about"))
    assert good(run("classify", *model, "-p", path, *other, source)) == good(run("classify", *model, "-p", plain, source))
    shots.write_text("text,topic\n{x},c\n")  # braces of an example are text; its words are the first phrasing
    plain.write_text(PHRASED.replace("{text} is about", "{{x}} is about something else\\n\\n{text} is about"))
    assert good(run("classify", *model, "-p", path, "--without", "instruction", source)) == good(run("classify", *model, "-p", plain, source))


@pytest.mark.parametrize("content, parts", [
    ("text,topic\none,d\n", ("shots.csv:2:", "'d' is none of the 3 classes")), ("text,topic\n", ("shots.csv", "no examples")),
    ("text\none\n", ("shots.csv", "'topic'")), ("topic\na\n", ("shots.csv", "'text'")), ("text,topic\none,\n", ("shots.csv:2:", "empty")),
    ("text,topic\n" + "one,a\n" * 1001, ("shots.csv:1002:", "more than 1000"))])
def test_bad_examples(model, source, write, content, parts):
    write("shots.csv", content)
    path = write("p.toml", 'examples = "shots.csv"\nexamples-label = "topic"\n' + PHRASED)
    fails(run("classify", *model, "-p", path, source), *parts)


def asked(path, alone, labeled, *more):
    """The probabilities of classify, which must be those of evaluate."""
    out = path.with_name("evaluated.jsonl")
    good(run("evaluate", "-p", path, "--precision", "f32", "--overwrite", "-o", out, *more, labeled))
    rows = rows_of(run("classify", "-p", path, "--precision", "f32", alone))
    assert [row["probabilities"] for row in rows] == [json.loads(line)["probabilities"] for line in out.read_text().splitlines()]
    return [row["probabilities"] for row in rows]


def test_the_project_of_the_manual(smollm2, write, tmp_path):
    manual = (Path(__file__).resolve().parent.parent / "docs" / "project.md").read_text()
    path = write("doc.toml", manual.split("```toml\n")[1].split("```")[0])
    (tmp_path / "smollm2.gguf").symlink_to(smollm2)
    write("shots.csv", "text,topic\nwhere is my card,card arrival\ngive it back,refund\n")
    alone = write("alone.csv", "text\nhas it come\nmy money\n")
    assert list(asked(path, alone, write("q.csv", "text,topic\nhas it come,card arrival\nmy money,refund\n"))[0]) == ["card arrival", "refund"]
    assert json.loads(good(run("plan", "-p", path, "--json", "-", alone)))["rows"] == 2


def test_examples_are_the_same_in_all_commands(model, write):
    """Their column is the one that the project names, whether the command has an option --label or not."""
    path = write("p.toml", f'model = "{model[1]}"\nexamples = "shots.csv"\nlabel = "topic"\n' + PHRASED)
    alone, labeled = write("alone.csv", "text\nfour\nfive\n"), write("q.csv", "text,topic\nfour,a\nfive,b\n")
    write("shots.csv", SHOTS)
    only = asked(path, alone, labeled)
    write("shots.csv", "text,label,topic\none,b,a\ntwo,a,b\n")  # a column `label` that says something else
    assert asked(path, alone, labeled) == only
    write("shots.csv", "text,topic\none,b\ntwo,a\n")
    assert asked(path, alone, labeled) != only
    # --label of the command line is the column of INPUT alone; and labels may be indices.
    write("shots.csv", SHOTS)
    assert asked(path, alone, write("gold.csv", "text,gold\nfour,a\nfive,b\n"), "--label", "gold") == only
    assert asked(path, alone, write("gold.csv", "text,gold\nfour,0\nfive,1\n"), "--label", "gold", "--label-index") == only
    path.write_text("label-index = true\n" + path.read_text())
    write("shots.csv", "text,topic\none,0\ntwo,1\n")
    assert asked(path, alone, write("indices.csv", "text,topic\nfour,0\nfive,1\n")) == only


def test_examples_of_a_chat_are_messages(smollm2, source, write):
    write("shots.csv", SHOTS)
    path = write("p.toml", 'chat = true\nsystem = "Name the topic."\nexamples = "shots.csv"\nexamples-label = "topic"\ntemplate = "{text}?"\n'
                           'classes = ["a", "b", "c"]\nprecision = "f32"\n')
    rows = rows_of(run("classify", "-m", smollm2, "-p", path, source))
    messages = [{"role": role, "content": text} for role, text in [("user", "one?"), ("assistant", "a"), ("user", "two?"), ("assistant", "b")]]
    chat = capp.Model(smollm2, precision="f32").chat(system="Name the topic.", messages=messages)
    expected = predict_proba([f"text {i} of, many?" for i in range(20)], ["a", "b", "c"], chat)
    np.testing.assert_allclose([list(row["probabilities"].values()) for row in rows], expected, rtol=1e-12)
    fails(run("classify", "-m", smollm2, "-p", path, "--instruction", "x", source), "--instruction", "--system")


# ---- The list of classes -------------------------------------------------------------------------------------------

LISTED = """
template = "Topics: {classes}. {text} is about"
list = "{number} {class} ({description})"
list-separator = ", "
precision = "f32"
[[class]]
name = "a"
description = "the first"
[[class]]
name = "b"
[[class]]
name = "c"
phrasings = ["c", "cc and more"]
"""


def listed(order):
    names = ["a (the first)", "b ()", "c ()"]
    return ", ".join(f"{i + 1} {names[(order + i) % 3]}" for i in range(3))


def test_the_list_of_classes(model, source, write):
    path = write("p.toml", LISTED)
    plain = write("plain.toml", LISTED.replace("{classes}", listed(0)).replace("list", "#"))
    assert good(run("classify", *model, "-p", path, source)) == good(run("classify", *model, "-p", plain, source))


@pytest.mark.parametrize("aggregate", ["mean", "sum"])
@pytest.mark.parametrize("orders", [2, 3])
def test_orders_are_averaged(model, source, write, tmp_path, orders, aggregate):
    """The mean of the tokens' log-probabilities over prompts with the list in each order."""
    path, store = write("p.toml", LISTED), tmp_path / "run.db"
    how = ["-p", path, "--orders", orders, "--aggregate", aggregate]
    rows = rows_of(run("classify", *model, *how, source))
    starts = [order * 3 // orders for order in range(orders)]
    texts = ["a", "b", "c", "cc and more"]
    prompts = [[f"Topics: {listed(start)}. text {i} of, many is about" for i in range(20)] for start in starts]
    all_orders = [logprobs_of(model, order, texts) for order in prompts]
    for i, row in enumerate(rows):
        means = [np.mean([order[i][k] for order in all_orders], axis=0) for k in range(4)]
        score = np.exp([m.mean() if aggregate == "mean" else m.sum() for m in means])
        joint = np.bincount([0, 1, 2, 2], score)
        np.testing.assert_allclose(list(row["probabilities"].values()), joint / joint.sum(), rtol=2e-6)
    good(run("classify", *model, *how, "-o", store, source))
    (blob,), = query(store, "SELECT logprobs FROM rows WHERE row = 4")
    np.testing.assert_allclose(np.frombuffer(blob, "<f4"), np.concatenate([np.mean([o[4][k] for o in all_orders], axis=0) for k in range(4)]), atol=2e-6)
    assert rows_of(run("classify", *model, *how, "--window", "3", source)) == rows
    discounted = ["--discount", "-1", "--domain", "Topic:"]
    marginal = logprobs_of(model, ["Topic:"], texts)[0]
    for i, row in enumerate(rows_of(run("classify", *model, *how, *discounted, source))):
        means = [np.mean([order[i][k] for order in all_orders], axis=0) - marginal[k] for k in range(4)]
        score = np.exp([m.mean() if aggregate == "mean" else m.sum() for m in means])
        joint = np.bincount([0, 1, 2, 2], score)
        np.testing.assert_allclose(list(row["probabilities"].values()), joint / joint.sum(), rtol=1e-5)


def test_orders_use_the_precision_that_decides(smollm2, source, write, tmp_path):
    path, store = write("p.toml", LISTED.replace('precision = "f32"', "")), tmp_path / "run.db"
    good(run("classify", "-m", smollm2, "-p", path, "--orders", "2", "-o", store, source))
    settings = dict(query(store, "SELECT name, value FROM settings"))
    assert settings["margin"] == "0" and settings["precision"] in ("i16", "f32")
    fails(run("classify", "-m", smollm2, "-p", path, "--orders", "2", "--only-prediction", source), "--only-prediction", "--orders")


# ---- capp init -------------------------------------------------------------------------------------------------------

LABELED = "id,question,label\n" + "".join(f'{i},"how do I, {i}, in ""{i}""","{["a, b", "c d", "e"][i % 3]}"\n' for i in range(30))


def test_init_writes_what_columns_and_options_say(model, write, tmp_path):
    source, path = write("q.csv", LABELED), tmp_path / "p.toml"
    good(run("init", "--defaults", *model, "-p", path, "--aggregate", "sum", "--precision", "f32", source))
    text = path.read_text()
    assert '"a, b"' in text and "Question: {question}\\nLabel:" in text and 'label = "label"' in text
    options = ["-t", "Question: {question}\\nLabel:", "--aggregate", "sum", "--precision", "f32", "-c", f"@{write('c.txt', 'a, b' + chr(10) + 'c d' + chr(10) + 'e')}"]
    assert good(run("classify", "-p", path, source)) == good(run("classify", *model, *options, source))
    assert json.loads(good(run("evaluate", "-p", path, "--json", "-", source)))["n"] == 30
    # It never overwrites unless told to.
    fails(run("init", "--defaults", *model, "-p", path, source), "exists", "--overwrite")
    assert path.read_text() == text
    good(run("init", "--defaults", "-p", path, "--overwrite", "-c", "x,y", "--list", "- {class}", stdin=""))
    assert '# model = ' in path.read_text() and "{classes}" in path.read_text()
    assert "label" not in path.read_text()
    good(run("classify", *model, "-p", path, stdin='{"text": "a"}\n'))
    good(run("init", "--defaults", *model, source, cwd=tmp_path))
    good(run("classify", "-p", ".", source, cwd=tmp_path))


@pytest.mark.parametrize("options, parts", [(["--progress", "2"], ("belongs to a run",)), (["--quiet"], ("there are no classes", "-c")),
                                            (["--label", "x"], ("no column 'x'",)), (["-c", "a"], ("only one class",)),
                                            (["--label", "id"], ("no classes",)), (["--resume"], ("unknown option",))])
def test_init_refuses(write, tmp_path, options, parts):
    source = write("q.csv", "id,text\n1,a b\n")
    fails(run("init", "--defaults", "-p", tmp_path / "p.toml", *options, source), *parts)
    assert not (tmp_path / "p.toml").exists()


def talk(arguments, answers):
    """Runs the command on a terminal of its own and types the answers, one for each question. Returns what it wrote and its
    status."""
    child, terminal = pty.fork()
    if not child:
        os.execv(CAPP, [CAPP, *map(str, arguments)])
    said = b""
    for answer in answers:
        while not said.endswith(b": "):
            said += os.read(terminal, 1024)
        os.write(terminal, answer.encode())
        said += b"|"
    try:
        while more := os.read(terminal, 1024):
            said += more
    except OSError:  # the other end is closed
        pass
    os.close(terminal)
    return said.decode(), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_init_asks(model, write, tmp_path):
    source, path = write("q.csv", LABELED), tmp_path / "p.toml"
    said, status = talk(["init", "-p", path, source], [model[1] + "\n", "{question} {\n", "{question} is\n", "\n", "c d,e\n", "maybe\n", "y\n", "n\n"])
    assert status == 0 and "not closed" in said and "answer y or n" in said and "[Question: {question}\\nLabel:]" in said
    assert "[a, b, c d, e]" in said and "[label]" in said
    assert path.read_text().count("[[class]]") == 2 and "Choose one of:\\n{classes}\\n\\n{question} is" in path.read_text()
    good(run("classify", "-p", path, source))
    said, status = talk(["init", "-p", tmp_path / "other.toml", source], ["\n", "\x04"])
    assert status == 2 and "not written" in said and not (tmp_path / "other.toml").exists()


@pytest.mark.parametrize("options, parts", [
    (["-m", "missing.gguf"], ("missing.gguf", "no such model")), (["-t", "{txt}:"], ("q.csv", "no column 'txt'")),
    (["-t", "{question} {classes}"], ("{classes}", "--list"))])
def test_init_refuses_what_input_contradicts(write, tmp_path, options, parts):
    fails(run("init", "--defaults", *options, write("q.csv", LABELED), cwd=tmp_path), *parts)
    assert not (tmp_path / "capp.toml").exists()


def test_init_of_a_file_without_rows_or_classes(write, tmp_path):
    for content in "", "text,label\n":
        done = run("init", "--defaults", "--format", "csv", "-p", tmp_path / "p.toml", write("q.csv", content))
        fails(done, "q.csv")
        assert b"name INPUT" not in done.stderr
    fails(run("init", "--defaults", stdin="", cwd=tmp_path), "name INPUT")


def test_init_asks_again(model, write, tmp_path):
    source, path = write("q.csv", LABELED), tmp_path / "p.toml"
    answers = ["missing.gguf\n", model[1] + "\n", "{txt}:\n", "{question} {classes}:\n", "topic\n", "label\n", "\n", "n\n"]
    said, status = talk(["init", "-p", path, source], answers)
    assert status == 0 and "no such model" in said and "no column 'txt'" in said and "no column 'topic'" in said
    assert 'list = "{class}"' in path.read_text()
    good(run("classify", "-p", path, source))


def test_init_names_files_as_seen_from_its_folder(model, write, tmp_path):
    """So that the project runs from any folder."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "m.gguf").symlink_to(model[1])
    (tmp_path / "here" / "deep").mkdir(parents=True)
    source = write("q.csv", LABELED)
    write("shots.csv", "question,label\nwhy,e\n")
    (tmp_path / "here" / "prior.json").write_text("[0.2, 0.3, 0.5]")
    for folder, name in ("here/deep", "../../models/m.gguf"), ("here", "../models/m.gguf"), ("models", "m.gguf"), (".", "models/m.gguf"):
        good(run("init", "--defaults", "-m", "models/m.gguf", "--examples", "shots.csv", "--prior", "@here/prior.json", "-p", folder, source, cwd=tmp_path))
        text = (tmp_path / folder / "capp.toml").read_text()
        assert f'model = "{name}"' in text, text
        found = [good(run("classify", "-p", tmp_path / folder, source, cwd=where)) for where in (tmp_path, "/")]
        assert found[0] == found[1]


# ---- Stores ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def phrased(model, source, write, tmp_path):
    """A project with phrasings, and a store of its run."""
    path, store = write("p.toml", 'label = "topic"\n' + PHRASED), tmp_path / "run.db"
    good(run("classify", *model, "-p", path, "-o", store, source))
    return path, store


def test_a_store_keeps_phrasings(model, source, phrased):
    path, store = phrased
    assert good(run("export", store)) == good(run("classify", *model, "-p", path, source))
    names = [name for name, in query(store, "SELECT prediction FROM decisions ORDER BY row")]
    assert names == [row["prediction"] for row in rows_of(run("export", store))]
    evaluated = [json.loads(good(run("evaluate", *how, "--json", "-"))) for how in ([*model, "-p", path, source], [store, "--label", "topic"])]
    assert evaluated[0]["accuracy"] == evaluated[1]["accuracy"] and evaluated[0]["log_loss"] == pytest.approx(evaluated[1]["log_loss"], rel=1e-12)


@pytest.mark.parametrize("how", [["--aggregate", "sum"], ["--prior", "0.1,0.2,0.7"], ["--aggregate", "bytes", "--multi-label"],
                                 ["--discount", "-1", "--domain", "Topic:"]])
def test_decide_with_phrasings_is_classify(model, source, phrased, how):
    path, store = phrased
    if "--discount" in how:
        fails(run("decide", store, *how), "--rescore")
        good(run("decide", store, *how, "--rescore", *model))
    assert good(run("decide", store, *how)) == good(run("classify", *model, "-p", path, *how, source))


def test_decide_with_other_phrasings(model, source, phrased, write):
    """Other sets of phrasings, among those of the store, and classes by name."""
    _, store = phrased
    other = write("q.toml", PHRASED.replace('"a", "the letter", "first of all"', '"the letter", "a"').replace('"something else", "c"', '"something else"'))
    assert good(run("decide", "-p", other, store)) == good(run("classify", *model, "-p", other, source))
    fails(run("decide", store, "-c", "a,d"), "'d' is not in the store, which has scores of", "phrasings of classes")
    some = rows_of(run("decide", store, "-c", "c,a"))
    whole = rows_of(run("export", store))
    for row, all_classes in zip(some, whole, strict=True):
        part = [all_classes["probabilities"][name] for name in "ca"]
        np.testing.assert_allclose(list(row["probabilities"].values()), np.array(part) / sum(part), rtol=1e-12)
    # Groups of the completions of a run without phrasings.
    plain, lists = write("plain.txt", "a\nb\nc\nsomething else\n"), write("groups.json", '[{"name": "x", "phrasings": ["a", "c"]}, "b"]')
    store.unlink()
    good(run("classify", *model, "-t", "{text} is about", "-c", f"@{plain}", "--precision", "f32", "-o", store, source))
    assert good(run("decide", store, "-c", f"@{lists}")) == good(run("classify", *model, "-t", "{text} is about", "--precision", "f32", "-c", f"@{lists}", source))
    fails(run("decide", store, "-c", "a,d"), "'d' is not in the store")


def test_rescore_of_phrasings_and_orders(smollm2, source, write, tmp_path):
    """In a run of auto, decisions within the margin are undecided until they are scored again."""
    path, store = write("p.toml", PHRASED.replace('precision = "f32"', "")), tmp_path / "run.db"
    good(run("classify", "-m", smollm2, "-p", path, "-o", store, source))
    how = ["--aggregate", "sum", "--prior", "0.3,0.3,0.4"]
    good(run("decide", store, *how, "--rescore", "-m", smollm2))
    decided, fresh = (rows_of(run(*command)) for command in (["decide", store, *how], ["classify", "-m", smollm2, "-p", path, *how, source]))
    assert [row["prediction"] for row in decided] == [row["prediction"] for row in fresh]
    assert not any(row.get("undecided") for row in decided)
    store.unlink()
    orders = write("o.toml", LISTED.replace('precision = "f32"', ""))
    good(run("classify", "-m", smollm2, "-p", orders, "--orders", "2", "-o", store, source))
    pmi = ["--discount", "-1", "--domain", "Topic:"]
    good(run("decide", store, *pmi, "--rescore", "-m", smollm2))
    assert good(run("decide", store, *pmi)) == good(run("classify", "-m", smollm2, "-p", orders, "--orders", "2", *pmi, source))


def test_forecast_in_python(tiny_model):
    from capp.classify import forecast, log_probs_conditional

    model = capp.Model(tiny_model, precision="f32")
    prompts, completions = [f"a common beginning of text {i}" for i in range(30)], ["yes", "no way"]
    work = forecast(prompts, completions, model)
    assert work["rows"] == 30 and work["waves"] >= 1 and work["planned_bytes"] > 0
    log_probs_conditional(prompts, completions, model)
    alone = sum(len(model.tokenize(p, bos=True)) * 2 + sum(len(model.tokenize(" " + c)) - 1 for c in completions) for p in prompts)
    assert 0 < work["tokens_computed"] < alone and work["tokens_computed"] + work["tokens_saved"] == alone
