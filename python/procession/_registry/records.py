"""What is known of a running program, as plain data.

All of it is `dataclasses.asdict`-able, and JSON from there. Times are seconds since 1970, sizes are bytes. An address
is the pair that `object.address` has in the program itself.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from .._sites import short_site

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
    "WorkerInfo",
    "as_json",
    "shown_name",
]

Address = tuple[int, int]


@dataclass(frozen=True)
class WaitInfo:
    """What a thread waits for."""

    action: str
    """What it is about: acquire, get, put, wait, join, result ..."""
    object: Address | None
    """The address of what it waits for; None where that is a process, or not known."""
    pid: int | None
    """The process whose end it waits for, for a join."""
    since: float
    """Since when."""
    site: str | None
    """Where in the program, as "FILE:LINE in FUNCTION"; None when that is not known (yet)."""
    home: int = 0
    """Of the object: see `ObjectInfo.home`."""
    thread: int | None = None
    """The native id of the thread whose end it waits for, for a join of a thread of its own process."""
    timed: bool = False
    """Whether it has a timeout, so that it ends by itself."""


@dataclass(frozen=True)
class ThreadInfo:
    """A thread of a process."""

    native_id: int
    """The kernel's id, as in `threading.Thread.native_id`."""
    ident: int | None
    """Python's, as in `threading.get_ident()`; None when that is not known."""
    name: str
    """What it is called."""
    waits: WaitInfo | None
    """What it waits for; None when it waits for nothing that is procession's."""


@dataclass(frozen=True)
class ProcessInfo:
    """A process that shares the program's memory, or has died and left its name there."""

    pid: int
    parent: int
    """The pid of its parent; 0 when it is dead."""
    name: str
    """What procession calls it: the name of the `Process`."""
    started: float
    alive: bool
    threads: tuple[ThreadInfo, ...]
    stopped: bool = False
    """Whether a signal or a debugger holds it up."""


@dataclass(frozen=True)
class OwnerInfo:
    """Who holds a lock, or died holding it."""

    pid: int
    thread: int
    """The thread's ident; 0 when it is no longer known."""
    name: str | None
    since: float | None
    site: str | None = None
    """Where it was acquired; known only where deadlocks are looked for."""


@dataclass(frozen=True)
class ValueStatistics:
    """A moment's view of a Value."""

    typecode: str
    value: Any


@dataclass(frozen=True)
class ArrayStatistics:
    """A moment's view of an Array."""

    typecode: str
    length: int


@dataclass(frozen=True)
class ObjectInfo:
    """A shared object."""

    address: Address
    kind: str
    """Lock, Queue, Pipe (one direction), Value ...; Memory (raw shared memory), Payload (a large part of a message)."""
    name: str
    """The name it was given, or its kind and the line that made it."""
    given: str | None
    """The name it was given."""
    site: str | None
    """Where it was made, as "FILE:LINE in FUNCTION"."""
    nbytes: int
    """Bytes it takes, a queue's storage included."""
    creator: int
    """The pid of the process that made it."""
    holders: tuple[int, ...]
    """The pids of the processes that have it open."""
    owner: OwnerInfo | None
    """Of a lock: who holds it, alive or dead."""
    statistics: Any
    """One of the classes of `procession.statistics` (with an OwnerInfo for owner), or of those above; None where there
    is nothing to tell."""
    waiters: tuple[tuple[int, int], ...]
    """Who waits for it: pid and native id of each thread."""
    part_of: int
    """The first half of the address of what it is a part of (a pool, the pipe of a direction); 0: it stands for
    itself."""
    home: int
    """0: the memory that the program shares; else the pid of the process in whose own memory it lies, for its threads.
    Addresses are told apart within one home."""


@dataclass(frozen=True)
class WorkerInfo:
    """A worker of a pool."""

    pid: int
    task: int | None
    """The number of the task it is at; None when it has none."""
    item: int | None
    """The number of the item within that task."""
    since: float | None
    """When it began with the item."""


@dataclass(frozen=True)
class PoolInfo:
    """A pool or an executor."""

    address: Address
    name: str
    title: str
    """The function that it runs."""
    method: str
    """The start method of its workers."""
    pid: int
    """The process that made it."""
    workers: tuple[WorkerInfo, ...]
    submitted: int
    """Tasks put for the workers (modulo 2**32); a chunk of items is one."""
    done: int
    """Of these, done by those who are or were workers; what a dead one had begun is not among them."""
    failed: int
    """Calls that raised, each item of a chunk for itself."""
    running: int
    waiting: int
    """Tasks that no worker has taken."""
    later: int
    """Tasks that a `map` of a long input has yet to put, for as far as can be said: chunks may become larger."""
    size: int
    """How many workers it should have."""
    site: str | None
    """Where it was made, as "FILE:LINE in FUNCTION"."""


@dataclass(frozen=True)
class Program:
    """A family of processes that share one arena."""

    pid: int
    """The process that the others descend from, or the oldest that is left."""
    command: str
    token: str
    """What distinguishes its memory from all others', in hexadecimal digits."""
    started: float
    processes: tuple[ProcessInfo, ...]
    """The oldest first; the dead are those whose holdings nobody has taken back yet."""
    objects: tuple[ObjectInfo, ...]
    pools: tuple[PoolInfo, ...]
    used: int
    """Bytes of shared memory in use."""
    limit: int
    """Bytes of shared memory that may be in use."""
    notes: tuple[str, ...]
    """What could not be seen, and why."""


def shown_name(kind: str, given: str | None, site: str | None) -> str:
    """What an object is called: as it was named, or by its kind and the line that made it."""
    if given is not None:
        return given
    return kind if site is None else f"{kind} at {short_site(site)}"


def as_json(program: Program) -> dict[str, Any]:
    """A program as JSON can write it: what JSON has no form for is text."""
    return {key: _plain(value) for key, value in dataclasses.asdict(program).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else str(value)  # no NaN in JSON
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
