"""The page of capp serve in headless Chromium, where it is installed (tools/setup.sh browser, as make check does)."""
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from serving import serving

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def seen(tmp_path_factory, smollm2):
    """What tests/page_browser.py saw."""
    chromium = shutil.which("chromium")
    if not chromium:
        pytest.skip("no chromium: tools/setup.sh browser")
    folder = tmp_path_factory.mktemp("page")
    made = subprocess.run([ROOT / "tools" / "venv.sh", ROOT / "tests" / "page_requirements.txt"], stdout=subprocess.PIPE, text=True)
    if made.returncode:
        pytest.skip("the packages of page_requirements.txt cannot be installed")
    with serving(folder, "-m", smollm2) as server:
        done = subprocess.run([made.stdout.strip(), ROOT / "tests" / "page_browser.py", f"{server.base}/", folder, chromium],
                              capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
        found = json.loads(done.stdout)
        texts = ["I was charged twice for the same order", "The app closes as soon as I open it", "How do I change my address?"]
        classes = ["a payment", "a technical problem", "a question about the account"]
        answer = server.post("/v1/classify", texts=texts, classes=classes, template="Message: {text}\nThe message is about")
        found["server"] = [row["probabilities"] for row in answer["results"]]
    found["folder"] = folder
    return found


pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_bars_show_the_probabilities_of_the_server(seen):
    assert np.allclose(np.array(seen["first"]) / 100, seen["server"], atol=0.0051)
    assert "3 texts in" in seen["status"]


def test_a_prior_needs_no_request(seen):
    assert seen["requests"] == seen["requests_after_prior"] == 1
    weighed = np.array(seen["server"]) * [1, 50, 50]
    assert np.allclose(np.array(seen["prior"]) / 100, weighed / weighed.sum(axis=1, keepdims=True), atol=0.0051)
    assert seen["prior_back"] == seen["first"]


def test_tokens_are_shown(seen):
    assert '" payment"' in seen["tokens"] and seen["tokens_by_keyboard"] and seen["hidden_by_escape"]


def test_edits_links_and_export(seen):
    assert [len(row) for row in seen["edited"]] == [2, 2, 2] and seen["sliders"] == 2
    assert "{nothing}" in seen["error"]
    assert seen["from_link"] == ["a payment\nsomething else", seen["shown"]]
    rows = [json.loads(line) for line in (seen["folder"] / "export.jsonl").read_text().splitlines()]
    assert np.allclose([list(row["probabilities"].values()) for row in rows], np.array(seen["shown"]) / 100, atol=0.0051)


def test_the_page_is_sound(seen):
    """No errors but that of the wrong template, everything reached by keyboard, no sideways scrolling."""
    assert len(seen["console"]) == 1 and "400" in seen["console"][0]
    assert seen["tab_order"][:6] == ["texts", "classes", "template", "aggregate", "chat", "multi_label"]
    assert {"share", "export", "skip", "model", "prior-0", "class"} <= set(seen["tab_order"])
    assert seen["wide_1280"] == seen["wide_420"] == 0
    assert seen["track_1280"] > 0.5 and seen["track_420"] > 0.65  # bars are long enough to compare on a phone, too
    for name in ("light", "dark-1280", "dark-420", "tokens"):
        assert (seen["folder"] / f"{name}.png").stat().st_size > 10_000
