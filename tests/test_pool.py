"""Pools: the standard interface in every context, and what happens when workers, objects and callers misbehave."""

from __future__ import annotations

import faulthandler
import itertools
import multiprocessing
import multiprocessing.pool
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import procession
from procession.errors import (
    NotSupported,
    PicklingError,
    PoolBroken,
    PoolTerminated,
    RemoteTraceback,
    UnpicklingError,
    WorkerDied,
)
from procession.pool import Pool
from procession.testing import descendants, wait_until

try:
    import cloudpickle
except ImportError:
    cloudpickle = None

pytestmark = pytest.mark.watchdog(30)


# A spawned worker takes a tenth of a second to start, so spawn is tested where it makes a difference, and in one go.


@pytest.fixture(params=["fork", "forkserver", "thread"])
def context(request: pytest.FixtureRequest) -> Any:
    return procession.get_context(request.param)


@pytest.fixture(params=["fork", "forkserver"])
def process_context(request: pytest.FixtureRequest) -> Any:
    return procession.get_context(request.param)


@pytest.fixture
def pool(context: Any) -> Iterator[Pool]:
    with context.Pool(2) as pool:
        yield pool
    pool.join()


@pytest.fixture
def process_pool(process_context: Any) -> Iterator[Pool]:
    with process_context.Pool(2) as pool:
        yield pool
    pool.join()


@pytest.fixture
def fork_pool() -> Iterator[Pool]:
    with procession.get_context("fork").Pool(2) as pool:
        yield pool
    pool.join()


@pytest.fixture
def thread_pool() -> Iterator[Pool]:
    with procession.get_context("thread").Pool(2) as pool:
        yield pool
    pool.join()


def double(number: int) -> int:
    return 2 * number


def add(left: int, right: int = 100) -> int:
    return left + right


def raise_for(number: int) -> int:
    if number < 0:
        raise ValueError(f"{number} is negative")
    return number


def die_for(number: int) -> int:
    if number < 0:
        faulthandler.disable()
        os.kill(os.getpid(), -number)
    return number


def leave(code: int) -> None:
    sys.exit(code)


def own_pid(_: object = None) -> int:
    return os.getpid()


def wait_for(event: Any) -> bool:
    return bool(event.wait(20))


def identity(thing: Any) -> Any:
    return thing


# The standard interface


def test_apply(pool: Pool) -> None:
    assert pool.apply(add, (1, 2)) == 3
    assert pool.apply(add, (1,), {"right": 5}) == 6
    assert pool.apply(add, [1]) == 101


@pytest.mark.parametrize("chunksize", [None, 1, 3, 1000])
def test_map_keeps_the_order(pool: Pool, chunksize: int | None) -> None:
    assert pool.map(double, range(50), chunksize) == [2 * n for n in range(50)]
    assert pool.map(double, iter([3, 4]), chunksize) == [6, 8]
    assert pool.map(double, [], chunksize) == []


@pytest.mark.parametrize("chunksize", [None, 1, 7])
def test_long_maps(fork_pool: Pool, chunksize: int | None) -> None:
    assert fork_pool.map(double, range(20_000), chunksize) == list(range(0, 40_000, 2))
    assert fork_pool.map_async(double, range(20_000), chunksize).get() == list(range(0, 40_000, 2))


def test_spawned_workers() -> None:
    with procession.get_context("spawn").Pool(2, store, (17,)) as pool:
        assert pool.apply(read_stored, (0,)) == 17
        assert pool.map(double, range(50)) == [2 * n for n in range(50)]
        assert list(pool.imap(double, range(300))) == [2 * n for n in range(300)]
        with pytest.raises(WorkerDied, match=r"die_for\(-9\), item 1"):
            pool.map(die_for, [1, -9, 2], 1)
        with pytest.raises(ValueError, match="-1 is negative"):
            pool.map(raise_for, [1, 2, -1, 4])
        if cloudpickle is not None:
            assert pool.map(lambda n: 3 * n, [1, 2]) == [3, 6]
        assert pool.map_reduce(str, range(50), str.__add__) == "".join(map(str, range(50)))
    pool.join()


def test_starmap(pool: Pool) -> None:
    pairs = [(n, 2 * n) for n in range(20)]
    assert pool.starmap(add, pairs) == [3 * n for n in range(20)]
    assert pool.starmap(add, [[1, 2], (3,)], chunksize=1) == [3, 103]
    assert pool.starmap_async(add, pairs, 4).get(20) == [3 * n for n in range(20)]


def test_async_results(pool: Pool) -> None:
    result = pool.apply_async(double, (4,))
    result.wait(20)
    assert result.ready()
    assert result.successful()
    assert result.get() == result.get(timeout=0) == 8
    failing = pool.map_async(raise_for, [1, -2, 3, -4], 1)
    failing.wait()
    assert not failing.successful()
    with pytest.raises(ValueError, match="-2 is negative"):
        failing.get()


@pytest.mark.parametrize("chunksize", [1, 4])
def test_imap(pool: Pool, chunksize: int) -> None:
    assert list(pool.imap(double, range(300), chunksize)) == [2 * n for n in range(300)]
    assert sorted(pool.imap_unordered(double, range(300), chunksize)) == [2 * n for n in range(300)]
    assert list(pool.imap(double, [])) == []
    iterator = pool.imap(double, [1])
    assert iterator.next(timeout=20) == 2
    with pytest.raises(StopIteration):
        iterator.next()
    with pytest.raises(StopIteration):
        next(iterator)


@pytest.mark.parametrize("method", ["imap", "imap_unordered"])
def test_imap_reads_an_endless_input_only_a_little_ahead(pool: Pool, method: str) -> None:
    read: list[int] = []

    def numbers() -> Iterator[int]:
        for number in itertools.count():
            read.append(number)
            yield number

    results = getattr(pool, method)(double, numbers())
    taken = [next(results) for _ in range(500)]
    assert len(set(taken)) == 500
    assert len(read) <= 500 + 64


def test_errors_of_an_input_come_in_their_place(pool: Pool) -> None:
    def numbers() -> Iterator[int]:
        yield 1
        yield 2
        raise KeyError("no more")

    results = pool.imap(double, numbers())
    assert [next(results), next(results)] == [2, 4]
    with pytest.raises(KeyError, match="no more"):
        next(results)
    with pytest.raises(StopIteration):
        next(results)


def test_imap_goes_on_behind_a_failure(pool: Pool) -> None:
    results = pool.imap(raise_for, [1, -1, 3])
    assert next(results) == 1
    with pytest.raises(ValueError, match="negative"):
        next(results)
    assert next(results) == 3


def test_timeouts(fork_pool: Pool, thread_pool: Pool) -> None:
    for pool, context in ((fork_pool, "fork"), (thread_pool, "thread")):
        event = procession.get_context(context).Event()
        result = pool.apply_async(wait_for, (event,))
        iterator = pool.imap(wait_for, [event])
        with pytest.raises(ValueError, match="not ready"):
            result.successful()
        with pytest.raises(multiprocessing.TimeoutError):
            result.get(timeout=0.01)
        with pytest.raises(procession.TimeoutError):
            iterator.next(timeout=0)
        result.wait(0.01)
        assert not result.ready()
        event.set()
        assert result.get(20) is True
        assert next(iterator) is True


def test_callbacks_run_before_the_result_is_ready(pool: Pool) -> None:
    called: list[Any] = []
    result = pool.apply_async(double, (3,), callback=called.append)
    assert result.get() == 6
    assert called == [6]
    results = pool.map_async(double, [1, 2], callback=called.append)
    results.wait()
    assert called == [6, [2, 4]]
    failing = pool.apply_async(raise_for, (-1,), callback=called.append, error_callback=lambda e: called.append(str(e)))
    with pytest.raises(ValueError, match="negative"):
        failing.get()
    assert called[2:] == ["-1 is negative"]


def test_callbacks_need_nobody_to_wait(pool: Pool) -> None:
    called = threading.Event()
    pool.apply_async(double, (3,), callback=lambda value: called.set())
    assert called.wait(20)


def test_a_callback_may_use_the_pool(fork_pool: Pool) -> None:
    seen: list[int] = []
    fork_pool.apply_async(double, (3,), callback=lambda value: seen.append(fork_pool.apply(double, (value,)))).get()
    assert seen == [12]


def test_a_callback_that_raises_harms_nobody(fork_pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", raised.append)
    assert fork_pool.apply_async(double, (3,), callback=lambda value: value / 0).get() == 6
    assert raised[0].exc_type is ZeroDivisionError
    assert fork_pool.apply_async(double, (3,), callback=raised.append).get() == raised[1] == 6


def test_several_threads_wait_at_once(fork_pool: Pool) -> None:
    results: list[Any] = []

    def work(start: int) -> None:
        for number in range(start, start + 200):
            results.append(fork_pool.apply(double, (number,)) == 2 * number)
        results.append(
            fork_pool.map(double, range(start, start + 5000), 1) == list(range(2 * start, 2 * start + 10_000, 2))
        )

    threads = [threading.Thread(target=work, args=(1000 * n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 6 * 201


def store(value: int) -> None:
    global stored
    stored = value


def read_stored(_: object) -> int:
    return stored


def test_initializer(context: Any) -> None:
    with context.Pool(2, store, (17,)) as pool:
        assert pool.map(read_stored, range(10), 1) == [17] * 10


@pytest.mark.parametrize("method", ["fork", "forkserver", "thread"])
def test_maxtasksperchild(method: str) -> None:
    with procession.get_context(method).Pool(2, maxtasksperchild=2) as pool:
        pids = pool.map(own_pid, range(8), chunksize=1)
        assert method == "thread" or all(pids.count(pid) <= 2 for pid in pids)
        results = [pool.apply_async(own_pid) for _ in range(6)]
        pool.close()
        pool.join()
        assert all(result.ready() for result in results)


def test_map_reduce(pool: Pool) -> None:
    assert pool.map_reduce(double, range(1000), add) == 999_000
    assert pool.map_reduce(str, range(200), str.__add__) == "".join(map(str, range(200)))
    assert pool.map_reduce(str, iter(range(20)), str.__add__, chunksize=3, initial=">") == ">" + "".join(
        map(str, range(20))
    )
    assert pool.map_reduce(double, [], add, initial=5) == 5
    with pytest.raises(TypeError, match="empty iterable with no initial value"):
        pool.map_reduce(double, [], add)
    done: list[int] = []
    pool.map_reduce(double, range(30), add, chunksize=10, progress=done.append)
    assert done == [10, 20, 30]
    with pytest.raises(ValueError, match="negative"):
        pool.map_reduce(raise_for, [1, -1], add)
    assert pool.apply(double, (1,)) == 2


def test_large_things_go_both_ways(process_pool: Pool) -> None:
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(100_000)
    assert (process_pool.apply(identity, (array,)) == array).all()
    for result in process_pool.map(identity, [array, array], chunksize=1):
        assert (result == array).all()
    text = "x" * 1_000_000
    assert process_pool.map(identity, [text] * 3) == [text] * 3


def test_shared_objects_may_be_arguments(process_context: Any) -> None:
    with process_context.Pool(2) as pool:
        event = process_context.Event()
        result = pool.apply_async(wait_for, (event,))
        event.set()
        assert result.get() is True


def test_threads_get_the_objects_themselves(thread_pool: Pool) -> None:
    thing = object()
    assert thread_pool.apply(identity, (thing,)) is thing
    assert thread_pool.map(lambda item: item, [thing])[0] is thing
    assert thread_pool.apply(own_pid) == os.getpid()


# Functions


@pytest.mark.skipif(cloudpickle is None, reason="lambdas need cloudpickle")
def test_lambdas_and_closures(process_pool: Pool) -> None:
    for factor in range(3):
        assert process_pool.map(lambda n, factor=factor: n * factor, [1, 2]) == [factor, 2 * factor]
    counter = itertools.count()

    class Adder:
        def __init__(self) -> None:
            self.amount = 1

        def __call__(self, number: int) -> int:
            return number + self.amount

    adder = Adder()
    assert process_pool.map(adder, [1]) == [2]
    adder.amount = 10
    assert process_pool.map(adder, [1]) == [11]
    assert next(counter) == 0


def test_a_function_is_shipped_once(fork_pool: Pool) -> None:
    for _ in range(10):
        fork_pool.map(double, range(10), 1)
        fork_pool.apply(add, (1, 2))
    assert fork_pool.statistics().functions == 2


def test_what_is_no_function(pool: Pool) -> None:
    with pytest.raises(TypeError, match="cannot be called"):
        pool.map(3, [1])  # type: ignore[arg-type]
    assert pool.apply(double, (1,)) == 2


# Objects that cannot travel


class Unpicklable:
    def __reduce__(self) -> Any:
        raise TypeError("made of stone")


class FailsToUnpickle:
    def __reduce__(self) -> Any:
        return raise_for, (-7,)


class AwkwardError(Exception):
    """Its pickle has one argument, its constructor wants two."""

    def __init__(self, left: object, right: object) -> None:
        super().__init__(f"{left} {right}")


def make(kind: str) -> Any:
    return {"unpicklable": Unpicklable, "fails": FailsToUnpickle}[kind]() if kind != "plain" else 1


def raise_awkward(kind: str) -> None:
    if kind == "awkward":
        raise AwkwardError(1, 2)
    raise ValueError(Unpicklable())


def test_arguments_that_cannot_be_pickled(process_pool: Pool) -> None:
    with pytest.raises(PicklingError, match=r" at args\[1\]\[0\]: .*made of stone") as caught:
        process_pool.apply_async(add, (1, [Unpicklable()]))
    assert caught.value.path == "args[1][0]"
    with pytest.raises(PicklingError, match=r"kwds\['right'\]"):
        process_pool.apply(add, (1,), {"right": Unpicklable()})
    for chunksize in (None, 1, 3):
        with pytest.raises(PicklingError, match=r"items\[5\]") as caught:
            process_pool.map(identity, [1, 2, 3, 4, 5, Unpicklable()], chunksize)
        with pytest.raises(PicklingError, match=r"items\[5\]"):
            process_pool.map_async(identity, [1, 2, 3, 4, 5, Unpicklable()], chunksize)
    results = process_pool.imap(identity, [1, Unpicklable(), 3])
    assert next(results) == 1
    with pytest.raises(PicklingError):
        next(results)
    assert next(results) == 3
    assert process_pool.apply(double, (1,)) == 2
    assert process_pool.statistics().outstanding == 0


def test_the_path_to_an_argument_is_said_once(fork_pool: Pool) -> None:
    for chunksize in (None, 1, 2):
        with pytest.raises(PicklingError) as caught:
            fork_pool.map(identity, [1, {"k": threading.Lock()}], chunksize)
        assert " at items[1]['k']: " in str(caught.value)
        assert str(caught.value).count("['k']") == 1
        assert caught.value.path == "items[1]['k']"


def test_an_argument_that_fails_to_unpickle_fails_its_task(process_pool: Pool) -> None:
    bad, good = process_pool.apply_async(identity, (FailsToUnpickle(),)), process_pool.apply_async(double, (1,))
    with pytest.raises(UnpicklingError, match="-7 is negative"):
        bad.get()
    assert good.get() == 2
    results = process_pool.imap(identity, [1, FailsToUnpickle(), 3])
    assert next(results) == 1
    with pytest.raises(UnpicklingError):
        next(results)
    assert next(results) == 3


def test_results_that_cannot_be_pickled(process_pool: Pool) -> None:
    with pytest.raises(multiprocessing.pool.MaybeEncodingError, match="made of stone") as caught:
        process_pool.apply(make, ("unpicklable",))
    assert isinstance(caught.value, PicklingError)
    assert "make('unpicklable')" in str(caught.value) or "make" in str(caught.value)
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    with pytest.raises(multiprocessing.pool.MaybeEncodingError):
        process_pool.map(make, ["plain", "unpicklable"])
    assert process_pool.apply(double, (1,)) == 2


def test_results_that_fail_to_unpickle_fail_their_task(process_pool: Pool) -> None:
    kinds = ["plain", "fails"] * 5
    results = process_pool.imap(make, kinds)
    for kind in kinds:
        if kind == "plain":
            assert next(results) == 1
        else:
            with pytest.raises(UnpicklingError, match="-7 is negative"):
                next(results)


@pytest.mark.parametrize(("kind", "name"), [("awkward", "AwkwardError"), ("unpicklable", "ValueError")])
def test_exceptions_that_cannot_travel(fork_pool: Pool, kind: str, name: str) -> None:
    with pytest.raises(multiprocessing.pool.MaybeEncodingError, match=name) as caught:
        fork_pool.apply(raise_awkward, (kind,))
    assert "in raise_awkward" in str(caught.value.__cause__)


def test_exceptions_bring_the_remote_traceback(process_pool: Pool) -> None:
    with pytest.raises(ValueError, match="-1 is negative") as caught:
        process_pool.map(raise_for, [1, 2, -1, 4])
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    assert "in raise_for" in str(caught.value.__cause__)


# Death


@pytest.mark.parametrize("chunksize", [None, 1])
def test_a_poison_item_fails_alone_and_is_named(process_pool: Pool, chunksize: int | None) -> None:
    with pytest.raises(WorkerDied, match=r"SIGKILL.*die_for\(-9\), item 3") as caught:
        process_pool.map(die_for, [0, 1, 2, -9, 4], chunksize)
    assert caught.value.exitcode == -9
    assert caught.value.pid not in (None, os.getpid())
    assert process_pool.map(double, range(10)) == list(range(0, 20, 2))
    assert process_pool.statistics().deaths == 1


def test_poison_among_good_tasks(fork_pool: Pool) -> None:
    numbers = [-9 if n % 50 == 7 else n for n in range(200)]
    results, lost = [], 0
    iterator = fork_pool.imap(die_for, numbers)
    for number in numbers:
        if number < 0:
            with pytest.raises(WorkerDied):
                next(iterator)
            lost += 1
        else:
            results.append(next(iterator) == number)
    assert lost == 4
    assert results == [True] * 196


def test_other_ways_to_die(fork_pool: Pool) -> None:
    for call, args, match in (
        (leave, (3,), "exited with code 3"),
        (leave, (0,), "exited with code 0"),
        (os._exit, (5,), "exited with code 5"),
        (die_for, (-signal.SIGSEGV,), "SIGSEGV"),
        (die_for, (-signal.SIGTERM,), "SIGTERM"),
    ):
        with pytest.raises(WorkerDied, match=match):
            fork_pool.apply(call, args)
    assert fork_pool.apply(double, (1,)) == 2


def interrupt(_: object) -> None:
    raise KeyboardInterrupt


def test_a_task_in_a_thread_does_not_end_its_caller(thread_pool: Pool) -> None:
    for call, argument, code in ((leave, 3, 3), (leave, "oh", 1), (leave, None, 0), (interrupt, None, 1)):
        with pytest.raises(WorkerDied, match=f"exited with code {code} while working on {call.__name__}") as caught:
            thread_pool.apply(call, (argument,))
        assert caught.value.exitcode == code
    with pytest.raises(WorkerDied):
        thread_pool.map(leave, range(4), 2)
    assert thread_pool.apply(double, (1,)) == 2


def test_an_idle_worker_killed_costs_nothing(process_pool: Pool) -> None:
    process_pool.map(double, range(10), 1)
    for round_ in range(2):
        for worker in process_pool._pool:
            os.kill(worker.pid, signal.SIGKILL)
        assert process_pool.map(double, range(100), 1) == list(range(0, 200, 2)), round_
    assert process_pool.statistics().outstanding == 0


def test_killed_from_outside_while_busy(fork_pool: Pool) -> None:
    event = procession.get_context("fork").Event()
    result = fork_pool.apply_async(kill_me_when, (event,))
    other = fork_pool.apply_async(double, (1,))
    assert other.get() == 2
    event.set()
    with pytest.raises(WorkerDied, match="kill_me_when"):
        result.get()


def kill_me_when(event: Any) -> None:
    event.wait()
    os.kill(os.getpid(), signal.SIGKILL)


def test_random_kills_lose_only_what_was_held(fork_pool: Pool) -> None:
    """Whoever is killed, every item either gives its result or says that its worker died."""
    stop = threading.Event()
    kills = itertools.count()

    def kill() -> None:
        while not stop.wait(0.02):
            for worker in fork_pool._pool[:1]:
                if worker.exitcode is None:
                    os.kill(worker.pid, signal.SIGKILL)
                    next(kills)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        lost = right = 0
        iterator = fork_pool.imap(double, range(20_000))
        for number in range(20_000):
            try:
                right += next(iterator) == 2 * number
            except WorkerDied:
                lost += 1
    finally:
        stop.set()
        killer.join()
    assert right + lost == 20_000
    assert lost <= next(kills)


def fail_to_start(*_: object) -> None:
    raise LookupError("nothing to initialize")


def die_at_start() -> None:
    os._exit(7)


def test_an_initializer_that_raises_breaks_the_pool(context: Any) -> None:
    pool = context.Pool(2, fail_to_start, (1,))
    with pytest.raises(PoolBroken, match=r"LookupError.*nothing to initialize") as caught:
        pool.map(double, range(10))
    assert isinstance(caught.value.__cause__, LookupError)
    with pytest.raises(PoolBroken):
        pool.apply_async(double, (1,))
    pool.terminate()
    pool.join()


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_workers_that_die_at_start_break_the_pool(method: str) -> None:
    pool = procession.get_context(method).Pool(2, die_at_start)
    result = pool.apply_async(double, (1,))
    with pytest.raises(PoolBroken, match="exited with code 7"):
        result.get()
    with pytest.raises(PoolBroken):
        pool.imap(double, [1])
    pool.terminate()
    pool.join()


# The end


def test_close_and_join_finish_what_was_submitted(context: Any) -> None:
    pool = context.Pool(2)
    results = pool.map_async(double, range(100), 1)
    iterator = pool.imap(double, range(500))
    with pytest.raises(ValueError, match="still running"):
        pool.join()
    pool.close()
    pool.close()
    for call in (pool.map, pool.imap, pool.imap_unordered, pool.map_async, pool.starmap):
        with pytest.raises(ValueError, match="Pool not running"):
            call(double, [1])
    with pytest.raises(ValueError, match="Pool not running"):
        pool.apply(double, (1,))
    pool.join()
    assert results.get(0) == list(range(0, 200, 2))
    assert list(iterator) == list(range(0, 1000, 2))
    assert "CLOSE" in repr(pool)


def test_terminate_is_prompt_and_fails_what_is_out(process_context: Any) -> None:
    pool = process_context.Pool(2)
    event = process_context.Event()
    results = [pool.apply_async(wait_for, (event,)) for _ in range(5)]
    pool.terminate()
    pool.join()
    assert all(worker.exitcode is not None for worker in pool._pool)
    for result in results:
        with pytest.raises(PoolTerminated):
            result.get()
    with pytest.raises(ValueError, match="Pool not running"):
        pool.apply(double, (1,))
    pool.terminate()


def test_terminate_wakes_who_waits(fork_pool: Pool) -> None:
    event = procession.get_context("fork").Event()
    result = fork_pool.apply_async(wait_for, (event,))
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            result.get()
        except PoolTerminated as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    wait_until(lambda: fork_pool.statistics().waiting == 0)
    fork_pool.terminate()
    thread.join()
    assert len(errors) == 1


def test_with_terminates(context: Any) -> None:
    with context.Pool(1) as pool:
        assert pool.apply(double, (1,)) == 2
    with pytest.raises(ValueError, match="Pool not running"):
        pool.apply(double, (1,))
    with pytest.raises(ValueError, match="Pool not running"), pool:
        pass
    pool.join()


def test_a_forgotten_pool_warns_and_ends(process_context: Any) -> None:
    pool = process_context.Pool(1)
    pids = [worker.pid for worker in pool._pool]
    with pytest.warns(ResourceWarning, match="unclosed running"):
        del pool
    wait_until(lambda: not set(pids) & set(descendants(os.getpid())))


def test_results_outlive_their_pool(fork_pool: Pool) -> None:
    result = fork_pool.apply_async(double, (1,))
    result.wait()
    fork_pool.terminate()
    assert result.get() == 2


@pytest.mark.parametrize("processes", [0, -1])
def test_too_few_processes(context: Any, processes: int) -> None:
    with pytest.raises(ValueError, match=f"at least 1, not {processes}"):
        context.Pool(processes)


def test_wrong_arguments(context: Any) -> None:
    with pytest.raises(ValueError, match="maxtasksperchild"):
        context.Pool(1, maxtasksperchild=0)
    with pytest.raises(TypeError, match="initializer"):
        context.Pool(1, initializer=3)
    with context.Pool(1) as pool, pytest.raises(ValueError, match="Chunksize must be 1"):
        pool.imap(double, [1], 0)
    pool.join()


def test_a_number_of_processes_that_is_none() -> None:
    for processes in ("2", 2.0):
        with pytest.raises(TypeError, match=f"processes must be an int, not {type(processes).__name__}"):
            procession.get_context("fork").Pool(processes)


def test_a_pool_cannot_be_pickled(fork_pool: Pool) -> None:
    with pytest.raises(NotImplementedError, match="cannot be passed"):
        pickle.dumps(fork_pool)
    with pytest.raises(NotSupported):
        fork_pool.apply(identity, (fork_pool,))


def nested(_: object) -> str:
    try:
        procession.get_context("fork").Pool(1)
    except AssertionError as error:
        return str(error)
    return "was allowed"


def test_workers_may_have_no_children(fork_pool: Pool) -> None:
    assert "not allowed to have children" in fork_pool.apply(nested, (0,))


def test_a_forked_child_cannot_use_its_parents_pool(fork_pool: Pool) -> None:
    def use(queue: Any) -> None:
        try:
            fork_pool.apply(double, (1,))
        except PoolBroken as error:
            queue.put(str(error))

    context = procession.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=use, args=(queue,))
    process.start()
    assert f"belongs to process {os.getpid()}" in queue.get(timeout=20)
    process.join()
    assert fork_pool.apply(double, (1,)) == 2


def test_pools_made_in_threads() -> None:
    results: list[Any] = []

    def work() -> None:
        with procession.get_context("fork").Pool(1) as pool:
            results.append(pool.map(double, range(10)))
        pool.join()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [list(range(0, 20, 2))] * 4


def test_a_pool_made_in_a_thread_outlives_it() -> None:
    pools: list[Pool] = []
    thread = threading.Thread(target=lambda: pools.append(procession.get_context("fork").Pool(1)))
    thread.start()
    thread.join()
    (pool,) = pools
    with pool:
        pids = {pool.apply(own_pid) for _ in range(20)}
        assert len(pids) == 1
    pool.join()


# Whole programs


def start_program(body: str, **options: Any) -> subprocess.Popen[str]:
    code = "import procession, os, sys, signal, time\n" + textwrap.dedent(body)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    return subprocess.Popen([sys.executable, "-c", code], **pipes, **options)


def group_is_gone(pgid: int) -> bool:
    """Whether no process of the group runs; the dead may still wait to be collected by whoever inherited them."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as file:
                    state, _, group = file.read().rpartition(")")[2].split()[:3]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(group) == pgid and state != "Z":
                return False
    return True


def test_ctrl_c_gives_one_traceback_and_leaves_no_process() -> None:
    program = start_program("""
        pool = procession.get_context("fork").Pool(2)
        pool.map(abs, range(100), 1)
        result = pool.map_async(time.sleep, [60] * 4, 1)
        print("ready", flush=True)
        result.get()
    """)
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    os.killpg(program.pid, signal.SIGINT)
    _, errors = program.communicate(timeout=20)
    assert errors.count("Traceback (most recent call last)") == 1, errors
    assert "KeyboardInterrupt" in errors
    wait_until(lambda: group_is_gone(program.pid))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_no_orphans_when_the_parent_is_killed(method: str) -> None:
    program = start_program(
        f"""
        pool = procession.get_context({method!r}).Pool(2)
        pool.map(abs, range(100), 1)
        print("ready", flush=True)
        sys.stdin.read()
    """,
        stdin=subprocess.PIPE,
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    program.kill()
    program.communicate(timeout=20)
    wait_until(lambda: group_is_gone(program.pid))


def test_busy_forked_workers_end_with_their_parent() -> None:
    program = start_program(
        """
        pool = procession.get_context("fork").Pool(2)
        pool.map_async(time.sleep, [60] * 4, 1)
        while pool.statistics().waiting > 2:
            time.sleep(0.001)
        print("ready", flush=True)
        sys.stdin.read()
    """,
        stdin=subprocess.PIPE,
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    program.kill()
    program.communicate(timeout=20)
    wait_until(lambda: group_is_gone(program.pid))


@pytest.mark.parametrize("context", ["fork", "thread"])
def test_a_forgotten_pool_does_not_hold_up_the_exit(context: str) -> None:
    program = start_program(f"""
        pool = procession.get_context({context!r}).Pool(2)
        pool.map_async(abs, range(1000), 1, callback=print)
        pool.apply_async(time.sleep, (60,))
    """)
    _, errors = program.communicate(timeout=20)
    assert program.returncode == 0, errors
    assert "Traceback" not in errors
    wait_until(lambda: group_is_gone(program.pid))


@pytest.mark.skipif(cloudpickle is None, reason="needs cloudpickle")
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_functions_typed_at_a_prompt(method: str) -> None:
    program = start_program(f"""
        pool = procession.get_context({method!r}).Pool(1)
        def triple(number): return 3 * number
        print(pool.map(triple, [1, 2]), pool.apply(triple, (3,)))
        pool.close()
        pool.join()
    """)
    out, errors = program.communicate(timeout=20)
    assert out == "[3, 6] 9\n", errors


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_functions_read_from_standard_input(method: str) -> None:
    program = f"""if True:
        import procession, sys
        sys.modules["cloudpickle"] = None
        def triple(number): return 3 * number
        with procession.get_context({method!r}).Pool(1) as pool:
            pool.apply(triple, (3,))
    """
    done = subprocess.run([sys.executable], input=textwrap.dedent(program), capture_output=True, text=True, timeout=20)
    last = done.stderr.splitlines()[-1]
    assert "Can't get attribute 'triple'" in last, done.stderr
    assert "get_context('fork')" in last
    assert "cloudpickle" in last


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_missing_guard_is_told_once(method: str, tmp_path: Path) -> None:
    script = tmp_path / "unguarded.py"
    script.write_text(f"""\
import procession
pool = procession.get_context({method!r}).Pool(2)
print(pool.map(abs, [-1]))
""")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 1, done.stderr
    assert "PoolBroken" in done.stderr
    assert 'if __name__ == "__main__":' in done.stderr
