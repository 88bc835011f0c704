"""A language model chooses among completions of a prompt: CAPPr's functions, on capp's engine.

Each function takes one prompt (text, example) or a sequence of them; one gives one result, not a list of one. The model is
a :class:`capp.Model`, the path of a model file, or a pair (model, tokenizer) of transformers, which is taken over at the
first call: weights that change afterwards are not seen. `batch_size`, `batch_size_completions` and `logits_all` are
CAPPr's; here a memory budget decides, and they change nothing. `reset_model` is of its functions for llama.cpp: False, and
a `llama_cpp.Llama` has the prefix that :func:`cache` gave it; True, and a cached model has none.
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
from capp._example import Example
from capp._resolve import AnyModel, prefix_of_llama, reset, resolve, set_prefix_of_llama
from capp._weighing import Aggregate, Weighing, weighing
from capp.model import CachedModel, ChatModel, Model

__all__ = ["agg_log_probs", "cache", "cache_model", "log_probs_conditional", "log_probs_conditional_examples", "predict",
           "predict_examples", "predict_proba", "predict_proba_examples", "posterior_prob", "token_logprobs"]


def _takes_capprs_names(function: Callable[..., Any]) -> Callable[..., Any]:
    """CAPPr calls the model `model_and_tokenizer` or `model`, by the backend."""
    place = list(inspect.signature(function).parameters).index("model")

    @functools.wraps(function)
    def named(*arguments: Any, model_and_tokenizer: Any = None, reset_model: bool | None = None, **keywords: Any) -> Any:
        if model_and_tokenizer is not None:
            if "model" in keywords:
                raise TypeError("model and model_and_tokenizer are two names of one argument; give one")
            keywords["model"] = model_and_tokenizer
        if reset_model is not None and "model" in keywords:
            keywords["model"] = reset(keywords["model"], reset_model)
        elif reset_model is not None and len(arguments) > place:
            arguments = (*arguments[:place], reset(arguments[place], reset_model), *arguments[place + 1:])
        return function(*arguments, **keywords)

    return named


# Options that CAPPr's predict_proba hands on, whole, to its log_probs_conditional and token_logprobs. These take them, so
# that code may do the same, and have no use for them.
HANDED_ON = ("prior", "normalize", "discount_completions", "log_marg_probs_completions", "batch_size_completions")


def _check_handed_on(function: str, keywords: Mapping[str, Any]) -> None:
    for name in keywords:
        if name not in HANDED_ON:
            raise TypeError(f"{function} takes no keyword {name!r}")


def _check_batch(size: int | None) -> None:
    if size is not None and size <= 0:
        raise ValueError("batch_size must be positive")


def _needs_space(model: Model | CachedModel) -> bool:
    """Whether the tokenizer wants a space before what follows a prompt: not where it puts one there by itself."""
    split = model.tokenize("a") + model.tokenize("b")
    return model.tokenize("a b") != split


@_takes_capprs_names
def token_logprobs(texts: str | Sequence[str], model: AnyModel, end_of_prompt: str = " ",
                   show_progress_bar: bool | None = None, add_bos: bool = False, batch_size: int = 16,
                   **kwargs: Any) -> list[float | None] | list[list[float | None]]:
    """Log-probability of each token of each text, given all before it.

    Parameters
    ----------
    texts
        one text or many
    model
        a capp.Model, a path, or transformers' (model, tokenizer)
    end_of_prompt
        stands before each text, where the tokenizer does not put a space there by itself. The default is for
        completions and their discounts; for texts in their own right set it to ""
    show_progress_bar
        by default from 5 texts on
    add_bos
        whether texts begin with the tokenizer's BOS, where it adds one
    kwargs
        options of :func:`predict_proba` in CAPPr, which change nothing here: it takes them too. No others

    Returns
    -------
    [text][token], the first of each None, because nothing precedes it.

    Raises
    ------
    TypeError
        for texts without order, and unknown keywords
    ValueError
        for empty texts

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
    """Log-probability of each token of each completion, given the prompt and the completion's tokens before it.

    Parameters
    ----------
    prompts
        one prompt or many
    completions
        what may follow: the same for each prompt
    model
        a capp.Model, a path, or transformers' (model, tokenizer)
    end_of_prompt
        what joins prompt and completion: a space, or nothing
    show_progress_bar
        by default from 5 prompts on
    kwargs
        options of :func:`predict_proba` in CAPPr, which change nothing here: it takes them too. No others

    Returns
    -------
    [prompt][completion][token]; for one prompt [completion][token].

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
    if isinstance(examples, Example):
        return [examples]
    _check.nonempty_and_ordered(examples, "examples")
    for i, example in enumerate(examples):
        if not isinstance(example, Example):
            raise TypeError(f"examples[{i}] must be a capp.Example, not {type(example).__name__}")
    return list(examples)


@_takes_capprs_names
def log_probs_conditional_examples(examples: Example | Sequence[Example], model: AnyModel,
                                   show_progress_bar: bool | None = None, batch_size: int = 2,
                                   batch_size_completions: int | None = None
                                   ) -> list[list[float]] | list[list[list[float]]]:
    """:func:`log_probs_conditional` where each example brings its own completions.

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
    return out[0] if isinstance(examples, Example) else out


def _prepare(prompts: Any, completions: Any, model: AnyModel, end_of_prompt: str, batch_size: int,
             weighed: Weighing) -> tuple[_scores.Options, _scores.Examples]:
    """Checked arguments as what the library takes: options and rows."""
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
    """Probability of each completion after each prompt.

    Parameters
    ----------
    prompts
        one prompt or many
    completions
        what may follow: the same for each prompt
    model
        a capp.Model, a path, or transformers' (model, tokenizer)
    prior
        a distribution over the completions; by default each is as likely
    end_of_prompt
        what joins prompt and completion: a space, or nothing
    normalize
        whether probabilities are divided by their sum. False: each completion is judged by itself, as where several
        labels may be right. One for all prompts or one for each
    discount_completions
        times log Pr(token | completion tokens before it) is added to the log-probability of each token
    log_marg_probs_completions
        those, [completion][token], where they are known; None counts 0. By default the model is asked
    show_progress_bar
        by default from 5 prompts on
    aggregate
        how a completion's log-probabilities become its likelihood: ``"mean"``, exp of their mean; ``"sum"``, the
        probability of all of them; ``"bytes"``, exp of their sum divided by the bytes of the completion; or a function of
        an array of them. (Not in CAPPr)
    domain_prompt
        a prompt that says only what is asked. Discounts are by the completion's probability after it, so that
        ``discount_completions=-1`` gives pointwise mutual information. (Not in CAPPr)
    class_of
        for each completion the number of its class: completions are phrasings of classes, whose probabilities add. The
        prior, and what is returned, are of classes. (Not in CAPPr)

    Returns
    -------
    An array [prompt][completion]; for one prompt [completion].

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
    """The most probable completion after each prompt, the first of equals. Arguments as of :func:`predict_proba`.

    Raises
    ------
    ValueError
        for a single completion, which is no choice

    Examples
    --------
    >>> from capp.classify import predict
    >>> predict("the cat", ["sat", "ran away"], model) in ("sat", "ran away")
    True
    """
    if _check.length(completions, "completions") == 1:
        raise ValueError("one completion alone is no choice; use predict_proba with normalize=False for its probability")
    weighed = weighing(completions, prior, True, discount_completions, log_marg_probs_completions, aggregate,
                       domain_prompt)
    options, rows = _prepare(prompts, completions, model, end_of_prompt, batch_size, weighed)
    choices = list(completions)
    out = [choices[i] for i in _scores.predictions(options, rows, show_progress_bar)]
    return out[0] if isinstance(prompts, str) else out


def _example_rows(listed: list[Example]) -> _scores.Examples:
    """As CAPPr has it: where all examples have as many completions and one brings a prior, the others' is uniform."""
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
    """:func:`predict_proba` where each example brings its own completions, prior, end_of_prompt and normalize.

    Returns
    -------
    An array [example][completion]; a list of arrays where the numbers of completions differ; for one example an array
    [completion].

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
    if isinstance(examples, Example):
        return flat
    if len(set(sizes)) == 1:
        return flat.reshape(len(listed), -1)
    return np.split(flat, np.cumsum(sizes)[:-1])


@_takes_capprs_names
def predict_examples(examples: Example | Sequence[Example], model: AnyModel, show_progress_bar: bool | None = None,
                     batch_size: int = 2, batch_size_completions: int | None = None) -> str | list[str]:
    """The most probable completion of each example, the first of equals.

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
    return out[0] if isinstance(examples, Example) else out


def _like(given: AnyModel, cached: CachedModel) -> Any:
    """A pair for a pair, so that code that takes it apart goes on."""
    return (cached, given[1]) if isinstance(given, (tuple, list)) else cached


@_takes_capprs_names
def cache_model(model: AnyModel, prefixes: str | Sequence[str] = "", logits_all: bool = True, *,
                prefix: str | None = None) -> Any:
    """A model for which every prompt begins with a prefix and a space.

    capp finds what prompts have in common by itself and computes it once: write prefixes into the prompts, if you like.
    This is for code that is written for CAPPr, and for prompts that leave the prefix out.

    Parameters
    ----------
    model
        a capp.Model, a path, transformers' (model, tokenizer), or a cached model, whose prefix comes first then
    prefixes
        one prefix, or one for each prompt of later calls; `prefix` is another name of it

    Returns
    -------
    A model for the functions of this module; a pair of it and the tokenizer where `model` is a pair.

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
        raise TypeError("a prefix cannot stand before a chat; give Model.chat the system's turn or the messages to begin with")
    made = CachedModel(opened, _check.texts(prefixes, "prefixes"))
    set_prefix_of_llama(model, made)
    return _like(model, made)


@contextmanager
def cache(model: AnyModel | None = None, prefixes: str | Sequence[str] = "", clear_cache_on_exit: bool = True,
          logits_all: bool = True, *, model_and_tokenizer: Any = None, prefix: str | None = None,
          reset_model: bool = True) -> Iterator[Any]:
    """:func:`cache_model` for a context, at whose end the cached model is cleared and cannot be used any more.

    Parameters
    ----------
    model, prefixes
        as of :func:`cache_model`; `model_and_tokenizer` and `prefix` are other names of them
    clear_cache_on_exit
        False keeps the cached model usable

    Examples
    --------
    >>> from capp.classify import cache, predict
    >>> with cache(model, "a b c") as cached:
    ...     with cache(cached, "d e") as longer:  # "a b c d e"
    ...         answer = predict(["f", "g"], ["h", "i"], longer)
    >>> predict("f", ["h", "i"], cached)
    Traceback (most recent call last):
        ...
    capp.errors.CacheClearedError: this cached model belongs to a context that has ended; open it with \
clear_cache_on_exit=False, or use cache_model, to keep it
    """
    given = model if model_and_tokenizer is None else model_and_tokenizer
    if reset_model:
        set_prefix_of_llama(given, None)
    before = prefix_of_llama(given)
    made = cache_model(given, prefixes if prefix is None else prefix)
    try:
        yield made
    finally:
        set_prefix_of_llama(given, before)
        if clear_cache_on_exit:
            (made[0] if isinstance(made, tuple) else made).clear()
