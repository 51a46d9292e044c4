"""Cancellation, impatience and deaths: no item is lost, no word is."""

import asyncio
import os
from typing import Any

import pytest
from loops import in_line, put_when, run, turns, waiting
from parties import Team, kill

from procession._waiting import alarm, queues
from procession.errors import ShutDown

# Cancellation


@pytest.mark.parametrize("late", [False, True], ids=["put-first", "cancel-first"])
def test_a_cancelled_get_has_the_item_or_leaves_it(ctx: Any, late: bool) -> None:
    """Cancelled after any number of rounds of the loop since the put, or before."""
    outcomes = set()

    async def main(rounds: int) -> None:
        queue = ctx.Queue()
        getter = asyncio.create_task(queue.get_async())
        if rounds % 2:
            await waiting(queue)
        if not late:
            queue.put("item")
        await turns(rounds // 2)
        getter.cancel()
        if late:
            queue.put("item")
        (got,) = await asyncio.gather(getter, return_exceptions=True)
        outcomes.add(type(got))
        assert queue.qsize() == (0 if got == "item" else 1)
        assert in_line(queue) == 0

    for rounds in range(24):
        run(main(rounds))
    assert outcomes == ({asyncio.CancelledError} if late else {asyncio.CancelledError, str})


def test_a_cancelled_waiter_passes_the_word_on(ctx: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarm.Alarm, "period_s", 3600)
    queue = ctx.Queue()

    async def main(rounds: int) -> Any:
        first, second = asyncio.create_task(queue.get_async()), asyncio.create_task(queue.get_async())
        await waiting(queue, 2)
        queue.put("item")
        await turns(rounds)
        first.cancel()
        await asyncio.wait([first, second], return_when=asyncio.ALL_COMPLETED, timeout=0.02)
        if first.cancelled():
            return await second
        second.cancel()
        return first.result()

    assert [run(main(rounds)) for rounds in range(8)] == ["item"] * 8


def test_nothing_is_lost_by_impatience(ctx: Any, team: Team) -> None:
    """`wait_for` with timeouts that hit every moment of a wait."""
    queue, go = ctx.Queue(), ctx.Event()
    team.start(ctx, put_when, go, queue, list(range(300)))

    async def main() -> list[int]:
        got: list[int] = []
        go.set()
        for attempt in range(1_000_000):
            try:
                got.append(await asyncio.wait_for(queue.get_async(), (attempt % 50) * 1e-5))
            except TimeoutError:
                continue
            if len(got) == 300:
                return got
        return got

    assert run(main()) == list(range(300))


def test_a_cancelled_put_has_put_nothing(ctx: Any) -> None:
    queue = ctx.Queue(1)
    queue.put("full")

    async def main() -> None:
        putter, other = asyncio.create_task(queue.put_async("no")), asyncio.create_task(queue.put_async("yes"))
        await waiting(queue, 2)
        putter.cancel()
        await asyncio.gather(putter, return_exceptions=True)
        assert await queue.get_async() == "full"
        await other
        assert await queue.get_async() == "yes"
        assert queue.empty()

    run(main())


# Deaths and lost words


def test_a_killed_consumer_does_not_hold_the_others_up(fork: Any, team: Team) -> None:
    queue = fork.Queue()
    victim = team.start(fork, queue.get)

    async def main() -> Any:
        getter = asyncio.create_task(queue.get_async())
        await waiting(queue)
        kill(victim)
        queue.put("item")
        return await getter

    assert run(main()) == "item"


def test_the_word_itself_wakes(fork: Any, team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only the look ten times a second."""
    monkeypatch.setattr(alarm.Alarm, "period_s", 3600)
    queue, full, go = fork.Queue(), fork.Queue(1), fork.Event()
    full.put(0)
    team.start(fork, put_when, go, queue, [1, 2])

    async def main() -> list[Any]:
        getters = [asyncio.create_task(queue.get_async()) for _ in range(2)]
        putter = asyncio.create_task(full.put_async(1))
        await waiting(queue, 2)
        await waiting(full)
        go.set()
        assert full.get() == 0
        await putter
        return await asyncio.gather(*getters)

    assert run(main()) == [1, 2]


def test_a_lost_wake_up_is_made_up_for(fork: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A putter killed between commit and word: the descriptor stays as it is."""
    queue = fork.Queue()
    silent, other = os.pipe()
    monkeypatch.setattr(queues._Items, "descriptor", lambda self: silent)

    async def main() -> Any:
        getter = asyncio.create_task(queue.get_async())
        await waiting(queue)
        queue.put("item")
        return await getter

    assert run(main()) == "item"
    os.close(silent)
    os.close(other)


def test_the_trouble_of_the_next_is_not_that_of_the_one_served(fork: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = fork.Queue()

    def refuse(self: Any) -> int:
        raise OSError("no descriptor is left")

    async def main() -> None:
        first, second = (asyncio.create_task(queue.get_async()) for _ in range(2))
        await waiting(queue, 2)
        monkeypatch.setattr(queues._Items, "descriptor", refuse)
        queue.put("item")
        assert await first == "item"
        with pytest.raises(OSError, match="no descriptor is left"):
            await second

    run(main())


def consume(queue: Any, got: Any) -> None:
    """Four tasks, impatient, that tell what they got."""

    async def main() -> None:
        await asyncio.gather(*[take(number) for number in range(4)])

    async def take(number: int) -> None:
        patience = (number + 1) * 1e-4
        while True:
            try:
                item = await asyncio.wait_for(queue.get_async(), patience)
            except TimeoutError:
                patience = (patience * 1.7) % 3e-3
            except ShutDown:
                return
            else:
                got.put(item)

    asyncio.run(main())


def test_processes_with_impatient_tasks_share_a_queue(fork: Any, team: Team) -> None:
    queue, got, go = fork.Queue(20), fork.Queue(), fork.Event()
    consumers = [team.start(fork, consume, queue, got) for _ in range(2)]
    for start in (0, 1000):
        team.start(fork, put_when, go, queue, list(range(start, start + 200)))
    go.set()

    async def main() -> list[int]:
        return [await got.get_async() for _ in range(400)]

    assert sorted(run(main())) == [*range(200), *range(1000, 1200)]
    queue.shutdown()
    for consumer in consumers:
        consumer.join()
        assert consumer.exitcode == 0
    assert got.empty()
