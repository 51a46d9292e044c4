"""Who waits for what: the table of waits, brought together with threads and objects."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from .records import ObjectInfo, ProcessInfo, ThreadInfo, WaitInfo

__all__ = ["Waits"]

_IN_PROCESS = 1  # the detail of a wait for something that is not in the arena (`_waits`)


class Waits:
    """What one or several arenas of a program say of those who wait."""

    def __init__(self) -> None:
        self._by_thread: dict[tuple[int, int], tuple[int, WaitInfo]] = {}  # by pid and native id: ident, and for what
        self._waiters: dict[tuple[int, int], list[tuple[int, int]]] = {}  # by home and offset
        self._lines: dict[tuple[int, int, int, int], str | None] = {}  # of locks held: by home, offset, pid and ident

    def add(self, told: list[tuple[Any, ...]], addresses: dict[int, tuple[int, int]], home: int = 0) -> None:
        """Take in the waits of an arena, whose objects have these addresses, by offset."""
        offset_s = time.time() - time.monotonic()
        for pid, native, ident, action, object_, detail, since, site, timed in told:
            if action == "hold":
                self._lines[home, object_, pid, ident] = site
                continue
            joined = thread = address = None
            if action == "join":
                joined, thread = object_, detail or None
            elif detail != _IN_PROCESS:
                address = addresses.get(object_)
            wait = WaitInfo(action, address, joined, since + offset_s, site, home, thread, timed)
            self._by_thread[pid, native] = ident, wait
            if address is not None:
                self._waiters.setdefault((home, object_), []).append((pid, native))

    def of_threads(self, process: ProcessInfo) -> ProcessInfo:
        """A process with what its threads wait for."""
        known = [self._by_thread.get((process.pid, thread.native_id)) for thread in process.threads]
        if not any(known):
            return process
        threads = tuple(
            thread if entry is None else ThreadInfo(thread.native_id, entry[0], thread.name, entry[1])
            for thread, entry in zip(process.threads, known, strict=True)
        )
        return replace(process, threads=threads)

    def of_objects(self, objects: list[ObjectInfo]) -> list[ObjectInfo]:
        """Objects with who waits for them, and their owners with the line that took them."""
        return [self._of_object(one) for one in objects] if self._waiters or self._lines else objects

    def _of_object(self, one: ObjectInfo) -> ObjectInfo:
        place = one.home, one.address[0]
        waiters = self._waiters.get(place)
        if waiters is not None:
            one = replace(one, waiters=tuple(waiters))
        if one.owner is not None and (site := self._lines.get((*place, one.owner.pid, one.owner.thread))) is not None:
            one = replace(one, owner=replace(one.owner, site=site))
        return one
