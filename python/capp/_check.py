"""Checks arguments before any work starts. The rules and exception types are those of CAPPr: TypeError for a wrong type,
ValueError for a wrong value."""
from __future__ import annotations

import math
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
        raise TypeError(f"{name} must be ordered, such as a list or a tuple, not {type(value).__name__}") from None


def _string(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, not {type(value).__name__}")
    return value


def string(value: Any, name: str) -> str:
    """Checks that value is a string that is not empty."""
    if not (text := _string(value, name)):
        raise ValueError(f"{name} must not be empty")
    return text


def _column(value: Any, name: str) -> None:
    """Rejects tables, of which list() gives the column names, and bytes, of which it gives numbers."""
    if isinstance(value, (bytes, bytearray)):
        raise TypeError(f"{name} must be text, not bytes; decode it first")
    if not isinstance(value, str) and len(getattr(value, "shape", (0,))) != 1:
        raise TypeError(f"{name} must have one dimension, not shape {tuple(value.shape)}; select one column of a table")


def texts(value: Any, name: str) -> list[str]:
    """Returns one text, or an ordered collection of texts, as a list. No text may be empty."""
    nonempty_and_ordered(value, name)
    _column(value, name)
    return [string(text, f"{name}[{i}]") for i, text in enumerate([value] if isinstance(value, str) else value)]


def _is_empty(completion: Any) -> bool:
    try:
        return not completion
    except (TypeError, ValueError):  # an array, or NA of pandas
        return False


def completions(value: Any) -> list[str]:
    """Returns the completions as a list."""
    nonempty_and_ordered(value, "completions")
    _column(value, "completions")
    if isinstance(value, str):
        raise TypeError("completions must be a sequence of strings, not one string; use a list (with normalize=False "
                        "for the probability of a single completion)")
    listed = list(value)
    empty = [i for i, completion in enumerate(listed) if _is_empty(completion)]
    if len(empty) == len(listed):
        raise ValueError("all completions are empty")
    if empty:
        raise ValueError(f"completions {empty} are empty")
    return [_string(completion, f"completions[{i}]") for i, completion in enumerate(listed)]


def number(value: Any, name: str) -> float:
    try:
        found = float("" if isinstance(value, str) else value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, not {type(value).__name__}") from None
    if not math.isfinite(found):
        raise ValueError(f"{name} must be a finite number, not {found}")
    return found


def end_of_prompt(value: Any) -> None:
    if not isinstance(value, str):
        raise TypeError(f'end_of_prompt must be " " or "", not {type(value).__name__}')
    if value not in (" ", ""):
        raise ValueError(f'end_of_prompt must be " " or "", not {value!r}')


def prior(value: Any, n: int) -> npt.NDArray[np.float64] | None:
    """Returns a copy of the prior as an array, or None."""
    if value is None:
        return None
    nonempty_and_ordered(value, "prior")
    if len(np.shape(value)) != 1:
        raise ValueError("prior must have one dimension")
    array = np.array(value, dtype=float)
    if not (np.all(array >= 0) and np.all(array <= 1)):
        raise ValueError("prior must contain probabilities between 0 and 1")
    if not np.isclose(array.sum(), 1):
        raise ValueError(f"prior must sum to 1, not {array.sum():g}")
    if len(array) != n:
        raise ValueError(f"prior has {len(array)} values for {n} completions; give one value per completion")
    return array


def normalize(value: Any, completions: Any) -> None:
    if value and len(completions) == 1:
        raise ValueError("normalize needs at least two completions; set normalize=False to score a single one")
