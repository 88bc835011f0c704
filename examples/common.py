"""Shared by the examples: arguments, the model, the rows."""
import argparse
import csv
import json
import os
from pathlib import Path

from capp import Model

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
MODELS = Path(os.environ.get("CAPP_MODELS") or CACHE / "capp" / "models")


def arguments(description, data):
    """A parser with --model, --data (a bundled sample or a whole set of this form) and --rows. Callers can add more."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--model", default=MODELS / "smollm2.gguf", help="a GGUF file or a folder (SmolLM2 135M)")
    parser.add_argument("--data", type=Path, default=HERE / "data" / data, help="rows of the bundled sample's form")
    parser.add_argument("--rows", type=int, help="use only so many of them, evenly spread")
    return parser


def open_model(args):
    if not Path(args.model).exists():
        raise SystemExit(f"{args.model} is missing: run `make models`, or name a model by --model")
    return Model(args.model)


def read(args):
    """Rows of a CSV file or of JSON lines, as dictionaries."""
    with open(args.data, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file)) if args.data.suffix == ".csv" else [json.loads(line) for line in file]
    n = min(args.rows or len(rows), len(rows))
    return [rows[i * len(rows) // n] for i in range(n)]
