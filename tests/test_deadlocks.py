"""Deadlocks while they happen, in whole programs: `tests/check/planted` has more of them, for `procession check`."""

import os
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from procession.errors import DeadlockError, LockOrderWarning

METHODS = ["fork", "spawn", "forkserver", "thread"]
HEAD = """
import os, sys, threading
import procession
from procession.errors import DeadlockError
"""


def run(path: Path, text: str, *arguments: str, detect: bool = True) -> str:
    """What a program prints, with both streams; it must end."""
    program = path / "program.py"
    program.write_text(HEAD + text)
    environment = {**os.environ, "PROCESSION_DETECT_DEADLOCKS": "1" if detect else "0"}
    command = [sys.executable, str(program), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=40, env=environment)
    return ended.stdout + ended.stderr


TWO = """
def work(first, second, met):
    try:
        with first:  # line 8
            met.wait()
            with second:  # line 10
                os.write(1, b"went on\\n")
    except DeadlockError as error:
        for one in error.participants:
            (held,) = one.holds
            os.write(1, f"told {one.process} {held.site} {one.waits.site}\\n".encode())

if __name__ == "__main__":
    ctx = procession.get_context(sys.argv[1])
    left, right, met = ctx.Lock(), ctx.RLock(), ctx.Barrier(2)
    parties = [ctx.Process(target=work, args=(*locks, met)) for locks in [(left, right), (right, left)]]
    for party in parties:
        party.start()
    for party in parties:
        party.join()
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_one_of_two_is_told_and_the_other_goes_on(tmp_path: Path, method: str) -> None:
    printed = run(tmp_path, TWO, method)
    assert printed.count("went on") == 1
    told = re.findall(r"told .*program.py:(\d+) in work .*program.py:(\d+) in work", printed)
    assert told == [("8", "10")] * 2, printed


@pytest.mark.slow
def test_it_is_an_argument_of_a_context_as_well(tmp_path: Path) -> None:
    text = TWO.replace("get_context(sys.argv[1])", "get_context(sys.argv[1], detect_deadlocks=True)")
    assert "told" in run(tmp_path, text, "spawn", detect=False)


@pytest.mark.slow
def test_a_thread_in_its_own_way_is_told_when_it_is_alone(tmp_path: Path) -> None:
    text = """
lock = procession.Lock()
with lock:
    try:
        lock.acquire()
    except DeadlockError as error:
        print(error)
assert not lock.locked()
"""
    assert "nobody is left who could end this wait" in run(tmp_path, text)


@pytest.mark.slow
def test_a_join_of_a_plain_thread_counts(tmp_path: Path) -> None:
    text = """
lock = procession.Lock()
def work():
    try:
        with lock:
            pass
    except DeadlockError as error:
        print("told", len(error.participants))
thread = threading.Thread(target=work)
try:
    with lock:
        thread.start()
        thread.join()
except DeadlockError as error:
    print("told", len(error.participants))
thread.join()
"""
    assert run(tmp_path, text).split() == ["told", "2"]


@pytest.mark.slow
def test_a_death_can_be_what_leaves_nobody(tmp_path: Path) -> None:
    text = """
import signal
def produce(queue, met):
    queue.put(1)
    met.wait()
    signal.pause()
if __name__ == "__main__":
    ctx = procession.get_context("fork")
    queue, met = ctx.Queue(), ctx.Barrier(2)
    producer = ctx.Process(target=produce, args=(queue, met))
    producer.start()
    queue.get()
    met.wait()
    killer = ctx.Process(target=os.kill, args=(producer.pid, signal.SIGKILL))
    killer.start()
    try:
        queue.get()
    except DeadlockError as error:
        print(error)
    killer.join()
    producer.join()
"""
    assert "nobody is left who could end this wait" in run(tmp_path, text)


@pytest.mark.slow
def test_off_nothing_is_noted(tmp_path: Path) -> None:
    text = """
from procession import _native, _store
lock = procession.Lock()
with lock:
    print(_native.waits(_store.shared_arena()), lock.owner.site)
procession.detect_deadlocks()
with lock:
    print(len(_native.waits(_store.shared_arena())), lock.owner.site)
procession.detect_deadlocks(False)
with lock:
    print(_native.waits(_store.shared_arena()), lock.owner.site)
"""
    first, second, third = run(tmp_path, text, detect=False).splitlines()
    assert (first, third) == ("[] None", "[] None")
    assert re.fullmatch(r"1 .*program.py:11 in <module>", second)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "thread"])
def test_orders_of_locks_that_do_not_meet_are_warned_of(tmp_path: Path, method: str) -> None:
    text = """
def work(first, second, mine, other):
    mine.wait()
    with first:
        with second:  # line 9
            pass
    other.set()
if __name__ == "__main__":
    ctx = procession.get_context(sys.argv[1])
    left, right, one, two, three = ctx.Lock(), ctx.Lock(), ctx.Event(), ctx.Event(), ctx.Event()
    parties = [ctx.Process(target=work, args=args) for args in [(left, right, one, two), (right, left, two, three)]]
    for party in parties:
        party.start()
    one.set()
    for party in parties:
        party.join()
"""
    printed = run(tmp_path, text, method)
    assert printed.count("LockOrderWarning") == 1
    assert len(re.findall(r"lock [AB] at .*program.py:8 in work\n +and then lock [AB] at .*:9 in work", printed)) == 2


def test_threads_of_an_executor_end_with_the_program(tmp_path: Path) -> None:
    text = """
if __name__ == "__main__":
    from concurrent.futures import ThreadPoolExecutor
    executor = ThreadPoolExecutor(1)
    executor.submit(int).result()
    procession.detect_deadlocks()
    child = procession.get_context(sys.argv[1]).Process(target=int)
    child.start()
    child.join()
    print("done")
"""
    assert run(tmp_path, text, "fork", detect=False).split() == ["done"]


def test_the_error_travels_with_its_facts() -> None:
    import pickle

    from procession._deadlocks import Participant, Place

    place = Place("a Lock", "bank.py:3 in deposit", 12.0)
    error = DeadlockError("deadlock", participants=(Participant(1, "one", 1, 2, "MainThread", (place,), place),))
    again: Any = pickle.loads(pickle.dumps(error))
    assert (again.args, again.participants) == (error.args, error.participants)
    assert isinstance(error, RuntimeError)


def test_a_filter_makes_the_warning_an_error() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", LockOrderWarning)
        with pytest.raises(LockOrderWarning):
            warnings.warn("orders", LockOrderWarning, stacklevel=1)
