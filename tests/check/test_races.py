"""The rules of the race detector, on records made by hand: no process, no schedule."""

import itertools
import time
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from procession.check import events, races
from procession.check.finding import Finding

Record = namedtuple("Record", "time ticket pid thread kind flags arena object a b site stack extra")

PROGRAM = """\
def add(x, lock):
    x.value += 1
    seen = x.value
    x.value = seen + 1
    x.value = 5
    while not x.value:
        pass
    a[0:6] = data
    a.value = 1
    print(x.value)
    for i in y:
        if x.value:
            break
    x.value = x.value + 1
"""
X, Y, LOCK, OTHER, SIGNAL = 100, 200, 300, 400, 500


class Run:
    """Records as the processes of a run would write them, `t(1)` the main thread of process 1."""

    def __init__(self, file: Path) -> None:
        self.file, self.records, self.tickets = file, [], itertools.count(1)
        self.guards: dict[int, int] = {}

    def write(self, pid: int, kind: int, obj: int = 0, a: int = 0, b: int = 0, line: int = 0, flags: int = 0) -> None:
        site = f"{self.file}:{line} in add" if line else ""
        ticket = next(self.tickets) if kind <= events.JOINED else 0
        stack = (site,) if site else ()
        self.records.append(Record(0, ticket, pid, pid, kind, flags, 7, obj, a, b, site, stack, 0))

    def guarded(self, obj: int = X, lock: int = LOCK) -> None:
        self.guards[obj] = lock

    def access(self, pid: int, kind: int, line: int, obj: int, span: tuple[int, int], flags: int) -> None:
        guard = 0 if flags & events.RAW else self.guards.get(obj, 0)
        self.write(pid, kind, obj, span[0] << 32 | span[1], guard, line, flags)

    def read(self, pid: int, line: int, obj: int = X, span: tuple[int, int] = (0, 4), flags: int = 0) -> None:
        self.access(pid, events.READ, line, obj, span, flags)

    def put(self, pid: int, line: int, obj: int = X, span: tuple[int, int] = (0, 4), flags: int = 0) -> None:
        self.access(pid, events.WRITE, line, obj, span, flags)

    def update(self, pid: int, line: int = 2, obj: int = X, flags: int = 0) -> None:
        self.read(pid, line, obj, flags=flags)
        self.put(pid, line, obj, flags=flags)

    def sync(self, pid: int, kind: int, obj: int) -> None:
        self.write(pid, kind, obj)

    def found(self) -> list[Finding]:
        return races.analyse(self.records)

    def kinds(self) -> list[str]:
        return [finding.kind for finding in self.found()]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    return Run(file)


RAW = events.RAW


def test_an_update_by_two_processes_is_lost(run: Run) -> None:
    run.guarded()
    run.update(1)
    run.update(2)
    (finding,) = run.found()
    assert finding.kind == "lost-update"
    assert [place.line for place in finding.places] == [2, 2]
    assert {place.process for place in finding.places} == {"pid 1", "pid 2"}
    assert finding.advice[:2] == ("with x.get_lock():", "    x.value += 1")
    assert "x" in finding.title


def test_through_a_variable(run: Run) -> None:
    for pid in (1, 2):
        run.read(pid, 3)
        run.put(pid, 4)
    (finding,) = run.found()
    assert {place.line for place in finding.places} == {3, 4}


def test_in_one_assignment(run: Run) -> None:
    run.update(1, 14)
    run.update(2, 14)
    assert run.kinds() == ["lost-update"]


def test_against_a_plain_write(run: Run) -> None:
    run.guarded()
    run.update(1)
    run.put(2, 5)
    (finding,) = run.found()
    assert {place.line for place in finding.places} == {2, 5}


def test_a_plain_write_waits_for_the_lock_of_the_value(run: Run) -> None:
    run.guarded()
    run.sync(1, events.LOCK, LOCK)
    run.update(1)
    run.sync(1, events.UNLOCK, LOCK)
    run.put(2, 5)
    assert run.found() == []


def test_single_reads_and_writes_of_a_value_are_no_race(run: Run) -> None:
    run.guarded()
    run.put(1, 5)
    run.read(2, 10)
    run.put(2, 5)
    assert run.found() == []


def test_reading_and_then_writing_something_else_is_no_update(run: Run) -> None:
    run.guarded()
    for pid in (1, 2):
        run.read(pid, 10)
        run.put(pid, 5)
    assert run.found() == []


@pytest.mark.parametrize("lock", [LOCK, OTHER])
def test_a_lock_around_both_is_enough(run: Run, lock: int) -> None:
    run.guarded()
    for pid in (1, 2):
        run.sync(pid, events.LOCK, lock)
        run.update(pid)
        run.sync(pid, events.UNLOCK, lock)
    assert run.found() == []


def test_two_different_locks_are_not(run: Run) -> None:
    for pid, lock in ((1, LOCK), (2, OTHER)):
        run.sync(pid, events.LOCK, lock)
        run.update(pid)
        run.sync(pid, events.UNLOCK, lock)
    assert run.kinds() == ["lost-update"]


def test_nor_is_one_side_only(run: Run) -> None:
    run.sync(1, events.LOCK, LOCK)
    run.update(1)
    run.sync(1, events.UNLOCK, LOCK)
    run.update(2)
    assert run.kinds() == ["lost-update"]


def test_a_lock_let_go_between_read_and_write_does_not_help_whatever_the_order_was(run: Run) -> None:
    for pid in (1, 2):
        for step, line in ((run.read, 3), (run.put, 4)):
            run.sync(pid, events.LOCK, LOCK)
            step(pid, line)
            run.sync(pid, events.UNLOCK, LOCK)
    assert run.kinds() == ["lost-update"]


def test_a_recursive_lock_is_held_until_the_last_release(run: Run) -> None:
    for pid in (1, 2):
        run.sync(pid, events.LOCK, LOCK)
        run.sync(pid, events.LOCK, LOCK)
        run.read(pid, 3)
        run.sync(pid, events.UNLOCK, LOCK)
        run.put(pid, 4)
        run.sync(pid, events.UNLOCK, LOCK)
    assert run.found() == []


@pytest.mark.parametrize("flags", [0, RAW])
def test_a_message_orders(run: Run, flags: int) -> None:
    run.update(1, flags=flags)
    run.sync(1, events.RELEASE, SIGNAL)
    run.sync(2, events.ACQUIRE, SIGNAL)
    run.update(2, flags=flags)
    assert run.found() == []


def test_a_message_before_the_write_does_not(run: Run) -> None:
    run.sync(1, events.RELEASE, SIGNAL)
    run.put(1, 5, flags=RAW)
    run.sync(2, events.ACQUIRE, SIGNAL)
    run.read(2, 10, flags=RAW)
    (finding,) = run.found()
    assert finding.kind == "race"
    assert {place.line for place in finding.places} == {5, 10}


def test_the_end_of_a_process_orders(run: Run) -> None:
    run.sync(1, events.RELEASE, SIGNAL)
    run.sync(2, events.ACQUIRE, SIGNAL)
    run.put(2, 5, flags=RAW)
    run.write(1, events.JOINED, 0, 0, 2)
    run.read(1, 10, flags=RAW)
    assert run.found() == []


def test_bare_memory(run: Run) -> None:
    run.put(1, 5, flags=RAW)
    run.put(2, 9, flags=RAW)
    (finding,) = run.found()
    assert finding.kind == "race"
    assert {place.line for place in finding.places} == {5, 9}


def test_bare_memory_with_an_unlocked_side(run: Run) -> None:
    run.sync(1, events.LOCK, LOCK)
    run.put(1, 5, flags=RAW)
    run.sync(1, events.UNLOCK, LOCK)
    run.read(2, 10, flags=RAW)
    assert run.kinds() == ["race"]


def test_the_objects_own_lock_taken_by_hand_excludes_locked_accesses(run: Run) -> None:
    run.guarded()
    run.sync(1, events.LOCK, LOCK)
    run.put(1, 5, flags=RAW)
    run.sync(1, events.UNLOCK, LOCK)
    run.put(2, 5)
    assert run.found() == []


def test_bare_updates_are_told_once(run: Run) -> None:
    run.update(1, flags=RAW)
    run.update(2, flags=RAW)
    assert run.kinds() == ["lost-update"]


def test_other_bytes_and_other_objects(run: Run) -> None:
    run.put(1, 5, span=(0, 4), flags=RAW)
    run.put(2, 5, span=(4, 8), flags=RAW)
    run.put(2, 5, Y, flags=RAW)
    run.put(1, 5, X, span=(8, 800), flags=RAW)
    run.put(2, 5, X, span=(800, 1600), flags=RAW)
    assert run.found() == []


def test_slices_over_each_other(run: Run) -> None:
    run.guarded()
    run.put(1, 8, span=(0, 24), flags=events.SLICE)
    run.put(2, 8, span=(16, 40), flags=events.SLICE)
    (finding,) = run.found()
    assert finding.kind == "race"
    assert finding.details["bytes"] == [16, 24]


def test_a_snapshot_of_an_array_is_no_race(run: Run) -> None:
    run.guarded()
    run.put(1, 9, span=(0, 4))
    run.read(2, 10, span=(0, 40), flags=events.SLICE)
    run.put(1, 8, span=(0, 40), flags=events.SLICE)
    assert run.found() == []


def test_a_slice_of_bare_memory_and_an_item(run: Run) -> None:
    run.put(1, 8, span=(0, 40), flags=RAW | events.SLICE)
    run.read(2, 10, span=(12, 16), flags=RAW)
    assert run.kinds() == ["race"]


@pytest.mark.parametrize("line", [6, 12])
def test_a_polled_flag_publishes(run: Run, line: int) -> None:
    run.put(1, 9, Y, flags=RAW)
    run.put(1, 5, flags=RAW)
    run.read(2, line, flags=RAW)
    run.read(2, 10, Y, flags=RAW)
    assert run.found() == []


def test_a_step_of_its_own_loses_nothing_and_is_lost(run: Run) -> None:
    run.access(1, events.UPDATE, 9, X, (0, 4), 0)
    run.access(2, events.UPDATE, 9, X, (0, 4), 0)
    assert run.found() == []
    run.update(2)
    assert run.kinds() == ["lost-update"]


def test_a_lock_handed_over_as_a_signal_orders(run: Run) -> None:
    run.sync(1, events.LOCK, LOCK)
    run.put(2, 5, flags=RAW)
    run.sync(2, events.UNLOCK, LOCK)
    run.sync(1, events.LOCK, LOCK)
    run.read(1, 10, flags=RAW)
    assert run.found() == []


def test_private_objects_of_two_processes_are_two(run: Run) -> None:
    for pid in (1, 2):
        run.put(pid, 5, flags=RAW | events.PRIVATE)
    assert run.found() == []


def test_a_process_with_other_synchronisation_is_left_out(run: Run) -> None:
    run.update(1)
    run.update(2)
    run.write(2, events.UNSEEN)
    assert run.found() == []


def test_many_objects_at_the_same_lines_are_one_finding(run: Run) -> None:
    for obj in range(1000, 1100):
        run.update(1, obj=obj)
        run.update(2, obj=obj)
    assert run.kinds() == ["lost-update"]


def test_names_of_processes_and_threads(run: Run) -> None:
    run.records.append(Record(0, 0, 2, 2, 2, 0, 0, 0, 0, 0, "worker-1", (), 0))
    run.update(1)
    run.update(2)
    (finding,) = run.found()
    assert "worker-1, pid 2" in {place.process for place in finding.places}


def test_without_the_source_nothing_is_claimed(run: Run) -> None:
    run.file = Path("/nowhere/program.py")
    run.update(1)
    run.update(2)
    assert run.found() == []


@pytest.mark.slow
@pytest.mark.parametrize("bytes_each", [8, 80])
def test_the_analysis_streams(run: Run, bytes_each: int) -> None:
    """Memory and time for an access stay the same, however many there are, of items and of slices."""
    site = f"{run.file}:2 in add"

    def records() -> Iterator[Any]:
        for i in range(25_000):
            place, pid = i % 5000 * bytes_each, 1 + i % 4
            for kind in (events.LOCK, events.READ, events.WRITE, events.UNLOCK):
                obj, ticket = (LOCK, i) if kind <= events.JOINED else (X, 0)
                yield Record(0, ticket, pid, pid, kind, 0, 7, obj, place << 32 | place + bytes_each, 0, site, (), 0)

    began = time.process_time()
    assert races.analyse(records()) == []
    print(f"\n{(time.process_time() - began) * 10:.1f} s for a million records")


def test_a_read_that_was_left_out_is_no_part_of_an_update(run: Run) -> None:
    for pid in (1, 2):
        run.read(pid, 3)
        run.read(pid, 3, flags=events.AGAIN)
        run.put(pid, 4)
    assert run.found() == []


def test_a_read_that_was_left_out_may_have_waited(run: Run) -> None:
    run.read(2, 6)
    run.put(1, 9, Y, flags=RAW)
    run.put(1, 5)
    run.read(2, 6, flags=events.AGAIN)
    run.read(2, 10, Y, flags=RAW)
    assert run.found() == []
