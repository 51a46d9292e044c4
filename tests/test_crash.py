"""Users of a queue and a lock are killed, and forked, at any moment: the others go on, and nothing of the dead remains.

The bounded part of what `make crash` does for minutes (`scripts/crash.py`). Death at every single step of the core is
`crates/core/tests/steps.rs`; what each death means is in `docs/explanation/death.md`.
"""

import gc
import os
import random
import signal
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest
from commands import load_script

import procession
from procession import _store
from procession.queues import Queue
from procession.synchronize import Lock

SOON = 5  # seconds
LARGE = bytes(range(256)) * 1000


@pytest.mark.slow
@pytest.mark.parametrize("maxsize", [0, 10])
def test_a_storm_of_kills(maxsize: int) -> None:
    seed = random.SystemRandom().getrandbits(32)
    with warnings.catch_warnings():
        report = load_script("crash").storm(1.5, seed, maxsize)
    assert min(report.kills * 200, report.received, report.turns) > 1000, report
    assert report.objects_left == 0, report


@pytest.mark.slow
@pytest.mark.parametrize("maxsize", [0, 10])
def test_a_storm_loses_nothing_of_a_joinable_queue(maxsize: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "scripts"))
    seed = random.SystemRandom().getrandbits(32)
    report = load_script("crash_joinable").storm(1.2, seed, maxsize)
    assert min(report.kills * 200, report.put) > 1000, report
    assert (report.lost, report.again, report.objects_left) == (0, 0, 0), report


def _wait_killed(pid: int) -> None:
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL


def test_what_a_killed_consumer_had_taken_is_given_back() -> None:
    arena = _store.shared_arena()
    gc.collect()
    arena.reap()  # what earlier tests left must not go in the middle of this one
    before = arena.statistics()
    queue = Queue(arena=arena)
    queue.put(LARGE)
    queue.put("next")
    pid = os.fork()
    if pid == 0:
        taken = queue.get()
        os.kill(os.getpid(), signal.SIGKILL)
        del taken
    _wait_killed(pid)
    assert queue.get(timeout=SOON) == "next"
    arena.reap()
    del queue
    assert arena.statistics()["used"] == before["used"]


def test_what_a_killed_producer_put_stays() -> None:
    queue = Queue(arena=_store.shared_arena())
    pid = os.fork()
    if pid == 0:
        queue.put(LARGE)
        queue.put(("small", 1))
        os.kill(os.getpid(), signal.SIGKILL)
    _wait_killed(pid)
    assert queue.get(timeout=SOON) == LARGE
    assert queue.get(timeout=SOON) == ("small", 1)


def test_a_lock_of_the_dead_passes_on() -> None:
    lock = Lock(arena=_store.shared_arena())
    pid = os.fork()
    if pid == 0:
        lock.acquire()
        os.kill(os.getpid(), signal.SIGKILL)
    _wait_killed(pid)
    with pytest.warns(procession.errors.AbandonedLockWarning):
        assert lock.acquire(timeout=SOON)
    assert lock.abandoned == 1
    lock.release()


def _child(queue: Any) -> None:
    for number in range(20):
        queue.put((number, LARGE))
        queue.get(timeout=SOON)


@pytest.mark.slow
def test_a_fork_while_threads_use_the_queue() -> None:
    queue = Queue(arena=_store.shared_arena())
    stop = threading.Event()

    def hammer() -> None:
        while not stop.is_set():
            queue.put((0, LARGE))
            queue.get(timeout=SOON)

    threads = [threading.Thread(target=hammer) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        context = procession.get_context("fork")
        for _ in range(20):
            child = context.Process(target=_child, args=(queue,))
            child.start()
            child.join(SOON * 2)
            assert child.exitcode == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert queue.empty()
