"""The common part of :mod:`capp.spark` and :mod:`capp.ray`: what a worker of a cluster does with a batch of rows.

The program creates a Job, which checks the arguments at once. pickle sends the Job to the workers as a path and options. A
worker opens the model at its first batch and keeps it for later jobs.
"""
from __future__ import annotations

import inspect
import os
from typing import Any, Callable, Mapping, Sequence

from capp import _check, classify
from capp._example import Example
from capp._resolve import of_file
from capp._weighing import weighing
from capp.errors import CappError
from capp.model import Model, adapters_of, options_of

FUNCTIONS = ("predict", "predict_proba", "log_probs_conditional", "token_logprobs")
OF_EXAMPLES = ("end_of_prompt", "normalize")  # options if rows have their own completions
ERRORS = ("raise", "null")
WEIGHING = tuple(inspect.signature(weighing).parameters)[1:]
# Parameters that the job sets itself, or that have no effect here.
OURS = {"prompts", "texts", "completions", "model", "show_progress_bar", "batch_size", "batch_size_completions", "kwargs"}


def is_missing(value: Any) -> bool:
    """Whether value is None, NaN or NA of pandas, which stand for NULL in tables."""
    return value is None or type(value).__name__ == "NAType" or (isinstance(value, float) and value != value)


def _options_of(function: str, own_completions: bool) -> tuple[str, ...]:
    """Returns the names of the options for a job of this function."""
    if own_completions:
        return OF_EXAMPLES
    return tuple(name for name in inspect.signature(getattr(classify, function)).parameters if name not in OURS)


def _checked_model(model: Any, options: Mapping[str, Any] | None) -> tuple[str, dict[str, Any]]:
    """Returns the path and keywords of a model. The file may exist only on the workers."""
    if isinstance(model, Model):
        if options is not None:
            raise TypeError("model_options are only for a path; this capp.Model has its own options")
        return model.path, dict(model._keywords)
    if not isinstance(model, (str, os.PathLike)):
        raise TypeError("the model must be a path that every worker can open, or a capp.Model, not "
                        f"{type(model).__name__}")
    given = dict(options or {})
    known = [name for name in inspect.signature(Model).parameters if name != "path"]
    for name in given:
        if name not in known:
            raise TypeError(f"unknown model option {name!r}; the options are {', '.join(known)}")
    options_of(**{name: value for name, value in given.items() if name not in ("lora", "parse_special")})
    if "lora" in given:
        given["lora"] = adapters_of(given["lora"])
    return os.fspath(model), given


class Job:
    """A function of :mod:`capp.classify` with all arguments except the rows."""

    def __init__(self, function: str, model: Any, completions: Sequence[str] | None, options: Mapping[str, Any], *,
                 model_options: Mapping[str, Any] | None = None, errors: str = "raise") -> None:
        if function not in FUNCTIONS:
            raise ValueError(f"function must be one of {', '.join(FUNCTIONS)}, not {function!r}")
        if errors not in ERRORS:
            raise ValueError(f'errors must be "raise" or "null", not {errors!r}')
        self.function, self.options, self.errors = function, dict(options), errors
        self.own_completions = completions is None and function != "token_logprobs"
        known = _options_of(function, self.own_completions)
        for name in options:
            if name not in known:
                where = " if rows have their own completions" if self.own_completions else ""
                raise TypeError(f"{function} has no option {name!r}{where}; the options are {', '.join(known)}")
        self.path, self.keywords = _checked_model(model, model_options)
        self.live = model if isinstance(model, Model) else None  # where the job is made; it does not travel
        self.width: int | None = None  # of the results, where they are arrays that are all as long
        self.completions = None if completions is None else self._checked(completions)
        if "end_of_prompt" in options:
            _check.end_of_prompt(options["end_of_prompt"])

    def _checked(self, completions: Sequence[str]) -> list[str]:
        listed = _check.completions(completions)
        given = {name: self.options[name] for name in WEIGHING if name in self.options}
        weighed = weighing(listed, **{"normalize": self.function == "predict_proba", **given})
        if not isinstance(weighed.normalize, bool):
            raise TypeError("normalize must be True or False, because the number of rows in a batch is not known")
        self.width = weighed.n_classes if self.function == "predict_proba" else None
        if self.function == "predict" and len(listed) == 1:
            raise ValueError("predict needs at least two completions; use predict_proba with normalize=False for one")
        return listed

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "live": None}

    def open(self, threads: int, find: Callable[[str], str] = str) -> Model:
        """Opens the model. `find` converts the path of the job to one of this machine. threads: the number that the cluster
        assigns to a worker."""
        if self.live is not None:
            return self.live
        keywords = {**self.keywords, "threads": self.keywords.get("threads") or threads}
        if "lora" in keywords:
            keywords["lora"] = tuple((find(path), weight) for path, weight in keywords["lora"])
        return of_file(find(self.path), **keywords)

    def __call__(self, model: Model, prompts: Sequence[Any], completions: Sequence[Any] | None = None) -> list[Any]:
        """Returns one result per row, or None for a row whose prompt or completions are missing. completions: [row], if
        rows have their own."""
        columns = [prompts] if completions is None else [prompts, completions]
        out: list[Any] = [None] * len(prompts)
        rows, places = [], []
        for i, values in enumerate(zip(*columns)):
            row = None if any(map(is_missing, values)) else self._row(*values)
            if row is not None:
                rows.append(row)
                places.append(i)
        for i, result in zip(places, self._scored(model, rows)):
            out[i] = result
        return out

    def _row(self, prompt: Any, completions: Sequence[str] | None = None) -> Any:
        """Returns a checked prompt or Example, or None if it is invalid and errors are "null". Does not check its length."""
        try:
            if not isinstance(prompt, str):
                raise TypeError(f"a prompt must be a string, not {type(prompt).__name__}")
            if not prompt:
                raise ValueError('a prompt is empty; remove such rows, or use errors="null" to get NULL for them')
            if completions is None:
                return prompt
            return Example(prompt, list(completions), **{"normalize": self.function == "predict_proba", **self.options})
        except ValueError:
            if self.errors == "null":
                return None
            raise

    def _function(self, model: Model, rows: list[Any]) -> list[Any]:
        if not rows:
            return []
        if self.own_completions:
            return list(getattr(classify, self.function + "_examples")(rows, model, show_progress_bar=False))
        given = [] if self.completions is None else [self.completions]
        return list(getattr(classify, self.function)(rows, *given, model, show_progress_bar=False, **self.options))

    def _scored(self, model: Model, rows: list[Any]) -> list[Any]:
        """Scores rows. A row that is too long for the model ends the job, or has the result None."""
        out: list[Any] = []
        while True:
            rest = rows[len(out):]
            try:
                return out + self._function(model, rest)
            except CappError as error:
                if error.row is None:
                    raise
                if self.errors == "raise":
                    text = rest[error.row] if isinstance(rest[error.row], str) else rest[error.row].prompt
                    raise type(error)(f'{error} (the text begins {text[:60]!r}; use errors="null" to get NULL for such '
                                      'rows)') from error
                out += [*self._function(model, rest[:error.row]), None]
