"""Executors: shutdown, workers that die or are ended, exit of the program, forks, and being forgotten."""

from __future__ import annotations

import copyreg
import gc
import itertools
import os
import signal
import subprocess
import sys
import threading
from concurrent import futures
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from executor_tasks import begin_and_wait, leave_while, total_of_children, use_and_leave
from pool_tasks import die_for, double, leave, own_pid

import procession
from procession import Executor
from procession.errors import PicklingError, WorkerDied
from procession.testing import wait_until

pytestmark = pytest.mark.watchdog(30)


def held(context: Any, executor: Executor) -> tuple[Any, Any]:
    """A call that is being made until the event is set."""
    begun, event = context.Semaphore(0), context.Event()
    future = executor.submit(begin_and_wait, begun, event)
    assert begun.acquire(timeout=20)
    return future, event


# Deaths


def test_a_death_fails_one_future_and_the_executor_goes_on(quick_process_context: Any) -> None:
    with Executor(2, context=quick_process_context) as executor:
        calls = [executor.submit(die_for, -9 if number == 7 else number) for number in range(20)]
        error = calls[7].exception(20)
        assert isinstance(error, WorkerDied)
        assert isinstance(error, BrokenProcessPool), "as programs expect that were written for concurrent.futures"
        assert error.exitcode == -9
        assert "SIGKILL while working on die_for(-9)" in str(error)
        assert [future.result() for future in calls if future is not calls[7]] == [n for n in range(20) if n != 7]
        assert executor._broken is False
        assert executor.statistics().deaths == 1


def test_a_death_is_noticed_while_nobody_asks(quick_process_context: Any) -> None:
    with Executor(1, context=quick_process_context) as executor:
        told = threading.Event()
        executor.submit(os._exit, 3).add_done_callback(lambda future: told.set())
        assert told.wait(20)
        (pid,) = {executor.submit(own_pid).result()}
        assert pid in executor._processes


def test_what_ends_a_process_is_the_futures_exception(quick_context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # Dask's package, loaded by a test before, has exceptions pickled in a way of its own that loses the code
    monkeypatch.delitem(copyreg.dispatch_table, SystemExit, raising=False)
    with Executor(1, context=quick_context) as executor:
        pid = executor.submit(own_pid).result()
        for code in (0, 3):
            with pytest.raises(SystemExit) as caught:
                executor.submit(leave, code).result()
            assert caught.value.code == code
        assert executor.submit(own_pid).result() == pid, "the worker lives"


def test_what_cannot_come_back(fork: Any) -> None:
    with Executor(1, context=fork) as executor:
        for what, kind in (
            ("error in pickling", PicklingError),
            ("error in unpickling", BrokenProcessPool),
            ("exit in unpickling", BrokenProcessPool),
        ):
            future = executor.submit(leave_while, what)
            with pytest.raises(kind, match="leave_while"):
                future.result()
            assert executor.submit(double, 2).result() == 4


def test_workers_that_never_serve_break_the_executor(fork: Any) -> None:
    with Executor(1, fork, os._exit, (5,)) as executor:
        future = executor.submit(double, 1)
        with pytest.raises(BrokenProcessPool, match=r"in a row ended before they served.*code 5"):
            future.result()
        with pytest.raises(BrokenProcessPool):
            executor.submit(double, 1)


@pytest.mark.parametrize("manner", ["terminate_workers", "kill_workers"])
def test_ending_the_workers(quick_process_context: Any, manner: str) -> None:
    with Executor(1, context=quick_process_context) as executor:
        running, _ = held(quick_process_context, executor)
        waiting = executor.submit(double, 1)
        processes = list(executor._processes.values())
        getattr(executor, manner)()
        assert waiting.cancelled()
        with pytest.raises(BrokenProcessPool) as caught:
            running.result(20)
        assert caught.value.signal == ("SIGTERM" if manner == "terminate_workers" else "SIGKILL")  # type: ignore[attr-defined]
        with pytest.raises(RuntimeError, match="after shutdown"):
            executor.submit(double, 1)
        executor.shutdown()
        assert not any(process.is_alive() for process in processes)
        getattr(executor, manner)()  # no error, though there are none


def test_ending_threads_only_cancels() -> None:
    context = procession.get_context("thread")
    with Executor(1, context=context) as executor:
        running, event = held(context, executor)
        waiting = executor.submit(double, 1)
        executor.kill_workers()
        assert waiting.cancelled()
        event.set()
        assert running.result(20) is True


# Shutdown


@pytest.mark.parametrize("wait", [True, False])
def test_shutdown_finishes_what_was_submitted(quick_context: Any, wait: bool) -> None:
    executor = Executor(2, context=quick_context)
    calls = [executor.submit(double, number) for number in range(200)]
    workers = [*executor._processes.values(), *executor._threads]
    helper = executor._executor_manager_thread
    executor.shutdown(wait)
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.submit(double, 1)
    helper.join()
    assert [future.result(0) for future in calls] == list(range(0, 400, 2))
    assert not any(worker.is_alive() for worker in workers)
    executor.shutdown()
    executor.shutdown(cancel_futures=True)


def test_shutdown_of_one_that_did_nothing(context: Any) -> None:
    executor = Executor(2, context=context)
    executor.shutdown()
    with pytest.raises(RuntimeError):
        executor.submit(double, 1)
    with Executor(1, context=context):
        pass


def test_shutdown_may_cancel(quick_context: Any) -> None:
    executor = Executor(1, context=quick_context)
    running, event = held(quick_context, executor)
    waiting = [executor.submit(double, number) for number in range(100)]
    executor.shutdown(wait=False, cancel_futures=True)
    assert all(future.cancelled() for future in waiting)
    event.set()
    executor.shutdown()
    assert running.result(0) is True


def test_a_callback_may_submit_and_shut_down(quick_context: Any) -> None:
    executor = Executor(1, context=quick_context)
    made: list[Any] = []
    done = threading.Event()

    def again(_: object) -> None:
        made.append(executor.submit(double, 4).result(20))
        executor.shutdown()
        done.set()

    running, event = held(quick_context, executor)
    running.add_done_callback(again)
    event.set()
    assert done.wait(20)
    executor.shutdown()
    assert made == [8]


def test_a_forgotten_executor_finishes_and_leaves(quick_context: Any) -> None:
    executor = Executor(2, context=quick_context)
    results = executor.map(double, range(100))
    helper = executor._executor_manager_thread
    workers = [*executor._processes.values(), *executor._threads]
    del executor
    gc.collect()
    helper.join()
    assert list(results) == list(range(0, 200, 2))
    assert not any(worker.is_alive() for worker in workers)


# The end of the program


PROGRAM = """
import atexit, sys
def late(word):
    import time
    time.sleep(0.2)  # so that the main module has come to its end
    print(word, flush=True)
def submit_at_exit():
    try:
        executor.submit(print, "never")
    except RuntimeError as error:
        print(error)
if __name__ == "__main__":
    import procession
    executor = procession.Executor(2, context=sys.argv[1])
    executor.submit(int).result()
    atexit.register(submit_at_exit)
    executor.submit(late, "apple")
    {then}
"""


@pytest.mark.parametrize("then", ["", "executor.shutdown(wait=False)"])
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver", "thread"])
def test_the_programs_end_waits_for_what_was_submitted(tmp_path: Path, method: str, then: str) -> None:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM.replace("{then}", then))
    ended = subprocess.run(
        [sys.executable, str(script), method], capture_output=True, text=True, timeout=25, check=False
    )
    after = "shutdown" if then else "interpreter shutdown"
    assert ended.stdout.splitlines() == ["apple", f"cannot schedule new futures after {after}"]
    assert (ended.stderr, ended.returncode) == ("", 0)


@pytest.mark.parametrize("method", ["fork", "forkserver", "thread"])
def test_in_a_child_of_multiprocessing(fork: Any, method: str) -> None:
    process = fork.Process(target=total_of_children, args=(method, [1, 2, 3]))
    process.start()
    assert process.result(20) == 6
    event = fork.Event()
    other = fork.Process(target=use_and_leave, args=(method, event))
    other.start()
    other.join(20)
    assert other.exitcode == 0
    assert event.is_set(), "a child finishes its work before it ends its children"


def test_a_fork_does_not_own_it(fork: Any) -> None:
    with Executor(1, context=fork) as executor:
        done = executor.submit(double, 1)
        assert done.result() == 2
        running, event = held(fork, executor)

        def look() -> list[str]:
            seen = [str(done.result())]
            for use in (lambda: executor.submit(double, 1), lambda: running.result(1)):
                try:
                    use()
                except RuntimeError as error:
                    seen.append(str(error))
            executor.shutdown()
            executor.kill_workers()
            return seen

        process = fork.Process(target=look)
        process.start()
        seen = process.result(20)
        assert seen[0] == "2"
        assert all(f"belongs to process {os.getpid()}" in error for error in seen[1:])
        assert len(seen) == 3
        assert not running.done()
        event.set()
        assert running.result() is True


def test_an_interrupt_loses_no_answer(fork: Any) -> None:
    class Interrupted(Exception):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupted

    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        with Executor(2, context=fork) as executor:
            for round_number in range(60):
                calls = [executor.submit(double, number) for number in range(300)]
                watched = futures.as_completed(calls, 20)
                with suppress(Interrupted):
                    signal.setitimer(signal.ITIMER_REAL, 0.0001 + 0.00003 * round_number)  # once
                    for future in itertools.cycle(calls):
                        future.result()
                assert sum(future.result() for future in watched) == sum(range(0, 600, 2))
    finally:
        signal.signal(signal.SIGALRM, previous)


def test_from_many_threads(quick_context: Any) -> None:
    totals: list[int] = []

    def use() -> None:
        some = [executor.submit(double, number) for number in range(200)]
        cancelled = [future for future in some[::3] if future.cancel()]
        rest = [future for future in some if future not in cancelled]
        done = futures.wait(some, 20).done
        totals.append(len(done))
        assert sum(future.result() for future in rest) == sum(
            2 * number for number, future in enumerate(some) if future in rest
        )

    with Executor(2, context=quick_context) as executor:
        threads = [threading.Thread(target=use) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(25)
        assert totals == [200] * 6
        wait_until(lambda: executor.statistics().outstanding == 0)
