"""CAPPr as one end of a comparison: loads a model once, then scores what it is told to, line by line.

usage (by bench/compare.py, with the peers' Python): cappr_driver.py SHARED/peers MODEL DTYPE
A line of standard input is a JSON object {"task": FILE, "prefix": TEXT or null, "batch": N}; FILE holds rows of prompt and
completions. Answers {"seconds": S, "predictions": [...]} on a line.
"""
import json
import sys
import time

sys.path.insert(0, sys.argv[1])
import common  # noqa: E402  (the peers' loader of right tokenizers)
import torch  # noqa: E402
from cappr import Example  # noqa: E402
from cappr.huggingface import classify  # noqa: E402

model = common.load(sys.argv[2], getattr(torch, sys.argv[3]))
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    order = json.loads(line)
    rows = [json.loads(row) for row in open(order["task"])]
    options = dict(batch_size=order["batch"], show_progress_bar=False)
    start = time.time()
    if order["prefix"]:
        with classify.cache(model, order["prefix"]) as cached:
            proba = classify.predict_proba([r["prompt"] for r in rows], rows[0]["completions"], cached, **options)
    else:
        examples = [Example(r["prompt"], r["completions"]) for r in rows]
        proba = classify.predict_proba_examples(examples, model, **options)
    seconds = time.time() - start
    print(json.dumps({"seconds": seconds, "predictions": [int(p.argmax()) for p in proba]}), flush=True)
