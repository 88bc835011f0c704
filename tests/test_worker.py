"""capp.spark and capp.ray without their engines: how a worker processes a batch. For real clusters see
tests/test_cluster.py."""
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas
import polars
import pytest

ROOT = Path(__file__).resolve().parent.parent
PROMPTS, COMPLETIONS = ["the cat", "in a house", "yes or no", "he"], ["yes", "no", "on the way", "in"]


@pytest.fixture(scope="module", autouse=True)
def library(build):
    """The package of this checkout with the library of this build."""
    os.environ["CAPP_LIBRARY"] = str(build / "libcapp.so.0")
    sys.path.insert(0, str(ROOT / "python"))


def job(function, model, completions=COMPLETIONS, errors="raise", model_options=None, **options):
    from capp._worker import Job

    made = Job(function, model, completions, options, model_options=model_options, errors=errors)
    return pickle.loads(pickle.dumps(made))


def plain(values):
    return [value.tolist() if isinstance(value, np.ndarray) else value for value in values]


@pytest.mark.parametrize("function, options", [
    ("predict", {"prior": [0.4, 0.3, 0.2, 0.1]}), ("predict_proba", {"normalize": False, "aggregate": "sum"}),
    ("predict_proba", {"class_of": [0, 1, 1, 0], "prior": [0.5, 0.5]}),
    ("predict", {"discount_completions": -1, "domain_prompt": "the"}), ("log_probs_conditional", {"end_of_prompt": ""})])
def test_results_are_those_of_the_functions(tiny_model, function, options):
    from capp import classify

    work = job(function, tiny_model, **options)
    expected = getattr(classify, function)(PROMPTS, COMPLETIONS, tiny_model, **options)
    for kind in (list, np.array, pandas.Series, polars.Series, lambda x: pandas.Series(x, dtype="string")):
        assert plain(work(work.open(2), kind(PROMPTS))) == plain(expected)


def test_missing_rows_stay_missing(tiny_model):
    from capp.classify import predict, token_logprobs

    work = job("predict", tiny_model)
    model, expected = work.open(1), predict(PROMPTS, COMPLETIONS, tiny_model)
    given = [None, PROMPTS[0], float("nan"), PROMPTS[1], pandas.NA, *PROMPTS[2:], None]
    wanted = [None, expected[0], None, expected[1], None, *expected[2:], None]
    assert work(model, given) == work(model, pandas.Series(given, dtype=object)) == wanted
    assert work(model, pandas.Series([None, PROMPTS[0]], dtype="string")) == [None, expected[0]]
    assert work(model, [None, None]) == [None, None] and work(model, []) == []
    tokens = job("token_logprobs", tiny_model, None, end_of_prompt="")
    assert tokens(model, [None, *PROMPTS]) == [None, *token_logprobs(PROMPTS, tiny_model, end_of_prompt="")]


def test_rows_with_completions_of_their_own(tiny_model):
    from capp import Example
    from capp.classify import predict_examples, predict_proba_examples

    lists = [["yes", "no"], np.array(["in", "on", "at"], object), ["a"], ["the", "way"]]
    examples = [Example(prompt, list(row), normalize=False) for prompt, row in zip(PROMPTS, lists)]
    proba = job("predict_proba", tiny_model, None, normalize=False)
    model = proba.open(1)
    expected = plain(predict_proba_examples(examples, model))
    assert plain(proba(model, PROMPTS, lists)) == expected
    assert plain(proba(model, [PROMPTS[0], None, "he"], [lists[0], lists[1], None])) == [expected[0], None, None]
    assert job("predict", tiny_model, None)(model, PROMPTS, lists) == predict_examples(examples, model)
    strict = job("predict_proba", tiny_model, None)
    with pytest.raises(ValueError, match="at least two completions"):
        strict(model, PROMPTS, lists)
    lenient = job("predict_proba", tiny_model, None, errors="null")
    found = lenient(model, [*PROMPTS, "he", "he"], [*lists, [], ["a", ""]])
    assert [row is None for row in found] == [False, False, True, False, True, True]


def test_rows_that_cannot_be_scored(tiny_model):
    from capp import CappError
    from capp.classify import predict

    long = "b " * 200
    model = job("predict", tiny_model).open(1)
    with pytest.raises(ValueError, match="empty.*errors=\"null\""):
        job("predict", tiny_model)(model, ["a", ""])
    with pytest.raises(CappError, match="context is 128.*begins 'b b b.*errors=\"null\"") as caught:
        job("predict", tiny_model)(model, ["a", long])
    assert isinstance(caught.value, ValueError)
    with pytest.raises(TypeError, match="a prompt must be a string, not int"):
        job("predict", tiny_model)(model, ["a", 3])
    rows = [long, PROMPTS[0], "", long, long, PROMPTS[1], None, long]
    expected = predict(PROMPTS[:2], COMPLETIONS, tiny_model)
    assert job("predict", tiny_model, errors="null")(model, rows) == [
        None, expected[0], None, None, None, expected[1], None, None]


def test_a_process_opens_a_model_once(tiny_model):
    import capp
    from capp._worker import Job

    first, second = job("predict", tiny_model), job("predict_proba", tiny_model)
    assert first.open(1) is first.open(1) is second.open(1)
    assert job("predict", tiny_model, model_options={"threads": 2, "context": 64}).open(1).info.threads == 2
    given = capp.Model(tiny_model, precision="f32", context=64)
    opened = job("predict", given).open(3)  # in another process, with the facts in the pickle
    assert opened is not given
    assert opened.info.threads == 3 and opened.info.context == 64 and opened.info.precision == "f32"
    with pytest.raises(FileNotFoundError):
        job("predict", "no-such-file.gguf").open(1)
    assert Job("predict", given, COMPLETIONS, {}).open(3) is given
    assert job("predict", "elsewhere.gguf").open(1, lambda path: tiny_model).path == tiny_model


@pytest.mark.parametrize("function, keywords, kind, part", [
    ("predict", {"completions": ["a"]}, ValueError, "at least two completions"),
    ("predict", {"completions": "ab"}, TypeError, "not one string"),
    ("predict", {"completions": ["a", ""]}, ValueError, "empty"),
    ("predict_proba", {"completions": ["a"]}, ValueError, "at least two completions"),
    ("predict", {"prior": [1.0]}, ValueError, "prior"),
    ("predict", {"normalize": False}, TypeError, "no option 'normalize'"),
    ("predict", {"show_progress_bar": True}, TypeError, "no option"),
    ("predict", {"end_of_prompt": "-"}, ValueError, "end_of_prompt"),
    ("predict", {"log_marg_probs_completions": [[None]] * 4}, TypeError, "discount"),
    ("predict_proba", {"class_of": [0]}, ValueError, "class_of"),
    ("predict_proba", {"class_of": [0, 0, 2, 2]}, ValueError, "no completion for class 1"),
    ("predict_proba", {"class_of": [0, 10**15, 1, 1]}, ValueError, "no completion for class 2"),
    ("predict_proba", {"class_of": [0.0, 1.0, 0.0, 1.0]}, ValueError, "integers"),
    ("predict", {"aggregate": "median"}, ValueError, "mean, sum, bytes"),
    ("predict", {"aggregate": np.array(["mean", "sum"])}, ValueError, "aggregate"),
    ("predict_proba", {"discount_completions": "much"}, TypeError, "discount_completions.*str"),
    ("predict_proba", {"discount_completions": float("nan")}, ValueError, "discount_completions.*nan"),
    ("predict", {"discount_completions": 1, "log_marg_probs_completions": [[None]]}, ValueError, "1 entries for 4 completions"),
    ("predict", {"discount_completions": 1, "log_marg_probs_completions": [["x"]] * 4}, TypeError, r"\[0\]"),
    ("predict", {"discount_completions": 1, "log_marg_probs_completions": [1, 2, 3, 4]}, TypeError, r"\[0\]"),
    ("predict", {"domain_prompt": "Topic:"}, ValueError, "without discount"),
    ("predict", {"domain_prompt": "", "discount_completions": -1}, ValueError, "empty"),
    ("predict", {"domain_prompt": 1, "discount_completions": -1}, TypeError, "domain_prompt.*int"),
    ("predict", {"domain_prompt": "a", "discount_completions": -1, "log_marg_probs_completions": [[None]] * 4}, ValueError,
     "one of them"),
    ("predict_proba", {"completions": None, "prior": [0.5, 0.5]}, TypeError, "if rows have their own completions"),
    ("token_logprobs", {"completions": None, "prior": [1]}, TypeError, "add_bos"),
    ("classify", {}, ValueError, "function must be"),
    ("predict", {"errors": "ignore"}, ValueError, "errors must be"),
    ("predict", {"model_options": {"thread": 1}}, TypeError, "threads, memory"),
    ("predict", {"model_options": {"threads": "2"}}, TypeError, "threads.*str"),
    ("predict", {"model_options": {"memory": -1}}, ValueError, "memory"),
    ("predict", {"model_options": {"precision": "f16"}}, ValueError, "precision"),
    ("predict_proba", {"normalize": [True, False]}, TypeError, "normalize"),
    ("predict", {"model": 3}, TypeError, "path that every worker can open"),
])
def test_bad_arguments_are_told_at_once(function, keywords, kind, part):
    keywords = {"model": "no-such-file.gguf", **keywords}
    with pytest.raises(kind, match=part):
        job(function, keywords.pop("model"), **keywords)


def test_options_of_an_open_model_are_its_own(tiny_model):
    import capp

    with capp.Model(tiny_model) as model, pytest.raises(TypeError, match="has its own"):
        job("predict", model, model_options={"threads": 1})


@pytest.mark.parametrize("module", ["spark", "ray"])
def test_a_missing_engine_is_named(module, tmp_path):
    hidden = {"spark": "pyspark", "ray": "ray"}[module]
    code = f"import sys; sys.modules[{hidden!r}] = None; import capp.{module}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path,
                          env={**os.environ, "PYTHONPATH": str(ROOT / "python")})
    assert done.returncode and f"pip install 'capp[{module}]'" in done.stderr.splitlines()[-1]


def test_every_module_is_in_the_wheel():
    listed = (ROOT / "python" / "meson.build").read_text()
    for path in (ROOT / "python" / "capp").iterdir():
        assert path.name == "__pycache__" or f"'capp/{path.name}'" in listed, path
