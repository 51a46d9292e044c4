"""get_async and put_async: order, cancellation, timeouts, loops that come and go."""

import asyncio
import contextlib
import gc
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from loops import descriptors, in_line, run, ticking, turns, until, waiting, waiting_from_outside
from parties import Team, kill

import procession
from procession._waiting import alarm, queues
from procession.errors import Empty, Full, NotSupported, PicklingError, ShutDown

uvloop: Any = None
with contextlib.suppress(ImportError):
    import uvloop

    uvloop.new_event_loop().close()  # from its first loop on it keeps a pipe for signals


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Loops have nothing to complain about, not even in debug mode."""
    yield
    assert not [record for record in caplog.records if record.name == "asyncio" and record.levelname != "DEBUG"]


def put_when(event: Any, queue: Any, items: list[Any]) -> None:
    event.wait()
    for item in items:
        queue.put(item)


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


# Loops


def test_several_loops_in_several_threads(ctx: Any) -> None:
    queue, got = ctx.Queue(), [[], [], []]  # type: ignore[var-annotated]

    async def main(mine: list[int]) -> None:
        while (item := await queue.get_async()) is not None:
            mine.append(item)

    threads = [threading.Thread(target=asyncio.run, args=(main(mine),)) for mine in got]
    for thread in threads:
        thread.start()
    waiting_from_outside(queue, 3)
    for number in range(300):
        queue.put(number)
    for _ in threads:
        queue.put(None)
    for thread in threads:
        thread.join()
    assert sorted(got[0] + got[1] + got[2]) == list(range(300))
    assert all(mine == sorted(mine) for mine in got)


def test_a_loop_that_is_closed_while_tasks_wait(ctx: Any, caplog: pytest.LogCaptureFixture) -> None:
    queue = ctx.Queue()
    before = descriptors()
    loop = asyncio.new_event_loop()
    task = loop.create_task(queue.get_async())
    loop.run_until_complete(waiting(queue))
    loop.close()
    del task
    gc.collect()
    assert "Task was destroyed" in caplog.text  # asyncio's word on it
    caplog.clear()
    assert in_line(queue) == 0
    queue.put("item")
    assert run(queue.get_async()) == "item"
    del loop, queue
    assert descriptors() <= before


def test_a_coroutine_thrown_away_between_two_runs_of_its_loop(ctx: Any) -> None:
    queue = ctx.Queue()
    loop = asyncio.new_event_loop()
    first, second = (loop.create_task(queue.get_async()) for _ in range(2))
    loop.run_until_complete(waiting(queue, 2))
    first.get_coro().close()  # type: ignore[union-attr]
    queue.put("item")
    assert loop.run_until_complete(second) == "item"
    first.cancel()
    loop.run_until_complete(asyncio.gather(first, return_exceptions=True))
    loop.close()


def test_waits_one_after_the_other_keep_no_descriptors(ctx: Any) -> None:
    async def main(queue: Any) -> None:
        counts = set()
        for number in range(50):
            getter = asyncio.create_task(queue.get_async())
            await waiting(queue)
            queue.put(number)
            assert await getter == number
            counts.add(len(os.listdir("/proc/self/fd")))
        assert max(counts) - min(counts) <= 1

    before = descriptors()
    queue = ctx.Queue()
    run(main(queue))
    del queue
    assert descriptors() <= before


def get_in_a_loop(queue: Any, answers: Any) -> None:
    answers.put(asyncio.run(queue.get_async()))


def test_a_fork_while_the_loop_runs(fork: Any, team: Team) -> None:
    """The child has a loop of its own, and the parent's goes on as if nothing had been."""
    mine, its, answers = fork.Queue(), fork.Queue(), fork.Queue()

    async def main() -> tuple[Any, Any]:
        getter = asyncio.create_task(mine.get_async())
        await waiting(mine)
        team.start(fork, get_in_a_loop, its, answers)
        its.put("for the child")
        answer = await answers.get_async()
        mine.put("for the parent")
        return answer, await getter

    assert run(main()) == ("for the child", "for the parent")


def collect_and_wait(queue: Any, answers: Any) -> None:
    """In a child: throw the parent's waits away, then wait for the same."""
    for line in list(alarm._alarms.values()):
        line.stop()
    answers.put(asyncio.run(queue.get_async()))


def test_a_child_that_drops_its_parents_waits(fork: Any, team: Team) -> None:
    """They share one epoll: what the child did to it would be done to the parent."""
    queue, answers = fork.Queue(), fork.Queue()

    go = fork.Event()
    process = fork.Process(target=go.wait)
    process.start()

    async def main() -> Any:
        ended = asyncio.create_task(process.wait_async())
        getter = asyncio.create_task(queue.get_async())
        await waiting(process)
        await waiting(queue)
        team.start(fork, collect_and_wait, queue, answers)
        queue.put("one")
        queue.put("two")
        first = await getter
        second = await answers.get_async()
        go.set()
        assert await ended == 0
        return {first, second}

    assert run(main()) == {"one", "two"}
    process.close()


class Bare(asyncio.SelectorEventLoop):
    """A loop that cannot watch descriptors, as that of Windows."""

    def add_reader(self, *args: Any) -> None:
        raise NotImplementedError


def test_a_loop_without_add_reader_is_told_so(fork: Any) -> None:
    gate = fork.Event()
    process = fork.Process(target=gate.wait)
    process.start()
    loop = Bare()
    with pytest.raises(NotSupported, match=r"Bare cannot watch descriptors .*to_thread"):
        loop.run_until_complete(process.wait_async())
    loop.close()
    gate.set()
    process.join()
    process.close()


def test_outside_of_a_loop() -> None:
    wait = procession.Queue().get_async()
    with pytest.raises(RuntimeError, match="no running event loop"):
        wait.send(None)


@pytest.mark.skipif(uvloop is None, reason="needs uvloop")
def test_uvloop(ctx: Any, team: Team) -> None:
    queue, go = ctx.Queue(1), ctx.Event()
    team.start(ctx, put_when, go, queue, [1, 2, 3])

    async def main() -> list[int]:
        getter = asyncio.create_task(queue.get_async())
        await waiting(queue)
        go.set()
        return [await getter, await queue.get_async(), await queue.get_async()]

    loop = uvloop.new_event_loop()
    assert loop.run_until_complete(main()) == [1, 2, 3]
    loop.close()


# Threads beside tasks


def test_a_word_meant_for_a_cancelled_task_reaches_a_thread() -> None:
    queue = procession.get_context("thread").Queue()
    got: list[Any] = []

    async def main() -> None:
        getter = asyncio.create_task(queue.get_async())
        await waiting(queue)
        thread = threading.Thread(target=lambda: got.append(queue.get()))
        thread.start()
        await until(lambda: queue.statistics().waiters == 2)
        queue.put("item")  # notifies the task, which stands first
        getter.cancel()
        await asyncio.gather(getter, return_exceptions=True)
        await asyncio.to_thread(thread.join)

    run(main())
    assert got == ["item"]


def test_a_word_meant_for_a_closed_loop_reaches_a_thread() -> None:
    queue = procession.get_context("thread").Queue()
    loop = asyncio.new_event_loop()
    task = loop.create_task(queue.get_async())
    loop.run_until_complete(waiting(queue))
    loop.close()
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(queue.get()))
    thread.start()
    while queue.statistics().waiters < 2:
        pass
    queue.put("item")
    thread.join()
    assert got == ["item"]
    task._log_destroy_pending = False  # type: ignore[attr-defined]
