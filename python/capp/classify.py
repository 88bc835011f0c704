"""Scores completions of prompts with a language model. The functions are those of CAPPr.

Each function takes one prompt (text, example) or a sequence of them. A single prompt gives a single result instead of a
list. The model is a :class:`capp.Model`, the path or name of a model, a pair (model, tokenizer) of transformers, or a
`llama_cpp.Llama`. A pair is saved and opened at the first call; later changes of its weights have no effect. A PEFT model
opens as its base model with its active adapters.

Every function also accepts the keyword `precision`, for a model that capp opens in the call: ``precision="f32"``. Without
it, the environment variable CAPP_PRECISION decides, else ``"auto"``. A :class:`capp.Model` is already open; it has the
precision with which it was opened.

Some arguments exist only for compatibility with CAPPr. `batch_size`, `batch_size_completions` and `logits_all` have no
effect, because a memory budget takes their place. `reset_model` is an argument of CAPPr's functions for llama.cpp. If it is
False, a `llama_cpp.Llama` keeps the prefix that :func:`cache` gave it. If it is True, a cached model is used without its
prefix.
"""
from __future__ import annotations

import functools
import inspect
from contextlib import contextmanager
from typing import Any, Callable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from capp import _check, _scores
from capp._aggregate import agg_log_probs, posterior_prob
from capp._example import Example, as_example, is_example
from capp._resolve import AnyModel, prefix_of_llama, reset, resolve, set_prefix_of_llama, told_precision
from capp._weighing import Aggregate, Weighing, weighing
from capp.model import CachedModel, ChatModel, Model

__all__ = ["agg_log_probs", "cache", "cache_model", "forecast", "log_probs_conditional", "log_probs_conditional_examples", "predict",
           "predict_examples", "predict_proba", "predict_proba_examples", "posterior_prob", "token_logprobs"]


def _takes_capprs_names(function: Callable[..., Any]) -> Callable[..., Any]:
    """Accepts both names that CAPPr uses for the model, `model_and_tokenizer` and `model`, and the arguments that belong to
    the model: `reset_model` and `precision`."""
    place = list(inspect.signature(function).parameters).index("model")

    @functools.wraps(function)
    def named(*arguments: Any, model_and_tokenizer: Any = None, reset_model: bool | None = None,
              precision: str | None = None, **keywords: Any) -> Any:
        if model_and_tokenizer is not None:
            if "model" in keywords:
                raise TypeError("model and model_and_tokenizer are two names of one argument; give only one")
            keywords["model"] = model_and_tokenizer
        if reset_model is not None and "model" in keywords:
            keywords["model"] = reset(keywords["model"], reset_model)
        elif reset_model is not None and len(arguments) > place:
            arguments = (*arguments[:place], reset(arguments[place], reset_model), *arguments[place + 1:])
        with told_precision(precision):
            return function(*arguments, **keywords)

    return named


# Options that CAPPr's predict_proba passes on to its log_probs_conditional and token_logprobs. These functions accept and
# ignore them, so that other code may also pass them on.
HANDED_ON = ("prior", "normalize", "discount_completions", "log_marg_probs_completions", "batch_size_completions")


def _check_handed_on(function: str, keywords: Mapping[str, Any]) -> None:
    for name in keywords:
        if name not in HANDED_ON:
            raise TypeError(f"{function} has no keyword {name!r}")


def _check_batch(size: int | None) -> None:
    if size is not None and size <= 0:
        raise ValueError("batch_size must be positive")


def _needs_space(model: Model | CachedModel) -> bool:
    """Whether text after a prompt needs a space before it. Some tokenizers add one themselves."""
    split = model.tokenize("a") + model.tokenize("b")
    return model.tokenize("a b") != split


@_takes_capprs_names
def token_logprobs(texts: str | Sequence[str], model: AnyModel, end_of_prompt: str = " ",
                   show_progress_bar: bool | None = None, add_bos: bool = False, batch_size: int = 16,
                   **kwargs: Any) -> list[float | None] | list[list[float | None]]:
    """Computes the log-probability of each token of each text, given all tokens before it.

    Parameters
    ----------
    texts
        one text or a sequence of texts
    model
        a capp.Model, a path, or a pair (model, tokenizer) of transformers
    end_of_prompt
        put before each text, unless the tokenizer adds a space itself. The default is for completions and their
        discounts; for other texts set it to ""
    show_progress_bar
        whether to show progress; by default for 5 or more texts
    add_bos
        whether texts begin with BOS, if the tokenizer adds one
    kwargs
        options of CAPPr's :func:`predict_proba`, which have no effect here. Other keywords are an error

    Returns
    -------
    [text][token]. The first value of each text is None, because no token precedes it.

    Raises
    ------
    TypeError
        if texts are not ordered, or a keyword is unknown
    ValueError
        if a text is empty

    Examples
    --------
    >>> from capp.classify import token_logprobs
    >>> first, *rest = token_logprobs("the cat", model, end_of_prompt="")
    >>> first is None and all(logprob <= 0 for logprob in rest)
    True
    """
    _check_handed_on("token_logprobs", kwargs)
    listed = _check.texts(texts, "texts")
    _check.end_of_prompt(end_of_prompt)
    _check_batch(batch_size)
    opened = resolve(model)
    if end_of_prompt and not isinstance(opened, ChatModel) and _needs_space(opened):
        listed = [end_of_prompt + text for text in listed]
    options = _scores.Options(opened, len(listed), batch_size)
    out = _scores.text_logprobs(options, listed, add_bos, show_progress_bar)
    return out[0] if isinstance(texts, str) else out


@_takes_capprs_names
def log_probs_conditional(prompts: str | Sequence[str], completions: Sequence[str], model: AnyModel,
                          end_of_prompt: str = " ", show_progress_bar: bool | None = None, batch_size: int = 2,
                          batch_size_completions: int | None = None,
                          **kwargs: Any) -> list[list[float]] | list[list[list[float]]]:
    """Computes the log-probability of each token of each completion, given the prompt and the earlier tokens of the
    completion.

    Parameters
    ----------
    prompts
        one prompt or a sequence of prompts
    completions
        the possible completions, the same for each prompt
    model
        a capp.Model, a path, or a pair (model, tokenizer) of transformers
    end_of_prompt
        the text between prompt and completion: a space, or nothing
    show_progress_bar
        whether to show progress; by default for 5 or more prompts
    kwargs
        options of CAPPr's :func:`predict_proba`, which have no effect here. Other keywords are an error

    Returns
    -------
    [prompt][completion][token], or [completion][token] for a single prompt.

    Examples
    --------
    >>> from capp.classify import log_probs_conditional
    >>> rows = log_probs_conditional(["the cat", "a dog"], ["sat", "ran away"], model)
    >>> len(rows), len(rows[0])
    (2, 2)
    """
    _check_handed_on("log_probs_conditional", kwargs)
    _check.nonempty_and_ordered(prompts, "prompts")
    listed_completions = _check.completions(completions)
    _check.end_of_prompt(end_of_prompt)
    _check_batch(batch_size)
    listed = _check.texts(prompts, "prompts")
    options = _scores.Options(resolve(model), len(listed), batch_size)
    rows = _scores.Examples.of_prompts(listed, listed_completions, end_of_prompt, None, False)
    out = _scores.logprobs(options, rows, show_progress_bar)
    return out[0] if isinstance(prompts, str) else out


def _examples(examples: Example | Sequence[Example]) -> list[Example]:
    if is_example(examples):
        return [as_example(examples)]
    _check.nonempty_and_ordered(examples, "examples")
    listed: list[Any] = list(examples)  # type: ignore[arg-type]
    for i, example in enumerate(listed):
        if not is_example(example):
            raise TypeError(f"examples[{i}] must be a capp.Example, not {type(example).__name__}")
    return [as_example(example) for example in listed]


@_takes_capprs_names
def log_probs_conditional_examples(examples: Example | Sequence[Example], model: AnyModel,
                                   show_progress_bar: bool | None = None, batch_size: int = 2,
                                   batch_size_completions: int | None = None
                                   ) -> list[list[float]] | list[list[list[float]]]:
    """Like :func:`log_probs_conditional`, for examples with their own completions.

    Examples
    --------
    >>> from capp import Example
    >>> from capp.classify import log_probs_conditional_examples
    >>> rows = log_probs_conditional_examples([Example("the cat", ["sat", "ran"]), Example("a", ["b", "c", "d"])], model)
    >>> [len(row) for row in rows]
    [2, 3]
    """
    listed = _examples(examples)
    _check_batch(batch_size)
    options = _scores.Options(resolve(model), len(listed), batch_size)
    out = _scores.logprobs(options, _scores.Examples.of_examples(listed, [None] * len(listed)), show_progress_bar)
    return out[0] if is_example(examples) else out


def forecast(prompts: str | Sequence[str], completions: Sequence[str], model: AnyModel, end_of_prompt: str = " ") -> dict[str, int]:
    """Tells what a call with these prompts and completions has to do, without running the model.

    Returns
    -------
    rows, tokens_computed (token rows that run through the layers), tokens_saved (additional ones that would run if each
    completion ran alone with its prompt), windows, waves, planned_bytes (peak memory of the run, without the weights) and
    longest (tokens of the longest prompt with a completion).

    Examples
    --------
    >>> from capp.classify import forecast
    >>> work = forecast(["the cat", "the dog"], ["sat", "ran away"], model)
    >>> work["rows"], work["tokens_saved"] > 0
    (2, True)
    """
    _check.nonempty_and_ordered(prompts, "prompts")
    listed_completions = _check.completions(completions)
    _check.end_of_prompt(end_of_prompt)
    listed = _check.texts(prompts, "prompts")
    options = _scores.Options(resolve(model), len(listed), 2)
    return _scores.forecast(options, _scores.Examples.of_prompts(listed, listed_completions, end_of_prompt, None, False))


def _prepare(prompts: Any, completions: Any, model: AnyModel, end_of_prompt: str, batch_size: int,
             weighed: Weighing) -> tuple[_scores.Options, _scores.Examples]:
    """Checks the arguments and converts them to options and rows for the library."""
    _check.nonempty_and_ordered(prompts, "prompts")
    listed_completions = _check.completions(completions)
    _check.end_of_prompt(end_of_prompt)
    _check_batch(batch_size)
    listed = _check.texts(prompts, "prompts")
    weighed.check_rows(len(listed))
    options = _scores.Options(resolve(model), len(listed), batch_size)
    options.score(weighed)
    return options, _scores.Examples.of_prompts(listed, listed_completions, end_of_prompt, weighed.prior, weighed.normalize)


@_takes_capprs_names
def predict_proba(prompts: str | Sequence[str], completions: Sequence[str], model: AnyModel,
                  prior: Sequence[float] | None = None, end_of_prompt: str = " ", normalize: bool | Sequence[bool] = True,
                  discount_completions: float = 0.0,
                  log_marg_probs_completions: Sequence[Sequence[float | None]] | None = None,
                  show_progress_bar: bool | None = None, batch_size: int = 2, batch_size_completions: int | None = None,
                  *, aggregate: Aggregate = "mean",
                  domain_prompt: str | None = None, class_of: Sequence[int] | None = None) -> npt.NDArray[np.float64]:
    """Computes the probability of each completion after each prompt.

    Parameters
    ----------
    prompts
        one prompt or a sequence of prompts
    completions
        the possible completions, the same for each prompt
    model
        a capp.Model, a path, or a pair (model, tokenizer) of transformers
    prior
        a probability distribution over the completions; by default uniform
    end_of_prompt
        the text between prompt and completion: a space, or nothing
    normalize
        whether probabilities are divided by their sum. False: each completion is scored by itself, for example if
        several labels may be correct. One value for all prompts, or one per prompt
    discount_completions
        a factor. This factor times log Pr(token | completion tokens before it) is added to the log-probability of each
        token
    log_marg_probs_completions
        these log-probabilities, [completion][token], if they are known; None counts as 0. By default the model computes
        them
    show_progress_bar
        whether to show progress; by default for 5 or more prompts
    aggregate
        how the log-probabilities of a completion are combined into its likelihood: ``"mean"``, exp of their mean;
        ``"sum"``, exp of their sum; ``"bytes"``, exp of their sum divided by the number of bytes of the completion; or a
        function of an array of log-probabilities that returns the likelihood. (Not in CAPPr)
    domain_prompt
        a prompt that says only what is asked. The discount then uses the log-probabilities of the completions after this
        prompt, so ``discount_completions=-1`` gives pointwise mutual information. (Not in CAPPr)
    class_of
        for each completion, the number of its class. The completions of a class are its phrasings, and their likelihoods
        add. The prior and the result are then for classes. (Not in CAPPr)

    Returns
    -------
    An array [prompt][completion], or [completion] for a single prompt.

    Examples
    --------
    >>> from capp.classify import predict_proba
    >>> probabilities = predict_proba(["the cat", "a dog"], ["sat", "ran away"], model)
    >>> probabilities.shape, probabilities.sum(axis=1).round(6)
    ((2, 2), array([1., 1.]))
    """
    weighed = weighing(completions, prior, normalize, discount_completions, log_marg_probs_completions, aggregate,
                       domain_prompt, class_of)
    options, rows = _prepare(prompts, completions, model, end_of_prompt, batch_size, weighed)
    n = weighed.n_classes
    out = _scores.posteriors(options, rows, len(rows.array) * n, show_progress_bar).reshape(-1, n)
    return out[0] if isinstance(prompts, str) else out


@_takes_capprs_names
def predict(prompts: str | Sequence[str], completions: Sequence[str], model: AnyModel,
            prior: Sequence[float] | None = None, end_of_prompt: str = " ", discount_completions: float = 0.0,
            log_marg_probs_completions: Sequence[Sequence[float | None]] | None = None,
            show_progress_bar: bool | None = None, batch_size: int = 2, batch_size_completions: int | None = None, *,
            aggregate: Aggregate = "mean",
            domain_prompt: str | None = None) -> str | list[str]:
    """Returns the most probable completion of each prompt; the first one if several are equal. The arguments are those of
    :func:`predict_proba`.

    Raises
    ------
    ValueError
        if there is only one completion

    Examples
    --------
    >>> from capp.classify import predict
    >>> predict("the cat", ["sat", "ran away"], model) in ("sat", "ran away")
    True
    """
    if _check.length(completions, "completions") == 1:
        raise ValueError("predict needs at least two completions; use predict_proba with normalize=False for one")
    weighed = weighing(completions, prior, True, discount_completions, log_marg_probs_completions, aggregate,
                       domain_prompt)
    options, rows = _prepare(prompts, completions, model, end_of_prompt, batch_size, weighed)
    choices = list(completions)
    out = [choices[i] for i in _scores.predictions(options, rows, show_progress_bar)]
    return out[0] if isinstance(prompts, str) else out


def _example_rows(listed: list[Example]) -> _scores.Examples:
    """Follows CAPPr: if all examples have the same number of completions and one has a prior, the others get a uniform
    prior."""
    priors: list[Any] = [example.prior for example in listed]
    if len({len(e.completions) for e in listed}) == 1 and any(p is not None for p in priors):
        n = len(listed[0].completions)
        uniform = np.full(n, 1 / n)
        priors = [uniform if prior is None else prior for prior in priors]
    return _scores.Examples.of_examples(listed, priors)


@_takes_capprs_names
def predict_proba_examples(examples: Example | Sequence[Example], model: AnyModel, show_progress_bar: bool | None = None,
                           batch_size: int = 2, batch_size_completions: int | None = None
                           ) -> npt.NDArray[np.float64] | list[npt.NDArray[np.float64]]:
    """Like :func:`predict_proba`, for examples with their own completions, prior, end_of_prompt and normalize.

    Returns
    -------
    An array [example][completion]; a list of arrays if the numbers of completions differ; an array [completion] for a
    single example.

    Examples
    --------
    >>> from capp import Example
    >>> from capp.classify import predict_proba_examples
    >>> rows = predict_proba_examples([Example("the cat", ["sat", "ran"]), Example("a", ["b", "c", "d"])], model)
    >>> [row.shape for row in rows]
    [(2,), (3,)]
    """
    listed = _examples(examples)
    _check_batch(batch_size)
    options = _scores.Options(resolve(model), len(listed), batch_size)
    sizes = [len(example.completions) for example in listed]
    flat = _scores.posteriors(options, _example_rows(listed), sum(sizes), show_progress_bar)
    if is_example(examples):
        return flat
    if len(set(sizes)) == 1:
        return flat.reshape(len(listed), -1)
    return np.split(flat, np.cumsum(sizes)[:-1])


@_takes_capprs_names
def predict_examples(examples: Example | Sequence[Example], model: AnyModel, show_progress_bar: bool | None = None,
                     batch_size: int = 2, batch_size_completions: int | None = None) -> str | list[str]:
    """Returns the most probable completion of each example; the first one if several are equal.

    Examples
    --------
    >>> from capp import Example
    >>> from capp.classify import predict_examples
    >>> predict_examples(Example("the cat", ["sat", "ran"], prior=[0, 1]), model)
    'ran'
    """
    listed = _examples(examples)
    _check_batch(batch_size)
    options = _scores.Options(resolve(model), len(listed), batch_size)
    found = _scores.predictions(options, _example_rows(listed), show_progress_bar)
    out = [example.completions[i] for example, i in zip(listed, found)]
    return out[0] if is_example(examples) else out


def _like(given: AnyModel, cached: CachedModel) -> Any:
    """Returns a pair if the caller gave a pair."""
    return (cached, given[1]) if isinstance(given, (tuple, list)) else cached


@_takes_capprs_names
def cache_model(model: AnyModel, prefixes: str | Sequence[str] = "", logits_all: bool = True, *,
                prefix: str | None = None) -> Any:
    """Makes a model that puts a prefix and a space before every prompt.

    This does not make calls faster: capp always detects what prompts have in common and computes it once. The function is
    for code written for CAPPr, and for prompts that do not contain the prefix.

    Parameters
    ----------
    model
        a capp.Model, a path, a pair (model, tokenizer) of transformers, or a cached model, whose prefix then comes first
    prefixes
        one prefix, or one for each prompt of later calls. `prefix` is another name for this argument

    Returns
    -------
    A model for the functions of this module, or a pair of this model and the tokenizer if `model` is a pair.

    Examples
    --------
    >>> from capp.classify import cache_model, predict_proba
    >>> short = predict_proba("sat on", ["a mat", "it"], cache_model(model, "the cat"))
    >>> whole = predict_proba("the cat sat on", ["a mat", "it"], model)
    >>> bool(abs(short - whole).max() < 1e-4)
    True
    """
    prefixes = prefixes if prefix is None else prefix
    _check.nonempty_and_ordered(prefixes, "prefixes")
    opened = prefix_of_llama(model) or resolve(model)
    if isinstance(opened, ChatModel):
        raise TypeError("a chat cannot have a prefix; use the arguments system or messages of Model.chat instead")
    made = CachedModel(opened, _check.texts(prefixes, "prefixes"))
    set_prefix_of_llama(model, made)
    return _like(model, made)


@contextmanager
def cache(model: AnyModel | None = None, prefixes: str | Sequence[str] = "", clear_cache_on_exit: bool = True,
          logits_all: bool = True, *, model_and_tokenizer: Any = None, prefix: str | None = None,
          reset_model: bool = True, precision: str | None = None) -> Iterator[Any]:
    """Like :func:`cache_model`, as a context manager. After the context, the cached model cannot be used any more.

    Parameters
    ----------
    model, prefixes
        as for :func:`cache_model`. `model_and_tokenizer` and `prefix` are other names for these arguments
    clear_cache_on_exit
        False: the cached model can be used after the context
    precision
        see the start of this page

    Examples
    --------
    >>> from capp.classify import cache, predict
    >>> with cache(model, "a b c") as cached:
    ...     with cache(cached, "d e") as longer:  # "a b c d e"
    ...         answer = predict(["f", "g"], ["h", "i"], longer)
    >>> predict("f", ["h", "i"], cached)
    Traceback (most recent call last):
        ...
    capp.errors.CacheClearedError: the context of this cached model has ended; to keep the model, use \
clear_cache_on_exit=False or cache_model
    """
    given = model if model_and_tokenizer is None else model_and_tokenizer
    if reset_model:
        set_prefix_of_llama(given, None)
    before = prefix_of_llama(given)
    made = cache_model(given, prefixes if prefix is None else prefix, precision=precision)
    try:
        yield made
    finally:
        set_prefix_of_llama(given, before)
        if clear_cache_on_exit:
            (made[0] if isinstance(made, tuple) else made).clear()
