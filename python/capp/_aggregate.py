"""Computations on arrays of log-probabilities and likelihoods that the caller already has."""
from __future__ import annotations

from typing import Any, Callable, Sequence

import numpy as np
import numpy.typing as npt

from capp import _check


def _mean_then_exp(log_probs: Any, axis: int | None = None) -> Any:
    return np.exp(np.mean(log_probs, axis=axis))


def _dimensions(value: Any) -> int:
    """Number of dimensions of nested sequences, from their first elements."""
    n = 0
    while hasattr(value, "__len__") and not isinstance(value, (str, dict, set)) and np.ndim(value[0:0]) > 0:
        n, value = n + 1, value[0]
    return n


def _by_columns(log_probs: Any, func: Callable[..., Any]) -> npt.NDArray[np.floating]:
    """Applies func, which takes an axis, to all rows of a completion at once. Rows must have the same completions."""
    if len({len(row) for row in log_probs}) != 1:
        raise ValueError("rows have different numbers of completions")
    columns = [np.array([row[i] for row in log_probs]) for i in range(len(log_probs[0]))]
    return np.array([func(column, axis=1) for column in columns]).T


def agg_log_probs(log_probs: Sequence[Sequence[float]] | Sequence[Sequence[Sequence[float]]],
                  func: Callable[..., Any] = _mean_then_exp) -> npt.NDArray[np.floating] | list[list[float]]:
    """Aggregates the last dimension of log-probabilities.

    Parameters
    ----------
    log_probs
        nested sequences: [completion][token] or [prompt][completion][token]
    func
        function that turns a sequence of log-probabilities into a number; by default exp of their mean. If it takes
        `axis`, as NumPy's functions do, it is called once for all prompts

    Returns
    -------
    An array [completion] or [prompt][completion]; nested lists if prompts have different numbers of completions.

    Raises
    ------
    ValueError
        if there are not 2 or 3 dimensions

    Examples
    --------
    >>> from capp.classify import agg_log_probs
    >>> agg_log_probs([[[-1.0, -1.0], [-2.0]], [[-3.0, -1.0], [-1.0]]]).round(3)
    array([[0.368, 0.135],
           [0.135, 0.368]])
    >>> agg_log_probs([[-1.0, -1.0], [-2.0]], func=sum)
    array([-2., -2.])
    """
    dimensions = _dimensions(log_probs)
    if dimensions not in (2, 3):
        raise ValueError(f"log_probs must have 2 or 3 dimensions, not {dimensions}")
    rows: Any = [log_probs] if dimensions == 2 else log_probs
    out: Any
    try:
        out = _by_columns(rows, func)
    except (ValueError, TypeError):  # rows of different lengths, or a func without axis
        out = [[func(completion) for completion in row] for row in rows]
        if len({len(row) for row in out}) == 1:
            out = np.array(out)
    return out[0] if dimensions == 2 else out


def posterior_prob(likelihoods: npt.ArrayLike, axis: int = -1, prior: Sequence[float] | None = None,
                   normalize: bool | Sequence[bool] = True, check_prior: bool = True) -> npt.NDArray[np.floating]:
    """Multiplies likelihoods by a prior and divides them by their sum.

    Parameters
    ----------
    likelihoods
        an array of one or two dimensions
    axis
        the axis of one distribution
    prior
        a probability distribution along `axis`; by default uniform
    normalize
        whether to divide by the sum: one value for all rows, or one per row
    check_prior
        whether to check that the prior is a distribution

    Raises
    ------
    ValueError
        if the prior is not a probability distribution, or the lengths of `normalize` and the likelihoods differ

    Examples
    --------
    >>> from capp.classify import posterior_prob
    >>> posterior_prob([[0.1, 0.3], [0.2, 0.2]], prior=[0.75, 0.25])
    array([[0.5 , 0.5 ],
           [0.75, 0.25]])
    >>> posterior_prob([[0.1, 0.3], [0.2, 0.2]], normalize=[True, False])
    array([[0.25, 0.75],
           [0.2 , 0.2 ]])
    """
    array = np.asarray(likelihoods)
    if not isinstance(normalize, (Sequence, np.ndarray)):
        normalize = [bool(normalize)] * (1 if array.ndim == 1 else len(array))
    elif len(normalize) != len(array):
        raise ValueError(f"normalize has {len(normalize)} values for {len(array)} rows; give one value, or one per row")
    if check_prior:
        prior = _check.prior(prior, array.shape[axis])  # type: ignore[assignment]
    weighted = array if prior is None else array * prior
    sums = weighted.sum(axis=axis, keepdims=True)
    sums[~np.array(normalize, bool)] = 1
    return weighted / sums
