"""What the kernel tells of processes: their files, parents, threads and beginnings."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass

from .._stat import PARENT, START, STATE, stat

__all__ = ["Status", "arenas", "command", "disk_arenas", "maps_arena", "private_spans", "status", "threads", "uid"]

_ARENA = "/memfd:procession-arena (deleted)"  # as `segment.rs` of the core calls it
_DISK_ARENA = "/memfd:procession-arena-disk (deleted)"  # those of `_disk`, in which unrelated programs meet
_TICK = os.sysconf("SC_CLK_TCK")
_NAMELESS = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) rw-p 00000000 00:00 0 *$", re.MULTILINE)
_LEAST_PRIVATE = 1 << 26  # bytes: a private arena is never smaller


@dataclass(frozen=True)
class Status:
    """A line of /proc/PID/stat, as far as it matters here."""

    parent: int
    state: str
    """R, S, D, Z ..."""
    ticks: int
    """When it started, in clock ticks since boot."""


def since_boot(ticks: int) -> float:
    """Seconds since 1970 for clock ticks since boot."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / _TICK


def uid(pid: int) -> int | None:
    """Whose process it is; None when there is none."""
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return None


def _text(path: str) -> str | None:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read().decode(errors="replace")
    except OSError:
        return None


def status(pid: int) -> Status | None:
    """None when there is no such process, or another user's in a system that hides those."""
    try:
        fields = stat(pid)
    except OSError:
        return None
    return Status(int(fields[PARENT]), fields[STATE], int(fields[START]))


def command(pid: int) -> str:
    """Its command line; "" when there is none any more."""
    text = _text(f"/proc/{pid}/cmdline") or ""
    return " ".join(part if part and " " not in part else repr(part) for part in text.rstrip("\0").split("\0") if text)


def threads(pid: int) -> list[tuple[int, str]]:
    """Native id and name of each thread.

    Until Python 3.14 tells the kernel its threads' names, they have their process's: "python" says nothing, and is
    "a thread" here.
    """
    try:
        ids = [int(name) for name in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        return []
    inherited = _thread_name(pid, pid)
    names = [_thread_name(pid, id_) if id_ != pid else "MainThread" for id_ in ids]
    return sorted((id_, "a thread" if name == inherited else name) for id_, name in zip(ids, names, strict=True))


def _thread_name(pid: int, thread: int) -> str:
    return (_text(f"/proc/{pid}/task/{thread}/comm") or "").strip()


def arenas(pid: int) -> dict[int, str]:
    """The arenas that a process has open: path by inode, in the order of their descriptors.

    Raises: PermissionError where it is not this user's to see; FileNotFoundError or ProcessLookupError when it ended.
    """
    return _opened(pid, _ARENA)


def disk_arenas(pid: int) -> dict[int, str]:
    """The same of those that are not its family's only, but of all programs that have an object on disk open."""
    return _opened(pid, _DISK_ARENA)


def _opened(pid: int, name: str) -> dict[int, str]:
    folder = f"/proc/{pid}/fd"
    found: dict[int, str] = {}
    for number in sorted(os.listdir(folder), key=int):
        path = f"{folder}/{number}"
        try:
            if os.readlink(path) == name:
                found.setdefault(os.stat(path).st_ino, path)
        except OSError:
            continue  # closed meanwhile
    return found


def maps_arena(pid: int) -> bool:
    """Whether a process uses an arena, which it need not have open for that."""
    return _ARENA in (_text(f"/proc/{pid}/maps") or "")


def private_spans(pid: int) -> list[tuple[int, int]]:
    """Spans of a process's own memory that may be an arena for its threads: start and length."""
    bounds = [(int(start, 16), int(end, 16)) for start, end in _NAMELESS.findall(_text(f"/proc/{pid}/maps") or "")]
    return [(start, end - start) for start, end in bounds if end - start >= _LEAST_PRIVATE]


def processes() -> list[int]:
    """The pids of this user's processes."""
    me = os.geteuid()
    pids = []
    with os.scandir("/proc") as entries:
        for entry in entries:
            if entry.name.isdecimal():
                try:
                    mine = entry.stat().st_uid == me
                except OSError:
                    continue
                if mine:
                    pids.append(int(entry.name))
    return pids
