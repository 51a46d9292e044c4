"""What a process records for the race detector, and how little of it."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from procession import _native, _recording, synchronize
from procession.check import events

PRELUDE = """\
import ctypes, os, threading, queue
import procession as mp
from procession import _recording
_recording.begin({directory!r}, _recording.CHECK)
from procession.check import hooks
hooks.watch()
"""


def recorded(tmp_path: Path, text: str) -> list[Any]:
    """The records of a program of its own, those of the detector only."""
    directory = tmp_path / "recording"
    directory.mkdir()
    program = tmp_path / "program.py"
    program.write_text(PRELUDE.format(directory=str(directory)) + textwrap.dedent(text))
    subprocess.run([sys.executable, str(program)], check=True, timeout=50)
    return [record for record in _recording.read(directory, "ticket") if record.kind >= events.RELEASE]


def spans(records: list[Any]) -> list[tuple[int, int, int, int]]:
    accesses = [record for record in records if events.READ <= record.kind <= events.UPDATE]
    return [(record.kind, *events.span_of(record), record.flags & 7) for record in accesses]


R, W, U, RAW, SLICE = events.READ, events.WRITE, events.UPDATE, events.RAW, events.SLICE


def test_nothing_is_replaced_where_nothing_is_recorded() -> None:
    from procession.check import hooks

    if _native.recording() & _recording.CHECK:
        pytest.skip("this run is checked itself")
    before = vars(_native.Lock)["acquire"], vars(_native.Value)["value"], synchronize.Event.set
    hooks.watch()
    assert before == (vars(_native.Lock)["acquire"], vars(_native.Value)["value"], synchronize.Event.set)


def test_values(tmp_path: Path) -> None:
    records = recorded(
        tmp_path,
        """
        x = mp.Value("i", lock=mp.Lock())
        x.value = 3
        x.value
        x.add(2), x.exchange(4), x.compare_exchange(4, 5)
        """,
    )
    assert spans(records) == [(W, 0, 4, 0), (R, 0, 4, 0), (U, 0, 4, 0)]  # one place, the same bytes: once
    assert len({record.b for record in records}) == 1  # the lock
    assert all(record.site.endswith("in <module>") for record in records)


def test_arrays(tmp_path: Path) -> None:
    records = recorded(
        tmp_path,
        """
        a = mp.Array("h", 10)
        a[3] = 1
        a[-1]
        a[2:5] = [1, 2, 3]
        a[5:2:-1]
        a[0:8:2]
        a[4:4]
        a[:]
        """,
    )
    expected = [(W, 6, 8, 0), (R, 18, 20, 0), (W, 4, 10, SLICE), (R, 6, 12, SLICE), (R, 0, 2, SLICE), (R, 0, 20, SLICE)]
    assert spans(records) == expected


def test_bare_memory(tmp_path: Path) -> None:
    records = recorded(
        tmp_path,
        """
        class Point(ctypes.Structure):
            _fields_ = [("x", ctypes.c_double), ("name", ctypes.c_char * 4), ("y", ctypes.c_int)]
        class Point3(Point):
            _fields_ = [("z", ctypes.c_short)]
        v, a, p = mp.RawValue("d", 1.5), mp.RawArray("i", [1, 2, 3]), mp.RawValue(Point3, 1)
        v.value = v.value + 1
        a[1] = 5
        assert a[:] == [1, 5, 3] and list(a) == [1, 5, 3]
        p.y, p.z = 4, 5
        assert (v.value, p.x, p.y, p.z) == (2.5, 1, 4, 5)
        assert isinstance(v, ctypes.c_double) and isinstance(p, Point)
        mp.Array("i", 2).get_obj()[1] = 1
        text = mp.RawArray("c", 5)
        text.value = b"abc"
        assert text.value == b"abc"
        """,
    )
    found = spans(records)
    assert all(flags & RAW for *_, flags in found)
    begin = found.index((R, 0, 8, RAW))  # before that the array got its first items
    assert found[begin : begin + 3] == [(R, 0, 8, RAW), (W, 0, 8, RAW), (W, 4, 8, RAW)]
    assert (R, 0, 12, RAW | SLICE) in found
    assert {(W, 12, 16, RAW), (W, 16, 18, RAW), (R, 0, 8, RAW), (W, 0, 5, RAW), (R, 0, 5, RAW)} <= set(found)


@pytest.mark.slow
def test_a_long_loop_leaves_little(tmp_path: Path) -> None:
    records = recorded(
        tmp_path,
        """
        x, lock = mp.Value("q"), mp.Lock()
        for _ in range(100_000):
            with lock:
                x.value += 1
        """,
    )
    assert 40 < len(records) < 200
    kinds = [record.kind for record in records]
    assert kinds[:4] == [events.LOCK, R, W, events.UNLOCK]


def test_a_lock_is_written_before_what_is_done_with_it(tmp_path: Path) -> None:
    records = recorded(
        tmp_path,
        """
        one, two, x = mp.Lock(), mp.RLock(), mp.RawValue("i")
        for _ in range(50):
            with one, two:
                pass
        with one:
            with two:
                x.value = 1
        """,
    )
    last = [record.kind for record in records][-5:]
    assert last == [events.LOCK, events.LOCK, W, events.UNLOCK, events.UNLOCK]


def test_repeated_reads_are_told_of_before_what_follows(tmp_path: Path) -> None:
    records = recorded(
        tmp_path,
        """
        x, event = mp.Value("i"), mp.Event()
        n = 0
        while x.value == 0 and n < 1000:
            n += 1
        event.set()
        """,
    )
    assert [(record.kind, record.flags & events.AGAIN) for record in records] == [
        (R, 0),
        (R, events.AGAIN),
        (events.RELEASE, 0),
    ]
    assert 0 < records[0].ticket < records[1].ticket < records[2].ticket


def test_locks_of_threading(tmp_path: Path) -> None:
    """They are what they were, to who looks at them and to what is made of them."""
    records = recorded(
        tmp_path,
        """
        import pickle
        lock, again = threading.Lock(), threading.RLock()
        assert lock.acquire() and lock.locked() and not lock.acquire(False) and not lock.acquire(timeout=0.001)
        lock.release()
        try:
            lock.release()
        except RuntimeError:
            pass
        else:
            raise AssertionError
        condition = threading.Condition(again)
        with again, again, condition:
            assert not condition.wait(0.001)
        for thing in (lock, again):
            try:
                pickle.dumps(thing)
            except TypeError as error:
                assert "cannot pickle '_thread." in str(error)
        q, seen = queue.Queue(), queue.SimpleQueue()
        thread = threading.Thread(target=lambda: seen.put(q.get()))
        thread.start()
        q.put(5)
        assert seen.get(timeout=10) == 5
        thread.join()
        assert threading.Barrier(1).wait() == 0
        """,
    )
    assert not spans(records)
    locked = [record.kind for record in records].count(events.LOCK)
    assert locked > 0


def test_a_program_with_lock_files_is_left_out(tmp_path: Path) -> None:
    records = recorded(
        tmp_path,
        """
        import fcntl
        with open(__file__) as file:
            fcntl.flock(file, fcntl.LOCK_SH)
        """,
    )
    assert [(record.kind, record.site) for record in records] == [(events.UNSEEN, "fcntl.flock")]


@pytest.mark.slow
def test_the_command_tells_of_both_sides(tmp_path: Path) -> None:
    """Names, stacks and what each held are in the JSON."""
    program = Path(__file__).parent / "planted" / "lost_lock_on_one_side.py"
    command = [sys.executable, "-m", "procession", "check", "--json", str(program)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=50)
    (finding,) = json.loads(ended.stdout)["findings"]
    assert finding["details"]["name"] == "balance"
    assert sorted(len(side["locks"]) for side in finding["details"]["holding"]) == [0, 1]
    processes = {place["process"].partition(",")[0] for place in finding["places"]}
    assert processes == {"MainProcess", "Process-1"}
    assert all(place["stack"] for place in finding["places"])


@pytest.mark.slow
def test_a_start_that_clears_up_after_another_child_orders_nothing(tmp_path: Path) -> None:
    """Whether the first child is quicker than the start of the second is luck: the program does not know."""
    program = """
        import multiprocessing as mp

        from procession.testing import wait_until

        def work(balance):
            balance.value += 1

        def has_ended(pid):  # as the program itself has no means to know
            with open(f"/proc/{pid}/stat") as file:
                return ") Z " in file.read()

        if __name__ == "__main__":
            balance = mp.Value("i", 0)
            workers = [mp.Process(target=work, args=(balance,)) for _ in range(2)]
            workers[0].start()
            wait_until(lambda: has_ended(workers[0].pid))
            workers[1].start()
            for worker in workers:
                worker.join()
        """
    (tmp_path / "program.py").write_text(textwrap.dedent(program))
    command = [sys.executable, "-m", "procession", "check", "--json", "--method", "fork", str(tmp_path / "program.py")]
    done = subprocess.run(command, capture_output=True, timeout=50)
    assert [finding["kind"] for finding in json.loads(done.stdout)["findings"]] == ["lost-update"]
