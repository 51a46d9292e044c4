"""Pools that carry on: items whose worker died are tried again, or fail alone; all other results arrive."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
from pool_tasks import die_for, double, raise_for

import procession
from procession.errors import TaskErrors, UnpicklingError, WorkerDied
from procession.pool import Pool
from procession.pool.completed import completed
from procession.pool.results import NO_LIMITS

pytestmark = pytest.mark.watchdog(30)


def die_first(numbered: tuple[int, Any]) -> int:
    """Dies at the first try; `tries` are counted by item, in shared memory."""
    number, tries = numbered
    tries[number] += 1
    if tries[number] == 1 and number % 3 == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def count(numbered: tuple[int, Any, int]) -> int:
    number, calls, poison = numbered
    calls[number] += 1
    if number == poison:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def count_slowly(numbered: tuple[int, Any, int, Any]) -> int:
    """Takes longer than results are held back."""
    number, calls, poison, never = numbered
    calls[number] += 1
    if number == poison:
        os.kill(os.getpid(), signal.SIGKILL)
    never.wait(0.005)
    return number


def counters(count: int) -> Any:
    return procession.get_context("fork").Array("i", count, lock=False)


@pytest.mark.parametrize("chunksize", [None, 1, 5])
@pytest.mark.parametrize("method", ["map", "imap", "imap_unordered"])
def test_retries_give_every_result(fork_pool: Pool, method: str, chunksize: int | None) -> None:
    tries = counters(12)
    items = [(number, tries) for number in range(12)]
    results = getattr(fork_pool, method)(die_first, items, chunksize or 1, retries=1)
    assert sorted(results) == list(range(12))
    assert [tries[number] for number in range(0, 12, 3)] == [2] * 4


def test_retries_of_a_single_call_and_of_a_pool() -> None:
    tries = counters(8)
    with procession.get_context("fork").Pool(1, retries=1) as pool:
        assert pool.apply(die_first, ((0, tries),)) == 0
        with pytest.raises(WorkerDied):
            pool.apply(die_first, ((3, tries),), retries=0)
        assert pool.starmap(pow, [(2, 3), (3, 2)], retries=3) == [8, 9]
        assert pool.map_reduce(die_first, [(6, tries), (7, tries)], int.__add__) == 13
    pool.join()


def test_a_poison_item_is_tried_so_often_and_no_more(process_pool: Pool) -> None:
    calls = counters(6)
    items = [(number, calls, 2) for number in range(6)]
    results = process_pool.map(count, items, 1, retries=2, return_exceptions=True)
    assert results[:2] + results[3:] == [0, 1, 3, 4, 5]
    assert isinstance(results[2], WorkerDied)
    assert "it was tried 3 times" in results[2].__notes__[0]
    assert list(calls) == [1, 1, 3, 1, 1, 1]


def test_an_item_that_was_not_tried_again_says_how_it_would_be(process_pool: Pool) -> None:
    results = process_pool.map(count, [(n, counters(2), 1) for n in range(2)], 1, return_exceptions=True)
    assert results[1].__notes__ == ["it was not tried again: retries=1 does that"]
    assert "retries" not in str(results[1])


def test_in_a_chunk_only_the_culprit_fails(process_pool: Pool) -> None:
    calls = counters(10)
    results = process_pool.map(count, [(n, calls, 4) for n in range(10)], 10, return_exceptions=True)
    assert results[:4] + results[5:] == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert isinstance(results[4], WorkerDied)
    assert "item 4" in results[4].item
    assert list(calls)[4:] == [1] * 6, "those behind it are done once"


@pytest.mark.slow
def test_what_a_chunk_did_long_ago_is_not_done_again(process_pool: Pool) -> None:
    never, calls = procession.get_context("fork").Event(), counters(10)
    items = [(n, calls, 7, never) for n in range(10)]
    results = process_pool.map(count_slowly, items, 10, return_exceptions=True)
    assert isinstance(results.pop(7), WorkerDied)
    assert results == [0, 1, 2, 3, 4, 5, 6, 8, 9]
    assert list(calls) == [1] * 10


def test_without_retries_a_task_is_never_done_twice(fork_pool: Pool) -> None:
    calls = counters(40)
    results = fork_pool.map(count, [(n, calls, n) for n in range(40)], 1, return_exceptions=True)
    assert all(isinstance(result, WorkerDied) for result in results)
    assert list(calls) == [1] * 40


def test_a_group_of_all_failures_with_the_results(pool: Pool) -> None:
    with pytest.raises(TaskErrors) as caught:
        pool.map(raise_for, [0, -1, 2, -3], 2, on_error="group")
    assert caught.value.results[0] == 0
    assert caught.value.results[2] == 2
    assert [str(error) for error in caught.value.exceptions] == ["-1 is negative", "-3 is negative"]
    assert caught.value.results[1] is caught.value.exceptions[0]
    assert caught.value.message == "2 of 4 calls of raise_for failed"
    assert pool.starmap(pow, [(1, 2), (2, "x")], on_error="first", return_exceptions=True)[0] == 1


def test_asynchronous_groups(pool: Pool) -> None:
    result = pool.map_async(raise_for, [0, -1], on_error="group")
    with pytest.raises(TaskErrors):
        result.get()
    assert not result.successful()
    returned = pool.map_async(raise_for, [-1, 5], return_exceptions=True)
    assert isinstance(returned.get()[0], ValueError)
    assert returned.successful()


def test_by_default_the_first_failure_is_raised(pool: Pool) -> None:
    with pytest.raises(ValueError, match="-1 is negative"):
        pool.map(raise_for, [0, -1, -2], 1)


def test_a_result_that_cannot_be_sent_fails_alone(process_pool: Pool) -> None:
    results = process_pool.map(unsendable_for, range(6), 6, return_exceptions=True)
    assert results[:3] + results[4:] == [0, 1, 2, 4, 5]
    assert isinstance(results[3], procession.errors.ResultUnpicklable)


def unsendable_for(number: int) -> Any:
    return threading.Lock() if number == 3 else number


def exit_for(number: int) -> int:
    if number == 3:
        sys.exit(7)
    return number


def test_a_chunk_survives_an_item_that_exits(process_pool: Pool) -> None:
    results = process_pool.map(exit_for, range(6), 6, return_exceptions=True)
    assert results[:3] + results[4:] == [0, 1, 2, 4, 5]
    assert results[3].exitcode == 7


def test_what_is_done_comes_with_its_place(pool: Pool) -> None:
    def numbers() -> Iterator[int]:
        yield from (0, -1, 2)
        raise LookupError("no more")

    answers = completed(pool._core, raise_for, numbers(), NO_LIMITS)
    got = {index: (is_value, str(value)) for index, is_value, value in islice(answers, 3)}
    assert got == {0: (True, "0"), 1: (False, "-1 is negative"), 2: (True, "2")}
    with pytest.raises(LookupError, match="no more"):
        next(answers)


class OnlyThere:
    """Can be unpickled in its parent only."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def __reduce__(self) -> Any:
        return _only_in, (self.pid,)


def _only_in(pid: int) -> OnlyThere:
    if os.getpid() != pid:
        raise LookupError("not here")
    return OnlyThere(pid)


def take(thing: Any) -> int:
    return 1


def test_an_argument_that_cannot_be_unpickled_fails_alone(fork_pool: Pool) -> None:
    items = [1, OnlyThere(os.getpid()), 3]
    results = fork_pool.map(take, items, 1, return_exceptions=True)
    assert [results[0], results[2]] == [1, 1]
    assert isinstance(results[1], UnpicklingError)


@pytest.mark.parametrize("chunksize", [1, 4])
def test_imap_goes_on_behind_a_death(process_pool: Pool, chunksize: int) -> None:
    iterator = process_pool.imap(die_for, [0, 1, -9, 3, 4, -9, 6, 7], chunksize)
    got = []
    while True:
        try:
            got.append(next(iterator))
        except StopIteration:
            break
        except WorkerDied as error:
            got.append(error.item)
    assert got == [0, 1, "die_for(-9), item 2", 3, 4, "die_for(-9), item 5", 6, 7]


def test_imap_gives_every_item_of_a_chunk_its_own_outcome(pool: Pool) -> None:
    iterator = pool.imap(raise_for, [0, -1, 2, -3, 4], 5)
    assert next(iterator) == 0
    with pytest.raises(ValueError, match="-1"):
        next(iterator)
    assert next(iterator) == 2
    with pytest.raises(ValueError, match="-3"):
        next(iterator)
    assert list(iterator) == [4]


def test_a_closed_pool_finishes_what_is_tried_again(fork_pool: Pool) -> None:
    tries = counters(7)
    result = fork_pool.map_async(die_first, [(n, tries) for n in range(7)], 3, retries=1)
    fork_pool.close()
    fork_pool.join()
    assert result.get() == list(range(7))


def put_at_second_try(tries: Any, done: Any) -> None:
    tries[0] += 1
    if tries[0] == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    done.put(tries[0])


@pytest.mark.parametrize("whose", ["call", "pool"])
@pytest.mark.parametrize("method", ["apply_async", "starmap_async"])
def test_it_is_tried_again_while_nobody_waits_for_the_result(fork: Any, method: str, whose: str) -> None:
    done = fork.Queue()
    given, pool_has, call_has = (counters(1), done), {"retries": 1}, {}
    if whose == "call":
        pool_has, call_has = call_has, pool_has
    with fork.Pool(1, **pool_has) as pool:
        result = getattr(pool, method)(put_at_second_try, given if method == "apply_async" else [given], **call_has)
        assert done.get(timeout=20) == 2
        result.get()


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ({"retries": -1}, ValueError, "retries must be 0 or more"),
        ({"retries": 1.5}, TypeError, "retries must be an int"),
        ({"timeout": 0}, ValueError, "timeout must be more than 0"),
        ({"timeout": "1"}, TypeError, "timeout must be a number"),
        ({"on_error": "all"}, ValueError, "on_error must be"),
    ],
)
def test_what_is_no_limit(fork_pool: Pool, given: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        fork_pool.map(double, [1], **given)


@pytest.mark.slow
def test_a_storm_of_kills_loses_nothing(fork_pool: Pool) -> None:
    """Every result, each once, whoever is killed."""
    stop, kills = threading.Event(), 0

    def kill() -> None:
        nonlocal kills
        while not stop.wait(0.005) and kills < 40:
            for worker in fork_pool._pool[:1]:
                if worker.exitcode is None:
                    os.kill(worker.pid, signal.SIGKILL)
                    kills += 1

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        assert fork_pool.map(double, range(30_000), 1, retries=40) == list(range(0, 60_000, 2))
    finally:
        stop.set()
        killer.join()
