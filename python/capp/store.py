"""Score stores, which `capp classify -o NAME.db` writes: see the page "Score stores" of the documentation."""
from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from typing import Any

import numpy as np
import numpy.typing as npt

FORMAT = 2


class Store:
    """Reads a store. Needs no model; :meth:`frame` needs pandas.

    Args:
        path: the file that `capp classify -o` made
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        if not os.path.exists(self.path):
            raise FileNotFoundError(f"{self.path}: there is no such file; capp classify -o {self.path} makes a store")
        try:
            (application,), = self.query("PRAGMA application_id")
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            raise ValueError(f"{error}; it is not a store of capp; capp classify -o NAME.db makes one") from error
        if application != 0x63617070:
            raise ValueError(f"{self.path} is not a store of capp; capp classify -o NAME.db makes one")
        (version,), = self.query("PRAGMA user_version")
        if version != FORMAT:
            raise ValueError(f"{self.path} is a store of format {version}, and this version of capp reads format {FORMAT};"
                             " use the version that made it, or run capp classify again")

    def query(self, text: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """Returns the rows of an SQL query."""
        try:
            with contextlib.closing(sqlite3.connect(self.path)) as database:
                return database.execute(text, arguments).fetchall()
        except sqlite3.DatabaseError as error:
            raise type(error)(f"{self.path}: {error}") from error

    @property
    def settings(self) -> dict[str, str]:
        """The settings of the run."""
        return dict(self.query("SELECT name, value FROM settings"))

    @property
    def classes(self) -> list[str]:
        """The classes of the run; empty if all rows have their own completions."""
        found: list[str] = json.loads(self.settings.get("classes", "[]"))
        return found

    @property
    def completions(self) -> list[str]:
        """The completions of the classes: their phrasings, or the classes themselves."""
        found: list[str] = json.loads(self.settings.get("phrasings", "[]")) or self.classes
        return found

    @property
    def class_of(self) -> list[int]:
        """The class of each completion: an index of `classes`."""
        found: list[int] = json.loads(self.settings.get("class_of", "[]")) or list(range(len(self.classes)))
        return found

    @property
    def scored(self) -> list[int]:
        """The rows that :meth:`logprobs` has, in its order. Rows that could not be scored (`--on-error`) and rows with their
        own completions are not among them: `frame().loc[scored]` has the same rows as `logprobs()`."""
        return [row for row, in self.query("SELECT row FROM rows WHERE list = 0 AND logprobs IS NOT NULL ORDER BY row")]

    def frame(self) -> Any:
        """A pandas frame with the columns of the input, then prediction, probability, margin, and label if there are
        labels. Its index is the row. It has all rows; see :attr:`scored` for those that :meth:`logprobs` has."""
        import pandas as pd

        found = self.query("SELECT row, fields, prediction, probability, margin, label FROM decisions ORDER BY row")
        frame = pd.DataFrame([json.loads(row[1]) for row in found], index=[row[0] for row in found])
        names = ["prediction", "probability", "margin"] + (["label"] if any(row[5] is not None for row in found) else [])
        for place, name in enumerate(names):
            frame[name] = [row[2 + place] for row in found]
        return frame

    def logprobs(self) -> list[npt.NDArray[np.float32]]:
        """For each of `completions`, the log-probabilities of its tokens: [rows][tokens]. The rows are those of `scored`.
        :func:`capp.arrays.decide` takes them."""
        sizes = [len(json.loads(ids)) for ids, in self.query("SELECT ids FROM completions WHERE list = 0 ORDER BY place")]
        blobs = self.query("SELECT logprobs FROM rows WHERE list = 0 AND logprobs IS NOT NULL ORDER BY row")
        matrix = np.frombuffer(b"".join(blob for blob, in blobs), "<f4").reshape(len(blobs), sum(sizes))
        return np.split(matrix, np.cumsum(sizes)[:-1], axis=1)
