"""Results of a pool awaited: beside threads that wait, in several loops, through deaths and ends."""

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from loops import descriptors, run, ticking, turns, until

import procession
from procession._waiting import alarm, pools
from procession.errors import PoolBroken, PoolTerminated, WorkerDied
from procession.pool import Pool


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Loops have nothing to complain about, not even in debug mode."""
    yield
    assert not [record for record in caplog.records if record.name == "asyncio" and record.levelname != "DEBUG"]


def double(number: int) -> int:
    return 2 * number


def fail(number: int) -> None:
    raise KeyError(number)


def fail_on_three(number: int) -> int:
    if number == 3:
        raise TimeoutError("three")  # not to be taken for a wait that timed out
    return number


def die_on_three(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def after(event: Any, value: Any) -> Any:
    event.wait()
    return value


def own_pid(event: Any) -> int:
    event.wait()
    return os.getpid()


def broken() -> None:
    raise RuntimeError("no worker of mine")


def awaited(pool: Pool) -> int:
    """How many tasks wait for something of it."""
    return sum(len(desk._waiting) for desk in list(alarm._alarms.values()) if isinstance(desk, pools._Desk))


# Calls


def test_a_call_is_awaited(pool: Pool) -> None:
    async def main() -> Any:
        assert await pool.apply_async(double, (4,)) == 8
        job = pool.apply_async(double, (5,))
        assert await job == 10
        assert await job == 10  # as often as one likes
        return await asyncio.wait_for(pool.map_async(double, range(50)), 10)

    assert run(main()) == [double(number) for number in range(50)]


def test_the_loop_goes_on_meanwhile(pool: Pool) -> None:
    go = pool._ctx.Event()

    async def main() -> None:
        rounds = [0]
        ticker = asyncio.create_task(ticking(rounds))
        call = asyncio.ensure_future(pool.apply_async(after, (go, "late")))
        await until(lambda: awaited(pool) == 1)
        before = rounds[0]
        await until(lambda: rounds[0] > before + 10)
        assert not call.done()
        go.set()
        assert await call == "late"
        ticker.cancel()

    run(main())


def test_an_exception_comes_with_its_traceback(process_pool: Pool) -> None:
    async def main() -> None:
        with pytest.raises(KeyError) as caught:
            await process_pool.apply_async(fail, (7,))
        assert "raise KeyError(number)" in str(caught.value.__cause__)

    run(main())


def test_the_word_of_an_answer_wakes(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only the look twenty times a second."""
    monkeypatch.setattr(pools._Desk, "period_s", 3600)

    async def main() -> list[int]:
        assert await pool.apply_async(double, (1,)) == 2
        return [value async for value in pool.imap(double, range(100))]

    assert run(main()) == [double(number) for number in range(100)]


def test_many_at_once(pool: Pool) -> None:
    async def main() -> Any:
        return await asyncio.gather(*[pool.apply_async(double, (number,)) for number in range(500)])

    assert run(main()) == [double(number) for number in range(500)]


def test_cancelling_ends_the_wait_and_not_the_call(pool: Pool) -> None:
    async def main(rounds: int) -> None:
        job = pool.apply_async(double, (rounds,))
        task = asyncio.ensure_future(job)
        await turns(rounds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert await job == 2 * rounds

    for rounds in range(10):
        run(main(rounds))
    assert not pool._core.awaited


def test_impatience(pool: Pool) -> None:
    async def main() -> int:
        job = pool.map_async(double, range(2000), chunksize=1)
        attempts = 0
        while True:
            attempts += 1
            try:
                assert len(await asyncio.wait_for(job, 1e-4)) == 2000
            except TimeoutError:
                continue
            return attempts

    assert run(main()) > 1


def test_callbacks_are_called_before_the_wait_ends(pool: Pool) -> None:
    called: list[int] = []

    async def main() -> None:
        for number in range(5):
            assert await pool.apply_async(double, (number,), callback=called.append) == double(number)
            assert len(called) == number + 1

    run(main())


def test_a_thread_that_waits_too(pool: Pool) -> None:
    """Whoever reads reads for everybody."""
    got: list[Any] = []

    def wait_often() -> None:
        for number in range(300):
            got.append(pool.apply(double, (number,)))

    async def main() -> None:
        threads = [threading.Thread(target=wait_often) for _ in range(2)]
        for thread in threads:
            thread.start()
        for number in range(300):
            assert await pool.apply_async(double, (number,)) == double(number)
        for thread in threads:
            await asyncio.to_thread(thread.join)

    run(main())
    assert sorted(got) == sorted([double(number) for number in range(300)] * 2)


def test_two_loops(pool: Pool) -> None:
    sums: list[int] = []

    async def main() -> None:
        total = 0
        for number in range(200):
            total += await pool.apply_async(double, (number,))
        sums.append(total)

    threads = [threading.Thread(target=run, args=(main(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sums == [39800] * 3


def test_one_job_awaited_in_two_loops(pool: Pool) -> None:
    go = pool._ctx.Event()
    job = pool.apply_async(after, (go, 3))
    got: list[Any] = []

    async def main() -> None:
        got.append(await job)

    threads = [threading.Thread(target=run, args=(main(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    run(until(lambda: awaited(pool) == 2))
    go.set()
    for thread in threads:
        thread.join()
    assert got == [3, 3]


# Iterators


def test_results_in_order(pool: Pool) -> None:
    async def main() -> list[int]:
        return [value async for value in pool.imap(double, range(300))]

    assert run(main()) == [double(number) for number in range(300)]


def test_results_as_they_come(pool: Pool) -> None:
    async def main() -> list[int]:
        return [value async for value in pool.imap_unordered(double, range(300), chunksize=7)]

    assert sorted(run(main())) == [double(number) for number in range(300)]


def test_a_failure_in_its_place(pool: Pool) -> None:
    async def main() -> list[Any]:
        results, got = pool.imap(fail_on_three, range(6)), []
        while True:
            try:
                got.append(await anext(results))
            except StopAsyncIteration:
                return got
            except TimeoutError as error:
                got.append(str(error))

    assert run(main()) == [0, 1, 2, "three", 4, 5]


def test_an_endless_input_is_read_a_little_ahead(pool: Pool) -> None:
    read = [0]

    def numbers() -> Iterator[int]:
        while True:
            read[0] += 1
            yield read[0]

    async def main() -> None:
        results = pool.imap(double, numbers())
        async for value in results:
            if value == 200:
                break
        results.abandon()

    run(main())
    assert read[0] < 400


def test_cancelling_an_iteration_loses_nothing(pool: Pool) -> None:
    async def main() -> list[int]:
        results, got = pool.imap(double, range(200)), []
        attempt = 0
        while len(got) < 200:
            attempt += 1
            with contextlib.suppress(TimeoutError):
                got.append(await asyncio.wait_for(anext(results), (attempt % 30) * 1e-5))
        return got

    assert run(main()) == [double(number) for number in range(200)]


def test_two_tasks_share_an_iteration(pool: Pool) -> None:
    async def take(results: Any, mine: list[int]) -> None:
        async for value in results:
            mine.append(value)
            await turns(1)

    async def main() -> None:
        results = pool.imap_unordered(double, range(200))
        one: list[int] = []
        two: list[int] = []
        await asyncio.gather(take(results, one), take(results, two))
        assert sorted(one + two) == [double(number) for number in range(200)]

    run(main())


# Deaths and ends


def test_a_worker_that_dies_is_replaced_and_told_of(process_pool: Pool) -> None:
    async def main() -> None:
        with pytest.raises(WorkerDied, match=r"die_on_three\(3\)"):
            await process_pool.apply_async(die_on_three, (3,))
        assert await process_pool.apply_async(double, (1,)) == 2

    run(main())
    assert process_pool.statistics().deaths == 1
    assert process_pool.statistics().workers == 2


def test_a_worker_dies_in_an_iteration(process_pool: Pool) -> None:
    async def main() -> list[Any]:
        results, got = process_pool.imap(die_on_three, range(6)), []
        while True:
            try:
                got.append(await anext(results))
            except StopAsyncIteration:
                return got
            except WorkerDied:
                got.append("died")

    assert run(main()) == [0, 1, 2, "died", 4, 5]


def test_a_worker_killed_while_awaited(fork_pool: Pool) -> None:
    go = procession.get_context("fork").Event()

    async def main() -> None:
        calls = [asyncio.ensure_future(fork_pool.apply_async(own_pid, (go,))) for _ in range(2)]
        await until(lambda: awaited(fork_pool) == 2 and fork_pool.statistics().waiting == 0)
        victim = fork_pool._pool[0]
        os.kill(victim.pid, signal.SIGKILL)
        done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        assert [type(call.exception()) for call in done] == [WorkerDied]
        go.set()
        pids = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(isinstance(pid, int) for pid in pids) == 1

    run(main())


def test_terminate_ends_every_wait(quick_context: Any) -> None:
    go = quick_context.Event()

    async def main() -> list[Any]:
        calls = [asyncio.ensure_future(pool.apply_async(after, (go, 1))) for _ in range(5)]
        stream = asyncio.ensure_future(never())
        await until(lambda: awaited(pool) == 6)
        thread = threading.Thread(target=pool.terminate)
        thread.start()
        got = await asyncio.gather(*calls, stream, return_exceptions=True)
        go.set()
        await asyncio.to_thread(thread.join)
        return got

    async def never() -> Any:
        return await anext(pool.imap(go.wait, [None]))

    with quick_context.Pool(2) as pool:
        assert [type(error) for error in run(main())] == [PoolTerminated] * 6
    pool.join()


def test_an_initializer_that_raises(quick_context: Any) -> None:
    async def main() -> None:
        with quick_context.Pool(2, broken) as pool, pytest.raises(PoolBroken, match="no worker of mine"):
            await pool.apply_async(double, (1,))
        pool.join()

    run(main())


def test_close_then_await(pool: Pool) -> None:
    async def main() -> None:
        job = pool.map_async(double, range(10))
        pool.close()
        assert await job == [double(number) for number in range(10)]

    run(main())


def test_workers_that_retire(quick_process_context: Any) -> None:
    async def main() -> None:
        with quick_process_context.Pool(2, maxtasksperchild=3) as pool:
            assert await asyncio.gather(*[pool.apply_async(double, (number,)) for number in range(30)]) == [
                double(number) for number in range(30)
            ]
        pool.join()

    run(main())


# What is left behind


def test_no_descriptor_and_no_thread_is_left(pool: Pool) -> None:
    async def main(number: int) -> None:
        assert await pool.apply_async(double, (number,)) == double(number)
        assert [value async for value in pool.imap(double, [number])] == [double(number)]

    run(main(0))  # the ring's own descriptor stays
    fds, threads = descriptors(), threading.active_count()
    for number in range(10):
        run(main(number))
    assert descriptors() == fds
    assert threading.active_count() == threads
    assert not pool._core.awaited


def test_a_desk_goes_home_when_nobody_waits(pool: Pool) -> None:
    async def main() -> None:
        await pool.apply_async(double, (1,))
        await until(lambda: not pool._core.watchers)

    run(main())


def test_a_closed_loop_does_not_stop_the_pool(pool: Pool) -> None:
    loop = asyncio.new_event_loop()
    go = pool._ctx.Event()
    job = pool.apply_async(after, (go, 1))

    async def wait() -> Any:
        return await job

    task = loop.create_task(wait())
    loop.run_until_complete(until(lambda: awaited(pool) == 1))
    loop.close()
    go.set()
    assert job.get(30) == 1
    assert run(wait()) == 1
    task._log_destroy_pending = False  # type: ignore[attr-defined]


@pytest.mark.skipif(not hasattr(procession, "Executor"), reason="no Executor yet")
def test_an_executor_of_ours_in_run_in_executor(fork: Any) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with procession.Executor(2, context=fork) as executor:
            calls = [loop.run_in_executor(executor, double, number) for number in range(20)]
            assert await asyncio.gather(*calls) == [double(number) for number in range(20)]
            assert await asyncio.wrap_future(executor.submit(double, 4)) == 8

    run(main())
