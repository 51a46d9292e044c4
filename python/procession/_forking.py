"""Threads of procession's own that are not there while it forks: a child would have their locks, and Python warns.

Each registers a block; they end when it is entered, and begin again behind it.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import ExitStack, contextmanager

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

__all__ = ["at_rest", "await_end", "rest_while_forking"]

_pauses: list[Callable[[], AbstractContextManager[None]]] = []


def rest_while_forking(pause: Callable[[], AbstractContextManager[None]]) -> None:
    """Have this block entered whenever procession forks a child: a thread of its own is not there meanwhile."""
    _pauses.append(pause)


@contextmanager
def at_rest() -> Iterator[None]:
    """A block in which a child is forked, without the threads that said so."""
    with ExitStack() as stack:
        for pause in _pauses:
            stack.enter_context(pause())
        yield


def await_end(thread: threading.Thread, timeout: float) -> None:
    """Wait until a thread is gone, for the kernel too (which Python asks when it warns of a fork). Never for itself."""
    if thread is threading.current_thread():
        return
    thread.join(timeout)
    if not thread.is_alive():
        for _ in range(100):  # it takes some 10 us more
            if not os.path.exists(f"/proc/self/task/{thread.native_id}"):
                break
            time.sleep(0.0001)
