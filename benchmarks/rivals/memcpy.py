"""Not a rival but the ceiling: a "queue" whose put copies an array into one of a few warm blocks.

Only usable within one process; the array workload measures it with a plain loop.
"""

from __future__ import annotations

from typing import Any

from benchmarks.rivals import Base

BLOCKS = 4  # a queue whose receiver keeps up needs about as many


class Slots:
    """Copies into a few blocks in turn, all touched before, the way a queue with warm blocks could."""

    def __init__(self) -> None:
        self._slots: list[Any] = []
        self._turn = 0

    def put(self, array: Any) -> None:
        import numpy

        if len(self._slots) < BLOCKS:
            self._slots.append(numpy.zeros_like(array))
        self._turn = (self._turn + 1) % len(self._slots)
        numpy.copyto(self._slots[self._turn], array)

    def get(self) -> Any:
        return self._slots[self._turn]


class Memcpy(Base):
    def queue(self, maxsize: int = 0, item_bytes: int = 0) -> Slots:
        return Slots()


def make(name: str) -> Memcpy:
    return Memcpy(name)
