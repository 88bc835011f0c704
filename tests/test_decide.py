"""--only-prediction on a real model gives the decision over all finished classes, for a fraction of the tokens."""
import csv
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Prompts of different kinds: some that a class answers well, some that no class answers well.
PROMPTS = {
    "occupations": ["I fix leaking pipes and install bathrooms.\nOccupation:", "He spends his days painting portraits. He is a",
                    "She defends people in court. Her job title:",
                    "The person who answered my question about the lost card was a"],
    "nouns": ["Question: What is a small insect that makes honey called?\nAnswer: a",
              "She opened the door of the shed and saw a",
              "Text: The parliament passed the bill after a long debate.\nTopic:",
              "My card has not arrived yet. The customer is asking about a"],
    "products": ["Review: It boils water quickly and looks nice on my counter.\nProduct:",
                 "Order: I need something to keep my tools in, not too heavy.\nCatalogue entry:",
                 "My card has not arrived yet. The customer is asking about the product"],
}
LEAST_SAVED = {"sum": 0.8, "mean": 0.5}


def output_of(*command):
    done = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows_of(text):
    return [json.loads(line) for line in text.splitlines()]


def best_of(row, aggregate, prior=None):
    """Index of the class that wins when all are finished, computed from the log-probabilities of all tokens, to the
    bit."""
    n, best = len(row["completions"]), None
    for i, completion in enumerate(row["completions"]):
        total = 0.0
        for logprob in completion["logprobs"]:
            total += logprob
        if aggregate == "mean":
            total /= len(completion["logprobs"])
        weight = prior[i] if prior else 1 / n
        score = total + (math.log(weight) if weight else -math.inf)
        if best is None or score > best[0]:
            best = (score, i)
    return best[1]


def saved(rows):
    return 1 - sum(row["completion_tokens_run"] for row in rows) / sum(row["completion_tokens"] for row in rows)


def write_prompts(path, prompts):
    path.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts), encoding="utf-8")
    return path


def check(capp, model, classes, path, tmp_path, report):
    full = rows_of(output_of(capp, "logprobs", "-q", "-m", model, "--precision", "f32", "-c", f"@{classes}", path))
    n = len(full[0]["completions"])
    weights = [(7 * i % 11) for i in range(n)]  # with zeros
    prior = [weight / sum(weights) for weight in weights]
    prior_file = tmp_path / "prior.json"
    prior_file.write_text(json.dumps(prior))
    for aggregate, least in report.items():
        command = [capp, "classify", "-q", "-m", model, "--precision", "f32", "-c", f"@{classes}", "--only-prediction",
                   "--aggregate", aggregate]
        rows = rows_of(output_of(*command, path))
        assert [row["index"] for row in rows] == [best_of(row, aggregate) for row in full]
        assert saved(rows) >= least
        tilted = rows_of(output_of(*command, "--prior", f"@{prior_file}", path))
        assert [row["index"] for row in tilted] == [best_of(row, aggregate, prior) for row in full]
        for row in rows + tilted:
            assert row["completion_tokens_run"] <= row["completion_tokens"]


@pytest.fixture
def banking(shared, tmp_path):
    """Options and rows of a few of Banking77's texts."""
    names = json.loads(Path(f"{shared}/data/banking77-categories.json").read_text())
    classes = tmp_path / "classes.json"
    classes.write_text(json.dumps([name.replace("_", " ") for name in names]))
    with open(f"{shared}/data/banking77-test.csv", newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)][::200]
    prompts = [f"Question of a bank's customer: {text}\nIt is about" for text in texts]
    return classes, write_prompts(tmp_path / "in.jsonl", prompts)


def test_banking(capp, smollm2, banking, tmp_path):
    check(capp, smollm2, *banking, tmp_path, {"sum": 0.5, "mean": 0.2})


@pytest.mark.parametrize("aggregate", ["mean", "sum", pytest.param("bytes", marks=pytest.mark.long)])
def test_precision_auto(capp, smollm2, banking, aggregate):
    """Decisions in bfloat16, repeated in float32 where they are close, are those of all classes finished."""
    classes, path = banking
    command = [capp, "classify", "-q", "-m", smollm2, "-c", f"@{classes}", "--aggregate", aggregate, path]
    decided, full = rows_of(output_of(*command, "--only-prediction")), rows_of(output_of(*command))
    assert [row["index"] for row in decided] == [row["index"] for row in full]


def test_a_thousand_occupations(capp, smollm2, fixtures, tmp_path):
    path = write_prompts(tmp_path / "in.jsonl", PROMPTS["occupations"])
    check(capp, smollm2, fixtures / "occupations.txt", path, tmp_path, LEAST_SAVED)


def test_the_same_bytes(capp, smollm2, fixtures, tmp_path):
    """Threads, budget and windows change neither the decisions nor the tokens computed for them."""
    path = write_prompts(tmp_path / "in.jsonl", PROMPTS["occupations"])
    command = [capp, "classify", "-q", "-m", smollm2, "-c", f"@{fixtures / 'occupations.txt'}", "--only-prediction"]
    expected = output_of(*command, "--threads", 1, path)
    assert output_of(*command, "--threads", 2, "--memory", "64M", path) == expected
    assert output_of(*command, "--window", 1, path).split('"prediction"')[1:] == expected.split('"prediction"')[1:]


@pytest.mark.long
@pytest.mark.parametrize("kind", ["nouns", "products"])
def test_ten_thousand_classes(capp, smollm2, tmp_path, kind):
    classes = tmp_path / "classes.txt"
    output_of(sys.executable, ROOT / "tools" / "make_classes.py", kind, 10000, "-o", classes)
    path = write_prompts(tmp_path / "in.jsonl", PROMPTS[kind])
    check(capp, smollm2, classes, path, tmp_path, LEAST_SAVED)


def test_the_list_is_what_the_tool_makes(fixtures):
    """The committed list is an ordered list of names without duplicates, as tools/make_classes.py writes it."""
    names = (fixtures / "occupations.txt").read_text().splitlines()
    assert len(names) == 1000 and names == sorted(set(names))
