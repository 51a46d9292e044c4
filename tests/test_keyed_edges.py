"""map_reduce_by_key: what it refuses, exceptions on the way, pools that end meanwhile, progress and statistics."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from keyed_tasks import SMALL, as_given, parity, sevens, words

import procession
from procession.errors import PicklingError, PoolTerminated
from procession.pool import Pool
from procession.pool.board import KeyedProgress
from procession.testing import Snapshot, wait_until

pytestmark = pytest.mark.watchdog(30)


@pytest.fixture(scope="module")
def fork_pool() -> Iterator[Pool]:
    with procession.get_context("fork").Pool(2) as pool:
        yield pool
    pool.join()


def spread(key: Any, values: Iterable[Any]) -> tuple[Any, Any]:
    values = list(values)
    return min(values), max(values)


# What is refused


def test_what_cannot_be_called(fork_pool: Pool, tmp_path: Path) -> None:
    call = fork_pool.map_reduce_by_key
    with pytest.raises(TypeError, match="takes a map function, and 3 cannot be called"):
        call(3, [], "count")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="neither was given"):
        call(words, [])
    with pytest.raises(TypeError, match="not iterable"):
        call(words, 3, "count")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Chunksize must be"):
        call(words, [], "count", chunksize=0)
    with pytest.raises(ValueError, match="retries is a number of times, 0 or more, not -1"):
        call(words, [], "count", retries=-1)
    with pytest.raises(NotADirectoryError, match="spill_dir is to be a directory"):
        call(words, [], "count", spill_dir=tmp_path / "missing")


def test_an_item_that_cannot_be_pickled(fork_pool: Pool) -> None:
    with pytest.raises(PicklingError) as raised:
        fork_pool.map_reduce_by_key(as_given, [[], [threading.Lock()]], "count")
    assert raised.value.path == "items[1][0]"


def test_workers_that_retire() -> None:
    with procession.get_context("fork").Pool(2, maxtasksperchild=1) as pool:
        for _ in range(3):
            result = pool.map_reduce_by_key(sevens, range(500), spread, memory_budget=SMALL)
            assert result == {key: (key, max(range(key, 500, 7))) for key in range(7)}
    pool.join()


def test_a_closed_pool() -> None:
    with procession.get_context("thread").Pool(1) as pool:
        pool.close()
        with pytest.raises(ValueError, match="Pool not running"):
            pool.map_reduce_by_key(words, ["a"], "count")
    pool.join()


# Exceptions on the way


def raise_for_odd(key: int, values: Iterable[int]) -> int:
    if key:
        raise LookupError("odd")
    return sum(values)


def refuse(left: int, right: int) -> int:
    raise LookupError(f"{left} and {right}")


def test_a_reducer_that_raises(fork_pool: Pool) -> None:
    with pytest.raises(LookupError, match="odd") as raised:
        fork_pool.map_reduce_by_key(parity, range(10), raise_for_odd)
    notes = "\n".join(raised.value.__notes__)
    assert "of the key 1" in notes
    assert "in worker" in notes
    assert "the reduce of reduce=raise_for_odd" in notes
    assert "raise_for_odd" in str(raised.value.__cause__)


def test_a_combine_that_raises(fork_pool: Pool) -> None:
    with pytest.raises(LookupError, match="0 and 2") as raised:
        fork_pool.map_reduce_by_key(parity, [0, 2], combine=refuse, chunksize=2)
    assert "parity(2), item 1" in "\n".join(raised.value.__notes__)


def test_an_interrupt_leaves_nothing_behind(fork_pool: Pool) -> None:
    def interrupted(_: KeyedProgress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fork_pool.map_reduce_by_key(sevens, itertools.count(), "list", progress=interrupted)
    wait_until(lambda: fork_pool.statistics().waiting == 0)
    assert fork_pool.map_reduce_by_key(sevens, range(7), "sum") == {n: n for n in range(7)}
    wait_until(lambda: fork_pool.apply(spools_open) == 0)


def spools_open() -> int:
    """Spools and answers in memory that this process has open."""
    found = Snapshot.take().descriptors.values()
    return sum("procession-spool" in target or "procession-answer" in target for target in found)


@pytest.mark.parametrize("method", ["fork", "thread"])
def test_a_pool_that_is_terminated_meanwhile(method: str) -> None:
    with procession.get_context(method).Pool(2) as pool:
        thread = threading.Thread(target=pool.terminate)

        def numbers() -> Iterator[int]:
            for number in itertools.count():
                if number == 1000:
                    thread.start()
                yield number

        with pytest.raises((PoolTerminated, ValueError)):
            pool.map_reduce_by_key(sevens, numbers(), "count")
        thread.join()
    pool.join()


def test_a_pool_that_is_closed_and_joined_meanwhile() -> None:
    with procession.get_context("fork").Pool(2) as pool:
        threads: list[threading.Thread] = []

        def close_and_join() -> None:
            pool.close()
            pool.join()

        def numbers() -> Iterator[int]:
            yield from range(1000)
            threads.append(threading.Thread(target=close_and_join))
            threads[0].start()
            wait_until(lambda: pool._state == "CLOSE")
            yield from range(1000)

        assert pool.map_reduce_by_key(parity, numbers(), spread) == {0: (0, 998), 1: (1, 999)}
        threads[0].join()


# Progress and statistics


def test_progress(fork_pool: Pool) -> None:
    seen: list[KeyedProgress] = []
    texts = ["a b c", "d e f"] * 500
    result = fork_pool.map_reduce_by_key(words, texts, "count", progress=seen.append)
    mapped = [told for told in seen if told.phase == "map"][-1]
    assert (mapped.items, mapped.total_items, mapped.bytes) == (1000, 1000, 5000)
    assert sum(worker.items for worker in mapped.workers) == 1000
    assert sum(worker.pairs for worker in mapped.workers) == 3000
    assert {worker.pid for worker in mapped.workers} <= {worker.pid for worker in fork_pool._pool}
    assert {worker.state for worker in mapped.workers} <= {"waiting", "map", "spill"}
    assert seen[-1].phase == "reduce"
    assert seen[-1].bytes == seen[-1].total_bytes == result.statistics.run_bytes
    assert math.isclose(seen[-1].seconds, result.statistics.seconds, abs_tol=1)
    assert [told.seconds for told in seen] == sorted(told.seconds for told in seen)


def test_statistics(fork_pool: Pool) -> None:
    result = fork_pool.map_reduce_by_key(words, ["a b", "b"], "count")
    took = result.statistics
    assert (took.items, took.input_bytes, took.pairs, took.keys, took.deaths, took.workers) == (2, 4, 3, 2, 0, 2)
    assert took.spilled_bytes == 0 < took.run_bytes
    assert took.map_seconds + took.reduce_seconds <= took.seconds + 0.001
    assert result.reducer == "count"
