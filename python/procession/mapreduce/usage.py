"""What a run costs: processor time and memory of the parent and its workers together, read from /proc.

Workers are asked while they live, because those of a forkserver are nobody's children here. Memory is counted as PSS:
each page once, divided among those that share it, so that shared memory does not count twice and a forked worker is not
charged with what is still its parent's.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable

from .._stat import STIME, UTIME, stat

__all__ = ["Usage"]

MEMORY_SECONDS = 0.5  # between looks at memory: the kernel walks all page tables, some ms for each GiB


class Usage:
    """A meter that is read while a run goes on. `cpu_seconds` and `peak_bytes` are what it has seen so far."""

    def __init__(self) -> None:
        self._before = {os.getpid(): cpu_seconds(os.getpid())}
        self._cpu: dict[int, float] = {}
        self._looked = float("-inf")
        self.peak_bytes: int = 0

    @property
    def cpu_seconds(self) -> float:
        """Processor time since this meter was made, of this process and of every worker seen."""
        return sum(seconds - self._before.get(pid, 0.0) for pid, seconds in self._cpu.items())

    def look(self, pids: Iterable[int], *, now: bool = False) -> None:
        """Reads the meters of this process and these; memory only if it was not looked at recently, or `now`."""
        family = {os.getpid(), *pids}
        for pid in family:
            with contextlib.suppress(OSError):  # it has just ended; what was seen last stands
                self._cpu[pid] = cpu_seconds(pid)
        if now or time.monotonic() - self._looked >= MEMORY_SECONDS:
            self._looked = time.monotonic()
            self.peak_bytes = max(self.peak_bytes, sum(map(memory_bytes, family)))


def cpu_seconds(pid: int) -> float:
    """Processor time a process has used, its threads together. Raises OSError if there is no such process."""
    fields = stat(pid)
    return (int(fields[UTIME]) + int(fields[STIME])) / os.sysconf("SC_CLK_TCK")


def memory_bytes(pid: int) -> int:
    """The PSS of a process; 0 if it cannot be read."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) << 10
    except OSError:
        pass
    return 0
