"""A pool on a cluster: what is sent and how often, deaths, cancelling, the end, what is seen from outside.

What a pool does on every engine alike is in test_everywhere.py.
"""

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import CancelledError, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any

import everywhere_tasks as tasks
import numpy as np
import pytest

import procession
from procession.errors import (
    ClusterError,
    ClusterLost,
    PicklingError,
    PoolBroken,
    PoolTerminated,
    UnpicklingError,
    WorkerDied,
)
from procession.pool.chunks import FAR, NEAR, next_size
from procession.testing import wait_until

WAIT_S = 20.0


@pytest.fixture
def threads() -> Iterator[Any]:
    with ThreadPoolExecutor(2) as executor, procession.get_context(executor) as context:
        yield context


@pytest.fixture
def processes() -> Iterator[Any]:
    with ProcessPoolExecutor(2) as executor, procession.get_context(executor) as context:
        yield context


class Gate:
    """Tasks that are running, and go on when they are let."""

    def __init__(self) -> None:
        self.entered, self._open = threading.Semaphore(0), threading.Event()

    def __call__(self, number: int) -> int:
        self.entered.release()
        assert self._open.wait(WAIT_S)
        return number

    def open(self) -> None:
        self._open.set()


# Deaths


def test_a_broken_executor_breaks_the_pool(processes: Any) -> None:
    with processes.Pool(2) as pool:
        with pytest.raises(ClusterLost, match="make a new one") as caught:
            pool.map(kill_self, range(100))
        assert isinstance(caught.value.__cause__, BrokenProcessPool)
        with pytest.raises(ClusterLost):
            pool.map(abs, [1])
    executor = processes.Executor(2)
    with pytest.raises(BrokenProcessPool) as broken:
        executor.submit(abs, -1).result(WAIT_S)
    assert isinstance(broken.value.__cause__, ClusterLost)
    executor.shutdown()


def kill_self(number: int) -> int:
    if number == 70:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.slow
def test_what_the_cluster_gives_up_is_tried_again_here(dask_context: Any, tmp_path: Path) -> None:
    dask_context.cluster.client.run_on_scheduler(give_up_at_once)
    with dask_context.Pool(2) as pool:
        with pytest.raises(WorkerDied, match=r"allowed-failures .*while working on kill_self\(70\)") as caught:
            pool.apply(kill_self, (70,))
        assert "KilledWorker" in repr(caught.value.__cause__.__cause__)
        once = partial(kill_self_once, tmp_path / "died")
        assert pool.map(once, range(4), chunksize=4, retries=3) == [0, 1, 2, 3]


def give_up_at_once(dask_scheduler: Any) -> None:
    dask_scheduler.allowed_failures = 0


def kill_self_once(died: Path, number: int) -> int:
    if number == 2 and not died.exists():
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_sys_exit_ends_nobody_elses_worker(processes: Any) -> None:
    with processes.Pool(2) as pool:
        results = pool.map(exit_with, [0, 3, None], chunksize=3, return_exceptions=True)
        assert [error.exitcode for error in results] == [0, 3, 0]
        assert all(isinstance(error, WorkerDied) for error in results)
        assert "exit_with(3), item 1" in str(results[1])
        with pytest.raises(WorkerDied, match="exited with code 1"):
            pool.apply(interrupt)


def exit_with(code: Any) -> None:
    raise SystemExit(code)


def interrupt() -> None:
    raise KeyboardInterrupt


# Initializers


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_an_initializer_that_raises_breaks_the_pool(kind: str, request: pytest.FixtureRequest) -> None:
    context = request.getfixturevalue(kind)
    with context.Pool(2, tasks.withdraw, (9,)) as pool:
        with pytest.raises(PoolBroken, match="initializer raised Insolvent: 9 is too much") as caught:
            pool.map(abs, range(3))
        assert isinstance(caught.value.__cause__, tasks.Insolvent)
    with context.Pool(2) as pool:
        assert pool.map(abs, [-1]) == [1]  # the executor is as it was


def test_an_initializer_runs_once_in_a_worker(processes: Any) -> None:
    count = procession.get_context("fork").Value("i", 0)
    with processes.Pool(2, increment, (count,)) as pool:
        pool.map(abs, range(100), chunksize=1)
    assert 1 <= count.value <= 2


def increment(count: Any) -> None:
    with count.get_lock():
        count.value += 1


def test_an_initializer_that_cannot_be_sent(processes: Any) -> None:
    with pytest.raises(PicklingError, match="lock"):
        processes.Pool(2, print, (threading.Lock(),))


# What is sent


def test_an_item_that_cannot_be_unpickled_fails_alone(processes: Any) -> None:
    with processes.Pool(2) as pool:
        outcomes = pool.map(kind_of, [1, Unreadable(), 3], chunksize=3, return_exceptions=True)
    assert outcomes[::2] == ["int", "int"]
    assert isinstance(outcomes[1], UnpicklingError)
    assert "KeyError: 'not here'" in str(outcomes[1])


class Unreadable:
    """Is pickled, and cannot be made again."""

    def __reduce__(self) -> Any:
        return {}.__getitem__, ("not here",)


def kind_of(thing: object) -> str:
    return type(thing).__name__


@pytest.mark.slow
def test_a_large_function_is_put_to_the_workers_once(dask_context: Any) -> None:
    table = np.ones(400_000)
    with dask_context.Pool(2) as pool:
        assert pool.map(partial(element, table), range(50), chunksize=1) == [1.0] * 50
        (kept,) = pool._core.engine.functions._kept.values()
        assert pool.map(partial(element, table), range(50), chunksize=1) == [1.0] * 50
        assert list(pool._core.engine.functions._kept.values()) == [kept]
        table[:] = 2
        assert pool.map(partial(element, table), range(3)) == [2.0] * 3


def element(table: Any, number: int) -> float:
    return float(table[number])


def test_a_function_is_sent_as_it_is_at_each_call(processes: Any) -> None:
    adder = Adder(1)
    with processes.Pool(2) as pool:
        first = pool.map_async(adder, [1, 2])
        adder.more = 10
        assert pool.map(adder, [1, 2]) == [11, 12]
        assert first.get(WAIT_S) == [2, 3]


class Adder:
    """A function with a state."""

    def __init__(self, more: int) -> None:
        self.more = more

    def __call__(self, number: int) -> int:
        return number + self.more


def test_large_items_are_read_only_so_far_ahead(processes: Any) -> None:
    read = 0

    def arrays() -> Iterator[Any]:
        nonlocal read
        while True:
            read += 1
            yield np.zeros(1 << 20)  # 8 MiB

    with processes.Pool(2) as pool:
        answers = pool.imap(length, arrays())
        for _ in range(5):
            assert next(answers) == 1 << 20
        assert read < 30


def length(array: Any) -> int:
    return len(array)


def test_chunks_follow_the_time_and_stay_long() -> None:
    microsecond = (1000, 1_000_000)  # items, and the nanoseconds they took
    assert next_size(10**6, 2, 10**6, *microsecond, 10**6, pace=NEAR) == 1000
    assert next_size(10**6, 2, 10**6, *microsecond, 10**6, pace=FAR) == 20_000
    assert next_size(100, 2, 10**6, *microsecond, pace=NEAR) == 25  # a fair part of what is left
    assert next_size(100, 2, 10**6, *microsecond, pace=FAR) == 100  # which would not be worth a task
    assert next_size(10**9, 100, 10**6, *microsecond, 10**6, pace=NEAR) == 1000
    assert next_size(10**9, 100, 10**6, *microsecond, 10**6, pace=FAR) == 200_000  # or the scheduler could not keep up


def test_answers_keep_nothing_alive(threads: Any) -> None:
    with threads.Pool(2) as pool:
        points = [tasks.Point(1)]
        mirrored = pool.map(tasks.mirror, points)
        seen = [weakref.ref(points.pop()), weakref.ref(mirrored.pop())]
        pool.apply(abs, (1,))
        gc.collect()
        assert [one() for one in seen] == [None, None]


# Taking back and the end


def test_what_is_not_running_can_be_cancelled(threads: Any) -> None:
    gate = Gate()
    with threads.Pool(2) as pool:
        running = [pool.apply_async(gate, (number,)) for number in range(2)]
        for _ in running:
            assert gate.entered.acquire(timeout=WAIT_S)
        waiting = pool.map_async(gate, range(100))
        assert waiting.cancel()
        with pytest.raises(CancelledError):
            waiting.get(WAIT_S)
        gate.open()
        assert [result.get(WAIT_S) for result in running] == [0, 1]
        assert not gate.entered.acquire(blocking=False)  # none of the others has begun
        assert not running[0].cancel()


def test_terminate_takes_back_what_has_not_begun(threads: Any) -> None:
    gate = Gate()
    pool = threads.Pool(2)
    result = pool.map_async(gate, range(100), chunksize=1)
    for _ in range(2):
        assert gate.entered.acquire(timeout=WAIT_S)
    pool.terminate()
    with pytest.raises(PoolTerminated):
        result.get(WAIT_S)
    pool.join()
    gate.open()
    with threads.Pool(2) as other:  # behind those that were running
        assert other.map(abs, [-1, -2], chunksize=1) == [1, 2]
    assert not gate.entered.acquire(blocking=False)


def test_close_and_join_finish_everything(processes: Any) -> None:
    pool = processes.Pool(2)
    results = pool.map_async(tasks.square, range(100))
    squares = pool.imap(tasks.square, range(1000))
    pool.close()
    with pytest.raises(ValueError, match="not running"):
        pool.apply(abs, (1,))
    pool.join()
    assert results.get(0) == [number * number for number in range(100)]
    assert sum(1 for _ in squares) == 1000


def test_a_future_is_cancelled_or_runs(threads: Any) -> None:
    gate = Gate()
    with threads.Executor(2) as executor:
        running = [executor.submit(gate, number) for number in range(2)]
        for future in running:
            assert gate.entered.acquire(timeout=WAIT_S)
            wait_until(future.running)
        waiting = executor.submit(gate, 3)
        assert not waiting.running()
        assert waiting.cancel()
        assert not running[0].cancel()
        gate.open()
        assert [future.result(WAIT_S) for future in running] == [0, 1]
        executor.shutdown(cancel_futures=True)


def test_closing_the_context_ends_what_waits(threads: Any) -> None:
    gate = Gate()
    with threads.Pool(2) as pool:
        result = pool.map_async(gate, range(10), chunksize=1)
        for _ in range(2):
            assert gate.entered.acquire(timeout=WAIT_S)
        threads.close()
        gate.open()
        with pytest.raises(CancelledError):
            result.get(WAIT_S)
        with pytest.raises(ClusterError, match="was closed"):
            threads.Pool(2)


@pytest.mark.slow
def test_a_program_that_closes_nothing_leaves_nothing(dask_context: Any) -> None:
    program = """
        import procession

        if __name__ == "__main__":
            context = procession.get_context("dask")
            assert procession.get_context("dask") is context
            pool = context.Pool(2)
            print(pool.map(abs, [-1, 2]))
            pool.map_async(abs, range(100), chunksize=1)
            context.Executor(2).submit(abs, -3).add_done_callback(lambda done: print(done.result()))
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as run:
        out, _ = run.communicate(timeout=50)
    assert run.returncode == 0
    assert sorted(out.splitlines()) == ["3", "[1, 2]"]
    with pytest.raises(ProcessLookupError):
        wait_until(lambda: os.killpg(run.pid, 0), WAIT_S)


# From outside


def test_a_pool_is_seen_with_its_counts(threads: Any) -> None:
    from procession._registry import programs

    gate = Gate()
    with threads.Pool(2) as pool:
        pool.name = "far away"
        result = pool.map_async(gate, range(5), chunksize=1)
        for _ in range(2):
            assert gate.entered.acquire(timeout=WAIT_S)
        assert repr(pool).endswith("state=RUN pool_size=2>")
        assert pool.statistics().outstanding == 5
        assert pool.statistics().waiting == 3
        (seen,) = [one for program in programs() for one in program.pools if one.name == "far away"]
        assert (seen.method, seen.submitted, seen.done, seen.running) == ("ThreadPoolExecutor", 5, 0, 2)
        gate.open()
        assert result.get(WAIT_S) == list(range(5))
        (seen,) = [one for program in programs() for one in program.pools if one.name == "far away"]
        assert (seen.submitted, seen.done, seen.failed, seen.running) == (5, 5, 0, 0)


def test_calls_that_nobody_asks_after_are_counted(threads: Any) -> None:
    from procession._registry import programs

    def done() -> int:
        return sum(one.done for program in programs() for one in program.pools if one.name == "unasked")

    with threads.Pool(2) as pool:
        pool.name = "unasked"
        result = pool.map_async(abs, range(5), chunksize=1)
        wait_until(lambda: done() == 5)
        assert result.get(WAIT_S) == list(range(5))
        assert done() == 5
