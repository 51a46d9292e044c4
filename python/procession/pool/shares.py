"""What the workers of a keyed map-reduce are called with: a share of the map, a range of the reduce.

A share takes chunks until none is left, or until it is time to return (see `rounds`): its table was full, other tasks
wait for a worker and there is no chunk just now, or the caller asks. Its runs count only when it has returned.
"""

from __future__ import annotations

import threading
from itertools import islice
from multiprocessing import parent_process
from time import perf_counter_ns

from .. import _native
from ..errors import Empty, ShutDown
from ..gather.reducers import Batches
from .board import (
    BYTES,
    CHUNK,
    COMMIT,
    ITEM,
    ITEMS,
    MAPPING,
    NANOS,
    PAIRS,
    PID,
    REDUCING,
    SPILLED,
    STATE,
    STOP,
    WAITING,
    WRITING,
)
from .worker import _OrphanCheck

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from dataclasses import dataclass
    from typing import Any

    from ..gather.reducers import Reducer
    from ..gather.spool import Spool
    from .board import Board
else:
    from ._record import dataclass

__all__ = ["MapShare", "MapWork", "Mapped", "Mapper", "MergeRange", "MergeWork", "merge"]

SLICE = 4096  # pairs taken of an iterator at once; arbitrary
LOOK_S = 0.02  # how often a share without a chunk looks whether its worker is wanted elsewhere
_TEXTS = ({str}, {bytes})


@dataclass(frozen=True)
class MapWork:
    """A share: everything about it that is not the same for the next one."""

    slot: int
    most: int  # chunks to return after, 0 for no bound
    queue: Any  # of chunks
    board: Board
    spool: Spool
    table_bytes: int
    tasks: Any  # the pool's tasks: has `qsize`


@dataclass(frozen=True)
class Mapped:
    """What a share returns."""

    chunks: list[int]
    runs: list[bytes]
    items: int
    bytes: int
    pairs: int


class MapShare:
    """What a worker calls for a share. The same for all shares with this function, so it is sent once."""

    def __init__(self, function: Callable[[Any], Any], reducer: Reducer, reader: Any) -> None:
        """`reader`: the divided input that reads pieces; None for plain items."""
        self.function: Callable[[Any], Any] = function
        self.reducer: Reducer = reducer
        self.reader: Any = reader
        self.__qualname__ = f"map_reduce_by_key of {getattr(function, '__qualname__', function)}"

    def __call__(self, work: MapWork) -> Mapped:
        try:
            return _Sharing(self, work).run()
        finally:
            work.spool.release()


class Mapper:
    """Maps chunks, combines what they give in a table, and keeps account of both in a line of words (see `board`)."""

    def __init__(self, share: MapShare, spool: Spool, table_bytes: int, words: Any, line: Any) -> None:
        """`words`: those for all; what is mapped ends at the next item when the one at STOP is set."""
        reducer = share.reducer
        self._function, self._reader, self._spool = share.function, share.reader, spool
        self._words, self._line = words, line
        self._combiner = _native.Combiner(reducer.name, reducer.n, reducer.combine, spool.fd, table_bytes)
        self._done: list[int] = []

    def map(self, number: int, first: int, items: Sequence[Any]) -> None:
        """Map a chunk. Raises: what the map function and the reader raise, SpillFull."""
        line, words, began = self._line, self._words, perf_counter_ns()
        line[ITEM] = 0
        line[CHUNK], line[STATE] = number + 1, MAPPING
        texts = items if self._reader is None else self._texts(items)
        function, place = self._function, 0
        for place, item in enumerate(texts, 1):
            produced = function(item)
            self._combine(produced, first + place - 1)
            line[ITEM] = place
            if words[STOP]:
                return
        line[CHUNK] = 0
        line[ITEMS] += place
        if self._reader is None:
            line[BYTES] += _size(items)
        line[NANOS] += perf_counter_ns() - began
        line[PAIRS], line[SPILLED] = self._combiner.pairs, self._combiner.spilled_bytes
        self._done.append(number)

    def finish(self) -> Mapped:
        """Write what is in the table, as the last run. Raises: SpillFull."""
        line, combiner = self._line, self._combiner
        line[STATE] = WRITING
        self._spool.fill(combiner.flush)
        line[STATE] = WAITING
        return Mapped(self._done, combiner.runs, line[ITEMS], line[BYTES], combiner.pairs)

    def _texts(self, pieces: Sequence[Any]) -> Any:
        line = self._line
        for piece in pieces:
            for text in self._reader.read(piece):
                yield text
                line[BYTES] += _length(text)

    def _combine(self, produced: Any, order: int) -> None:
        add = self._combiner.add
        if hasattr(produced, "__next__"):
            self._combine_slices(produced, order)
            return
        if type(produced) is Batches:
            for batch in produced:
                self._spool.fill(add, batch, order)
            return
        try:
            add(produced, order)
        except OSError as error:
            raise self._spool.full(error) from None

    def _combine_slices(self, produced: Any, order: int) -> None:
        """A slice at a time, with a look whether to stop: it may go on for ever."""
        words = self._words
        while not words[STOP] and (batch := list(islice(produced, SLICE))):
            self._spool.fill(self._combiner.add, batch, order)


class _Sharing(Mapper):
    """A share being done."""

    def __init__(self, share: MapShare, work: MapWork) -> None:
        super().__init__(share, work.spool, work.table_bytes, work.board.words, work.board.line(work.slot))
        self._work, self._wanted = work, self._words[COMMIT]
        self._is_orphan = _OrphanCheck() if parent_process() is not None else None

    def run(self) -> Mapped:
        """Do it. Raises: what the map function raises, SpillFull."""
        combiner, table_bytes = self._combiner, self._work.table_bytes
        self._line[PID] = threading.get_native_id()
        while not self._is_wanted_back():
            message = self._take()
            if message is None:
                break
            self.map(*message)
            if combiner.spilled_bytes or combiner.nbytes * 8 > table_bytes * 7:
                break  # now, and not at the limit: or each share would write a large run and a tiny one
        return self.finish()

    def _is_wanted_back(self) -> bool:
        words, most = self._words, self._work.most
        return bool(words[STOP]) or words[COMMIT] != self._wanted or 0 < most <= len(self._done)

    def _take(self) -> tuple[int, int, Sequence[Any]] | None:
        """The next chunk; None when there is no more, or the worker is wanted elsewhere before there is."""
        queue = self._work.queue
        if self._is_orphan and self._is_orphan():
            return None
        while True:
            try:
                chunk: tuple[int, int, Sequence[Any]] = queue.get(True, LOOK_S)
                return chunk
            except ShutDown:
                return None
            except Empty:
                self._line[STATE] = WAITING
                if self._is_wanted_back() or self._work.tasks.qsize() or (self._is_orphan and self._is_orphan()):
                    return None


@dataclass(frozen=True)
class MergeWork:
    """A range of the keys to be merged."""

    slot: int
    board: Board | None  # None: nobody watches
    answer: Spool
    spools: list[Spool]
    runs: list[tuple[int, bytes]]  # which spool, and the run in it
    memory: int  # bytes that may be taken
    low: int  # the range: of the 256 slots of the hash space
    high: int
    which: int  # 0: entries, 1: members of sets


class MergeRange:
    """What a worker calls for a range; sent once, as `MapShare`."""

    def __init__(self, reducer: Reducer) -> None:
        self.reducer = reducer
        self.__qualname__ = f"reduce of {reducer.label}"

    def __call__(self, work: MergeWork) -> bytes:
        assert work.board is not None
        line = work.board.line(work.slot)
        line[PID], line[STATE] = threading.get_native_id(), REDUCING
        try:
            return merge(self.reducer, work)
        finally:
            line[STATE] = WAITING
            for spool in (work.answer, *work.spools):
                spool.release()


def merge(reducer: Reducer, work: MergeWork) -> bytes:
    """Merge a range, and return where its segments are. Raises: what the user's function raises, SpillFull."""
    segments: bytes = work.answer.fill(
        _native.merge,
        reducer.name,
        reducer.n,
        reducer.combine,
        reducer.reduce,
        [spool.fd for spool in work.spools],
        work.runs,
        work.low,
        work.high,
        work.which,
        work.answer.fd,
        work.memory,
    )
    return segments


def _size(items: Sequence[Any]) -> int:
    """Bytes (characters) in a chunk of texts; 0 for other items."""
    return sum(map(len, items)) if set(map(type, items)) in _TEXTS else 0


def _length(text: Any) -> int:
    """Bytes of input that a text took: what it says itself, of a file that is packed for example, or its length."""
    size = getattr(text, "size_bytes", None)
    return size if isinstance(size, int) else len(text)
