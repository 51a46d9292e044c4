"""The names of multiprocessing for threads: the standard library's `multiprocessing.dummy`, with our pool of threads.

Kept for programs that have it; `procession.get_context("thread")` has more names, and results and clear errors.
"""

from __future__ import annotations

import sys
from multiprocessing.dummy import (  # type: ignore[attr-defined]
    Array,
    Barrier,
    BoundedSemaphore,
    Condition,
    DummyProcess,
    Event,
    JoinableQueue,
    Lock,
    Namespace,
    Pipe,
    Process,
    Queue,
    RLock,
    Semaphore,
    Value,
    active_children,
    connection,
    current_process,
    dict,
    freeze_support,
    list,
    shutdown,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType
    from typing import Any

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


def Manager() -> ModuleType:
    """This module: among threads everything is shared already."""
    return sys.modules[__name__]


def Pool(
    processes: int | None = None, initializer: Callable[..., Any] | None = None, initargs: Iterable[Any] = ()
) -> ThreadPool:
    """A pool of `processes` threads of this process; None: one for each CPU."""
    from .pool import ThreadPool

    return ThreadPool(processes, initializer, initargs)
