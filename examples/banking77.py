"""Banking77: what does a bank's customer want? 77 classes, with and without a list of them before the question.

    python3 examples/banking77.py [--data banking77-test.csv]

The list is a prefix that all prompts share, so it is computed once. With SmolLM2 135M the bundled sample, a
question of each class, gave

    plain    22.1% of 77 right, 33.8% among the first five
    listed    2.6% of 77 right, 15.6% among the first five

The list does not help a model of this size; it confuses the model. Try it with your model.
"""
import numpy as np
from capp.classify import predict_proba

import common


def main():
    parser = common.arguments(__doc__, "banking77.csv")
    args = parser.parse_args()
    rows = common.read(args)
    categories = sorted({row["category"] for row in common.read(parser.parse_args([]))})
    classes = [category.replace("_", " ").lower() for category in categories]
    labels = np.array([categories.index(row["category"]) for row in rows])
    plain = [f"Question: {row['text']}\nTopic:" for row in rows]
    listed = ["The topics are: " + ", ".join(classes) + ".\n\n" + prompt for prompt in plain]
    with common.open_model(args) as model:
        for name, prompts in [("plain", plain), ("listed", listed)]:
            order = np.argsort(-predict_proba(prompts, classes, model), axis=1, kind="stable")
            place = (order == labels[:, None]).argmax(axis=1)
            print(f"{name:7} {np.mean(place == 0):6.1%} of {len(rows)} right, "
                  f"{np.mean(place < 5):.1%} among the first five")


if __name__ == "__main__":
    main()
