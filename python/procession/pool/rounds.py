"""The rules of a keyed map-reduce: what happened goes in, what is to be done comes out. No I/O, no clock, no process.

Mapping. Chunks of the input lie in a queue; workers are given *shares*: take chunks until none is left, combine what
they make, write it down, return. Only what a share returned counts. A worker that dies takes with it everything its
share had done and not returned, and perhaps a chunk it was just taking out of the queue; nobody keeps account of that,
because it need not be known before the end of the *round*: when the queue is empty and no share is running, the chunks
that no share returned are the ones to be done again, in another round with a queue of its own.

A worker notes which item it is at, and only that item is charged when it dies: an item that was charged more often than
`retries` fails the call. Deaths that no item can be charged with (between two items, or while writing down) must not go
on for ever either, nor those of workers that are killed for the memory they take, each time at another item. So deaths
in a row, with nothing returned in between, are counted: each halves how many chunks a share may take before it returns,
so that something is, and too many of them fail the call.

Reducing. The keys are cut into ranges, each a task of its own; one whose worker died is done again, `retries` times.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate, pairwise

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from dataclasses import dataclass
else:
    from ._record import dataclass

__all__ = ["Again", "Fail", "Finish", "Instruction", "MapRounds", "Merge", "ReduceRounds", "StartShare", "cut"]

MOST_FRUITLESS = 16  # deaths in a row with nothing returned between them, besides those that retries allow; arbitrary
RANGE_BYTES = 1 << 20  # of runs in a range, at least; below it handing over shows beside merging
RANGES_PER_WORKER = 4  # at most, so that the last to end are short


@dataclass(frozen=True)
class StartShare:
    """Have a worker take chunks, and note what it does at this slot; it returns after `most` chunks (0: no bound)."""

    slot: int
    most: int = 0


@dataclass(frozen=True)
class Again:
    """The round is over and these chunks are not done: put them into a new queue."""

    chunks: tuple[int, ...]


@dataclass(frozen=True)
class Merge:
    """Have a worker merge this range, and note what it does at this slot."""

    part: int
    slot: int


@dataclass(frozen=True)
class Fail:
    """Give up: workers died too often. `chunk` and `item` name what the last one was at, `part` the range; `scattered`
    says that the others were at something else."""

    attempts: int
    chunk: int | None = None
    item: int = 0
    part: int | None = None
    scattered: bool = False


@dataclass(frozen=True)
class Finish:
    """All is done."""


if TYPE_CHECKING:
    Instruction = StartShare | Again | Merge | Fail | Finish
else:
    Instruction = (StartShare, Again, Merge, Fail, Finish)


class MapRounds:
    """Which chunks are done, and who does the others. Methods return instructions, to be carried out in order.

    `waiting` is how many chunks are in the queue just then.
    """

    def __init__(self, workers: int, retries: int) -> None:
        self.workers: int = workers
        self.retries: int = retries
        self.left: set[int] = set()  # chunks that were given out and that no share returned
        self.done: int = 0  # chunks returned
        self.deaths: int = 0
        self._fruitless = 0  # deaths since a share returned something
        self._charged: dict[tuple[int, int], int] = {}  # deaths, by chunk and item in it
        self._free = list(range(workers - 1, -1, -1))  # slots at which no share is
        self._complete = False  # all chunks of this round are in the queue, or were

    @property
    def running(self) -> int:
        """Shares out."""
        return self.workers - len(self._free)

    def fed(self, chunks: Iterable[int], waiting: int) -> list[Instruction]:
        """These were put into the queue, for the first time or again."""
        self.left.update(chunks)
        return self._go_on(waiting)

    def completed(self, waiting: int) -> list[Instruction]:
        """Nothing more will be put into the queue in this round."""
        self._complete = True
        return self._go_on(waiting)

    def returned(self, slot: int, chunks: Sequence[int], waiting: int) -> list[Instruction]:
        """A share ended and did these chunks."""
        self._free.append(slot)
        self.left.difference_update(chunks)
        self.done += len(chunks)
        if chunks:
            self._fruitless = 0
        return self._go_on(waiting)

    def died(self, slot: int, at: tuple[int, int] | None, waiting: int) -> list[Instruction]:
        """A share's worker died, at this item of this chunk if it was at any."""
        self._free.append(slot)
        self.deaths += 1
        self._fruitless += 1
        if at is not None:
            attempts = self._charged[at] = self._charged.get(at, 0) + 1
            if attempts > self.retries:
                return [Fail(attempts, *at)]
        if self._fruitless > MOST_FRUITLESS + self.workers * self.retries:
            chunk, item = at if at is not None else (None, 0)
            return [Fail(self._fruitless, chunk, item, scattered=True)]
        return self._go_on(waiting)

    def _go_on(self, waiting: int) -> list[Instruction]:
        instructions: list[Instruction] = []
        for _ in range(min(len(self._free), waiting)):
            instructions.append(StartShare(self._free.pop(), self._most()))
        if instructions or self.running or waiting or not self._complete:
            return instructions
        if not self.left:
            return [Finish()]
        self._complete = False
        return [Again(tuple(sorted(self.left)))]

    def _most(self) -> int:
        return max(1, len(self.left) >> self._fruitless) if self._fruitless else 0


class ReduceRounds:
    """Which ranges are merged, and who merges the others; at most `slots` at a time."""

    def __init__(self, parts: int, slots: int, retries: int) -> None:
        self.retries = retries
        self.deaths: int = 0
        self.left: int = parts
        self._waiting = list(range(parts - 1, -1, -1))
        self._free = list(range(slots - 1, -1, -1))
        self._charged: dict[int, int] = {}

    def begin(self) -> list[Instruction]:
        """Nothing has happened yet."""
        return self._go_on()

    def returned(self, part: int, slot: int) -> list[Instruction]:
        """A range was merged."""
        self._free.append(slot)
        self.left -= 1
        return self._go_on()

    def died(self, part: int, slot: int) -> list[Instruction]:
        """The worker that was to merge a range died."""
        self._free.append(slot)
        self.deaths += 1
        attempts = self._charged[part] = self._charged.get(part, 0) + 1
        if attempts > self.retries:
            return [Fail(attempts, part=part)]
        self._waiting.append(part)
        return self._go_on()

    def _go_on(self) -> list[Instruction]:
        if not self.left:
            return [Finish()]
        instructions: list[Instruction] = []
        while self._waiting and self._free:
            instructions.append(Merge(self._waiting.pop(), self._free.pop()))
        return instructions


def cut(sizes: Sequence[int], workers: int) -> list[tuple[int, int]]:
    """Cut slots of these sizes (bytes) into neighbouring ranges of about the same size, none of them empty.

    A border is where that is nearest to even; one slot is never cut, so a huge one is a range by itself.
    """
    before = [0, *accumulate(sizes)]  # bytes before each slot
    total = before[-1]
    ranges = min(RANGES_PER_WORKER * workers, max(1, total // RANGE_BYTES))
    borders = [0, *(_nearest(before, number * total // ranges) for number in range(1, ranges)), len(sizes)]
    return [(low, high) for low, high in pairwise(borders) if before[high] > before[low]]


def _nearest(before: Sequence[int], goal: int) -> int:
    """The border with about `goal` bytes before it."""
    above = bisect_left(before, goal)
    return above - 1 if above and goal - before[above - 1] < before[above] - goal else above
