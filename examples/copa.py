"""copa.py MODEL: COPA's sample decided from Python, and how sure the model is.

    python3 examples/copa.py smollm2.gguf

A cause or an effect is chosen for each premise (examples/README.md says where the sample comes from).
"""
import json
import sys
from pathlib import Path

import numpy as np
from capp import Example, Model
from capp.classify import predict_proba_examples

SAMPLE = Path(__file__).resolve().parent / "copa-sample.jsonl"


def main(path):
    rows = [json.loads(line) for line in SAMPLE.read_text(encoding="utf-8").splitlines()]
    examples = [Example(row["prompt"], row["completions"]) for row in rows]
    with Model(path) as model:
        probabilities = predict_proba_examples(examples, model)
    right = probabilities.argmax(axis=1) == [row["label"] for row in rows]
    sure = probabilities.max(axis=1)
    print(f"{right.mean():.1%} of {len(rows)} right")
    for least, most in [(0.5, 0.6), (0.6, 0.8), (0.8, 1.01)]:
        these = (sure >= least) & (sure < most)
        if these.any():
            print(f"where the model is {least:.0%} to {min(most, 1):.0%} sure: {np.mean(right[these]):.0%} of "
                  f"{these.sum()} right")


main(sys.argv[1])
