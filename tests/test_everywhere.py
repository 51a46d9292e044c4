"""The shared programs: the same names, the same results, wherever work runs and wherever state lives."""

import asyncio
import operator
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import as_completed
from typing import Any

import everywhere_tasks as tasks
import numpy as np
import pytest

from procession.errors import NotSupported, PicklingError, RemoteTraceback, ResultUnpicklable, TaskErrors

LINES = ["the quick brown fox", "jumps over the lazy dog", "the end"] * 20
WAIT_S = 30.0


@pytest.fixture(scope="module")
def pool(engine: Any) -> Iterator[Any]:
    """One for all programs of an engine: a spawned one takes a third of a second."""
    with engine.Pool(2) as pool:
        assert pool.map(abs, [-1]) == [1]
        yield pool
    pool.join()


# Pools


def test_a_parallel_sum(pool: Any) -> None:
    assert sum(pool.map(tasks.square, range(1000))) == sum(number * number for number in range(1000))
    assert pool.map(tasks.square, []) == []


def test_word_count_by_map_reduce(pool: Any) -> None:
    expected = Counter(word for line in LINES for word in line.split())
    assert pool.map_reduce(tasks.words, LINES, operator.add) == expected
    assert pool.map_reduce(tasks.words, iter(LINES), operator.add, chunksize=7, initial=Counter(end=1)) == expected + (
        Counter(end=1)
    )


def test_iterators_keep_the_order_or_not(pool: Any) -> None:
    squares = [number * number for number in range(100)]
    assert list(pool.imap(tasks.square, range(100))) == squares
    assert list(pool.imap(tasks.square, range(100), chunksize=7)) == squares
    assert sorted(pool.imap_unordered(tasks.square, range(100), chunksize=3)) == squares


def test_an_endless_input_is_read_only_ahead(pool: Any) -> None:
    read = 0

    def endless() -> Any:
        nonlocal read
        while True:
            yield read
            read += 1

    answers = pool.imap(tasks.square, endless())
    assert [next(answers) for _ in range(10)] == [number * number for number in range(10)]
    assert read < 200


def test_calls_with_arguments(pool: Any) -> None:
    assert pool.starmap(pow, [(2, 3), (3, 2)]) == [8, 9]
    assert pool.apply(pow, (2, 5)) == 32
    assert pool.apply(pow, (2, 5), {"mod": 7}) == 4
    told: list[Any] = []
    result = pool.map_async(tasks.square, range(3), callback=told.append)
    assert result.get(WAIT_S) == [0, 1, 4]
    assert told == [[0, 1, 4]]


def test_closures_travel(pool: Any) -> None:
    factor = 3
    assert pool.map(lambda number: factor * number, range(3)) == [0, 3, 6]


def test_objects_travel_both_ways(pool: Any) -> None:
    (mirrored,) = pool.map(tasks.mirror, [tasks.Point(2)])
    assert type(mirrored) is tasks.Point
    assert mirrored.x == -2
    table = np.arange(50_000.0)
    assert all((one == table * 2).all() for one in pool.starmap(tasks.scaled, [(table, 2)] * 3))


def test_exceptions_arrive_with_their_facts(pool: Any, engine: Any) -> None:
    with pytest.raises(tasks.Insolvent, match="7 is too much") as caught:
        pool.map(tasks.withdraw, [1, 7, 9])
    assert type(caught.value) is tasks.Insolvent
    if isinstance(caught.value.__cause__, RemoteTraceback):  # not of a thread: it has the traceback itself
        assert "in withdraw" in caught.value.__cause__.text
    else:
        assert caught.traceback[-1].name == "withdraw"
    results = pool.map(tasks.withdraw, [1, 7, 2], chunksize=3, return_exceptions=True)
    assert results[::2] == [1, 2]
    assert type(results[1]) is tasks.Insolvent
    with pytest.raises(TaskErrors) as group:
        pool.map(tasks.withdraw, range(4, 9), on_error="group")
    assert [str(error) for error in group.value.exceptions] == [f"{amount} is too much" for amount in (6, 7, 8)]
    answers = pool.imap(tasks.withdraw, [1, 7, 2])
    assert next(answers) == 1
    with pytest.raises(tasks.Insolvent):
        next(answers)
    assert next(answers) == 2


def test_what_cannot_be_sent_is_named(pool: Any, shares_memory: bool) -> None:
    if shares_memory:
        assert pool.apply(tasks.square, (3,)) == 9
        return
    with pytest.raises(PicklingError, match=r"items\[1\]"):
        pool.map(tasks.square, [1, threading.Lock()], chunksize=1)
    with pytest.raises(ResultUnpicklable, match="not_to_be_sent"):
        pool.map(tasks.not_to_be_sent, [1])
    assert pool.map(tasks.square, [2]) == [4]


def test_an_initializer_runs_before_the_first_task(engine: Any) -> None:
    tasks.prepared.clear()
    with engine.Pool(2, tasks.prepare, (7,)) as pool:
        assert 7 in pool.map(tasks.what_was_prepared, [0])[0]


def test_results_can_be_awaited(engine: Any) -> None:
    async def program(pool: Any) -> Any:
        first = await pool.apply_async(tasks.square, (3,))
        return first, [square async for square in pool.imap(tasks.square, range(3))]

    with engine.Pool(2) as pool:
        assert asyncio.run(program(pool)) == (9, [0, 1, 4])


def test_progress_is_told(pool: Any) -> None:
    seen: list[Any] = []
    assert len(pool.map(tasks.square, range(50), chunksize=5, progress=seen.append)) == 50
    assert (seen[-1].done, seen[-1].total) == (50, 50)


# Executors


def test_an_executor(engine: Any) -> None:
    with engine.Executor(2) as executor:
        assert executor.submit(tasks.square, 3).result(WAIT_S) == 9
        assert list(executor.map(tasks.square, range(5))) == [0, 1, 4, 9, 16]
        assert list(executor.map(tasks.square, range(5), chunksize=2)) == [0, 1, 4, 9, 16]
        futures = [executor.submit(tasks.square, number) for number in range(4)]
        assert sorted(future.result() for future in as_completed(futures, WAIT_S)) == [0, 1, 4, 9]
        with pytest.raises(tasks.Insolvent):
            executor.submit(tasks.withdraw, 9).result(WAIT_S)


# State


def made(home: Any, kind: str, *arguments: Any) -> Any:
    """A primitive of this home; the test ends here where the engine says that there is none, and what to use."""
    try:
        return getattr(home, kind)(*arguments)
    except NotSupported as error:
        pytest.skip(str(error))


def test_producers_and_consumers(engine: Any, home: Any) -> None:
    queue = made(home, "Queue")
    with engine.Pool(2) as pool:
        producers = [pool.apply_async(tasks.put_numbers, (queue, first, first + 25)) for first in (0, 25)]
        consumer = pool.apply_async(tasks.take_numbers, (queue, 40))
        assert [producer.get(WAIT_S) for producer in producers] == [25, 25]
        rest = [queue.get(timeout=WAIT_S) for _ in range(10)]
        assert consumer.get(WAIT_S) + sum(rest) == sum(range(50))


def test_a_bank_is_exact(engine: Any, home: Any) -> None:
    lock, account = made(home, "Lock"), made(home, "Value", "i", 0)
    with engine.Pool(2) as pool:
        pool.starmap(tasks.deposit, [(lock, account, 10)] * 4, chunksize=1)
    assert account.value == 40


def test_an_event_is_waited_for(engine: Any) -> None:
    event = made(engine, "Event")
    with engine.Pool(2) as pool:
        waiting = pool.apply_async(tasks.wait_for, (event,))
        event.set()
        assert waiting.get(WAIT_S) is True
