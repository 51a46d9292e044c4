"""Results of a pool awaited: beside threads that wait, in several loops, through deaths and ends."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from loop_tasks import after, awaited, double, fail, fail_on_three
from loops import run, ticking, turns, until

from procession._waiting import pools
from procession.pool import Pool

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
