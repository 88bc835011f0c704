"""Step by step: the model writes its reasoning, then the answers are scored after it.

    python3 examples/reasoning.py

The reasoning is not parsed: it is only the text before the answer. With SmolLM2 135M the bundled 12 rows
gave

    Anna has 3 apples and buys 4 more. How many apples does she have?
       3 + 4 = 7. -> 7
    ...
    at once       0.0% of 12 right
    step by step  41.7% of 12 right
"""
import numpy as np
from capp import Example
from capp.classify import predict_examples

import common

SHOWN = "Question: Ben has 5 pens and loses 2. How many pens does he have?\nReasoning: 5 - 2 = 3.\nThe answer is 3.\n\n"


def main():
    parser = common.arguments(__doc__, "puzzles.jsonl")
    parser.add_argument("--tokens", type=int, default=40, help="of reasoning, at most")
    args = parser.parse_args()
    rows = common.read(args)
    truth = [row["choices"][row["label"]] for row in rows]
    questions = [f"{SHOWN}Question: {row['question']}\n" for row in rows]
    with common.open_model(args) as model:
        direct = [Example(f"{question}The answer is", row["choices"]) for question, row in zip(questions, rows)]
        steps = model.generate([f"{question}Reasoning:" for question in questions], args.tokens, stop=["\n"])
        reasoned = [Example(f"{question}Reasoning:{step}\nThe answer is", row["choices"])
                    for question, step, row in zip(questions, steps, rows)]
        answers = [predict_examples(examples, model) for examples in (direct, reasoned)]
    for row, step, answer in zip(rows, steps, answers[1]):
        print(f"{row['question']}\n   {step.strip()} -> {answer}")
    for name, given in zip(["at once", "step by step"], answers):
        print(f"{name:12}  {np.mean([a == b for a, b in zip(given, truth)]):.1%} of {len(rows)} right")


if __name__ == "__main__":
    main()
