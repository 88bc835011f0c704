"""The functions of :mod:`capp.classify` for batches of Ray Data, for tables that are too large for one machine.

Ray creates a :class:`Predictor` on each worker, which opens the model once. Log-probabilities do not depend on the batch, its
other rows or the threads. So a column has the same bits as on one machine, if all machines use the same instruction set and
precision. If the machines differ, set both in `model_options`: ``{"isa": "avx2", "precision": "f32"}``. If a worker dies, Ray
Data sends its batches to another one.

>>> import ray
>>> from capp.ray import Predictor
>>> ds = ray.data.read_csv("texts.csv")  # doctest: +SKIP
>>> ds = ds.map_batches(Predictor, concurrency=4, num_cpus=8,  # doctest: +SKIP
...                     fn_constructor_kwargs={"model": "/models/model.gguf", "completions": ["sports", "cooking"]})
"""
from __future__ import annotations

from typing import Any, Mapping, Sequence

import numpy as np
import numpy.typing as npt

try:
    import pyarrow as pa
    import ray
except ImportError as error:
    raise ImportError(f"capp.ray needs Ray Data: pip install 'capp[ray]' ({error})") from error

from capp._worker import Job

__all__ = ["Predictor"]

# The new column of each function: its default name, and its type in a table.
OUTPUTS = {"predict": ("prediction", pa.string()), "predict_proba": ("probabilities", pa.list_(pa.float64())),
           "log_probs_conditional": ("logprobs", pa.list_(pa.list_(pa.float32()))),
           "token_logprobs": ("logprobs", pa.list_(pa.float32()))}


def _cores() -> int:
    """Returns the number of cores that Ray assigns to this worker (num_cpus of map_batches), or 0 outside a worker."""
    if not ray.is_initialized():
        return 0
    return max(1, int(ray.get_runtime_context().get_assigned_resources().get("CPU", 1)))


def _column(values: list[Any], width: int | None) -> npt.NDArray[Any]:
    """Makes a column for a batch of arrays. width: the length of each result, if all have the same; a missing one is NaN."""
    if width is not None:
        return np.array([np.full(width, np.nan) if value is None else value for value in values]).reshape(-1, width)
    column = np.empty(len(values), object)
    column[:] = [value.tolist() if isinstance(value, np.ndarray) else value for value in values]
    return column


class Predictor:
    """A class for `map_batches`. Adds a column of results to each batch, in the format of the batch (`numpy`, `pandas` or
    `pyarrow`).

    Parameters
    ----------
    model
        a path that every worker can open; or a capp.Model, which each worker opens with the same options, including the
        number of threads
    completions
        the completions of all prompts. None: a column of lists has the completions of each row
    function
        ``"predict"``, ``"predict_proba"``, ``"log_probs_conditional"`` or ``"token_logprobs"``
    column, completions_column
        names of the columns with the prompts (texts) and with the completions of each row
    output
        name of the new column; by default ``"prediction"``, ``"probabilities"`` or ``"logprobs"``
    errors
        ``"raise"``: a prompt that is empty or too long for the model ends the job; ``"null"``: its result is None, or a
        row of NaN in a NumPy array of probabilities, as for a missing prompt
    model_options
        keywords of capp.Model, if the model is a path. `threads` is by default `num_cpus` of map_batches
    options
        options of the function in :mod:`capp.classify`; only `end_of_prompt` and `normalize` if rows have their own
        completions
    """

    def __init__(self, model: Any, completions: Sequence[str] | None = None, *, function: str = "predict",
                 column: str = "text", completions_column: str = "completions", output: str | None = None,
                 errors: str = "raise", model_options: Mapping[str, Any] | None = None, **options: Any) -> None:
        self.job = Job(function, model, completions, options, model_options=model_options, errors=errors)
        self.columns = [column, completions_column] if self.job.own_completions else [column]
        self.output, self.type = output or OUTPUTS[function][0], OUTPUTS[function][1]
        self.model = self.job.open(_cores())

    def _values(self, batch: Any) -> list[Any]:
        table = isinstance(batch, pa.Table)
        names = batch.column_names if table else list(batch)
        for name in self.columns:
            if name not in names:
                raise ValueError(f"no column {name!r} in the batch; the columns are {', '.join(map(str, names))}")
        return [batch[name].to_pylist() if table else batch[name] for name in self.columns]

    def __call__(self, batch: Any) -> Any:
        values = self.job(self.model, *self._values(batch))
        if isinstance(batch, dict):
            return {**batch, self.output: _column(values, self.job.width)}
        if isinstance(batch, pa.Table):
            others = batch.drop([self.output]) if self.output in batch.column_names else batch
            return others.append_column(self.output, pa.array(_column(values, None).tolist(), self.type))
        return batch.assign(**{self.output: _column(values, None)})
