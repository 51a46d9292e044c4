"""What a caller says about a checkpoint, and what it is told afterwards."""

from __future__ import annotations

import os
from dataclasses import dataclass

__all__ = ["Checkpoint", "CheckpointStatistics"]

INTERVAL_S = 10.0  # a share that returns writes a run, and many small runs are slow to merge; arbitrary


@dataclass(frozen=True)
class CheckpointStatistics:
    """What a call found in its checkpoint, and wrote."""

    path: str
    """The journal's file."""
    resumed: int
    """Items that were done before, and not done again."""
    failed_before: int
    """Items that had failed before, and were not tried again."""
    written: int
    """Items that were done, or failed, in this call."""


class Checkpoint:
    """Where a call keeps what is done, and what is to become of what stands there; `checkpoint=` also takes a path.

    `retry_failed`: items that failed before are tried again, instead of failing again with the error they had.
    `reset`: begin anew, whatever function and items the journal was for. `interval` (seconds): how often the workers of
    a map-reduce hand in what they have; the items of a map are written at once.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        retry_failed: bool = False,
        reset: bool = False,
        interval: float = INTERVAL_S,
    ) -> None:
        """Opens nothing. Raises: TypeError for what is no path, ValueError for an interval that is not above zero."""
        if not interval > 0:
            raise ValueError(f"interval is a number of seconds above 0, not {interval!r}")
        self.path: str = os.fsdecode(os.fspath(path))
        self.retry_failed: bool = retry_failed
        self.reset: bool = reset
        self.interval: float = interval
        self.last: CheckpointStatistics | None = None  # of the last call

    def __repr__(self) -> str:
        given = [name for name in ("retry_failed", "reset") if getattr(self, name)]
        return f"Checkpoint({', '.join([repr(self.path), *(f'{name}=True' for name in given)])})"

    def statistics(self) -> CheckpointStatistics | None:
        """What the last call with this object found and wrote; None before the first."""
        return self.last

    @classmethod
    def of(cls, given: Checkpoint | str | os.PathLike[str]) -> Checkpoint:
        """What `checkpoint=` was given, as a Checkpoint. Raises: TypeError."""
        return given if isinstance(given, cls) else cls(given)  # type: ignore[arg-type]
