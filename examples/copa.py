"""COPA: what was the cause, or what was the effect? Also shows how sure the model is.

    python3 examples/copa.py [--data copa-dev.prompts.jsonl]

Each row has its own two choices, as an Example. With SmolLM2 135M the bundled 40 rows gave

    72.5% of 40 right
    where it is 50% to 60% sure: 50% of 12 right
    where it is 60% to 80% sure: 84% of 19 right
    where it is 80% to 100% sure: 78% of 9 right
"""
from capp import Example
from capp.classify import predict_proba_examples

import common


def main():
    args = common.arguments(__doc__, "copa.jsonl").parse_args()
    rows = common.read(args)
    examples = [Example(row["prompt"], row["completions"]) for row in rows]
    with common.open_model(args) as model:
        probabilities = predict_proba_examples(examples, model)
    right = probabilities.argmax(axis=1) == [row["label"] for row in rows]
    sure = probabilities.max(axis=1)
    print(f"{right.mean():.1%} of {len(rows)} right")
    for least, most in [(0.5, 0.6), (0.6, 0.8), (0.8, 1.01)]:
        these = (sure >= least) & (sure < most)
        if these.any():
            share = right[these].mean()
            print(f"where it is {least:.0%} to {min(most, 1):.0%} sure: {share:.0%} of {these.sum()} right")


if __name__ == "__main__":
    main()
