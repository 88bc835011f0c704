"""cluster_ray.py MODEL FOLDER: runs capp.ray on a Ray cluster of two workers, one of which dies. tests/test_cluster.py
runs it. FOLDER holds Ray's own files; its path must be short, because it contains sockets."""
import os
import sys

import cluster_watch as watch
import numpy as np
import ray
import ray.data

import capp
import capp.ray

MODEL, FOLDER = sys.argv[1:]
BATCH, ROWS = 8, 128


class Predictor(capp.ray.Predictor):
    def __init__(self, *arguments, **keywords):
        capp.ray.Job = watch.Job
        super().__init__(*arguments, **keywords)


def column(ds, name, format="numpy", **keywords):
    """The new column, in the order of the rows."""
    rows = ds.map_batches(Predictor, concurrency=2, batch_size=BATCH, batch_format=format,
                          fn_constructor_kwargs=keywords).take_all()
    return [watch.plain(row[name]) for row in sorted(rows, key=lambda row: row["i"])]


def missing(values):
    """In a NumPy array of probabilities, a missing row is a row of NaN."""
    return [None if np.isnan(value).all() else value for value in values]


def main():
    texts = watch.prompts(ROWS)
    expected = watch.on_one_machine("predict_proba", texts, watch.CHOICES, MODEL, prior=watch.PRIOR)
    watch.clear()
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, _temp_dir=FOLDER, object_store_memory=100 << 20,
             runtime_env={"env_vars": {name: os.environ[name] for name in ("CAPP_WATCH", "CAPP_LIBRARY", "PYTHONPATH")}})
    ray.data.DataContext.get_current().enable_progress_bars = False
    rows = [{"i": i, "text": text, "completions": watch.CHOICES[i % 3:]} for i, text in enumerate(texts)]
    ds = ray.data.from_items(rows, override_num_blocks=8)
    killed = []
    watch.kill_one(killed)
    proba = column(ds, "probabilities", model=MODEL, completions=watch.CHOICES, function="predict_proba", prior=watch.PRIOR)
    few, some = ray.data.from_items(rows[:24], override_num_blocks=4), texts[:24]
    model = capp.Model(MODEL, threads=2)
    chosen = column(few, "prediction", model=model, completions=watch.CHOICES)
    logprobs = column(few, "logprobs", "pyarrow", model=model, completions=watch.CHOICES, function="log_probs_conditional")
    tokens = column(few, "tokens", "pandas", model=MODEL, function="token_logprobs", output="tokens")
    own = column(few, "own", "pyarrow", model=MODEL, function="predict_proba", output="own", normalize=False)
    examples = [None if text is None else capp.Example(text, watch.CHOICES[i % 3:], normalize=False)
                for i, text in enumerate(some)]
    try:
        column(ray.data.from_items([{"i": 0, "text": "ok"}, {"i": 1, "text": ""}]), "prediction", model=MODEL,
               completions=watch.CHOICES)
        said = None
    except Exception as error:
        said = str(error)
    ray.shutdown()
    watch.report(rows=ROWS, killed=killed, events=watch.events(), said=said, equal={
        "predict_proba": missing(proba) == expected,
        "predict": chosen == watch.on_one_machine("predict", some, watch.CHOICES, model),
        "log_probs_conditional": logprobs == watch.on_one_machine("log_probs_conditional", some, watch.CHOICES, model),
        "token_logprobs": tokens == watch.on_one_machine("token_logprobs", some, model),
        "own": own == watch.on_one_machine("predict_proba_examples", examples, model)})


main()
