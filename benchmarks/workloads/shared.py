"""Locks, Values and Arrays: single operations in one process, and a lock that four processes fight for."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from functools import partial
from time import perf_counter_ns

from benchmarks.measure import Meeting, Party, pace, statement, together
from benchmarks.model import Costs, Scale, Workload
from benchmarks.rivals import Rival

FIGHTERS = 4
ARRAY_LENGTH = 1000


def lock_statement(rival: Rival, scale: Scale, code: str) -> Costs:
    lock = rival.primitive("Lock")
    cost = statement(code, scale, lock=lock, acquire=lock.acquire, release=lock.release)
    assert lock.acquire(False), "left locked"
    return {"": cost}


def contended(rival: Rival, scale: Scale) -> Costs:
    """Nanoseconds per acquire and release, all processes together; a shared counter shows that the lock excludes."""
    lock = rival.primitive("Lock")
    counter = memoryview(mmap.mmap(-1, 8)).cast("q")

    def fight(n: int, meeting: Meeting) -> tuple[int, int]:
        meeting.wait()
        began = perf_counter_ns()
        for _ in range(n):
            lock.acquire()
            counter[0] += 1
            lock.release()
        return began, perf_counter_ns()

    def run(n: int) -> int:
        counter[0] = 0
        each = max(n // FIGHTERS, 1)
        parties: list[Party[tuple[int, int]]] = [partial(fight, each)] * FIGHTERS
        spans = together(rival, parties)
        assert counter[0] == each * FIGHTERS, "the lock let two in"
        return (max(end for _, end in spans) - min(begin for begin, _ in spans)) * n // (each * FIGHTERS)

    return {"": pace(run, scale, first=4000)}


def value_statement(rival: Rival, scale: Scale, code: str) -> Costs:
    value = rival.primitive("Value", "i", 7)
    cost = statement(code, scale, v=value)
    assert value.value >= 7
    return {"": cost}


def locked_add(rival: Rival, scale: Scale) -> Costs:
    value = rival.primitive("Value", "q", 0)
    done = 0

    def run(n: int) -> int:
        nonlocal done
        done += n
        began = perf_counter_ns()
        for _ in range(n):
            with value.get_lock():
                value.value += 1
        return perf_counter_ns() - began

    cost = pace(run, scale)
    assert value.value == done, "lost an addition"
    return {"": cost}


def array_statement(rival: Rival, scale: Scale, code: str) -> Costs:
    array = rival.primitive("Array", "i", range(ARRAY_LENGTH))
    assert list(array[:]) == list(range(ARRAY_LENGTH))
    cost = statement(code, scale, a=array)
    assert array[500] == 500
    return {"": cost}


def _of(run: Callable[..., Costs], name: str, about: str, code: str) -> Workload:
    return Workload(name, about, partial(run, code=code))


WORKLOADS = (
    _of(lock_statement, "lock.pair", "acquire() and release(), bound beforehand, one process", "acquire(); release()"),
    _of(
        lock_statement,
        "lock.methods",
        "lock.acquire() and lock.release(), one process",
        "lock.acquire(); lock.release()",
    ),
    _of(lock_statement, "lock.with", "with lock: pass, one process", "with lock: pass"),
    Workload("lock.contended", "acquire, add one to a shared counter, release; 4 processes", contended),
    _of(value_statement, "value.get", "v.value", "v.value"),
    _of(value_statement, "value.set", "v.value = 7", "v.value = 7"),
    Workload("value.locked-add", "with v.get_lock(): v.value += 1", locked_add),
    _of(array_statement, "value.array-get", "array[i] of an Array('i', 1000)", "a[500]"),
    _of(array_statement, "value.array-set", "array[i] = x", "a[500] = 500"),
    _of(array_statement, "value.array-slice", "array[:] of 1000 ints", "a[:]"),
)
