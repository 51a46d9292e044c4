"""How far a call is: what a function given as `progress=` is called with, and all that a bar is drawn from."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Snapshot"]


@dataclass(frozen=True)
class Snapshot:
    """How far a call is."""

    done: int
    """Items that a worker has answered, those that failed among them."""
    total: int | None
    """All items; None for an input whose length nobody knows yet."""
    failed: int
    """How many of those done."""
    elapsed: float
    """Seconds since the call."""
    rate: float | None
    """Items a second: of late, at the end of the whole; None as long as nothing is done."""
    left: float | None
    """Seconds until everything is done, at this rate; None where nobody knows."""
    title: str
    """What was given as `progress`, or the name of the function."""
    ended: bool
    """Everything is done: this is the last one."""
