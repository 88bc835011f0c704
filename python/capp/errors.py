"""What can go wrong. Each error is a :class:`CappError` and the built-in error that Python programs expect."""
from __future__ import annotations


class CappError(Exception):
    """An error of the library. `status` is its name, `row` the index of the text at fault, or None."""

    status: str = "CAPP_UNKNOWN"
    row: int | None = None


class OutOfMemoryError(CappError, MemoryError):
    """An allocation failed."""


class FileError(CappError, OSError):
    """A file cannot be opened, read or mapped."""

    def __str__(self) -> str:
        return Exception.__str__(self)


class FormatError(CappError, ValueError):
    """A file or text is malformed."""


class UnsupportedError(CappError, NotImplementedError):
    """A valid file uses something that capp does not know."""


class InvalidError(CappError, ValueError):
    """An argument is invalid."""


class TooLongError(CappError, ValueError):
    """A prompt with its completions is longer than the model's context."""


class BudgetError(CappError, MemoryError):
    """The memory budget is too small; the message says what is needed."""


class CancelledError(CappError):
    """The call was cancelled."""


class CacheClearedError(CappError, RuntimeError):
    """A cached model was used outside of its context."""


OF_STATUS: dict[int, type[CappError]] = {
    1: OutOfMemoryError, 2: FileError, 3: FormatError, 4: UnsupportedError, 5: InvalidError, 6: TooLongError,
    7: BudgetError, 8: CancelledError,
}
