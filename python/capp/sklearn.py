"""A scikit-learn classifier of texts that needs no training. It can learn a calibration from labels."""
from __future__ import annotations

from typing import Any, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from capp import _check
from capp.classify import predict_proba

CALIBRATIONS = ("prior", "temperature", "affine", None)
LEAST = 1e-300  # takes the place of a probability that is too small for a double
RIDGE = 1e-3  # pulls the temperature to 1 and biases to 0, so that they stay finite for separable labels


class CompletionClassifier(ClassifierMixin, BaseEstimator):
    """Predicts a class for each text: the one whose name is the most probable completion of a prompt.

    Parameters
    ----------
    model
        a capp.Model, a path, or another model that :mod:`capp.classify` accepts
    classes
        the labels in any order: a sequence of strings; or a mapping from labels of any type to one phrasing, or to a list
        of phrasings, whose probabilities add. None: the labels that `fit` gets, as strings
    template
        the prompt; `{text}` stands for the text
    prior
        a prior for the classes, in the order of `classes`; None: uniform
    calibration
        what `fit` learns from labels: ``"prior"``, the share of each class; ``"temperature"``, a factor for
        log-probabilities; ``"affine"``, this factor and a bias for each class; None: nothing
    aggregate, discount_completions, domain_prompt
        as for :func:`capp.classify.predict_proba`

    Attributes
    ----------
    classes_
        the labels, sorted, as in other classifiers of scikit-learn
    prior_, temperature_, bias_
        the values in use: a uniform prior, 1 and zeros if nothing was given or learned

    Examples
    --------
    >>> from capp.sklearn import CompletionClassifier
    >>> classifier = CompletionClassifier(model, ["sport", "food"], "{text} This is about").fit(["ignored"])
    >>> classifier.predict(["She scored a goal.", "He baked bread."]).shape
    (2,)
    """

    def __init__(self, model: Any = None, classes: Sequence[str] | Mapping[Any, str | Sequence[str]] | None = None,
                 template: str = "{text}", *, prior: Sequence[float] | None = None, calibration: str | None = None,
                 aggregate: Any = "mean", discount_completions: float = 0.0, domain_prompt: str | None = None) -> None:
        self.model = model
        self.classes = classes
        self.template = template
        self.prior = prior
        self.calibration = calibration
        self.aggregate = aggregate
        self.discount_completions = discount_completions
        self.domain_prompt = domain_prompt

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "classes_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.target_tags.required = False
        tags.no_validation = True
        return tags

    def __sklearn_clone__(self) -> CompletionClassifier:
        """Shares the model instead of copying it."""
        return type(self)(**self.get_params(deep=False))

    def _phrasings(self, y: npt.NDArray[Any] | None) -> dict[Any, list[str]]:
        if self.classes is None:
            if y is None:
                raise ValueError("the classes are unknown; set classes, or pass labels to fit")
            return {label: [str(label)] for label in np.unique(y)}
        if not isinstance(self.classes, Mapping):
            labels = _check.completions(self.classes)
            twice = [label for i, label in enumerate(labels) if label in labels[:i]]
            if twice:
                raise ValueError(f"classes {twice} occur twice; use a dict for several phrasings of a class")
            return {label: [label] for label in labels}
        return {label: [named] if isinstance(named, str) else list(named) for label, named in self.classes.items()}

    def _texts(self, X: Any) -> list[str]:
        """Makes prompts. X: texts in a sequence, a Series, or the only column of a table."""
        array = np.asarray(X, dtype=object)
        if array.ndim == 2 and array.shape[1] == 1:
            array = array[:, 0]
        if array.ndim != 1:
            raise ValueError(f"X must be a sequence of texts or a table with one column, not of shape {array.shape}")
        if not len(array):
            raise ValueError("X must not be empty")
        for i, text in enumerate(array):
            if not isinstance(text, str):
                raise TypeError(f"X[{i}] must be a string, not {type(text).__name__}")
        return [self.template.replace("{text}", text) for text in array]

    def _log_probabilities(self, X: Any) -> npt.NDArray[np.float64]:
        """Returns the log-probability of each class, without prior and calibration."""
        completions, class_of = [], []
        for k, label in enumerate(self.classes_):
            completions += self._named[label]
            class_of += [k] * len(self._named[label])
        given = None if all(len(self._named[label]) == 1 for label in self.classes_) else class_of
        probability = predict_proba(self._texts(X), completions, self.model, show_progress_bar=False, class_of=given,
                                    aggregate=self.aggregate, discount_completions=self.discount_completions,
                                    domain_prompt=self.domain_prompt)
        return np.log(np.maximum(probability, LEAST))

    def fit(self, X: Any, y: Any = None) -> CompletionClassifier:
        """Learns the calibration from the labels y, if there are any. The weights of the model do not change. Each label must be
        one of the classes, also if nothing is learned. If the classes are strings and the labels integers, the labels are
        positions in `classes_`, as cross_val_predict makes them."""
        if self.calibration not in CALIBRATIONS:
            raise ValueError(f"calibration must be one of {CALIBRATIONS}, not {self.calibration!r}")
        if "{text}" not in self.template:
            raise ValueError('the template must contain "{text}"')
        labels = None if y is None else np.asarray(y)
        if labels is not None and (labels.ndim != 1 or len(labels) != len(X)):
            raise ValueError(f"y must have one label for each of {len(X)} texts, not shape {labels.shape}")
        self._named = self._phrasings(labels)
        if len(self._named) < 2:
            raise ValueError(f"a classifier needs at least two classes, not {len(self._named)}")
        for label, phrasings in self._named.items():
            if not phrasings:
                raise ValueError(f"class {label!r} has no phrasings; give at least one")
        if len({type(label) for label in self._named}) > 1 or not np.isscalar(next(iter(self._named))):
            raise TypeError(f"labels must be all strings or all numbers, not {list(self._named)}")
        self.classes_: npt.NDArray[Any] = np.unique(np.array(list(self._named)))
        n = len(self.classes_)
        self.prior_: npt.NDArray[np.float64] = np.full(n, 1 / n)
        if self.prior is not None:  # in the order of classes; classes_ are sorted
            order = [list(self._named).index(label) for label in self.classes_]
            self.prior_ = np.asarray(_check.prior(self.prior, n))[order]
        self.temperature_ = 1.0
        self.bias_: npt.NDArray[np.float64] = np.zeros(n)
        if labels is not None:
            target = self._targets(labels)
            if self.calibration:
                self._learn(X, target)
        return self

    def _targets(self, labels: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
        """Returns the position of each label in `classes_`."""
        if labels.dtype.kind in "iu" and self.classes_.dtype.kind == "U":
            inside = (labels >= 0) & (labels < len(self.classes_))
            if not inside.all():
                raise ValueError(f"label {labels[~inside][0]} is not a position in the classes {self.classes_.tolist()}")
            return labels.astype(np.intp)
        place = {label: k for k, label in enumerate(self.classes_.tolist())}
        for label in labels.tolist():
            if label not in place:
                raise ValueError(f"label {label!r} is not one of the classes {self.classes_.tolist()}")
        return np.array([place[label] for label in labels.tolist()], dtype=np.intp)

    def _learn(self, X: Any, target: npt.NDArray[np.intp]) -> None:
        n = len(self.classes_)
        if self.calibration == "prior":  # adds one of each class, so that no class has probability 0
            self.prior_ = (np.bincount(target, minlength=n) + 1) / (len(target) + n)
            return
        scores = self._log_probabilities(X)
        biased = self.calibration == "affine"

        def loss(parameters: npt.NDArray[np.float64]) -> float:
            bias = parameters[1:] if biased else 0
            logs = log_softmax(np.exp(parameters[0]) * scores + np.log(np.maximum(self.prior_, LEAST)) + bias, axis=1)
            return float(-logs[np.arange(len(target)), target].mean() + RIDGE * (parameters**2).sum())

        found = minimize(loss, np.zeros(1 + n * biased), method="L-BFGS-B").x
        self.temperature_ = float(np.exp(found[0]))
        if biased:
            self.bias_ = found[1:]

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Returns the probability of each class, in the order of `classes_`."""
        check_is_fitted(self)
        logs = self.temperature_ * self._log_probabilities(X) + np.log(np.maximum(self.prior_, LEAST)) + self.bias_
        return softmax(logs, axis=1)

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Returns the most probable class of each text."""
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]
