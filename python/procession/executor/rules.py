"""Two small parts of a crew: which workers there should be, and who reads answers."""

from __future__ import annotations

import threading

from ..pool.state import PoolState, Start

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from typing import Any

    from ..pool.state import Instruction

__all__ = ["CrewState", "Lead"]


class CrewState(PoolState):
    """The pool's rules, with workers started one by one."""

    ending = False  # workers were ended by hand: none is replaced

    def begin(self) -> list[Instruction]:
        return []

    def more(self, worker: int) -> list[Instruction]:
        """Another worker is needed."""
        return [self._start(worker)]

    def ended(self, event: Any, outstanding: frozenset[int]) -> list[Instruction]:
        instructions = super().ended(event, outstanding)
        if self.ending:
            instructions = [one for one in instructions if not isinstance(one, Start)]
        return instructions


class Lead:
    """The lock of whoever reads answers: one that knows its thread, so that a signal's handler cannot leave it held.

    Between the taking of a lock and the `try` that gives it back a handler may raise. `give_back` mends that.
    """

    def __init__(self) -> None:
        lock: Any = threading.RLock()
        self.acquire, self.release, self._is_owned = lock.acquire, lock.release, lock._is_owned

    def locked(self) -> bool:
        """Whether another thread has it."""
        if not self.acquire(False):
            return True
        self.release()
        return False

    def give_back(self) -> None:
        while self._is_owned():
            self.release()
