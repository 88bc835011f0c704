"""Functions on arrays, which need no model: decisions from stored log-probabilities, calibration, metrics. The library
computes them, as in C and in the command."""
from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any, Sequence

import numpy as np
import numpy.typing as npt

from capp import _abi
from capp._abi import Strings, byref, lib
from capp._call import check
from capp._weighing import AGGREGATES

Floats = npt.NDArray[np.float64]


def _matrix(values: npt.ArrayLike, name: str) -> Floats:
    array = np.ascontiguousarray(values, np.float64)
    if array.ndim != 2:
        raise ValueError(f"{name} must have two dimensions, rows and classes, not {array.ndim}")
    return array


def _labels(values: npt.ArrayLike, n: int) -> npt.NDArray[np.uintp]:
    array = np.asarray(values)
    if array.shape != (n,) or array.dtype.kind not in "iu" or (n and array.min() < 0):
        raise ValueError(f"labels must be {n} indices of classes, counted from 0")
    return np.ascontiguousarray(array, np.uintp)


@dataclass(frozen=True)
class Decisions:
    """The result of :func:`decide`."""

    scores: Floats  #: [rows][classes] logarithm of the likelihood
    posterior: Floats  #: [rows][classes]
    prediction: npt.NDArray[np.intp]  #: [rows]


def decide(logprobs: Sequence[npt.ArrayLike], completions: Sequence[str], aggregate: str = "mean",
           prior: npt.ArrayLike | None = None, normalize: bool = True, discount: float = 0.0,
           marginals: Sequence[npt.ArrayLike] | None = None, class_of: Sequence[int] | None = None) -> Decisions:
    """Decides rows from their log-probabilities: the arithmetic of :func:`capp.classify.predict_proba` without the model.

    logprobs has an array for each completion: [rows][tokens of the completion]. marginals has [tokens] for each.
    class_of has the class of each completion, from 0, if classes have several phrasings: their likelihoods are added, and
    prior has a number for each class. Without it each completion is a class.

    >>> found = decide([[[-1.0], [-3.0]], [[-2.0, -1.0], [-1.0, -1.0]]], ["yes", "no way"], prior=[0.5, 0.5])
    >>> found.prediction
    array([0, 1])
    """
    parts = [np.atleast_2d(np.asarray(part, np.float32)) for part in logprobs]
    if len(parts) != len(completions) or not parts or len({len(part) for part in parts}) != 1:
        raise ValueError("logprobs needs one array for each completion, and all must have the same number of rows")
    offset = np.cumsum([0, *(part.shape[1] for part in parts)], dtype=np.uintp)
    flat = np.ascontiguousarray(np.concatenate(parts, axis=1))
    n, k = len(flat), len(parts)
    texts, options, scoring = Strings(completions), _abi.RunOptions(), _abi.Scoring()
    lib.capp_run_options_init(byref(options))
    lib.capp_scoring_init(byref(scoring))
    if aggregate not in AGGREGATES:
        raise ValueError(f"aggregate must be one of {', '.join(AGGREGATES)}, not {aggregate!r}")
    options.aggregate = AGGREGATES.index(aggregate)
    scoring.discount = discount
    added = np.concatenate([np.asarray(part, np.float64) for part in marginals]) if marginals is not None else None
    if added is not None:
        scoring.marginals, scoring.marginal_offset, scoring.n_marginals = added.ctypes.data, offset.ctypes.data, k
        if len(added) != flat.shape[1]:
            raise ValueError(f"there are {len(added)} marginals, but the completions have {flat.shape[1]} tokens")
    options.scoring = ctypes.pointer(scoring)
    classes = None if class_of is None else np.asarray(class_of)
    if classes is not None:
        if classes.shape != (k,) or classes.dtype.kind not in "iu" or set(classes) != set(range(int(max(classes)) + 1)):
            raise ValueError(f"class_of must have the class of each of the {k} completions, counted from 0 without gaps")
        classes = np.ascontiguousarray(classes, np.uintp)
        scoring.class_of, scoring.n_phrasings, k = classes.ctypes.data, k, int(classes.max()) + 1
        scoring.n_classes = k
    weights = None if prior is None else np.ascontiguousarray(prior, np.float64)
    if weights is not None and weights.shape != (k,):
        raise ValueError(f"prior must have {k} numbers")
    example = np.zeros(1, _abi.EXAMPLE)
    example["completions"], example["n_completions"], example["normalize"] = texts.address, len(parts), normalize
    example["prior"] = 0 if weights is None else weights.ctypes.data
    given = _abi.Logprobs(n, offset.ctypes.data, flat.ctypes.data, None, None, None, 0)
    found = Decisions(np.empty((n, k)), np.empty((n, k)), np.empty(n, np.intp))
    decided = _abi.Decided(found.scores.ctypes.data, found.posterior.ctypes.data, found.prediction.ctypes.data, None)
    check(lib.capp_decide, byref(given), example.ctypes.data, byref(options), byref(decided))
    return found


# ---- Calibration -----------------------------------------------------------------------------------------------------


def calibrate_shift(scores: npt.ArrayLike) -> Floats:
    """Returns minus the logarithm of each class's mean probability over the rows, which is to be added to scores.

    With rows whose texts say nothing, this is contextual calibration (Zhao et al. 2021). With the rows that are to be
    decided, it is batch calibration (Zhou et al. 2023).

    >>> calibrate_shift([[0.0, 0.0]]).round(4)
    array([0.6931, 0.6931])
    """
    array = _matrix(scores, "scores")
    shift = np.empty(array.shape[1])
    check(lib.capp_calibrate_shift, array.ctypes.data, *array.shape, shift.ctypes.data)
    return shift


def calibrate_position(scores: npt.ArrayLike) -> Floats:
    """For prompts that list the classes: returns what to add to the score of the class at each place of the list, to take
    out how much the model favors the place (PriDe: Zheng et al. 2023).

    scores has the shape (rows, classes, classes): for each row and each rotation of the list the scores of the classes.
    In rotation r, class k stands at place (k - r) modulo the number of classes.

    >>> calibrate_position([[[np.log(3), 0.0], [0.0, np.log(3)]]]).round(4)
    array([0.2877, 1.3863])
    """
    array = np.ascontiguousarray(scores, np.float64)
    if array.ndim != 3 or array.shape[1] != array.shape[2]:
        raise ValueError("scores must have three dimensions: rows, rotations, and as many classes as rotations")
    shift = np.empty(array.shape[2])
    check(lib.capp_calibrate_position, array.ctypes.data, len(array), len(shift), shift.ctypes.data)
    return shift


def calibrate_prior(scores: npt.ArrayLike, assumed: npt.ArrayLike | None = None) -> Floats:
    """Estimates how frequent each class is among the rows, without labels, by expectation maximization (Saerens et al.
    2002). assumed: the prior that is part of the scores."""
    array = _matrix(scores, "scores")
    before = None if assumed is None else np.ascontiguousarray(assumed, np.float64)
    if before is not None and before.shape != (array.shape[1],):
        raise ValueError(f"assumed must have {array.shape[1]} numbers")
    prior = np.empty(array.shape[1])
    check(lib.capp_calibrate_prior, array.ctypes.data, *array.shape, None if before is None else before.ctypes.data,
          prior.ctypes.data)
    return prior


def calibrate_fit(scores: npt.ArrayLike, labels: npt.ArrayLike, shifts: bool = True,
                  penalty: float = 1e-3) -> tuple[float, Floats | None]:
    """Fits a scale and, if shifts, a shift for each class to labeled rows. Returns both, for :func:`calibrate_apply`."""
    array = _matrix(scores, "scores")
    right, scale = _labels(labels, len(array)), ctypes.c_double()
    shift = np.empty(array.shape[1]) if shifts else None
    check(lib.capp_calibrate_fit, array.ctypes.data, right.ctypes.data, *array.shape, penalty, ctypes.addressof(scale),
          None if shift is None else shift.ctypes.data)
    return scale.value, shift


def calibrate_apply(scores: npt.ArrayLike, scale: float = 1.0, shift: npt.ArrayLike | None = None) -> Floats:
    """Returns the probabilities of the classes: the softmax of scale * scores + shift.

    >>> calibrate_apply([[0.0, 0.0]], shift=[np.log(3), 0]).round(4)
    array([[0.75, 0.25]])
    """
    array = _matrix(scores, "scores")
    added = None if shift is None else np.ascontiguousarray(shift, np.float64)
    if added is not None and added.shape != (array.shape[1],):
        raise ValueError(f"shift must have {array.shape[1]} numbers")
    posterior = np.empty(array.shape)
    check(lib.capp_calibrate_apply, array.ctypes.data, *array.shape, scale, None if added is None else added.ctypes.data,
          posterior.ctypes.data)
    return posterior


def calibrate_cross(scores: npt.ArrayLike, labels: npt.ArrayLike, shifts: bool = True, penalty: float = 1e-3,
                    folds: int = 5) -> Floats:
    """Returns the probabilities of each row after a calibration that was fitted to the other folds' rows. So their
    metrics show what the calibration does to rows that it was not fitted to."""
    array = _matrix(scores, "scores")
    right, posterior = _labels(labels, len(array)), np.empty(array.shape)
    check(lib.capp_calibrate_cross, array.ctypes.data, right.ctypes.data, *array.shape, penalty, shifts, folds,
          posterior.ctypes.data)
    return posterior


def conformal_bound(posterior: npt.ArrayLike, labels: npt.ArrayLike, coverage: float = 0.9) -> float:
    """Returns a bound: the classes whose probability is at least the bound contain the correct class of a new row with
    a probability of at least coverage, if new rows are like the labeled ones (split conformal prediction)."""
    array = _matrix(posterior, "posterior")
    right, least = _labels(labels, len(array)), ctypes.c_double()
    check(lib.capp_calibrate_sets, array.ctypes.data, right.ctypes.data, *array.shape, coverage, ctypes.addressof(least))
    return least.value


# ---- Metrics ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Metrics:
    """The result of :func:`metrics`."""

    n: int
    correct: int
    accuracy: float
    accuracy_low: float  #: Wilson's interval for 95 %
    accuracy_high: float
    macro_f1: float  #: over the classes that are a label or a prediction
    log_loss: float
    brier: float  #: mean over the rows of the sum over the classes
    ece: float  #: expected calibration error, 15 bins
    bin_n: Sequence[int]
    bin_confidence: Sequence[float]
    bin_accuracy: Sequence[float]
    risk: Sequence[float]  #: error rates among the most certain 5 %, 10 %, ... of the rows


def metrics(posterior: npt.ArrayLike, labels: npt.ArrayLike) -> Metrics:
    """Compares probabilities with labels.

    >>> metrics([[0.9, 0.1], [0.4, 0.6]], [0, 0]).accuracy
    0.5
    """
    array = _matrix(posterior, "posterior")
    right, pointer, found = _labels(labels, len(array)), ctypes.c_void_p(), _abi.Metrics()
    check(lib.capp_measure_open, byref(pointer), array.shape[1])
    try:
        check(lib.capp_measure_add, pointer, array.ctypes.data, len(array), array.shape[1], right.ctypes.data, None)
        check(lib.capp_measure_get, pointer, byref(found))
    finally:
        lib.capp_measure_free(pointer)
    values: dict[str, Any] = {field[0]: getattr(found, field[0]) for field in found._fields_}
    for name in ("bin_n", "bin_confidence", "bin_accuracy", "risk"):
        values[name] = tuple(values[name])
    return Metrics(**values)


def mcnemar(only_first: int, only_second: int) -> float:
    """McNemar's exact test: how probable it is that two classifiers that are equally good differ at least this much in
    the number of rows that only one of them has right.

    >>> mcnemar(0, 5)
    0.0625
    """
    return float(lib.capp_measure_mcnemar(only_first, only_second))


def holm(p: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Corrects p-values for their number (Holm 1979).

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    found = np.array(p, np.float64, ndmin=1)
    lib.capp_measure_holm(found.ctypes.data, found.size)
    return found
