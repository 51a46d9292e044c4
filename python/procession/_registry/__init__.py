"""Live objects of running programs, as frozen dataclasses: what `procession ps` and `procession top` show.

Whatever a program shares stands in its arena, which is memory that any process of the same user can read. So nothing is
logged for this: the state itself is copied out and decoded (`observe.rs` of the core), without a lock, without a place
in the table of processes and without a signal. The program does not notice; it may hang, or lie dead in part. What is
read may change meanwhile: each object is as it was at some moment of the reading, and damaged memory ends the reading
with what was found before.

`programs()` and `program(pid)` look once. `Watch` keeps what it has opened, for who looks every second.

Dropped: a log of events beside the state. It costs every operation something, a death loses its end, and who comes
later has to believe that it is whole.
"""

from __future__ import annotations

from .finding import Watch
from .records import (
    ArrayStatistics,
    ObjectInfo,
    OwnerInfo,
    PoolInfo,
    ProcessInfo,
    Program,
    ThreadInfo,
    ValueStatistics,
    WaitInfo,
    WorkerInfo,
    as_json,
    shown_name,
)

__all__ = [
    "ArrayStatistics",
    "ObjectInfo",
    "OwnerInfo",
    "PoolInfo",
    "ProcessInfo",
    "Program",
    "ThreadInfo",
    "ValueStatistics",
    "WaitInfo",
    "Watch",
    "WorkerInfo",
    "as_json",
    "program",
    "programs",
    "shown_name",
]


def programs() -> list[Program]:
    """Every program of this user that shares something through procession, the longest-running first. Blocks for some
    milliseconds."""
    with Watch() as watch:
        return watch.programs()


def program(pid: int) -> Program:
    """The program to which a process belongs, be it the first one or a child. Raises: NoSuchProgram."""
    with Watch() as watch:
        return watch.program(pid)
