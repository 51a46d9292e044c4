"""Threads of procession's own that are not there while it forks: a child would have their locks, and Python warns.

Each registers a block; they end when it is entered, and begin again behind it.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import ExitStack, contextmanager, suppress

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

__all__ = ["Resting", "at_rest", "await_end", "rest_while_forking"]

PATIENCE_S = 1.0  # how long a fork waits for a thread to come to rest; arbitrary, it is quick as a rule

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


class Resting:
    """One thread, which is there while it is wanted, and not while a child is forked; `paused` is to be registered.

    It ends its wait when the bell rings, and then itself, with `_thread` set to None, where there are `_pauses`.
    """

    _name: str

    def _begin(self) -> None:
        self._lock = threading.RLock()  # reentrant, for signals' handlers and the collector; held for moments only
        self._thread: threading.Thread | None = None
        self.bell: int = -1  # an eventfd that ends the thread's wait
        self._pauses = 0  # forks under way

    if TYPE_CHECKING:

        def _is_wanted(self) -> bool:
            """Under the lock: whether there is something to do."""

        def _run(self) -> None: ...

    def _ring(self) -> None:
        if self.bell >= 0:
            os.eventfd_write(self.bell, 1)

    def _run_again(self) -> None:
        """Under the lock: start the thread, if there is something to do and none is at it."""
        if self._thread is None and self._is_wanted() and not self._pauses:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            try:
                self._thread.start()
            except BaseException:
                self._thread = None
                raise

    @contextmanager
    def paused(self) -> Iterator[None]:
        """A block in which a child is forked, without the thread (but for one that forks, or does not come to rest)."""
        with self._lock:
            self._pauses += 1
            thread = self._thread
            if thread is not None:
                self._ring()
        if thread is not None:
            await_end(thread, PATIENCE_S)
        try:
            yield
        finally:
            with self._lock, suppress(RuntimeError):  # no room for a thread now: whoever wants it tries again
                self._pauses -= 1
                self._run_again()
