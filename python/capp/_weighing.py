"""The steps from log-probabilities to probabilities: arguments that several functions share, checked before any work."""
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Callable, Sequence, Union

import numpy as np
import numpy.typing as npt

from capp import _check

Array = npt.NDArray[np.float64]
Aggregate = Union[str, Callable[[Array], float]]

AGGREGATES = ("mean", "sum", "bytes")


@dataclass(frozen=True, eq=False)
class Weighing:
    """How log-probabilities are converted to likelihoods, and these to probabilities."""

    prior: Array | None  # [n_classes]
    normalize: bool | npt.NDArray[np.bool_]  # or [prompt]
    discount: float
    marginals: list[Array] | None  # [completion][token], NaN if there is none
    aggregate: Aggregate
    domain_prompt: str | None
    class_of: npt.NDArray[np.uintp] | None  # [completion]
    n_classes: int  # columns of the result; the number of completions if class_of is None

    def check_rows(self, n: int) -> None:
        """Checks that normalize has one value, or one for each of n prompts."""
        if isinstance(self.normalize, np.ndarray) and self.normalize.shape != (n,):
            raise ValueError(f"normalize has shape {self.normalize.shape} for {n} prompts; give one value, or one per prompt")

    def likelihoods(self, logprobs: Sequence[Array], completions: Sequence[str]) -> Array:
        """Returns the likelihoods [n_classes] for (discounted) log-probabilities [completion][token], as capp_score does."""
        found = np.array([self._likelihood(*pair) for pair in zip(logprobs, completions)], float)
        if self.class_of is None:
            return found
        sums = np.zeros(self.n_classes)
        np.add.at(sums, self.class_of, found)
        return sums

    def _likelihood(self, logprobs: Array, completion: str) -> float:
        if callable(self.aggregate):
            return likelihood_of(self.aggregate, logprobs)
        if self.aggregate == "mean":
            return math.exp(logprobs.mean())
        return math.exp(logprobs.sum() / (len(completion.encode()) if self.aggregate == "bytes" else 1))


def likelihood_of(function: Callable[[Array], float], logprobs: Array) -> float:
    """Calls a caller's function and checks that the result can be a likelihood."""
    given = function(logprobs)
    try:
        found = float(given)
    except (TypeError, ValueError):
        raise TypeError(f"aggregate must return a number, not {type(given).__name__}") from None
    if not 0 <= found < math.inf:
        raise ValueError("aggregate must return a likelihood, which is finite and at least 0, such as exp of the mean, not "
                         f"{found}")
    return found


def _marginals(value: Any, n: int) -> list[Array]:
    name = "log_marg_probs_completions"
    if _check.length(value, name) != n:
        raise ValueError(f"{name} has {len(value)} entries for {n} completions; give one entry per completion")
    rows: list[Array] = []
    for i, row in enumerate(value):
        _check.length(row, f"{name}[{i}]")
        try:
            rows.append(np.array([np.nan if each is None else each for each in row], float).reshape(len(row)))
        except (TypeError, ValueError):
            raise TypeError(f"{name}[{i}] must contain numbers, or None for a token without one") from None
    return rows


def _classes(value: Any, n: int) -> tuple[npt.NDArray[np.uintp], int]:
    """Returns the class of each of n completions as a new array, and the number of classes."""
    if _check.length(value, "class_of") != n:
        raise ValueError(f"class_of has {len(value)} entries for {n} completions; give one class per completion")
    array = np.array(list(value))
    if array.ndim != 1 or array.dtype.kind not in "iu" or array.min() < 0:
        raise ValueError("class_of must contain integers of at least 0, one for each completion")
    found = np.unique(array)
    if found[-1] != len(found) - 1:
        missing = int(np.argmax(found != np.arange(len(found))))
        raise ValueError(f"class_of has no completion for class {missing}; number the classes from 0 without gaps")
    return array.astype(np.uintp), len(found)


def _normalize(value: Any, n_classes: int) -> bool | npt.NDArray[np.bool_]:
    """Returns one value for all prompts, or an array [prompt]."""
    if isinstance(value, str):
        raise ValueError(f"normalize must be True or False, or a sequence with one per prompt, not {value!r}")
    if not hasattr(value, "__len__"):
        _check.normalize(value, range(n_classes))
        return bool(value)
    rows = np.array(list(value), bool)
    _check.normalize(bool(rows.any()), range(n_classes))
    return rows


def weighing(completions: Any, prior: Any = None, normalize: Any = True, discount_completions: Any = 0.0,
             log_marg_probs_completions: Any = None, aggregate: Any = "mean", domain_prompt: Any = None,
             class_of: Any = None) -> Weighing:
    """Checks the arguments of predict_proba with these names. Uses only the number of completions. The checks of CAPPr come
    first, in the same order."""
    n = _check.length(completions, "completions")
    classes, n_classes = (None, n) if class_of is None or not n else _classes(class_of, n)
    prior = _check.prior(prior, n_classes)
    normalize = _normalize(normalize, n_classes)
    discount = 0.0 if discount_completions is None else _check.number(discount_completions, "discount_completions")
    if not discount and log_marg_probs_completions is not None:
        raise TypeError("log_marg_probs_completions has no effect without discount_completions; set discount_completions too")
    marginals = None if log_marg_probs_completions is None else _marginals(log_marg_probs_completions, n)
    if not callable(aggregate) and not (isinstance(aggregate, str) and aggregate in AGGREGATES):
        raise ValueError(f"aggregate must be one of {', '.join(AGGREGATES)}, or a function, not {aggregate!r}")
    if domain_prompt is not None:
        _check.string(domain_prompt, "domain_prompt")
        if not discount:
            raise ValueError("domain_prompt has no effect without discount_completions; set discount_completions too")
        if marginals is not None:
            raise ValueError("domain_prompt and log_marg_probs_completions cannot be combined; give only one of them")
    return Weighing(prior, normalize, discount, marginals, aggregate, domain_prompt, classes, n_classes)
