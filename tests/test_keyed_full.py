"""map_reduce_by_key when a disk is full, and what it leaves behind in any case: nothing."""

from __future__ import annotations

import errno
import itertools
import os
import resource
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from keyed_tasks import NUMBERS, SUMS, sevens

import procession
from procession.errors import SpillFull
from procession.pool import Pool
from procession.testing import wait_until

pytestmark = pytest.mark.watchdog(30)


@pytest.fixture
def pool() -> Iterator[Pool]:
    with procession.get_context("fork").Pool(2) as pool:
        yield pool
    pool.join()


def many(number: int) -> list[str]:
    return [f"{number}-{n}-{'x' * 50}" for n in range(3000)]


def test_a_full_disk(pool: Pool, small_disk: Path) -> None:
    free = shutil.disk_usage(small_disk).free
    with pytest.raises(SpillFull, match=r"No space left on device: .*spill_dir=") as raised:
        pool.map_reduce_by_key(many, range(50), "count", memory_budget=1, spill_dir=small_disk)
    error = raised.value
    assert (error.errno, error.directory) == (errno.ENOSPC, str(small_disk))
    assert str(small_disk) in str(error)
    assert error.written_bytes is not None
    assert 0 < error.written_bytes <= 1 << 20
    assert isinstance(error, OSError)
    wait_until(lambda: shutil.disk_usage(small_disk).free == free)
    assert os.listdir(small_disk) == []
    assert pool.map_reduce_by_key(sevens, range(NUMBERS), "sum", memory_budget=1, spill_dir=small_disk) == SUMS
    assert shutil.disk_usage(small_disk).free == free


def test_an_answer_for_which_there_is_no_space(pool: Pool, small_disk: Path) -> None:
    """The runs fit, the answer does not fit beside them."""
    free = shutil.disk_usage(small_disk).free
    with pytest.raises(SpillFull, match="No space left"):
        pool.map_reduce_by_key(many, range(4), "count", memory_budget=1, spill_dir=small_disk)
    wait_until(lambda: shutil.disk_usage(small_disk).free == free)


def short_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))


def test_a_limit_on_the_size_of_files(tmp_path: Path) -> None:
    with procession.get_context("fork").Pool(2, initializer=short_files) as pool:
        with pytest.raises(SpillFull, match="File too large"):
            pool.map_reduce_by_key(many, range(50), "count", memory_budget=1, spill_dir=tmp_path)
        with pytest.raises(SpillFull, match=r"does not fit into shared memory, .* memory_budget=") as raised:
            pool.map_reduce_by_key(many, range(50), "count")
        assert "writing down" in raised.value.__notes__[0]
    pool.join()
    assert os.listdir(tmp_path) == []


def raise_full(number: int) -> Iterable[Any]:
    yield number
    raise OSError(errno.ENOSPC, "of the map function's own")


def test_a_map_functions_own_error_is_not_ours(pool: Pool) -> None:
    with pytest.raises(OSError, match="of the map function's own") as raised:
        pool.map_reduce_by_key(raise_full, [1], "count")
    assert type(raised.value) is OSError
    assert "raise_full(1), item 0" in raised.value.__notes__[-1]


# Nothing is kept


def test_descriptors_and_processes_after_many_calls(pool: Pool, tmp_path: Path) -> None:
    def numbers_of(pids: list[int]) -> list[int]:
        return [len(os.listdir(f"/proc/{pid}/fd")) for pid in pids]

    pids = [os.getpid(), *(worker.pid for worker in pool._pool)]
    for budget in (None, 1):
        pool.map_reduce_by_key(sevens, range(NUMBERS), "set", memory_budget=budget, spill_dir=tmp_path)
    before = numbers_of(pids)
    for turn in itertools.islice(itertools.cycle([None, 1]), 20):
        pool.map_reduce_by_key(sevens, range(NUMBERS), "set", memory_budget=turn, spill_dir=tmp_path)
        with pytest.raises(OSError, match="own"):
            pool.map_reduce_by_key(raise_full, [1], "count", memory_budget=turn, spill_dir=tmp_path)
    wait_until(lambda: numbers_of(pids) == before)


def sleep(number: int) -> None:
    time.sleep(0.001)


def test_the_arena_gets_its_memory_back(pool: Pool) -> None:
    from procession._store import shared_arena

    arena = shared_arena()
    texts = ["x" * 100_000] * 50
    pool.map_reduce_by_key(sleep, texts, "count")
    used = arena.statistics()["used"]
    for _ in range(5):
        pool.map_reduce_by_key(sleep, texts, "count")
    assert arena.statistics()["used"] <= used + 100_000
