"""Which workers a crew should have: the pool's rules, with workers that are started as they are needed."""

from __future__ import annotations

from ..pool.state import PoolState, Start

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from typing import Any

    from ..pool.state import Instruction

__all__ = ["CrewState"]


class CrewState(PoolState):
    """The pool's rules, with workers started one by one."""

    ending = False  # workers were ended by hand: none is replaced

    def begin(self) -> list[Instruction]:
        """Nothing: workers start when they are needed."""
        return []

    def more(self, worker: int) -> list[Instruction]:
        """Another worker is needed."""
        return [self._start(worker)]

    def ended(self, event: Any, outstanding: frozenset[int], has_more: Any = None) -> list[Instruction]:
        """As of a pool; while it ends, no worker takes the place."""
        instructions = super().ended(event, outstanding, has_more)
        if self.ending:
            instructions = [one for one in instructions if not isinstance(one, Start)]
        return instructions
