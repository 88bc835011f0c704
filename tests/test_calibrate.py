"""capp decide, evaluate and compare with --calibrate and --sets: against NumPy, SciPy and scikit-learn."""
import contextlib
import json
import os
import random
import sqlite3
import sys
from pathlib import Path

import numpy as np
import pytest
from command import BUILD, fails, good_text as good, rows_of, run

os.environ.setdefault("CAPP_LIBRARY", str(BUILD / "libcapp.so.0"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "python"))
from capp import arrays  # noqa: E402

NAMES = ["yes", "no", "perhaps not"]
THREE = ["-c", ",".join(NAMES), "--precision", "f32"]
FOLDS = 5
BLANKS = ["N/A", "[MASK]", ""]


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def probabilities(done):
    return np.array([list(row["probabilities"].values()) for row in rows_of(done)])


def fold_of(row):
    """calibration_fold of cli/calibration.c."""
    return ((row * 0x9E3779B97F4A7C15) % 2**64 >> 33) % FOLDS


@pytest.fixture
def labeled(write):
    """The first 150 of 200 rows have a label that the scores know something about: the tiny model's own prediction, or any
    class."""
    rng = random.Random(5)
    return write("in.jsonl", "".join(json.dumps({"text": f"text {i} of {rng.random()}"}) + "\n" for i in range(200)))


@pytest.fixture
def store(model, labeled, tmp_path):
    path, rng = tmp_path / "run.db", random.Random(6)
    good(run("classify", *model, *THREE, "-t", "Say: {text}", "-o", path, labeled))
    rows = rows_of(run("decide", path, "--calibrate", "batch"))
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        for i, row in enumerate(rows[:150]):
            label = row["prediction"] if rng.random() < 0.6 else rng.choice(NAMES)
            database.execute("INSERT INTO labels VALUES(?, ?, '2026-01-01T00:00:00Z')", (i, label))
    return path


def scores_of(store, *options):
    """Log-likelihoods: the logarithms of what --multi-label gives."""
    return np.log(probabilities(run("decide", store, "--multi-label", *options)))


def labels_of(store):
    with contextlib.closing(sqlite3.connect(store)) as database:
        found = dict(database.execute("SELECT row, label FROM labels"))
    return {row: NAMES.index(label) for row, label in found.items()}


def shift_of(scores):
    return -np.log(softmax(scores).mean(axis=0))


def prior_of(scores):
    p = softmax(scores)
    prior = np.full(3, 1 / 3)
    for _ in range(10_000):
        weighted = p * prior
        new = (weighted / weighted.sum(axis=1, keepdims=True)).mean(axis=0)
        if abs(new - prior).max() <= 1e-12:
            break
        prior = new
    return prior


def fit(scores, labels, shifts, penalty):
    """The scale and the shifts with the smallest penalized loss, by SciPy."""
    from scipy.optimize import minimize

    def loss(x):
        z = x[0] * scores + (x[1:] if shifts else 0)
        top = z.max(axis=1)
        found = (top + np.log(np.exp(z - top[:, None]).sum(axis=1)) - z[np.arange(len(z)), labels]).mean()
        p = np.exp(z - top[:, None])
        p /= p.sum(axis=1, keepdims=True)
        p[np.arange(len(z)), labels] -= 1
        gradient = np.r_[(p * scores).sum(axis=1).mean(), p.mean(axis=0) if shifts else []]
        away = x - np.r_[1, np.zeros(len(x) - 1)]
        return found + penalty / 2 * (away**2).sum(), gradient + penalty * away

    best = minimize(loss, np.r_[1, np.zeros(scores.shape[1] if shifts else 0)], jac=True, method="BFGS", options={"gtol": 1e-13})
    return best.x[0], best.x[1:] if shifts else 0


def crossed(scores, labels, shifts, penalty):
    found, place = np.empty_like(scores), np.arange(len(scores)) % FOLDS
    for f in range(FOLDS):
        scale, shift = fit(scores[place != f], labels[place != f], shifts, penalty)
        found[place == f] = softmax(scale * scores[place == f] + shift)
    return found


def best_fit(scores, labels, shifts):
    def loss(penalty):
        return -np.log(crossed(scores, labels, shifts, penalty)[np.arange(len(labels)), labels]).mean()

    return fit(scores, labels, shifts, min([1e-3, 1e-2, 1e-1, 1], key=loss))


def calibrated(method, scores, labels, prior):
    """What a method makes of all rows when it is fitted to those with labels[i] >= -1; -1: no label."""
    used, has = labels >= -1, labels >= 0
    if method == "batch":
        return softmax(scores + shift_of(scores[used]) + np.log(prior))
    if method == "prior":
        return softmax(scores + np.log(prior_of(scores[used])))
    scale, shift = best_fit((scores + np.log(prior))[has], labels[has], method == "affine")
    return softmax(scale * (scores + np.log(prior)) + shift)


UNIFORM = np.full(3, 1 / 3)


@pytest.mark.parametrize("method", ["batch", "prior", "temperature", "affine"])
def test_fits_to_rows(store, method):
    scores, labels = scores_of(store), np.full(200, -1)
    for row, label in labels_of(store).items():
        labels[row] = label
    found = run("decide", store, "--calibrate", method)
    wanted = calibrated(method, scores, labels, UNIFORM)
    assert probabilities(found) == pytest.approx(wanted, abs=1e-7 if method in ("temperature", "affine") else 1e-9)
    assert abs(wanted - softmax(scores)).max() > 1e-3  # it changes something
    assert [row["index"] for row in rows_of(found)] == list(wanted.argmax(axis=1))


@pytest.mark.parametrize("method", ["batch", "temperature", "affine"])
def test_a_prior_counts_too(store, method):
    prior, labels = np.array([0.2, 0.5, 0.3]), np.full(200, -1)
    for row, label in labels_of(store).items():
        labels[row] = label
    found = probabilities(run("decide", store, "--calibrate", method, "--prior", "0.2,0.5,0.3", "--aggregate", "sum"))
    wanted = calibrated(method, scores_of(store, "--aggregate", "sum"), labels, prior)
    assert found == pytest.approx(wanted, abs=1e-6 if method != "batch" else 1e-9)


def test_a_batch_shift_is_a_prior(store, model, labeled):
    """decide --calibrate batch gives what classify gives with the prior that has the same effect."""
    shift = shift_of(scores_of(store))
    prior = np.exp(shift - shift.max())
    prior = json.dumps(list(prior / prior.sum()))
    path = store.with_name("prior.json")
    path.write_text(prior)
    wanted = run("classify", *model, *THREE, "-t", "Say: {text}", "--prior", f"@{path}", labeled)
    assert probabilities(run("decide", store, "--calibrate", "batch")) == pytest.approx(probabilities(wanted), abs=1e-9)


def test_contextual(store, model):
    """Zhao et al.: the mean probabilities after the template with texts that say nothing are taken out."""
    fails(run("decide", store, "--calibrate", "contextual"), "N/A", "capp decide", "--rescore -m MODEL")
    fails(run("evaluate", store, "--calibrate", "contextual"), "N/A", "capp decide", "--rescore -m MODEL")
    found = probabilities(run("decide", store, "--calibrate", "contextual", "--rescore", *model))
    assert (probabilities(run("decide", store, "--calibrate", "contextual")) == found).all()
    rows = "".join(json.dumps({"prompt": f"Say: {text}"}) + "\n" for text in BLANKS)
    blank = np.log(probabilities(run("classify", *model, *THREE, "--multi-label", stdin=rows)))
    assert found == pytest.approx(softmax(scores_of(store) + shift_of(blank)), abs=1e-9)
    assert abs(found - softmax(scores_of(store))).max() > 1e-3
    # Under another aggregate, and among some of the classes.
    some = probabilities(run("decide", store, "--calibrate", "contextual", "--aggregate", "sum", "-c", "perhaps not,no"))
    rows = run("classify", *model, *THREE, "--multi-label", "--aggregate", "sum", stdin=rows)
    blank = np.log(probabilities(rows))[:, [2, 1]]
    assert some == pytest.approx(softmax(scores_of(store, "--aggregate", "sum")[:, [2, 1]] + shift_of(blank)), abs=1e-9)


def test_pmi_is_a_discount(store, model):
    domain = ["--domain", "Topic:", "--aggregate", "sum"]
    fails(run("decide", store, "--calibrate", "pmi", *domain), "Topic:", "--rescore -m MODEL")
    found = good(run("decide", store, "--calibrate", "pmi", *domain, "--rescore", *model))
    assert found == good(run("decide", store, "--discount", "-1", *domain))
    assert found != good(run("decide", store, "--aggregate", "sum"))
    fails(run("decide", store, "--calibrate", "pmi", "--discount", "-1"), "remove --discount")


def metrics_of(p, labels):
    from sklearn import metrics as sk

    one_hot = np.eye(3)[labels]
    return {"accuracy": sk.accuracy_score(labels, p.argmax(axis=1)), "macro_f1": sk.f1_score(labels, p.argmax(axis=1), average="macro"),
            "log_loss": sk.log_loss(labels, p, labels=range(3)), "brier": ((p - one_hot) ** 2).sum(axis=1).mean()}


@pytest.mark.parametrize("method", ["batch", "prior", "temperature", "affine"])
def test_reports_are_on_rows_that_were_not_fitted(store, method):
    report = json.loads(good(run("evaluate", store, "--calibrate", method, "--json", "-")))
    scores, known = scores_of(store), labels_of(store)
    folds, p = np.array([fold_of(i) for i in range(200)]), np.empty((200, 3))
    assert min(np.bincount(folds)) > 20
    for f in range(FOLDS):
        labels = np.array([-2 if folds[i] == f else known.get(i, -1) for i in range(200)])
        p[folds == f] = calibrated(method, scores, labels, UNIFORM)[folds == f]
    rows = sorted(known)
    labels = np.array([known[i] for i in rows])
    for name, want in (("before", softmax(scores)[rows]), ("after", p[rows])):
        found = report["calibration"][name]
        wanted = metrics_of(want, labels)
        assert {key: found[key] for key in wanted} == pytest.approx(wanted, abs=1e-6 if method in ("temperature", "affine") else 1e-9)
    assert report["log_loss"] == report["calibration"]["after"]["log_loss"] and report["n"] == 150
    text = good(run("evaluate", store, "--calibrate", method))
    assert "before" in text and f"calibration {method}" in text


def test_sets_contain_the_label(store):
    """Split conformal prediction: the bound of a fold comes from the labeled rows of the others."""
    for coverage in 0.5, 0.9:
        report = json.loads(good(run("evaluate", store, "--sets", coverage, "--json", "-")))
        p, known = softmax(scores_of(store)), labels_of(store)
        covered = size = 0
        for f in range(FOLDS):
            right = np.sort([p[i, known[i]] for i in known if fold_of(i) != f])
            kept = int(np.ceil((len(right) + 1) * coverage))
            least = right[len(right) - kept]
            inside = [i for i in known if fold_of(i) == f]
            covered += sum(p[i, known[i]] >= least for i in inside)
            size += sum((p[i] >= least).sum() for i in inside)
        assert report["sets"] == pytest.approx({"asked": coverage, "coverage": covered / 150, "mean_size": size / 150}, abs=1e-9)
        assert abs(report["sets"]["coverage"] - coverage) < 0.12
    rows = rows_of(run("decide", store, "--sets", "0.9"))
    right = np.sort([p[i, known[i]] for i in known])
    least = right[150 - int(np.ceil(151 * 0.9))]
    assert [row["set"] for row in rows] == [[name for name, q in zip(NAMES, values, strict=True) if q >= least] for values in p]
    table = store.with_name("out.tsv")
    good(run("decide", store, "--sets", "0.9", "-o", table))
    assert table.read_text().splitlines()[1].split("\t")[-1].count("yes") == int("yes" in rows[0]["set"])
    fitted = json.loads(good(run("evaluate", store, "--sets", "0.8", "--calibrate", "affine", "--json", "-")))
    assert abs(fitted["sets"]["coverage"] - 0.8) < 0.12


def test_what_calibration_cannot_do(store, model, write, tmp_path):
    fails(run("decide", store, "--calibrate", "magic"), "'magic'", "temperature")
    fails(run("decide", store, "--calibrate", "batch", "--multi-label"), "--multi-label")
    fails(run("decide", store, "--sets", "1"), "between 0 and 1")
    other = tmp_path / "other.db"
    path = write("few.csv", "id,text\n" + "".join(f"{i},t {i}\n" for i in range(5)))
    good(run("classify", *model, *THREE, "-o", other, path))
    fails(run("decide", other, "--calibrate", "batch"), "at least 10 rows", "5")
    for command in (["decide", other, "--calibrate", "affine"], ["evaluate", other], ["compare", other, other]):
        fails(run(*command), "no labels", "capp label", "--label FIELD")
    fails(run("evaluate", *model, *THREE, "--label", "text", "--calibrate", "batch", path), "works on a store")
    own = write("own.jsonl", "".join(json.dumps({"text": f"t {i}", "completions": list("abc")[:2 + i % 2]}) + "\n" for i in range(20)))
    good(run("classify", *model, "--precision", "f32", "-o", other, "--overwrite", own))
    fails(run("decide", other, "--calibrate", "batch"), "3 completions", "others have 2")


def test_rows_with_own_completions(model, write, tmp_path):
    """Two choices in each row, as in COPA: the classes of a fit are their places."""
    rng, store = random.Random(1), tmp_path / "run.db"
    rows = [{"text": f"t {i}", "completions": [f"a {rng.random()}", f"b {i}"]} for i in range(40)]
    path = write("own.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    good(run("classify", *model, "--precision", "f32", "-o", store, path))
    scores = np.log(np.array([row["probabilities"] for row in rows_of(run("decide", store, "--multi-label"))]))
    found = np.array([row["probabilities"] for row in rows_of(run("decide", store, "--calibrate", "batch"))])
    assert found == pytest.approx(softmax(scores + shift_of(scores)), abs=1e-9)
    found = np.array([row["probabilities"] for row in rows_of(run("decide", store, "--calibrate", "contextual", "--rescore", *model))])
    for i, row in enumerate(rows):
        blank = "".join(json.dumps(row | {"prompt": text}) + "\n" for text in ("N/A", "[MASK]"))
        z = np.log(np.array([r["probabilities"] for r in rows_of(run("classify", *model, "--precision", "f32", "--multi-label", stdin=blank))]))
        assert found[i] == pytest.approx(softmax(scores[i:i + 1] + shift_of(z))[0], abs=1e-9)


def test_undecided_rows_of_a_calibration(store):
    """The margin counts after the shifts."""
    with contextlib.closing(sqlite3.connect(store)) as database, database:
        database.execute("UPDATE settings SET value = '0.4' WHERE name = 'margin'")
        tokens = [len(json.loads(ids)) for ids, in database.execute("SELECT ids FROM completions")]
    scores, margin = scores_of(store), 0.4 * np.sqrt(np.mean(1 / np.array(tokens)))
    for options, z in ([], scores), (["--calibrate", "batch"], scores + shift_of(scores)):
        marked = [row["id"] for row in rows_of(run("decide", store, *options)) if row.get("undecided")]
        z = np.sort(z, axis=1)
        assert 10 < len(marked) < 190 and marked == [i for i in range(200) if z[i, -1] - z[i, -2] <= margin]


def test_rescore_decides_a_calibration_in_two_lanes(write, tmp_path):
    import integers

    model = ["-m", str(integers.make(tmp_path, "Q4_0")), "--isa", "ref", "--precision", "auto"]
    path, store = write("in.csv", "id,text\n" + "".join(f"{i},text {i}\n" for i in range(600))), tmp_path / "run.db"
    good(run("classify", *model, "-c", ",".join(NAMES), "-o", store, path))
    before = run("decide", store, "--calibrate", "batch").stdout.count(b'"undecided": true')
    done = run("decide", store, "--calibrate", "batch", "--rescore", *model)
    assert before and not good(done).count('"undecided": true')
    assert good(run("decide", store, "--calibrate", "batch")) == done.stdout.decode()


# ---- Places in a list of the classes -----------------------------------------------------------------------------------


def place_shift_of(scores):
    """PriDe: minus the logarithm of the prior of each place. scores: [row][rotation][class]."""
    k = scores.shape[2]
    logs = np.log(softmax(scores.reshape(-1, k))).reshape(scores.shape)
    by_place = np.stack([np.roll(logs[:, r], -r, axis=1) for r in range(k)], axis=1)  # in rotation r, class r stands first
    return -np.log(softmax(by_place.mean(axis=(0, 1))[None])[0])


def test_positions_on_arrays():
    rng = np.random.default_rng(3)
    for n, k in (1, 2), (7, 3), (30, 11):
        scores = rng.normal(0, 3, (n, k, k))
        assert arrays.calibrate_position(scores) == pytest.approx(place_shift_of(scores), abs=1e-9)
    for wrong in (np.empty((0, 2, 2)), np.zeros((1, 1, 1)), np.full((1, 2, 2), np.nan), np.zeros((2, 2)), np.zeros((1, 2, 3))):
        with pytest.raises(Exception, match="rows|classes|finite|dimensions"):
            arrays.calibrate_position(wrong)


def test_a_planted_position_is_found():
    """Scores that are content plus position: the rotations separate the two, and one order does not."""
    rng, k = np.random.default_rng(4), 5
    content, place = rng.normal(0, 1, (40, k)) + [2, 0, -1, 0, 1], rng.normal(0, 2, k)
    scores = np.stack([content + np.roll(place, r) for r in range(k)], axis=1)
    shift = arrays.calibrate_position(scores)
    assert shift == pytest.approx(-np.log(softmax(place[None])[0]), abs=1e-9)
    assert arrays.calibrate_apply(scores[:, 0], 1, shift) == pytest.approx(softmax(content), abs=1e-9)
    assert (scores[:, 0].argmax(axis=1) != content.argmax(axis=1)).sum() > 10
    for other in (arrays.calibrate_position(np.repeat(scores[:, :1], k, axis=1)), arrays.calibrate_position(scores[:, ::-1]),
                  arrays.calibrate_shift(scores[:, 0])):
        found = arrays.calibrate_apply(scores[:, 0], 1, other)
        assert abs(found - softmax(content)).max() > 0.1


LISTED = """
instruction = "{classes}."
examples = "shots.csv"
examples-label = "topic"
template = "{text} {more}: {classes}?"
list = "{number}{class}{description}"
list-separator = ","
precision = "f32"
[[class]]
name = "a"
description = "!"
[[class]]
name = "b"
phrasings = ["b", "bb and more"]
[[class]]
name = "c"
"""
ROWS = [{"id": i, "text": f"text {i}", "more": [None, 1.50, "x{y}", [1, {"a": 2}]][i // 20 % 4], "topic": "abc"[i % 3]} for i in range(460)]
SAMPLED = [i for i in range(460) if (i + 1) * 23 // 460 > i * 23 // 460]


def turned(rotation):
    """The project with a list that begins with this class."""
    parts = ["a!", "b", "c"]
    written = ",".join(f"{i + 1}{(parts[rotation:] + parts[:rotation])[i]}" for i in range(3))
    return "\n".join(line.replace("{classes}", written) for line in LISTED.splitlines() if not line.startswith("list"))


def blobs(store, text):
    with contextlib.closing(sqlite3.connect(store)) as database:
        return database.execute(text).fetchall()


@pytest.fixture
def listed(write):
    write("shots.csv", "text,more,topic\none,2,b\n")
    return write("p.toml", LISTED), write("in.jsonl", "".join(json.dumps(row) + "\n" for row in ROWS))


def test_positions(model, listed, write, tmp_path):
    project, path = listed
    store, position = tmp_path / "run.db", ["--calibrate", "position"]
    good(run("classify", *model, "-p", project, "-o", store, path))
    for command in "decide", "evaluate":
        fails(run(command, store, *position, *(["--label", "topic"] if command == "evaluate" else [])), "other orders", "capp decide",
              "--rescore -m MODEL")
    found = probabilities(run("decide", store, *position, "--rescore", *model))
    assert (probabilities(run("decide", store, *position)) == found).all()
    rows = dict(((i, r), blob) for i, r, blob in blobs(store, "SELECT row, rotation, logprobs FROM rotations"))
    assert sorted(rows) == [(i, r) for i in SAMPLED for r in (1, 2)]

    def scores(*options):
        """[row][rotation][class] from a run for each rotation, which also has the same bits."""
        all_scores = []
        for r in range(3):
            other = tmp_path / f"{r}.db"
            good(run("classify", *model, "-p", write(f"{r}.toml", turned(r)), "-o", other, "--overwrite", path))
            kept = blobs(other, "SELECT logprobs FROM rows ORDER BY row")
            assert not r or all(kept[i][0] == rows[i, r] for i in SAMPLED)
            all_scores.append(scores_of(other, *options))
        return np.stack(all_scores, axis=1)

    mean, total = scores(), scores("--aggregate", "sum")
    shift = place_shift_of(mean[SAMPLED])
    assert found == pytest.approx(softmax(mean[:, 0] + shift), abs=1e-9)
    assert abs(found - softmax(mean[:, 0])).max() > 1e-3
    assert abs(found - softmax(mean[:, 0] + place_shift_of(mean))).max() > 1e-7  # it is the sample that counts
    how = ["--aggregate", "sum", "--prior", "0.2,0.5,0.3"]
    assert probabilities(run("decide", store, *position, *how)) == pytest.approx(
        softmax(total[:, 0] + place_shift_of(total[SAMPLED]) + np.log([0.2, 0.5, 0.3])), abs=1e-9)
    some = probabilities(run("decide", store, *position, "-c", "c,a"))
    assert some == pytest.approx(softmax((mean[:, 0] + shift)[:, [2, 0]]), abs=1e-9)
    lists = write("lists.json", json.dumps([{"name": "x", "phrasings": ["a", "c"]}, "b"]))
    fails(run("decide", store, *position, "-c", f"@{lists}"), "'x'", "several places")

    report = json.loads(good(run("evaluate", store, *position, "--label", "topic", "--json", "-")))["calibration"]
    folds, p = np.array([fold_of(i) for i in range(460)]), np.empty((460, 3))
    for f in range(FOLDS):
        p[folds == f] = softmax(mean[:, 0] + place_shift_of(mean[[i for i in SAMPLED if folds[i] != f]]))[folds == f]
    labels = np.arange(460) % 3
    for name, want in (("before", softmax(mean[:, 0])), ("after", p)):
        wanted = metrics_of(want, labels)
        assert {key: report[name][key] for key in wanted} == pytest.approx(wanted, abs=1e-9)


def test_positions_in_two_lanes(write, tmp_path):
    """Rotations have the scores of the fast lane, also of prompts that are close; rows that become close are scored again."""
    import integers

    model, position = ["-m", str(integers.make(tmp_path, "Q4_0")), "--isa", "ref", "--precision", "auto"], ["--calibrate", "position"]
    names, store, other = ["x y", "z w", "u v", "y x"], tmp_path / "run.db", tmp_path / "1.db"
    listed = ["-t", "{classes} {text}", "--list", "{class}", "--list-separator", " ", "-c", ",".join(names)]
    rotated = ["-t", " ".join(names[1:] + names[:1]) + " {text}", "-c", ",".join(names)]

    def rows(numbers):
        return write("in.csv", "id,text\n" + "".join(f"{i},text {i}\n" for i in numbers))

    good(run("classify", *model, *rotated, "-o", other, rows(range(1000))))
    close = [i for i, in blobs(other, "SELECT row FROM rows WHERE first_logprobs IS NOT NULL")]
    path = rows([*close[:5], *range(15)])
    good(run("classify", *model, *listed, "-o", store, path))
    done = run("decide", store, *position, "--rescore", *model)
    assert not good(done).count('"undecided": true') and good(run("decide", store, *position)) == done.stdout.decode()
    good(run("classify", *model, *rotated, "-o", other, "--overwrite", path))
    fast = blobs(other, "SELECT coalesce(first_logprobs, logprobs), first_logprobs IS NULL FROM rows ORDER BY row")
    kept = blobs(store, "SELECT row, logprobs FROM rotations WHERE rotation = 1 ORDER BY row")
    assert [row for row, _ in kept] == list(range(len(fast))) and [blob for _, blob in kept] == [blob for blob, _ in fast]
    assert 0 < len(close) and 0 < sum(alone for _, alone in fast) < len(fast)
    exact = blobs(other, "SELECT logprobs FROM rows ORDER BY row")
    assert [blob for _, blob in kept] != [blob for blob, in exact]


def test_what_positions_need(model, listed, write, tmp_path):
    project, path = listed
    store, position = tmp_path / "run.db", ["--calibrate", "position"]
    plain = ["-c", "a,b,c", "-t", "{text}", "--precision", "f32"]
    good(run("classify", *model, *plain, "-o", store, path))
    fails(run("decide", store, *position, "--rescore", *model), "no --list")
    good(run("classify", *model, "-p", project, "--orders", "2", "-o", store, "--overwrite", path))
    fails(run("decide", store, *position), "--orders 2")
    good(run("classify", *model, "-p", project, "-o", store, "--overwrite", path))
    write("shots.csv", "text,more,topic\none,3,b\n")
    fails(run("decide", store, *position, "--rescore", *model), "examples has changed")
    classes = write("classes.txt", "a\nb\nc\n")
    few = write("few.jsonl", "".join(json.dumps(row) + "\n" for row in ROWS[:9]))
    how = ["-c", f"@{classes}", "-t", "{classes} {text}", "--list", "{class}", "--precision", "f32"]
    good(run("classify", *model, *how, "-o", store, "--overwrite", few))
    fails(run("decide", store, *position, "--rescore", *model), "at least 10 rows", "9")
    own = write("own.jsonl", "".join(json.dumps(row | ({"completions": ["x", "y", "z"]} if row["id"] == 11 else {})) + "\n" for row in ROWS[:12]))
    good(run("classify", *model, *how, "-o", store, "--overwrite", own))
    fails(run("decide", store, *position, "--rescore", *model), "row 11", "its own completions")
