"""wait_async and result_async of processes and threads; locks and events in loops."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from loops import descriptors, in_line, run, ticking, turns, until, waiting
from parties import Team

import procession._waiting
from procession.errors import TimeoutError, WorkerDied
from procession.process import Thread


def nothing() -> None:
    pass


def after(event: Any, value: Any) -> Any:
    event.wait()
    return value


def fail(message: str) -> None:
    raise KeyError(message)


# Ends


def test_the_end_is_awaited_while_the_loop_goes_on(context: Any) -> None:
    go = context.Event()
    process = context.Process(target=after, args=(go, 5))

    async def main() -> None:
        process.start()
        rounds = [0]
        ticker = asyncio.create_task(ticking(rounds))
        waiter = asyncio.create_task(process.wait_async())
        result = asyncio.create_task(process.result_async())
        await waiting(process, 2)
        before = rounds[0]
        await until(lambda: rounds[0] > before + 10)
        assert not waiter.done()
        go.set()
        assert (await waiter, await result) == (0, 5)
        ticker.cancel()

    run(main())
    process.close()


def test_no_thread_waits(fork: Any) -> None:
    go = fork.Event()
    processes = [fork.Process(target=go.wait) for _ in range(3)]

    async def main() -> None:
        for process in processes:
            process.start()
        waiters = [asyncio.create_task(process.wait_async()) for process in processes for _ in range(3)]
        for process in processes:
            await waiting(process, 3)
        assert threading.active_count() == before
        go.set()
        assert await asyncio.gather(*waiters) == [0] * 9

    before = threading.active_count()
    run(main())
    for process in processes:
        process.close()


def test_one_descriptor_for_all_who_wait(fork: Any) -> None:
    go = fork.Event()
    process = fork.Process(target=go.wait)

    async def main() -> None:
        process.start()
        before = descriptors()
        waiters = [asyncio.create_task(process.wait_async()) for _ in range(5)]
        await waiting(process, 5)
        assert descriptors() == before + 1
        for waiter in waiters:
            waiter.cancel()
        await asyncio.gather(*waiters, return_exceptions=True)
        assert descriptors() == before
        go.set()
        assert await process.wait_async() == 0

    run(main())
    process.close()


def test_what_it_raised_is_raised(ctx: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda hint: None)
    process = ctx.Process(target=fail, args=("this",))
    process.start()
    with pytest.raises(KeyError, match="this"):
        run(process.result_async())
    assert run(process.wait_async()) == 1
    process.close()


def test_a_kill_ends_the_wait(process_context: Any) -> None:
    process = process_context.Process(target=time.sleep, args=(60,))

    async def main() -> int:
        process.start()
        waiter = asyncio.create_task(process.wait_async())
        await waiting(process)
        process.kill()
        with pytest.raises(WorkerDied):
            await process.result_async()
        code: int = await waiter
        return code

    assert run(main()) == -signal.SIGKILL
    process.close()


def test_timeouts(ctx: Any, team: Team) -> None:
    go = ctx.Event()
    process = team.start(ctx, go.wait)

    async def main() -> None:
        assert await process.wait_async(0) is None
        assert await process.wait_async(0.01) is None
        with pytest.raises(TimeoutError, match=r"no result within 0\.01 seconds"):
            await process.result_async(0.01)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(process.wait_async(), 0.01)
        assert in_line(process) == 0

    run(main())
    go.set()


def test_what_cannot_be_joined_cannot_be_awaited(ctx: Any) -> None:
    process = ctx.Process(target=nothing)
    with pytest.raises((AssertionError, RuntimeError), match=r"started|before"):
        run(process.wait_async())


def test_somebody_elses_reader_stays(fork: Any) -> None:
    """The program itself may watch the sentinel."""
    go = fork.Event()
    process = fork.Process(target=go.wait)

    async def main() -> None:
        process.start()
        heard = asyncio.Event()
        asyncio.get_running_loop().add_reader(process.sentinel, heard.set)
        waiter = asyncio.create_task(process.wait_async())
        await waiting(process)
        go.set()
        await waiter
        await heard.wait()
        assert asyncio.get_running_loop().remove_reader(process.sentinel)

    run(main())
    process.close()


def test_two_loops_wait_for_one_process(fork: Any) -> None:
    go = fork.Event()
    process = fork.Process(target=go.wait)
    process.start()
    codes: list[Any] = []
    threads = [threading.Thread(target=lambda: codes.append(run(process.wait_async()))) for _ in range(2)]
    for thread in threads:
        thread.start()
    run(waiting(process, 2))
    go.set()
    for thread in threads:
        thread.join()
    assert codes == [0, 0]
    process.close()


def test_a_thread_whose_end_takes_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sentinel is readable when its function is done; its exception hook may still run."""
    hook_runs, go_on = threading.Event(), threading.Event()

    def hook(args: Any) -> None:
        hook_runs.set()
        go_on.wait()

    monkeypatch.setattr(threading, "excepthook", hook)
    thread = Thread(target=fail, args=("this",))
    looks: list[Any] = []
    join = thread.join
    monkeypatch.setattr(thread, "join", lambda timeout=None: looks.append(timeout) or join(timeout))

    async def main() -> None:
        waiter = asyncio.create_task(thread.wait_async())
        await until(hook_runs.is_set)
        rounds = [0]
        ticker = asyncio.create_task(ticking(rounds))
        looks.clear()
        await until(lambda: rounds[0] > 1000)
        assert not waiter.done()
        assert len(looks) < 50  # now and then, not all the time
        go_on.set()
        assert await waiter == 1
        ticker.cancel()

    thread.start()
    run(main())
    thread.close()


# Locks, semaphores, events


def test_a_lock_is_acquired_when_it_is_free(ctx: Any) -> None:
    lock = ctx.Lock()
    lock.acquire()

    async def main() -> None:
        assert not await lock.acquire_async(0)
        assert not await lock.acquire_async(timeout=0.01)
        order: list[int] = []

        async def wait(number: int) -> None:
            assert await lock.acquire_async()
            order.append(number)
            await turns(3)
            lock.release()

        tasks = []
        for number in range(3):
            tasks.append(asyncio.create_task(wait(number)))
            await waiting(lock, number + 1)
        lock.release()
        await asyncio.gather(*tasks)
        assert order == [0, 1, 2]

    run(main())
    assert not lock.locked()


def test_a_cancelled_acquire_holds_nothing(ctx: Any) -> None:
    async def main(rounds: int) -> bool:
        lock = ctx.Lock()
        lock.acquire()
        task = asyncio.create_task(lock.acquire_async())
        await waiting(lock)
        lock.release()
        if rounds:
            await until(lambda: task.done() or any(line.places[0].future.done() for line in lines(lock)))
            await turns(rounds - 1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert lock.locked() is not task.cancelled()
        return task.cancelled()

    assert {run(main(rounds)) for rounds in range(6)} == {True, False}


def lines(thing: Any) -> list[Any]:
    from procession._waiting import alarm

    return [line for line in list(alarm._alarms.values()) if line.thing is thing]


def test_permits_of_a_semaphore(ctx: Any) -> None:
    semaphore = ctx.Semaphore(0)

    async def main() -> None:
        tasks = [asyncio.create_task(semaphore.acquire_async()) for _ in range(4)]
        await waiting(semaphore, 4)
        semaphore.release(3)
        await until(lambda: sum(task.done() for task in tasks) == 3)
        assert [task.done() for task in tasks] == [True, True, True, False]
        semaphore.release()
        assert await tasks[3]

    run(main())


def test_an_event_lets_all_go_even_if_it_is_cleared_at_once(ctx: Any) -> None:
    event = ctx.Event()

    async def main() -> None:
        assert not await event.wait_async(0.01)
        tasks = [asyncio.create_task(event.wait_async()) for _ in range(3)]
        await waiting(event, 3)
        event.set()
        event.clear()
        assert await asyncio.gather(*tasks) == [True] * 3
        assert not await event.wait_async(0)
        event.set()
        assert await event.wait_async(0)

    run(main())


# The example, and loading


def test_the_example(tmp_path: Path) -> None:
    text = procession._waiting.__doc__
    assert text is not None
    lines = [line for line in text.splitlines() if line.startswith("    ") or not line]
    program = tmp_path / "example.py"
    program.write_text(textwrap.dedent("\n".join(lines)))
    ran = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60)
    assert (ran.stdout, ran.stderr) == ("9\nsquaring 3\n1\n2\n16\n", "")


def test_asyncio_is_not_imported_until_needed() -> None:
    code = "import procession, sys; procession.Queue().put(1); assert 'asyncio' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ}, timeout=60)
