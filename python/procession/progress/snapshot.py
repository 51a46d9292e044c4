"""How far a call is: what a function given as `progress=` is called with, and all that a bar is drawn from."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Snapshot"]


@dataclass(frozen=True)
class Snapshot:
    """How far a call is."""

    done: int  # items that a worker has answered, those that failed among them
    total: int | None  # None for an input whose length nobody knows yet
    failed: int  # of those done
    elapsed: float  # seconds since the call
    rate: float | None  # items a second: of late, at the end of the whole; None as long as nothing is done
    left: float | None  # seconds until everything is done, at this rate; None where nobody knows
    title: str
    ended: bool  # everything is done: this is the last one
