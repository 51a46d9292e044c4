"""Results of a pool.

A pool has no thread that reads answers: whoever waits does. A loop in which results are awaited takes part in that as
the threads do. When the ring of answers has something (or a worker may have ended, twenty times a second) it reads, for
everybody; when a thread is at it, it leaves the reading to the thread and is told.
"""

from __future__ import annotations

import os
import weakref
from collections import deque
from contextlib import suppress
from functools import partial
from threading import Lock, get_ident

from .alarm import Alarm, alarm_for, breathe

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from typing import Any

    _Future = asyncio.Future[None]

__all__ = ["pool_next", "pool_result"]

WORKERS_S = 0.05  # how often the workers are looked after, as by threads that wait (`pool.supervisor`)
_PENDING = object()


_booking = Lock()  # for changes of a pool's `awaited` by several loops; the pool pops entries without it
os.register_at_fork(after_in_child=_booking._at_fork_reinit)  # type: ignore[attr-defined]


def _enter(awaited: dict[Any, Any], job: Any, tell: Callable[[], None]) -> None:
    """Have `tell` called when a job is ready. Entries are replaced, not changed: a reader may be at the old one."""
    with _booking:
        awaited[job] = (*awaited.get(job, ()), tell)


def _leave(awaited: dict[Any, Any], job: Any, tell: Callable[[], None]) -> None:
    """The opposite. An entry popped meanwhile may have come back by this, so all in it are told, perhaps twice."""
    with _booking:
        rest = tuple(other for other in awaited.get(job, ()) if other is not tell)
        if rest:
            awaited[job] = rest
        else:
            awaited.pop(job, None)
    if _is_ready(job):
        for other in awaited.pop(job, ()):
            other()


class _Teller:
    """What a pool calls, in any thread. It does not keep the desk alive, nor the desk's loop."""

    __slots__ = ("_desk", "_is_answer")

    def __init__(self, desk: _Desk, is_answer: bool) -> None:
        self._desk, self._is_answer = weakref.ref(desk), is_answer

    def __call__(self) -> None:
        desk = self._desk()
        if desk is not None:
            desk.tell(self._is_answer)


class _Desk(Alarm):
    """One loop's part in the affairs of one pool; `thing` is the pool's supervisor."""

    period_s = WORKERS_S

    def __init__(self, loop: asyncio.AbstractEventLoop, thing: Any) -> None:
        super().__init__(loop, thing)
        self._thread = get_ident()
        self._waiting: set[_Future] = set()
        self._streams: set[_Future] = set()  # those of `_waiting` that want to know of every answer
        self._finished: deque[_Future] = deque()  # those whose result is there
        self._told = False  # `_be_told` will run
        self._unread = False  # and there are answers to read
        self._looking = False
        self._read_teller, self._answer_teller = _Teller(self, False), _Teller(self, True)
        self._hired = False

    def __del__(self) -> None:
        self._quit()
        super().__del__()

    async def result(self, job: Any) -> None:
        """Wait until a job is ready. Raises: the error its pool broke with."""
        ready = partial(_is_ready, job)
        while not ready():
            future = self.loop.create_future()
            tell = partial(self._finish, future)
            _enter(self.thing.awaited, job, tell)
            try:
                await self._wait(future, ready)
            finally:
                _leave(self.thing.awaited, job, tell)

    async def change(self, may_go_on: Callable[[], bool]) -> None:
        """Wait until there is something for an iterator. Raises: the error its pool broke with."""
        while not may_go_on():
            future = self.loop.create_future()
            self._streams.add(future)
            try:
                await self._wait(future, may_go_on)
            finally:
                self._streams.discard(future)

    async def _wait(self, future: _Future, ready: Callable[[], bool]) -> None:
        if (error := self.thing.useless()) is not None and not ready():
            raise error.with_traceback(None)
        self._waiting.add(future)
        try:
            if len(self._waiting) == 1:
                self.arm(afresh=True)
            if not ready():  # now that everybody will tell us
                await future
        finally:
            self._waiting.discard(future)

    # In any thread

    def tell(self, unread: bool = False) -> None:
        """Somebody has read answers, or there are some to read."""
        self._unread |= unread
        if self._told or (self._looking and get_ident() == self._thread):
            return
        self._told = True
        with suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(self._be_told)

    def _finish(self, future: _Future) -> None:
        self._finished.append(future)
        self.tell()

    # In the loop

    def descriptor(self) -> int | None:
        """That of the answers."""
        fd: int | None = self.thing.engine.watch(self._answer_teller)
        if not self._hired:
            self._hired = True
            self.thing.watchers.append(self._read_teller)
            if fd is None:
                self.loop.call_soon(self.ring)  # nobody has told of the answers that are there already
        return fd

    def is_wanted(self) -> bool:
        """Whether anything is awaited."""
        return bool(self._waiting)

    def ring(self) -> None:
        """Read, as the leader if there is none; otherwise leave it to the leader, who tells."""
        self._looking = True
        try:
            was_leader = self.thing.look()
        except Exception as error:  # a worker could not be replaced, say: as in `wait`, those who wait are told
            self._fail(error)
            return
        finally:
            self._looking = False
        if was_leader:
            self.arm()
        else:
            self.ignore()
        self._note()

    def stop(self) -> None:
        """Leave the pool to itself."""
        super().stop()
        self._quit()

    def _be_told(self) -> None:
        self._told = False  # first: what is told from here on brings another call
        if self._unread:
            self._unread = False
            self.ring()
            return
        self._note()
        if self._waiting:
            self.arm(afresh=True)

    def _note(self) -> None:
        """Wake those who have got something."""
        while self._finished:
            _wake(self._finished.popleft())
        for future in self._streams:
            _wake(future)
        if self._waiting and self.thing.useless() is not None:
            for future in self._waiting:
                _wake(future)

    def _fail(self, error: Exception) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_exception(error)

    def _quit(self) -> None:
        if self._hired:
            self._hired = False
            with suppress(ValueError):
                self.thing.watchers.remove(self._read_teller)
            self.thing.engine.unwatch(self._answer_teller)


def _is_ready(job: Any) -> bool:
    return job.done and job._callbacks is None


def _wake(future: _Future) -> None:
    if not future.done():
        future.set_result(None)


async def pool_result(job: Any) -> Any:
    """What a call on a pool returned. Raises: as `get`."""
    await breathe()
    if not _is_ready(job):
        desk: _Desk = alarm_for(_Desk, job._core)
        await desk.result(job)
    return job.get()


async def pool_next(results: Any) -> Any:
    """The next result of an imap. Raises: StopAsyncIteration at the end, and as `next`."""
    await breathe()
    while True:
        try:
            value = results.next_nowait(_PENDING)
        except StopIteration:
            raise StopAsyncIteration from None
        if value is not _PENDING:
            return value
        desk: _Desk = alarm_for(_Desk, results._core)
        await desk.change(results._may_go_on)
