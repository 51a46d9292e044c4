"""Results of a pool awaited through deaths and ends, and what is left behind."""

import asyncio
import os
import signal
import threading
from typing import Any

import pytest
from loop_tasks import after, awaited, broken, die_on_three, double, own_pid
from loops import descriptors, run, until

import procession
from procession.errors import PoolBroken, PoolTerminated, WorkerDied
from procession.pool import Pool

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
