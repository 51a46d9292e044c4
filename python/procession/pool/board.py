"""Numbers that the workers of a keyed map-reduce show the caller while they work, and what is made of them.

A board lies in a shared block: two words for all, then a line of words for each slot, which the one worker that works
there writes and the caller reads. Nothing rests on the counters being exact. What the caller acts upon (the item that a
worker was at) is read when that worker is dead.
"""

from __future__ import annotations

from .. import _native
from .._store import Shared, private_arena, shared_arena

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    from ._record import dataclass

__all__ = [
    "BYTES",
    "CHUNK",
    "COMMIT",
    "ITEM",
    "ITEMS",
    "MAPPING",
    "NANOS",
    "PAIRS",
    "PID",
    "REDUCING",
    "SPILLED",
    "STATE",
    "STOP",
    "WAITING",
    "WRITING",
    "Board",
    "KeyedProgress",
    "KeyedStatistics",
    "WorkerProgress",
]

# Words for all
STOP = 0  # not zero: nobody wants the answer any more
COMMIT = 1  # when this changes, shares return what they have

# Words of a slot
CHUNK = 0  # the chunk that the worker is at, plus one; 0 for none
ITEM = 1  # the item in it
PID = 2  # whose the slot is; of a thread its native id
STATE = 3  # one of those below
ITEMS = 4  # items mapped in this share
BYTES = 5  # input bytes mapped, as far as they are known
PAIRS = 6  # pairs combined
SPILLED = 7  # bytes written to a spool before the share's end
NANOS = 8  # time spent on chunks that are done
WORDS = 16  # 128 bytes, so that two workers do not write into the same cache line
HEAD = 16

WAITING, MAPPING, WRITING, REDUCING = range(4)
STATES = ("waiting", "map", "spill", "reduce")


class _Memory(_native.Block, Shared):
    """The board's memory."""

    __slots__ = ()


class Board:
    """The words. Travels to workers by address."""

    __slots__ = ("_memory", "words")

    def __init__(self, memory: _Memory) -> None:
        self._memory = memory
        self.words: memoryview = memoryview(memory).cast("q")

    @classmethod
    def of(cls, slots: int, *, shared: bool) -> Board:
        """A new one, all zero."""
        arena = shared_arena() if shared else private_arena()
        size = 8 * (HEAD + WORDS * slots)
        board = cls(_Memory(arena, size))
        board.words[: size // 8] = memoryview(bytes(size)).cast("q")
        return board

    def line(self, slot: int) -> memoryview:
        """The words of a slot, as a view: `line[ITEM] = 3` is seen by everybody."""
        start = HEAD + WORDS * slot
        return self.words[start : start + WORDS]

    def clear(self, slot: int) -> None:
        """Before a slot is given to somebody else."""
        self.line(slot)[:] = _EMPTY

    def __reduce__(self) -> tuple[type[Board], tuple[_Memory]]:
        return Board, (self._memory,)


_EMPTY = memoryview(bytes(8 * WORDS)).cast("q")


@dataclass(frozen=True)
class WorkerProgress:
    """One worker's part, as far as it is known."""

    pid: int  # of a thread its native id
    state: str  # "map", "spill" (writing a run), "reduce", "waiting" (for a chunk, or without a task)
    items: int
    bytes: int  # of input mapped
    pairs: int
    spilled_bytes: int  # written before the end of its share, because the table was full


@dataclass(frozen=True)
class KeyedProgress:
    """How far a keyed map-reduce has come. What is done again after a death counts again meanwhile."""

    phase: str  # "map" or "reduce"
    items: int  # mapped: items, or texts of an input that was divided
    total_items: int | None  # None when nobody knows, as of an iterator or an input that was divided
    bytes: int  # of input mapped; in the reduce phase, bytes of runs merged
    total_bytes: int | None
    seconds: float  # since the call
    workers: tuple[WorkerProgress, ...]  # by pid
    title = ""
    ended = False
    failed = 0

    # As `procession.progress.Snapshot` has them: what shows the one shows the other

    @property
    def done(self) -> int:
        """Items mapped."""
        return self.items

    @property
    def total(self) -> int | None:
        """Items in all."""
        return self.total_items

    @property
    def elapsed(self) -> float:
        """Seconds since the call."""
        return self.seconds

    @property
    def rate(self) -> float | None:
        """Items a second since the call; None as long as nothing is done."""
        return self.items / self.seconds if self.items and self.seconds > 0 else None

    @property
    def left(self) -> float | None:
        """Seconds until this phase is done, at the rate so far; None where nobody knows."""
        done, total = (self.bytes, self.total_bytes) if self.total_bytes else (self.items, self.total_items)
        return None if not done or total is None else max(0.0, self.seconds * (total - done) / done)

    def told(self, title: str, *, ended: bool = False) -> KeyedProgress:
        """The same with a title, and whether it is the last one."""
        values = (self.phase, self.items, self.total_items, self.bytes, self.total_bytes, self.seconds, self.workers)
        told = KeyedProgress(*values)
        told.__dict__.update(title=title, ended=ended)
        return told


@dataclass(frozen=True)
class KeyedStatistics:
    """What a keyed map-reduce took."""

    seconds: float  # from the call to the answer
    map_seconds: float
    reduce_seconds: float  # including the sealing of the answer
    items: int  # mapped and kept; what a dead worker had done does not count
    input_bytes: int  # as far as they are known
    pairs: int
    keys: int
    runs: int  # sorted runs written by the workers
    run_bytes: int  # their size
    spilled_bytes: int  # the part of it that was on disk
    deaths: int  # workers that died meanwhile, and whose work was done again
    workers: int
