"""The queues of the thread context: `queue.Queue` with the names of the shared queues.

Objects are handed over as they are, not copied or encoded.
"""

from __future__ import annotations

import queue
from time import monotonic

from ._waits import is_wanted, wait_here
from .errors import Closed, Empty, Full, InvalidSize, ShutDown

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from .statistics import QueueStatistics

    _PlainQueue = queue.Queue[Any]
else:
    _PlainQueue = queue.Queue

__all__ = ["ThreadJoinableQueue", "ThreadQueue", "ThreadSimpleQueue", "bound", "check_max_bytes"]

MOST_ITEMS = 2**31 - 1  # counts in shared memory are compared mod 2**32


def bound(maxsize: int, name: str = "maxsize") -> int:
    """A bound as the rings have it, 0 for none. Raises: TypeError, InvalidSize."""
    if not isinstance(maxsize, int):
        raise TypeError(f"{name} must be an int, not {type(maxsize).__name__}")
    if maxsize > MOST_ITEMS:
        raise InvalidSize(f"{name} must be at most {MOST_ITEMS}, not {maxsize}; 0 is unbounded")
    return max(maxsize, 0)


def check_max_bytes(max_bytes: int) -> None:
    """Raises: InvalidSize for a negative number of bytes."""
    if max_bytes < 0:
        raise InvalidSize(f"max_bytes must be a number of bytes, or 0 for no bound, not {max_bytes}")


class ThreadQueue(_PlainQueue):
    """The thread context's Queue: objects are handed over as they are, with the names of the shared one."""

    unfinished_tasks: int

    def __init__(self, maxsize: int = 0, *, max_bytes: int = 0) -> None:
        """`max_bytes` is checked and otherwise ignored: nothing is encoded here, so there are no bytes to count."""
        super().__init__(bound(maxsize))
        check_max_bytes(max_bytes)
        if is_wanted():
            from ._store import private_arena

            private_arena()  # or its waits would stand in no table
        self.is_shutdown: bool = False  # whether `shutdown` was called; the standard library's name from 3.13 on
        self.closed: bool = False  # whether `close` was called

    def __repr__(self) -> str:
        return f"<{type(self).__name__}({self.qsize()} items, {self.maxsize or 'unbounded'})>"

    def statistics(self) -> QueueStatistics:
        """A snapshot. Counts of items ever put and taken are not kept here and read 0."""
        waiters = len(self.not_empty._waiters) + len(self.not_full._waiters)  # type: ignore[attr-defined]
        from .statistics import QueueStatistics

        return QueueStatistics(self.qsize(), 0, 0, 0, waiters, self.is_shutdown)

    def put(self, obj: Any, block: bool = True, timeout: float | None = None) -> None:
        """As `queue.Queue.put`; Full is also a `procession` error, and a shut-down queue raises ShutDown."""
        timeout = None if timeout is None else max(timeout, 0.0)
        end = None if timeout is None else monotonic() + timeout
        self._check_open()
        with self.not_full:
            while not self.is_shutdown and 0 < self.maxsize <= self._qsize():
                left = None if end is None else end - monotonic()
                if not block or (left is not None and left <= 0):
                    raise Full("the queue is full")
                wait_here(self.not_full, left, "put", self)
            if self.is_shutdown:
                raise ShutDown("the queue was shut down: nothing more can be put")
            self._put(obj)
            self.unfinished_tasks += 1
            self.not_empty.notify()

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """As `queue.Queue.get`; Empty is also a `procession` error; shut down and empty raises ShutDown."""
        end = None if timeout is None else monotonic() + max(timeout, 0.0)
        self._check_open()
        with self.not_empty:
            while not self._qsize():
                if self.is_shutdown:
                    raise ShutDown("the queue was shut down and is empty")
                left = None if end is None else end - monotonic()
                if not block or (left is not None and left <= 0):
                    raise Empty("the queue is empty")
                wait_here(self.not_empty, left, "get", self)
            item = self._get()
            self.not_full.notify()
            return item

    async def get_async(self, timeout: float | None = None) -> Any:
        """In asyncio: as `get`, without blocking the loop. A cancelled wait has taken nothing.

        Raises: Empty after `timeout` seconds; as `get`.
        """
        from ._waiting import thread_queue_get

        return await thread_queue_get(self, timeout)

    async def put_async(self, obj: Any, timeout: float | None = None) -> None:
        """In asyncio: as `put`, without blocking the loop. A cancelled wait has put nothing.

        Raises: Full after `timeout` seconds; as `put`.
        """
        from ._waiting import thread_queue_put

        await thread_queue_put(self, obj, timeout)

    def put_many(self, objects: Iterable[Any], block: bool = True, timeout: float | None = None) -> int:
        """Put every object; returns how many were put within `timeout` seconds. Raises: Full if none was; as `put`."""
        end = None if timeout is None else monotonic() + timeout
        count = 0
        for obj in objects:
            try:
                self.put(obj, block, None if end is None else end - monotonic())
            except Full:
                if count == 0:
                    raise
                break
            count += 1
        return count

    def get_many(self, max_items: int = 1024, block: bool = True, timeout: float | None = None) -> list[Any]:
        """Take up to `max_items`; waits only for the first, `timeout` seconds at most. Raises: as `get`."""
        if max_items <= 0:
            return []
        items = [self.get(block, timeout)]
        while len(items) < max_items:
            try:
                items.append(self.get(False))
            except (Empty, ShutDown):
                break
        return items

    def shutdown(self, immediate: bool = False) -> None:
        """Let nothing more be put; `immediate` also drops what is there, as done."""
        with self.mutex:
            self.is_shutdown = True
            while immediate and self._qsize():
                self._get()
                self.unfinished_tasks -= 1
            if not self.unfinished_tasks:
                self.all_tasks_done.notify_all()
            self.not_empty.notify_all()
            self.not_full.notify_all()

    def close(self) -> None:
        """The queue is used no more: `put` and `get` raise Closed, in every thread."""
        self.closed = True

    def _check_open(self) -> None:
        if self.closed:
            raise Closed("this queue is closed: close() was called on it")

    def join_thread(self) -> None:
        """Nothing to wait for; the shared queue's name."""

    def cancel_join_thread(self) -> None:
        """Nothing to cancel; the shared queue's name."""


class ThreadJoinableQueue(ThreadQueue):
    """The thread context's JoinableQueue."""

    def join(self, timeout: float | None = None) -> None:
        """Wait until every item put was done with. Raises TimeoutError after `timeout` seconds."""
        with self.all_tasks_done:
            end = None if timeout is None else monotonic() + timeout
            while self.unfinished_tasks and ((left := None if end is None else end - monotonic()) is None or left > 0):
                wait_here(self.all_tasks_done, left, "finish", self)
            if self.unfinished_tasks:
                raise TimeoutError(f"{self.unfinished_tasks} items were not done with after {timeout} s")


class ThreadSimpleQueue(ThreadQueue):
    """The thread context's SimpleQueue."""

    def __init__(self) -> None:
        super().__init__(0)
