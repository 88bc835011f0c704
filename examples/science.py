"""Multiple choice in the style of SciQ: a question, four answers, and a passage that may help.

    python3 examples/science.py

An answer may be likely only because its words are common. The gain (the sum with a domain prompt) is the part that
comes from the question. With SmolLM2 135M the bundled 16 rows gave

    the question alone  50.0% of 16 right by the mean, 56.2% by gain
    after the passage   56.2% of 16 right by the mean, 56.2% by gain
"""
import numpy as np
from capp import Example
from capp.classify import predict_proba, predict_proba_examples

import common


def main():
    args = common.arguments(__doc__, "science.jsonl").parse_args()
    rows = common.read(args)
    labels = np.array([row["label"] for row in rows])
    bare = [f"Question: {row['question']}\nAnswer:" for row in rows]
    read = [f"{row['support']}\n{prompt}" for row, prompt in zip(rows, bare)]
    with common.open_model(args) as model:
        for name, prompts in [("the question alone", bare), ("after the passage", read)]:
            examples = [Example(prompt, row["choices"]) for prompt, row in zip(prompts, rows)]
            mean = predict_proba_examples(examples, model).argmax(axis=1)
            gain = [predict_proba(prompt, row["choices"], model, aggregate="sum", discount_completions=-1,
                                  domain_prompt="Answer:").argmax() for prompt, row in zip(prompts, rows)]
            print(f"{name:18}  {np.mean(mean == labels):.1%} of {len(rows)} right by the mean, "
                  f"{np.mean(gain == labels):.1%} by gain")


if __name__ == "__main__":
    main()
