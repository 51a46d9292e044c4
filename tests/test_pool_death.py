"""Pools: workers that die, are killed, or fail to start."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import traceback
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

import procession
from procession.errors import (
    PoolBroken,
    WorkerDied,
)
from procession.pool import Pool

try:
    import cloudpickle
except ImportError:
    cloudpickle = None

from pool_tasks import die_for, double, leave

pytestmark = pytest.mark.watchdog(30)


@pytest.mark.parametrize("chunksize", [None, 1])
def test_a_poison_item_fails_alone_and_is_named(process_pool: Pool, chunksize: int | None) -> None:
    with pytest.raises(WorkerDied, match=r"SIGKILL.*die_for\(-9\), item 3") as caught:
        process_pool.map(die_for, [0, 1, 2, -9, 4], chunksize)
    assert caught.value.exitcode == -9
    assert caught.value.pid not in (None, os.getpid())
    assert process_pool.map(double, range(10)) == list(range(0, 20, 2))
    assert process_pool.statistics().deaths == 1


def test_poison_among_good_tasks(fork_pool: Pool) -> None:
    numbers = [-9 if n % 50 == 7 else n for n in range(200)]
    results, lost = [], 0
    iterator = fork_pool.imap(die_for, numbers)
    for number in numbers:
        if number < 0:
            with pytest.raises(WorkerDied):
                next(iterator)
            lost += 1
        else:
            results.append(next(iterator) == number)
    assert lost == 4
    assert results == [True] * 196


def test_other_ways_to_die(fork_pool: Pool) -> None:
    for call, args, match in (
        (leave, (3,), "exited with code 3"),
        (leave, (0,), "exited with code 0"),
        (os._exit, (5,), "exited with code 5"),
        (die_for, (-signal.SIGSEGV,), "SIGSEGV"),
        (die_for, (-signal.SIGTERM,), "SIGTERM"),
    ):
        with pytest.raises(WorkerDied, match=match):
            fork_pool.apply(call, args)
    assert fork_pool.apply(double, (1,)) == 2


def interrupt(_: object) -> None:
    raise KeyboardInterrupt


def test_a_task_in_a_thread_does_not_end_its_caller(thread_pool: Pool) -> None:
    for call, argument, code in ((leave, 3, 3), (leave, "oh", 1), (leave, None, 0), (interrupt, None, 1)):
        with pytest.raises(WorkerDied, match=f"exited with code {code} while working on {call.__name__}") as caught:
            thread_pool.apply(call, (argument,))
        assert caught.value.exitcode == code
    with pytest.raises(WorkerDied):
        thread_pool.map(leave, range(4), 2)
    assert thread_pool.apply(double, (1,)) == 2


def test_a_task_that_raises_an_interrupt_fails_alone(process_pool: Pool) -> None:
    with pytest.raises(WorkerDied, match=r"exited with code 1 while working on interrupt\(0\)"):
        process_pool.apply(interrupt, (0,))
    assert process_pool.map(double, range(4)) == [0, 2, 4, 6]


def test_an_idle_worker_killed_costs_nothing(process_pool: Pool) -> None:
    process_pool.map(double, range(10), 1)
    for round_ in range(2):
        for worker in process_pool._pool:
            with suppress(ProcessLookupError):  # killed in the last round, and not replaced yet: the other did it all
                os.kill(worker.pid, signal.SIGKILL)
        assert process_pool.map(double, range(100), 1) == list(range(0, 200, 2)), round_
    assert process_pool.statistics().outstanding == 0


def test_killed_from_outside_while_busy(fork_pool: Pool) -> None:
    event = procession.get_context("fork").Event()
    result = fork_pool.apply_async(kill_me_when, (event,))
    other = fork_pool.apply_async(double, (1,))
    assert other.get() == 2
    event.set()
    with pytest.raises(WorkerDied, match="kill_me_when"):
        result.get()


def kill_me_when(event: Any) -> None:
    event.wait()
    os.kill(os.getpid(), signal.SIGKILL)


def test_random_kills_lose_only_what_was_held(fork_pool: Pool) -> None:
    """Whoever is killed, every item either gives its result or says that its worker died."""
    stop = threading.Event()
    kills = itertools.count()

    def kill() -> None:
        while not stop.wait(0.02):
            for worker in fork_pool._pool[:1]:
                if worker.exitcode is None:
                    os.kill(worker.pid, signal.SIGKILL)
                    next(kills)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        lost = right = 0
        iterator = fork_pool.imap(double, range(20_000))
        for number in range(20_000):
            try:
                right += next(iterator) == 2 * number
            except WorkerDied:
                lost += 1
    finally:
        stop.set()
        killer.join()
    assert right + lost == 20_000
    assert lost <= next(kills)


def fail_to_start(*_: object) -> None:
    raise LookupError("nothing to initialize")


def die_at_start() -> None:
    os._exit(7)


def test_an_initializer_that_raises_breaks_the_pool(quick_context: Any) -> None:
    pool = quick_context.Pool(2, fail_to_start, (1,))
    with pytest.raises(PoolBroken, match=r"LookupError.*nothing to initialize") as caught:
        pool.map(double, range(10))
    assert isinstance(caught.value.__cause__, LookupError)
    with pytest.raises(PoolBroken):
        pool.apply_async(double, (1,))
    pool.terminate()
    pool.join()


def test_a_pool_that_breaks_while_items_come_tells_only_that() -> None:
    pool = procession.get_context("fork").Pool(1, die_at_start)

    def until_broken() -> Iterator[int]:
        with pytest.raises(PoolBroken):
            pool.apply(double, (1,))
        yield 1

    with pytest.raises(PoolBroken) as caught:
        pool.map(double, until_broken())
    assert "ShutDown" not in "".join(traceback.format_exception(caught.value))  # which is how it was noticed
    pool.terminate()
    pool.join()


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_workers_that_die_at_start_break_the_pool(method: str) -> None:
    pool = procession.get_context(method).Pool(2, die_at_start)
    result = pool.apply_async(double, (1,))
    with pytest.raises(PoolBroken, match="exited with code 7"):
        result.get()
    with pytest.raises(PoolBroken):
        pool.imap(double, [1])
    pool.terminate()
    pool.join()
