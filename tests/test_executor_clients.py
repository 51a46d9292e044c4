"""What others do with executors: asyncio, progress bars, and the standard executor on our contexts."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import pytest
from executor_tasks import begin_and_wait, fail_to_begin
from pool_tasks import die_for, double, own_pid, raise_for, wait_for

import procession
from procession import Executor
from procession.pool.marks import COUNT, Marks, is_before

pytestmark = pytest.mark.watchdog(30)


def test_asyncio(quick_context: Any) -> None:
    async def use() -> None:
        loop = asyncio.get_running_loop()
        calls = [loop.run_in_executor(executor, double, number) for number in range(50)]
        assert await asyncio.gather(*calls) == list(range(0, 100, 2))
        with pytest.raises(ValueError, match="-1"):
            await loop.run_in_executor(executor, raise_for, -1)
        begun, event = quick_context.Semaphore(0), quick_context.Event()
        running = [executor.submit(begin_and_wait, begun, event) for _ in range(2)]
        waiting = executor.submit(double, 7)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.wrap_future(waiting), 0.01)
        assert waiting.cancelled(), "cancelling the wait cancels the call"
        event.set()
        assert await asyncio.gather(*map(asyncio.wrap_future, running)) == [True, True]

    with Executor(2, context=quick_context) as executor:
        asyncio.run(use())


def process_map(kind: Any, function: Any, *iterables: Any, **options: Any) -> list[Any]:
    """As tqdm.contrib.concurrent does it."""

    def progress(results: Iterator[Any], total: int) -> Iterator[Any]:
        for done, result in enumerate(results, 1):
            assert done <= total
            yield result

    with kind(max_workers=2, initializer=None, initargs=()) as executor:
        return list(progress(executor.map(function, *iterables, **options), len(iterables[0])))


def test_process_map() -> None:
    assert process_map(Executor, pow, range(20), range(20), chunksize=4) == list(map(pow, range(20), range(20)))


def test_contexts_of_the_standard_library_mean_ours(fork: Any) -> None:
    theirs = multiprocessing.get_context("fork")
    with Executor(1, mp_context=theirs) as executor:
        assert executor.submit(double, 2).result() == 4
        assert executor._mp_context is theirs
        (process,) = executor._processes.values()
        assert isinstance(process, procession.process.ProcessWithResult)


def test_names_that_others_read(fork: Any) -> None:
    with Executor(3, context=fork, initializer=int, max_tasks_per_child=5) as executor:
        assert executor._max_workers == 3
        assert executor._mp_context is fork
        assert executor._shutdown_thread is False
        future = executor.submit(own_pid)
        assert future.result() in executor._processes
        assert len(executor._processes) == 3, "forked workers start together, before there are threads"
        assert executor._call_queue.qsize() == 0
        executor._call_queue.join_thread()
        assert isinstance(executor._executor_manager_thread, threading.Thread)
    assert executor._shutdown_thread is True


def test_the_packages_default_context_counts() -> None:
    assert Executor()._mp_context.get_start_method() == procession.get_start_method()
    assert Executor()._max_workers == procession.cpu_count()


# The standard executor on our contexts


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_the_standard_executor(method: str) -> None:
    context = procession.get_context(method)
    with futures.ProcessPoolExecutor(2, mp_context=context) as executor:
        submitted = [executor.submit(double, number) for number in range(50)]
        assert sorted(future.result(20) for future in futures.as_completed(submitted)) == list(range(0, 100, 2))
        assert list(executor.map(pow, range(10), range(10), chunksize=3)) == list(map(pow, range(10), range(10)))
        with pytest.raises(ValueError, match="-1"):
            executor.submit(raise_for, -1).result(20)
        with pytest.raises(TypeError, match="pickle"):
            executor.submit(double, threading.Lock()).result(20)
        event = context.Event()
        waiting = executor.submit(wait_for, event)
        event.set()
        assert waiting.result(20) is True


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_the_standard_executor_breaks_as_ever(method: str) -> None:
    context = procession.get_context(method)
    with futures.ProcessPoolExecutor(1, mp_context=context) as executor:
        with pytest.raises(futures.process.BrokenProcessPool):
            executor.submit(die_for, -9).result(20)
        with pytest.raises(futures.process.BrokenProcessPool):
            executor.submit(double, 1)
    with (
        futures.ProcessPoolExecutor(1, context, fail_to_begin, (1,)) as executor,
        pytest.raises(futures.process.BrokenProcessPool),
    ):
        executor.submit(double, 1).result(20)


def test_the_standard_executor_does_not_run_in_threads() -> None:
    executor = futures.ProcessPoolExecutor(1, mp_context=procession.get_context("thread"))
    with executor, pytest.raises(procession.errors.NotSupported, match="ThreadPoolExecutor"):
        executor.submit(double, 1)


# Marks


def test_numbers_wrap_around() -> None:
    assert is_before(3, 4)
    assert not is_before(4, 4)
    assert not is_before(5, 4)
    assert is_before(2**32 - 1, 0)
    assert not is_before(0, 2**32 - 1)


def test_marks() -> None:
    marks = Marks()
    assert marks.withdraw([4, 5, 6], lambda: (5, 20)) == [5, 6], "4 was taken"
    theirs = Marks(marks.cells, marks._lock)  # as a worker has it
    assert theirs.cells[COUNT] == 2
    assert not theirs.meets(4)
    assert theirs.meets(5)
    assert not theirs.meets(5), "the mark is gone"
    assert marks.withdraw([6], lambda: (5, 20)) == [6]
    assert theirs.cells[COUNT] == 1, "the same mark again"
    far = 6 + 4096  # would share a place in the first table
    assert marks.withdraw([far, 2**32 - 1], lambda: (2**32 - 2, 20_000)) == [far, 2**32 - 1]
    assert [theirs.meets(number) for number in (6, far, 2**32 - 1, 7)] == [True, True, True, False]
    assert theirs.cells[COUNT] == 0
