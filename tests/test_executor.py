"""Executor: futures, map, cancelling, waiting; on processes of every start method and on threads."""

from __future__ import annotations

import itertools
import pickle
import threading
import weakref
from collections.abc import Iterator
from concurrent import futures
from functools import partial
from operator import add
from typing import Any

import pytest
from executor_tasks import Adder, begin_and_wait, fail_to_begin, read_stored, set_event, store
from pool_tasks import add as add_or_100
from pool_tasks import double, identity, own_pid, raise_for

import procession
from procession import Executor
from procession.errors import NotSupported, PicklingError
from procession.testing import wait_until

pytestmark = pytest.mark.watchdog(30)


@pytest.fixture
def executor(quick_context: Any) -> Iterator[Executor]:
    with Executor(2, context=quick_context) as executor:
        yield executor


@pytest.fixture
def fork_executor() -> Iterator[Executor]:
    with Executor(2, context="fork") as executor:
        yield executor


def busy(context: Any, executor: Executor, workers: int = 2) -> tuple[list[Any], Any]:
    """Calls that hold all workers until the event is set."""
    begun, event = context.Semaphore(0), context.Event()
    held = [executor.submit(begin_and_wait, begun, event) for _ in range(workers)]
    for _ in held:
        assert begun.acquire(timeout=20)
    return held, event


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver", "thread"])
def test_calls_of_every_kind(method: str) -> None:
    with procession.get_context(method).Executor(2) as executor:
        assert isinstance(executor, futures.Executor)
        assert isinstance(executor, Executor)
        future = executor.submit(add_or_100, 1, right=2)
        assert isinstance(future, futures.Future)
        assert future.result(20) == 3
        assert future.exception() is None
        assert future.done()
        assert not future.running()
        assert not future.cancelled()
        assert not future.cancel()
        assert "finished returned int" in repr(future)
        calls = [pow, partial(add, 3), Adder(4), Adder(5).add, str, [].__class__]
        values = [
            executor.submit(call, *given).result()
            for call, given in zip(calls, [(2, 3), (4,), (1,), (2,), (7,), ("ab",)], strict=True)
        ]
        assert values == [8, 7, 5, 7, "7", ["a", "b"]]
        assert executor.submit(dict, fn=1, self=2).result() == {"fn": 1, "self": 2}
        assert f"{method} max_workers=2 (open)" in repr(executor)
    assert "(shut down)" in repr(executor)


def test_what_a_call_raises_is_raised(executor: Executor) -> None:
    future = executor.submit(raise_for, -3)
    with pytest.raises(ValueError, match="-3 is negative") as caught:
        future.result()
    assert future.exception() is caught.value
    if executor._processes:
        cause = caught.value.__cause__
        assert type(cause) is futures.process._RemoteTraceback  # type: ignore[attr-defined]
        assert "in raise_for" in str(cause)
        assert "in call" not in str(cause), "our own frames are not the user's business"
    assert executor.submit(double, 4).result() == 8


def test_what_cannot_be_sent_fails_its_future(fork_executor: Executor) -> None:
    future = fork_executor.submit(identity, [1, {"key": threading.Lock()}])
    with pytest.raises(PicklingError, match=r"lock.* at args\[0\]\[1\]\['key'\]"):
        future.result()
    with pytest.raises(PicklingError, match=r"at kwargs|at kwds"):
        fork_executor.submit(identity, thing=threading.Lock()).result()
    with pytest.raises(TypeError, match="7 cannot be called"):
        fork_executor.submit(7).result()  # type: ignore[arg-type]
    assert fork_executor.submit(double, 1).result() == 2


def test_arguments_are_as_they_were_when_submitted(quick_process_context: Any) -> None:
    with Executor(1, context=quick_process_context) as executor:
        _, event = busy(quick_process_context, executor, 1)
        numbers = [1]
        future = executor.submit(identity, numbers)
        numbers.append(2)
        event.set()
        assert future.result() == [1]


def test_cancelling_what_no_worker_has_taken(quick_context: Any) -> None:
    with Executor(2, context=quick_context) as executor:
        held, event = busy(quick_context, executor)
        waiting = [executor.submit(double, number) for number in range(50)]
        assert all(future.running() and not future.cancel() for future in held)
        assert not any(future.running() or future.done() for future in waiting)
        dropped = waiting[::2]
        told: list[Any] = []
        dropped[0].add_done_callback(told.append)
        assert all(future.cancel() for future in dropped)
        assert told == [dropped[0]]
        assert all(future.cancel() and future.cancelled() and future.done() for future in dropped)
        with pytest.raises(futures.CancelledError):
            dropped[1].result()
        assert futures.wait(dropped, 0).not_done == set(), "whoever waits is told at once"
        event.set()
        assert [future.result() for future in waiting[1::2]] == [2 * number for number in range(1, 50, 2)]
        assert [future.result() for future in held] == [True, True]


def test_cancelled_calls_are_not_made(quick_context: Any) -> None:
    with Executor(1, context=quick_context) as executor:
        _, event = busy(quick_context, executor, 1)
        made = [quick_context.Event() for _ in range(3)]
        calls = [executor.submit(set_event, each) for each in made]
        chunk = executor._submit_chunk(set_event, [(each,) for each in made[::2]])
        assert calls[0].cancel()
        assert calls[2].cancel()
        assert chunk.cancel()
        event.set()
        assert executor.submit(double, 2).result() == 4
        assert [each.is_set() for each in made] == [False, True, False]


def test_more_cancelled_calls_than_there_are_places_for_marks(fork_executor: Executor) -> None:
    context = procession.get_context("fork")
    _, event = busy(context, fork_executor)
    some = fork_executor.submit(double, 0)
    assert some.cancel()
    many = [fork_executor.submit(double, number) for number in range(10_000)]
    assert all(future.cancel() for future in many[1::2])
    event.set()
    assert [future.result() for future in many[::2]] == [2 * number for number in range(0, 10_000, 2)]
    marks = fork_executor._core.engine.marks
    wait_until(lambda: marks.cells[0] == 0)  # the workers cleared them all


def test_cancelling_ends_a_wait_for_the_result(quick_context: Any) -> None:
    with Executor(1, context=quick_context) as executor:
        _, event = busy(quick_context, executor, 1)
        future = executor.submit(double, 1)
        errors: list[BaseException | None] = []

        def wait() -> None:
            try:
                future.result(20)
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        wait_until(lambda: executor._core._user_reads)
        assert future.cancel()
        thread.join(10)
        assert [type(error) for error in errors] == [futures.CancelledError]
        event.set()


def test_waiting_without_asking_for_a_result(executor: Executor) -> None:
    submitted = [executor.submit(double, number) for number in range(100)]
    assert sorted(future.result() for future in futures.as_completed(submitted, 20)) == list(range(0, 200, 2))
    first = [executor.submit(raise_for, number) for number in (1, -1)]
    done, _ = futures.wait(first, 20, futures.FIRST_EXCEPTION)
    assert first[1] in done
    called = threading.Event()
    threads: list[threading.Thread] = []
    future = executor.submit(double, 1)
    future.add_done_callback(lambda future: threads.append(threading.current_thread()))
    future.add_done_callback(lambda future: called.set())
    assert called.wait(20)
    assert threads[0] in (threading.main_thread(), executor._executor_manager_thread)
    future.add_done_callback(lambda future: threads.append(threading.current_thread()))
    assert threads[1] is threading.main_thread(), "of one that is done, callbacks run at once"


def test_a_callback_that_raises_disturbs_nobody(quick_context: Any, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: object) -> None:
        raise SystemExit("of a callback")

    with Executor(1, context=quick_context) as executor:
        (held,), event = busy(quick_context, executor, 1)
        held.add_done_callback(fail)
        event.set()
        wait_until(lambda: "of a callback" in caplog.text)
        assert futures.wait([executor.submit(double, 1)], 20).not_done == set()


def test_timeouts(quick_context: Any) -> None:
    with Executor(1, context=quick_context) as executor:
        (held,), event = busy(quick_context, executor, 1)
        for timeout in (0, 0.01):
            with pytest.raises(TimeoutError, match="nothing within"):
                held.result(timeout)
            with pytest.raises(futures.TimeoutError):
                held.exception(timeout)
        with pytest.raises(TimeoutError):
            list(executor.map(double, [1], timeout=0.01))
        event.set()
        assert held.result() is True


def test_map(executor: Executor) -> None:
    assert list(executor.map(pow, range(10), range(10))) == list(map(pow, range(10), range(10)))
    for size in (2, 3, 10, 100):
        assert list(executor.map(add, range(10), itertools.count(), chunksize=size)) == list(range(0, 20, 2))
        assert list(executor.map(Adder(1).add, range(10), chunksize=size)) == list(range(1, 11))
    assert list(executor.map(double, [])) == []
    results = executor.map(raise_for, [1, -2, 3])
    assert next(results) == 1
    with pytest.raises(ValueError, match="-2"):
        next(results)
    assert list(results) == []
    for wrong in ({"chunksize": 0}, {"chunksize": -1}, {"buffersize": 0}, {"buffersize": -2}):
        with pytest.raises(ValueError, match="size"):
            executor.map(double, [1], **wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="buffersize"):
        executor.map(double, [1], buffersize=1.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("chunksize", [1, 3])
def test_map_reads_only_buffersize_ahead(executor: Executor, chunksize: int) -> None:
    numbers = itertools.count()
    results = executor.map(double, numbers, buffersize=4, chunksize=chunksize)
    assert next(numbers) == 4 * chunksize
    assert [next(results) for _ in range(3)] == [0, 2, 4]
    assert next(numbers) <= 8 * chunksize


def test_map_goes_through_the_submit_of_a_subclass(executor: Executor) -> None:
    class Counting(Executor):
        calls = 0

        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            return super().submit(fn, *args, **kwargs)

    with Counting(1, context="thread") as counting:
        assert list(counting.map(double, range(4))) == [0, 2, 4, 6]
        assert list(counting.map(double, range(4), chunksize=2)) == [0, 2, 4, 6]
        assert counting.calls == 6


def test_an_iterator_that_nobody_reads_cancels_nothing(quick_context: Any) -> None:
    events = [quick_context.Event() for _ in range(5)]
    with Executor(1, context=quick_context) as executor:
        executor.map(set_event, events)  # for what the calls do, as with the standard executor
    assert all(event.is_set() for event in events)


def test_an_iterator_that_is_given_up_cancels_the_rest(quick_context: Any) -> None:
    begun, event = quick_context.Semaphore(0), quick_context.Event()
    with Executor(1, context=quick_context) as executor:
        results = executor.map(begin_and_wait, [begun] * 5, [event] * 5, timeout=0.05)
        assert begun.acquire(timeout=20)
        with pytest.raises(TimeoutError):
            next(results)
        event.set()
    assert not begun.acquire(False), "only one was called"


def test_nothing_is_kept_of_what_is_done(executor: Executor) -> None:
    adder = Adder(1)
    gone = weakref.ref(adder)
    executor.submit(adder.add, 1)  # nobody asks for the result
    del adder
    wait_until(lambda: gone() is None)
    for thing in executor.map(Adder, range(3)):
        kept = weakref.ref(thing)
        del thing
        assert kept() is None


def test_initializer(quick_context: Any) -> None:
    with Executor(2, quick_context, store, (17,)) as executor:
        assert list(executor.map(read_stored, range(10))) == [17] * 10


@pytest.mark.parametrize("method", ["fork", "forkserver", "thread"])
def test_a_failing_initializer_breaks_the_executor(method: str) -> None:
    kind = futures.thread.BrokenThreadPool if method == "thread" else futures.process.BrokenProcessPool
    with Executor(1, context=method, initializer=fail_to_begin, initargs=(3,)) as executor:
        future = executor.submit(double, 1)
        with pytest.raises(kind, match=r"initializer raised KeyError.*initializer 3"):
            future.result(20)
        with pytest.raises(futures.BrokenExecutor):
            executor.submit(double, 1)
        assert "initializer 3" in str(executor._broken)
        assert "(broken)" in repr(executor)


def test_workers_start_as_they_are_needed() -> None:
    with Executor(3, context="forkserver") as executor:
        assert executor._processes == {}
        pids = {executor.submit(own_pid).result() for _ in range(5)}
        assert set(executor._processes) == pids
        assert len(pids) == 1
        context = procession.get_context("forkserver")
        _, event = busy(context, executor, 3)
        assert len(executor._processes) == 3
        statistics = executor.statistics()
        assert (statistics.workers, statistics.outstanding, statistics.waiting) == (3, 3, 0)
        event.set()


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_max_tasks_per_child(method: str) -> None:
    with Executor(1, context=method, max_tasks_per_child=2) as executor:
        pids = [executor.submit(own_pid).result() for _ in range(6)]
        assert [pids.count(pid) for pid in pids] == [2] * 6
        assert len(executor._processes) == 1


def test_wrong_arguments() -> None:
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="max_workers must be greater than 0"):
            Executor(wrong)
        with pytest.raises(ValueError, match="max_tasks_per_child must be >= 1"):
            Executor(max_tasks_per_child=wrong)
    with pytest.raises(TypeError):
        Executor(1.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="max_tasks_per_child must be an integer"):
        Executor(max_tasks_per_child=1.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="initializer must be a callable"):
        Executor(initializer=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="cannot find context for 'nonsense'"):
        Executor(context="nonsense")
    with pytest.raises(TypeError, match="context must be"):
        Executor(context=3)
    with pytest.raises(ValueError, match="give one"):
        Executor(context="fork", mp_context="fork")
    assert Executor(max_tasks_per_child=3)._mp_context.get_start_method() == "spawn", "as the standard executor"
    assert Executor(mp_context=procession.get_context("spawn"))._mp_context.get_start_method() == "spawn"


def test_neither_it_nor_its_futures_can_be_sent(fork_executor: Executor) -> None:
    future = fork_executor.submit(double, 1)
    for thing in (fork_executor, future):
        with pytest.raises(NotSupported, match="cannot be pickled"):
            pickle.dumps(thing)
        with pytest.raises(NotSupported, match="cannot be pickled"):
            fork_executor.submit(identity, thing).result()
