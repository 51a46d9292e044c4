"""Pools whose workers die while nobody waits for a result, but for something else."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
from pool_tasks import double

import procession
from procession.errors import WorkerDied
from procession.pool import Pool
from procession.testing import check_leaks, wait_until

pytestmark = pytest.mark.watchdog(30)

FORK = procession.get_context("fork")


def fill(begun: Any, gate: Any, results: Any, number: int) -> None:
    """Says that it has begun, waits, and puts its number where the parent waits for it."""
    begun.put(number)
    gate.wait()
    results.put(number)


def fill_from(given: tuple[Any, Any, Any, int]) -> None:
    fill(*given)


def guards() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "procession-pool-guard"]


def kill(workers: Any) -> None:
    for worker in list(workers):
        os.kill(worker.pid, signal.SIGKILL)


def carried_on(context: Any, start: Callable[[Any, Any, Any], Callable[[], Any]]) -> None:
    """Two workers die with a task each, while the parent waits for what the other tasks put into a queue."""
    begun, gate, results = context.Queue(), context.Event(), context.Queue()
    workers = start(begun, gate, results)
    lost = {begun.get(), begun.get()}
    kill(workers())
    gate.set()
    assert {results.get(timeout=20) for _ in range(4)} == set(range(6)) - lost


@pytest.fixture
def pool_of_two(process_context: Any) -> Iterator[Pool]:
    with check_leaks():
        with process_context.Pool(2) as pool:
            yield pool
        pool.join()
        assert guards() == []


slowly = pytest.mark.parametrize(
    "process_context",
    ["fork", pytest.param("forkserver", marks=pytest.mark.slow), pytest.param("spawn", marks=pytest.mark.slow)],
    indirect=True,
)


@slowly
@pytest.mark.parametrize("method", ["apply_async", "map_async", "imap"])
def test_all_workers_die_while_the_parent_waits_for_a_queue(
    process_context: Any, pool_of_two: Pool, method: str
) -> None:
    jobs = []

    def start(*given: Any) -> Any:
        items = [(*given, number) for number in range(6)]
        if method == "apply_async":
            jobs.extend(pool_of_two.apply_async(fill, item) for item in items)
        else:
            jobs.append(getattr(pool_of_two, method)(fill_from, items, chunksize=1))
        return lambda: pool_of_two._pool

    carried_on(process_context, start)
    wait_until(lambda: pool_of_two.statistics().deaths == 2)
    if method == "apply_async":
        failed = [job for job in jobs if not job.wait() and not job.successful()]
        assert len(failed) == 2
        with pytest.raises(WorkerDied, match="SIGKILL"):
            failed[0].get()


@slowly
def test_the_same_with_an_executor(process_context: Any) -> None:
    with check_leaks(), procession.Executor(2, context=process_context) as executor:

        def start(*given: Any) -> Any:
            for number in range(6):
                executor.submit(fill, *given, number)
            return lambda: executor._processes.values()

        carried_on(process_context, start)


def test_an_idle_worker_that_dies_is_replaced(fork_pool: Pool) -> None:
    fork_pool.apply_async(double, (1,)).get()
    for _ in range(3):
        before = {worker.pid for worker in fork_pool._pool}
        kill(fork_pool._pool)
        wait_until(lambda before=before: before.isdisjoint(now := {worker.pid for worker in fork_pool._pool}) and now)
        wait_until(lambda: len(fork_pool._pool) == 2)


def test_calls_that_are_waited_for_start_no_thread(fork_pool: Pool) -> None:
    threads = threading.active_count()
    assert fork_pool.apply(double, (2,)) == 4
    assert fork_pool.map(double, range(3)) == [0, 2, 4]
    assert threading.active_count() == threads
    fork_pool.apply_async(double, (2,), timeout=20).get()
    assert guards() == []


def test_one_thread_serves_all_pools_and_ends_with_the_last() -> None:
    with check_leaks():
        pools = [FORK.Pool(1) for _ in range(3)]
        for pool in pools:
            assert pool.apply_async(double, (2,)).get() == 4
        assert len(guards()) == 1
        pools[0].terminate()
        pools[1].close()
        pools[1].join()
        del pool
        pools[0] = pools[1]
        kill(pools[2]._pool)
        assert pools[2].apply(double, (3,)) == 6
        assert len(guards()) == 1
        pools[2].terminate()
        assert guards() == []
        pools[2].join()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_it_keeps_no_pool_alive() -> None:
    with check_leaks():
        pool = FORK.Pool(1)
        pool.apply_async(double, (2,)).get()
        assert len(guards()) == 1
        del pool
        gc.collect()
        assert guards() == []


def test_threads_need_no_guard(thread_pool: Pool) -> None:
    assert thread_pool.apply_async(double, (2,)).get() == 4
    assert guards() == []


def count_guards(answers: Any) -> None:
    answers.put((len(guards()), threading.active_count()))


def test_a_fork_finds_no_such_thread_and_it_goes_on_afterwards(fork_pool: Pool) -> None:
    answers = FORK.Queue()
    fork_pool.apply_async(double, (1,)).get()
    old = guards()
    child = FORK.Process(target=count_guards, args=(answers,))
    child.start()
    child.join()
    assert answers.get() == (0, 1)
    assert len(guards()) == 1
    assert guards() != old  # it had ended
    carried_on(FORK, lambda *given: _submitted(fork_pool, given))


def _submitted(pool: Pool, given: tuple[Any, ...]) -> Callable[[], Any]:
    for number in range(6):
        pool.apply_async(fill, (*given, number))
    return lambda: pool._pool


def use_own_pool(answers: Any) -> None:
    with FORK.Pool(1) as pool:
        pool.apply_async(double, (4,)).get()
        kill(pool._pool)
        wait_until(lambda: pool.statistics().started == 2)
    pool.join()
    answers.put(len(guards()))


def test_a_child_has_a_guard_of_its_own(fork_pool: Pool) -> None:
    fork_pool.apply_async(double, (1,)).get()
    answers = FORK.Queue()
    child = FORK.Process(target=use_own_pool, args=(answers,))
    child.start()
    child.join()
    assert (child.exitcode, answers.get()) == (0, 0)


class FailingPool(Pool):
    """Whose workers cannot be started now and then."""

    errors: ClassVar[list[BaseException]] = []

    @staticmethod
    def Process(ctx: Any, *args: Any, **kwds: Any) -> Any:
        if FailingPool.errors:
            raise FailingPool.errors.pop()
        return ctx.Process(*args, **kwds)


def test_a_worker_that_cannot_be_started_is_tried_again() -> None:
    with FailingPool(2, context=FORK) as pool:
        pool.apply_async(double, (1,)).get()
        FailingPool.errors[:] = [OSError("no process left") for _ in range(3)]
        kill(pool._pool[:1])
        wait_until(lambda: pool.statistics().started == 3 and len(pool._pool) == 2)
        assert FailingPool.errors == []
    pool.join()


def test_what_a_process_class_raises_is_shown_and_spares_other_pools(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: shown.append(args.exc_value))
    with FailingPool(1, context=FORK) as odd, FORK.Pool(1) as pool:
        odd.apply_async(double, (1,)).get()
        pool.apply_async(double, (1,)).get()
        FailingPool.errors[:] = [ValueError("not today")]
        kill(odd._pool)
        wait_until(lambda: [str(error) for error in shown] == ["not today"])
        kill(pool._pool)
        wait_until(lambda: pool.statistics().started == 2)
        assert odd.apply(double, (2,)) == 4
    odd.join()
    pool.join()


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info < (3, 12), reason="older ones do not warn")
def test_python_does_not_warn_of_forks_because_of_it(fork_pool: Pool, recwarn: pytest.WarningsRecorder) -> None:
    fork_pool.apply_async(double, (1,)).get()
    for _ in range(50):
        child = FORK.Process(target=double, args=(1,))
        child.start()
        child.join()
    assert not [warning for warning in recwarn if "fork" in str(warning.message)]
