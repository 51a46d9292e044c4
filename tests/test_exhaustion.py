"""Pools, executors and processes where descriptors, processes or threads run out: clear errors, and no worker lost."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pool_tasks import double

from procession import Executor
from procession.errors import PoolBroken, WorkerDied
from procession.pool import vacancies
from procession.testing import wait_until

pytestmark = pytest.mark.watchdog(30)


@contextmanager
def descriptors(most: int) -> Iterator[None]:
    """No new descriptor may have this number, or a higher one. The package's own modules are there already."""
    import procession._blame
    import procession.pool.unsendable  # noqa: F401

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def nap(number: int) -> int:
    time.sleep(0.002)
    return number


# Workers that cannot be replaced


def kill_some(workers: list[Any], count: int) -> None:
    for worker in workers[:count]:
        os.kill(worker.pid, signal.SIGKILL)


@pytest.mark.slow
def test_a_pool_goes_on_with_the_workers_that_live(fork: Any) -> None:
    with fork.Pool(2) as pool:
        pool.map(nap, range(4))
        result = pool.map_async(nap, range(60), chunksize=1, retries=1)
        with descriptors(3):
            kill_some(pool._pool, 1)
            assert result.get(20) == list(range(60))
            assert pool.map(nap, range(60)) == list(range(60))
            assert len(pool._pool) == 1
        pool._repopulate_pool()
        wait_until(lambda: pool.map(nap, [1]) and len(pool._pool) == 2)
    pool.join()


@pytest.mark.slow
def test_an_executor_goes_on_with_the_workers_that_live(fork: Any) -> None:
    with Executor(2, context=fork) as executor:
        assert list(executor.map(nap, range(20))) == list(range(20))
        futures = [executor.submit(nap, number) for number in range(60)]
        with descriptors(3):
            kill_some(list(executor._processes.values()), 1)
            ended = [future.exception(20) or future.result() for future in futures]
            assert list(executor.map(nap, range(20))) == list(range(20))
        lost = [one for one in ended if not isinstance(one, int)]
        assert len(lost) <= 1
        assert all(isinstance(one, WorkerDied) for one in lost)
        assert [one for one in ended if isinstance(one, int)] == [n for n, one in enumerate(ended) if one not in lost]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pool", "executor"])
def test_without_any_worker_it_says_why(kind: str, fork: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vacancies, "PATIENCE_S", 0.1)
    if kind == "pool":
        pool = fork.Pool(2)
        workers, submit, end = pool._pool, pool.apply_async, lambda: (pool.terminate(), pool.join())
    else:
        executor = Executor(2, context=fork)
        executor.submit(double, 1).result()
        submit, end = lambda function, args: executor.submit(function, *args), executor.shutdown
        workers = list(executor._processes.values())
    with descriptors(3):
        results = [submit(time.sleep, (60,)) for _ in range(4)]
        kill_some(workers, 2)
        raised = []
        for result in results:
            with pytest.raises((WorkerDied, PoolBroken)) as caught:
                (result.get if kind == "pool" else result.result)(20)
            raised.append(caught.value)
        broken = [error for error in raised if isinstance(error, PoolBroken)]
        assert len(broken) >= 2
        assert "no worker is left, and none can be started: [Errno 24] Too many open files" in str(broken[-1])
        assert isinstance(broken[-1].__cause__, OSError)
    end()


@pytest.mark.parametrize("room", [0, 1])
def test_nothing_can_be_started_without_descriptors(room: int, fork: Any) -> None:
    """And nothing stays behind: see the leak check."""
    makers: list[Callable[[], Any]] = [
        lambda: fork.Process(target=double, args=(1,)).start(),
        lambda: fork.Pool(2),
        lambda: fork.Pipe(),
        lambda: Executor(2, context=fork).submit(double, 1),
    ]
    fork.Pool(1).terminate()
    for make in makers:
        os.close(free := os.dup(0))  # the lowest that is free
        with descriptors(free + room), pytest.raises(OSError, match=rf"\[Errno {errno.EMFILE}\]"):
            make()


# The system gives no process and no thread any more

NO_MORE = """
import ctypes, os, signal, sys, threading, time
import procession

CLONE_NEWUSER, CLONE_NEWPID = 0x10000000, 0x20000000

def no_more_processes():
    # The first child is the init of a new namespace: once it has ended, the kernel refuses every further one there
    call = ctypes.CDLL(None).unshare
    if call(CLONE_NEWPID) and call(CLONE_NEWUSER | CLONE_NEWPID):
        sys.exit(77)
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)

def double(number):
    time.sleep(0.001)
    return 2 * number

def refused(make):
    try:
        make()
    except OSError as error:
        assert error.strerror == "Cannot allocate memory", error
    else:
        raise AssertionError("it was given a process")

if __name__ == "__main__":
    fork = procession.get_context("fork")
    pool, executor = fork.Pool(2), procession.Executor(2, mp_context=fork)
    for _ in range(2):
        assert pool.map(double, range(10)) == list(executor.map(double, range(10)))
    before = len(os.listdir("/proc/self/fd"))
    no_more_processes()
"""


def run_without_processes(body: str) -> None:
    code = NO_MORE + textwrap.indent(textwrap.dedent(body), "    ")
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20)
    if ended.returncode == 77:
        pytest.skip("needs the right to make a namespace of processes")
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.slow
def test_no_process_can_be_started() -> None:
    run_without_processes("""
        child = fork.Process(target=double, args=(1,))
        refused(child.start)
        refused(lambda: fork.Pool(1))
        refused(lambda: procession.Executor(1, mp_context=fork).submit(double, 1))
        refused(fork.Manager)
        assert len(os.listdir("/proc/self/fd")) == before
        os.kill(pool._pool[0].pid, signal.SIGKILL)
        assert pool.map(double, range(50), retries=1) == list(range(0, 100, 2))
        os.kill(next(iter(executor._processes)), signal.SIGKILL)
        assert sum(future.exception() is None for future in [executor.submit(double, n) for n in range(50)]) >= 49
        assert list(executor.map(double, range(50))) == list(range(0, 100, 2))
        pool.terminate(); pool.join(); executor.shutdown()
    """)


@pytest.mark.slow
def test_no_thread_can_be_started() -> None:
    run_without_processes("""
        try:
            pool.apply_async(double, (1,), callback=print)
        except RuntimeError as error:
            assert "can't start new thread" in str(error)
        else:
            raise AssertionError("it was given a thread")
        assert pool.map(double, range(50)) == list(range(0, 100, 2))
        pool.close(); pool.join(); executor.shutdown()
    """)


# The fork server


def run(code: str) -> None:
    """Run a program whose main module is quick to import, for every fork server imports it."""
    code = textwrap.dedent(code)
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.slow
def test_a_fork_server_without_descriptors_refuses_and_lives() -> None:
    run("""
        import operator, resource
        import procession

        context = procession.get_context("forkserver")
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (24, hard))
        event, children = context.Event(), []
        wait = operator.methodcaller("wait")
        first = context.Process(target=wait, args=(event,))
        first.start()  # with it the server, which inherits the limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        try:
            for _ in range(30):
                child = context.Process(target=wait, args=(event,))
                child.start()
                children.append(child)
        except OSError as error:
            assert str(error) == "[Errno 24] Too many open files (says the fork server)", error
        else:
            raise AssertionError("there was no limit")
        event.set()
        for child in [first, *children]:
            child.join()
            assert child.exitcode == 0
        again = context.Process(target=wait, args=(event,))
        again.start()
        again.join()
        assert again.exitcode == 0
    """)


@pytest.mark.slow
def test_children_and_pools_outlive_their_fork_server() -> None:
    run("""
        import asyncio, operator, os, signal, time
        import procession
        from procession._engines.forkserver import server

        context = procession.get_context("forkserver")
        event, asked = context.Event(), operator.methodcaller("wait", 20)
        children = [context.Process(target=asked, args=(event,)) for _ in range(2)]
        for child in children:
            child.start()
        pool = context.Pool(2)
        pids = {worker.pid for worker in pool._pool}
        result = pool.map_async(time.sleep, [0.01] * 20, chunksize=1)

        async def wait():
            task = asyncio.create_task(children[0].wait_async())
            await asyncio.sleep(0)
            os.kill(server.pid, signal.SIGKILL)
            await asyncio.sleep(0.1)
            assert not task.done()
            event.set()
            return await task

        assert children[1].is_alive() and children[1].exitcode is None
        assert asyncio.run(wait()) == 255
        assert [child.result(20) for child in children] == [True, True]
        assert children[1].exitcode == 255
        assert result.get(20) == [None] * 20
        pool._repopulate_pool()
        assert {worker.pid for worker in pool._pool} == pids
        pool.terminate(); pool.join()
        after = context.Process(target=asked, args=(event,))
        after.start()
        assert after.result(20) and after.exitcode == 0
    """)
