"""Loops that come and go, fork, are many, are poor; tasks beside threads."""

import asyncio
import contextlib
import gc
import os
import threading
from typing import Any

import pytest
from loops import descriptors, in_line, put_when, run, until, waiting, waiting_from_outside
from parties import Team

import procession
from procession._waiting import alarm
from procession.errors import NotSupported

uvloop: Any = None
with contextlib.suppress(ImportError):
    import uvloop

    uvloop.new_event_loop().close()  # from its first loop on it keeps a pipe for signals


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
