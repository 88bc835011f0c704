"""The Python package: comparison with CAPPr's own outputs, arguments, errors.

tools/make_cappr_fixtures.py makes tests/fixtures/cappr.MODEL.jsonl. --long runs CAPPr itself, where PEERS (or
~/.cache/capp-peers) has a virtual environment with it.
"""
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import cappr_cases
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
PEERS = Path(os.environ.get("PEERS") or Path.home() / ".cache" / "capp-peers")
TOLERANCE = 1e-3


@pytest.fixture(scope="module", autouse=True)
def library(build):
    """The package of this checkout with the library of this build."""
    os.environ["CAPP_LIBRARY"] = str(build / "libcapp.so.0")
    sys.path.insert(0, str(ROOT / "python"))


@pytest.fixture(scope="module")
def tiny(library, tiny_model):
    import capp

    with capp.Model(tiny_model, precision="f32", threads=2) as model:
        yield model


@pytest.fixture(scope="module")
def real(request):
    import capp

    with capp.Model(request.getfixturevalue(request.param), precision="f32") as model:
        yield request.param, model


def package_env():
    return {**os.environ, "PYTHONPATH": str(ROOT / "python")}


# ---- CAPPr's outputs -------------------------------------------------------------------------------------------------


def wrong_rows(path, model):
    import capp
    from capp import classify

    with open(path, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    assert len(rows) > len(cappr_cases.BAD) + 20
    found = []
    for i, row in enumerate(rows):
        mine = cappr_cases.outcome(row, classify, capp.Example, model)
        wrong = cappr_cases.agree(mine, row["outcome"], TOLERANCE)
        if wrong:
            found.append(f"{i}: {row['function']} {row['arguments']} {row['keywords']}: {wrong}")
    return found


@pytest.mark.parametrize("real", ["smollm2", "gemma3"], indirect=True)
def test_what_cappr_gives(real, fixtures):
    name, model = real
    assert wrong_rows(fixtures / f"cappr.{name}.jsonl", model) == []


def test_a_wrong_outcome_is_found():
    """The comparison itself works: each of these must differ."""
    array = {"array": [0.5, 0.5], "dtype": "float64"}
    for mine, theirs in [([0.5], [0.502]), ([None], [0.0]), (array, [0.5, 0.5]), ([0.5, 0.5], array), ("a", "b"),
                         ({"array": [0.5, 0.5], "dtype": "float32"}, array), ([[0.5]], [[0.5], [0.5]]),
                         ({"error": "TypeError"}, {"error": "ValueError"}), (float("nan"), 0.5)]:
        assert cappr_cases.agree(mine, theirs, TOLERANCE), (mine, theirs)
    assert cappr_cases.agree([array, "a", None, 0.5], [array, "a", None, 0.5001], TOLERANCE) is None


@pytest.mark.long
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("real", ["smollm2", "gemma3"], indirect=True)
def test_against_cappr_itself(real, tmp_path):
    name, model = real
    python, shared = PEERS / "venv" / "bin" / "python", Path(os.environ["CAPP_SHARED"])
    if not python.exists() or not shared.is_dir():
        pytest.skip(f"no CAPPr in {PEERS}")
    save = ("import common, sys\nmodel, tokenizer = common.load(sys.argv[1])\n"
            "model.save_pretrained(sys.argv[2])\ntokenizer.save_pretrained(sys.argv[2])")
    env = {**os.environ, "PYTHONPATH": str(shared / "peers"), "HF_HUB_OFFLINE": "1"}
    subprocess.run([python, "-c", save, name, tmp_path / "hf"], env=env, check=True)
    seed = str(int(time.time()))
    print(f"seed {seed}")
    make = [python, ROOT / "tools" / "make_cappr_fixtures.py", tmp_path / "hf", tmp_path / "out.jsonl", seed, "150"]
    subprocess.run(make, env=env, check=True)
    assert wrong_rows(tmp_path / "out.jsonl", model) == []


# ---- Arguments -------------------------------------------------------------------------------------------------------

PROMPTS, COMPLETIONS = ["the cat", "in a house", "yes or no", "he"], ["yes", "no", "on the way", "in"]


def test_ways_to_name_a_model(tiny, tiny_model):
    from capp.classify import predict_proba

    class Llama:  # like the class of llama_cpp
        model_path = tiny_model

    expected = predict_proba(PROMPTS, COMPLETIONS, tiny)
    for given in (tiny_model, Path(tiny_model), (tiny, "tokenizer"), Llama()):
        assert np.allclose(predict_proba(PROMPTS, COMPLETIONS, given), expected, atol=0.05)
    assert np.array_equal(predict_proba(PROMPTS, COMPLETIONS, model_and_tokenizer=(tiny, None)), expected)
    with pytest.raises(TypeError, match="the model must be"):
        predict_proba(PROMPTS, COMPLETIONS, 3)
    with pytest.raises(TypeError, match="two names"):
        predict_proba(PROMPTS, COMPLETIONS, model=tiny, model_and_tokenizer=tiny)


def test_series_are_sequences(tiny):
    import pandas
    import polars
    from capp.classify import predict, predict_proba, token_logprobs

    expected, chosen = predict_proba(PROMPTS, COMPLETIONS, tiny), predict(PROMPTS, COMPLETIONS, tiny)
    for kind in (tuple, np.array, pandas.Series, lambda x: pandas.Series(x, index=[7, 5, 3, 1]), polars.Series):
        assert np.array_equal(predict_proba(kind(PROMPTS), kind(COMPLETIONS), tiny), expected)
        assert predict(kind(PROMPTS), kind(COMPLETIONS), tiny, prior=kind([0.25] * 4)) == chosen
        assert len(token_logprobs(kind(PROMPTS), tiny)) == 4


def test_sequences_of_all_kinds(tiny):
    import collections

    import pandas
    import polars

    from capp.classify import predict, predict_proba

    expected = predict_proba(PROMPTS, COMPLETIONS, tiny)
    for kind in (lambda x: np.array(x, object), lambda x: np.array(x, np.dtypes.StringDType()), collections.deque,
                 lambda x: pandas.Series(x, index=range(9, 9 - len(x), -1)), pandas.Index, pandas.Categorical,
                 lambda x: pandas.Series(x, dtype="string"), polars.Series, lambda x: dict.fromkeys(x).keys()):
        assert np.array_equal(predict_proba(kind(PROMPTS), kind(COMPLETIONS), tiny), expected)
    assert predict(np.str_(PROMPTS[0]), COMPLETIONS, tiny) == predict(PROMPTS[0], COMPLETIONS, tiny)
    for wrong, kind, part in [
            (b"abc", TypeError, "not bytes"), ([b"abc"], TypeError, r"prompts\[0\].*bytes"), (5, TypeError, "sequence"),
            (None, TypeError, "sequence"), (iter(PROMPTS), TypeError, "sequence"), (np.array("a"), TypeError, "sequence"),
            (pandas.DataFrame({"a": PROMPTS}), TypeError, "one column"), (polars.DataFrame({"a": PROMPTS}), TypeError, "column"),
            (pandas.Series(["a", None]), TypeError, r"prompts\[1\]"), (pandas.Series([], dtype=str), ValueError, "empty"),
            (polars.Series(["a", None]), TypeError, r"prompts\[1\]"), (["a", "b\ud800"], ValueError, "surrogate")]:
        with pytest.raises(kind, match=part):
            predict(wrong, COMPLETIONS, tiny)


def test_scoring_as_a_choice(tiny):
    from capp.classify import agg_log_probs, log_probs_conditional, predict, predict_proba

    logprobs = log_probs_conditional(PROMPTS, COMPLETIONS, tiny)
    sizes = np.array([len(c.encode()) for c in COMPLETIONS])
    sums = np.array([[sum(tokens) for tokens in row] for row in logprobs])

    def proba(**keywords):
        return predict_proba(PROMPTS, COMPLETIONS, tiny, normalize=False, **keywords)

    assert np.allclose(proba(), agg_log_probs(logprobs))
    assert np.allclose(proba(aggregate="sum"), np.exp(sums))
    assert np.allclose(proba(aggregate="bytes"), np.exp(sums / sizes))
    assert np.allclose(proba(aggregate=lambda x: np.exp(x.min())), agg_log_probs(logprobs, lambda x: np.exp(np.min(x))))
    classes = proba(class_of=[0, 1, 0, 1])
    assert np.allclose(classes, agg_log_probs(logprobs)[:, :2] + agg_log_probs(logprobs)[:, 2:])
    domain = np.array([sum(tokens) for tokens in log_probs_conditional("the way", COMPLETIONS, tiny)])
    pmi = proba(aggregate="sum", discount_completions=-1, domain_prompt="the way")
    assert np.allclose(np.log(pmi), sums - domain, atol=1e-5)
    best = predict(PROMPTS, COMPLETIONS, tiny, aggregate="sum", discount_completions=-1, domain_prompt="the way")
    assert best == [COMPLETIONS[i] for i in (sums - domain).argmax(axis=1)]
    with pytest.raises(ZeroDivisionError):
        proba(aggregate=lambda x: 1 / 0)
    assert not proba(aggregate=lambda x: 0).any()
    for wrong, kind in ((np.mean, ValueError), (lambda x: x[:0], TypeError), (lambda x: None, TypeError),
                        (lambda x: float("nan"), ValueError), (lambda x: np.inf, ValueError)):
        with pytest.raises(kind, match="aggregate must return"):
            proba(aggregate=wrong)
    with pytest.raises(ValueError, match="aggregate must be"):
        proba(aggregate="median")
    with pytest.raises(ValueError, match="class_of"):
        proba(class_of=[0, 1])


def test_a_normalize_for_each_prompt(tiny):
    """An argument is accepted as CAPPr accepts it, where CAPPr's posterior_prob accepts it."""
    from capp.classify import predict_proba

    rows = {one: predict_proba(PROMPTS, COMPLETIONS, tiny, normalize=one) for one in (True, False)}
    wanted = [i % 2 == 0 for i in range(len(PROMPTS))]
    for given in (wanted, np.array(wanted), tuple(wanted)):
        found = predict_proba(PROMPTS, COMPLETIONS, tiny, normalize=given)
        assert all(np.array_equal(row, rows[one][i]) for i, (row, one) in enumerate(zip(found, wanted)))
    for wrong in ([True], [[True] * len(PROMPTS)], []):
        with pytest.raises(ValueError, match="normalize has shape"):
            predict_proba(PROMPTS, COMPLETIONS, tiny, normalize=wrong)
    with pytest.raises(ValueError, match="at least two completions"):
        predict_proba(PROMPTS, ["a"], tiny, normalize=wanted)
    assert predict_proba(PROMPTS, ["a"], tiny, normalize=[False] * len(PROMPTS)).shape == (len(PROMPTS), 1)


def test_discounts_that_are_given(tiny):
    from capp.classify import predict_proba, token_logprobs

    marginals = token_logprobs(COMPLETIONS, tiny)
    asked = predict_proba(PROMPTS, COMPLETIONS, tiny, discount_completions=0.5)
    given = predict_proba(PROMPTS, COMPLETIONS, tiny, discount_completions=0.5, log_marg_probs_completions=marginals)
    assert np.allclose(asked, given, atol=1e-12) and not np.allclose(asked, predict_proba(PROMPTS, COMPLETIONS, tiny))
    with pytest.raises(ValueError, match="marginals for completion 1"):
        predict_proba(PROMPTS, COMPLETIONS, tiny, discount_completions=0.5,
                      log_marg_probs_completions=[marginals[0], marginals[1] + [0.0], *marginals[2:]])


def test_caches(tiny):
    from capp import CacheClearedError
    from capp.classify import cache, cache_model, log_probs_conditional, predict_proba, token_logprobs

    whole = log_probs_conditional([f"in the house {p}" for p in PROMPTS], COMPLETIONS, tiny)
    with cache(tiny, "in the") as outer:
        with cache(outer, "house") as inner:
            nested = log_probs_conditional(PROMPTS, COMPLETIONS, inner)
            assert token_logprobs("house", inner)[0] is None
        with pytest.raises(CacheClearedError):
            predict_proba(PROMPTS, COMPLETIONS, inner)
        again = log_probs_conditional([f"house {p}" for p in PROMPTS], COMPLETIONS, outer)
    assert cappr_cases.agree(nested, whole, 1e-4) is None and cappr_cases.agree(again, whole, 1e-4) is None
    with cache((tiny, "tokenizer"), prefix="in the", clear_cache_on_exit=False) as (kept, tokenizer):
        assert tokenizer == "tokenizer"
    assert predict_proba(PROMPTS, COMPLETIONS, kept).shape == (4, 4)
    each = cache_model(tiny, ["in", "on", "the", "a"])
    rows = log_probs_conditional(PROMPTS, COMPLETIONS, each)
    mixed = log_probs_conditional([f"{a} {b}" for a, b in zip(["in", "on", "the", "a"], PROMPTS)], COMPLETIONS, tiny)
    assert cappr_cases.agree(rows, mixed, 1e-4) is None
    with pytest.raises(ValueError, match="broadcast"):
        predict_proba(PROMPTS[:3], COMPLETIONS, each)
    with pytest.raises(ValueError, match="empty"):
        cache_model(tiny, "")


def test_prefixes_of_llama_cpp(tiny, tiny_model):
    """CAPPr keeps the prefix in the Llama object; its users pass that object with reset_model=False."""
    from capp.classify import cache, cache_model, log_probs_conditional

    class Llama:
        model_path = tiny_model

    def scores(model, prefix="", **keywords):
        prompts = [f"{prefix} {p}".strip() for p in PROMPTS]
        return log_probs_conditional(prompts, COMPLETIONS, model, **keywords)

    model = Llama()
    bare, one, two = scores(model), scores(model, "in the"), scores(model, "in the house")
    with cache(model, "in the") as cached:
        assert scores(model) == bare and scores(cached, reset_model=True) == bare
        assert scores(model, reset_model=False) == scores(cached) == scores(cached, reset_model=False)
        assert cappr_cases.agree(scores(cached), one, 1e-4) is None
        with cache(model, "house", reset_model=False):
            nested = scores(model, reset_model=False)
            assert cappr_cases.agree(nested, two, 1e-4) is None
            assert log_probs_conditional(PROMPTS, COMPLETIONS, model=model, reset_model=False) == nested
        assert cappr_cases.agree(scores(model, reset_model=False), one, 1e-4) is None
    assert scores(model, reset_model=False) == bare
    kept = cache_model(model, "in the")
    assert cappr_cases.agree(scores(cache_model(model, "house")), two, 1e-4) is None
    assert scores(kept, reset_model=True) == bare and scores(model, reset_model=True) == bare
    assert scores(model, reset_model=False) == bare  # reset permanently


def test_progress_from_five_prompts(tiny, capsys):
    from capp.classify import predict_proba

    predict_proba(PROMPTS, COMPLETIONS, tiny)
    assert capsys.readouterr().err == ""
    predict_proba([*PROMPTS, "a"], COMPLETIONS, tiny)
    assert "5/5" in capsys.readouterr().err
    predict_proba("a", COMPLETIONS, tiny, show_progress_bar=True)
    assert "1/1" in capsys.readouterr().err
    predict_proba([*PROMPTS, "a"], COMPLETIONS, tiny, show_progress_bar=False)
    assert capsys.readouterr().err == ""


def test_errors_of_the_library(tiny, tmp_path):
    import capp
    from capp.classify import predict

    with pytest.raises(FileNotFoundError):
        predict("a", ["b", "c"], tmp_path / "none.gguf")
    with pytest.raises(OSError):
        capp.Model(tmp_path / "none.gguf")
    (tmp_path / "bad.gguf").write_bytes(b"nonsense")
    with pytest.raises(ValueError) as caught:
        capp.Model(tmp_path / "bad.gguf")
    assert isinstance(caught.value, capp.CappError) and caught.value.status == "CAPP_EFORMAT"
    with pytest.raises(ValueError, match="context is 128") as caught:
        predict(["a", "b " * 200], ["b", "c"], tiny)
    assert caught.value.row == 1
    closed = capp.Model(tiny.path)
    closed.close()
    with pytest.raises(ValueError, match="closed"):
        predict("a", ["b", "c"], closed)


class Saved:
    """Like a model or tokenizer of transformers: save_pretrained writes a folder."""

    def __init__(self):
        self.folders = []

    def save_pretrained(self, folder, **_keywords):
        self.folders.append(folder)


@pytest.fixture
def opened(tiny_model, monkeypatch):
    """Records what the package opens for pairs: (folder, keywords). In truth each is the tiny model."""
    import capp
    from capp import _resolve

    calls = []

    def open_model(folder, lora=None, **keywords):
        assert os.path.isdir(folder)
        calls.append((folder, {**keywords, "lora": lora}))
        return capp.Model(tiny_model, **keywords)

    monkeypatch.setattr(_resolve, "Model", open_model)
    return calls


def test_models_of_transformers_are_saved_once(opened):
    from capp import _resolve

    model, tokenizer = Saved(), Saved()
    first = _resolve._of_transformers(model, tokenizer)
    assert _resolve._of_transformers(model, tokenizer) is first
    assert len(opened) == 1 and model.folders == tokenizer.folders == [opened[0][0]] and not os.path.exists(opened[0][0])
    assert opened[0][1] == {"precision": "auto", "lora": []}


def test_precision_of_models_that_a_call_opens(tiny, tiny_model, opened, monkeypatch):
    """Set by argument, else by the environment; an open model has its own setting."""
    import capp
    from capp import _resolve
    from capp.classify import cache, predict_proba, token_logprobs

    pair = Saved(), Saved()

    def last():
        return opened[-1][1]["precision"]

    for given, expected, n in [("f32", "f32", 1), (None, "auto", 2), ("auto", "auto", 2), ("f32", "f32", 2)]:
        with _resolve.told_precision(given):
            made = _resolve._of_transformers(*pair)
        assert made._keywords["precision"] == expected and len(opened) == n
    monkeypatch.setenv("CAPP_PRECISION", "f32")
    assert _resolve._of_transformers(*pair)._keywords["precision"] == "f32" and len(opened) == 2
    assert capp.Model(tiny_model).info.precision == "f32" and capp.Model(tiny_model, precision="auto").info.precision == "auto"
    monkeypatch.undo()

    class Llama:
        model_path = tiny_model

    expected = predict_proba(PROMPTS, COMPLETIONS, tiny)
    for model in (Llama(), tiny_model, Path(tiny_model)):
        assert np.array_equal(predict_proba(PROMPTS, COMPLETIONS, model, precision="f32"), expected)
        monkeypatch.setenv("CAPP_PRECISION", "f32")
        assert np.array_equal(predict_proba(PROMPTS, COMPLETIONS, model=model), expected)
        monkeypatch.undo()
    with cache(Llama(), "in the", precision="f32") as cached:
        assert cached.info.precision == "f32"
    assert np.array_equal(predict_proba(PROMPTS, COMPLETIONS, tiny, precision="f32"), expected)
    with pytest.raises(ValueError, match="already open with 'f32'"):
        token_logprobs(PROMPTS, tiny, precision="auto")
    with pytest.raises(ValueError, match="precision must be one of"):
        predict_proba(PROMPTS, COMPLETIONS, tiny_model, precision="f16")
    monkeypatch.setenv("CAPP_PRECISION", "half")
    with pytest.raises(ValueError, match="CAPP_PRECISION must be one of auto, f32, bf16, i16, i8, mixed, not 'half'"):
        capp.Model(tiny_model)


class Layer:
    """Like PEFT's layers."""

    def __init__(self, merged=(), disabled=False):
        self.merged_adapters, self.disable_adapters = list(merged), disabled


class Base(Saved):
    _hf_peft_config_loaded = True

    def save_pretrained(self, folder, state_dict):
        assert not self._hf_peft_config_loaded
        os.makedirs(folder)
        self.folders.append((folder, state_dict))

    def state_dict(self):
        return {"q.base_layer.weight": 1, "q.lora_A.default.weight": 2, "q.lora_B.default.weight": 3, "k.weight": 4,
                "head.original_module.weight": 5, "head.modules_to_save.default.weight": 6,
                "embed.lora_embedding_A.default": 7}


class Peft(Saved):
    """Like a PeftModel."""

    peft_config = {"default": "a", "other": "b"}

    def __init__(self):
        super().__init__()
        self.base, self.layers, self.active_adapters = Base(), [Layer(), Layer()], ["default"]

    def modules(self):
        return [self, *self.layers]

    def get_base_model(self):
        return self.base

    def save_pretrained(self, folder, selected_adapters, save_embedding_layers):
        assert save_embedding_layers is False  # "auto" asks a server
        self.folders.append((folder, selected_adapters))


def test_models_of_peft_are_base_and_adapters(opened):
    from capp import _resolve

    model, tokenizer = Peft(), Saved()

    def adapters():
        _resolve._of_transformers(model, tokenizer)
        folder, keywords = opened[-1]
        return [os.path.relpath(path, os.path.dirname(folder)) for path in keywords["lora"]]

    assert adapters() == ["adapters"]
    (folder, weights), = model.base.folders
    assert weights == {"q.weight": 1, "k.weight": 4, "head.weight": 5} and tokenizer.folders == [folder]
    assert model.folders[-1][1] == ["default"] and model.base._hf_peft_config_loaded
    model.active_adapters = ["default", "other"]
    assert adapters() == ["adapters", "adapters/other"] and len(opened) == 2
    model.active_adapters = ["default"]
    assert adapters() == ["adapters"] or len(opened) == 2  # still open
    model.layers = [Layer(disabled=True), Layer(disabled=True)]
    assert adapters() == [] and len(opened) == 3 and len(model.folders) == 2
    model.layers = [Layer(["default"]), Layer(["default"])]
    assert adapters() == [] and len(opened) == 4 and len(model.folders) == 2  # the weights differ from before
    model.layers = [Layer(["default"]), Layer()]
    with pytest.raises(ValueError, match="merged into 1 of 2 layers"):
        _resolve._of_transformers(model, tokenizer)


def test_reset_of_llama_cpp_ends_the_prefix(tiny_model):
    """llama.reset() empties the context and the prefix in it: the next cache starts empty."""
    import gc
    import weakref

    from capp.classify import cache, cache_model, log_probs_conditional

    class Llama:
        model_path, n_tokens = tiny_model, 5

        def reset(self):
            self.n_tokens = 0
            return "done"

    def scores(model, prefix="", **keywords):
        return log_probs_conditional([f"{prefix} {p}".strip() for p in PROMPTS], COMPLETIONS, model, **keywords)

    model = Llama()
    bare = scores(model)
    cache_model(model, "in the")
    once = scores(model, reset_model=False)
    assert once != bare
    assert model.reset() == "done" and model.n_tokens == 0 and "reset" not in vars(model)
    assert scores(model, reset_model=False) == bare
    cache_model(model, "in the")
    assert scores(model, reset_model=False) == once  # not "in the in the"
    cache_model(model, "house")  # without a reset it is appended
    assert cappr_cases.agree(scores(model, reset_model=False), scores(model, "in the house", reset_model=True), 1e-4) is None
    with cache(model, "in the"):
        model.reset()
        assert scores(model, reset_model=False) == bare
        cache_model(model, "in the")
        model.reset()
    assert scores(model, reset_model=False) == bare and "reset" not in vars(model)
    own = model.reset = lambda: "the user's own"
    cache_model(model, "in the")
    scores(model, reset_model=True)
    assert model.reset is own
    cache_model(other := Llama(), "in the")
    gone = weakref.ref(other)
    gc.disable()
    del other
    assert gone() is None  # no cycle
    gc.enable()


def test_examples_of_cappr(tiny):
    """Examples are recognized by their fields; a cappr.Example is such an object."""
    import collections
    import dataclasses

    from capp import Example
    from capp.classify import log_probs_conditional_examples, predict_examples, predict_proba_examples

    @dataclasses.dataclass(frozen=True)
    class Theirs:
        prompt: str
        completions: tuple
        prior: object = None
        end_of_prompt: str = " "
        normalize: bool = True

    Row = collections.namedtuple("Row", "prompt completions prior end_of_prompt normalize")
    given = [("the cat", ("yes", "no")), ("in a", ("on the way", "in", "no"), np.array([0.2, 0.3, 0.5]), "", False)]
    ours = [Example(*fields) for fields in given]
    for kind in (Theirs, lambda *fields: Row(*fields, *(None, " ", True)[len(fields) - 2:])):
        theirs = [kind(*fields) for fields in given]
        for function in (log_probs_conditional_examples, predict_examples, predict_proba_examples):
            assert repr(function(theirs, tiny)) == repr(function(ours, tiny))
            assert repr(function(theirs[1], tiny)) == repr(function(ours[1], tiny))
            assert repr(function([theirs[0], ours[1]], tiny)) == repr(function(ours, tiny))
    for wrong, kind in (([("the cat", ("yes", "no"))], TypeError), ([Theirs], TypeError), (["abc"], TypeError),
                        ([Theirs("", ("a", "b"))], ValueError), (Theirs("a", ("a",)), ValueError)):
        with pytest.raises(kind):
            predict_examples(wrong, tiny)


def test_modules_with_capprs_names(tiny):
    """sed s/cappr/capp/ is enough."""
    code = ("import cappr\nfrom cappr import Example\nimport cappr.huggingface.classify\n"
            "from cappr import huggingface as hf\n"
            "from cappr.huggingface.classify import cache, _CacheClearedError, predict\n"
            "from cappr.huggingface.classify_no_cache import predict_proba\nimport cappr.llama_cpp.classify as llama\n"
            "from cappr.llama_cpp import _classify_no_cache\nfrom cappr.openai.classify import token_logprobs\n"
            "from cappr.utils.classify import agg_log_probs, posterior_prob\nimport cappr.utils, cappr.openai\n")
    names = {}
    exec(code.replace("cappr", "capp"), names)
    import capp
    from capp import classify, remote

    assert names["predict"] is names["llama"].predict is names["hf"].classify.predict is classify.predict
    assert names["predict_proba"] is classify.predict_proba is names["_classify_no_cache"].predict_proba
    assert names["token_logprobs"] is remote.token_logprobs and names["agg_log_probs"] is classify.agg_log_probs
    with names["cache"]((tiny, "tokenizer"), "in the") as cached:
        pass
    with pytest.raises(names["_CacheClearedError"]):
        names["predict"]("the cat", ["sat", "ran"], cached)
    with pytest.raises(AttributeError, match="no attribute 'pytorch'"):
        capp.pytorch
    for module in (names["hf"].classify, names["hf"].classify_no_cache, names["llama"], capp.openai.classify,
                   capp.utils.classify):
        assert all(hasattr(module, name) for name in module.__all__)


PAIR = """
import sys
sys.modules["llama_cpp"] = sys.modules["openai"] = None  # CAPPr imports every backend that it finds
import numpy as np
from cappr.huggingface import classify as theirs
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast
from capp import classify as ours
tokenizer = PreTrainedTokenizerFast(tokenizer_file=sys.argv[1] + "/tokenizer.json", bos_token="<s>", eos_token="</s>",
                                    unk_token="<unk>", model_input_names=["input_ids", "attention_mask"])
pair = AutoModelForCausalLM.from_pretrained(sys.argv[1]).eval(), tokenizer
prompts, completions = ["the rain in", "another one", "an inn near the"], ["the other", "on", "not there."]
def flat(module):
    return np.concatenate([tokens for row in module.log_probs_conditional(prompts, completions, model_and_tokenizer=pair)
                           for tokens in row])
worst = np.abs(flat(ours) - flat(theirs)).max()
same = [module.predict(prompts, completions, model_and_tokenizer=pair) for module in (ours, theirs)]
print(len(flat(ours)), worst, same[0] == same[1])
"""


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen3"])
def test_a_pair_of_transformers(library, kind, fixtures, tmp_path):
    """CAPPr and capp receive the same small model of transformers in memory."""
    from test_folders import write_tokenizer

    python = PEERS / "venv" / "bin" / "python"
    if not python.exists():
        pytest.skip(f"no transformers and CAPPr in {PEERS}")
    shutil.copytree(fixtures / "tiny" / kind, tmp_path / "model")
    write_tokenizer(tmp_path / "model")
    env = {**package_env(), "HF_HUB_OFFLINE": "1", "CAPP_ISA": "avx2"}  # a pair gets auto, which is float32 there
    done = subprocess.run([python, "-c", PAIR, tmp_path / "model"], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    n, worst, same = done.stdout.split()
    assert int(n) > 20 and float(worst) < TOLERANCE and same == "True"
