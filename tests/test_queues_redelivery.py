"""A JoinableQueue's items outlive their consumers: what was taken and not acknowledged comes back, and is counted.

Death at every step of the core is `crates/core/tests/steps.rs`, order against a model `crates/core/tests/ledger.rs`.
"""

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import procession
from procession import _store
from procession.errors import DeliveredTooOften, Empty, InvalidSize, ShutDown
from procession.queues import JoinableQueue
from procession.testing import wait_until, wait_until_blocked

SOON = 5  # seconds
SMALL, INLINE, LARGE = ("small", 1), b"x" * 5000, np.arange(50_000)


@pytest.fixture
def jobs() -> JoinableQueue:
    return JoinableQueue(arena=_store.shared_arena())


def fork(work: Callable[[], object]) -> int:
    """Run `work` in a child, which ends without a word."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(4 * SOON)  # a test that failed does not come back for it
        try:
            work()
        finally:
            os._exit(0)
    return pid


def die(how: str) -> None:
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(0)


@pytest.mark.parametrize("how", ["kill", "exit"])
def test_what_a_consumer_did_not_finish_comes_back_in_its_place(jobs: JoinableQueue, how: str) -> None:
    for item in (SMALL, INLINE, LARGE, "last"):
        jobs.put(item)

    def consume() -> None:
        for _ in range(3):
            jobs.get()
        jobs.task_done()  # the first
        die(how)

    os.waitpid(fork(consume), 0)
    found = [jobs.get(timeout=SOON)]
    assert jobs.delivery_count in (1, 2)
    wait_until(lambda: jobs.qsize() == (2 if jobs.delivery_count == 2 else 3 - len(found)))
    while len(found) < 3:
        found.append(jobs.get(timeout=SOON))
    assert jobs.unfinished() == 3
    for _ in range(3):
        jobs.task_done()
    jobs.join(SOON)
    with pytest.raises(Empty):
        jobs.get(block=False)


def die_with_one(jobs: JoinableQueue) -> None:
    """A consumer takes an item and is killed; that is noticed."""
    left = jobs.qsize()
    os.waitpid(fork(lambda: (jobs.get(), die("kill"))), 0)
    wait_until(lambda: jobs.qsize() == left)


def test_each_delivery_is_counted(jobs: JoinableQueue) -> None:
    jobs.put("poison")
    jobs.put("fine")
    for deliveries in range(2, 5):
        die_with_one(jobs)
        if deliveries == 4:
            assert (jobs.get(), jobs.delivery_count) == ("poison", 4)
    assert (jobs.get(), jobs.delivery_count) == ("fine", 1)


def test_the_count_is_that_of_the_thread_and_of_the_queue(jobs: JoinableQueue) -> None:
    other = JoinableQueue(arena=jobs.arena)
    jobs.put(1)
    other.put(2)
    die_with_one(jobs)
    assert (jobs.get(), other.get()) == (1, 2)
    assert (jobs.delivery_count, other.delivery_count) == (2, 1)
    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.append(jobs.delivery_count))
    thread.start()
    thread.join()
    assert seen == [1]


def test_an_item_that_kills_is_not_decoded_for_ever() -> None:
    jobs = JoinableQueue(max_deliveries=2, arena=_store.shared_arena())
    jobs.put("poison")
    jobs.put("fine")
    die_with_one(jobs)
    die_with_one(jobs)
    with pytest.raises(DeliveredTooOften, match="3 times") as raised:
        jobs.get()
    assert raised.value.deliveries == 3
    jobs.task_done()
    assert jobs.get() == "fine"
    jobs.task_done()
    jobs.join(SOON)
    with pytest.raises(InvalidSize, match="max_deliveries"):
        JoinableQueue(max_deliveries=1 << 40)


def test_what_a_dead_consumer_changed_in_place_comes_back_as_it_was_put(jobs: JoinableQueue) -> None:
    jobs.put(LARGE)

    def spoil() -> None:
        array = jobs.get()
        array[:] = -1
        die("kill")

    os.waitpid(fork(spoil), 0)
    array = jobs.get(timeout=SOON)
    assert (array == LARGE).all()
    assert array.flags.writeable
    jobs.task_done()
    assert (array == LARGE).all()  # still the receiver's


def test_a_waiting_getter_is_given_what_comes_back(jobs: JoinableQueue) -> None:
    jobs.put("item")
    taken, die_now = os.pipe(), os.pipe()

    def consume() -> None:
        jobs.get()
        os.write(taken[1], b".")
        os.read(die_now[0], 1)
        die("kill")

    pid = fork(consume)
    os.read(taken[0], 1)
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(jobs.get(timeout=SOON)))
    thread.start()
    wait_until_blocked(jobs)
    os.write(die_now[1], b".")
    thread.join()
    assert found == ["item"]
    os.waitpid(pid, 0)
    for end in (*taken, *die_now):
        os.close(end)


@pytest.mark.parametrize("manner", ["async", "select", "poll"])
def test_other_waits_are_told_as_well(jobs: JoinableQueue, manner: str) -> None:
    jobs.put("item")
    os.waitpid(fork(lambda: (jobs.get(), die("kill"))), 0)
    if manner == "async":
        assert asyncio.run(jobs.get_async(SOON)) == "item"
    elif manner == "select":
        assert procession.connection.wait([jobs._reader], SOON)
        assert jobs._reader.recv() == "item"
        jobs._reader.close()
    else:
        assert jobs.poll(SOON)
        assert jobs.get(block=False) == "item"
    assert jobs.delivery_count == 2


def test_join_waits_for_what_comes_back(jobs: JoinableQueue) -> None:
    jobs.put("item")
    die_with_one(jobs)
    with pytest.raises(TimeoutError, match="1 items"):
        jobs.join(0.05)
    jobs.get()
    jobs.task_done()
    jobs.join(SOON)


def test_a_process_that_has_taken_nothing_finishes_the_oldest_of_anybody(jobs: JoinableQueue) -> None:
    for item in range(3):
        jobs.put(item)
    assert [jobs.get(), jobs.get()] == [0, 1]
    assert os.waitpid(fork(jobs.task_done), 0)[1] == 0
    assert jobs.unfinished() == 2
    jobs.task_done()
    jobs.task_done()  # as ever, also for what nobody has taken
    jobs.join(SOON)
    with pytest.raises(ValueError, match="too many"):
        jobs.task_done()
    assert jobs.get() == 2
    jobs.put(3)
    assert jobs.unfinished() == 1


def test_another_thread_may_finish(jobs: JoinableQueue) -> None:
    jobs.put(1)
    jobs.get()
    thread = threading.Thread(target=jobs.task_done)
    thread.start()
    thread.join()
    jobs.join(SOON)


def test_a_forked_child_has_taken_nothing(jobs: JoinableQueue) -> None:
    jobs.put("item")
    jobs.get()
    os.waitpid(fork(lambda: None), 0)
    time_to_look = threading.Event()
    time_to_look.wait(0.1)  # a wrong return would be seen by then
    assert jobs.qsize() == 0
    jobs.task_done()
    jobs.join(SOON)


def test_shutdown_at_once_leaves_what_is_in_hand(jobs: JoinableQueue) -> None:
    for item in range(4):
        jobs.put(item)
    jobs.get()
    die_with_one(jobs)
    jobs.shutdown(immediate=True)
    assert jobs.unfinished() == 1
    with pytest.raises(ShutDown):
        jobs.get()
    jobs.task_done()
    jobs.join(SOON)


def test_batches_come_back_too(jobs: JoinableQueue) -> None:
    jobs.put_many(range(10))
    os.waitpid(fork(lambda: (jobs.get_many(6), die("kill"))), 0)
    wait_until(lambda: jobs.qsize() == 10)
    assert jobs.get_many(100) == list(range(10))
    assert jobs.delivery_count == 1  # of the last


def test_the_bound_is_for_what_was_not_taken() -> None:
    jobs = JoinableQueue(2, arena=_store.shared_arena())
    jobs.put_many([1, 2])
    jobs.get()
    jobs.put(3, block=False)
    assert jobs.full()
    assert jobs.unfinished() == 3


def use_and_leave(jobs: JoinableQueue) -> None:
    for _ in range(100):
        jobs.put(INLINE)
        jobs.put(LARGE)
    jobs.get_many(50)
    os.waitpid(fork(lambda: (jobs.get_many(50), die("kill"))), 0)
    for _ in range(25):
        jobs.task_done()


def test_what_is_kept_is_freed() -> None:
    arena = _store.shared_arena()
    arena.reap()
    before = arena.statistics()["objects"]
    use_and_leave(JoinableQueue(arena=arena))
    arena.reap()
    assert arena.statistics()["objects"] == before


def test_among_threads_nothing_is_kept() -> None:
    jobs = JoinableQueue(arena=_store.private_arena())
    jobs.put(LARGE)
    jobs.get()
    assert jobs.delivery_count == 1
    jobs.task_done()
    jobs.join(SOON)
