"""Pools: the standard interface in every context."""

from __future__ import annotations

import itertools
import multiprocessing
import multiprocessing.pool
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import procession
from procession.errors import (
    WorkerDied,
)
from procession.pool import Pool

try:
    import cloudpickle
except ImportError:
    cloudpickle = None

from pool_tasks import add, die_for, double, identity, own_pid, raise_for, wait_for

pytestmark = pytest.mark.watchdog(30)


def test_apply(pool: Pool) -> None:
    assert pool.apply(add, (1, 2)) == 3
    assert pool.apply(add, (1,), {"right": 5}) == 6
    assert pool.apply(add, [1]) == 101


@pytest.mark.parametrize("chunksize", [None, 1, 3, 1000])
def test_map_keeps_the_order(pool: Pool, chunksize: int | None) -> None:
    assert pool.map(double, range(50), chunksize) == [2 * n for n in range(50)]
    assert pool.map(double, iter([3, 4]), chunksize) == [6, 8]
    assert pool.map(double, [], chunksize) == []


@pytest.mark.parametrize("chunksize", [None, 1, 7])
def test_long_maps(fork_pool: Pool, chunksize: int | None) -> None:
    assert fork_pool.map(double, range(20_000), chunksize) == list(range(0, 40_000, 2))
    assert fork_pool.map_async(double, range(20_000), chunksize).get() == list(range(0, 40_000, 2))


def test_spawned_workers() -> None:
    with procession.get_context("spawn").Pool(2, store, (17,)) as pool:
        assert pool.apply(read_stored, (0,)) == 17
        assert pool.map(double, range(50)) == [2 * n for n in range(50)]
        assert list(pool.imap(double, range(300))) == [2 * n for n in range(300)]
        with pytest.raises(WorkerDied, match=r"die_for\(-9\), item 1"):
            pool.map(die_for, [1, -9, 2], 1)
        with pytest.raises(ValueError, match="-1 is negative"):
            pool.map(raise_for, [1, 2, -1, 4])
        if cloudpickle is not None:
            assert pool.map(lambda n: 3 * n, [1, 2]) == [3, 6]
        assert pool.map_reduce(str, range(50), str.__add__) == "".join(map(str, range(50)))
    pool.join()


def test_starmap(pool: Pool) -> None:
    pairs = [(n, 2 * n) for n in range(20)]
    assert pool.starmap(add, pairs) == [3 * n for n in range(20)]
    assert pool.starmap(add, [[1, 2], (3,)], chunksize=1) == [3, 103]
    assert pool.starmap_async(add, pairs, 4).get(20) == [3 * n for n in range(20)]


def test_async_results(pool: Pool) -> None:
    result = pool.apply_async(double, (4,))
    result.wait(20)
    assert result.ready()
    assert result.successful()
    assert result.get() == result.get(timeout=0) == 8
    failing = pool.map_async(raise_for, [1, -2, 3, -4], 1)
    failing.wait()
    assert not failing.successful()
    with pytest.raises(ValueError, match="-2 is negative"):
        failing.get()


@pytest.mark.parametrize("chunksize", [1, 4])
def test_imap(pool: Pool, chunksize: int) -> None:
    assert list(pool.imap(double, range(300), chunksize)) == [2 * n for n in range(300)]
    assert sorted(pool.imap_unordered(double, range(300), chunksize)) == [2 * n for n in range(300)]
    assert list(pool.imap(double, [])) == []
    iterator = pool.imap(double, [1])
    assert iterator.next(timeout=20) == 2
    with pytest.raises(StopIteration):
        iterator.next()
    with pytest.raises(StopIteration):
        next(iterator)


@pytest.mark.parametrize("method", ["imap", "imap_unordered"])
def test_imap_reads_an_endless_input_only_a_little_ahead(pool: Pool, method: str) -> None:
    read: list[int] = []

    def numbers() -> Iterator[int]:
        for number in itertools.count():
            read.append(number)
            yield number

    results = getattr(pool, method)(double, numbers())
    taken = [next(results) for _ in range(500)]
    assert len(set(taken)) == 500
    assert len(read) <= 500 + 64


def test_errors_of_an_input_come_in_their_place(pool: Pool) -> None:
    def numbers() -> Iterator[int]:
        yield 1
        yield 2
        raise KeyError("no more")

    results = pool.imap(double, numbers())
    assert [next(results), next(results)] == [2, 4]
    with pytest.raises(KeyError, match="no more"):
        next(results)
    with pytest.raises(StopIteration):
        next(results)


def test_imap_goes_on_behind_a_failure(pool: Pool) -> None:
    results = pool.imap(raise_for, [1, -1, 3])
    assert next(results) == 1
    with pytest.raises(ValueError, match="negative"):
        next(results)
    assert next(results) == 3


def test_timeouts(fork_pool: Pool, thread_pool: Pool) -> None:
    for pool, context in ((fork_pool, "fork"), (thread_pool, "thread")):
        event = procession.get_context(context).Event()
        result = pool.apply_async(wait_for, (event,))
        iterator = pool.imap(wait_for, [event])
        with pytest.raises(ValueError, match="not ready"):
            result.successful()
        with pytest.raises(multiprocessing.TimeoutError):
            result.get(timeout=0.01)
        with pytest.raises(procession.TimeoutError):
            iterator.next(timeout=0)
        result.wait(0.01)
        assert not result.ready()
        event.set()
        assert result.get(20) is True
        assert next(iterator) is True


def test_callbacks_run_before_the_result_is_ready(pool: Pool) -> None:
    called: list[Any] = []
    result = pool.apply_async(double, (3,), callback=called.append)
    assert result.get() == 6
    assert called == [6]
    results = pool.map_async(double, [1, 2], callback=called.append)
    results.wait()
    assert called == [6, [2, 4]]
    failing = pool.apply_async(raise_for, (-1,), callback=called.append, error_callback=lambda e: called.append(str(e)))
    with pytest.raises(ValueError, match="negative"):
        failing.get()
    assert called[2:] == ["-1 is negative"]


def test_callbacks_need_nobody_to_wait(pool: Pool) -> None:
    called = threading.Event()
    pool.apply_async(double, (3,), callback=lambda value: called.set())
    assert called.wait(20)


def test_a_callback_may_use_the_pool(fork_pool: Pool) -> None:
    seen: list[int] = []
    fork_pool.apply_async(double, (3,), callback=lambda value: seen.append(fork_pool.apply(double, (value,)))).get()
    assert seen == [12]


def test_a_callback_that_raises_harms_nobody(fork_pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", raised.append)
    assert fork_pool.apply_async(double, (3,), callback=lambda value: value / 0).get() == 6
    assert raised[0].exc_type is ZeroDivisionError
    assert fork_pool.apply_async(double, (3,), callback=raised.append).get() == raised[1] == 6


def test_several_threads_wait_at_once(fork_pool: Pool) -> None:
    results: list[Any] = []

    def work(start: int) -> None:
        for number in range(start, start + 200):
            results.append(fork_pool.apply(double, (number,)) == 2 * number)
        results.append(
            fork_pool.map(double, range(start, start + 5000), 1) == list(range(2 * start, 2 * start + 10_000, 2))
        )

    threads = [threading.Thread(target=work, args=(1000 * n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 6 * 201


def store(value: int) -> None:
    global stored
    stored = value


def read_stored(_: object) -> int:
    return stored


def test_initializer(quick_context: Any) -> None:
    with quick_context.Pool(2, store, (17,)) as pool:
        assert pool.map(read_stored, range(10), 1) == [17] * 10


@pytest.mark.parametrize("method", ["fork", "forkserver", "thread"])
def test_maxtasksperchild(method: str) -> None:
    with procession.get_context(method).Pool(2, maxtasksperchild=2) as pool:
        pids = pool.map(own_pid, range(8), chunksize=1)
        assert method == "thread" or all(pids.count(pid) <= 2 for pid in pids)
        results = [pool.apply_async(own_pid) for _ in range(6)]
        pool.close()
        pool.join()
        assert all(result.ready() for result in results)


def test_map_reduce(pool: Pool) -> None:
    assert pool.map_reduce(double, range(1000), add) == 999_000
    assert pool.map_reduce(str, range(200), str.__add__) == "".join(map(str, range(200)))
    assert pool.map_reduce(str, iter(range(20)), str.__add__, chunksize=3, initial=">") == ">" + "".join(
        map(str, range(20))
    )
    assert pool.map_reduce(double, [], add, initial=5) == 5
    with pytest.raises(TypeError, match="empty iterable with no initial value"):
        pool.map_reduce(double, [], add)
    told: list[Any] = []
    pool.map_reduce(double, range(30), add, chunksize=10, progress=told.append)
    assert (told[-1].done, told[-1].total, told[-1].ended) == (30, 30, True)
    with pytest.raises(ValueError, match="negative"):
        pool.map_reduce(raise_for, [1, -1], add)
    assert pool.apply(double, (1,)) == 2


def test_large_things_go_both_ways(process_pool: Pool) -> None:
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(100_000)
    assert (process_pool.apply(identity, (array,)) == array).all()
    for result in process_pool.map(identity, [array, array], chunksize=1):
        assert (result == array).all()
    text = "x" * 1_000_000
    assert process_pool.map(identity, [text] * 3) == [text] * 3


def test_shared_objects_may_be_arguments(quick_process_context: Any) -> None:
    with quick_process_context.Pool(2) as pool:
        event = quick_process_context.Event()
        result = pool.apply_async(wait_for, (event,))
        event.set()
        assert result.get() is True


def test_threads_get_the_objects_themselves(thread_pool: Pool) -> None:
    thing = object()
    assert thread_pool.apply(identity, (thing,)) is thing
    assert thread_pool.map(lambda item: item, [thing])[0] is thing
    assert thread_pool.apply(own_pid) == os.getpid()
