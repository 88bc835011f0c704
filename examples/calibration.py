"""calibration.py MODEL: what labels teach without touching the weights.

    python3 examples/calibration.py smollm2.gguf

Needs scikit-learn. A few labelled texts set the prior, a temperature and a bias for each class; the log-loss of texts that
were held out says what that was worth.
"""
import sys

from capp import Model
from capp.sklearn import CompletionClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import cross_val_predict

TEXTS = {
    "sport": ["She scored twice in the final minute.", "The coach rested three players.", "A new record over ten miles.",
              "The match went to penalties.", "He lifts before breakfast.", "The league starts in August."],
    "food": ["Whisk the eggs with the sugar.", "The soup needs more salt.", "Bake it until the crust is brown.",
             "They serve noodles until midnight.", "Ripe mangoes at last.", "Let the dough rest for an hour."],
    "money": ["Rates rose by a quarter point.", "My card was declined twice.", "The fund lost a tenth of its value.",
              "Send the invoice by Friday.", "The bank has closed its branch.", "She paid off the loan early."],
}


def main(path):
    texts = [text for rows in TEXTS.values() for text in rows]
    labels = [label for label, rows in TEXTS.items() for _ in rows]
    with Model(path) as model:
        for calibration in (None, "temperature", "affine"):
            classifier = CompletionClassifier(model, list(TEXTS), "{text} This is about", calibration=calibration)
            probabilities = cross_val_predict(classifier, texts, labels, cv=3, method="predict_proba")
            classes = sorted(TEXTS)
            right = sum(classes[row.argmax()] == label for row, label in zip(probabilities, labels))
            print(f"{calibration or 'nothing learnt':14}  {right}/{len(labels)} right, "
                  f"log-loss {log_loss(labels, probabilities, labels=classes):.2f}")


main(sys.argv[1])
