"""A Python peer in a comparison: loads its model once, then executes orders, one per line.

usage (by bench/peers.py, with the peers' Python): driver.py SHARED/peers transformers MODEL DTYPE
                                                   driver.py SHARED/peers llama MODEL CONTEXT
Each line of standard input is an order, a JSON object with "op". The answer is one line with "seconds", "peak_bytes"
(resident memory of this process during the order, including model and libraries) and the results of the operation:
  {"op": "score", "rows": FILE, "prefix": TEXT or null, "batch": N, "cached": BOOL}     -> predictions
  {"op": "generate", "rows": FILE, "tokens": N, "batch": N}                              -> texts
  {"op": "prefill", "tokens": N}
"""
import ctypes
import gc
import json
import os
import sys
import time

sys.path.insert(0, sys.argv[1])
import common  # noqa: E402  (the peers' loader of right tokenizers)
import torch  # noqa: E402
from cappr import Example  # noqa: E402

THREADS = int(os.environ["THREADS"])


def rows_of(order):
    with open(order["rows"], encoding="utf-8") as file:
        return [json.loads(line) for line in file]


class Transformers:
    def __init__(self, name, dtype):
        from cappr.huggingface import classify, classify_no_cache

        self.cached, self.uncached = classify, classify_no_cache
        self.model, self.tokenizer = self.both = common.load(name, getattr(torch, dtype))
        self.cached.predict_examples([Example("a b", ("c", "d"))], self.both, show_progress_bar=False)  # warms up

    def score(self, order):
        rows = rows_of(order)
        options = {"batch_size": order["batch"], "show_progress_bar": False}
        module = self.cached if order["cached"] else self.uncached
        start = time.perf_counter()
        if order["prefix"]:
            with module.cache(self.both, order["prefix"], logits_all=False) as both:
                proba = module.predict_proba([row["prompt"] for row in rows], rows[0]["completions"], both, **options)
        else:
            proba = module.predict_proba_examples([Example(row["prompt"], row["completions"]) for row in rows], self.both,
                                                  **options)
        return {"seconds": time.perf_counter() - start, "predictions": [int(p.argmax()) for p in proba]}

    def generate(self, order):
        texts, tokens, pad = [], order["tokens"], self.tokenizer.pad_token_id
        prompts = [row["prompt"] for row in rows_of(order)]
        self.tokenizer.padding_side = "left"
        start = time.perf_counter()
        for i in range(0, len(prompts), order["batch"]):
            batch = self.tokenizer(prompts[i:i + order["batch"]], return_tensors="pt", padding=True)
            with torch.inference_mode():
                ids = self.model.generate(**batch, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False,
                                          pad_token_id=pad)
            texts += self.tokenizer.batch_decode(ids[:, -tokens:])
        seconds = time.perf_counter() - start
        self.tokenizer.padding_side = "right"
        return {"seconds": seconds, "texts": texts}

    def prefill(self, order):
        """Keeps keys and values and computes one row of logits, like the prefill of the other programs."""
        ids = torch.randint(1000, 40000, (1, order["tokens"]))
        start = time.perf_counter()
        with torch.inference_mode():
            self.model(input_ids=ids, use_cache=True, logits_to_keep=1)
        return {"seconds": time.perf_counter() - start, "tokens": order["tokens"]}


class LlamaCpp:
    def __init__(self, name, context):
        from cappr.llama_cpp import classify
        from llama_cpp import Llama

        self.classify = classify
        self.model = Llama(f"{common.MODELS}/{name}.gguf", logits_all=True, verbose=False, n_threads=THREADS,
                           n_threads_batch=THREADS, n_ctx=int(context))

    def score(self, order):
        rows = rows_of(order)
        prompts, completions = [row["prompt"] for row in rows], rows[0]["completions"]
        start = time.perf_counter()
        if order["prefix"]:
            with self.classify.cache(self.model, order["prefix"]) as model:
                proba = self.classify.predict_proba(prompts, completions, model, reset_model=False, show_progress_bar=False)
        else:
            proba = self.classify.predict_proba(prompts, completions, self.model, show_progress_bar=False)
        return {"seconds": time.perf_counter() - start, "predictions": [int(p.argmax()) for p in proba]}


def begin_peak():
    """Returns unused memory to the system, then resets the kernel's peak (5: see proc(5), clear_refs)."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def peak_bytes():
    with open("/proc/self/status") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith("VmHWM"))


answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what libraries print is not an answer
peer = {"transformers": Transformers, "llama": LlamaCpp}[sys.argv[2]](sys.argv[3], sys.argv[4])
print(json.dumps({"ready": True}), file=answers, flush=True)
for line in sys.stdin:
    order = json.loads(line)
    begin_peak()
    answer = getattr(peer, order["op"])(order)
    print(json.dumps({**answer, "peak_bytes": peak_bytes()}), file=answers, flush=True)
