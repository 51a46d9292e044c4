"""How much memory a keyed map-reduce takes, and when it goes to disk instead. Numbers in, numbers out.

The budget is for the tables in which workers combine, the spools in memory and the answer; interpreters, and what the
map function itself makes, come on top. With a budget of B and w workers:

* a worker's table may grow to B / (4 w), so all of them to a quarter; then it is written to a spool;
* spools are in memory as long as what is spooled, and what the running shares may still add, fits into B / 2;
* the answer is in memory if it fits into B together with the spools there, else on disk; it is assumed to be as large
  as everything spooled, which is the most it can be;
* of plain items, about B / 64 (at most 64 MiB) lies in the queue, and of an iterator's four times that is kept besides,
  until a share that mapped them has returned.

So tables and spools take at most three quarters at a time, and the answer is made when the tables are gone. A budget
that somebody named is a promise: a share that is given one huge item may write more than its table held, so spools are
on disk from the beginning unless the input is known to be small.
"""

from __future__ import annotations

import os
from time import monotonic

from .._cpu import _read, _walk

TYPE_CHECKING = False  # `typing` is slow to import, and workers should start quickly
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Budget", "available_bytes", "budget_of"]

SMALLEST_TABLE = 64 << 10  # bytes: below this a table is mostly overhead, and runs become too many
REMEMBERED_S = 1.0
LEAST_AHEAD, MOST_AHEAD = 1 << 20, 64 << 20  # bytes; arbitrary
EXPANSION = 4  # bytes of table that a byte of input may make; a guess from word counts (about 2) with room


class Budget:
    """What may be used by whom."""

    __slots__ = ("ahead_bytes", "named", "table_bytes", "total_bytes")

    def __init__(self, total_bytes: int, workers: int, *, named: bool) -> None:
        self.total_bytes: int = total_bytes
        self.named: bool = named
        self.table_bytes: int = max(SMALLEST_TABLE, total_bytes // (4 * workers))
        self.ahead_bytes: int = min(MOST_AHEAD, max(LEAST_AHEAD, total_bytes // 64))

    def spool_on_disk(self, in_memory_bytes: int, running: int, input_bytes: int | None) -> bool:
        """Whether the next share's spool is to be on disk: so much is in memory, so many shares run besides."""
        if self.named and (input_bytes is None or input_bytes * EXPANSION > self.total_bytes):
            return True
        return in_memory_bytes + (running + 1) * self.table_bytes > self.total_bytes // 2

    def answer_on_disk(self, in_memory_bytes: int, spooled_bytes: int) -> bool:
        """Whether the answer is to be on disk, with so much spooled, a part of it in memory."""
        return in_memory_bytes + spooled_bytes > self.total_bytes


def budget_of(named: int | None, workers: int) -> Budget:
    """The budget: what was named, else half of the memory that is available now.

    Raises: TypeError, ValueError for what is no number of bytes.
    """
    if named is None:
        return Budget(_available_lately() // 2, workers, named=False)
    if not isinstance(named, int) or isinstance(named, bool):
        raise TypeError(f"memory_budget is a number of bytes, an int, not {type(named).__name__}")
    if named < 1:
        raise ValueError(f"memory_budget is a number of bytes, at least 1, not {named}")
    return Budget(named, workers, named=True)


_known = (-REMEMBERED_S, 0)  # when memory was looked at last, and what was available


def _available_lately() -> int:
    """As `available_bytes`, looked up at most once a second: the files take longer to read than a small call."""
    global _known
    now = monotonic()
    if now - _known[0] >= REMEMBERED_S:
        _known = now, available_bytes()
    return _known[1]


def available_bytes(root: str = "/") -> int:
    """Memory that could be taken without swapping: the machine's, or what is left to a control group if less.

    `root` is where /proc and /sys are found, for tests.
    """
    counts = [_machine(root), *_groups(root)]
    return max(1, min(counts))


def _machine(root: str) -> int:
    for line in (_read(root, "proc/meminfo") or "").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return int(os.sysconf("SC_PAGE_SIZE")) * int(os.sysconf("SC_PHYS_PAGES")) // 2


def _groups(root: str) -> Iterator[int]:
    """What is left of each limit this process is under, cached files counted as free."""
    for line in (_read(root, "proc/self/cgroup") or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            yield from _walk(root, "sys/fs/cgroup", path, _left_v2)
        elif "memory" in controllers.split(","):
            yield from _walk(root, "sys/fs/cgroup/memory", path, _left_v1)


def _left_v2(root: str, group: str) -> int | None:
    return _left(root, group, "memory.max", "memory.current")


def _left_v1(root: str, group: str) -> int | None:
    return _left(root, group, "memory.limit_in_bytes", "memory.usage_in_bytes")


def _left(root: str, group: str, limit: str, usage: str) -> int | None:
    most, used = _read(root, f"{group}/{limit}"), _read(root, f"{group}/{usage}")
    try:
        left = int(most or "") - int(used or "")
    except ValueError:  # "max", or no such file
        return None
    cached = 0
    for line in (_read(root, f"{group}/memory.stat") or "").splitlines():
        if line.startswith(("inactive_file ", "active_file ")):
            cached += int(line.split()[1])
    return left + cached
