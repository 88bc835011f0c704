"""The functions of :mod:`capp.classify` over batches of Ray Data, for tables that one machine is too small for.

Ray gives each worker a :class:`Predictor`, which opens the model once. A model's log-probabilities do not depend on the
batch, the neighbours or the threads, so a column has the bits that one machine would give: on the same instruction set and
precision, which `model_options` pin down where machines differ (``{"isa": "avx2", "precision": "f32"}``). The batches of a
worker that dies go to another one; Ray Data sees to that.

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

# The new column of each function: its name, its type in a table.
OUTPUTS = {"predict": ("prediction", pa.string()), "predict_proba": ("probabilities", pa.list_(pa.float64())),
           "log_probs_conditional": ("logprobs", pa.list_(pa.list_(pa.float32()))),
           "token_logprobs": ("logprobs", pa.list_(pa.float32()))}


def _cores() -> int:
    """Those that Ray gives this worker: num_cpus of map_batches. 0 outside of one."""
    if not ray.is_initialized():
        return 0
    return max(1, int(ray.get_runtime_context().get_assigned_resources().get("CPU", 1)))


def _column(values: list[Any], width: int | None) -> npt.NDArray[Any]:
    """For a batch of arrays. width: of results that are as long as one another, whose missing ones are NaN then."""
    if width is not None:
        return np.array([np.full(width, np.nan) if value is None else value for value in values]).reshape(-1, width)
    column = np.empty(len(values), object)
    column[:] = [value.tolist() if isinstance(value, np.ndarray) else value for value in values]
    return column


class Predictor:
    """A class for `map_batches`: adds a column of results to each batch, in the format that batches have (`numpy`,
    `pandas` or `pyarrow`).

    Parameters
    ----------
    model
        a path that every worker sees; or a capp.Model of one, which a worker opens with the options that it has, its
        threads too
    completions
        the same for each prompt; None: those of a column of lists, each row's own
    function
        ``"predict"``, ``"predict_proba"``, ``"log_probs_conditional"`` or ``"token_logprobs"``
    column, completions_column
        where the prompts (texts) and the rows' own completions are
    output
        name of the new column; by default ``"prediction"``, ``"probabilities"`` or ``"logprobs"``
    errors
        ``"raise"``: a prompt that is empty or too long for the model ends the job; ``"null"``: its result is missing, as
        are those of missing prompts: None, in a NumPy array of probabilities a row of NaN
    model_options
        keywords of capp.Model, where the model is a path. `threads` are by default the `num_cpus` of map_batches
    options
        of the function in :mod:`capp.classify`; where rows bring their own completions, `end_of_prompt` and `normalize`
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
                raise ValueError(f"there is no column {name!r}; there are {', '.join(map(str, names))}")
        return [batch[name].to_pylist() if table else batch[name] for name in self.columns]

    def __call__(self, batch: Any) -> Any:
        values = self.job(self.model, *self._values(batch))
        if isinstance(batch, dict):
            return {**batch, self.output: _column(values, self.job.width)}
        if isinstance(batch, pa.Table):
            others = batch.drop([self.output]) if self.output in batch.column_names else batch
            return others.append_column(self.output, pa.array(_column(values, None).tolist(), self.type))
        return batch.assign(**{self.output: _column(values, None)})
