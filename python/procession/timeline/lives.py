"""Who lived when: processes and threads of a recording, with their names, parents and ends.

A process says itself when it begins and when it reaches its end. One that is killed says nothing: its parent knows when
it learnt of that, and failing this there is the last thing that it did. So every life has an end.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass, field

from .. import _recording
from .._recording import ENDED, EXIT, NAME, PROCESS, STARTED, ProcessFile, Recording, signed

__all__ = ["Life", "lives"]

_THREAD = 1  # flag of a NAME record


@dataclass
class Life:
    """One process. Times are nanoseconds of the machine's clock."""

    file: ProcessFile
    pid: int
    parent: int
    name: str
    began: int
    ended: int
    exitcode: int | None = None  # if the parent learnt it, or it told; negative for a signal
    reached_end: bool = False
    threads: dict[int, str] = field(default_factory=dict)  # by the kernel's id; empty for one that has no name
    started_at: str = ""  # where in the parent's program
    records: int = 0
    key: int = 0  # its pid, or if that was another's before, a number like it

    @property
    def end(self) -> str:
        """How it ended, in words."""
        if self.exitcode is not None and self.exitcode < 0:
            if self.exitcode == -signal.SIGTERM:
                return "ended by SIGTERM"
            try:
                return f"killed by {signal.Signals(-self.exitcode).name}"
            except ValueError:
                return f"killed by signal {-self.exitcode}"
        if self.exitcode:
            return f"ended with exit code {self.exitcode}"
        if self.reached_end or self.exitcode == 0:
            return "ended"
        return "ended without a word: killed, or by os._exit"


def lives(recording: Recording) -> list[Life]:
    """The processes, oldest first."""
    found = [_read(file) for file in recording.files()]
    found = [life for life in found if life.records]
    _tell_from_outside(found)
    taken: set[int] = set()
    for life in found:
        life.key = life.pid
        while life.key in taken:
            life.key += 10_000_000
        taken.add(life.key)
    return found


def _read(file: ProcessFile) -> Life:
    """What a process says of itself."""
    life = Life(file, file.pid, 0, "", file.began, file.began)
    for time, _, thread, kind, flags, _, a, _, site, _, _, _ in file.raw():
        life.records += 1
        life.began, life.ended = min(life.began, time), max(life.ended, time)
        if thread not in life.threads:
            life.threads[thread] = ""
        if kind >= _recording.TASK:
            continue
        if kind == PROCESS:
            life.parent = a
        elif kind == NAME and flags & _THREAD:
            life.threads[thread] = file.label(site)
        elif kind == NAME:
            life.name = file.label(site) or life.name
        elif kind == EXIT:
            life.reached_end, life.exitcode = True, signed(a)
    return life


def _tell_from_outside(found: list[Life]) -> None:
    """What parents say of their children."""
    by_pid: dict[int, list[Life]] = {}
    for life in found:
        by_pid.setdefault(life.pid, []).append(life)
    for parent in found:
        for time, _, _, kind, _, _, a, b, site, _, _, extra in parent.file.raw():
            if kind not in (STARTED, ENDED):
                continue
            # Of several with this pid it is about the last that had begun by then
            candidates = [life for life in by_pid.get(a, ()) if kind == STARTED or life.began <= time]
            if not candidates:
                continue
            life = candidates[-1]
            if kind == STARTED:
                life.started_at = parent.file.label(site)
                life.name = parent.file.label(extra) or life.name
            else:
                life.exitcode = signed(b)
                if not life.reached_end:
                    life.ended = max(life.ended, time)
