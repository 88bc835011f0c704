"""Priors and calibration: how labels improve probabilities without changing the weights, with curves.

    python3 examples/calibration.py [--plot calibration.svg]

Needs scikit-learn, and matplotlib for the plot. The left half shows how often the model is right if its probability
is 10 %, 50 % or 90 %; the classifier of each row has not seen this row. The right half shows how much a prior helps if
one class is more frequent than the others: a dozen stories about sports, two of each other topic. With SmolLM2 135M the
bundled rows gave

    nothing learnt  87.5% of 48 right, log-loss 0.456
    temperature     87.5% of 48 right, log-loss 0.381
    affine          89.6% of 48 right, log-loss 0.266
    log-loss where 67% are about sports: 0.445 with equal priors, 0.348 with the true one
"""
import numpy as np
from capp.classify import posterior_prob, predict_proba
from capp.sklearn import CompletionClassifier
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold, cross_val_predict

import common

TOPICS = ["business", "science", "sports", "world"]
TEMPLATE = "{text}\nThis news story is about"
FOLDS = 4


def calibrated(model, texts, labels):
    """Probabilities of held-out rows, for each way to learn from the other rows."""
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    for calibration in (None, "temperature", "affine"):
        classifier = CompletionClassifier(model, TOPICS, TEMPLATE, calibration=calibration)
        probabilities = cross_val_predict(classifier, texts, labels, cv=folds, method="predict_proba")
        yield calibration or "nothing learnt", probabilities


def unbalanced(labels):
    """Indices of all stories about sports and the first two of each other topic."""
    return [i for i, label in enumerate(labels) if label == "sports" or labels[:i].count(label) < 2]


def losses_by_prior(model, texts, labels):
    """Log-loss for each share of sports in the prior. The model runs only once."""
    likelihoods = predict_proba([TEMPLATE.format(text=text) for text in texts], TOPICS, model, normalize=False)
    shares = np.linspace(0.05, 0.95, 19)
    priors = [[share if topic == "sports" else (1 - share) / 3 for topic in TOPICS] for share in shares]
    posteriors = [posterior_prob(likelihoods, axis=1, prior=prior) for prior in priors]
    return shares, [log_loss(labels, posterior, labels=TOPICS) for posterior in posteriors]


def draw(path, curves, shares, losses, true_share):
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.8), layout="constrained")
    left.plot([0, 1], [0, 1], color="gray", linewidth=0.8, linestyle="dashed")
    for name, (said, came) in curves.items():
        left.plot(said, came, marker="o", label=name)
    left.set(xlabel="probability given", ylabel="share that was right", title="Calibration")
    left.legend()
    right.plot(shares, losses, color="tab:purple")
    right.axvline(true_share, color="gray", linewidth=0.8, linestyle="dashed")
    right.annotate("true share", (true_share, max(losses)), xytext=(-4, 0), textcoords="offset points", ha="right")
    right.set(xlabel="prior probability of sports", ylabel="log-loss", title="Prior")
    figure.savefig(path, metadata={"Date": None} if str(path).endswith(".svg") else None)


def main():
    parser = common.arguments(__doc__, "news.csv")
    parser.add_argument("--plot", metavar="FILE", help="draw both curves into FILE (.svg, .png, .pdf)")
    args = parser.parse_args()
    rows = common.read(args)
    texts, labels = [row["text"] for row in rows], [row["topic"] for row in rows]
    fewest = min(labels.count(topic) for topic in TOPICS)
    if fewest < FOLDS:
        raise SystemExit(f"{FOLDS} folds need {FOLDS} rows of each topic, but one has only {fewest}; "
                         f"use --rows {FOLDS * len(TOPICS)} or more")
    hits = np.array([[label == topic for topic in TOPICS] for label in labels])
    curves = {}
    with common.open_model(args) as model:
        for name, probabilities in calibrated(model, texts, labels):
            right = hits[np.arange(len(rows)), probabilities.argmax(axis=1)].mean()
            loss = log_loss(labels, probabilities, labels=TOPICS)
            print(f"{name:15} {right:.1%} of {len(rows)} right, log-loss {loss:.3f}")
            came, said = calibration_curve(hits.ravel(), probabilities.ravel(), n_bins=6, strategy="quantile")
            curves[name] = said, came
        chosen = unbalanced(labels)
        shares, losses = losses_by_prior(model, [texts[i] for i in chosen], [labels[i] for i in chosen])
    true_share = sum(labels[i] == "sports" for i in chosen) / len(chosen)
    print(f"log-loss where {true_share:.0%} are about sports: {np.interp(0.25, shares, losses):.3f} with equal priors, "
          f"{np.interp(true_share, shares, losses):.3f} with the true one")
    if args.plot:
        draw(args.plot, curves, shares, losses, true_share)


if __name__ == "__main__":
    main()
