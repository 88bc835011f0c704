"""Calls of the library: its errors as exceptions, Ctrl-C, progress."""
from __future__ import annotations

import threading
from typing import Any, Callable

from capp import errors
from capp._abi import Error, ProgressFn, byref, lib

NO_ROW = 2**64 - 1
SHOWN_FROM = 5  # rows from which progress is shown unless told otherwise: CAPPr's number


def raise_error(err: Error) -> None:
    kind = errors.OF_STATUS.get(err.status, errors.CappError)
    row = None if err.row == NO_ROW else err.row
    message = err.message.decode(errors="replace")
    error = kind(message if row is None else f"row {row}: {message}")
    error.status = lib.capp_status_name(err.status).decode()
    error.row = row
    raise error


def check(function: Callable[..., int], *arguments: Any) -> None:
    """Calls a function whose last argument is a capp_error."""
    err = Error()
    if function(*arguments, byref(err)):
        raise_error(err)


class Callbacks:
    """Runs Python inside the library's callbacks: an exception ends the call and is raised after it."""

    def __init__(self) -> None:
        self.raised: BaseException | None = None

    def guard(self, function: Callable[..., Any]) -> Callable[..., bool]:
        def guarded(_user: Any, *arguments: Any) -> bool:
            if self.raised is None:
                try:
                    function(*arguments)
                except BaseException as error:  # goes on in the caller's thread
                    self.raised = error
            return self.raised is None

        return guarded


def interruptible(session: int, call: Callable[[], Any]) -> Any:
    """What call returns. In the main thread, where Python takes signals only between its own instructions, the call
    runs in a thread beside it, so that Ctrl-C finds somebody to listen and cancels the session."""
    if threading.current_thread() is not threading.main_thread():
        return call()
    done, outcome = threading.Event(), []

    def work() -> None:
        try:
            outcome.append(call())
        except BaseException as error:
            outcome.append(error)
        finally:
            done.set()

    threading.Thread(target=work, name="capp", daemon=True).start()
    interrupt: BaseException | None = None
    while not done.is_set():
        try:
            done.wait()
        except BaseException as error:  # KeyboardInterrupt, or what another signal's handler raises
            interrupt = interrupt or error
            lib.capp_session_cancel(session)
    if interrupt is not None:
        raise interrupt
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]


class Progress:
    """A tqdm bar as a capp_progress_fn, or none."""

    def __init__(self, total: int, show: bool | None, description: str, callbacks: Callbacks) -> None:
        self.bar: Any = None
        if show or (show is None and total >= SHOWN_FROM):
            from tqdm.auto import tqdm  # here: it takes longer to import than the rest

            self.bar = tqdm(total=total, desc=description)
        self.function = ProgressFn(callbacks.guard(self.update)) if self.bar is not None else ProgressFn()

    def update(self, done: int, _total: int) -> None:
        if self.bar is not None:
            self.bar.update(done - self.bar.n)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_error: Any) -> None:
        if self.bar is not None:
            self.bar.close()
