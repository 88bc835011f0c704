"""capp.sklearn: the estimator alone, in scikit-learn's tools, and with scikit-learn's own checks."""
import os
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXTS = ["the cat", "in a house", "yes or no", "he", "on the way", "a no", "there", "win"] * 3
CLASSES = ["yes", "no", "the house"]


@pytest.fixture(scope="module")
def model(build, tiny_model):
    os.environ["CAPP_LIBRARY"] = str(build / "libcapp.so.0")
    sys.path.insert(0, str(ROOT / "python"))
    import capp

    with capp.Model(tiny_model, precision="f32", threads=1) as opened:
        yield opened


@pytest.fixture
def classifier(model):
    from capp.sklearn import CompletionClassifier

    return CompletionClassifier(model, CLASSES, "{text}:")


def test_without_labels_it_is_predict_proba(model, classifier):
    from capp.classify import predict_proba

    order = np.argsort(CLASSES)
    expected = predict_proba([f"{t}:" for t in TEXTS], CLASSES, model, show_progress_bar=False)[:, order]
    assert np.allclose(classifier.fit(TEXTS).predict_proba(TEXTS), expected)
    assert list(classifier.classes_) == sorted(CLASSES)
    assert list(classifier.predict(TEXTS)) == [classifier.classes_[i] for i in expected.argmax(axis=1)]
    classifier.set_params(prior=[0.2, 0.5, 0.3]).fit(TEXTS)
    tilted = predict_proba([f"{t}:" for t in TEXTS], CLASSES, model, prior=[0.2, 0.5, 0.3], show_progress_bar=False)
    assert np.allclose(classifier.predict_proba(TEXTS), tilted[:, order])


def test_phrasings_and_labels_of_any_kind(model):
    from capp.classify import predict_proba
    from capp.sklearn import CompletionClassifier

    found = CompletionClassifier(model, {1: ["yes", "in"], 0: "no"}).fit(TEXTS).predict_proba(TEXTS)
    expected = predict_proba(TEXTS, ["no", "yes", "in"], model, class_of=[0, 1, 1], show_progress_bar=False)
    assert np.allclose(found, expected)
    from_labels = CompletionClassifier(model).fit(TEXTS, ["yes", "no"] * 12)
    assert list(from_labels.classes_) == ["no", "yes"]


def log_loss(probabilities, labels, classes):
    columns = np.searchsorted(classes, labels)
    return -np.log(probabilities[np.arange(len(labels)), columns]).mean()


@pytest.mark.parametrize("calibration", ["prior", "temperature", "affine"])
def test_labels_teach(classifier, calibration):
    """Labels are drawn with a known bias: learning lowers the loss and changes nothing else."""
    plain = classifier.fit(TEXTS).predict_proba(TEXTS)
    rng = np.random.default_rng(1)
    tilted = plain**0.3 * [0.7, 0.1, 0.2]
    tilted /= tilted.sum(axis=1, keepdims=True)
    labels = np.array([rng.choice(classifier.classes_, p=row) for row in tilted])
    before = log_loss(plain, labels, classifier.classes_)
    after = log_loss(classifier.set_params(calibration=calibration).fit(TEXTS, labels).predict_proba(TEXTS), labels,
                     classifier.classes_)
    assert after < before - 0.05
    assert (classifier.temperature_ < 1) == (calibration != "prior")
    assert bool(np.any(classifier.bias_)) == (calibration == "affine")
    assert 0 <= classifier.score(TEXTS, labels) <= 1
    assert np.allclose(classifier.fit(TEXTS).predict_proba(TEXTS), plain)  # without labels nothing is learnt


def test_in_scikit_learns_tools(classifier):
    import pandas
    from sklearn.base import clone
    from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    labels = np.array((CLASSES * 8))
    assert clone(classifier).model is classifier.model
    scores = cross_val_score(classifier.set_params(calibration="affine"), TEXTS, labels, cv=3)
    assert scores.shape == (3,) and np.isfinite(scores).all()
    held_out = cross_val_predict(classifier, TEXTS, labels, cv=3, method="predict_proba")
    assert np.allclose(held_out.sum(axis=1), 1)
    with pytest.raises(ValueError, match="not a position"):
        classifier.fit(TEXTS, [3] * len(TEXTS))
    with pytest.raises(ValueError, match="'Yes' is not one of the classes"):
        cross_val_score(clone(classifier).set_params(calibration=None), TEXTS, ["Yes", "No"] * 12, cv=2)
    assert cross_val_predict(clone(classifier).set_params(calibration=None), TEXTS, labels, cv=2, method="predict_proba").shape == (24, 3)
    grid = GridSearchCV(classifier, {"calibration": ["prior", None], "template": ["{text}", "{text} so"]}, cv=2,
                        error_score="raise")
    assert grid.fit(TEXTS, labels).best_params_["template"] in ("{text}", "{text} so")
    shout = make_pipeline(FunctionTransformer(lambda texts: [t.upper() for t in texts]), classifier)
    assert len(shout.fit(TEXTS, labels).predict(TEXTS)) == len(TEXTS)
    table = pandas.DataFrame({"text": TEXTS})
    assert np.array_equal(classifier.fit(table, labels).predict(table), classifier.fit(TEXTS, labels).predict(TEXTS))


def test_errors(model, classifier):
    from sklearn.exceptions import NotFittedError

    from capp.sklearn import CompletionClassifier

    with pytest.raises(NotFittedError):
        classifier.predict(TEXTS)
    for changed, labels, message in [({"calibration": "magic"}, None, "calibration"), ({"template": "a"}, None, "{text}"),
                                     ({"classes": {"a": [], "b": ["x", "y"]}}, None, "no phrasing"),
                                     ({"prior": [0.25] * 4}, None, "prior"), ({"prior": [-1, 2]}, None, "prior"),
                                     ({"classes": ["a"]}, None, "two classes"), ({"classes": None}, None, "classes"),
                                     ({"calibration": "affine"}, ["maybe"] * len(TEXTS), "'maybe' is not one of the classes"),
                                     ({}, [*CLASSES * 7, "yes", "no", "Yes"], "'Yes' is not one of the classes"),
                                     ({}, [3] * len(TEXTS), "label 3 is not a position in the classes"),
                                     ({}, [-1] * len(TEXTS), "label -1 is not a position"),
                                     ({"classes": {1: "yes", 0: "no"}}, ["1"] * len(TEXTS), "'1' is not one of the classes"),
                                     ({"classes": {1: "yes", 0: "no"}}, [2] * len(TEXTS), "label 2 is not one of the classes"),
                                     ({}, ["yes"], "one label for each")]:
        with pytest.raises(ValueError, match=message):
            CompletionClassifier(**{"model": model, "classes": CLASSES, **changed}).fit(TEXTS, labels)
    classifier.fit(TEXTS)
    with pytest.raises(TypeError, match="must be a string"):
        classifier.predict([1, 2])
    with pytest.raises(ValueError, match="shape"):
        classifier.predict([["a", "b"]])


# scikit-learn's checks pass tables of numbers. These checks do not, or examine only the class.
CHECKS = ["check_estimator_cloneable", "check_estimator_repr", "check_no_attributes_set_in_init",
          "check_get_params_invariance", "check_set_params",
          "check_parameters_default_constructible", "check_mixin_order", "check_estimator_tags_renamed",
          "check_valid_tag_types"]


@pytest.mark.parametrize("name", CHECKS)
def test_scikit_learns_own_checks(classifier, name):
    from sklearn.utils import estimator_checks

    getattr(estimator_checks, name)("CompletionClassifier", classifier)


@pytest.mark.parametrize("classes, error", [({"yes", "no"}, (TypeError, ValueError)), ("yes", TypeError),
                                            (["yes", "no", "yes"], ValueError), (["yes", ""], ValueError)])
def test_classes_that_are_none(model, classes, error):
    from capp.sklearn import CompletionClassifier

    with pytest.raises(error):
        CompletionClassifier(model, classes).fit(TEXTS)
