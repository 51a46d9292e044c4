"""Items of a queue, and room in it."""

from __future__ import annotations

import weakref
from functools import partial

from ..errors import Empty, Full, TooManyWaiters
from .line import Line, in_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["queue_get", "queue_put", "thread_queue_get", "thread_queue_put"]


class _Items(Line):
    """For the items of a queue in shared memory."""

    def descriptor(self) -> int:
        try:
            return int(self.thing.watch())
        except TooManyWaiters:  # the ring has places for so many processes
            return -1

    def may_have_more(self) -> bool:
        return not self.thing.empty() or bool(self.thing.is_shutdown)


class _Room(Line):
    """For room in a bounded queue in shared memory."""

    def descriptor(self) -> int:
        """None where the bound is one of bytes: the ring tells of room for something, not for this."""
        if not self.thing.full():
            return -1
        try:
            return int(self.thing.watch_room())
        except TooManyWaiters:
            return -1

    def may_have_more(self) -> bool:
        return not self.thing.full() or bool(self.thing.is_shutdown)


async def queue_get(queue: Any, timeout: float | None) -> Any:
    """An item of a queue in shared memory. Raises: Empty after `timeout` seconds, and as `get`."""
    return await in_line(_Items, queue, partial(queue.get, False), Empty, timeout)


async def queue_put(queue: Any, obj: Any, timeout: float | None) -> None:
    """Put into a queue in shared memory. Raises: Full after `timeout` seconds, and as `put`."""

    def attempt() -> None:
        if queue.full() and not queue.is_shutdown and not queue.closed:
            raise Full("the queue is full")  # without encoding the object for nothing
        queue.put(obj, False)

    await in_line(_Room, queue, attempt, Full, timeout)


class _Bell:
    """What stands at a Condition in place of a thread's lock: `notify` takes the first and calls its `release`.

    Of a Condition's inner life this relies on `_waiters`, and on `notify` going on to the next one after a
    RuntimeError: that of a closed loop, or ours when the loop is gone altogether.
    """

    __slots__ = ("_line",)

    def __init__(self, line: Line) -> None:
        self._line = weakref.ref(line)

    def release(self) -> None:
        """Called in any thread."""
        line = self._line()
        if line is None:
            raise RuntimeError("nobody waits here any more")
        line.loop.call_soon_threadsafe(line.ring)


class _AtCondition(Line):
    """For a queue of threads: stands at its Condition as the threads do that wait there, and is notified as they."""

    def __init__(self, loop: Any, thing: Any, condition: Any) -> None:
        super().__init__(loop, thing)
        self._condition = condition
        self._bell = _Bell(self)

    def descriptor(self) -> None:
        with self._condition:
            if self.may_have_more():
                self.loop.call_soon(self.ring)
            elif self._bell not in self._condition._waiters:
                self._condition._waiters.append(self._bell)

    def deserted(self) -> None:
        with self._condition:
            try:
                self._condition._waiters.remove(self._bell)
            except ValueError:  # was notified, and the word may be meant for somebody else now
                if self.may_have_more():
                    self._condition.notify()


class _ThreadItems(_AtCondition):
    def __init__(self, loop: Any, thing: Any) -> None:
        super().__init__(loop, thing, thing.not_empty)

    def may_have_more(self) -> bool:
        return bool(self.thing._qsize()) or bool(self.thing.is_shutdown)


class _ThreadRoom(_AtCondition):
    def __init__(self, loop: Any, thing: Any) -> None:
        super().__init__(loop, thing, thing.not_full)

    def may_have_more(self) -> bool:
        return not 0 < self.thing.maxsize <= self.thing._qsize() or bool(self.thing.is_shutdown)


async def thread_queue_get(queue: Any, timeout: float | None) -> Any:
    """An item of a thread context's queue."""
    return await in_line(_ThreadItems, queue, partial(queue.get, False), Empty, timeout)


async def thread_queue_put(queue: Any, obj: Any, timeout: float | None) -> None:
    """Put into a thread context's queue."""
    await in_line(_ThreadRoom, queue, partial(queue.put, obj, False), Full, timeout)
