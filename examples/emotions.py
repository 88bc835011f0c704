"""Emotions of tweets: several labels may be correct, so each is scored by itself.

    python3 examples/emotions.py

Probabilities that are not normalized tell little: some words are likely after any prompt. A better measure is how
much more likely a label is than after a prompt without content (pointwise mutual information). With SmolLM2 135M the
bundled 12 rows gave (true labels in capitals)

    We won the cup, and my whole family was there to s  love 2.2x, JOY 1.2x, sadness 0.9x
    They cancelled my flight again and nobody even ans  ANGER 5.4x, sadness 1.5x, surprise 0.7x
    ...
    a true label above a false one: 70% by probability, 88% by gain
"""
import numpy as np
from capp.classify import predict_proba

import common

EMOTIONS = ["anger", "fear", "joy", "love", "optimism", "sadness", "surprise"]
PROMPT = "Tweet: {}\nThe writer of this tweet feels"


def ranks_right(scores, truth):
    """How often a true label ranks above a false one of the same row; 0.5 is chance."""
    above = [row[true][:, None] > row[~true] for row, true in zip(scores, truth)]
    return np.mean(np.concatenate([pairs.ravel() for pairs in above]))


def main():
    args = common.arguments(__doc__, "emotions.jsonl").parse_args()
    rows = common.read(args)
    prompts = [PROMPT.format(row["text"]) for row in rows]
    truth = np.array([[emotion in row["emotions"] for emotion in EMOTIONS] for row in rows])
    with common.open_model(args) as model:
        raw = predict_proba(prompts, EMOTIONS, model, normalize=False, aggregate="sum")
        gain = predict_proba(prompts, EMOTIONS, model, normalize=False, aggregate="sum", discount_completions=-1,
                             domain_prompt=PROMPT.format("..."))
    for row, scores in zip(rows, gain):
        best = [f"{EMOTIONS[i].upper() if EMOTIONS[i] in row['emotions'] else EMOTIONS[i]} {scores[i]:.1f}x"
                for i in np.argsort(-scores)[:3]]
        print(f"{row['text'][:50]:50}  {', '.join(best)}")
    print(f"a true label above a false one: {ranks_right(raw, truth):.0%} by probability, "
          f"{ranks_right(gain, truth):.0%} by gain")


if __name__ == "__main__":
    main()
