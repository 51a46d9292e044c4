"""The names of multiprocessing for threads: the standard library's `multiprocessing.dummy`, with our pool of threads.

Kept for programs that have it; `procession.get_context("thread")` has more names, and results and clear errors.
"""

from __future__ import annotations

import sys
from multiprocessing import dummy as _standard
from multiprocessing.dummy import connection, dict, list  # type: ignore[attr-defined]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType
    from typing import Any, Final

    from .pool import ThreadPool

__all__ = [
    "Array",
    "Barrier",
    "BoundedSemaphore",
    "Condition",
    "DummyProcess",
    "Event",
    "JoinableQueue",
    "Lock",
    "Manager",
    "Namespace",
    "Pipe",
    "Pool",
    "Process",
    "Queue",
    "RLock",
    "Semaphore",
    "Value",
    "active_children",
    "connection",
    "current_process",
    "dict",
    "freeze_support",
    "list",
    "shutdown",
]

# The standard library's own
Barrier = _standard.Barrier
BoundedSemaphore = _standard.BoundedSemaphore
Condition = _standard.Condition
DummyProcess = _standard.DummyProcess
Event = _standard.Event
Namespace = _standard.Namespace
Process = _standard.Process
Lock: Final = _standard.Lock
RLock: Final = _standard.RLock
Semaphore = _standard.Semaphore
Value = _standard.Value
Array: Final = _standard.Array
Pipe: Final = _standard.Pipe
active_children: Final = _standard.active_children
current_process: Final = _standard.current_process
freeze_support: Final = _standard.freeze_support
shutdown: Final = _standard.shutdown
JoinableQueue = _standard.JoinableQueue
Queue = _standard.Queue


def Manager() -> ModuleType:
    """This module: among threads everything is shared already."""
    return sys.modules[__name__]


def Pool(
    processes: int | None = None, initializer: Callable[..., Any] | None = None, initargs: Iterable[Any] = ()
) -> ThreadPool:
    """A pool of `processes` threads of this process; None: one for each CPU."""
    from .pool import ThreadPool

    return ThreadPool(processes, initializer, initargs)
