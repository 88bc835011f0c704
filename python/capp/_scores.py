"""Passes rows to the library and converts its results to arrays. The library does all the computation."""
from __future__ import annotations

import ctypes
import math
from typing import Any, Callable, Sequence

import numpy as np
import numpy.typing as npt

from capp import _abi
from capp._abi import Strings, byref, lib
from capp._call import Callbacks, Progress
from capp._example import Example
from capp._weighing import AGGREGATES, Weighing, likelihood_of
from capp.model import _TOKENIZE_BOS, _TOKENIZE_SPECIAL, CachedModel, ChatModel, Model, run


class Options:
    """A capp_run_options and everything it points to."""

    def __init__(self, model: Model | CachedModel | ChatModel, n: int, batch_size: int | None = None) -> None:
        self.raw = _abi.RunOptions()
        lib.capp_run_options_init(byref(self.raw))
        self.callbacks = Callbacks()
        self.model = model if isinstance(model, Model) else model.model
        self.chat = model if isinstance(model, ChatModel) else None
        self.raw.parse_special = self.chat.parse_special if self.chat else self.model.parse_special
        self.raw.chat = self.chat._pointer if self.chat else None
        if isinstance(model, CachedModel):
            self.prefixes = model._open_prefixes()
            m = len(self.prefixes)
            if m not in (1, n) and not (m == batch_size and n % m == 0):  # CAPPr applies the prefixes to each batch
                raise ValueError(f"could not broadcast {m} cached prefixes with {n} new inputs; use one prefix, or one per "
                                 "input")
            self.pointers = np.array([prefix.pointer for prefix in self.prefixes], np.uintp)
            self.raw.prefixes, self.raw.n_prefixes = self.pointers.ctypes.data, m

    def score(self, weighed: Weighing) -> None:
        """Sets how log-probabilities are converted to likelihoods."""
        scoring = self.scoring = _abi.Scoring()
        lib.capp_scoring_init(byref(scoring))
        self.weighed = weighed  # keeps the arrays alive
        scoring.discount = weighed.discount
        if callable(weighed.aggregate):
            self.raw.aggregate = len(AGGREGATES)
            scoring.aggregate_fn = self.function = _abi.AggregateFn(self.aggregate_fn(weighed.aggregate))
        else:
            self.raw.aggregate = AGGREGATES.index(weighed.aggregate)
        if weighed.marginals is not None:
            self.marginals = np.concatenate(weighed.marginals)
            self.marginal_offset = np.cumsum([0, *map(len, weighed.marginals)], dtype=np.uintp)
            scoring.marginals, scoring.n_marginals = self.marginals.ctypes.data, len(weighed.marginals)
            scoring.marginal_offset = self.marginal_offset.ctypes.data
        if weighed.domain_prompt is not None:
            self.domain = Strings([weighed.domain_prompt])
            scoring.domain = self.domain.first()
        if weighed.class_of is not None:
            scoring.class_of, scoring.n_phrasings = weighed.class_of.ctypes.data, len(weighed.class_of)
            scoring.n_classes = weighed.n_classes
        self.raw.scoring = ctypes.pointer(scoring)

    def aggregate_fn(self, function: Callable[[npt.NDArray[np.float64]], float]) -> Callable[..., float]:
        """Converts the caller's function, which returns a likelihood, to one that returns its logarithm."""
        def logarithm(_user: Any, logprobs: Any, n: int, _completion: Any) -> float:
            try:
                found = likelihood_of(function, np.ctypeslib.as_array(logprobs, (n,)).copy())
                return math.log(found) if found else -math.inf
            except BaseException as error:  # raised after the call
                self.callbacks.raised = self.callbacks.raised or error
                return float("nan")

        return logarithm


class Examples:
    """An array of capp_example and the memory it points to."""

    def __init__(self, prompts: Sequence[str], lists: list[Strings], list_of: npt.NDArray[np.intp], n_completions: Any,
                 prior_addresses: Any, end_of_prompt: Any, normalize: Any) -> None:
        self.prompts = Strings(prompts)
        self.lists = lists
        self.prior: Any = None  # keeps the arrays alive
        self.ends = {" ": ctypes.c_char_p(b" "), "": ctypes.c_char_p(b"")}
        addresses = {end: ctypes.cast(text, ctypes.c_void_p).value for end, text in self.ends.items()}
        self.array = array = np.zeros(len(prompts), _abi.EXAMPLE)
        array["prompt"] = self.prompts.array
        array["completions"] = np.array([strings.address for strings in lists], np.uintp)[list_of]
        array["n_completions"] = n_completions
        array["prior"] = prior_addresses
        array["end_of_prompt"] = [addresses[end] for end in end_of_prompt] if isinstance(end_of_prompt, list) else \
            addresses[end_of_prompt]
        array["normalize"] = normalize

    @classmethod
    def of_prompts(cls, prompts: Sequence[str], completions: Sequence[str], end_of_prompt: str,
                   prior: npt.NDArray[np.float64] | None, normalize: bool | npt.NDArray[np.bool_]) -> Examples:
        """Makes examples that all have the same completions."""
        made = cls(prompts, [Strings(completions)], np.zeros(len(prompts), np.intp), len(completions),
                   0 if prior is None else prior.ctypes.data, end_of_prompt, normalize)
        made.prior = prior
        return made

    @classmethod
    def of_examples(cls, examples: Sequence[Example], priors: Sequence[npt.NDArray[np.float64] | None]) -> Examples:
        made = cls([e.prompt for e in examples], [Strings(e.completions) for e in examples], np.arange(len(examples)),
                   [len(e.completions) for e in examples], [0 if p is None else p.ctypes.data for p in priors],
                   [e.end_of_prompt for e in examples], [e.normalize for e in examples])
        made.prior = priors
        return made


def _run(options: Options, function: Any, examples: Examples, rest: list[Any], show: bool | None) -> None:
    n = len(examples.array)
    if options.chat:
        examples.array["end_of_prompt"] = ctypes.cast(examples.ends[""], ctypes.c_void_p).value
    with Progress(n, show, "conditional log-probs", options.callbacks) as progress:
        options.raw.progress = progress.function
        run(options.model, function, [examples.array.ctypes.data, n, byref(options.raw), *rest], options.callbacks)


def logprobs(options: Options, examples: Examples, show: bool | None) -> list[list[list[float]]]:
    """Returns [row][completion][token]."""
    out: list[list[list[float]]] = []

    def take(result: Any) -> None:
        r = result.contents
        offset = _abi.copy_of(r.offset, r.n_completions + 1, np.uintp).tolist()
        flat = _abi.copy_of(r.logprobs, offset[-1], np.float32).tolist()
        out.append([flat[a:b] for a, b in zip(offset, offset[1:])])

    _run(options, lib.capp_score, examples, [_abi.ResultFn(options.callbacks.guard(take)), None], show)
    return out


def forecast(options: Options, examples: Examples) -> dict[str, int]:
    """Returns the fields of capp_work."""
    work = _abi.Work()
    _run(options, lib.capp_forecast, examples, [byref(work)], False)
    return {field[0]: getattr(work, field[0]) for field in work._fields_}


def posteriors(options: Options, examples: Examples, total: int, show: bool | None) -> npt.NDArray[np.float64]:
    """Returns the posteriors of all rows, one row after the other: [total]."""
    out = np.empty(total)
    _run(options, lib.capp_predict_proba, examples, [out.ctypes.data], show)
    return out


def predictions(options: Options, examples: Examples, show: bool | None) -> list[int]:
    if (examples.array["n_completions"] == 1).any():  # capp_predict needs two completions; CAPPr's examples do not
        found: list[int] = []
        take = _abi.ResultFn(options.callbacks.guard(lambda result: found.append(result.contents.prediction)))
        _run(options, lib.capp_score, examples, [take, None], show)
        return found
    out = np.empty(len(examples.array), np.uintp)
    _run(options, lib.capp_predict, examples, [out.ctypes.data], show)
    return out.tolist()


def text_logprobs(options: Options, texts: Sequence[str], bos: bool, show: bool | None) -> list[list[float | None]]:
    """Returns [text][token]."""
    out: list[list[float | None]] = []
    strings = Strings(texts)

    def take(result: Any) -> None:
        r = result.contents
        out.append([None, *_abi.copy_of(r.logprobs, r.n, np.float32)[1:].tolist()])

    flags = _TOKENIZE_BOS * bool(bos) | _TOKENIZE_SPECIAL * options.raw.parse_special
    with Progress(len(texts), show, "log-probs", options.callbacks) as progress:
        options.raw.progress = progress.function
        run(options.model, lib.capp_token_logprobs,
            [strings.address, len(texts), flags, byref(options.raw), _abi.TextResultFn(options.callbacks.guard(take)),
             None], options.callbacks)
    return out
