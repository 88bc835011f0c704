"""capp plan: its counts are those of the run, and it warns of what is wrong and of nothing else."""
import json
import re
from pathlib import Path

import numpy as np
import pytest
from command import rows_of, run, told

ROOT = Path(__file__).resolve().parent.parent
ROWS = "text,topic\n" + "".join(f'"number {i} of, {i * i} things",{"ab"[i % 2]}\n' for i in range(150))
EXACT = ["--precision", "f32"]


@pytest.fixture
def source(write):
    return write("in.csv", ROWS)


def plan(*arguments, status=0):
    done = run("plan", "--json", "-", *arguments)
    assert done.returncode == status, done.stderr.decode()
    return json.loads(done.stdout)


HOW = ["-t", "A common beginning of all prompts. {text}:", "-c", "first,second one"]


@pytest.mark.parametrize("memory", [[], ["--memory", "16M"]])
def test_counts_are_those_of_the_run(model, source, memory):
    found = plan(*model, *EXACT, *HOW, *memory, source)
    report = json.loads(run("evaluate", *model, *EXACT, *HOW, *memory, "--label", "topic", "--label-index", "--json", "-",
                            source.with_name("labeled.csv") if source.with_name("labeled.csv").write_text(
                                ROWS.replace(",a\n", ",0\n").replace(",b\n", ",1\n")) else None).stdout)
    assert (found["rows"], found["bad_rows"]) == (150, 0)
    assert found["tokens_computed"] + found["tokens_saved"] == report["tokens_computed"] + report["tokens_saved"]
    assert abs(found["tokens_computed"] - report["tokens_computed"]) <= 0.02 * report["tokens_computed"]
    assert found["waves"] >= 1 and found["planned_bytes"] > 0 and found["sample_rows"] == 64
    assert found["seconds"] == pytest.approx(found["tokens_computed"] / found["tokens_per_second"], rel=1e-9)


def test_mass_is_the_probability_of_the_classes(model, source):
    """With classes of which one continues another, and two begin alike."""
    classes = ["yes", "no way", "nobody", "yes sir", "maybe"]
    found = plan(*model, *EXACT, "-t", "{text}:", "-c", ",".join(classes), "--sample", "150", source)
    rows = "".join(json.dumps({"prompt": line.rsplit(",", 1)[0].strip('"') + ":", "completions": classes}) + "\n" for line in ROWS.splitlines()[1:])
    mass, first = [], []
    for row in rows_of(run("logprobs", *model, *EXACT, stdin=rows)):
        ids, sums = [tuple(c["ids"]) for c in row["completions"]], [sum(c["logprobs"]) for c in row["completions"]]
        whole = [i for i, a in enumerate(ids) if not any(b != a and a[:len(b)] == b for b in ids)]
        mass.append(sum(np.exp(sums[i]) for i in whole))
        first.append(sum({c["ids"][0]: np.exp(c["logprobs"][0]) for c in row["completions"]}.values()))
    assert found["sample_rows"] == 150
    assert found["mass"] == pytest.approx(np.mean(mass), rel=1e-5) and found["first_token_mass"] == pytest.approx(np.mean(first), rel=1e-5)


def warnings(*arguments, status=0):
    return "\n".join(plan(*arguments, status=status)["warnings"])


@pytest.mark.parametrize("how, said", [
    (["-t", "{text}:", "-c", "yes,yes,no"], "same tokens"),
    (["-t", "{text}:", "-c", "yes,yes it is,no"], "'yes it is' begins with 'yes'"),
    (["-t", "{text} ", "-c", "x,y"], "ends with a space"),
    (["-t", "{text}:", "-c", "x,y", "--end-of-prompt", ""], "no space between the prompt"),
    (["-t", "{text}:", "-c", "x,a longer one", "--aggregate", "sum"], "favors short ones"),
    (["-t", "{text}:", "-c", "zq,qz"], "first tokens of all classes"),
])
def test_warnings(model, source, how, said):
    assert said in warnings(*model, *EXACT, *how, source)


def test_warnings_of_rows(model, write):
    path = write("rows.csv", 'text\none two\n"ONE  two"\nthree\n"%s"\n""\n' % ("many words " * 3000))
    found = plan(*model, *EXACT, *HOW, path, status=3)
    assert (found["rows"], found["bad_rows"], found["long_rows"], found["repeated_rows"]) == (5, 2, 1, 1)
    text = "\n".join(found["warnings"])
    assert "line 5" in text and "line 3 repeats line 2" in text and "line 6" in text


@pytest.mark.parametrize("piped", [False, True])
def test_a_file_without_a_good_row(model, write, piped):
    """The warning names the first row and its reason, and speaks of one row as of one."""
    for rows, said in ('""\n', "1 row cannot be scored (the first is in line 2: "), ('""\n""\n', "2 rows cannot be scored (the first is in line 2: "):
        done = run("plan", *model, *HOW, *(["--format", "csv"] if piped else [write("in.csv", "text\n" + rows)]), stdin="text\n" + rows)
        assert done.returncode == 3 and said in done.stdout.decode() and "is empty" in done.stdout.decode()
    done = run("plan", *model, "-t", "{text}:", "-c", "a,a", "--format", "csv", stdin="text\n%s\none\n" % ("many words " * 3000))
    assert b"1 row is too long" in done.stdout and b"measured on 1 row:" in done.stdout
    assert re.search(rb"classes    2, of (1 token|[2-9] tokens)\n", done.stdout)


def test_warnings_of_projects(model, source, write):
    path = write("p.toml", 'template = "{text} is one of {classes}:"\nlist = "{class}"\nlist-separator = ", "\nprecision = "f32"\n'
                           '[[class]]\nname = "alpha"\nphrasings = ["alpha", "the first"]\n' + "".join(f'[[class]]\nname = "{n}"\n' for n in ["beta", "gamma"]))
    text = warnings(*model, "-p", path, source)
    assert "different numbers of phrasings" in text and "descriptions" not in text
    found = plan(*model, "-p", path, "--sample", "150", source)
    # The share of the sample's rows whose prediction another order changes.
    first, other = ([row["index"] for row in rows_of(run("classify", *model, "-p", path, *more, source))] for more in
                    ([], ["-t", "{text} is one of beta, gamma, alpha:", "--without", "list", "--without", "list-separator"]))
    assert found["sample_rows"] == 150 and found["order_changes"] == np.mean(np.array(first) != other)
    assert ("--orders 3" in text) == (found["order_changes"] > 0.1)


def test_phrasings_with_a_prior(model, source, write):
    path = write("p.toml", '[[class]]\nname = "alpha"\nphrasings = ["alpha", "the first"]\nprior = 0.5\n[[class]]\nname = "beta"\nprior = 0.5\n')
    assert "phrasings" not in warnings(*model, "-t", "{text}:", "-p", path, source)
    assert "different numbers of phrasings" in warnings(*model, "-t", "{text}:", "-p", path, "--without", "prior", source)


def test_classes_without_a_description(model, source, write):
    path = write("c.json", '[{"name": "alpha", "description": "the first"}, "beta", "gamma"]')
    how = [*model, "-t", "{classes}\\n{text}:", "--list", "- {class}: {description}"]
    assert "none for 2 of 3 classes" in warnings(*how, "-c", f"@{path}", source)
    assert "none for 2 of 2 classes" in warnings(*how, "-c", "x,y", source)
    assert "there is none" not in warnings(*how, "--list", "- {class}", "-c", f"@{path}", source)
    (said,) = told(run("classify", *how, "-c", f"@{path}", source))
    assert "warning: --list writes {description}, but there is none for 2 of 3 classes" in said
    assert told(run("classify", *how, "-q", "-c", f"@{path}", source)) == []


def test_the_printed_project(smollm2, write):
    """The project of docs/project.md has no mistake that plan could know."""
    page = (ROOT / "docs/project.md").read_text()
    write("capp.toml", re.search(r"```toml\n(model = .*?)```", page, re.S)[1])
    write("shots.csv", "text,topic\nIt never came,card arrival\nMoney back please,refund\n")
    path = write("questions.csv", "text\nWhere is my card?\nI was charged twice\n")
    said = warnings("-p", path.parent, "-m", smollm2, path)
    assert "phrasings" not in said and "description" not in said


def test_a_good_question_has_no_warning(smollm2, write):
    source = write("in.csv", "text\n" + "".join(f"{t}\n" for t in ["Whisk the eggs", "The striker scored", "Parliament voted", "Bake the bread"]))
    shots = write("shots.csv", "text,label\nFold in the flour,cooking\nThe keeper saved a penalty,sports\nThe minister resigned,politics\n")
    found = plan("-m", smollm2, "-t", "Text: {text}\\nTopic:", "-c", "cooking,sports,politics", "--examples", shots, source)
    assert found["warnings"] == [] and found["first_token_mass"] > 0.05


def test_the_terminal_and_a_pipe(model, source):
    done = run("plan", *model, *HOW, source)
    assert done.returncode == 0 and b"rows       150" in done.stdout and b"tokens per second" in done.stdout
    done = run("plan", *model, *HOW, "--sample", "5", stdin=ROWS)
    assert done.returncode == 0 and b"measured on 5 rows" in done.stdout


def test_no_rows(model, write):
    done = run("plan", *model, *HOW, write("in.csv", "text\n"))
    assert done.returncode == 0 and not done.stdout and told(done) == [f"capp: {write('in.csv', 'text' + chr(10))}: no rows\n"]
    found = plan(*model, *HOW, write("in.csv", "text\n"))
    assert found["rows"] == found["tokens_computed"] == found["sample_rows"] == 0 and found["seconds"] is None


def test_banking77(smollm2, shared, tmp_path):
    lines = open(f"{shared}/data/banking77-test.csv").read().splitlines(True)
    (tmp_path / "cut.csv").write_text("".join(lines[:41]))
    found = plan("-m", smollm2, "-t", "Question: {text}\\nTopic:", "-c", f"@{shared}/data/banking77-categories.json", tmp_path / "cut.csv", "--sample", "8")
    assert found["rows"] == 40 and found["tokens_saved"] > 4 * found["tokens_computed"] and found["class_tokens"][1] > 5
