"""What a process and all its descendants use, from /proc: processor time, and memory counted once.

Memory is what could not be dropped: private pages (`Pss_Anon`: pages shared after fork are divided among those that
share them) of every process, plus every shared memory object (memfd, /dev/shm, shared mapping) that any of them holds
open or has mapped, once, with the pages it really has, plus the files in the scratch directory, which lies in
/dev/shm. Pages of ordinary files are not counted, mapped or read: the kernel may drop them at any time.

What is mapped but not open any more can be looked at by root only; others are told of none of it.

A sample takes some milliseconds in which the sampled processes may have to wait, so memory is sampled in a run of its
own. A peak shorter than the interval is missed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

INTERVAL_S = 0.05
TICKS = os.sysconf("SC_CLK_TCK")
SHARED = ("/memfd:", "/dev/shm/", "/dev/zero", "/SYSV")
BLOCK = 512  # bytes in a unit of st_blocks


def family_of(pid: int) -> list[int]:
    """The process and its descendants, as far as they live."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (fields := _stat(int(name))):
            children.setdefault(int(fields[1]), []).append(int(name))
    found = [pid]
    for member in found:
        found += children.get(member, ())
    return found


def cpu_seconds(pid: int) -> float:
    """Processor time of the family so far, of members that ended and were waited for too."""
    return sum(sum(map(int, fields[11:15])) for member in family_of(pid) if (fields := _stat(member))) / TICKS


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the state on; nothing if there is no such process any more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def memory_bytes(pid: int, scratch: Path | None = None) -> int:
    """The family's memory now; see the text of the module."""
    private = 0
    shared: dict[tuple[int, int], int] = {}
    for member in family_of(pid):
        try:
            private += _anonymous(member)
            shared.update(_shared_objects(member))
        except OSError:
            continue  # it has just ended
    for path in scratch.rglob("*") if scratch else ():
        try:
            status = path.stat()
            shared[status.st_dev, status.st_ino] = status.st_blocks * BLOCK
        except OSError:
            continue
    return private + sum(shared.values())


def _anonymous(pid: int) -> int:
    with open(f"/proc/{pid}/smaps_rollup") as lines:
        return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss_Anon:"))


def _shared_objects(pid: int) -> Iterator[tuple[tuple[int, int], int]]:
    """((device, inode), bytes it has) of each shared memory object the process holds open or has mapped."""
    links = [f"/proc/{pid}/fd/{name}" for name in os.listdir(f"/proc/{pid}/fd")]
    with open(f"/proc/{pid}/maps") as lines:
        for line in lines:
            parts = line.split(maxsplit=5)
            if len(parts) > 5 and parts[5].startswith(SHARED):
                links.append(f"/proc/{pid}/map_files/{parts[0]}")
    for link in links:
        try:
            if os.readlink(link).startswith(SHARED):
                status = os.stat(link)  # through the link: works for what has no name any more
                yield (status.st_dev, status.st_ino), status.st_blocks * BLOCK
        except OSError:
            continue


class Sampler:
    """Samples a family's memory in a thread until stopped; `peak` is the most it saw, in bytes."""

    def __init__(self, pid: int, scratch: Path) -> None:
        self.peak = 0
        self._pid, self._scratch = pid, scratch
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        self._stop.set()
        self._thread.join()
        return self.peak

    def _run(self) -> None:
        while not self._stop.is_set():
            self.peak = max(self.peak, memory_bytes(self._pid, self._scratch))
            self._stop.wait(INTERVAL_S)
