"""A child forked while other threads are inside something of ours works, with that very thing where it is shared.

Forks at chance moments of threads that do nothing else: each of some dozens of children uses everything once. What a
thread holds for good at the time of the fork is forced.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import procession
from procession.testing import wait_until_blocked

LARGE = bytes(100_000)  # goes to a block of the heap
FORKS = 12


def in_a_child(work: Callable[[], object]) -> None:
    """Fork, the plain way, and do it there. Raises AssertionError when it raises, or takes more than ten seconds."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.alarm(10)
            work()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


@contextmanager
def threads_at(*works: Callable[[], object]) -> Iterator[None]:
    """Threads that do these things again and again."""
    stop = threading.Event()

    def again(work: Callable[[], object]) -> None:
        while not stop.is_set():
            work()

    threads = [threading.Thread(target=again, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def use_everything(context: Any, queue: Any, lock: Any) -> None:
    """What the parent's threads may be at, here."""
    queue.put(LARGE)
    assert len(queue.get(timeout=5)) > 0
    with lock:
        pass
    own = context.Queue()
    own.put(LARGE)
    assert own.get(timeout=5) == LARGE
    with context.Pool(1) as pool:
        assert pool.apply(abs, (-1,)) == 1


@pytest.mark.slow
def test_threads_inside_everything(fork: Any) -> None:
    queue, lock = fork.Queue(), fork.Lock()
    kept: list[Any] = []

    def pass_on() -> None:
        queue.put(LARGE)
        queue.get(timeout=5)

    def turn() -> None:
        with lock:
            pass

    def allocate() -> None:
        kept[:] = [fork.Value("i", 1), fork.Queue(), fork.Lock()]

    with fork.Pool(2) as pool, procession.Executor(1, context=fork) as executor:

        def call() -> None:
            assert pool.map(abs, [-1, -2], 1) == [1, 2]
            assert executor.submit(abs, -1).result() == 1

        with threads_at(pass_on, turn, allocate, call):
            for _ in range(FORKS):
                in_a_child(lambda: use_everything(fork, queue, lock))
            for _ in range(FORKS):
                child = fork.Process(target=use_everything, args=(fork, queue, lock))
                child.start()
                child.join(10)
                assert child.exitcode == 0


def test_a_lock_that_a_thread_holds_is_the_parents(fork: Any) -> None:
    lock, here, there = fork.Lock(), fork.Event(), fork.Event()

    def take() -> None:
        assert not lock.acquire(block=False)
        here.set()
        assert lock.acquire(timeout=5)  # once the parent's thread has released it
        there.set()
        lock.release()

    def hold() -> None:
        with lock:
            held.set()
            here.wait()

    held = threading.Event()
    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    in_a_child(take)
    holder.join()
    assert there.is_set()


def test_a_thread_that_waits_to_put_does_not_hinder(fork: Any) -> None:
    queue = fork.Queue(1)
    queue.put("first")
    putter = threading.Thread(target=queue.put, args=("second",))
    putter.start()
    wait_until_blocked(queue)

    def take_both() -> None:
        assert [queue.get(timeout=5), queue.get(timeout=5)] == ["first", "second"]

    in_a_child(take_both)
    putter.join()


def test_a_thread_that_waits_for_a_result_does_not_hinder(fork: Any) -> None:
    with fork.Pool(1) as pool:
        go = fork.Event()
        waiter = threading.Thread(target=pool.apply, args=(go.wait,))
        waiter.start()

        def work() -> None:
            with fork.Pool(1) as own:
                assert own.apply(abs, (-1,)) == 1

        in_a_child(work)
        go.set()
        waiter.join()
