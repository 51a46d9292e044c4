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

    workers: int  # processes or threads there are
    serving: int  # of these, ready to take tasks
    started: int  # workers ever started
    deaths: int  # workers that took a task with them or died before they served
    waiting: int  # tasks that no worker has taken
    outstanding: int  # tasks without an answer, the waiting among them
    functions: int  # functions shipped
