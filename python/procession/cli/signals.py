"""What SIGTERM does to a command: service managers and schedulers send it, and wait some seconds before SIGKILL.

A command that writes what it has as it goes (`map`) takes it for the end of its input: what is being done is finished
and written. One that has nothing before it has everything (`mapreduce`) is ended as by Ctrl-C. Either way the exit code
is 143, as the shell has it for a death by SIGTERM, and a second SIGTERM ends the command, and with it its workers, at
once. `run` is not meant: SIGTERM is the program's business there.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["Terminated", "ending_input", "terminable"]


class Terminated(BaseException):
    """SIGTERM has come. Not an `Exception`: whatever deals with errors of work must let it pass."""


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """In this block SIGTERM raises Terminated, once."""

    def handle(*_: Any) -> None:
        raise Terminated

    with _handled(handle):
        yield


@contextlib.contextmanager
def ending_input() -> Iterator[Callable[[], bool]]:
    """In this block SIGTERM is noted: gives what tells if it has come. If so, Terminated is raised at its end."""
    came = False

    def handle(*_: Any) -> None:
        nonlocal came
        came = True

    with _handled(handle):
        yield lambda: came
    if came:
        raise Terminated


@contextlib.contextmanager
def _handled(handle: Callable[..., None]) -> Iterator[None]:
    """Let the first SIGTERM call this; the second does what it does by default. Only in the main thread."""

    def first(*_: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if os.getpid() == owner:
            handle()
        else:  # a worker just forked, which has not set its own yet
            os.kill(os.getpid(), signal.SIGTERM)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    owner = os.getpid()
    before = signal.signal(signal.SIGTERM, first)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is first:
            signal.signal(signal.SIGTERM, before)
