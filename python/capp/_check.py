"""Arguments checked before any work: CAPPr's rules and its kinds of error, TypeError for a wrong kind and ValueError for
a wrong value."""
from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def length(value: Any, name: str) -> int:
    try:
        return len(value)
    except TypeError:
        raise TypeError(f"{name} must be a sequence, such as a list or a tuple, not {type(value).__name__}") from None


def nonempty(value: Any, name: str) -> None:
    if length(value, name) == 0:
        raise ValueError(f"{name} must not be empty")


def nonempty_and_ordered(value: Any, name: str) -> None:
    nonempty(value, name)
    try:
        reversed(value)
    except TypeError:
        raise TypeError(f"{name} must have an order, as a list or a tuple; {type(value).__name__} has none") from None


def texts(value: Any, name: str) -> None:
    """A sequence that may hold texts; what it holds is not looked at."""
    nonempty_and_ordered(value, name)
    if len(getattr(value, "shape", (0,))) != 1:  # a table's list() would be the names of its columns
        raise TypeError(f"{name} must have one dimension, not the shape {tuple(value.shape)}; of a table give one column")


def _is_empty(completion: Any) -> bool:
    try:
        return not completion
    except (TypeError, ValueError):  # an array, or pandas' NA
        return False


def completions(value: Any) -> None:
    texts(value, "completions")
    if isinstance(value, str):
        raise TypeError("completions must be a sequence of strings, not one string; put it into a list (and set "
                        "normalize=False for the probability of a single completion)")
    empty = [i for i, completion in enumerate(value) if _is_empty(completion)]
    if len(empty) == len(value):
        raise ValueError("all completions are empty")
    if empty:
        raise ValueError(f"completions {empty} are empty")
    for i, completion in enumerate(value):
        if not isinstance(completion, str):
            raise TypeError(f"completions[{i}] must be a string, not {type(completion).__name__}")


def end_of_prompt(value: Any) -> None:
    if not isinstance(value, str):
        raise TypeError(f'end_of_prompt must be " " or "", not {type(value).__name__}')
    if value not in (" ", ""):
        raise ValueError(f'end_of_prompt must be " " or "", not {value!r}')


def prior(value: Any, n: int) -> npt.NDArray[np.float64] | None:
    """The prior as an array of its own, or None."""
    if value is None:
        return None
    nonempty_and_ordered(value, "prior")
    if len(np.shape(value)) != 1:
        raise ValueError("prior must have one dimension")
    array = np.array(value, dtype=float)
    if not (np.all(array >= 0) and np.all(array <= 1)):
        raise ValueError("prior must be of probabilities, between 0 and 1")
    if not np.isclose(array.sum(), 1):
        raise ValueError(f"prior must sum to 1, not {array.sum():g}")
    if len(array) != n:
        raise ValueError(f"prior is of {len(array)} completions, but there are {n}")
    return array


def normalize(value: Any, completions: Any) -> None:
    if value and len(completions) == 1:
        raise ValueError("one completion alone has probability 1; give more completions, or set normalize=False")
