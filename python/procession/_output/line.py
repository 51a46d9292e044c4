"""What a function given as `forward_output=` is called with."""

from __future__ import annotations

from dataclasses import dataclass
from logging import LogRecord

__all__ = ["Line"]


@dataclass(frozen=True)
class Line:
    """A line that a child wrote, or a record that it logged."""

    process: str  # the child's name
    pid: int  # the child's; of a record that a process of the child's logged, `record.process` is the other
    stream: str  # "stdout", "stderr" or "log"
    text: str  # without its end of line; of a record "LEVEL:logger:message", and the traceback if it has one
    time: float  # seconds since the epoch: when it was read, or logged
    record: LogRecord | None = None
