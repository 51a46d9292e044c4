"""Pools: large arguments and results go through blocks, few at a time, and no death leaves one behind."""

from __future__ import annotations

import gc
import os
import random
import signal
from contextlib import suppress
from typing import Any

import pytest
from pool_tasks import identity

from procession._store import shared_arena
from procession.errors import WorkerDied
from procession.pool import Pool, iterators, mapping
from procession.pool.results import NO_LIMITS, ONE
from procession.testing import wait_until

numpy = pytest.importorskip("numpy")
pytestmark = pytest.mark.watchdog(60)

MIB = 1 << 20


def blocks() -> int:
    """Blocks of a mebibyte and more that are in use."""
    return sum(size >= MIB for _, _, _, size, _ in shared_arena().objects())


def wait_for_blocks(count: int) -> None:
    """A worker lets go of what it sent a moment after it is there."""
    wait_until(lambda: blocks() == count, 10)


def bump(array: Any) -> Any:
    array += 1
    return array


def count_blocks(array: Any) -> int:
    return blocks() + 0 * int(array[0])


def make(mebibytes: int) -> Any:
    return numpy.full(mebibytes * MIB // 8, float(mebibytes))


def hold(array: Any, taken: Any, go_on: Any) -> None:
    taken.set()
    go_on.wait(20)


def make_then_die(mebibytes: int) -> Any:
    """A result whose encoding ends the worker when the first part is encoded."""
    return make(mebibytes), Deadly()


class Deadly:
    def __reduce__(self) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_may_change_its_argument_and_nobody_else_sees_it(process_pool: Pool) -> None:
    given = [numpy.full(MIB, float(number)) for number in range(6)]
    changed = process_pool.map(bump, given)
    for number, (before, after) in enumerate(zip(given, changed, strict=True)):
        assert before[0] == before[-1] == number
        assert after[0] == after[-1] == number + 1
        after[:] = 7  # and the result is the caller's to change


def test_a_result_is_a_view_that_keeps_its_block(process_pool: Pool) -> None:
    made = process_pool.map(make, [1, 2, 3])
    assert not any(array.flags.owndata for array in made)
    wait_for_blocks(3)
    part = made[2][5:7]
    del made
    wait_for_blocks(1)
    assert part.tolist() == [3.0, 3.0]
    del part
    wait_for_blocks(0)


@pytest.mark.parametrize("chunksize", [None, 1, 2])
def test_large_arguments_are_few_at_a_time(
    process_pool: Pool, monkeypatch: pytest.MonkeyPatch, chunksize: int | None
) -> None:
    monkeypatch.setattr(mapping, "AHEAD", MIB)
    given = [make(1) for _ in range(24)]
    assert 1 <= max(process_pool.map(count_blocks, given, chunksize)) <= 3 * (chunksize or 1)


def test_imap_reads_less_ahead_of_large_arguments(process_pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iterators, "AHEAD", 4 * MIB)
    given = (make(1) for _ in range(24))
    assert 1 <= max(process_pool.imap(count_blocks, given)) <= 4


def test_large_results_come_one_by_one(fork_pool: Pool) -> None:
    """However quickly they are made: a chunk of them would be held up in its worker until it is whole."""
    made = fork_pool._map_job(make, [2] * 40, ONE, NO_LIMITS, "first")
    mapping.feed(fork_pool._core, made, make, [2] * 40, None)
    plan = mapping._Adaptive(fork_pool._core, made)
    plan.submitted(40, 40)
    made.seal()
    assert [array[0] for array in made.get()] == [2.0] * 40
    assert plan._most_items(40) == 1


@pytest.mark.parametrize("chunksize", [None, 1])
def test_killed_with_a_large_argument_in_hand(quick_process_context: Any, chunksize: int | None) -> None:
    taken, go_on = quick_process_context.Event(), quick_process_context.Event()
    with quick_process_context.Pool(2) as pool:
        pool.map(identity, range(20))
        result = pool.starmap_async(hold, [(make(3), taken, go_on)], chunksize)
        taken.wait(20)
        assert blocks() == 1
        for worker in list(pool._pool):
            os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(WorkerDied):
            result.get(20)
        assert pool.map(identity, range(20)) == list(range(20))
        wait_for_blocks(0)
    pool.join()


def test_killed_while_encoding_a_large_result(process_pool: Pool) -> None:
    with pytest.raises(WorkerDied):
        process_pool.map(make_then_die, [3])
    assert process_pool.map(make, [1])[0][0] == 1.0
    wait_for_blocks(0)


def test_killed_at_any_moment_of_large_arguments_and_results(quick_process_context: Any) -> None:
    """The answer is lost or whole, and no block stays; `crates/core/tests/steps.rs` kills at each step of a write."""
    chance = random.Random(5)
    before = shared_arena().statistics()["objects"]
    with quick_process_context.Pool(2) as pool:
        pool.map(identity, range(20))
        for _ in range(10):
            _kill_some(pool, chance)
            assert pool.map(identity, range(20)) == list(range(20))
    pool.join()
    del pool
    # Not sooner: a worker forked as a replacement inherits what its parent has at that moment, results too.
    gc.collect()  # an exception that was raised knows the frames it passed, and they the results
    wait_for_blocks(0)
    wait_until(lambda: shared_arena().statistics()["objects"] <= before, 10)


def _kill_some(pool: Pool, chance: random.Random) -> None:
    given = [make(1 + number % 3) for number in range(4)]
    pending = [pool.apply_async(bump, (array,)) for array in given]
    wait_until(lambda: pool._core.engine.waiting < 4, 20)
    for _ in range(chance.randrange(20_000)):
        pass
    for worker in list(pool._pool)[: chance.randrange(1, 3)]:
        with suppress(ProcessLookupError):  # it was killed in the round before
            os.kill(worker.pid, signal.SIGKILL)
    for result, array in zip(pending, given, strict=True):
        try:
            assert (result.get(20) == array + 1).all()
        except WorkerDied:
            continue
