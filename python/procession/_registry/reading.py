"""One look at an arena, made into dataclasses."""

from __future__ import annotations

import os
from typing import Any

from procession import _native
from procession.statistics import (
    BarrierStatistics,
    ConditionStatistics,
    EventStatistics,
    LockStatistics,
    QueueStatistics,
    SemaphoreStatistics,
)

from . import proc
from .pools import pools_of
from .records import (
    ArrayStatistics,
    ObjectInfo,
    OwnerInfo,
    ProcessInfo,
    Program,
    ThreadInfo,
    ValueStatistics,
    shown_name,
)
from .waiting import Waits

__all__ = ["Known", "Look", "look", "oldest"]

_HIDDEN = {"Buffer", "Claim", "PipeFlags", "Pool"}  # the insides of others
_PLAIN = {
    "Semaphore": SemaphoreStatistics,
    "Event": EventStatistics,
    "Condition": ConditionStatistics,
    "Barrier": BarrierStatistics,
    "Queue": QueueStatistics,
}

Member = tuple[int, int, int, str | None, int, bool]  # as `Observer.members` gives them
Told = tuple[Any, ...]  # an object, as `Observer.look` gives it
Address = tuple[int, int]
# By home and address, what was told of an object and of the whole that it is a part of, and what was made of that
Known = dict[int, dict[Address, tuple[Told, Told | None, ObjectInfo]]]


class Look:
    """What one arena says of itself."""

    def __init__(self, observer: _native.Observer) -> None:
        (self.used, self.limit), members, self.told, self.waits, self.damaged = observer.look()
        self.members: list[Member] = sorted(members, key=lambda member: member[4])
        self.token = observer.token

    def addresses(self) -> dict[int, tuple[int, int]]:
        """The objects' addresses, by offset."""
        return {one[0][0]: one[0] for one in self.told} if self.waits else {}


def oldest(members: list[Member]) -> int:
    """Whom the others descend from: the first that lives, or the first. 0 when there is none."""
    alive = [member for member in members if member[5]]
    first = min(alive or members, key=lambda member: member[4], default=None)
    return 0 if first is None else first[1]


def objects_of(told: list[Told], home: int = 0, known: Known | None = None) -> list[ObjectInfo]:
    """The objects that programs made, without what is inside others. What is as it was is the one it was."""
    before = {} if known is None else known.get(home, {})
    wholes = {one[0][0]: one for one in told if one[7] == 0}
    now: dict[Address, tuple[Told, Told | None, ObjectInfo]] = {}
    for one in told:
        if one[1] in _HIDDEN:
            continue
        whole = wholes.get(one[7]) if one[7] else None
        if whole is not None:
            whole = whole[1:4]  # what the part is called by
        entry = before.get(one[0])
        if entry is None or entry[0] != one or entry[1] != whole:
            entry = one, whole, _object(one, home, whole)
        now[one[0]] = entry
    if known is not None:
        known[home] = now
    return [entry[2] for entry in now.values()]


def _name(kind: str, given: str | None, site: str | None, whole: Told | None) -> str:
    if whole is None or given is not None or kind == "Pipe":
        return shown_name(kind, given, site)
    return f"{kind} of {shown_name(*whole)}"


def _object(told: Told, home: int, whole: Told | None) -> ObjectInfo:
    address, kind, given, site, nbytes, creator, holders, part_of, _in_flight, state = told
    owner = statistics = None
    if state is not None:
        what = state[0]
        if what == "Lock":
            if state[1] is not None:
                owner = OwnerInfo(*state[1])
            statistics = LockStatistics(owner, *state[2:])  # type: ignore[arg-type]
        elif what == "Cells":
            typecode, count, first = state[1:]
            statistics = ValueStatistics(typecode, first) if kind == "Value" else ArrayStatistics(typecode, count)  # type: ignore[assignment]
        else:
            statistics = _PLAIN[what](*state[1:])
    name = _name(kind, given, site, whole)
    return ObjectInfo(address, kind, name, given, site, nbytes, creator, holders, owner, statistics, (), part_of, home)


def processes_of(members: list[Member]) -> tuple[ProcessInfo, ...]:
    """The processes, each with its threads."""
    found = {}
    for _, pid, ticks, name, _, alive in members:
        status = proc.status(pid) if alive else None
        threads = proc.threads(pid) if alive else []
        if pid in found and not alive:
            continue  # an earlier process with that pid
        found[pid] = ProcessInfo(
            pid,
            0 if status is None else status.parent,
            name or "",
            proc.since_boot(ticks),
            status is not None and status.state not in "ZX",
            tuple(ThreadInfo(native_id, None, name, None) for native_id, name in threads),
            status is not None and status.state in "Tt",
        )
    return tuple(found.values())


def look(observer: _native.Observer, known: Known) -> Program:
    """The program that shares an observed arena, and what its processes have in their own memory.

    `known`: what was made of it at the last look; brought up to date.
    """
    seen, waits, notes = Look(observer), Waits(), []
    if seen.damaged is not None:
        what, offset = seen.damaged
        notes.append(f"shared memory is damaged at {offset}: {what}; what lies behind it is missing")
    waits.add(seen.waits, seen.addresses())
    objects = objects_of(seen.told, 0, known)
    for member in seen.members:
        if member[5]:
            more, why = _look_inside(member[1], waits, known)
            objects += more
            notes += why
    processes = processes_of(seen.members)
    pid = oldest(seen.members)
    started = [process.started for process in processes if process.pid == pid]
    return Program(
        pid=pid,
        command=proc.command(pid),
        token=seen.token.hex(),
        started=started[0] if started else 0.0,
        processes=tuple(waits.of_threads(process) for process in processes),
        objects=tuple(waits.of_objects(objects)),
        pools=pools_of(observer, seen.told),
        used=seen.used,
        limit=seen.limit,
        notes=tuple(notes),
    )


def _look_inside(pid: int, waits: Waits, known: Known) -> tuple[list[ObjectInfo], list[str]]:
    """What a process has in its own memory, for its threads; and what to say if that cannot be seen."""
    found: list[ObjectInfo] = []
    for start, length in proc.private_spans(pid):
        try:
            seen = Look(_native.Observer.of_memory(pid, start, length))
        except ValueError:
            continue  # some other large span
        except OSError as error:
            reason = os.strerror(error.errno or 0).lower()
            return [], [
                f"objects of process {pid} for its own threads are not shown: its memory cannot be read ({reason})"
            ]
        if pid not in [member[1] for member in seen.members]:
            # In the child of a fork: a copy of its parent's, but for what it has made itself.
            found += [one for one in objects_of(seen.told, pid) if one.creator == pid]
        else:
            waits.add(seen.waits, seen.addresses(), pid)
            found += objects_of(seen.told, pid, known)
    return found, []
