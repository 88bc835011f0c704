"""capp sweep: its results are those of separate runs, and its tests those of the references."""
import json
import os
import sqlite3
import sys
from pathlib import Path

import numpy as np
import pytest
from command import BUILD, fails, good, rows_of, run, told
from scipy import stats

os.environ.setdefault("CAPP_LIBRARY", str(BUILD / "libcapp.so.0"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "python"))

from capp import arrays  # noqa: E402

ROWS = "id,text,topic\n" + "".join(f'r{i},"text {i} of, many",{"abc"[i * i % 3]}\n' for i in range(80))
EXACT = ["--precision", "f32"]


@pytest.fixture
def source(write):
    return write("in.csv", ROWS)


def sweep(*arguments):
    return json.loads(good(run("sweep", "--label", "topic", "--json", "-", *arguments)))


TEMPLATES = ["A long beginning that all variants share. {text} is about", "A long beginning that all variants share. {text}:", "{text}"]


def reports(model, source, variants):
    return [json.loads(good(run("evaluate", *model, *EXACT, *how, "--label", "topic", "--json", "-", source))) for how in variants]


def test_variants_are_separate_runs(model, source, tmp_path):
    """The same numbers and stores; but beginnings that variants share are computed once."""
    variants = [["-t", t, "-c", "a,b,c"] for t in TEMPLATES]
    found = sweep(*model, *EXACT, "-c", "a,b,c", *[x for t in TEMPLATES for x in ("-t", t)], "-o", tmp_path / "kept", source)
    alone = reports(model, source, variants)
    assert found["n"] == 80 and [v["accuracy"] for v in found["variants"]] == [r["accuracy"] for r in alone]
    np.testing.assert_allclose([v["log_loss"] for v in found["variants"]], [r["log_loss"] for r in alone], rtol=1e-12)
    assert [t in v["varies"] for t, v in zip(TEMPLATES, found["variants"])] == [True] * 3
    computed = sum(r["tokens_computed"] for r in alone)
    assert found["tokens_computed"] < 0.9 * computed
    assert found["tokens_computed"] + found["tokens_saved"] == computed + sum(r["tokens_saved"] for r in alone)
    stores = [v["store"] for v in found["variants"]]
    for store, how in zip(stores, variants):
        assert good(run("export", store)) == good(run("classify", *model, *EXACT, *how, source))
    for pair in found["comparisons"]:
        first, second = stores[pair["first"] - 1], stores[pair["second"] - 1]
        compared = json.loads(good(run("compare", first, second, "--label", "topic", "--json", "-")))
        assert (compared["only_first"], compared["only_second"], compared["mcnemar"]) == (pair["only_first"], pair["only_second"], pair["p"])
    fails(run("sweep", *model, "-c", "a,b,c", "-t", "{text}", "-t", "{text}.", "--label", "topic", "-o", tmp_path / "kept", source), "--overwrite")


def test_the_tests_are_those_of_the_references(model, source):
    found = sweep(*model, *EXACT, "-c", "a,b,c", *[x for t in [*TEMPLATES, "x {text}"] for x in ("-t", t)], source)
    p = [pair["p"] for pair in found["comparisons"]]
    assert len(p) == 6
    for pair in found["comparisons"]:
        n = pair["only_first"] + pair["only_second"]
        assert pair["p"] == pytest.approx(stats.binomtest(pair["only_first"], n).pvalue if n else 1, rel=1e-9)
    np.testing.assert_allclose([pair["corrected"] for pair in found["comparisons"]], reference_holm(p), rtol=1e-12)
    best = max(range(4), key=lambda i: (found["variants"][i]["correct"], -found["variants"][i]["log_loss"]))
    assert found["best"] == best + 1
    against = [pair["corrected"] for pair in found["comparisons"] if best + 1 in (pair["first"], pair["second"])]
    assert found["winner"] == (max(against) < 0.05)


def reference_holm(p):
    """Holm 1979: rejects the k-th smallest at level alpha if all up to it have (n - j) p_(j) <= alpha (j from 0)."""
    order = np.argsort(p)
    out = np.empty(len(p))
    out[order] = np.minimum(1, np.maximum.accumulate(np.sort(p) * np.arange(len(p), 0, -1)))
    return out


def test_holm():
    rng = np.random.default_rng(0)
    for n in [1, 2, 3, 10, 45]:
        for p in (rng.random(n), rng.random(n) ** 4, np.round(rng.random(n), 1)):
            np.testing.assert_allclose(arrays.holm(p), reference_holm(p), rtol=1e-15)
    assert arrays.holm([0.0, 1.0, 0.02]).tolist() == [0.0, 1.0, 0.04]


def test_a_winner(model, write, source):
    """Labels that one variant predicts: it wins. The same variant twice: nobody does."""
    how = ["-t", TEMPLATES[0], "-c", "a,b,c"]
    predicted = [row["prediction"] for row in rows_of(run("classify", *model, *EXACT, "-t", TEMPLATES[0], "-c", "a,b,c", source))]
    flipped = ["abc"[("abc".index(p) + (i % 8 == 0)) % 3] for i, p in enumerate(predicted)]
    lines = ROWS.splitlines()
    labeled = write("labeled.csv", "\n".join([lines[0]] + [line[:-1] + p for line, p in zip(lines[1:], flipped)]) + "\n")
    other = write("other.toml", f'template = "{TEMPLATES[0]}"\n' + "".join(f'[[class]]\nname = "{n}"\nphrasings = ["{w}"]\n' for n, w in zip("abc", "bca")))
    same = write("same.toml", f'template = "{TEMPLATES[0]}"\nclasses = ["a", "b", "c"]\n')
    found = sweep(*model, *EXACT, "-p", other, "-p", same, labeled)
    assert found["best"] == 2 and found["winner"] and found["variants"][1]["accuracy"] == 70 / 80
    found = sweep(*model, *EXACT, *how, "-t", TEMPLATES[0], labeled)
    assert not found["winner"] and found["comparisons"][0]["p"] == 1
    done = run("sweep", *model, *EXACT, "-p", other, "-p", same, "--label", "topic", labeled)
    assert b"Variant 2 is the winner" in done.stdout and b"other.toml" in done.stdout


def test_models_projects_and_phrasings(model, tiny_gpt2, source, write):
    """Variants of several models; some with phrasings, discounts and orders, which need calls of their own."""
    one = write("one.toml", 'template = "{text}: {classes}."\nlist = "{class}"\norders = 2\nclasses = ["a", "b", "c"]\n')
    two = write("two.toml", 'template = "{text} is"\n' + "".join(f'[[class]]\nname = "{n}"\nphrasings = ["{n}", "the {n}"]\n' for n in "abc"))
    three = write("three.toml", 'template = "{text} is"\nclasses = ["a", "b", "c"]\ndiscount = -1\ndomain = "Topic:"\n')
    projects = [x for path in (one, two, three) for x in ("-p", path)]
    found = sweep("-m", model[1], "-m", tiny_gpt2, *EXACT, *projects, source)
    assert len(found["variants"]) == 6 and len(found["comparisons"]) == 15
    for variant in found["variants"]:
        path = next(p for p in (one, two, three) if str(p) in variant["varies"])
        which = model[1] if model[1] in variant["varies"] else tiny_gpt2
        (alone,) = reports(["-m", which], source, [["-p", path]])
        assert variant["accuracy"] == alone["accuracy"] and variant["log_loss"] == pytest.approx(alone["log_loss"], rel=1e-12)


@pytest.mark.parametrize("how, parts", [
    (["-t", "{text}"], ("nothing to compare",)), (["-t", "{text}", "-t", "{txt}"], ("txt",)),
    (["-t", "{text}", "-t", "{text"], ("not closed",)), (["-t", "{text}", "-t", "{text}.", "--label", "id"], ("none of the 3 classes",)),
    ([x for i in range(101) for x in ("-t", f"{{text}}{i}")], ("more than 100",))])
def test_sweep_refuses(model, source, how, parts):
    fails(run("sweep", *model, "-c", "a,b,c", "--label", "topic", *how, source), *parts)


def test_rows_that_a_variant_cannot_score(model, write):
    path = write("in.csv", 'text,topic,more\none,a,x\ntwo,b,\nthree,c,y\n')
    done = run("sweep", *model, "-c", "a,b,c", "--label", "topic", "-t", "{text}", "-t", "{more}", "--on-error", "skip", "-q", "--json", "-", path)
    found = json.loads(done.stdout)
    assert done.returncode == 3 and (found["n"], found["left_out"]) == (2, 1)
    fails(run("sweep", *model, "-c", "a,b,c", "--label", "topic", "-t", "{text}", "-t", "{more}", path), "in.csv:3:", "'more' is empty")


@pytest.mark.parametrize("more", [[], ["--list", "{class}", "--orders", "2"]])
@pytest.mark.parametrize("policy", ["skip", "null"])
def test_rows_that_are_too_long(model, write, tmp_path, policy, more):
    """They count for no variant, but the other variants and the rows around them are those of separate runs."""
    classes = " {classes}" if more else ""
    path = write("in.csv", 'text,topic,more\none,a,x\n%s,b,y\nthree,c,z\nfour,a,w\n' % ("many words" * 200))
    how = [*model, *EXACT, "-c", "a,b,c", *more]
    texts = ["-t", "{text}" + classes, "-t", "{more}" + classes]
    done = run("sweep", *how, "--label", "topic", *texts, "--on-error", policy, "-o", tmp_path / "kept", "--json", "-", path)
    found = json.loads(done.stdout)
    assert done.returncode == 3 and (found["n"], found["left_out"]) == (3, 1), done.stderr
    assert b"in.csv:3: left out: variant 1: " in done.stderr
    for number in 1, 2:
        alone = run("classify", *how, *texts[2 * number - 2:2 * number], "--on-error", policy, path)
        assert run("export", tmp_path / "kept" / f"{number}.db").stdout == alone.stdout and alone.returncode == (3 if number == 1 else 0)
    fails(run("sweep", *how, "--label", "topic", *texts, path), "in.csv:3:", "context", "shorten the text (the model supports no larger context)")


def test_a_wrong_model_is_found_before_the_first_row(model, source, tmp_path):
    missing, other = tmp_path / "missing.gguf", tmp_path / "other.gguf"
    other.write_bytes(Path(model[1]).read_bytes().replace(b"general.architecture\x08\0\0\0\x05\0\0\0\0\0\0\0llama",
                                                          b"general.architecture\x08\0\0\0\x05\0\0\0\0\0\0\0lxama"))
    how = ["-c", "a,b,c", "-t", "{text}", "--label", "topic", "-o", tmp_path / "kept"]
    for wrong, part in (missing, "No such file"), (other, "lxama"), (source, "in.csv"):
        fails(run("sweep", *model, "-m", wrong, *how, source), str(wrong), part)
        assert not list((tmp_path / "kept").glob("*.db"))
    (tmp_path / "good.gguf").symlink_to(model[1])
    good(run("sweep", *model, "-m", tmp_path / "good.gguf", *how, source))  # the corrected command


def test_no_rows(model, write, tmp_path):
    """All commands say so alike, and there is no best variant."""
    path, store = write("in.csv", "text,topic\n"), tmp_path / "run.db"
    how = [*model, "-c", "a,b,c", "-t", "{text}"]
    good(run("classify", *how, "-o", store, path))
    for where, done in (path, run("sweep", *how, "-t", "{text}.", "--label", "topic", path)), (store, run("evaluate", store, "--label", "topic")), \
            (path, run("evaluate", *how, "--label", "topic", path)):
        assert done.returncode == 0 and not done.stdout and told(done) == [f"capp: {where}: no rows\n"]
    found = sweep(*how, "-t", "{text}.", path)
    assert (found["n"], found["best"], found["winner"]) == (0, None, False) and found["variants"][0]["accuracy"] is None
    path.write_text("text,topic\n,a\n")
    done = run("sweep", *how, "-t", "{text}.", "--label", "topic", "--on-error", "skip", "-q", path)
    assert done.returncode == 3 and not done.stdout and b"no row was scored by all variants" in done.stderr
    path.write_text("text,topic\none,a\n")
    done = run("sweep", *how, "-t", "{text}.", "--label", "topic", path)
    assert b"1 row with a label" in done.stdout and b"1 comparison)" in done.stdout


def test_copa(smollm2, shared, tmp_path):
    lines = open(f"{shared}/data/copa-dev.prompts.jsonl").read().splitlines(True)
    (tmp_path / "copa.jsonl").write_text("".join(lines[:30]))
    found = json.loads(good(run("sweep", "-m", smollm2, "--label", "label", "-t", "{prompt}", "-t", "What happened? {prompt}", "--json", "-", "-o",
                                tmp_path / "kept", tmp_path / "copa.jsonl")))
    assert found["n"] == 30 and all(v["accuracy"] > 0.4 for v in found["variants"])
    assert sqlite3.connect(found["variants"][1]["store"]).execute("SELECT count(*) FROM rows").fetchone() == (30,)
