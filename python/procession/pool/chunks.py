"""How many items go into the next task. Pure: numbers in, numbers out.

A task should take a few milliseconds, so that handing it over costs nothing beside it, and the last tasks of a call
should be small, so that the workers end together (guided self-scheduling: Polychronopoulos and Kuck, 1987). Nothing is
known at first, so a call starts with single items; what they took decides from there on. A chunk at most doubles what
was tried before, because items at the front need not resemble those behind.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MOST_ITEMS", "guided", "next_size"]

TARGET_NS = 4_000_000  # work in a chunk; handing over costs about a thousandth of it
MOST_ITEMS = 2048  # in a chunk: a list of so many plain values is still written without pickle
SHARES = 2  # a worker's part of what is left is divided by this much


def next_size(left: int, workers: int, largest: int, items: int, nanos: int) -> int:
    """Items for the next chunk when `left` are left, `largest` was the largest answered, `items` took `nanos`."""
    if items == 0:
        return 1
    wanted = TARGET_NS * items // max(nanos, items)
    fair = -(-left // (SHARES * workers))
    return max(1, min(wanted, 2 * largest, fair, MOST_ITEMS))


def guided(total: int, workers: int) -> Iterator[int]:
    """Sizes that add up to `total` when nothing can be measured on the way: large first, then ever smaller."""
    while total > 0:
        size = max(1, min(-(-total // (SHARES * 2 * workers)), MOST_ITEMS))
        yield size
        total -= size
