"""The queue of chunks between the caller and the workers of a keyed map-reduce.

The caller fills it a little ahead, a few dozen chunks or a bounded number of bytes, so that an endless or large input
is never in memory. Chunks of plain items are sized by the measured time of an item, as everywhere in the pool.
"""

from __future__ import annotations

from time import perf_counter

from .. import _native
from .._store import Shared, shared_arena
from ..errors import PicklingError
from .chunks import next_size
from .feeds import Pieces, weigh
from .mapping import name_culprit

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .feeds import Items

__all__ = ["Feeder"]

WINDOW = 32  # chunks in the queue, 8 for each worker if that is more; arbitrary, some 30 ms of work each
FILL_S = 0.02  # the longest that one filling takes of a slow iterator, so that answers are looked at meanwhile
MOST_PIECES = 4096  # pieces in the queue: they are descriptions, a few hundred bytes each


class _Ring(_native.Ring, Shared):
    __slots__ = ()


class Feeder:
    """Makes chunks and keeps the queue filled."""

    def __init__(self, source: Items, workers: int, chunksize: int | None, ahead_bytes: int, *, shared: bool) -> None:
        """`ahead_bytes`: about what the queue may hold; two chunks for each worker are there however large.

        `shared`: the workers are processes.
        """
        self.source = source
        self._workers, self._chunksize, self._shared = workers, chunksize, shared
        self._ahead_bytes = ahead_bytes
        self._window = MOST_PIECES if isinstance(source, Pieces) else max(WINDOW, 8 * workers)
        self._again: list[int] = []  # chunks to be put again, the first one last
        self._largest = 1
        self._mean_bytes = 0  # of a chunk
        self._recent = (0, 0)  # items, and the nanoseconds they took, lately
        self._seen = (0, 0)
        self.queue: Any = self._new_queue()

    def _new_queue(self) -> Any:
        if self._shared:
            return _Ring(shared_arena())
        from ..queues import ThreadQueue

        return ThreadQueue()

    @property
    def waiting(self) -> int:
        """Chunks in the queue."""
        return int(self.queue.qsize())

    @property
    def complete(self) -> bool:
        """Nothing more is to be put in this round."""
        return self.source.exhausted and not self._again

    def again(self, chunks: Sequence[int]) -> None:
        """Begin another round, with these chunks, in a new queue: the old one may be cut off in the middle."""
        self.queue = self._new_queue()
        self._again = sorted(chunks, reverse=True)

    def measure(self, items: int, nanos: int) -> None:
        """So many items were mapped so far, in so much time of the workers. Less than before: a worker died."""
        new, time = items - self._seen[0], nanos - self._seen[1]
        if new > 0 and time > 0:
            self._recent = new, time
        self._seen = items, nanos

    def fill(self) -> list[int]:
        """Put what there is room for and return the numbers of the chunks put.

        Raises: PicklingError naming the item, ArenaFull, what the caller's iterator raises.
        """
        numbers: list[int] = []
        if self.complete:
            return numbers
        end = perf_counter() + FILL_S
        largest = 1
        while self._has_room():
            number, size = self._next()
            if number is None:
                break
            self._put(number)
            numbers.append(number)
            largest = max(largest, size)
            if perf_counter() > end:
                break
        self._largest = largest if numbers else self._largest
        if self.complete:
            self.queue.shutdown()
        return numbers

    def _has_room(self) -> bool:
        waiting = self.waiting
        if waiting >= self._window:
            return False
        return waiting < 2 * self._workers or waiting * self._mean_bytes < self._ahead_bytes

    def _next(self) -> tuple[int | None, int]:
        if self._again:
            return self._again.pop(), 1
        size = self._chunksize or next_size(self.source.left, self._workers, self._largest, *self._recent)
        return self.source.make(size), size

    def _put(self, number: int) -> None:
        chunk = self.source.chunk(number)
        _, first, items = chunk
        try:
            self.queue.put(chunk)
        except PicklingError as error:
            raise name_culprit(error, items, "items", first) from error.__cause__
        self._mean_bytes = (3 * self._mean_bytes + weigh(items)) // 4

    def wait_s(self) -> float:
        """For how long the queue needs no filling, about: until half of it was taken."""
        if self.complete:
            return 0.1
        items, nanos = self._recent
        if not items:
            return 0.001
        chunk_ns = nanos * (self._chunksize or self._largest) // items
        return min(0.05, max(0.0005, self.waiting * chunk_ns / self._workers / 2e9))

    def stop(self) -> None:
        """Nobody is to take any more."""
        self.queue.shutdown(True)
