"""`forward_output` of pools and executors: what a task printed is there before its result."""

import asyncio
import os
import signal
import threading
import time
from concurrent.futures import Future, as_completed
from typing import Any

import output_tasks as tasks
import pytest

import procession
from procession.errors import WorkerDied
from procession.pool import Pool
from procession.testing import wait_until


class Seen(list[Any]):
    """The lines that came."""

    def of(self, stream: str) -> list[str]:
        return [line.text for line in self if line.stream == stream]

    def take(self) -> list[str]:
        """The texts so far, which are forgotten."""
        found = sorted(line.text for line in self)
        self.clear()
        return found


@pytest.fixture
def seen() -> Seen:
    return Seen()


def both(*numbers: int) -> list[str]:
    return sorted(f"{stream} {number}" for stream in ("out", "err") for number in numbers)


@pytest.mark.slow
def test_what_a_task_printed_comes_before_its_result(process_context: Any, seen: Seen) -> None:
    with process_context.Pool(2, forward_output=seen.append) as pool:
        for number in range(30):
            assert pool.apply(tasks.say_both, (number,)) == number
            assert seen.take() == both(number)
            assert pool.map(tasks.say_both, range(8)) == list(range(8))
            assert seen.take() == both(*range(8))
        for number in pool.imap(tasks.say_both, range(50)):
            assert set(both(number)) <= {line.text for line in seen}
        seen.clear()
        for number in pool.imap_unordered(tasks.say_both, range(50)):
            assert set(both(number)) <= {line.text for line in seen}
        seen.clear()
        called: list[list[str]] = []
        result = pool.apply_async(tasks.say_both, (7,), callback=lambda _: called.append(seen.take()))
        result.wait()
        assert called == [both(7)]
        result = pool.apply_async(tasks.say_both, (8,))
        wait_until(result.ready)
        assert result.get() == 8
        assert seen.take() == both(8)
    pool.join()


def test_several_threads_wait_for_one_pool(fork: Any, seen: Seen) -> None:
    late: list[int] = []
    with fork.Pool(2, forward_output=seen.append) as pool:

        def call(first: int) -> None:
            for number in range(first, first + 50):
                pool.apply(tasks.say_both, (number,))
                if not set(both(number)) <= {line.text for line in list(seen)}:
                    late.append(number)

        threads = [threading.Thread(target=call, args=(first,)) for first in (0, 100, 200)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    pool.join()
    assert late == []


def test_a_second_start_is_refused_and_harms_nobody(fork: Any, seen: Seen) -> None:
    begun, go_on = fork.Event(), fork.Event()
    process = fork.Process(target=tasks.chat_and_wait, args=(begun, go_on), forward_output=seen.append)
    process.start()
    with pytest.raises(AssertionError, match="twice"):
        process.start()
    begun.wait()
    go_on.set()
    assert process.result() is None
    process.close()
    with pytest.raises(ValueError, match="closed"):
        process.start()
    assert seen.of("stdout") == ["begun"]


def test_a_child_that_cannot_be_sent_leaves_nothing(seen: Seen) -> None:
    process = procession.get_context("spawn").Process(target=lambda: None, forward_output=seen.append)
    with pytest.raises(procession.errors.PicklingError, match="target"):
        process.start()


@pytest.mark.slow
def test_the_same_of_an_executor(quick_process_context: Any, seen: Seen) -> None:
    with quick_process_context.Executor(2, forward_output=seen.append) as executor:
        for number in range(30):
            assert executor.submit(tasks.say_both, number).result() == number
            assert seen.take() == both(number)
        assert list(executor.map(tasks.say_both, range(8))) == list(range(8))
        assert seen.take() == both(*range(8))
        for future in as_completed([executor.submit(tasks.say_both, number) for number in range(20)]):
            assert set(both(future.result())) <= {line.text for line in seen}
        seen.clear()
        future = executor.submit(tasks.say_both, 5)
        wait_until(future.done)
        assert seen.take() == both(5)
        called: list[list[str]] = []
        executor.submit(tasks.say_both, 6).add_done_callback(lambda _: called.append(seen.take()))
        wait_until(lambda: called)
        assert called == [both(6)]


def test_the_same_in_asyncio(fork: Any, seen: Seen) -> None:
    async def main() -> None:
        with fork.Pool(1, forward_output=seen.append) as pool:
            for number in range(20):
                assert await pool.apply_async(tasks.say_both, (number,)) == number
                assert seen.take() == both(number)
        pool.join()

    asyncio.run(main())


@pytest.mark.slow
def test_the_last_lines_of_a_dead_worker_are_in_its_error(process_context: Any, seen: Seen) -> None:
    with process_context.Pool(1, forward_output=seen.append) as pool:
        with pytest.raises(WorkerDied, match=r"(?s)on die\(7\).*printed:\n    line 291\n.*\n    this was 7$") as e:
            pool.apply(tasks.die, (7,))
        assert e.value.output == (*(f"line {number}" for number in range(101, 300)), "this was 7")
        assert len(seen) == 301
        assert pool.apply(tasks.say_both, (1,)) == 1
    pool.join()


def test_nothing_is_known_where_nothing_is_forwarded(fork: Any, capfd: Any) -> None:
    with fork.Pool(1) as pool:
        with pytest.raises(WorkerDied) as caught:
            pool.apply(tasks.die, (7,))
        assert caught.value.output == ()
        assert "printed" not in str(caught.value)
    pool.join()
    assert capfd.readouterr().out.endswith("this was 7")


def test_an_executor_tells_it_too(fork: Any, seen: Seen) -> None:
    with fork.Executor(1, forward_output=seen.append) as executor:
        future: Future[Any] = executor.submit(tasks.die, 7)
        with pytest.raises(WorkerDied, match="this was 7") as caught:
            future.result()
    assert caught.value.output[-1] == "this was 7"


def test_workers_that_retire_are_heard_to_the_end(fork: Any, seen: Seen) -> None:
    with fork.Pool(2, maxtasksperchild=1, forward_output=seen.append) as pool:
        assert pool.map(tasks.say_both, range(10), chunksize=1) == list(range(10))
        pool.close()
        pool.join()
    assert seen.take() == both(*range(10))


def test_a_pool_that_is_terminated_gives_what_was_printed(fork: Any, seen: Seen) -> None:
    begun, never = fork.Event(), fork.Event()
    pool = fork.Pool(1, forward_output=seen.append)
    pool.apply_async(tasks.chat_and_wait, (begun, never))
    begun.wait()
    pool.terminate()
    pool.join()
    assert seen.of("stdout") == ["begun"]


def test_lines_are_printed_with_their_worker(fork: Any, capsys: Any) -> None:
    with fork.Pool(1, forward_output=True) as pool:
        pool.map(tasks.say_both, range(2))
        name = pool._pool[0].name
        captured = capsys.readouterr()
    pool.join()
    assert captured.out == f"[{name}] out 0\n[{name}] out 1\n"
    assert captured.err == f"[{name}] err 0\n[{name}] err 1\n"


def test_a_process_of_another_kind_is_refused(fork: Any) -> None:
    class Strange(Pool):
        @staticmethod
        def Process(ctx: Any, *args: Any, **kwds: Any) -> Any:
            import multiprocessing

            return multiprocessing.get_context("fork").Process(*args, **kwds)

    with pytest.raises(procession.errors.NotSupported, match="not a process of procession's"):
        Strange(1, context=fork, forward_output=True)


@pytest.mark.slow
def test_a_pool_survives_deaths_at_any_moment_of_printing(fork: Any, seen: Seen) -> None:
    """Each line is whole, and each worker's are in order, whenever it was killed."""
    told = fork.Value("q", -1, lock=False)
    with fork.Pool(1, forward_output=seen.append) as pool:
        for many in range(0, 400, 40):
            told.value = -1
            seen.clear()
            result = pool.apply_async(tasks.count_for_ever, (told,))
            wait_until(lambda many=many: told.value > many)  # type: ignore[misc]
            os.kill(pool._pool[0].pid, signal.SIGKILL)
            with pytest.raises(WorkerDied) as caught:
                result.get()
            assert seen.of("stdout") == [str(number) for number in range(len(seen))]
            assert len(seen) > told.value
            assert caught.value.output == tuple(seen.of("stdout")[-200:])
    pool.join()


@pytest.mark.slow
def test_no_lock_of_a_function_is_held_in_a_forked_child(fork: Any) -> None:
    """The thread that calls it does not run while a child is forked."""
    lock, lines = threading.Lock(), []

    def slowly(line: Any) -> None:
        with lock:
            lines.append(line.text)
            time.sleep(0.002)  # most of the time it has the lock

    stop = fork.Event()
    talker = fork.Process(target=tasks.tick, args=(stop,), forward_output=slowly)
    talker.start()
    for _ in range(20):
        wait_until(lock.locked)
        child = fork.Process(target=tasks.take, args=(lock,))
        child.start()
        assert child.result(timeout=20) is True
        child.close()
    stop.set()
    talker.join()
    talker.close()
    assert lines == [str(number) for number in range(len(lines))]
