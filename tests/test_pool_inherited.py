"""Pools: the names that programs take from a standard pool's inside, and the recipes that are built on them."""

from __future__ import annotations

import multiprocessing
import multiprocessing.pool
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

import pytest
from pool_tasks import add, double, own_pid, raise_for, wait_for

import procession
from procession import pool as pools
from procession.errors import NotSupported
from procession.pool import Pool, ThreadPool
from procession.testing import wait_until

pytestmark = pytest.mark.watchdog(30)


def test_the_standard_names_are_there() -> None:
    standard = {name for name in vars(multiprocessing.pool) if name.isidentifier()} - {"__getattr__"}
    wanted = {
        name
        for name in standard
        if getattr(vars(multiprocessing.pool)[name], "__module__", None) == "multiprocessing.pool" or name.isupper()
    } - {"_PoolCache"}
    assert [name for name in sorted(wanted) if not hasattr(pools, name)] == []
    assert pools.mapstar is multiprocessing.pool.mapstar
    assert pools.AsyncResult is pools.ApplyResult
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        pools.nonsense  # noqa: B018


# Looking instead of waiting


def test_a_result_that_is_only_asked_becomes_ready(pool: Pool) -> None:
    results = [pool.apply_async(double, (1,)), pool.map_async(double, range(100), 3)]
    for result in results:
        wait_until(result.ready)
        assert result.successful()
        assert result._success
    assert results[0].get(0) == results[0]._value == 2
    assert results[1]._number_left == 0


def test_a_result_of_a_dead_worker_becomes_ready(fork_pool: Pool) -> None:
    result = fork_pool.apply_async(os._exit, (3,))
    wait_until(result.ready)
    assert not result.successful()


def test_get_without_time_takes_what_is_there(fork_pool: Pool) -> None:
    result = fork_pool.apply_async(double, (1,))
    iterator = fork_pool.imap(double, [2])
    wait_until(lambda: fork_pool._outqueue.qsize() == 4)  # two say that a worker serves
    assert result.get(0) == 2
    assert iterator.next(0) == 4


def test_the_cache_empties_by_itself(pool: Pool) -> None:
    event = pool._ctx.Event()
    results = [pool.apply_async(wait_for, (event,)) for _ in range(3)]
    assert len(pool._cache) == 3
    assert results[0]._job in pool._cache
    assert pool._cache[results[0]._job] is results[0]
    event.set()
    wait_until(lambda: not pool._cache)
    assert [result.get(0) for result in results] == [True] * 3


def test_chunks_left_tell_the_progress(fork_pool: Pool) -> None:
    event = procession.get_context("fork").Event()
    result = fork_pool.map_async(wait_for, [event] * 10, 2)
    assert result._number_left == 5
    assert result._chunksize
    event.set()
    wait_until(lambda: result._number_left == 0)


def test_counting_the_results_of_an_imap_lets_it_go_on(pool: Pool) -> None:
    iterator = pool.imap_unordered(double, range(1000))
    wait_until(lambda: iterator._index == 1000)
    assert iterator._length == 1000
    assert sorted(iterator) == list(range(0, 2000, 2))


# State


def test_the_state_may_be_set(fork_pool: Pool) -> None:
    assert fork_pool._state == pools.RUN
    fork_pool.terminate()
    fork_pool.join()
    assert fork_pool._state == pools.TERMINATE
    fork_pool._state = pools.RUN
    with pytest.warns(ResourceWarning, match=r"unclosed running multiprocessing pool <procession.pool.Pool state=RUN"):
        fork_pool.__del__()
    fork_pool._state = pools.TERMINATE


def test_what_is_looked_at(fork_pool: Pool) -> None:
    assert repr(fork_pool) == "<procession.pool.Pool state=RUN pool_size=2>"
    assert fork_pool._taskqueue.empty()
    assert fork_pool._taskqueue.qsize() == 0
    assert fork_pool._worker_handler.is_alive()
    assert len(fork_pool._get_sentinels()) == 2
    assert (fork_pool._processes, fork_pool._maxtasksperchild, fork_pool._initargs) == (2, None, ())
    fork_pool._repopulate_pool()
    with pytest.raises(NotSupported):
        fork_pool._quick_put(None)
    fork_pool.terminate()
    assert not fork_pool._worker_handler.is_alive()
    fork_pool._worker_handler.join()


# Tasks of a program's own making


def istarmap(pool: Pool, function: Callable[..., Any], items: Iterable[Any], chunksize: int) -> Iterator[Any]:
    """The well-known recipe: a starmap that is an imap."""
    pool._check_running()
    batches = Pool._get_tasks(function, items, chunksize)
    result = pools.IMapIterator(pool)
    tasks = pool._guarded_task_generation(result._job, pools.starmapstar, batches)
    pool._taskqueue.put((tasks, result._set_length))
    return (item for chunk in result for item in chunk)


@pytest.mark.parametrize("chunksize", [1, 3])
def test_starmap_that_is_an_imap(pool: Pool, chunksize: int) -> None:
    assert list(istarmap(pool, add, ((n, n) for n in range(10)), chunksize)) == list(range(0, 20, 2))
    with pytest.raises(ValueError, match="negative"):
        list(istarmap(pool, raise_for, [(-1,)], chunksize))


def test_results_filled_by_tasks_put_by_hand(pool: Pool) -> None:
    called: list[Any] = []
    single = pools.ApplyResult(pool, called.append, None)
    pool._taskqueue.put(([(single._job, 0, add, (1, 2), {})], None))
    assert single.get() == 3
    assert called == [3]
    many = pools.MapResult(pool, 3, 7, None, None)
    tasks = pool._guarded_task_generation(many._job, pools.mapstar, Pool._get_tasks(double, range(7), 3))
    pool._taskqueue.put((tasks, None))
    assert many.get() == list(range(0, 14, 2))
    with pytest.raises(TypeError, match="mapstar or starmapstar"):
        pool._taskqueue.put(([(pools.MapResult(pool, 1, 1)._job, 0, double, (1,), {})], None))
    with pytest.raises(TypeError, match="no result"):
        pool._taskqueue.put(([(5, 0, double, (1,), {})], None))
    pool._taskqueue.put(None)


# Processes of a program's own making


class _NoDaemon:
    @property
    def daemon(self) -> bool:
        return False

    @daemon.setter
    def daemon(self, value: bool) -> None:
        pass


class NoDaemonProcess(_NoDaemon, procession.get_context("fork").Process):  # type: ignore[misc]
    pass


class NoDaemonContext(type(procession.get_context("fork"))):  # type: ignore[misc]
    Process = NoDaemonProcess


class PoolWithoutDaemons(Pool):
    @staticmethod
    def Process(ctx: Any, *args: Any, **kwds: Any) -> Any:
        return NoDaemonProcess(*args, **kwds)


def is_daemon(_: object) -> bool:
    return procession.current_process().daemon


def nested(number: int) -> int:
    with procession.get_context("fork").Pool(2) as pool:
        return sum(pool.map(double, range(number)))


def test_workers_that_are_no_daemons() -> None:
    for pool in (Pool(2, context=NoDaemonContext()), PoolWithoutDaemons(2)):
        with pool:
            assert pool.map(is_daemon, range(3), 1) == [False] * 3
            assert pool.map(nested, [2, 3], 1) == [2, 6]
            assert all(isinstance(worker, NoDaemonProcess) for worker in pool._pool)
        pool.join()


def test_workers_may_have_pools(process_pool: Pool) -> None:
    assert process_pool.map(is_daemon, [0]) == [True]
    assert process_pool.map(nested, [2, 3], 1) == [2, 6]


def test_a_context_of_the_standard_library() -> None:
    for method in ("fork", "spawn"):
        with Pool(1, context=multiprocessing.get_context(method)) as pool:
            assert pool.map(double, range(5)) == [0, 2, 4, 6, 8]
            assert pool.apply(own_pid) == pool._pool[0].pid
        pool.join()


def test_the_default_context_is_the_packages_own() -> None:
    with Pool(1) as pool:
        assert type(pool._pool[0]).__module__.startswith("procession")
    pool.join()


class Brittle:
    """A process whose third instance does not start, and which knows no more than the standard pool asks for."""

    made: ClassVar[list[Brittle]] = []

    def __init__(self, **arguments: Any) -> None:
        self.name, self.exitcode, self.state = "a Process", None, "new"
        self.made.append(self)

    def start(self) -> None:
        if len(self.made) > 2:
            raise OSError("no more")
        self.state = "started"

    def terminate(self) -> None:
        self.state = "asked"

    def join(self) -> None:
        assert self.state == "asked"
        self.state = "ended"


def test_a_worker_that_cannot_be_started_leaves_none_behind() -> None:
    class Context(type(procession.get_context("fork"))):  # type: ignore[misc]
        Process = Brittle

    with pytest.raises(OSError, match="no more"):
        Pool(4, context=Context())
    assert [process.state for process in Brittle.made] == ["ended", "ended", "new"]


# Threads


def test_thread_pool() -> None:
    with ThreadPool(2) as pool:
        assert isinstance(pool, Pool)
        assert repr(pool) == "<procession.pool.ThreadPool state=RUN pool_size=2>"
        thing = object()
        assert pool.apply(lambda: thing) is thing
        assert pool.apply(threading.current_thread) is not threading.current_thread()
    pool.join()
    with pytest.raises(TypeError):
        ThreadPool(2, maxtasksperchild=1)  # type: ignore[call-arg]
    with ThreadPool(1, add, (1, 2)) as pool:
        assert pool.apply(own_pid) == os.getpid()
    pool.join()
