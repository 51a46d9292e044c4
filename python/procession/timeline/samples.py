"""Memory and CPU time of a recording's processes, sampled from outside while they run.

The file `samples` in the recording's directory has a line for each: when (nanoseconds of the machine's clock), pid,
bytes resident, bytes of these that are shared with others (mapped files and shared memory), CPU time in nanoseconds.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .._stat import STIME, UTIME, stat, state_of

__all__ = ["Sample", "Sampler", "samples"]

FILE = "samples"


class Sample(NamedTuple):
    """One look at one process."""

    time: int
    pid: int
    resident: int
    shared: int
    cpu: int


class Sampler:
    """Looks at each process that has a file in a recording."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._file = open(Path(directory, FILE), "a", encoding="ascii", buffering=1 << 16)  # noqa: SIM115
        self._page = os.sysconf("SC_PAGE_SIZE")
        self._tick = 1_000_000_000 // os.sysconf("SC_CLK_TCK")

    def pids(self) -> set[int]:
        """The processes of the recording that still run."""
        return {pid for pid in self._recorded() if state_of(pid) not in "ZX"}

    def _recorded(self) -> set[int]:
        names = os.listdir(self._directory)
        heads = {name.partition("-")[0] for name in names if name.endswith(".records")}
        return {int(head) for head in heads if head.isdigit()}

    def look(self) -> None:
        """Take one sample of each."""
        now = time.monotonic_ns()
        for pid in self._recorded():
            try:
                with open(f"/proc/{pid}/statm", "rb") as file:
                    _, resident, shared = map(int, file.read().split()[:3])
                fields = stat(pid)
            except (OSError, ValueError):
                continue
            if resident:
                cpu = (int(fields[UTIME]) + int(fields[STIME])) * self._tick
                self._file.write(f"{now} {pid} {resident * self._page} {shared * self._page} {cpu}\n")
        self._file.flush()

    def close(self) -> None:
        """Give back the file."""
        self._file.close()


def samples(directory: str | os.PathLike[str]) -> Iterator[Sample]:
    """What was sampled, oldest first; half a line at the end is left out."""
    try:
        file = open(Path(directory, FILE), encoding="ascii", errors="replace")  # noqa: SIM115
    except OSError:
        return
    with file:
        for line in file:
            try:
                yield Sample(*map(int, line.split()))
            except (TypeError, ValueError):
                continue
