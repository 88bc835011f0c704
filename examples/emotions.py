"""emotions.py MODEL: several labels may be right, so that each is judged by itself.

    python3 examples/emotions.py smollm2.gguf

Probabilities that are not normalised say little by themselves: some words are likely after anything. What a label gains
over a prompt that says nothing (pointwise mutual information) is a better measure.
"""
import sys

import numpy as np
from capp import Model
from capp.classify import predict_proba

EMOTIONS = ["anger", "fear", "joy", "love", "optimism", "sadness", "surprise"]
TWEETS = [
    "We won the cup, and my whole family was there to see it!",
    "They cancelled my flight again and nobody even answers the phone.",
    "I keep checking that the door is locked. Something is out there.",
]


def main(path):
    prompts = [f"Tweet: {tweet}\nThe writer of this tweet feels" for tweet in TWEETS]
    with Model(path) as model:
        gain = predict_proba(prompts, EMOTIONS, model, normalize=False, aggregate="sum", discount_completions=-1,
                             domain_prompt="Tweet: ...\nThe writer of this tweet feels")
    for tweet, row in zip(TWEETS, gain):
        more = [f"{EMOTIONS[i]} ({row[i]:.1f} times as likely)" for i in np.argsort(-row) if row[i] > 1]
        print(f"{tweet}\n    {', '.join(more) or 'none'}")


main(sys.argv[1])
