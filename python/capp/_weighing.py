"""What becomes of completions' log-probabilities: the arguments that functions share, checked before any work."""
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
    """How log-probabilities become likelihoods, and those probabilities."""

    prior: Array | None  # [n_classes]
    normalize: bool | npt.NDArray[np.bool_]  # or of each prompt
    discount: float
    marginals: list[Array] | None  # [completion][token], NaN where there is none
    aggregate: Aggregate
    domain_prompt: str | None
    class_of: npt.NDArray[np.uintp] | None  # [completion]
    n_classes: int  # columns of the result: the completions where class_of is None

    def check_rows(self, n: int) -> None:
        """Whether there is a normalize for each of n prompts."""
        if isinstance(self.normalize, np.ndarray) and self.normalize.shape != (n,):
            raise ValueError(f"normalize is of shape {self.normalize.shape}, but there are {n} prompts")

    def likelihoods(self, logprobs: Sequence[Array], completions: Sequence[str]) -> Array:
        """[n_classes] of the (discounted) log-probabilities of completions, [completion][token]: as capp_score has it."""
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
    """What a caller's function says, if it can be a likelihood."""
    given = function(logprobs)
    try:
        found = float(given)
    except (TypeError, ValueError):
        raise TypeError(f"aggregate must give a number, not {type(given).__name__}") from None
    if not 0 <= found < math.inf:
        raise ValueError(f"aggregate must give a likelihood, a number of 0 or more, such as exp of a mean; it gives {found}")
    return found


def _marginals(value: Any, n: int) -> list[Array]:
    name = "log_marg_probs_completions"
    if _check.length(value, name) != n:
        raise ValueError(f"{name} is of {len(value)} completions, but there are {n}")
    rows: list[Array] = []
    for i, row in enumerate(value):
        _check.length(row, f"{name}[{i}]")
        try:
            rows.append(np.array([np.nan if each is None else each for each in row], float).reshape(len(row)))
        except (TypeError, ValueError):
            raise TypeError(f"{name}[{i}] must be of numbers, and None where there is none") from None
    return rows


def _classes(value: Any, n: int) -> tuple[npt.NDArray[np.uintp], int]:
    """The class of each of n completions as an array of its own, and the number of classes."""
    if _check.length(value, "class_of") != n:
        raise ValueError(f"class_of is of {len(value)} completions, but there are {n}")
    array = np.array(list(value))
    if array.ndim != 1 or array.dtype.kind not in "iu" or array.min() < 0:
        raise ValueError("class_of must be of whole numbers from 0 on, one for each completion")
    found = np.unique(array)
    if found[-1] != len(found) - 1:
        missing = int(np.argmax(found != np.arange(len(found))))
        raise ValueError(f"class_of has no completion of class {missing}; classes are numbered from 0 on, all of them")
    return array.astype(np.uintp), len(found)


def _normalize(value: Any, n_classes: int) -> bool | npt.NDArray[np.bool_]:
    """One for all prompts, or [prompt]."""
    if isinstance(value, str):
        raise ValueError(f"normalize must be true or false, or one for each prompt, not {value!r}")
    if not hasattr(value, "__len__"):
        _check.normalize(value, range(n_classes))
        return bool(value)
    rows = np.array(list(value), bool)
    _check.normalize(bool(rows.any()), range(n_classes))
    return rows


def weighing(completions: Any, prior: Any = None, normalize: Any = True, discount_completions: Any = 0.0,
             log_marg_probs_completions: Any = None, aggregate: Any = "mean", domain_prompt: Any = None,
             class_of: Any = None) -> Weighing:
    """The checked arguments of predict_proba, under their names there, for completions of which only the number counts
    here. What CAPPr checks comes first and in its order."""
    n = _check.length(completions, "completions")
    classes, n_classes = (None, n) if class_of is None or not n else _classes(class_of, n)
    prior = _check.prior(prior, n_classes)
    normalize = _normalize(normalize, n_classes)
    discount = 0.0 if discount_completions is None else _check.number(discount_completions, "discount_completions")
    if not discount and log_marg_probs_completions is not None:
        raise TypeError("log_marg_probs_completions is given, but without discount_completions it would not be used")
    marginals = None if log_marg_probs_completions is None else _marginals(log_marg_probs_completions, n)
    if not callable(aggregate) and not (isinstance(aggregate, str) and aggregate in AGGREGATES):
        raise ValueError(f"aggregate must be one of {', '.join(AGGREGATES)}, or a function, not {aggregate!r}")
    if domain_prompt is not None:
        _check.string(domain_prompt, "domain_prompt")
        if not discount:
            raise ValueError("domain_prompt is given, but without discount_completions it would not be used")
        if marginals is not None:
            raise ValueError("domain_prompt and log_marg_probs_completions are given; give one of them")
    return Weighing(prior, normalize, discount, marginals, aggregate, domain_prompt, classes, n_classes)
