"""Who started whom, where deadlocks are looked for: what ended before something else began cannot meet it.

For each thread of this process that began since: when that was, and which threads, here and in the processes before
this one, came first. `threading.Thread` is watched for it, and forks; of a spawned process only its parent is known.
"""

from __future__ import annotations

import os
import threading
from multiprocessing import process
from time import CLOCK_BOOTTIME, clock_gettime_ns, monotonic_ns

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["Ancestors", "descent", "watch"]

Ancestors = tuple[tuple[int, int], ...]
"""Pid and ident of each, an ident of 0 for any thread."""

_TICKS = 100  # of the kernel's times, in a second


def _birth() -> int:
    """When this process began, at the latest: the kernel tells it to the hundredth of a second."""
    now = monotonic_ns()
    try:
        with open("/proc/self/stat", "rb") as file:
            ticks = int(file.read().rpartition(b")")[2].split()[19])
        asleep = clock_gettime_ns(CLOCK_BOOTTIME) - now  # the kernel counts what the machine slept
        return min(now, (ticks + 1) * 10**9 // _TICKS - asleep)
    except (OSError, ValueError, IndexError):
        return now


_born = _birth()
_watched = False
_before: Ancestors = ()  # who came before this process


def descent(thread: threading.Thread) -> tuple[int, Ancestors]:
    """When it began, nanoseconds of the monotonic clock, and who came before it."""
    born, before = getattr(thread, "_procession_descent", (0, ()))
    parent = process.parent_process()
    came = _before or (() if parent is None or parent.pid is None else ((parent.pid, 0),))
    return max(born, _born), (*before, *came)


def _after_fork() -> None:
    global _born, _before
    thread = threading.current_thread()
    _, before = descent(thread)
    _born, _before = monotonic_ns(), (*before, (os.getppid(), thread.ident or 0))


def watch(join_thread: Callable[[Callable[[float | None], object], Any, float | None], None]) -> Any:
    """Begin. Joins go through `join_thread`. Gives `descent`."""
    global _watched
    if _watched:
        return descent
    _watched = True
    os.register_at_fork(after_in_child=_after_fork)
    standard_start, standard_join = threading.Thread.start, threading.Thread.join

    def start(self: threading.Thread) -> None:
        here = threading.current_thread()
        before = (*descent(here)[1], (os.getpid(), here.ident or 0))
        self._procession_descent = monotonic_ns(), before  # type: ignore[attr-defined]
        standard_start(self)

    def join(self: threading.Thread, timeout: float | None = None) -> None:
        if self.ident is None or self is threading.current_thread():
            standard_join(self, timeout)  # let it say what is wrong
        else:
            join_thread(lambda timeout: standard_join(self, timeout), self, timeout)

    def join_the_rest() -> None:
        for thread in threading.enumerate():
            if not thread.daemon and thread is not threading.current_thread():
                thread.join()

    # At the end the interpreter waits for all threads that are not daemons, and in no way that others could see. What
    # is raised here ends that, so that a program in which one is stuck ends. First in the list, which is called from
    # its end: concurrent.futures tells its threads there that no more comes.
    threading._threading_atexits.insert(0, join_the_rest)  # type: ignore[attr-defined]
    threading.Thread.start = start  # type: ignore[method-assign]
    threading.Thread.join = join  # type: ignore[method-assign]
    return descent
