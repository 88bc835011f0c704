"""Calls the library: turns errors into exceptions, handles Ctrl-C, shows progress."""
from __future__ import annotations

import _thread
import threading
from typing import Any, Callable

from capp import errors
from capp._abi import Error, ProgressFn, byref, lib

NO_ROW = 2**64 - 1
SHOWN_FROM = 5  # by default, progress is shown for this number of rows or more, as in CAPPr


def raise_error(err: Error) -> None:
    kind = errors.OF_STATUS.get(err.status, errors.CappError)
    row = None if err.row == NO_ROW else err.row
    message = err.message.decode(errors="replace")
    error = kind(message if row is None else f"row {row}: {message}")
    error.status = lib.capp_status_name(err.status).decode()
    error.row = row
    raise error


def check(function: Callable[..., int], *arguments: Any) -> None:
    """Calls a library function whose last argument is a capp_error, and raises its error."""
    err = Error()
    if function(*arguments, byref(err)):
        raise_error(err)


class Callbacks:
    """Runs Python functions as callbacks of the library. An exception ends the call and is raised after it."""

    def __init__(self) -> None:
        self.raised: BaseException | None = None

    def guard(self, function: Callable[..., Any]) -> Callable[..., bool]:
        def guarded(_user: Any, *arguments: Any) -> bool:
            if self.raised is None:
                try:
                    function(*arguments)
                except BaseException as error:  # raised later, in the caller's thread
                    self.raised = error
            return self.raised is None

        return guarded


def interruptible(cancel: Callable[[], Any], call: Callable[[], Any]) -> Any:
    """Returns the result of call. Python handles signals in the main thread, and only between its own instructions. So
    if this is the main thread, call runs in another thread, and the main thread waits for Ctrl-C and cancels it."""
    if threading.current_thread() is not threading.main_thread():
        return call()
    ended, first = threading.Lock(), threading.Lock()
    ended.acquire()
    outcome: list[Any] = []  # empty until call has ended
    interrupts: list[BaseException] = []

    def work() -> None:
        if not first.acquire(blocking=False):
            return  # started a second time
        try:
            outcome.append(call())
        except BaseException as error:
            outcome.append(error)
        ended.release()

    def wait() -> None:
        begun = False
        while not outcome:
            try:
                if not begun:
                    _thread.start_new_thread(work, ())
                begun = True
                # Cancel repeatedly, because a call that is just starting resets the flag.
                while not ended.acquire(timeout=0.05 if interrupts else -1):
                    cancel()
            except BaseException as error:  # KeyboardInterrupt, or an exception from another signal handler
                interrupts.append(error)
                cancel()

    while not outcome:  # wait even if another interrupt comes: the library still uses the memory
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
    """A tqdm bar that a capp_progress_fn updates, or nothing."""

    def __init__(self, total: int, show: bool | None, description: str, callbacks: Callbacks) -> None:
        self.bar: Any = None
        if show or (show is None and total >= SHOWN_FROM):
            from tqdm.auto import tqdm  # imported late, because it takes longer than everything else

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
