"""How a call that lies in the shared ring is taken back.

The ring cannot give up a message in its middle, so the call is marked, and the worker that comes to it skips it. A mark
must never meet a call that has begun. There is one lock for marks, and a count of them, which a worker reads after it
took a task and before it calls; only if it is not zero the worker takes the lock and looks. Whoever withdraws

1. raises the count,
2. takes the lock, and reads how many tasks were ever taken,
3. marks those of its tasks that are not among them, and lets the lock go.

A worker that takes a task later than (2) sees the count of (1), for taking the lock and taking a task are both locked
instructions: it waits for the lock and finds the mark. One that took the task before (2) is left alone. The worker
clears the mark. If it dies before it can, the count stays too high, which costs every task the lock and nothing else:
marks hold the whole number of a task.
"""

from __future__ import annotations

from .. import _native
from .._store import Shared, shared_arena
from ..synchronize import Lock

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

__all__ = ["COUNT", "Marks", "is_before"]

COUNT, OFFSET, SERIAL, SLOTS = range(4)
LEAST_SLOTS = 4096  # 32 KiB; arbitrary
_WRAP = 2**32  # numbers of tasks count modulo this


def is_before(number: int, other: int) -> bool:
    """Whether a task's number comes before another: both are on their way, so they are not far apart."""
    return 0 < (other - number) % _WRAP < _WRAP // 2


class _Cells(_native.Claim, Shared):
    """The counters of the marks."""

    __slots__ = ()


class _Memory(_native.Block, Shared):
    """The table of the marks."""

    __slots__ = ()


class Marks:
    """The marks of one executor. Travels to the workers by address."""

    __slots__ = ("_lock", "_memory", "_serial", "_slots", "cells")

    def __init__(self, cells: _Cells | None = None, lock: Lock | None = None) -> None:
        arena = shared_arena()
        self.cells: _Cells = _Cells(arena, 4) if cells is None else cells
        self._lock = Lock(arena=arena) if lock is None else lock
        self._serial = 0
        self._memory: _Memory | None = None
        self._slots: Any = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return Marks, (self.cells, self._lock)

    def parts(self) -> tuple[Any, ...]:
        """The shared objects it is made of."""
        return self.cells, self._lock

    # The caller's side

    def withdraw(self, numbers: Sequence[int], position: Callable[[], tuple[int, int]]) -> list[int]:
        """Mark those of these tasks that no worker has taken, and return them: they will not be called.

        `position` tells how many tasks were ever taken and put. One caller at a time. Waits for a worker that is just
        looking. Raises: ArenaFull, and then nothing was marked.
        """
        cells = self.cells
        with self._lock:
            taken, put = position()
            self._fit((put - taken) % _WRAP)
            cells[COUNT] += 1
        slots, most, new = self._slots, len(self._slots) - 1, 0
        with self._lock:
            taken, _ = position()
            free = [number for number in numbers if not is_before(number, taken)]
            for number in free:
                new += not slots[number & most]
                slots[number & most] = number + 1
            cells[COUNT] += new - 1
        return free

    def _fit(self, pending: int) -> None:
        """Have more places than tasks are pending: then no two of them share one."""
        slots = max(LEAST_SLOTS, 1 << (2 * pending).bit_length())
        if len(self._slots) > pending:
            return
        memory = _Memory(shared_arena(), 8 * slots)
        view = memoryview(memory).cast("B")[: 8 * slots].cast("Q")
        view[:] = memoryview(bytes(8 * slots)).cast("Q")
        for mark in self._slots:
            if mark:
                view[(mark - 1) & (slots - 1)] = mark
        self.cells[OFFSET], self.cells[SERIAL] = memory.address
        self.cells[SLOTS] = slots
        self._memory, self._slots = memory, view

    # A worker's side

    def meets(self, number: int) -> bool:
        """Whether this task, just taken, was withdrawn; if so the mark is cleared. To be asked if there are marks."""
        cells = self.cells
        with self._lock:
            if cells[SERIAL] != self._serial:
                self._open(cells[OFFSET], cells[SERIAL])
            if not self._slots or self._slots[number & (len(self._slots) - 1)] != number + 1:
                return False
            self._slots[number & (len(self._slots) - 1)] = 0
            cells[COUNT] = max(0, cells[COUNT] - 1)
            return True

    def _open(self, offset: int, serial: int) -> None:
        memory = _Memory(self.cells.arena, address=(offset, serial))
        view = memoryview(memory).cast("B")[: 8 * self.cells[SLOTS]].cast("Q")
        self._memory, self._slots, self._serial = memory, view, serial
