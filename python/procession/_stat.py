"""What the kernel tells of a process or a thread in one line: /proc/PID/stat."""

from __future__ import annotations

__all__ = ["PARENT", "START", "STATE", "STIME", "UTIME", "stat", "state_of"]

# Fields, counted from behind the command's name, in which anything may stand: a letter; a pid; clock ticks of work for
# the program and in the kernel; when it started, in ticks since boot
STATE, PARENT, UTIME, STIME, START = 0, 1, 11, 12, 19


def stat(of: int | str) -> list[str]:
    """The fields of a process, or of a thread (`PID/task/ID`). Raises: OSError when there is none, or no more."""
    with open(f"/proc/{of}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].decode().split()


def state_of(pid: int) -> str:
    """R, S, D, T, Z ...; X for a process that is gone."""
    try:
        return stat(pid)[STATE]
    except (OSError, IndexError):
        return "X"
