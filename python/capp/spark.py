"""The functions of :mod:`capp.classify` as pandas UDFs of Spark, for tables that are too large for one machine.

A worker process opens the model at its first batch and keeps it for later tasks. Log-probabilities do not depend on the
batch, its other rows or the threads. So a column has the same bits as on one machine, if all machines use the same
instruction set and precision. If the machines differ, set both in `model_options`: ``{"isa": "avx2", "precision": "f32"}``.
If a worker dies, Spark runs its task again (`spark.task.maxFailures`).

- The model is a path that every worker can open. A relative path may name a file that was added by `SparkContext.addFile`.
- Each worker process has a copy of the weights. So use few tasks with several cores each (`spark.task.cpus`) instead of many
  tasks per machine. By default a worker uses as many threads as its task has cores. `model_options` can change this, and
  also set `memory`, the memory budget of each worker without the weights.
- NULL gives NULL.

>>> from capp.spark import predict_udf
>>> topic = predict_udf("/models/model.gguf", ["sports", "cooking"])  # doctest: +SKIP
>>> df.withColumn("topic", topic(concat("text", lit("\\nTopic:"))))  # doctest: +SKIP
"""
from __future__ import annotations

import os
from typing import Any, Iterator, Mapping, Sequence, Tuple

try:
    import pandas as pd
    import pyarrow  # noqa: F401  pandas UDFs need it
    from pyspark import SparkFiles, TaskContext
    from pyspark.sql.functions import pandas_udf
except ImportError as error:
    raise ImportError(f"capp.spark needs pyspark, pandas and pyarrow: pip install 'capp[spark]' ({error})") from error

from capp._worker import Job

__all__ = ["log_probs_conditional_udf", "predict_proba_udf", "predict_udf", "token_logprobs_udf"]


def _find(path: str) -> str:
    """Looks for a relative path also in the folder of files that addFile added."""
    if os.path.isabs(path) or os.path.exists(path):
        return path
    added = os.path.join(SparkFiles.getRootDirectory(), path)
    return added if os.path.exists(added) else path


def _cores() -> int:
    context = TaskContext.get()
    return max(1, int(context.cpus())) if context is not None else 0


def _udf(job: Job, result: str) -> Any:
    """Makes a UDF of one column, or of two columns if rows have their own completions."""
    def of_prompts(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
        for prompts in batches:
            yield pd.Series(job(job.open(_cores(), _find), prompts), dtype=object)

    def of_pairs(batches: Iterator[Tuple[pd.Series, pd.Series]]) -> Iterator[pd.Series]:
        for prompts, completions in batches:
            yield pd.Series(job(job.open(_cores(), _find), prompts, completions), dtype=object)

    return pandas_udf(of_pairs if job.own_completions else of_prompts, result)


def predict_udf(model: Any, completions: Sequence[str] | None = None, *, model_options: Mapping[str, Any] | None = None,
                errors: str = "raise", **options: Any) -> Any:
    """Makes a UDF that converts prompts to the most probable completion of each, as strings.

    Parameters
    ----------
    model
        a path that every worker can open, or a capp.Model
    completions
        the completions of all prompts. None: the UDF takes a second column, of arrays of strings, with the completions of
        each row
    model_options
        keywords of capp.Model, if the model is a path
    errors
        ``"raise"``: a prompt that is empty or too long for the model ends the job; ``"null"``: its result is NULL
    options
        options of :func:`capp.classify.predict`; only `end_of_prompt` and `normalize` if rows have their own completions

    Raises
    ------
    TypeError, ValueError
        before the job starts, as for :func:`capp.classify.predict`
    """
    return _udf(Job("predict", model, completions, options, model_options=model_options, errors=errors), "string")


def predict_proba_udf(model: Any, completions: Sequence[str] | None = None, *,
                      model_options: Mapping[str, Any] | None = None, errors: str = "raise", **options: Any) -> Any:
    """Makes a UDF that converts prompts to the probabilities of the completions (or of the classes, with `class_of`), as
    arrays of doubles. Arguments are those of :func:`predict_udf`, with options of :func:`capp.classify.predict_proba`."""
    job = Job("predict_proba", model, completions, options, model_options=model_options, errors=errors)
    return _udf(job, "array<double>")


def log_probs_conditional_udf(model: Any, completions: Sequence[str] | None = None, *,
                              model_options: Mapping[str, Any] | None = None, errors: str = "raise",
                              **options: Any) -> Any:
    """Makes a UDF that converts prompts to the log-probabilities of the tokens of the completions, as arrays
    [completion][token] of floats. Arguments are those of :func:`predict_udf`, with options of
    :func:`capp.classify.log_probs_conditional`."""
    job = Job("log_probs_conditional", model, completions, options, model_options=model_options, errors=errors)
    return _udf(job, "array<array<float>>")


def token_logprobs_udf(model: Any, *, model_options: Mapping[str, Any] | None = None, errors: str = "raise",
                       **options: Any) -> Any:
    """Makes a UDF that converts texts to the log-probabilities of their tokens, as arrays of floats. The first one is NULL.
    Arguments are those of :func:`predict_udf`, with options of :func:`capp.classify.token_logprobs`."""
    return _udf(Job("token_logprobs", model, None, options, model_options=model_options, errors=errors), "array<float>")
