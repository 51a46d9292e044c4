"""Which programs there are, and looking at them again and again."""

from __future__ import annotations

import os
import time

from procession import _native
from procession.errors import NoSuchProgram

from . import proc
from .reading import Known, look
from .records import Program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

__all__ = ["Watch"]

BARREN_S = 2.0  # seconds before a process that had no arena is asked again


class Watch:
    """Who looks at programs repeatedly. Keeps a descriptor of each program's memory, which lives as long: close it, or
    use it in a `with` block. Not for several threads at once."""

    def __init__(self) -> None:
        self._observers: dict[int, _native.Observer] = {}  # by inode
        self._known: dict[int, Known] = {}  # likewise, what was made of what they saw
        self._barren: dict[int, float] = {}  # processes without an arena, and when that was found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back the descriptors. Idempotent."""
        self._observers.clear()
        self._known.clear()

    def programs(self) -> list[Program]:
        """Every program of this user, the longest-running first. Those of which nothing lives any more are left out.

        Those who have objects on disk in common are told of as one more program, which has these.
        """
        known: set[int] = set()
        arenas: dict[int, tuple[int, ...]] = {}
        now, barren = time.monotonic(), self._barren
        self._barren = {}
        for pid in sorted(proc.processes()):
            if pid in known:
                continue
            if now - barren.get(pid, -BARREN_S) < BARREN_S:
                self._barren[pid] = barren[pid]
                continue
            try:
                found, met = proc.arenas(pid), proc.disk_arenas(pid)
            except OSError:
                continue  # it ended, or hides what it has open
            if not found and not met:
                self._barren[pid] = now
            for inode, path in (found | met).items():
                observer = None if inode in arenas else self._observer(inode, path)
                if observer is not None:
                    arenas[inode] = tuple(member[1] for member in observer.members() if member[5])
                    if inode in found:  # its family; who only meets it somewhere has one of his own
                        known.update(arenas[inode])
        for inode in self._observers.keys() - arenas.keys():
            del self._observers[inode]
            self._known.pop(inode, None)
        seen = [self._look(inode) for inode, pids in arenas.items() if pids]
        return sorted(seen, key=lambda program: program.started)

    def program(self, pid: int) -> Program:
        """The program to which a process belongs. Raises: NoSuchProgram, which says why not."""
        owner = proc.uid(pid)
        if owner is None:
            raise NoSuchProgram(f"there is no process {pid}", pid=pid, reason="gone")
        try:
            found = proc.arenas(pid) or proc.disk_arenas(pid)
        except PermissionError:
            if owner == os.geteuid():
                why = f"process {pid} does not let other processes look at it (it is privileged, or not dumpable)"
            else:
                why = f"process {pid} belongs to another user (uid {owner})"
            raise NoSuchProgram(why, pid=pid, reason="another user's") from None
        except OSError:
            raise NoSuchProgram(f"process {pid} has ended", pid=pid, reason="gone") from None
        for inode, path in found.items():
            observer = self._observer(inode, path)
            pids = () if observer is None else tuple(member[1] for member in observer.members() if member[5])
            if pids:
                return self._look(inode)
        status = proc.status(pid)
        if status is None or status.state in "ZX":
            raise NoSuchProgram(f"process {pid} has ended", pid=pid, reason="gone")
        for program in self.programs():  # another process of its program may have kept what it closed
            if any(process.pid == pid and process.alive for process in program.processes):
                return program
        if proc.maps_arena(pid):
            raise NoSuchProgram(
                f"process {pid} has closed the descriptor of its shared memory (as by `os.closerange`), and cannot be "
                "looked at without",
                pid=pid,
                reason="closed",
            )
        raise NoSuchProgram(
            f"process {pid} shares nothing through procession (yet): it has made no shared object, and started nothing",
            pid=pid,
            reason="not procession's",
        )

    def _observer(self, inode: int, path: str) -> _native.Observer | None:
        known = self._observers.get(inode)
        if known is None:
            try:
                known = _native.Observer.of_file(path)
            except (OSError, ValueError):
                return None  # closed meanwhile, or no arena that this version knows
            self._observers[inode] = known
        return known

    def _look(self, inode: int) -> Program:
        return look(self._observers[inode], self._known.setdefault(inode, {}))
