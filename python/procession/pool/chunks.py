"""How many items go into the next task. Pure: numbers in, numbers out.

A task should take a millisecond, so that handing it over costs little beside it, and the last tasks of a call should be
small, so that the workers end together (guided self-scheduling: Polychronopoulos and Kuck, 1987). Nothing is known at
first, so a call starts with single items; what they took decides from there on. A chunk at most doubles what was tried
before, because items at the front need not resemble those behind. Of items that take a millisecond and more each is a
task: nothing is gained by joining them, and one that takes fifty times as long keeps no others waiting behind it.

Where handing over goes through a network and a scheduler, which take a millisecond themselves, the pace is another:
longer tasks, and one more of them ahead for each worker, so that none is idle while its next task is on its way.

And one hands out to all: with w workers it has but a w-th of a task's time for each. So with many workers tasks are
longer, and keep it busy for half of its time (docs/explanation/scheduling.md).
"""

from __future__ import annotations

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from collections.abc import Iterator
    from dataclasses import dataclass
else:
    from ._record import dataclass

__all__ = ["FAR", "MOST_ITEMS", "NEAR", "Pace", "guided", "next_size"]

MOST_ITEMS = 2048  # in a chunk: a list of so many plain values is still written without pickle
SHARES = 2  # a worker's part of what is left is divided by this much
IDLE = 2  # whoever hands out tasks is busy for one part in so many
LEAST_CHUNKS = 16  # of a call of which nothing is known, for each worker


@dataclass(frozen=True)
class Pace:
    """Of a place where workers run."""

    target_ns: int  # work in a chunk; handing over costs about a hundredth of it
    least_ns: int  # the same of the last chunks of a call, which get smaller so that the workers end together
    ahead: int  # tasks for each worker that are out at a time
    each_ns: int  # what a task costs those who hand it out and take in the answer


NEAR = Pace(1_000_000, 0, 2, 1_000)
FAR = Pace(20_000_000, 2_000_000, 3, 1_000_000)  # Ray's half of that, Dask's a fifth more


def next_size(
    left: int, workers: int, largest: int, items: int, nanos: int, most: int = MOST_ITEMS, pace: Pace = NEAR
) -> int:
    """Items for the next chunk when `left` are left, `largest` was the largest answered, `items` took `nanos`."""
    if items == 0:
        return 1
    wanted = max(pace.target_ns, IDLE * workers * pace.each_ns) * items // max(nanos, items)
    fair = max(-(-left // (SHARES * workers)), min(left, pace.least_ns * items // max(nanos, items)))
    return max(1, min(wanted, 2 * largest, fair, most))


def guided(total: int, workers: int) -> Iterator[int]:
    """Sizes that add up to `total` when nothing can be measured on the way: large first, then ever smaller."""
    most = min(-(-total // (LEAST_CHUNKS * workers)), MOST_ITEMS)
    while total > 0:
        size = max(1, min(-(-total // (SHARES * 2 * workers)), most))
        yield size
        total -= size
