"""What `imap` and `imap_unordered` return: iterators that read their input a little ahead.

Answers come as they come and are kept until it is their turn. What is on its way or kept is bounded, in tasks and in
bytes, so an input may be endless and a consumer slow.
"""

from __future__ import annotations

import threading
from itertools import islice

from .. import _native
from .._blame import shorten
from ..errors import ArenaFull, PicklingError, TimeoutError
from .results import AHEAD, MANY, NO_LIMITS, ONE, STREAM, describe_item, failure, name_of, new_job
from .state import DIED, VALUE

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .limits import Limits
    from .supervisor import Supervisor

__all__ = ["IMapIterator", "IMapUnorderedIterator"]

_PENDING = object()
READ_AHEAD = 64  # tasks of an imap on their way or waiting to be given; 8 for each worker if that is more


class IMapIterator(_native.Job):
    """Results in the order of the input, which is read only so far ahead: 64 tasks, or 8 for each worker if more.

    Of large arguments and results fewer: about 64 MiB, but always a task for each worker and one in reserve.
    """

    __slots__ = (
        "__weakref__",
        "_at",
        "_callbacks",
        "_chunksize",
        "_core",
        "_current",
        "_function",
        "_input",
        "_kept",
        "_kind",
        "_left",
        "_limits",
        "_lock",
        "_next",
        "_ready",
        "_tries",
        "_window",
    )

    _is_divisible = True

    def __new__(cls, pool: Any = None) -> IMapIterator:
        """One to be filled through `begin`, or by the tasks that the caller puts into a pool's `_taskqueue`."""
        self: IMapIterator = new_job(cls)
        return self

    def begin(
        self,
        core: Supervisor,
        function: Any,
        iterable: Any,
        chunksize: int,
        limits: Limits = NO_LIMITS,
        kind: int = ONE,
    ) -> IMapIterator:
        """Submit the first tasks. Raises: TypeError for what is not iterable, PicklingError for the function."""
        core.engine.functions.check(function)
        self._limits, self._kind = limits, kind | limits.kind
        self._tries: dict[int, int] | None = None  # by item: how often it took a worker along
        self._core, self._function, self._chunksize = core, function, chunksize
        self._callbacks: None = None
        self._input: Iterator[Any] | None = iter(iterable)
        self._at = 0  # items read
        self._kept: dict[int, Any] = {}  # chunks, or items, of which not all was given, by index
        self._left: dict[int, int] = {}  # items of these that were not given, of those where some were
        self._ready: dict[int, Any] = {}  # answers not given yet, in the order they came
        self._current: Iterator[Any] = iter(())  # results of the chunk now being given
        self._next = 0
        self._window = max(READ_AHEAD, 8 * core.size)
        self._lock = threading.RLock()
        core.feeding.add(self)
        self._feed()
        return self

    def __iter__(self) -> IMapIterator:
        return self

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {name_of(self._function)} ({self._at} items read)>"

    def __aiter__(self) -> IMapIterator:
        return self

    async def __anext__(self) -> Any:
        """In asyncio: as `next`, without blocking the loop. Cancelling loses nothing."""
        from .._waiting import pool_next

        return await pool_next(self)

    def next_nowait(self, pending: Any) -> Any:
        """The next result, `pending` if it is not there yet. Raises: as `next`."""
        with self._lock:
            for result in self._current:
                return result
            for arrival in self.take():
                self._ready[arrival[0]] = arrival
            self._feed()
            index = self._choose()
            if index in self._ready:
                return self._give(*self._ready.pop(index))
            if self.done and not self.has_arrived and not self._ready:
                raise StopIteration
        return pending

    def next(self, timeout: float | None = None) -> Any:
        """The next result. Blocks until it is there, or for `timeout` seconds.

        Raises: what the function raised for that item (the iteration may go on behind it); StopIteration at the end;
        TimeoutError, and then nothing is lost.
        """
        while (result := self.next_nowait(_PENDING)) is _PENDING:
            if not self._core.wait(self._may_go_on, timeout):
                raise TimeoutError(f"{self!r} gave nothing within {timeout} seconds")
        if self._core.catch_up is not None:
            self._core.catch_up()
        return result

    __next__ = next

    def describe(self, index: int, items: int, offset: int = 0) -> str:
        """Name a task, or an item of it, for a message."""
        first = index - index % self._chunksize
        kept = self._kept.get(first)
        item = describe_item(kept, index + offset - first) if items else shorten(kept)
        return f"{name_of(self._function)}({item}), item {index + offset}"

    def again(self, core: Supervisor, index: int, items: int) -> None:
        """Submit what a dead worker took along. Raises: as the pool's `submit`."""
        first = index - index % self._chunksize
        kept = self._kept[first]
        payload = kept[index - first : index - first + items] if items else kept
        core.submit(self, self._function, self._kind | (MANY | STREAM if items else 0), index, (payload,))

    def cancel(self) -> bool:
        """End what is on its way, as `AsyncResult.cancel`; read no more input. False: there was nothing to cancel.

        What is there can still be taken; where an item, or a chunk of them, was not answered CancelledError is raised.
        """
        with self._lock:
            if self._input is not None:
                self._input = None
                self._core.feeding.discard(self)
                self.seal()
            return self._core.cancel(self)

    def feed_all(self) -> None:
        """Submit all that is left: the pool is closed and joined."""
        with self._lock:
            while self._input is not None:
                self._submit(self._window)

    def abandon(self) -> None:
        """Nobody wants more of it."""
        with self._lock:
            self._input = None
            self._core.feeding.discard(self)
            self._core.drop(self)

    # What programs read of a standard iterator

    @property
    def _job(self) -> IMapIterator:
        """The name of the job in `Pool._cache`: itself."""
        return self

    @property
    def _index(self) -> int:
        """Items answered. Who asks counts instead of taking results: so the next ones are submitted nevertheless."""
        self._core.look()
        with self._lock:
            if self._input is not None and 2 * self.outstanding <= self._window:
                self._submit(self._window - self.outstanding)
        return int(self.measured[0])

    @property
    def _length(self) -> int | None:
        """Items of the input, once it is exhausted."""
        return self._at if self._input is None else None

    def _set_length(self, length: int) -> None:
        """Nothing: the end of the input tells."""

    # Inside

    def _choose(self) -> int:
        """Which answer to give next."""
        return self._next

    def _may_go_on(self) -> bool:
        return self.has_arrived or self.done

    def _give(self, index: int, items: int, status: int, told: Any) -> Any:
        self._next = index + max(items, 1)
        what = self.describe(index, items) if status != VALUE else ""
        self._let_go(index, items)
        if status != VALUE:
            raise failure(status, told, what)
        if not items:
            return told
        self._current = iter(told)
        return next(self._current)

    def _let_go(self, index: int, items: int) -> None:
        """So many items are given: keep their chunk no longer than until its last one."""
        first = index - index % self._chunksize
        if items and first in self._kept:
            left = self._left.pop(first, len(self._kept[first])) - items
            if left > 0:
                self._left[first] = left
                return
        self._kept.pop(first, None)

    def _feed(self) -> None:
        """Read on when less than half of the tasks allowed are on their way or wait to be given."""
        while self._input is not None:
            window = self._allowed()
            room = window - self.outstanding - len(self._ready)
            if 2 * room <= window:
                return
            self._submit(room)

    def _allowed(self) -> int:
        """Tasks that may be on their way or wait: few until it is known how large they are, and few large ones."""
        least = min(self._core.size + 1, self._window)
        tasks = -(-self._at // self._chunksize)
        if not tasks:
            return least
        _, sent, come = self.bytes
        each = (sent + come) // tasks
        return max(least, min(self._window, AHEAD // max(each, 1)))

    def _submit(self, tasks: int) -> None:
        items: list[Any] = []
        error: Exception | None = None
        wanted = tasks * self._chunksize
        try:
            items.extend(islice(self._input, wanted))  # type: ignore[arg-type]
        except Exception as raised:
            error = raised
        size = self._chunksize
        if error is not None:
            del items[len(items) - len(items) % size :]  # a chunk is whole or not at all, as in the standard library
        chunks = items if size == 1 else [items[at : at + size] for at in range(0, len(items), size)]
        first, self._at = self._at, self._at + len(items)
        for place, chunk in enumerate(chunks):
            self._kept[first + place * size] = chunk
        kind = self._kind if size == 1 else self._kind | MANY | STREAM
        try:
            self._core.submit(self, self._function, kind, first, chunks)
        except (PicklingError, ArenaFull):
            self._submit_singly(kind, first, chunks)
        if error is not None:
            self._fail(self._at, 0, error)
        if error is not None or len(items) < wanted:
            self._input = None
            self._core.feeding.discard(self)
            self.seal()

    def _submit_singly(self, kind: int, first: int, chunks: list[Any]) -> None:
        """One of these cannot be pickled, or shared memory is full: that one fails, in its place."""
        for place, chunk in enumerate(chunks):
            index = first + place * self._chunksize
            try:
                self._core.submit(self, self._function, kind, index, [chunk])
            except (PicklingError, ArenaFull) as error:
                self._fail(index, len(chunk) if kind & MANY else 0, error)

    def _fail(self, index: int, items: int, error: Exception) -> None:
        self.expect(1)
        self.arrive(index, items, DIED, error, 0)


class IMapUnorderedIterator(IMapIterator):
    """Results as they come. The input is read only so far ahead."""

    __slots__ = ()

    def _choose(self) -> int:
        return next(iter(self._ready), -1)
