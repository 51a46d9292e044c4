"""Pools: close, terminate, join and being forgotten; pools and forks, threads, wrong arguments."""

from __future__ import annotations

import multiprocessing.process
import os
import pickle
import threading
from typing import Any

import pytest

import procession
from procession.errors import (
    NotSupported,
    PoolBroken,
    PoolTerminated,
)
from procession.pool import Pool
from procession.testing import descendants, wait_until

try:
    import cloudpickle
except ImportError:
    cloudpickle = None

from pool_tasks import double, identity, own_pid, wait_for

pytestmark = pytest.mark.watchdog(30)


def test_close_and_join_finish_what_was_submitted(quick_context: Any) -> None:
    pool = quick_context.Pool(2)
    results = pool.map_async(double, range(100), 1)
    iterator = pool.imap(double, range(500))
    with pytest.raises(ValueError, match="still running"):
        pool.join()
    pool.close()
    pool.close()
    for call in (pool.map, pool.imap, pool.imap_unordered, pool.map_async, pool.starmap):
        with pytest.raises(ValueError, match="Pool not running"):
            call(double, [1])
    with pytest.raises(ValueError, match="Pool not running"):
        pool.apply(double, (1,))
    pool.join()
    assert results.get(0) == list(range(0, 200, 2))
    assert list(iterator) == list(range(0, 1000, 2))
    assert "CLOSE" in repr(pool)


def test_terminate_is_prompt_and_fails_what_is_out(quick_process_context: Any) -> None:
    pool = quick_process_context.Pool(2)
    event = quick_process_context.Event()
    results = [pool.apply_async(wait_for, (event,)) for _ in range(5)]
    pool.terminate()
    pool.join()
    assert all(worker.exitcode is not None for worker in pool._pool)
    for result in results:
        with pytest.raises(PoolTerminated):
            result.get()
    with pytest.raises(ValueError, match="Pool not running"):
        pool.apply(double, (1,))
    pool.terminate()


def test_terminate_wakes_who_waits(fork_pool: Pool) -> None:
    event = procession.get_context("fork").Event()
    result = fork_pool.apply_async(wait_for, (event,))
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            result.get()
        except PoolTerminated as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    wait_until(lambda: fork_pool.statistics().waiting == 0)
    fork_pool.terminate()
    thread.join()
    assert len(errors) == 1


def test_with_terminates(quick_context: Any) -> None:
    with quick_context.Pool(1) as pool:
        assert pool.apply(double, (1,)) == 2
    with pytest.raises(ValueError, match="Pool not running"):
        pool.apply(double, (1,))
    with pytest.raises(ValueError, match="Pool not running"), pool:
        pass
    pool.join()


def test_a_forgotten_pool_warns_and_ends(quick_process_context: Any) -> None:
    pool = quick_process_context.Pool(1)
    pids = [worker.pid for worker in pool._pool]
    with pytest.warns(ResourceWarning, match="unclosed running"):
        del pool
    wait_until(lambda: not set(pids) & set(descendants(os.getpid())))


def test_results_outlive_their_pool(fork_pool: Pool) -> None:
    result = fork_pool.apply_async(double, (1,))
    result.wait()
    fork_pool.terminate()
    assert result.get() == 2


@pytest.mark.parametrize("processes", [0, -1])
def test_too_few_processes(quick_context: Any, processes: int) -> None:
    with pytest.raises(ValueError, match=f"at least 1, not {processes}"):
        quick_context.Pool(processes)


def test_wrong_arguments(quick_context: Any) -> None:
    with pytest.raises(ValueError, match="maxtasksperchild"):
        quick_context.Pool(1, maxtasksperchild=0)
    with pytest.raises(TypeError, match="initializer"):
        quick_context.Pool(1, initializer=3)
    with quick_context.Pool(1) as pool, pytest.raises(ValueError, match="Chunksize must be 1"):
        pool.imap(double, [1], 0)
    pool.join()


def test_a_number_of_processes_that_is_none() -> None:
    for processes in ("2", 2.0):
        with pytest.raises(TypeError, match=f"processes must be an int, not {type(processes).__name__}"):
            procession.get_context("fork").Pool(processes)


def test_a_pool_cannot_be_pickled(fork_pool: Pool) -> None:
    with pytest.raises(NotImplementedError, match="cannot be passed"):
        pickle.dumps(fork_pool)
    with pytest.raises(NotSupported):
        fork_pool.apply(identity, (fork_pool,))


def test_a_forked_child_cannot_use_its_parents_pool(fork_pool: Pool) -> None:
    def use(queue: Any) -> None:
        try:
            fork_pool.apply(double, (1,))
        except PoolBroken as error:
            queue.put(str(error))

    context = procession.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=use, args=(queue,))
    process.start()
    assert f"belongs to process {os.getpid()}" in queue.get(timeout=20)
    process.join()
    assert fork_pool.apply(double, (1,)) == 2


def test_pools_made_in_threads() -> None:
    results: list[Any] = []

    def work() -> None:
        with procession.get_context("fork").Pool(1) as pool:
            results.append(pool.map(double, range(10)))
        pool.join()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [list(range(0, 20, 2))] * 4


def test_a_pool_made_in_a_thread_outlives_it() -> None:
    pools: list[Pool] = []
    thread = threading.Thread(target=lambda: pools.append(procession.get_context("fork").Pool(1)))
    thread.start()
    thread.join()
    (pool,) = pools
    with pool:
        pids = {pool.apply(own_pid) for _ in range(20)}
        assert len(pids) == 1
    pool.join()


def test_workers_that_retired_are_nobodys_children() -> None:
    pool = procession.get_context("fork").Pool(2, maxtasksperchild=1)
    results = [pool.apply_async(own_pid) for _ in range(6)]
    pool.close()
    pool.join()
    pids = {result.get() for result in results}
    assert len(pids) == 6
    kept = multiprocessing.process._children  # type: ignore[attr-defined]  # until somebody starts the next process
    assert not pids & {process.pid for process in kept}
