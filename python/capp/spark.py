"""The functions of :mod:`capp.classify` as pandas UDFs of Spark, for tables that one machine is too small for.

A worker process opens the model at its first batch and keeps it for later tasks. A model's log-probabilities do not depend
on the batch, the neighbours or the threads, so a column has the bits that one machine would give: on the same instruction
set and precision, which `model_options` pin down where machines differ (``{"isa": "avx2", "precision": "f32"}``). A task
whose worker dies is run again by Spark (`spark.task.maxFailures`).

- The model is a path that every worker sees; a relative one may be that of a file given to `SparkContext.addFile`.
- Each worker process has a copy of the weights. Let a task have several cores (`spark.task.cpus`) rather than run many
  tasks on a machine: a worker's threads are as many as its task has cores, unless `model_options` say otherwise. They say
  `memory` too, the bytes that each worker may take besides the weights.
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
    import pyarrow  # noqa: F401  pandas UDFs travel by it
    from pyspark import SparkFiles, TaskContext
    from pyspark.sql.functions import pandas_udf
except ImportError as error:
    raise ImportError(f"capp.spark needs pyspark, pandas and pyarrow: pip install 'capp[spark]' ({error})") from error

from capp._worker import Job

__all__ = ["log_probs_conditional_udf", "predict_proba_udf", "predict_udf", "token_logprobs_udf"]


def _find(path: str) -> str:
    """A relative path that is not here may be in the folder that addFile fills."""
    if os.path.isabs(path) or os.path.exists(path):
        return path
    added = os.path.join(SparkFiles.getRootDirectory(), path)
    return added if os.path.exists(added) else path


def _cores() -> int:
    context = TaskContext.get()
    return max(1, int(context.cpus())) if context is not None else 0


def _udf(job: Job, result: str) -> Any:
    """A UDF of one column, or of two where rows bring their own completions."""
    def of_prompts(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
        for prompts in batches:
            yield pd.Series(job(job.open(_cores(), _find), prompts), dtype=object)

    def of_pairs(batches: Iterator[Tuple[pd.Series, pd.Series]]) -> Iterator[pd.Series]:
        for prompts, completions in batches:
            yield pd.Series(job(job.open(_cores(), _find), prompts, completions), dtype=object)

    return pandas_udf(of_pairs if job.own_completions else of_prompts, result)


def predict_udf(model: Any, completions: Sequence[str] | None = None, *, model_options: Mapping[str, Any] | None = None,
                errors: str = "raise", **options: Any) -> Any:
    """A UDF: prompts to the most probable completion of each, as a string.

    Parameters
    ----------
    model
        a path that every worker sees, or a capp.Model of one
    completions
        the same for each prompt; None: the UDF takes a second column, of arrays of strings, each row's own
    model_options
        keywords of capp.Model, where the model is a path
    errors
        ``"raise"``: a prompt that is empty or too long for the model ends the job; ``"null"``: its result is NULL
    options
        of :func:`capp.classify.predict`; where rows bring their own completions, `end_of_prompt` and `normalize`

    Raises
    ------
    TypeError, ValueError
        at once, as of :func:`capp.classify.predict`
    """
    return _udf(Job("predict", model, completions, options, model_options=model_options, errors=errors), "string")


def predict_proba_udf(model: Any, completions: Sequence[str] | None = None, *,
                      model_options: Mapping[str, Any] | None = None, errors: str = "raise", **options: Any) -> Any:
    """A UDF: prompts to the probabilities of the completions (or classes, by `class_of`), as an array of doubles.
    Arguments as of :func:`predict_udf`, options of :func:`capp.classify.predict_proba`."""
    job = Job("predict_proba", model, completions, options, model_options=model_options, errors=errors)
    return _udf(job, "array<double>")


def log_probs_conditional_udf(model: Any, completions: Sequence[str] | None = None, *,
                              model_options: Mapping[str, Any] | None = None, errors: str = "raise",
                              **options: Any) -> Any:
    """A UDF: prompts to the log-probabilities of the completions' tokens, as an array [completion][token] of floats.
    Arguments as of :func:`predict_udf`, options of :func:`capp.classify.log_probs_conditional`."""
    job = Job("log_probs_conditional", model, completions, options, model_options=model_options, errors=errors)
    return _udf(job, "array<array<float>>")


def token_logprobs_udf(model: Any, *, model_options: Mapping[str, Any] | None = None, errors: str = "raise",
                       **options: Any) -> Any:
    """A UDF: texts to the log-probabilities of their tokens, as an array of floats whose first is NULL. Arguments as of
    :func:`predict_udf`, options of :func:`capp.classify.token_logprobs`."""
    return _udf(Job("token_logprobs", model, None, options, model_options=model_options, errors=errors), "array<float>")
