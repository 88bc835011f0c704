"""Calls of the library: its errors as exceptions, Ctrl-C, progress."""
from __future__ import annotations

import _thread
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


def interruptible(cancel: Callable[[], Any], call: Callable[[], Any]) -> Any:
    """What call returns. In the main thread, where Python takes signals only between its own instructions, the call
    runs in a thread beside it, so that Ctrl-C finds somebody to listen, who cancels it."""
    if threading.current_thread() is not threading.main_thread():
        return call()
    done, first = threading.Event(), threading.Lock()
    outcome: list[Any] = []
    interrupts: list[BaseException] = []

    def work() -> None:
        if not first.acquire(blocking=False):
            return  # begun a second time
        try:
            outcome.append(call())
        except BaseException as error:
            outcome.append(error)
        finally:
            done.set()

    def wait() -> None:
        begun = False
        while not done.is_set():
            try:
                if not begun:
                    _thread.start_new_thread(work, ())
                begun = True
                # Cancelled again and again: a call that is just beginning forgets it.
                while not done.wait(0.05 if interrupts else None):
                    cancel()
            except BaseException as error:  # KeyboardInterrupt, or what another signal's handler raises
                interrupts.append(error)
                cancel()

    while not done.is_set():  # whatever comes while an interrupt is dealt with: the library still uses the memory
        try:
            wait()
        except BaseException as error:
            interrupts.append(error)
    if interrupts:
        raise interrupts[0]
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
