"""Limits of time and memory, cancelling, and where a worker was when it ended."""

from __future__ import annotations

import builtins
import ctypes
import os
import signal
import threading
import time
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pool_tasks import double, own_pid, wait_for

import procession
from procession.errors import MemoryLimitExceeded, NotSupported, TaskTimeout, TimeoutError, WorkerDied
from procession.pool import Pool
from procession.testing import wait_until

pytestmark = pytest.mark.watchdog(30)

MIB = 1 << 20


def hang_for(number: int) -> int:
    while number < 0:
        time.sleep(60)
    return number


def hang_in_c(number: int) -> int:
    if number < 0:
        libc = ctypes.PyDLL(None)  # keeps the GIL, so that no signal handler of Python's ever runs
        libc.sleep(60)
    return number


@pytest.mark.slow
@pytest.mark.parametrize(("task", "chunksize"), [(hang_for, 1), (hang_for, 4), (hang_in_c, 1)])
def test_an_item_that_takes_too_long_fails_alone(process_pool: Pool, task: Any, chunksize: int) -> None:
    began = time.monotonic()
    results = process_pool.map(task, [0, 1, -1, 3], chunksize, timeout=0.4, return_exceptions=True)
    assert time.monotonic() - began >= 0.4
    error = results.pop(2)
    assert results == [0, 1, 3]
    assert isinstance(error, TaskTimeout)
    assert error.timeout_s == 0.4
    assert "was ended after its 0.4 seconds" in str(error)
    assert f"in {task.__name__}" in error.line
    assert task.__name__ in str(error.__cause__)
    assert process_pool.map(double, range(4)) == [0, 2, 4, 6]


def test_a_time_limit_holds_while_nobody_waits(fork_pool: Pool) -> None:
    result = fork_pool.apply_async(hang_for, (-1,), timeout=0.1)
    told = []
    watched = fork_pool.apply_async(hang_for, (-1,), timeout=0.1, error_callback=told.append)
    wait_until(lambda: bool(told))
    assert isinstance(told[0], TaskTimeout)
    assert watched.ready()
    with pytest.raises(TaskTimeout):
        result.get()
    with pytest.raises(TaskTimeout):
        fork_pool.apply(hang_for, (-1,), timeout=0.05)


def test_a_time_limit_is_no_timeout_of_get() -> None:
    """Who asks again upon a TimeoutError would ask for ever."""
    assert not issubclass(TaskTimeout, TimeoutError | builtins.TimeoutError)


@pytest.mark.slow
def test_the_items_of_a_chunk_have_the_time_each(fork_pool: Pool) -> None:
    assert fork_pool.map(nap, [0.1] * 6, 6, timeout=0.5) == [0.1] * 6


def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def test_a_pool_may_have_a_time_limit_and_retries() -> None:
    with procession.get_context("fork").Pool(1, timeout=0.1, retries=1) as pool:
        with pytest.raises(TaskTimeout) as caught:
            pool.apply(hang_for, (-1,))
        assert "it was tried 2 times" in caught.value.__notes__[0]
        assert next(pool.imap(double, [4])) == 8
    pool.join()


def hoard(mebibytes: int) -> int:
    kept = bytearray(mebibytes * MIB)
    while mebibytes > 100:
        time.sleep(60)
    return len(kept)


def test_a_worker_with_too_much_memory_is_ended(process_pool: Pool) -> None:
    context = process_pool._ctx
    with context.Pool(2, memory_limit=150 * MIB) as pool:
        results = pool.map(hoard, [1, 200, 2], 1, return_exceptions=True)
        error = results.pop(1)
        assert results == [1 * MIB, 2 * MIB]
        assert isinstance(error, MemoryLimitExceeded)
        assert isinstance(error, MemoryError)
        assert error.limit_bytes == 150 * MIB < error.memory_bytes
        assert "memory limit of 150 MiB" in str(error)
        assert "in hoard" in error.line
    pool.join()


def test_a_death_tells_memory_where_that_may_be_why(fork_pool: Pool) -> None:
    with pytest.raises(WorkerDied) as small:
        fork_pool.apply(os._exit, (1,))
    assert "memory" not in str(small.value)
    victim = fork_pool.apply_async(hoard, (101,))
    memory = fork_pool._core.watch._memory
    while max(memory.values(), default=0) < 101 * MIB:
        victim.wait(0.01)  # looks
    heavy = max(memory, key=lambda number: memory[number])
    os.kill(fork_pool._core.engine.workers[heavy].pid, signal.SIGKILL)
    with pytest.raises(WorkerDied, match=r"; it had 1\d\d MiB of memory of its own when last looked at") as large:
        victim.get()
    assert large.value.memory_bytes > 100 * MIB


def test_what_a_worker_inherited_does_not_count() -> None:
    KEPT.append(bytearray(b"x") * (200 * MIB))
    try:
        with procession.get_context("fork").Pool(1, memory_limit=100 * MIB) as pool:
            assert pool.map(hoard, [1, 2]) == [1 * MIB, 2 * MIB]
            with pytest.raises(MemoryLimitExceeded):
                pool.apply(hoard, (150,))
        pool.join()
    finally:
        KEPT.clear()


KEPT: list[bytearray] = []


def grow(mebibytes: int) -> int:
    KEPT.append(bytearray(mebibytes * MIB))
    return os.getpid()


def test_a_worker_that_grew_is_replaced_between_tasks() -> None:
    with procession.get_context("fork").Pool(1, maxmemoryperchild="60M") as pool:
        first = pool.apply(grow, (100,))
        wait_until(lambda: pool.apply(own_pid) != first)
        assert pool.statistics().deaths == 0
    pool.join()


def test_cancelling_what_runs_and_what_waits(process_pool: Pool) -> None:
    context = process_pool._ctx
    go_on, begun = context.Event(), context.Array("i", 4, lock=False)
    running = [process_pool.apply_async(begin_and_wait, (number, begun, go_on)) for number in (0, 1)]
    waiting = process_pool.apply_async(begin_and_wait, (2, begun, go_on))
    wait_until(lambda: sum(begun) == 2)
    assert waiting.cancel()
    assert running[0].cancel()
    for cancelled in (running[0], waiting):
        with pytest.raises(CancelledError):
            cancelled.get()
        assert not cancelled.cancel()
    go_on.set()
    assert running[1].get() == 1, "another's call goes on"
    assert process_pool.apply(begin_and_wait, (3, begun, go_on)) == 3
    assert list(begun) == [1, 1, 0, 1], "what was cancelled in time was not called"
    assert process_pool.statistics().outstanding == 0


def begin_and_wait(number: int, begun: Any, go_on: Any) -> int:
    begun[number] = 1
    go_on.wait(20)
    return number


def test_cancelling_a_map(fork_pool: Pool) -> None:
    go_on = procession.get_context("fork").Event()
    result = fork_pool.map_async(wait_for, [go_on] * 20, 3)
    wait_until(lambda: fork_pool.statistics().waiting < fork_pool.statistics().outstanding)
    assert result.cancel()
    with pytest.raises(CancelledError):
        result.get()
    iterator = fork_pool.imap(wait_for, [go_on] * 20)
    assert iterator.cancel()
    with pytest.raises(CancelledError):
        next(iterator)
    assert fork_pool.map(double, [1]) == [2]


def share(*objects: Any) -> None:
    global shared
    shared = objects


def begin_and_wait_for_ever(number: int) -> int:
    return begin_and_wait(number, *shared)


@pytest.mark.parametrize("way", ["apply", "map", "checkpoint"])
def test_an_interrupted_call_ends_what_it_has_running(tmp_path: Path, way: str) -> None:
    """Only this process is interrupted, as by a notebook's stop button."""
    context = procession.get_context("fork")
    never, begun = context.Event(), context.Array("i", 3, lock=False)
    wanted = 1 if way == "apply" else 2

    def interrupt() -> None:
        wait_until(lambda: sum(begun) == wanted)
        os.kill(os.getpid(), signal.SIGINT)

    with context.Pool(2, initializer=share, initargs=(begun, never)) as pool:
        kept = tmp_path / "kept" if way == "checkpoint" else None
        call: Any = partial(pool.map, begin_and_wait_for_ever, range(3), 1, checkpoint=kept)
        if way == "apply":
            call = partial(pool.apply, begin_and_wait_for_ever, (0,))
        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            call()
        thread.join()
        assert pool.map(double, [1, 2]) == [2, 4]
        assert sum(begun) == wanted, "what no worker had taken was not called"
    pool.join()


def test_cancelling_in_threads(thread_pool: Pool) -> None:
    go_on, begun = procession.get_context("thread").Event(), [0, 0, 0]
    results = [thread_pool.apply_async(begin_and_wait, (number, begun, go_on)) for number in range(3)]
    wait_until(lambda: sum(begun) == 2)
    assert results[2].cancel()
    go_on.set()
    assert [result.get() for result in results[:2]] == [0, 1]
    assert thread_pool.apply(sum, (begun,)) == 2
    for given in ({"timeout": 1}, {"retries": 1, "timeout": 1}):
        with pytest.raises(NotSupported, match="a thread cannot be ended"):
            thread_pool.map(double, [1], **given)
    with pytest.raises(NotSupported, match="memory_limit"):
        procession.get_context("thread").Pool(1, memory_limit="1G")


def test_a_caller_that_leaves_a_map_takes_its_items_along(fork_pool: Pool) -> None:
    calls = procession.get_context("fork").Array("i", 40, lock=False)
    with pytest.raises(procession.errors.PicklingError):
        fork_pool.map(mark, [(n, calls) for n in range(39)] + [lambda: 0], 1)
    assert fork_pool.map(double, range(10), 1) == list(range(0, 20, 2))
    assert fork_pool.statistics().outstanding == 0


def mark(numbered: tuple[int, Any]) -> None:
    number, calls = numbered
    calls[number] += 1


def crash(number: int) -> int:
    if number < 0:
        ctypes.string_at(0)
    return number


def test_a_crash_tells_where_it_was(process_pool: Pool) -> None:
    with pytest.raises(WorkerDied) as caught:
        process_pool.map(crash, [0, -1], 1)
    error = caught.value
    assert error.signal == "SIGSEGV"
    assert error.line.endswith("in string_at")
    assert "in crash" in str(error.__cause__)
    assert "it was at" in str(error)


def crash_in_a_child(number: int) -> int | None:
    child = procession.get_context("fork").Process(target=crash, args=(number,))
    child.start()
    child.join()
    if child.exitcode == -signal.SIGSEGV:
        os.kill(os.getpid(), signal.SIGKILL)
    return child.exitcode


def test_the_crash_of_a_task_s_child_is_not_the_worker_s(fork_pool: Pool) -> None:
    with pytest.raises(WorkerDied) as caught:
        fork_pool.apply(crash_in_a_child, (-1,))
    assert caught.value.signal == "SIGKILL"
    assert caught.value.line is None


def test_an_executor_has_the_same_limits() -> None:
    context = procession.get_context("fork")
    with context.Executor(1, timeout=0.2) as executor:
        with pytest.raises(TaskTimeout) as caught:
            executor.submit(hang_for, -1).result()
        assert isinstance(caught.value, BrokenProcessPool)
    with context.Executor(1, retries=1, memory_limit="150M") as executor:
        with pytest.raises(MemoryLimitExceeded):
            executor.submit(hoard, 200).result()
        tries = context.Array("i", 1, lock=False)
        assert executor.submit(die_once, tries).result() == 2
        assert list(executor.map(double, range(5), chunksize=2)) == [0, 2, 4, 6, 8]


def die_once(tries: Any) -> int:
    tries[0] += 1
    if tries[0] == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return int(tries[0])


def test_a_future_that_runs_can_be_cancelled() -> None:
    context = procession.get_context("fork")
    go_on = context.Event()
    with context.Executor(1) as executor:
        future = executor.submit(wait_for, go_on)
        wait_until(future.running)
        assert not future.cancel()
        assert future.cancel(running=True)
        assert future.cancelled()
        with pytest.raises(CancelledError):
            future.result()
        assert executor.submit(double, 2).result() == 4
