"""Exceptions. Each is a :class:`CappError` and also the built-in exception that Python programs expect."""
from __future__ import annotations


class CappError(Exception):
    """An error of the library. `status` is the name of its status code. `row` is the index of the text that caused it, or
    None."""

    status: str = "CAPP_UNKNOWN"
    row: int | None = None


class OutOfMemoryError(CappError, MemoryError):
    """An allocation failed."""


class FileError(CappError, OSError):
    """Cannot open, read or map a file."""

    def __str__(self) -> str:
        return Exception.__str__(self)


class FormatError(CappError, ValueError):
    """Malformed file or text."""


class UnsupportedError(CappError, NotImplementedError):
    """Valid file that uses a feature capp does not support."""


class InvalidError(CappError, ValueError):
    """Invalid argument."""


class TooLongError(CappError, ValueError):
    """A prompt with its completions is longer than the model's context."""


class BudgetError(CappError, MemoryError):
    """The memory budget is too small. The message says how much is needed."""


class CancelledError(CappError):
    """The call was cancelled."""


class CacheClearedError(CappError, RuntimeError):
    """A cached model was used after its context ended."""


OF_STATUS: dict[int, type[CappError]] = {
    1: OutOfMemoryError, 2: FileError, 3: FormatError, 4: UnsupportedError, 5: InvalidError, 6: TooLongError,
    7: BudgetError, 8: CancelledError,
}
