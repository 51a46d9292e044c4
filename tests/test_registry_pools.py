"""Pools as the registry sees them from outside: what is counted, who is at what, and what remains of the dead."""

import os
import signal
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

import procession
from procession import _registry
from procession.pool import ThreadPool
from procession.testing import wait_until

PATIENCE_S = 20


def of(name: str) -> _registry.PoolInfo:
    (found,) = [pool for pool in _registry.program(os.getpid()).pools if pool.name == name]
    return found


def block(reached: Any, gate: Any) -> None:
    reached.release()
    gate.wait()


def block_at_first(reached: Any, gate: Any, number: int) -> None:
    if number < 2:  # both workers: one alone might do all the rest before anybody looks
        block(reached, gate)


def fail(number: int) -> int:
    if number % 2:
        raise ValueError(number)
    return number


@pytest.fixture(params=["fork", "spawn", "forkserver"])
def context(request: pytest.FixtureRequest) -> Iterator[Any]:
    return procession.get_context(request.param)


@pytest.mark.slow
def test_a_pool_is_seen_at_work(context: Any) -> None:
    reached, gate = context.Semaphore(0), context.Event()
    with context.Pool(2) as pool:
        pool.name = "the pool"
        results = [pool.apply_async(block, (reached, gate)) for _ in range(5)]
        for _ in range(2):
            assert reached.acquire(timeout=PATIENCE_S)
        seen = of("the pool")
        assert (seen.title, seen.method, seen.pid) == ("block", context.get_start_method(), os.getpid())
        assert (seen.submitted, seen.done, seen.failed, seen.running, seen.waiting) == (5, 0, 0, 2, 3)
        assert seen.size == 2
        assert {worker.pid for worker in seen.workers} == {worker.pid for worker in pool._pool}
        assert {worker.task for worker in seen.workers} == {0, 1}
        assert all(worker.since is not None for worker in seen.workers)
        gate.set()
        for result in results:
            result.get(PATIENCE_S)
        wait_until(lambda: of("the pool").running == 0)  # a worker that has answered says so a moment later
        seen = of("the pool")
        assert (seen.done, seen.waiting) == (5, 0)
        assert [worker.task for worker in seen.workers] == [None, None]


def test_what_fails_is_counted() -> None:
    with procession.get_context("fork").Pool(2) as pool:
        pool.name = "failing"
        for number in range(6):
            pool.apply_async(fail, (number,)).wait(PATIENCE_S)
        wait_until(lambda: of("failing").done == 6)
        assert of("failing").failed == 3
        with pytest.raises(ValueError, match="1"):
            pool.map(fail, range(10), chunksize=5)
        wait_until(lambda: of("failing").done == 8)
        assert 4 <= of("failing").failed <= 8  # a chunk ends with the first one, or each stands for itself


@pytest.mark.slow
def test_a_worker_that_died_is_replaced_and_what_it_did_stays_counted() -> None:
    with procession.get_context("fork").Pool(1) as pool:
        pool.name = "mortal"
        pool.apply(fail, (2,))
        (old,) = of("mortal").workers
        os.kill(old.pid, signal.SIGKILL)
        pool.apply(fail, (4,))
        (new,) = of("mortal").workers
        assert new.pid != old.pid
        wait_until(lambda: of("mortal").done == 2)


def test_threads_are_counted_by_their_parent() -> None:
    with ThreadPool(2) as pool:
        pool.name = "threads"
        pool.map(abs, range(10), chunksize=1)
        seen = of("threads")
        assert (seen.title, seen.method, seen.workers) == ("abs", "thread", ())
        assert (seen.submitted, seen.done, seen.failed, seen.running, seen.waiting) == (10, 10, 0, 0, 0)


@pytest.mark.parametrize("method", ["fork", "thread"])
def test_what_a_map_keeps_back_is_counted(method: str) -> None:
    context = procession.get_context(method)
    reached, gate = context.Semaphore(0), context.Event()

    with context.Pool(2) as pool, ThreadPool(1) as aside:
        pool.name = f"a pool of {method} with much to do"
        result = aside.apply_async(pool.map, (partial(block_at_first, reached, gate), range(50_000)), {"chunksize": 1})
        try:
            for _ in range(2):
                assert reached.acquire(timeout=PATIENCE_S)
            wait_until(lambda: of(pool.name).later > 0)
            seen = of(pool.name)
            # (the two are read one after the other)
            assert abs(seen.submitted + seen.later - 50_000) <= 1 + seen.submitted
        finally:
            gate.set()  # or the thread would wait for ever, and tests of waits would see it
        result.get(PATIENCE_S)
        assert (of(pool.name).submitted, of(pool.name).later) == (50_000, 0)


def test_an_executor_is_seen() -> None:
    with procession.Executor(1, procession.get_context("fork")) as executor:
        executor.name = "futures"
        assert executor.name == "futures"
        assert executor.submit(fail, 2).result(PATIENCE_S) == 2
        assert executor.submit([3, 4].index, 4).result(PATIENCE_S) == 1
        wait_until(lambda: of("futures").done == 2)
        assert of("futures").title == "list.index"


def test_the_insides_of_a_pool_are_known_as_such() -> None:
    with procession.get_context("fork").Pool(1) as pool:
        pool.name = "whole"
        pool.apply(fail, (2,))
        seen = _registry.program(os.getpid())
        (found,) = [one for one in seen.pools if one.name == "whole"]
        parts = [one for one in seen.objects if one.part_of == found.address[0]]
        assert sorted(one.kind for one in parts) == ["Lock", "Memory", "Ring", "Ring"]
        assert {one.name for one in parts} == {"Lock of whole", "Memory of whole", "Ring of whole"}
    assert "whole" not in [one.name for one in _registry.program(os.getpid()).pools if one.workers]


def test_the_lock_of_a_value_and_of_a_condition_is_theirs() -> None:
    value, condition = procession.Value("i"), procession.Condition()
    value.name, condition.name = "balance", "news"
    names = [one.name for one in _registry.program(os.getpid()).objects]
    assert {"balance", "RLock of balance", "news", "RLock of news"} <= set(names)
