"""The tasks as rows of prompt, completions and label, identical for capp and its peers."""
import csv
import json
import random


def copa(bench):
    with open(bench.data("copa-dev.prompts.jsonl"), encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def figure(bench, n, form, count=48):
    """The seed's figure: COPA prompts with n choices. 'repeated': the two choices n/2 times, as in CAPPr's figure.
    'distinct': n different choices, the row's own and those of the items that follow."""
    rows = copa(bench)[:count]
    everything = [choice for row in rows for choice in row["completions"]]
    return [{"prompt": row["prompt"], "label": row["label"],
             "completions": row["completions"] * (n // 2) if form == "repeated" else
             [everything[(2 * i + j) % len(everything)] for j in range(n)]} for i, row in enumerate(rows)]


def menu(row):
    """The prompt for text generation in the seed's figure."""
    choices = "\n".join(f"{i}. {choice}" for i, choice in enumerate(row["completions"]))
    return {"prompt": f"{row['prompt']}\n{choices}\nPick one from above."}


def banking_classes(bench):
    with open(bench.data("banking77-categories.json"), encoding="utf-8") as file:
        return [name.replace("_", " ").lower() for name in json.load(file)]


def banking_texts(bench):
    """(text, index of its class), in a fixed random order."""
    with open(bench.data("banking77-categories.json"), encoding="utf-8") as file:
        names = json.load(file)
    with open(bench.data("banking77-test.csv"), encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    random.Random(1).shuffle(rows)
    return [(row["text"].strip(), names.index(row["category"])) for row in rows]


def class_list(classes):
    return "A bank customer asks about one of these topics:\n" + "\n".join("- " + c for c in classes) + "\n"


def banking77(bench, count, form="plain"):
    """'plain': 77 classes as completions. 'listed': a list of the classes before each text (rows have the part after it
    in `rest`). 'after': the list after each text, so that no two rows share it."""
    classes = banking_classes(bench)
    rows = []
    for text, label in banking_texts(bench)[:count]:
        question = f"Question: {text}\nTopic:"
        prompt = {"plain": question, "listed": class_list(classes) + " " + question,
                  "after": f"Question: {text}\n{class_list(classes)}Topic:"}[form]
        rows.append({"prompt": prompt, "rest": question, "completions": classes, "label": label})
    return rows


def choices(bench, n):
    """n different completions, from COPA (at most about a thousand)."""
    every = list(dict.fromkeys(choice for row in copa(bench) for choice in row["completions"]))
    return every[:n]


def questions(bench, count):
    """count different short prompts: first those of Banking77, then pairs of them joined."""
    texts = [text for text, _ in banking_texts(bench)]
    for i in range(max(0, count - len(texts))):
        texts.append(f"{texts[i % 3000]} {texts[(i + 1 + i // 3000) % 3000]}")
    return [{"prompt": f"Question: {text}\nTopic:"} for text in texts[:count]]
