"""Functions on arrays: decisions, calibration and metrics against NumPy, SciPy and scikit-learn."""
import contextlib
import json
import sqlite3
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from command import BUILD, run

os.environ.setdefault("CAPP_LIBRARY", str(BUILD / "libcapp.so.0"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "python"))

from capp import arrays  # noqa: E402
from capp.store import Store  # noqa: E402


def softmax(scores):
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@pytest.fixture(params=[(400, 3, 0), (200, 12, 1), (60, 2, 2)])
def rows(request):
    """Scores that are too sure and favor some classes, and labels."""
    n, k, seed = request.param
    rng = np.random.default_rng(seed)
    labels = rng.choice(k, n, p=rng.dirichlet(np.ones(k) * 3))
    scores = rng.normal(size=(n, k)) * 2 + rng.normal(size=k) * 2
    scores[np.arange(n), labels] += 2.5
    return scores, labels


# ---- Metrics ---------------------------------------------------------------------------------------------------------


def test_metrics_are_those_of_scikit_learn(rows):
    from sklearn import metrics as sk

    scores, labels = rows
    p = softmax(scores)
    found, prediction, k = arrays.metrics(p, labels), p.argmax(axis=1), p.shape[1]
    assert found.n == len(p) and found.correct == (prediction == labels).sum()
    assert found.accuracy == pytest.approx(sk.accuracy_score(labels, prediction), abs=1e-12)
    assert found.macro_f1 == pytest.approx(sk.f1_score(labels, prediction, average="macro"), abs=1e-9)
    assert found.log_loss == pytest.approx(sk.log_loss(labels, p, labels=np.arange(k)), abs=1e-9)
    one_hot = np.eye(k)[labels]
    assert found.brier == pytest.approx(((p - one_hot) ** 2).sum(axis=1).mean(), abs=1e-9)
    if k == 2:
        assert found.brier / 2 == pytest.approx(sk.brier_score_loss(labels, p[:, 1]), abs=1e-9)


def test_calibration_error_and_risk(rows):
    scores, labels = rows
    p = softmax(scores)
    found, confidence, right = arrays.metrics(p, labels), p.max(axis=1), p.argmax(axis=1) == labels
    place, ece = np.clip(np.ceil(confidence * 15) - 1, 0, 14).astype(int), 0
    for b in range(15):
        inside = place == b
        assert found.bin_n[b] == inside.sum()
        if inside.any():
            assert found.bin_confidence[b] == pytest.approx(confidence[inside].mean(), abs=1e-9)
            assert found.bin_accuracy[b] == pytest.approx(right[inside].mean(), abs=1e-9)
            ece += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
    assert found.ece == pytest.approx(ece, abs=1e-9)
    wrong = np.cumsum(~right[np.argsort(-confidence, kind="stable")])
    for i, risk in enumerate(found.risk):
        m = int(np.ceil(len(p) * (i + 1) / 20))
        assert risk == pytest.approx(wrong[m - 1] / m, abs=1e-12)
    assert found.risk[-1] == pytest.approx(1 - found.accuracy)


def test_interval_and_mcnemar():
    from scipy import stats

    p = np.array([[0.6, 0.4]] * 30)
    for correct in 0, 1, 17, 30:
        found = arrays.metrics(p, [0] * correct + [1] * (30 - correct))
        want = stats.binomtest(correct, 30).proportion_ci(0.95, method="wilson")
        assert (found.accuracy_low, found.accuracy_high) == pytest.approx((want.low, want.high), abs=1e-9)
    for a, b in [(0, 0), (1, 0), (3, 9), (12, 12), (40, 90), (700, 500)]:
        assert arrays.mcnemar(a, b) == pytest.approx(stats.binomtest(a, a + b).pvalue if a + b else 1, rel=1e-9)


# ---- Calibration -----------------------------------------------------------------------------------------------------


def test_shifts(rows):
    scores, _ = rows
    shift = arrays.calibrate_shift(scores)
    assert shift == pytest.approx(-np.log(softmax(scores).mean(axis=0)), abs=1e-9)
    assert arrays.calibrate_apply(scores, 1, shift) == pytest.approx(softmax(scores + shift), abs=1e-12)


def test_priors_by_expectation_maximization(rows):
    scores, _ = rows
    p, prior = softmax(scores), np.full(scores.shape[1], 1 / scores.shape[1])
    for _ in range(10_000):
        weighted = p * prior * scores.shape[1]
        new = (weighted / weighted.sum(axis=1, keepdims=True)).mean(axis=0)
        if abs(new - prior).max() <= 1e-12:
            break
        prior = new
    assert arrays.calibrate_prior(scores) == pytest.approx(prior, abs=1e-9)
    assumed = np.linspace(1, 2, scores.shape[1])
    assumed /= assumed.sum()
    assert arrays.calibrate_prior(scores + np.log(assumed), assumed) == pytest.approx(prior, abs=1e-6)


def objective(values, scores, labels, penalty):
    z = values[0] * scores + values[1:]
    top = z.max(axis=1)
    loss = (top + np.log(np.exp(z - top[:, None]).sum(axis=1)) - z[np.arange(len(z)), labels]).mean()
    return loss + penalty / 2 * ((values[0] - 1) ** 2 + (values[1:] ** 2).sum())


@pytest.mark.parametrize("penalty", [1e-3, 0.1])
def test_fits_are_minima(rows, penalty):
    from scipy.optimize import minimize, minimize_scalar

    scores, labels = rows
    scale, shift = arrays.calibrate_fit(scores, labels, penalty=penalty)
    best = minimize(objective, np.r_[1, np.zeros(scores.shape[1])], (scores, labels, penalty), "BFGS", options={"gtol": 1e-9})
    assert np.r_[scale, shift] == pytest.approx(best.x, abs=2e-5)
    assert objective(np.r_[scale, shift], scores, labels, penalty) <= best.fun + 1e-12
    alone, none = arrays.calibrate_fit(scores, labels, shifts=False, penalty=penalty)
    zeros = np.zeros(scores.shape[1])
    best = minimize_scalar(lambda a: objective(np.r_[a, zeros], scores, labels, penalty), tol=1e-12)
    assert none is None and alone == pytest.approx(best.x, abs=1e-6)


@pytest.mark.parametrize("shifts", [False, True])
def test_cross_validation_uses_other_rows(rows, shifts):
    scores, labels = rows
    found, n = arrays.calibrate_cross(scores, labels, shifts, folds=4), np.arange(len(labels))
    for fold in range(4):
        scale, shift = arrays.calibrate_fit(scores[n % 4 != fold], labels[n % 4 != fold], shifts)
        assert found[fold::4] == pytest.approx(arrays.calibrate_apply(scores[fold::4], scale, shift), abs=1e-12)
    if len(labels) > 100:  # with few rows it need not help
        assert arrays.metrics(found, labels).log_loss < arrays.metrics(softmax(scores), labels).log_loss


def test_conformal_sets_cover():
    rng = np.random.default_rng(3)
    shares = []
    for _ in range(300):
        p = rng.dirichlet(np.ones(5), 240)
        labels = np.array([rng.choice(5, p=row) for row in p])
        bound = arrays.conformal_bound(p[:120], labels[:120], 0.9)
        right = np.sort(p[np.arange(120), labels[:120]])
        assert bound == right[120 - int(np.ceil(121 * 0.9))]
        shares.append((p[np.arange(120, 240), labels[120:]] >= bound).mean())
    assert 0.9 <= np.mean(shares) + 0.005 and np.mean(shares) < 0.93
    assert arrays.conformal_bound(p[:5], labels[:5], 0.9) == 0


def test_errors():
    for wrong in [lambda: arrays.calibrate_shift(np.empty((0, 2))), lambda: arrays.calibrate_shift([[1.0]]),
                  lambda: arrays.calibrate_shift([[np.nan, 0.0]]), lambda: arrays.calibrate_fit([[1.0, 2.0]], [2]),
                  lambda: arrays.calibrate_fit([[1.0, 2.0]], [0], penalty=0), lambda: arrays.metrics([[0.5, 0.5]], [2]),
                  lambda: arrays.calibrate_cross([[1.0, 2.0]], [0], folds=2), lambda: arrays.conformal_bound([[1.0, 0.0]], [0], 1),
                  lambda: arrays.decide([[[-1.0]]], ["a"]), lambda: arrays.decide([[[-1.0]], [[-1.0]]], ["a", "b"], discount=1)]:
        with pytest.raises(Exception, match="[a-z]"):
            wrong()


def test_nan_is_refused():
    nan, scores = np.nan, [[1.0, 2.0]]
    for wrong, message in [(lambda: arrays.calibrate_apply(scores, scale=nan), "the scale is nan"),
                           (lambda: arrays.calibrate_apply(scores, shift=[0, nan]), "the shift of class 1 is nan"),
                           (lambda: arrays.calibrate_apply(scores, shift=[-np.inf, -np.inf]), "all classes"),
                           (lambda: arrays.conformal_bound([[0.5, 0.5], [nan, 1.0]], [0, 0], 0.5), "row 1 has the probability nan"),
                           (lambda: arrays.metrics([[0.5, 0.5], [0.5, nan]], [0, 0]), "row 1 has the probability nan for class 1"),
                           (lambda: arrays.decide([[[-1.0]], [[nan]]], ["a", "b"]), "log-probability 1 of the row is NaN")]:
        with pytest.raises(Exception, match=message):
            wrong()
    assert arrays.calibrate_apply(scores, shift=[-np.inf, 0]).tolist() == [[0, 1]]


def test_phrasings_are_added():
    rows = np.log([[[0.1], [0.3]], [[0.2], [0.3]], [[0.5], [0.1]]])
    found = arrays.decide(rows, ["a", "b", "c"], class_of=[1, 0, 1], prior=[0.5, 0.5], aggregate="sum")
    assert np.allclose(np.exp(found.scores), [[0.2, 0.6], [0.3, 0.4]], rtol=1e-6) and list(found.prediction) == [1, 1]
    for wrong in ([0, 1], [0, 2, 2], [0, 1, -1], [0.0, 1.0, 1.0]):
        with pytest.raises(ValueError, match="class_of must have"):
            arrays.decide(rows, ["a", "b", "c"], class_of=wrong)


# ---- Stores ----------------------------------------------------------------------------------------------------------


def test_a_store_in_python(model, write, tmp_path):
    """The frame and the decisions of a store: those of the command."""
    path, store = write("in.csv", "id,text\n" + "".join(f"r{i},text {i}\n" for i in range(50))), tmp_path / "run.db"
    done = run("classify", *model, "-c", "yes,no,perhaps not", "--precision", "f32", "-o", store, path)
    assert done.returncode == 0, done.stderr
    opened = Store(store)
    frame = opened.frame()
    assert list(frame.columns) == ["id", "text", "prediction", "probability", "margin"] and len(frame) == 50
    found = arrays.decide(opened.logprobs(), opened.classes)
    assert [opened.classes[i] for i in found.prediction] == list(frame.prediction)
    assert list(found.posterior.max(axis=1)) == list(frame.probability)  # the same bits
    summed = run("decide", store, "--aggregate", "sum", "--prior", "0.2,0.3,0.5").stdout.decode()
    wanted = [list(json.loads(line)["probabilities"].values()) for line in summed.splitlines()]
    assert arrays.decide(opened.logprobs(), opened.classes, "sum", [0.2, 0.3, 0.5]).posterior.tolist() == wanted
    with pytest.raises(FileNotFoundError, match="no such file"):
        Store(tmp_path / "none.db")
    for version in (1, 3):
        with contextlib.closing(sqlite3.connect(store)) as database:
            database.execute(f"PRAGMA user_version = {version}")
        with pytest.raises(ValueError, match=f"a store of format {version}"):
            Store(store)
    store.write_bytes(b"some other file" * 50)
    with pytest.raises(ValueError, match="run.db: file is not a database; it is not a store of capp"):
        Store(store)


def test_the_page_on_a_store_with_phrasings(model, write, tmp_path, monkeypatch, capsys):
    """The snippet of docs/store.md, where a class has two phrasings and a row could not be scored."""
    classes = write("c.json", '[{"name": "yes", "phrasings": ["yes", "of course"]}, "no"]')
    rows = [{"text": f"text {i}" if i != 5 else None, "topic": ["yes", "no"][i % 2]} for i in range(40)]
    path = write("in.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    done = run("classify", *model, "-c", f"@{classes}", "-t", "Say {text}", "--precision", "f32", "--on-error", "null", "-o",
               tmp_path / "run.db", path)
    assert done.returncode == 3, done.stderr  # a bad row
    page = (Path(__file__).resolve().parent.parent / "docs" / "store.md").read_text(encoding="utf-8")
    (snippet,) = [part.split("```")[0] for part in page.split("```python\n")[1:] if "calibrate_cross" in part.split("```")[0]]
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(snippet, names)  # the page as a person copies it
    opened, frame = names["store"], names["store"].frame()
    assert len(capsys.readouterr().out.split()) == 2 and len(frame) == 40
    assert opened.completions == ["yes", "of course", "no"] and opened.class_of == [0, 0, 1]
    assert opened.scored == [row for row in range(40) if row != 5] == list(names["labels"].index)
    best = frame.loc[opened.scored]
    assert [opened.classes[i] for i in names["found"].prediction] == list(best.prediction)
    assert list(names["found"].posterior.max(axis=1)) == list(best.probability)  # the same bits
