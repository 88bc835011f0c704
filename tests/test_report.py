"""The reports of capp evaluate and capp compare."""
import contextlib
import html.parser
import json
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from command import CAPP, fails, good_text as good, rows_of, run
from test_arrays import Store

ROOT = Path(__file__).resolve().parent.parent
NAMES = ["yes", "no", "perhaps not"]
THREE = ["-c", ",".join(NAMES), "--precision", "f32"]


@pytest.fixture
def labeled(write):
    rng = random.Random(3)
    return write("in.csv", "id,text,topic\n" + "".join(f'r{i},"<b>text</b> {i} & ""more""",{rng.choice(NAMES)}\n' for i in range(120)))


@pytest.fixture
def stores(model, labeled, tmp_path):
    paths = tmp_path / "first.db", tmp_path / "second.db"
    for path, more in zip(paths, ([], ["-t", "Say: {text}"]), strict=True):
        good(run("classify", *model, *THREE, *more, "-o", path, labeled))
    return paths


def report_of(*command, path):
    good(run(*command, "--json", path))
    return json.loads(path.read_text())


def test_metrics_are_those_of_scikit_learn(model, labeled, stores, tmp_path):
    from sklearn import metrics as sk

    found = report_of("evaluate", *model, *THREE, "--label", "topic", labeled, path=tmp_path / "r.json")
    rows = rows_of(run("classify", *model, *THREE, "--keep", "topic", labeled))
    p = np.array([[row["probabilities"][name] for name in NAMES] for row in rows])
    labels, predictions = [row["topic"] for row in rows], [row["prediction"] for row in rows]
    index = np.array([NAMES.index(label) for label in labels])
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(labels, predictions), abs=1e-9)
    assert found["macro_f1"] == pytest.approx(sk.f1_score(labels, predictions, average="macro"), abs=1e-9)
    assert found["log_loss"] == pytest.approx(sk.log_loss(index, p), abs=1e-9)
    assert found["brier"] == pytest.approx(((p - np.eye(3)[index]) ** 2).sum(axis=1).mean(), abs=1e-9)
    precision, recall, f1, support = sk.precision_recall_fscore_support(labels, predictions, labels=NAMES, zero_division=0)
    for i, row in enumerate(found["classes"]):
        assert (row["class"], row["labels"]) == (NAMES[i], support[i])
        assert (row["precision"], row["recall"], row["f1"]) == pytest.approx((precision[i], recall[i], f1[i]), abs=1e-9)
    # The most confident mistakes and the least certain rows.
    wrong = sorted((row for row in rows if row["prediction"] != row["topic"]), key=lambda row: -row["probability"])
    assert [row["id"] for row in found["confident_mistakes"]] == [row["id"] for row in wrong[:10]]
    close = sorted(rows, key=lambda row: row["margin"])
    assert [row["id"] for row in found["least_certain"]] == [row["id"] for row in close[:10]]
    # A store gives the same without the model, and under other options.
    same = report_of("evaluate", stores[0], "--label", "topic", path=tmp_path / "s.json")
    assert same.pop("undecided") == 0
    assert same.items() <= found.items() and len(same) >= 12
    prior = ["--prior", "0.6,0.3,0.1"]
    other = report_of("evaluate", stores[0], "--label", "topic", *prior, path=tmp_path / "s.json")
    assert other.pop("undecided") == 0
    assert other.items() <= report_of("evaluate", *model, *THREE, *prior, "--label", "topic", labeled, path=tmp_path / "r.json").items()
    assert other["log_loss"] != same["log_loss"]
    many = ["--multi-label", "--label", "topic"]
    whole = report_of("evaluate", *model, *THREE, *many, labeled, path=tmp_path / "r.json")
    assert report_of("evaluate", stores[0], *many, path=tmp_path / "s.json")["log_loss"] == whole["log_loss"] is not None


def test_text_report(stores):
    text = good(run("evaluate", stores[0], "--label", "topic"))
    for part in ("accuracy", "interval", "macro F1", "Brier", "ECE", "coverage", "precision", "most confident mistakes", "least certain"):
        assert part in text


def test_labels_of_a_store(model, write, tmp_path):
    path = write("in.jsonl", "".join(json.dumps({"text": f"t {i}", "label": i % 3 if i % 4 else None}) + "\n" for i in range(20)))
    store = tmp_path / "run.db"
    good(run("classify", *model, *THREE, "-o", store, path))
    assert "5 rows have no label" in good(run("evaluate", store, "--label", "label"))
    assert json.loads(good(run("evaluate", store, "--label", "label", "--json", "-")))["left_out"] == 5
    fails(run("evaluate", store, "--label", "text"), "row 0", "'t 0'")
    for command in ["evaluate", store], ["compare", store, store]:
        fails(run(*command, "--label", "nothing"), "'nothing'", "text, label")


def test_labels_of_a_store_are_read_in_one_way(model, write, tmp_path):
    """As a run reads them: '1' is the text of a class, but all labels are indices, because '2' is no text of a class."""
    classes, store = ["-c", "1,0,x", "--precision", "f32"], tmp_path / "run.db"
    path = write("in.jsonl", "".join(json.dumps({"text": f"t {i}", "label": i % 3, "mixed": "x2"[i % 2]}) + "\n" for i in range(30)))
    good(run("classify", *model, *classes, "-o", store, path))
    whole = run("evaluate", *model, *classes, "--label", "label", "--json", "-", path)
    found = run("evaluate", store, "--label", "label", "--json", "-")
    seen = json.loads(good(found))
    assert seen.pop("undecided") == 0 and seen.items() <= json.loads(good(whole)).items()
    assert b"reading labels as indices" in found.stderr and b"reading labels as indices" in whole.stderr
    assert not run("evaluate", store, "--label", "label", "--label-index").stderr
    fails(run("evaluate", store, "--label", "mixed"), "row 1 '2'", "row 0 'x'", "--label-index")


def test_labels_of_no_class_are_left_out(model, write, tmp_path):
    """As a run leaves such rows out: the report is that of the other rows."""
    rows = [{"id": i, "text": f"t {i}", "label": NAMES[i % 3], "index": i % 3, "note": f"n{i}"} for i in range(40)]
    other = [row for i, row in enumerate(rows) if i not in (1, 5)]
    rows[1] |= {"label": "zzz", "index": 3}
    rows[5] |= {"label": "yes!", "index": "x"}
    jsonl = lambda rows: "".join(json.dumps(row) + "\n" for row in rows)  # noqa: E731
    path, store, clean = write("in.jsonl", jsonl(rows)), tmp_path / "run.db", tmp_path / "clean.db"
    good(run("classify", *model, *THREE, "-o", store, path))
    good(run("classify", *model, *THREE, "-o", clean, write("clean.jsonl", jsonl(other))))
    fails(run("evaluate", store, "--label", "note", "--on-error", "skip"), "none of the 40 labels is a class", "the first is in row 0")
    for label in ["--label", "label"], ["--label", "index", "--label-index"]:
        why = "none of the 3 classes" if len(label) == 2 else "not an index from 0 to 2"
        for command in ["evaluate", store], ["compare", store, store], ["decide", store, "--calibrate", "batch", "--sets", "0.5"]:
            fails(run(*command, *label), "run.db: row 1: ", why, "use --on-error skip")
            for policy in "skip", "null":
                done = run(*command, *label, "--on-error", policy)
                assert done.returncode == (0 if command[0] == "decide" else 3)
                assert "run.db: 2 of 40 labels are left out; the first is in row 1: label '" in done.stderr.decode() and why in done.stderr.decode()
                assert not run(*command, *label, "--on-error", policy, "-q").stderr
        found = json.loads(run("evaluate", store, *label, "--on-error", "skip", "--json", "-").stdout)
        assert found["n"] == 38 and found["left_out"] == 2
        assert found | {"left_out": 0} == json.loads(good(run("evaluate", clean, *label, "--json", "-")))
        seen = run("evaluate", *model, *THREE, *label, "--on-error", "skip", "--json", "-", path)
        assert seen.returncode == 3 and json.loads(seen.stdout)["accuracy"] == found["accuracy"]
        assert json.loads(seen.stdout)["left_out"] == 2
    with contextlib.closing(sqlite3.connect(store)) as database, database:
        database.executemany("INSERT INTO labels VALUES(?, ?, '2026-01-01T00:00:00Z')", [(0, "yes"), (2, "2"), (3, "zzz"), (4, "no")])
    fails(run("evaluate", store), "row 2: label '2' is none of the 3 classes; correct it", "--on-error skip")
    done = run("evaluate", store, "--on-error", "skip")
    assert done.returncode == 3 and b"2 of 4 labels are left out" in done.stderr and b"of 2)" in done.stdout


def test_undecided_rows_are_counted(stores):
    with contextlib.closing(sqlite3.connect(stores[1])) as database, database:  # a margin that leaves rows undecided
        database.execute("UPDATE settings SET value = '0.1' WHERE name = 'margin'")
    n = run("decide", stores[1]).stdout.count(b'"undecided": true')
    found = run("evaluate", stores[1], "--label", "topic", "--json", "-")
    assert 0 < n < 120 and json.loads(good(found))["undecided"] == n and f"{n} of 120 rows" in found.stderr.decode()
    found = run("compare", *stores, "--label", "topic", "--json", "-")
    assert json.loads(good(found))["undecided"] == [0, n] and f"{n} of 120 rows" in found.stderr.decode()


def wait_until_open(process, path):
    """Until the command, which hears signals by then, has the file open."""
    folder, end = Path(f"/proc/{process.pid}/fd"), time.monotonic() + 30
    while True:
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            if any(file.readlink() == Path(path).resolve() for file in folder.iterdir()):
                return
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.002)


def test_a_signal_ends_the_reading_of_a_store(stores, tmp_path):
    with contextlib.closing(sqlite3.connect(stores[0])) as database, database:
        columns = ", ".join(name for _, name, *_ in database.execute("PRAGMA table_info(rows)") if name != "row")
        database.execute(f"INSERT INTO rows(row, {columns}) SELECT n * 120 + row, {columns} FROM rows,"
                         " (WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 3000) SELECT n FROM c)")
    path = tmp_path / "report.json"
    for command in ["evaluate", stores[0]], ["compare", stores[0], stores[0]]:
        with subprocess.Popen([CAPP, *command, "--label", "topic", "--json", path]) as process:
            wait_until_open(process, stores[0])
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 128 + signal.SIGINT
        assert not path.exists()


def test_options_without_effect(model, stores, tmp_path):
    command = ["evaluate", stores[0], "--label", "topic"]
    for more in ["-o", "rows.jsonl"], model, ["-t", "{text}"], ["--only-prediction"], ["--chat"], ["--precision", "f32"], ["--top", "1"]:
        fails(run(*command, *more), "no effect on the report of a store")
    fails(run(*command, "--json", tmp_path / "r", "--html", tmp_path / "r"), "--json and --html name the same file")
    assert not (tmp_path / "r").exists()


class Page(html.parser.HTMLParser):
    """Which elements a page has, and whether all of them are closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.all = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.all.append(tag)
        if tag not in ("meta", "link", "line", "polyline"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.all.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_stands_alone(stores, tmp_path):
    path = tmp_path / "report.html"
    good(run("evaluate", stores[0], "--label", "topic", "--html", path))
    text = path.read_text()
    page = Page(text)
    assert page.open == [] and page.all.count("svg") >= 3 and page.all.count("table") == 4
    tokens = re.findall(r'class="k" tabindex="0" style="[^"]*" data-p="(-[\d.]+), [^"]*">([^<]*)<', text)
    assert "".join(token for _, token in tokens[:20]).strip() and len(tokens) >= 20 * 3
    kept = {f"{float(x):.3f}" for x in np.concatenate(Store(stores[0]).logprobs(), axis=1).ravel()}
    assert {number for number, _ in tokens} <= kept  # the numbers of the store
    assert "&lt;b&gt;text&lt;/b&gt;" in text and "<b>text" not in text
    assert not re.search(r"https?://|src=|<script|@import|url\(", text)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_page_in_a_browser(stores, tmp_path):
    chromium = shutil.which("chromium")
    if not chromium:
        pytest.skip("no chromium: tools/setup.sh browser")
    path = tmp_path / "report.html"
    good(run("evaluate", stores[0], "--label", "topic", "--calibrate", "batch", "--html", path))
    made = subprocess.run([ROOT / "tools" / "venv.sh", ROOT / "tests" / "page_requirements.txt"], stdout=subprocess.PIPE, text=True,
                          check=True)
    done = subprocess.run([made.stdout.strip(), ROOT / "tests" / "report_browser.py", path, tmp_path, chromium], capture_output=True,
                          text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout)
    assert seen["console"] == [] and all(url.startswith(("file:", "data:")) for url in seen["requests"])
    assert seen["plots"] >= 3 and seen["bars"] > 5 and set(seen["wide"].values()) == {0}
    number = r'"-\d+\.\d{3}, [\d.e-]+ %"'
    assert seen["token"] == "k" and re.fullmatch(number, seen["focused"]) and re.fullmatch(number, seen["hovered"])
    assert seen["background-light"] != seen["background-dark"] and "text" in seen["opened"]


def test_compare(stores, tmp_path):
    from scipy import stats

    found = report_of("compare", *stores, "--label", "topic", path=tmp_path / "c.json")
    sides = [rows_of(run("export", store, "--keep", "topic")) for store in stores]
    right = np.array([[row["prediction"] == row["topic"] for row in rows] for rows in sides])
    assert found["n"] == 120 and found["accuracy"] == pytest.approx(right.mean(axis=1).tolist())
    only = (right[0] & ~right[1]).sum(), (right[1] & ~right[0]).sum()
    assert (found["only_first"], found["only_second"]) == only and sum(only) > 0
    assert found["mcnemar"] == pytest.approx(stats.binomtest(int(only[0]), int(sum(only))).pvalue, rel=1e-9)
    differ = [a["id"] for a, b in zip(*sides, strict=True) if a["prediction"] != b["prediction"]]
    assert found["differ"] == len(differ) and [row["id"] for row in found["rows"]] == differ[:10]
    text = good(run("compare", *stores, "--label", "topic"))
    assert "McNemar" in text and f"{len(differ)} rows differ" in text


def test_compare_wants_the_same_rows(model, labeled, stores, write, tmp_path):
    other = tmp_path / "other.db"
    good(run("classify", *model, *THREE, "-o", other, write("other.csv", "id,text,topic\nx,y,no\n")))
    fails(run("compare", stores[0], other, "--label", "topic"), "same labeled rows", "differ at row 0")
    lines = labeled.read_text().splitlines(keepends=True)
    good(run("classify", *model, *THREE, "-o", other, "--overwrite", write("fewer.csv", "".join(lines[:30]))))
    said = ("29 rows with a label", "other.db")
    fails(run("compare", stores[0], other, "--label", "topic"), *said, "the second has 29", "the first has more")
    fails(run("compare", other, stores[0], "--label", "topic"), *said, "the first has 29", "the second has more")
    fails(run("compare", stores[0]), "two stores")
    fails(run("compare", *stores), "--label")
