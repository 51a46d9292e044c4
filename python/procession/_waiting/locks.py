"""Locks, semaphores and events. They tell waiting processes by a futex, which no loop can watch, so it looks.

Not offered for what belongs to a thread (RLock, Condition): the tasks of a loop would all be its holder. Not for a
Barrier, which counts a party before it waits.
"""

from __future__ import annotations

from .. import _native
from .line import Line, NotYet, in_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["acquire", "event_wait"]


class _Permits(Line):
    def may_have_more(self) -> bool:
        return not self.thing._semlock._is_zero()


class _Set(Line):
    """All who wait are let go when it is set."""


async def acquire(lock: Any, timeout: float | None) -> bool:
    """Acquire a lock or semaphore; False after `timeout` seconds."""

    def attempt() -> bool:
        if not lock.acquire(False):
            raise NotYet
        return True

    try:
        return bool(await in_line(_Permits, lock, attempt, NotYet, timeout))
    except NotYet:
        return False


async def event_wait(event: Any, timeout: float | None) -> bool:
    """Wait until an event is set, or was since the call; False after `timeout` seconds."""
    before = _native.Event.statistics(event)["times_set"]

    def attempt() -> bool:
        if not event.is_set() and _native.Event.statistics(event)["times_set"] == before:
            raise NotYet
        return True

    try:
        return bool(await in_line(_Set, event, attempt, NotYet, timeout))
    except NotYet:
        return False
