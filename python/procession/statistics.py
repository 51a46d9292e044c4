"""Snapshots of live objects: what `statistics()` returns, what a monitor shows and what tests wait on.

Each is taken without locking anything. They stand in a file of their own because `dataclasses` is slow to import, and
few programs ask.
"""

from __future__ import annotations

from dataclasses import dataclass

from ._owner import Owner

__all__ = [
    "BarrierStatistics",
    "ConditionStatistics",
    "EventStatistics",
    "LockStatistics",
    "QueueStatistics",
    "SemaphoreStatistics",
]


@dataclass(frozen=True)
class LockStatistics:
    """A moment's view of a Lock or RLock."""

    owner: Owner | None
    """Who holds it, or died holding it; None while it is free."""
    count: int
    """How often the holder has acquired it and not released it; 0 while it is free."""
    acquired: int
    """How often it was acquired since it was made."""
    contended: int
    """How often that took waiting."""
    abandoned: int
    """How often it was taken over from a holder that had died."""
    waiters: int
    """How many wait for it. One that was killed while it waited may stay counted until the lock is idle."""


@dataclass(frozen=True)
class SemaphoreStatistics:
    """A moment's view of a semaphore."""

    value: int
    """Permits that are free."""
    maximum: int
    """As many permits as there can be."""
    held: int
    """Permits that were taken by `with` and not given back; the other taken ones belong to nobody."""
    waiters: int
    """How many wait. One that was killed while it waited stays counted until nobody waits."""


@dataclass(frozen=True)
class EventStatistics:
    """A moment's view of an Event."""

    is_set: bool
    """Whether it is set."""
    times_set: int
    """How often it changed from clear to set (modulo 2**31)."""
    waiters: int
    """How many wait. One that was killed while it waited stays counted until nobody waits."""


@dataclass(frozen=True)
class ConditionStatistics:
    """A moment's view of a Condition."""

    waiters: int
    """How many wait to be notified."""
    notified: int
    """How many waits were ended by a notification since it was made (modulo 2**32)."""


@dataclass(frozen=True)
class BarrierStatistics:
    """A moment's view of a Barrier."""

    parties: int
    """How many have to arrive."""
    waiters: int
    """How many have arrived and wait."""
    broken: bool
    """Whether it is broken."""
    released: int
    """How often all arrived and were let go (modulo 2**32)."""


@dataclass(frozen=True)
class QueueStatistics:
    """A snapshot of a queue."""

    depth: int
    """Items in it."""
    nbytes: int
    """Bytes of encoded items in it, large payloads not counted."""
    put: int
    """Items ever put (modulo 2**32)."""
    taken: int
    """Items ever taken (modulo 2**32)."""
    waiters: int
    """1 while a getter may be asleep, plus 1 while a putter may be."""
    closed: bool
    """Whether it was shut down."""
