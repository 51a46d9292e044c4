"""map_reduce_by_key: every reducer against plain Python, every kind of input, and the bad ones."""

from __future__ import annotations

import itertools
import operator
import os
import random
import threading
import weakref
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from keyed_tasks import SMALL, as_given, parity, sevens, words

import procession
from procession.gather import Batches, top
from procession.pool import Pool
from procession.pool.board import KeyedProgress

pytestmark = pytest.mark.watchdog(30)


@pytest.fixture(scope="module")
def fork_pool() -> Iterator[Pool]:
    with procession.get_context("fork").Pool(2) as pool:
        yield pool
    pool.join()


@pytest.fixture(scope="module", params=["fork", "forkserver", "spawn", "thread"])
def pool(request: pytest.FixtureRequest) -> Iterator[Pool]:
    with procession.get_context(request.param).Pool(2) as pool:
        yield pool
    pool.join()


# What maps and reduces here


def generated(number: int) -> Iterator[tuple[str, int]]:
    for digit in str(number):
        yield digit, number


def spread(key: Any, values: Iterable[Any]) -> tuple[Any, Any]:
    values = list(values)
    return min(values), max(values)


def typed(key: Any) -> Any:
    """A key that tells 1, 1.0 and True apart, as the answer does."""
    return tuple(map(typed, key)) if isinstance(key, tuple) else (type(key), key)


def in_plain_python(reduce: str, batches: list[list[tuple[Any, Any]]]) -> dict[Any, Any]:
    grouped: dict[Any, list[Any]] = defaultdict(list)
    for batch in batches:
        for key, value in batch:
            grouped[typed(key)].append(value)
    functions: dict[str, Any] = {
        "sum": sum,
        "mean": lambda values: sum(values) / len(values),
        "min": min,
        "max": max,
        "first": operator.itemgetter(0),
        "list": list,
        "set": frozenset,
        "top": lambda values: sorted(values, reverse=True)[:3],
        "reduce": lambda values: (min(values), max(values)),
        "combine": sum,
    }
    return {key: functions[reduce](values) for key, values in grouped.items()}


def random_key(chance: random.Random) -> Any:
    number = int(chance.expovariate(0.02))
    kinds = (str, int, float, bool, lambda n: str(n).encode(), lambda n: (n, str(n)), lambda n: "ä" * (n % 50))
    return chance.choice([*kinds, lambda _: None])(number)


def random_batches(seed: int) -> list[list[tuple[Any, Any]]]:
    """Values are whole numbers and quarters, so that sums are exact in any order."""
    chance = random.Random(seed)
    values = (lambda: chance.randrange(-(10**6), 10**6), lambda: chance.randrange(-1000, 1000) / 4)
    return [
        [(random_key(chance), chance.choice(values)()) for _ in range(chance.choice([0, 1, 5, 300]))]
        for _ in range(chance.choice([0, 1, 40, 60]))
    ]


REDUCERS: dict[str, dict[str, Any]] = {
    **{name: {"reduce": name} for name in ("sum", "mean", "min", "max", "first", "list", "set")},
    "top": {"reduce": top(3)},
    "reduce": {"reduce": spread},
    "combine": {"combine": operator.add},
}


@pytest.mark.parametrize("budget", [None, SMALL], ids=["in memory", "spilled"])
@pytest.mark.parametrize("name", REDUCERS)
def test_each_reducer_against_plain_python(fork_pool: Pool, name: str, budget: int | None, tmp_path: Path) -> None:
    for seed in range(4):
        batches = random_batches(seed)
        result = fork_pool.map_reduce_by_key(
            as_given, batches, memory_budget=budget, spill_dir=tmp_path, **REDUCERS[name]
        )
        assert {typed(key): value for key, value in result.items()} == in_plain_python(name, batches), seed
        assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("budget", [None, SMALL], ids=["in memory", "spilled"])
def test_count_against_plain_python(fork_pool: Pool, budget: int | None) -> None:
    for seed in range(4):
        batches = [[key for key, _ in batch] for batch in random_batches(seed)]
        result = fork_pool.map_reduce_by_key(as_given, batches, "count", memory_budget=budget)
        counted = Counter(typed(key) for batch in batches for key in batch)
        assert {typed(key): value for key, value in result.items()} == counted, seed


def test_a_table_that_overflows_many_times(fork_pool: Pool) -> None:
    texts = [" ".join(f"{n % 5000} {n} x" for n in range(at, at + 2000)) for at in range(0, 40_000, 2000)]
    result = fork_pool.map_reduce_by_key(words, texts, "count", memory_budget=SMALL)
    assert result.to_dict() == Counter(word for text in texts for word in text.split())
    took = result.statistics
    assert took.spilled_bytes == took.run_bytes > 100_000
    assert took.runs > 2
    assert (took.items, took.keys, took.pairs) == (20, 40_001, 120_000)


def long_keys(number: int) -> Any:
    keys = [f"{'k' * 40}{(number * 3000 + n) % 50_000}" for n in range(5000)]
    return keys, [f"{'v' * 40}{number % 5}"] * len(keys)


@pytest.mark.parametrize("name", ["set", "list", "reduce"])
def test_an_answer_of_several_parts(fork_pool: Pool, name: str) -> None:
    """Large enough for both tables to be merged in ranges, by both workers."""
    seen: list[KeyedProgress] = []
    result = fork_pool.map_reduce_by_key(long_keys, range(30), progress=seen.append, **REDUCERS[name])
    assert result.statistics.run_bytes > 4 << 20
    expected = in_plain_python(name, [list(zip(*long_keys(number), strict=True)) for number in range(30)])
    assert {typed(key): value for key, value in result.items()} == expected
    assert seen[-1].bytes == seen[-1].total_bytes


# Every way of starting workers


def test_in_every_context(pool: Pool) -> None:
    texts = ["a b c", "b c d", ""] * 40
    assert pool.map_reduce_by_key(words, texts, "count").to_dict() == {"a": 40, "b": 80, "c": 80, "d": 40}
    assert pool.map_reduce_by_key(sevens, range(3000), "list", memory_budget=SMALL) == {
        key: list(range(key, 3000, 7)) for key in range(7)
    }
    assert pool.map_reduce_by_key(sevens, iter(range(3000)), combine=operator.add) == {
        key: sum(range(key, 3000, 7)) for key in range(7)
    }
    assert pool.map_reduce_by_key(parity, range(100), spread) == {0: (0, 98), 1: (1, 99)}
    with pytest.raises(ZeroDivisionError) as raised:
        pool.map_reduce_by_key(one_over, [1, 0], "sum")
    assert "one_over(0), item 1" in raised.value.__notes__[0]
    assert pool.map_reduce_by_key(words, [], "count").to_dict() == {}


def one_over(number: int) -> dict[int, float]:
    return {number: 1 / number}


# What is mapped


def test_order_is_that_of_the_items_whoever_was_faster(fork_pool: Pool) -> None:
    for chunksize in (None, 1, 7):
        result = fork_pool.map_reduce_by_key(sevens, range(2000), "list", chunksize=chunksize)
        assert result == {key: list(range(key, 2000, 7)) for key in range(7)}
        assert fork_pool.map_reduce_by_key(sevens, range(2000), "first", chunksize=chunksize) == {
            k: k for k in range(7)
        }


@pytest.mark.parametrize(
    "items", [[5, 17], (5, 17), range(5, 18, 12), {5: 0, 17: 0}, iter([5, 17])], ids=lambda items: type(items).__name__
)
def test_kinds_of_items(fork_pool: Pool, items: Any) -> None:
    assert fork_pool.map_reduce_by_key(generated, items, "sum") == {"5": 5, "1": 17, "7": 17}


def test_an_endless_iterator_is_read_only_a_little_ahead(fork_pool: Pool) -> None:
    with pytest.raises(ZeroDivisionError):
        fork_pool.map_reduce_by_key(one_over, itertools.count(), "sum")


def test_few_of_an_iterators_items_are_kept(fork_pool: Pool) -> None:
    """Items can be mapped again until a share has returned them, so shares return now and then."""
    texts = [f"{number} " * 10_000 for number in range(10_000, 10_300)]
    alive: weakref.WeakSet[Text] = weakref.WeakSet()
    most = 0

    def read() -> Iterator[Text]:
        nonlocal most
        for text in texts:
            item = Text(text)
            alive.add(item)
            most = max(most, len(alive))
            yield item

    result = fork_pool.map_reduce_by_key(words, read(), "count", memory_budget=SMALL)
    assert result == {text.split()[0]: 10_000 for text in texts}
    assert most < 200
    assert 4 <= result.statistics.runs <= 100


class Text(str):
    """A str that can be watched."""


def test_an_iterator_that_raises(fork_pool: Pool) -> None:
    def numbers() -> Iterator[int]:
        yield 1
        raise KeyError("no more")

    with pytest.raises(KeyError, match="no more"):
        fork_pool.map_reduce_by_key(sevens, numbers(), "sum")


def test_the_items_may_come_from_the_same_pool(fork_pool: Pool) -> None:
    """Its tasks need the workers that wait for what they give."""
    numbers = fork_pool.imap(as_given, range(500), chunksize=10)
    assert fork_pool.map_reduce_by_key(parity, numbers, "sum") == {0: sum(range(0, 500, 2)), 1: sum(range(1, 500, 2))}


def test_other_calls_of_the_pool_go_on_meanwhile(fork_pool: Pool) -> None:
    asked: list[Any] = []

    def numbers() -> Iterator[int]:
        for number in range(3):
            asked.append(fork_pool.apply(as_given, (number,)))
            yield number

    assert len(fork_pool.map_reduce_by_key(sevens, numbers(), "sum")) == 3
    assert asked == [0, 1, 2]


def test_several_calls_at_a_time(fork_pool: Pool) -> None:
    results: list[Any] = [None] * 4

    def call(number: int) -> None:
        results[number] = fork_pool.map_reduce_by_key(sevens, range(number, 2000), "sum").to_dict()

    threads = [threading.Thread(target=call, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, result in enumerate(results):
        assert result == {key: sum(n for n in range(number, 2000) if n % 7 == key) for key in range(7)}


class Divided:
    """An input that divides itself, as files do: pieces of numbers, handed out from the last to the first."""

    class Plan:
        pieces: list[Any]
        size_bytes = 1000

    class Piece:
        def __init__(self, order: int, texts: list[str]) -> None:
            self.order, self.texts, self.place = order, texts, f"piece {order}"

    def __init__(self, pieces: list[list[str]]) -> None:
        self.pieces = pieces
        self.open = 0

    @contextmanager
    def divide(self, workers: int) -> Iterator[Any]:
        plan = self.Plan()
        plan.pieces = [self.Piece(order, texts) for order, texts in enumerate(self.pieces)][::-1]
        self.open += workers
        try:
            yield plan
        finally:
            self.open -= workers

    def read(self, piece: Any) -> Iterator[str]:
        if "unreadable" in piece.texts:
            raise OSError(5, "cannot be read")
        yield from piece.texts


def lengths(text: str) -> list[tuple[int, str]]:
    return [(len(text), text)]


def test_an_input_that_divides_itself(fork_pool: Pool) -> None:
    divided = Divided([["a", "bb"], [], ["c", "dd", "e"]])
    seen: list[KeyedProgress] = []
    result = fork_pool.map_reduce_by_key(lengths, divided, "list", progress=seen.append)
    assert result == {1: ["a", "c", "e"], 2: ["bb", "dd"]}
    assert divided.open == 0
    assert (result.statistics.items, result.statistics.input_bytes) == (5, 7)
    assert (seen[0].bytes, seen[0].total_bytes, seen[0].total_items) == (7, 1000, None)


def test_a_piece_that_cannot_be_read(fork_pool: Pool) -> None:
    divided = Divided([["a"], ["unreadable"]])
    with pytest.raises(OSError, match="cannot be read") as raised:
        fork_pool.map_reduce_by_key(lengths, divided, "list")
    assert "piece 1" in raised.value.__notes__[0]
    assert divided.open == 0


# What the map function gives


def in_batches(number: int) -> Batches:
    return Batches([(n, number)] for n in range(number))


def nothing(number: int) -> None:
    return None


def test_batches(fork_pool: Pool) -> None:
    assert fork_pool.map_reduce_by_key(in_batches, [1, 3], "list") == {0: [1, 3], 1: [3], 2: [3]}


def test_nothing_at_all(fork_pool: Pool) -> None:
    for reduce in ("count", "sum", "set"):
        result = fork_pool.map_reduce_by_key(nothing, range(10), reduce)
        assert len(result) == 0
        assert result.to_dict() == {}


@pytest.mark.parametrize(
    ("produced", "message"),
    [(3, "int"), ([("key",)], "key"), ([({}, 1)], "dict"), ([("key", "text")], "'text'"), (object, "type")],
    ids=["no iterable", "no pair", "no key", "no number", "nonsense"],
)
def test_garbage_is_refused_and_the_item_named(fork_pool: Pool, produced: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message) as raised:
        fork_pool.map_reduce_by_key(as_given, [[("key", 1)], produced], "sum")
    assert "item 1" in raised.value.__notes__[-1]
    assert fork_pool.map_reduce_by_key(as_given, [[("key", 1)]], "sum") == {"key": 1}


def test_one_key_with_everything(fork_pool: Pool) -> None:
    result = fork_pool.map_reduce_by_key(constant, range(200), "sum", memory_budget=SMALL)
    assert result == {"key": 200 * 500}


def constant(number: int) -> Any:
    return ["key"] * 500, itertools.repeat(1)
