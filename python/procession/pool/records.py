"""Snapshots of a pool, as plain records."""

from __future__ import annotations

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    from ._record import dataclass

__all__ = ["PoolStatistics"]


@dataclass(frozen=True)
class PoolStatistics:
    """A snapshot of a pool."""

    workers: int
    """Processes or threads there are."""
    serving: int
    """Of these, ready to take tasks."""
    started: int
    """Workers ever started."""
    deaths: int
    """Workers that took a task with them or died before they served."""
    waiting: int
    """Tasks that no worker has taken."""
    outstanding: int
    """Tasks without an answer, the waiting among them."""
    functions: int
    """Functions shipped."""
