"""What each calibration buys on Banking77 and COPA: scores both with SmolLM2 and Gemma 3, runs capp evaluate with each
method, and writes bench/calibration.json and docs/calibration.md.

    python3 bench/calibration.py [--capp build/capp] [--rows 500] [--task Banking77] [--model smollm2] [--only-page]

The data sets are those of make bench: ../shared/data, or the folder in CAPP_SHARED. --rows: at most so many rows, in a fixed
random order. --task and --model measure one alone and keep the other numbers. --only-page writes the page again from the
numbers that are there."""
import argparse
import csv
import json
import os
import random
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NUMBERS, PAGE = ROOT / "bench" / "calibration.json", ROOT / "docs" / "calibration.md"
DATA = Path(os.environ.get("CAPP_SHARED", ROOT.parent / "shared")) / "data"
MODELS = {"smollm2": "SmolLM2 135M Instruct", "gemma3": "Gemma 3 270M"}
METHODS = [("contextual", []), ("pmi", ["--domain", "{domain}"]), ("batch", []), ("prior", []), ("temperature", []), ("affine", [])]
NAMES = {"pmi": "pmi, after a domain prompt"}
SHOWN = ["accuracy", "macro_f1", "log_loss", "brier", "ece"]


def banking77(folder, count):
    names = json.loads((DATA / "banking77-categories.json").read_text(encoding="utf-8"))
    with open(DATA / "banking77-test.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    random.Random(1).shuffle(rows)
    classes, path = folder / "classes.txt", folder / "banking77.csv"
    classes.write_text("".join(name.replace("_", " ").lower() + "\n" for name in names), encoding="utf-8")
    with open(path, "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["text", "label"])
        table.writerows([row["text"].strip(), row["category"].replace("_", " ").lower()] for row in rows[:count])
    return path, ["-t", "Question: {text}\\nTopic:", "-c", f"@{classes}"], "Topic:"


def copa(folder, count):
    lines = (DATA / "copa-dev.prompts.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    random.Random(1).shuffle(lines)
    path = folder / "copa.jsonl"
    path.write_text("".join(lines[:count]), encoding="utf-8")
    return path, [], "so"


TASKS = {"Banking77": (banking77, "77 classes"), "COPA": (copa, "two choices, each row its own")}


def run(capp, *arguments):
    return subprocess.run([capp, *map(str, arguments)], check=True, capture_output=True, text=True).stdout


def measure(capp, model, task, rows, folder):
    """The numbers without calibration and with each method."""
    path, options, domain = TASKS[task][0](folder, rows)
    store, weights = folder / "run.db", Path.home() / ".cache" / "capp" / "models" / f"{model}.gguf"
    run(capp, "classify", "-q", "-m", weights, *options, "-o", store, "--overwrite", path)
    found = {}
    for method, more in METHODS:
        more = [part.format(domain=domain) for part in more]
        if method in ("contextual", "pmi"):
            run(capp, "decide", "-q", store, "--calibrate", method, *more, "--rescore", "-m", weights, "-o", folder / "out.jsonl",
                "--overwrite")
        report = json.loads(run(capp, "evaluate", "-q", store, "--label", "label", "--calibrate", method, *more, "--json", "-"))
        found["none"] = report["calibration"]["before"]
        found[method] = report["calibration"]["after"]
        found[method]["undecided"] = report["undecided"]
    sets = json.loads(run(capp, "evaluate", "-q", store, "--label", "label", "--calibrate", "affine", "--sets", "0.9", "--json", "-"))
    return {"model": model, "task": task, "rows": report["n"], "methods": found, "sets": sets["sets"]}


def table(point):
    names, kind = MODELS[point["model"]], TASKS[point["task"]][1]
    lines = [f"## {point['task']} with {names}", "", f"{point['rows']} rows, {kind}.", "",
             "| calibration | accuracy | macro F1 | log-loss | Brier | ECE |", "| --- | --- | --- | --- | --- | --- |"]
    for name in ["none", *(method for method, _ in METHODS)]:
        numbers = point["methods"][name]
        lines.append(f"| {NAMES.get(name, name)} | " + " | ".join(f"{numbers[key]:.3f}" for key in SHOWN) + " |")
    sets = point["sets"]
    lines += ["", f"Sets for 90 % after `affine`: {100 * sets['coverage']:.1f} % of the sets contain the label, and a set has "
              f"{sets['mean_size']:.1f} classes on average.", ""]
    return lines


def page(points):
    with_labels = "`temperature` and `affine` learn from labels, the others do not."
    lines = ["# What calibration buys", "", "<!-- bench/calibration.py writes this page from bench/calibration.json. -->", "",
             "`capp evaluate run.db --label label --calibrate METHOD` measured these numbers. No row has a part in the fit that",
             "calibrates it: a fit to rows is one to the other four of five folds. " + with_labels,
             "[Score stores](store.md) says what each method does. A lower log-loss, Brier score and calibration error (ECE) is better.",
             "`position` is not in the tables: it takes out what the model favors where the prompt lists the classes, and these prompts do not.",
             "To measure again, run `python3 bench/calibration.py`.", "",
             "What the tables say:", "",
             "- With 77 classes, the model favors some of them whatever the text is. `batch` needs no label and doubles the accuracy",
             "  on Banking77, because it takes this out. `affine` learns the same from labels, and its probabilities mean more: their log-loss",
             "  and ECE are lower.",
             "- `batch` makes probabilities less sure than they should be if there are many classes: its ECE is high.",
             "- `prior` fails on Banking77. It takes the probabilities for good ones, so a class that the model favors becomes still more",
             "  frequent. Use it only where the model is nearly right.",
             "- `temperature` changes no prediction. It helps where the model is too sure.",
             "- On COPA, where each row has its own choices, only what looks at these choices can help: `contextual` and `pmi` do for Gemma 3.",
             "  The other differences are within chance.", ""]
    for point in points:
        lines += table(point)
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--capp", default=ROOT / "build" / "capp")
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--task", choices=TASKS)
    parser.add_argument("--model", choices=MODELS)
    parser.add_argument("--only-page", action="store_true")
    options = parser.parse_args()
    points = json.loads(NUMBERS.read_text(encoding="utf-8")) if NUMBERS.exists() else []
    for task, model in [(task, model) for task in TASKS for model in MODELS]:
        if options.only_page or options.task not in (None, task) or options.model not in (None, model):
            continue
        with tempfile.TemporaryDirectory() as folder:
            point = measure(options.capp, model, task, options.rows, Path(folder))
        print(json.dumps(point), flush=True)
        points = [other for other in points if (other["task"], other["model"]) != (task, model)] + [point]
        points.sort(key=lambda other: (list(TASKS).index(other["task"]), list(MODELS).index(other["model"])))
        NUMBERS.write_text(json.dumps(points, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(points), encoding="utf-8")


if __name__ == "__main__":
    main()
