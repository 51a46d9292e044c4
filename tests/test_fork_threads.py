"""A child forked while other threads are inside something of ours works, with that very thing where it is shared.

Forks at chance moments of threads that do nothing else: each of some dozens of children uses everything once. What a
thread holds for good at the time of the fork is forced.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
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


WRITES_ELSEWHERE = """
import fcntl, os, struct, sys, termios, threading
from multiprocessing import util
import procession

def flush():
    sys.stdout.flush()

def full():
    return struct.unpack("i", fcntl.ioctl(1, termios.FIONREAD, bytes(4)))[0] >= 65536

if __name__ == "__main__":
    if sys.argv[1] == "stdin":
        thread = threading.Thread(target=sys.stdin.read, daemon=True)
        thread.start()
    else:  # a thread waits in the middle of a write
        thread = threading.Thread(target=lambda: sys.stdout.write("x" * 200_000), daemon=True)
        thread.start()
        while not full():
            pass
        util._flush_std_streams = lambda: None  # the parent would wait before it forks, as it does by chance only
    child = procession.get_context("fork").Process(target=flush)
    child.start()
    child.join(10)
    os.write(2, str(child.exitcode).encode())
    os._exit(0)
"""


@pytest.mark.parametrize("stream", ["stdin", "stdout"])
def test_a_stream_that_a_thread_is_at_does_not_hold_up_a_child(tmp_path: Path, stream: str) -> None:
    """Python's own lock of a file: the child of a pool's driver thread hung where the caller was just printing."""
    program = tmp_path / "program.py"
    program.write_text(WRITES_ELSEWHERE)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, program, stream], env=environment, text=True, stdin=pipe, stdout=pipe, stderr=pipe
    ) as ended:
        assert ended.stderr.read() == "0"
