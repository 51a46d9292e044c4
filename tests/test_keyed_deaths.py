"""map_reduce_by_key when workers die, at every moment: the right result or a clear error."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from keyed_tasks import NUMBERS, SUMS, sevens

import procession
from procession.errors import PoolBroken, WorkerDied
from procession.pool import Pool
from procession.testing import Snapshot, wait_until

pytestmark = pytest.mark.watchdog(30)


@pytest.fixture
def pool() -> Iterator[Pool]:
    with procession.get_context("fork").Pool(2) as pool:
        yield pool
    pool.join()


class Killer:
    """Kills its process `times` times, whichever processes call it: the files in a directory count."""

    def __init__(self, directory: Path, times: int = 1) -> None:
        self.directory, self.times = str(directory), times

    def __call__(self) -> None:
        for number in range(self.times):
            with suppress(FileExistsError):
                os.close(os.open(f"{self.directory}/{number}", os.O_CREAT | os.O_EXCL))
                os.kill(os.getpid(), signal.SIGKILL)

    @property
    def kills(self) -> int:
        return len(os.listdir(self.directory))


class Deadly:
    """A map function that kills its worker at an item, before or after it gives something."""

    def __init__(self, killer: Killer, at: tuple[int, ...], late: bool = False) -> None:
        self.killer, self.at, self.late = killer, at, late

    def __call__(self, number: int) -> Any:
        if number in self.at and not self.late:
            self.killer()
        return self.pairs(number)

    def pairs(self, number: int) -> Iterator[tuple[int, int]]:
        yield number % 7, number
        if number in self.at and self.late:
            self.killer()


class DeadlySum:
    """A combine that kills its worker, and a reduce that does."""

    def __init__(self, killer: Killer) -> None:
        self.killer = killer

    def __call__(self, key_or_left: int, values_or_right: Any) -> int:
        self.killer()
        if isinstance(values_or_right, int):
            return key_or_left + values_or_right
        return sum(values_or_right)


class Unwritable:
    """A value that kills whoever writes it down."""

    def __init__(self, killer: Killer, number: int) -> None:
        self.killer, self.number = killer, number

    def __reduce__(self) -> Any:
        self.killer()
        return Written, (self.number,)


class Written:
    def __init__(self, number: int) -> None:
        self.number = number


class GivesUnwritable:
    def __init__(self, killer: Killer) -> None:
        self.killer = killer

    def __call__(self, number: int) -> Any:
        return [("key", Unwritable(self.killer, number) if number == 5 else Written(number))]


def the_left(left: Any, right: Any) -> Any:
    return left if left.number == 5 else right


def left_open() -> list[str]:
    """What this process has open of a map_reduce_by_key."""
    targets = Snapshot.take().descriptors.values()
    return [target for target in targets if "procession-spool" in target or "procession-answer" in target]


def assert_nothing_open(pool: Pool) -> None:
    for _ in range(20):
        assert pool.apply(left_open) == []


@pytest.mark.parametrize("chunksize", [None, 1, 1000])
@pytest.mark.parametrize("late", [False, True], ids=["before", "within"])
def test_a_worker_killed_while_it_maps(pool: Pool, tmp_path: Path, late: bool, chunksize: int | None) -> None:
    deadly = Deadly(Killer(tmp_path), (100,), late)
    result = pool.map_reduce_by_key(deadly, range(NUMBERS), "sum", chunksize=chunksize)
    assert result == SUMS
    assert deadly.killer.kills == result.statistics.deaths == 1
    assert result.statistics.items == NUMBERS
    assert_nothing_open(pool)


def test_order_survives_deaths(pool: Pool, tmp_path: Path) -> None:
    deadly = Deadly(Killer(tmp_path, 3), (10, 150, 290))
    result = pool.map_reduce_by_key(deadly, iter(range(NUMBERS)), "list", memory_budget=1)
    assert result == {key: list(range(key, NUMBERS, 7)) for key in range(7)}
    assert deadly.killer.kills == 3


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_other_start_methods(method: str, tmp_path: Path) -> None:
    deadly = Deadly(Killer(tmp_path), (100,))
    with procession.get_context(method).Pool(2) as pool:
        assert pool.map_reduce_by_key(deadly, range(NUMBERS), "sum") == SUMS
    pool.join()
    assert deadly.killer.kills == 1


def test_an_item_may_kill_as_often_as_retries_allow(pool: Pool, tmp_path: Path) -> None:
    deadly = Deadly(Killer(tmp_path, 3), (7,))
    result = pool.map_reduce_by_key(deadly, range(NUMBERS), "sum", retries=3)
    assert result == SUMS
    assert result.statistics.deaths == 3


@pytest.mark.parametrize("retries", [0, 1, 2])
def test_an_item_that_always_kills_fails_the_call(pool: Pool, tmp_path: Path, retries: int) -> None:
    deadly = Deadly(Killer(tmp_path, 1000), (33,))
    with pytest.raises(WorkerDied, match=r"SIGKILL.* while working on .*Deadly.*\(33\), item 33 ") as raised:
        pool.map_reduce_by_key(deadly, range(NUMBERS), "sum", retries=retries)
    assert deadly.killer.kills == retries + 1
    assert raised.value.signal == "SIGKILL"
    if retries:
        assert f"tried {retries + 1} times" in raised.value.__notes__[0]
    assert pool.map_reduce_by_key(sevens, range(NUMBERS), "sum") == SUMS
    assert_nothing_open(pool)


def test_a_worker_killed_between_two_items(pool: Pool) -> None:
    """It waits for more, and what it did so far is lost with it."""
    killed: list[int] = []

    def numbers() -> Iterator[int]:
        yield from range(100)
        while not killed:
            worker = pool._pool[0]
            os.kill(worker.pid, signal.SIGKILL)
            worker.join()
            killed.append(worker.pid)
        yield from range(100, NUMBERS)

    result = pool.map_reduce_by_key(sevens, numbers(), "sum", retries=1)
    assert result == SUMS
    assert result.statistics.deaths <= 1  # none if it had no task just then


def test_a_worker_killed_while_it_writes_a_run(pool: Pool, tmp_path: Path) -> None:
    gives = GivesUnwritable(Killer(tmp_path))
    result = pool.map_reduce_by_key(gives, range(20), combine=the_left)
    assert result["key"].number == 5
    assert gives.killer.kills == result.statistics.deaths == 1


def test_writing_that_always_kills_fails_the_call(pool: Pool, tmp_path: Path) -> None:
    gives = GivesUnwritable(Killer(tmp_path, 1000))
    with pytest.raises(WorkerDied, match=r"while working on .*GivesUnwritable") as raised:
        pool.map_reduce_by_key(gives, range(20), combine=the_left)
    assert "workers that died with nothing finished in between" in raised.value.__notes__[0]
    assert_nothing_open(pool)


@pytest.mark.parametrize("how", ["reduce", "combine"])
def test_a_worker_killed_while_it_reduces(pool: Pool, tmp_path: Path, how: str) -> None:
    deadly = DeadlySum(Killer(tmp_path))
    result = pool.map_reduce_by_key(sevens, range(NUMBERS), **{how: deadly})
    assert result == SUMS
    assert deadly.killer.kills == result.statistics.deaths == 1
    assert_nothing_open(pool)


def test_a_reduce_that_always_kills_fails_the_call(pool: Pool, tmp_path: Path) -> None:
    deadly = DeadlySum(Killer(tmp_path, 1000))
    with pytest.raises(WorkerDied, match=r"while working on the reduce of reduce=DeadlySum, part 1 of 1"):
        pool.map_reduce_by_key(sevens, range(NUMBERS), deadly)
    assert deadly.killer.kills == 2
    assert_nothing_open(pool)


def test_workers_killed_at_random_moments(pool: Pool) -> None:
    """Whatever they are at: the pool may give up, the result may not be wrong."""
    for attempt in range(12):
        killed = 0

        def numbers() -> Iterator[int]:
            nonlocal killed
            for number in range(4000):
                if number % 900 == 899 - attempt:  # noqa: B023
                    worker = pool._pool[attempt % 2]  # noqa: B023
                    os.kill(worker.pid, signal.SIGKILL)
                    killed += 1
                yield number

        result = pool.map_reduce_by_key(sevens, numbers(), "sum", retries=10, chunksize=attempt * 10 + 1)
        assert result == {key: sum(range(key, 4000, 7)) for key in range(7)}
        assert killed == 4


def leave(number: int) -> None:
    if number == 3:
        sys.exit(4)


def test_a_thread_that_leaves_is_a_death_too() -> None:
    with procession.get_context("thread").Pool(2) as pool:
        with pytest.raises(WorkerDied, match=r"leave\(3\), item 3"):
            pool.map_reduce_by_key(leave, range(5), "count")
        assert pool.map_reduce_by_key(sevens, range(NUMBERS), "sum") == SUMS
    pool.join()


def test_the_pool_breaks_meanwhile(tmp_path: Path) -> None:
    pool = procession.get_context("fork").Pool(1, initializer=Fails(tmp_path))
    with pytest.raises(PoolBroken, match="initializer raised"), pool:
        pool.map_reduce_by_key(Deadly(Killer(tmp_path), (3,)), range(10), "sum")
    pool.join()


class Fails:
    """An initializer that fails once a worker was killed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __call__(self) -> None:
        if list(self.directory.iterdir()):
            raise ValueError("not again")


def test_the_callers_death_leaves_nothing_behind(tmp_path: Path) -> None:
    """Workers that wait for a chunk notice it; the spool has no name."""
    program = textwrap.dedent(
        f"""
        import os, procession, signal, time

        def pairs(number):
            return [(number, number)]

        def numbers():
            yield from range(100)
            print(*(worker.pid for worker in pool._pool), flush=True)
            signal.pause()

        pool = procession.get_context("forkserver").Pool(2)
        pool.map_reduce_by_key(pairs, numbers(), "sum", memory_budget=1, spill_dir={str(tmp_path)!r})
        """
    )
    script = tmp_path / "caller.py"
    script.write_text(
        program.replace("pool = ", 'if __name__ == "__main__":\n    pool = ').replace("\npool.", "\n    pool.")
    )
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as caller:
        assert caller.stdout is not None
        pids = [int(word) for word in caller.stdout.readline().split()]
        caller.kill()
    assert len(pids) == 2
    wait_until(lambda: not any(is_alive(pid) for pid in pids))
    assert os.listdir(tmp_path) == ["caller.py"]


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
