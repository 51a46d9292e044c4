"""get_async and put_async: what a wait gives, order, timeouts, ends."""

import asyncio
import threading
from typing import Any

import pytest
from loops import put_when, run, ticking, turns, until, waiting
from parties import Team

import procession
from procession._waiting import alarm, queues
from procession.errors import Empty, Full, PicklingError, ShutDown

# What a wait gives


def test_get_takes_what_is_there(ctx: Any) -> None:
    queue = ctx.Queue()
    queue.put("a")
    assert run(queue.get_async()) == "a"
    assert queue.empty()


def test_get_waits_for_another_party_while_the_loop_goes_on(ctx: Any, team: Team) -> None:
    queue, go = ctx.Queue(), ctx.Event()
    team.start(ctx, put_when, go, queue, ["late"])

    async def main() -> Any:
        rounds = [0]
        ticker = asyncio.create_task(ticking(rounds))
        getter = asyncio.create_task(queue.get_async())
        await waiting(queue)
        before = rounds[0]
        await until(lambda: rounds[0] > before + 10)
        assert not getter.done()
        go.set()
        item = await getter
        ticker.cancel()
        return item

    assert run(main()) == "late"


def test_none_and_exceptions_are_items(ctx: Any) -> None:
    queue = ctx.Queue()

    async def main() -> list[Any]:
        getters = [asyncio.create_task(queue.get_async()) for _ in range(2)]
        await waiting(queue, 2)
        queue.put(None)
        queue.put(Empty)
        return await asyncio.gather(*getters)

    assert run(main()) == [None, Empty]


def test_every_kind_of_queue_has_it(ctx: Any) -> None:
    async def main(queue: Any) -> None:
        await queue.put_async(1)
        assert await queue.get_async() == 1

    for queue in (ctx.SimpleQueue(), ctx.JoinableQueue(), ctx.Queue(3)):
        run(main(queue))


# Order


def test_waiters_are_served_in_their_order(ctx: Any, team: Team) -> None:
    queue, go = ctx.Queue(), ctx.Event()
    team.start(ctx, put_when, go, queue, list(range(20)))
    served: list[tuple[int, Any]] = []

    async def wait(number: int) -> None:
        served.append((number, await queue.get_async()))

    async def main() -> None:
        tasks = []
        for number in range(20):
            tasks.append(asyncio.create_task(wait(number)))
            await waiting(queue, number + 1)
        go.set()
        await asyncio.gather(*tasks)

    run(main())
    assert served == [(number, number) for number in range(20)]


def test_a_newcomer_does_not_overtake(ctx: Any) -> None:
    queue = ctx.Queue()

    async def main() -> tuple[Any, Any]:
        first = asyncio.create_task(queue.get_async())
        await waiting(queue)
        queue.put("for the first")
        second = asyncio.create_task(queue.get_async())  # runs before the first is woken
        await turns(1)
        queue.put("for the second")
        return await first, await second

    assert run(main()) == ("for the first", "for the second")


def test_breathing_changes_no_order(ctx: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarm, "AT_ONCE", 2)
    queue = ctx.Queue()

    async def main() -> list[Any]:
        tasks = [asyncio.create_task(queue.get_async()) for _ in range(6)]
        await turns(1)
        for number in range(6):
            queue.put(number)
        return await asyncio.gather(*tasks)

    for _ in range(2):
        assert run(main()) == list(range(6))


def test_one_item_wakes_one_waiter(ctx: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = ctx.Queue()
    attempts = [0]
    take = queues.partial

    def counted(function: Any, *args: Any) -> Any:
        plain = take(function, *args)

        def attempt() -> Any:
            attempts[0] += 1
            return plain()

        return attempt

    monkeypatch.setattr(queues, "partial", counted)

    async def main() -> None:
        tasks = [asyncio.create_task(queue.get_async()) for _ in range(100)]
        await waiting(queue, 100)
        attempts[0] = 0
        queue.put(0)
        await tasks[0]
        assert attempts[0] <= 5  # of polls and looks, perhaps; not a hundred
        for task in tasks[1:]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run(main())


def test_putters_are_served_in_their_order(ctx: Any) -> None:
    queue = ctx.Queue(1)
    queue.put("full")

    async def main() -> list[Any]:
        tasks = []
        for number in range(5):
            tasks.append(asyncio.create_task(queue.put_async(number)))
            await waiting(queue, number + 1)
        got = [await queue.get_async() for _ in range(6)]
        await asyncio.gather(*tasks)
        return got

    assert run(main()) == ["full", 0, 1, 2, 3, 4]


# Timeouts and ends


def test_empty_after_the_timeout_and_not_before(ctx: Any) -> None:
    queue = ctx.Queue()

    async def main() -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(Empty):
            await queue.get_async(timeout=0.05)
        return loop.time() - began

    assert run(main()) >= 0.049


def test_no_time_is_no_wait(ctx: Any) -> None:
    queue = ctx.Queue(1)

    async def main() -> None:
        with pytest.raises(Empty):
            await queue.get_async(0)
        await queue.put_async(1, 0)
        with pytest.raises(Full):
            await queue.put_async(2, timeout=0)
        assert await queue.get_async(0) == 1

    run(main())


def test_a_timeout_behind_others_takes_nothing(ctx: Any) -> None:
    queue = ctx.Queue()

    async def main() -> Any:
        first = asyncio.create_task(queue.get_async())
        await waiting(queue)
        with pytest.raises(Empty):
            await queue.get_async(timeout=0.01)
        queue.put("item")
        return await first

    assert run(main()) == "item"


def test_full_after_the_timeout(ctx: Any) -> None:
    queue = ctx.Queue(1)
    queue.put(1)

    async def main() -> None:
        with pytest.raises(Full):
            await queue.put_async(2, timeout=0.02)

    run(main())
    assert queue.qsize() == 1


def test_put_waits_for_room(ctx: Any) -> None:
    queue = ctx.Queue(1)
    queue.put(1)

    async def main() -> None:
        putter = asyncio.create_task(queue.put_async(2))
        await waiting(queue)
        assert queue.get() == 1
        await putter

    run(main())
    assert queue.get() == 2


def test_shutdown_ends_every_wait(ctx: Any) -> None:
    empty, full = ctx.Queue(), ctx.Queue(1)
    full.put(1)

    async def main() -> list[Any]:
        waits = [asyncio.create_task(empty.get_async()) for _ in range(3)]
        waits += [asyncio.create_task(full.put_async(2)) for _ in range(3)]
        await waiting(empty, 3)
        await waiting(full, 3)
        empty.shutdown()
        full.shutdown()
        return await asyncio.gather(*waits, return_exceptions=True)

    assert [type(error) for error in run(main())] == [ShutDown] * 6


def test_what_cannot_be_pickled_is_refused() -> None:
    queue = procession.get_context("fork").Queue(1)

    async def main() -> None:
        with pytest.raises(PicklingError):
            await queue.put_async(threading.Lock())

    run(main())
    assert queue.empty()


def test_a_quick_producer_does_not_starve_the_loop(ctx: Any) -> None:
    queue = ctx.Queue()
    for number in range(1000):
        queue.put(number)

    async def main() -> int:
        rounds = [0]
        ticker = asyncio.create_task(ticking(rounds))
        for _ in range(1000):
            await queue.get_async()
        ticker.cancel()
        return rounds[0]

    assert run(main()) >= 1000 // alarm.AT_ONCE
