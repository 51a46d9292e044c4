"""What a worker process runs: it gets ready, tells so, then takes tasks until there are no more.

The loop itself is native (`_native.serve`). A worker ends when the ring of tasks is closed and empty, when it has done
its share (`maxtasksperchild`), when a task calls `sys.exit`, or on SIGTERM, after the task it is at. (SIGTERM from its
parent, who means it, ends it at once.) When its parent ends the kernel ends it too, whatever it is at; where /proc
cannot be read an idle one notices within a quarter of a second. Ctrl-C is the parent's business: a worker ignores it,
the programs it starts do not.
"""

from __future__ import annotations

import io
import os
import select
import signal
import sys
from contextlib import suppress
from multiprocessing import parent_process

from .. import _native
from .blas import limit_threads
from .functions import load
from .state import BROKEN, CELLS, RAISED, READY

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import dataclass
    from typing import Any
else:
    from ._record import dataclass

__all__ = ["Surroundings", "explain", "main"]


@dataclass(frozen=True)
class Surroundings:
    """What a worker is given."""

    number: int
    tasks: Any
    answers: Any
    claims: Any
    marks: Any  # of tasks that were withdrawn
    reports: Any  # where to write when this process crashes
    initializer: Callable[..., Any] | None
    initargs: tuple[Any, ...]
    most_tasks: int  # 0: no limit
    method: str  # how it was started
    threads: int  # that numeric libraries may use; 0: as they like


def main(given: Surroundings, load: Callable[..., Any] = load, tell: Callable[..., Any] | None = None) -> None:
    """A worker's life. `load` and `tell` take the place of those here."""
    tell = tell or explain
    _ignore_interrupts()
    _end_well()
    _print_whole_lines()
    if given.threads:
        limit_threads(given.threads, forked=given.method == "fork")
    given.reports.open(given.number)
    if given.initializer is not None:
        try:
            given.initializer(*given.initargs)
        except Exception as error:
            _native.put_news(given.answers, given.number, BROKEN, tell(error, RAISED))
            return
    _native.put_news(given.answers, given.number, READY, os.getpid())
    arena = given.tasks.arena
    _native.serve(
        given.tasks,
        given.answers,
        given.claims,
        CELLS * given.number,
        lambda offset, serial: load(arena, offset, serial),
        tell,
        _OrphanCheck(),
        given.marks.cells,
        given.marks.meets,
        given.most_tasks,
    )


def _ignore_interrupts() -> None:
    """A handler that does nothing, rather than SIG_IGN, which programs started by a task would inherit."""
    signal.signal(signal.SIGINT, lambda signum, frame: None)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _end_well() -> None:
    """With the parent, at once; on SIGTERM from anybody but the parent, after the task it is at, with exit code 0."""
    _native.end_at_once()
    parent = parent_process()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a forked worker began with the program's own handler
    _native.drain_on_sigterm(0 if parent is None or parent.pid is None else parent.pid)


def _print_whole_lines() -> None:
    """Into a file or a pipe as into a terminal: the end of the pool, or a signal, takes along what is in a buffer."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        with suppress(OSError, ValueError):  # nobody reads it; it is closed, or detached
            sys.stdout.reconfigure(line_buffering=True)


class _OrphanCheck:
    """Whether the process that started this one has ended."""

    def __init__(self) -> None:
        self._poller = select.poll()
        parent = parent_process()
        self._parent = parent
        if parent is not None:
            self._poller.register(parent._sentinel, select.POLLIN)  # type: ignore[attr-defined]

    def __call__(self) -> bool:
        return self._parent is not None and bool(self._poller.poll(0))


def explain(error: BaseException, status: int) -> tuple[Any, ...]:
    """What is told of an exception, in plain values.

    Of one that a task raised: its pickle (None if it has none), the reason why not, what it is, its traceback. Of the
    failure to pickle a result: None, the reason, the path to the culprit, the traceback.
    """
    if not isinstance(error, Exception):
        raise error  # it ends the worker
    import traceback

    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    if status != RAISED:
        return None, str(error), getattr(error, "path", None), text
    try:
        return _pickled(error), "", _shown(error), text
    except Exception as failure:
        return None, f"{type(failure).__name__}: {failure}", _shown(error), text


def _shown(error: BaseException) -> str:
    from .._blame import shorten

    return shorten(error)


def _pickled(error: BaseException) -> bytes:
    """The pickle of an exception that can be unpickled again; many cannot, because of their constructor's arguments."""
    import pickle
    from multiprocessing.reduction import ForkingPickler

    data = bytes(ForkingPickler.dumps(error, 5))
    pickle.loads(data)
    return data
