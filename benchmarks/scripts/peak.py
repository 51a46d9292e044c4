"""Peak memory of a process and its descendants, in MiB: `peak.py PID`. Says "ready", samples until stdin ends, prints.

Memory is what the system would get back if all of them ended: of each process its proportional share (PSS) of all
mappings but shared memory, and each anonymous memory file (memfd) once, with the pages it has: the pages of such a file
exist whether or not anybody has them mapped, so that no sum over mappings finds them all.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator
from contextlib import suppress

EVERY_S = 0.01


def family(pid: int) -> Iterator[int]:
    yield pid
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children") as children:
                for child in children.read().split():
                    yield from family(int(child))


def mapped_kib(pid: int) -> int:
    """Its share of what it has mapped, without shared memory."""
    fields = {}
    with suppress(OSError), open(f"/proc/{pid}/smaps_rollup") as lines:
        for line in lines:
            name, _, value = line.partition(":")
            fields[name] = value.split()[0]
    return int(fields.get("Pss", 0)) - int(fields.get("Pss_Shmem", 0))


def memory_files(pid: int) -> Iterator[tuple[int, int]]:
    """Inode and bytes of each memfd it has open."""
    with suppress(OSError):
        for number in os.listdir(f"/proc/{pid}/fd"):
            path = f"/proc/{pid}/fd/{number}"
            with suppress(OSError):
                if os.readlink(path).startswith("/memfd:"):
                    status = os.stat(path)
                    yield status.st_ino, status.st_blocks * 512


def now_mib(pid: int) -> float:
    everyone = list(family(pid))
    files = dict(pair for member in everyone for pair in memory_files(member))
    return sum(mapped_kib(member) for member in everyone) / 1024 + sum(files.values()) / 2**20


def main() -> None:
    pid, peak = int(sys.argv[1]), 0.0
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], EVERY_S)[0]:
        peak = max(peak, now_mib(pid))
    print(peak)


if __name__ == "__main__":
    main()
