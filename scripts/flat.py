"""Is everything given back? `flat.py [TIMES [NAME ...]]`: makes, uses and drops each kind of object so many times.

A tenth of the times comes first, so that caches, code pages and warm blocks are there; then nothing may grow: objects
and bytes in the arena, descriptors and processes not at all, the memory of this process and of the arena's file by less
than GROWTH_BYTES, whatever the number of times. Prints a table, before and after; exit code 1 if something grew.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import time
from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import Any

import procession
from procession import _store
from procession.testing import descendants

GROWTH_BYTES = 2 << 20  # pages that the allocator keeps, or does not, from one time to the other
DEAR = {"process": 10, "pool": 10, "executor": 20, "killed": 10, "manager": 100}  # so many times fewer of these
FORK = procession.get_context("fork")
BLOCK = bytes(1 << 20)


@dataclass(frozen=True)
class Held:
    """What this process and its arena hold."""

    objects: int
    arena_bytes: int
    descriptors: int
    processes: int
    resident_bytes: int
    file_bytes: int  # pages of the arena's file

    @classmethod
    def now(cls) -> Held:
        """Look, once all garbage is gone."""
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        arena = _store.shared_arena()
        statistics = arena.statistics()
        with open("/proc/self/statm") as file:
            resident, shared = (int(word) for word in file.read().split()[1:3])
        return cls(
            statistics["objects"],
            statistics["used"],
            len(os.listdir("/proc/self/fd")),
            len(descendants(os.getpid())),
            (resident - shared) * os.sysconf("SC_PAGE_SIZE"),
            os.fstat(arena.fd).st_blocks * 512,
        )

    def has_grown_since(self, before: Held) -> bool:
        """Whether there is more of something."""
        counts = (self.objects, self.arena_bytes, self.descriptors, self.processes)
        counted = (before.objects, before.arena_bytes, before.descriptors, before.processes)
        return (
            any(now > then for now, then in zip(counts, counted, strict=True))
            or self.resident_bytes > before.resident_bytes + GROWTH_BYTES
            or self.file_bytes > before.file_bytes + GROWTH_BYTES
        )


# What is made, used and dropped


def double(number: int) -> int:
    return 2 * number


def lock(make: Callable[[], Any] = FORK.Lock) -> None:
    with make():
        pass


def event() -> None:
    FORK.Event().set()


def barrier() -> None:
    FORK.Barrier(1).wait()


def condition() -> None:
    one = FORK.Condition()
    with one:
        one.notify_all()


def queue() -> None:
    one = FORK.Queue()
    one.put({"number": 1})
    one.get()


def unread_queue() -> None:
    one = FORK.JoinableQueue(8)
    for _ in range(4):
        one.put(BLOCK)
    one.get()


def nested_queue() -> None:
    """A queue in a queue, with a lock in it: all dropped on their way."""
    outer, inner = FORK.Queue(), FORK.Queue()
    inner.put(FORK.Lock())
    outer.put(inner)


def pipe() -> None:
    left, right = FORK.Pipe()
    left.send(BLOCK[:100_000])
    right.recv()


def value() -> None:
    FORK.Value("i", 1).value += 1
    FORK.Array("d", 100)[7] = 1.0


def cycle() -> None:
    one: Any = [FORK.Queue(), FORK.Lock(), FORK.Pipe(), FORK.Value("i")]
    one[0].put(one[1])
    one.append(one)


def process() -> None:
    child = FORK.Process(target=double, args=(2,))
    child.start()
    assert child.result() == 4


def pool() -> None:
    with FORK.Pool(1) as one:
        assert one.apply(double, (2,)) == 4
    one.join()


def executor() -> None:
    with procession.Executor(1, mp_context=FORK) as one:
        assert one.submit(double, 2).result() == 4


def manager() -> None:
    with FORK.Manager() as one:
        one.dict(a=1)


def hold_and_die(given: Any) -> None:
    """Holds much, locked, in flight and half received, and is killed."""
    held = [FORK.Lock() for _ in range(50)]
    for one in held:
        one.acquire()
    queues = [FORK.Queue() for _ in range(20)]
    for one in queues:
        one.put([held[0], BLOCK[:200_000]])
        given.put(one)
    queues[0].get()
    given.get()
    os.kill(os.getpid(), 9)


def killed() -> None:
    given = FORK.Queue()
    child = FORK.Process(target=hold_and_die, args=(given,))
    child.start()
    child.join()
    assert child.exitcode == -9


KINDS: dict[str, Callable[[], None]] = {
    "lock": lock,
    "rlock": lambda: lock(FORK.RLock),
    "semaphore": lambda: lock(FORK.Semaphore),
}
for _kind in (event, barrier, condition, queue, unread_queue, nested_queue, pipe, value, cycle):
    KINDS[_kind.__name__] = _kind
for _kind in (process, pool, executor, manager, killed):
    KINDS[_kind.__name__] = _kind


def measure(make: Callable[[], object], times: int, settle_s: float = 2.0) -> tuple[Held, Held, float]:
    """Make and drop so many; what was held before and after (within `settle_s`), and the seconds between."""
    for _ in range(max(times // 10, 2)):
        make()
    before = Held.now()
    began = time.monotonic()
    for _ in range(times):
        make()
    seconds = time.monotonic() - began
    end = time.monotonic() + settle_s
    while (after := Held.now()).has_grown_since(before) and time.monotonic() < end:
        time.sleep(0.01)  # those that were killed are taken off the arena a moment later
    return before, after, seconds


def main(times: int, names: list[str]) -> int:
    """Print the table; 1 if anything grew."""
    print(f"{'':14}{'times':>7}{'s':>7}  objects    arena B      fds  processes    resident KiB    file KiB")
    grown = 0
    for name in names or KINDS:
        count = max(times // DEAR.get(name, 1), 5)
        before, after, seconds = measure(KINDS[name], count)
        cells = [
            f"{then >> shift}→{now >> shift}"
            for then, now, shift in zip(astuple(before), astuple(after), (0, 0, 0, 0, 10, 10), strict=True)
        ]
        mark = " GREW" if after.has_grown_since(before) else ""
        grown += bool(mark)
        print(
            f"{name:14}{count:>7}{seconds:>7.1f}  {cells[0]:<9}  {cells[1]:<11}  {cells[2]:<6} {cells[3]:<9}  "
            f"{cells[4]:<14}  {cells[5]}{mark}",
            flush=True,
        )
    return int(grown > 0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000, sys.argv[2:]))
