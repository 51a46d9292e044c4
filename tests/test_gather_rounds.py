"""What a keyed map-reduce is decided by, as data: rounds, ranges, budgets, reducers. No process anywhere."""

from __future__ import annotations

import operator
import pickle
import random
from pathlib import Path
from typing import Any

import pytest

from procession.gather import top
from procession.gather.budget import SMALLEST_TABLE, Budget, available_bytes, budget_of
from procession.gather.reducers import BUILT_IN, LIST, SCALAR, SET, Batches, Reducer, reducer_of
from procession.pool.rounds import (
    MOST_FRUITLESS,
    RANGE_BYTES,
    RANGES_PER_WORKER,
    Again,
    Fail,
    Finish,
    MapRounds,
    Merge,
    ReduceRounds,
    StartShare,
    cut,
)

# The map phase


def test_a_share_for_each_worker_then_the_end() -> None:
    rounds = MapRounds(2, 1)
    assert rounds.fed([0, 1, 2], waiting=3) == [StartShare(0), StartShare(1)]
    assert rounds.completed(waiting=1) == []
    assert rounds.returned(0, [0, 2], waiting=0) == []
    assert rounds.returned(1, [1], waiting=0) == [Finish()]
    assert (rounds.done, rounds.deaths, rounds.left) == (3, 0, set())


def test_no_more_shares_than_chunks() -> None:
    rounds = MapRounds(8, 1)
    assert rounds.fed([0], waiting=1) == [StartShare(0)]
    assert rounds.running == 1


def test_no_input_at_all() -> None:
    assert MapRounds(2, 1).completed(waiting=0) == [Finish()]


def test_a_share_that_returned_early_has_a_successor_while_chunks_wait() -> None:
    rounds = MapRounds(1, 1)
    rounds.fed([0, 1, 2], waiting=3)
    rounds.completed(waiting=3)
    assert rounds.returned(0, [0], waiting=2) == [StartShare(0)]
    assert rounds.returned(0, [1, 2], waiting=0) == [Finish()]


def test_shares_that_gave_way_start_again_when_something_is_put() -> None:
    rounds = MapRounds(2, 1)
    rounds.fed([0], waiting=1)
    assert rounds.returned(0, [0], waiting=0) == []
    assert rounds.fed([1], waiting=1) == [StartShare(0)]
    rounds.completed(waiting=0)
    assert rounds.returned(0, [1], waiting=0) == [Finish()]


def test_what_no_share_returned_is_done_again_in_another_round() -> None:
    rounds = MapRounds(2, 1)
    rounds.fed([0, 1, 2, 3], waiting=4)
    rounds.completed(waiting=2)
    assert rounds.died(0, (2, 5), waiting=0) == []  # it had done 0 too, and nobody knows
    assert rounds.returned(1, [1, 3], waiting=0) == [Again((0, 2))]
    assert rounds.fed([0, 2], waiting=2) == [StartShare(1), StartShare(0)]
    rounds.completed(waiting=2)
    rounds.returned(0, [0], waiting=0)
    assert rounds.returned(1, [2], waiting=0) == [Finish()]
    assert (rounds.deaths, rounds.done) == (1, 4)


def test_a_chunk_lost_in_the_queue_is_found_missing() -> None:
    rounds = MapRounds(1, 0)
    rounds.fed([0, 1], waiting=2)
    rounds.completed(waiting=2)
    assert rounds.died(0, None, waiting=1) == [StartShare(0, 1)]  # killed while it took chunk 0 out of the queue
    assert rounds.returned(0, [1], waiting=0) == [Again((0,))]


def test_an_item_is_charged_and_fails_the_call_beyond_its_retries() -> None:
    rounds = MapRounds(1, 2)
    rounds.fed([7], waiting=1)
    rounds.completed(waiting=1)
    for _ in range(2):
        assert rounds.died(0, (7, 3), waiting=0) == [Again((7,))]
        rounds.fed([7], waiting=1)
        rounds.completed(waiting=1)
    assert rounds.died(0, (7, 3), waiting=0) == [Fail(3, 7, 3)]


def test_each_item_is_charged_for_itself() -> None:
    rounds = MapRounds(1, 1)
    rounds.fed([0], waiting=1)
    rounds.completed(waiting=1)
    for item in range(5):
        assert rounds.died(0, (0, item), waiting=0) == [Again((0,))]
        rounds.fed([0], waiting=1)
        rounds.completed(waiting=1)
    assert rounds.died(0, (0, 4), waiting=0) == [Fail(2, 0, 4)]


def test_no_retries_means_none() -> None:
    rounds = MapRounds(1, 0)
    rounds.fed([0], waiting=1)
    assert rounds.died(0, (0, 0), waiting=0) == [Fail(1, 0, 0)]


def test_deaths_that_nothing_can_be_charged_with_end_too() -> None:
    rounds = MapRounds(2, 1)
    rounds.fed(range(100), waiting=100)
    deaths = 0
    while not any(isinstance(told, Fail) for told in rounds.died(0, None, waiting=100)):
        deaths += 1
        assert deaths < 1000
    assert deaths == MOST_FRUITLESS + 2


def test_deaths_in_a_row_make_shares_smaller_until_one_returns() -> None:
    rounds = MapRounds(1, 9)
    rounds.fed(range(100), waiting=100)
    sizes = [instruction.most for n in range(9) for instruction in rounds.died(0, (n, 0), waiting=99)]  # type: ignore[union-attr]
    assert sizes == [50, 25, 12, 6, 3, 1, 1, 1, 1]
    assert rounds.returned(0, [99], waiting=98) == [StartShare(0)]


def test_every_history_ends_with_each_chunk_done_once() -> None:
    """Random shares, deaths and early returns against a queue: nothing is lost and nothing counted twice."""
    for seed in range(300):
        chance = random.Random(seed)
        workers, total = chance.randint(1, 4), chance.randint(0, 30)
        rounds = MapRounds(workers, retries=1000)
        queue: list[int] = []
        pending = list(range(total))
        committed: list[int] = []
        running: dict[int, list[int]] = {}
        told: list[Any] = []
        complete = False
        for _ in range(10_000):
            for instruction in told:
                if isinstance(instruction, StartShare):
                    assert instruction.slot not in running
                    running[instruction.slot] = []
                elif isinstance(instruction, Again):
                    assert not queue
                    assert not running
                    pending, complete = list(instruction.chunks), False
            if Finish() in told:
                break
            told = []
            if pending and chance.random() < 0.5:
                count = chance.randint(1, 5)
                put, pending = pending[:count], pending[count:]
                queue += put
                told = rounds.fed(put, len(queue))
            elif not pending and not complete:
                complete = True
                told = rounds.completed(len(queue))
            elif running:
                slot = chance.choice(sorted(running))
                if queue and chance.random() < 0.7:
                    running[slot].append(queue.pop(0))
                    continue
                taken = running.pop(slot)
                if chance.random() < 0.2 and rounds._fruitless < 10:
                    told = rounds.died(slot, (taken[-1], 0) if taken else None, len(queue))
                else:
                    committed += taken
                    told = rounds.returned(slot, taken, len(queue))
        assert Finish() in told, seed
        assert sorted(committed) == list(range(total)), seed


# The reduce phase


def test_ranges_are_merged_a_few_at_a_time() -> None:
    rounds = ReduceRounds(3, 2, 1)
    assert rounds.begin() == [Merge(0, 0), Merge(1, 1)]
    assert rounds.returned(0, 0) == [Merge(2, 0)]
    assert rounds.returned(2, 0) == []
    assert rounds.returned(1, 1) == [Finish()]
    assert ReduceRounds(0, 2, 1).begin() == [Finish()]


def test_a_range_whose_worker_died_is_merged_again() -> None:
    rounds = ReduceRounds(2, 2, 1)
    rounds.begin()
    assert rounds.died(1, 1) == [Merge(1, 1)]
    assert rounds.died(0, 0) == [Merge(0, 0)]
    assert rounds.died(1, 1) == [Fail(2, part=1)]
    assert rounds.deaths == 3


def test_a_small_job_is_one_range() -> None:
    assert cut([10] * 256, 8) == [(0, 256)]
    assert cut([0] * 256, 8) == []
    assert cut([], 8) == []


def test_a_large_job_is_cut_evenly() -> None:
    ranges = cut([RANGE_BYTES] * 256, 2)
    assert len(ranges) == 2 * RANGES_PER_WORKER
    assert {high - low for low, high in ranges} == {256 // (2 * RANGES_PER_WORKER)}


def test_one_slot_with_everything_is_a_range_by_itself() -> None:
    sizes = [RANGE_BYTES] * 256
    sizes[100] = 300 * RANGE_BYTES
    assert (100, 101) in cut(sizes, 2)


@pytest.mark.parametrize("seed", range(50))
def test_ranges_cover_everything_once(seed: int) -> None:
    chance = random.Random(seed)
    sizes = [chance.choice([0, 0, 1, 5000, RANGE_BYTES, 40 * RANGE_BYTES]) for _ in range(256)]
    ranges = cut(sizes, chance.randint(1, 16))
    covered = [slot for low, high in ranges for slot in range(low, high)]
    assert covered == sorted(set(covered))
    assert {slot for slot, size in enumerate(sizes) if size} <= set(covered)
    assert all(sum(sizes[low:high]) for low, high in ranges)


# Memory


def test_a_named_budget_is_a_promise() -> None:
    budget = budget_of(1 << 30, 4)
    assert budget.table_bytes == (1 << 30) // 16
    assert budget.spool_on_disk(0, 0, None)
    assert not budget.spool_on_disk(0, 0, 1 << 20)
    assert budget.spool_on_disk(0, 0, 1 << 30)
    assert budget_of(1, 4).table_bytes == SMALLEST_TABLE
    assert budget_of(1, 4).ahead_bytes < budget.ahead_bytes < budget_of(1 << 40, 4).ahead_bytes


def test_spools_are_in_memory_while_they_and_what_comes_fit_into_half() -> None:
    budget = Budget(1 << 30, 4, named=False)
    assert not budget.spool_on_disk(1 << 28, 3, None)
    assert budget.spool_on_disk((1 << 28) + 1, 3, None)
    assert not budget.answer_on_disk(1 << 29, 1 << 29)
    assert budget.answer_on_disk(1 << 29, (1 << 29) + 1)


@pytest.mark.parametrize(("named", "error"), [(0, ValueError), (-5, ValueError), ("2G", TypeError), (True, TypeError)])
def test_what_is_no_budget(named: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="memory_budget is a number of bytes"):
        budget_of(named, 1)


def lay_out(root: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root)


def test_memory_available_is_the_smallest_limit(tmp_path: Path) -> None:
    machine = {"proc/meminfo": "MemTotal: 100 kB\nMemAvailable:   64 kB\n"}
    assert available_bytes(lay_out(tmp_path / "a", machine)) == 64 << 10
    v2 = machine | {
        "proc/self/cgroup": "0::/box\n",
        "sys/fs/cgroup/box/memory.max": "50000\n",
        "sys/fs/cgroup/box/memory.current": "30000\n",
        "sys/fs/cgroup/box/memory.stat": "anon 20000\ninactive_file 6000\nactive_file 1000\n",
        "sys/fs/cgroup/memory.max": "max\n",
    }
    assert available_bytes(lay_out(tmp_path / "b", v2)) == 27_000
    v1 = machine | {
        "proc/self/cgroup": "4:memory:/box\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9000\n",
        "sys/fs/cgroup/memory/memory.usage_in_bytes": "8000\n",
    }
    assert available_bytes(lay_out(tmp_path / "c", v1)) == 1000
    assert available_bytes() > 1 << 20


# Reducers


@pytest.mark.parametrize("name", BUILT_IN)
def test_reducers_by_name(name: str) -> None:
    reducer = reducer_of(name)
    assert (reducer.name, reducer.label, reducer.calls_python) == (name, name, False)
    assert reducer.shape == {"list": LIST, "set": SET}.get(name, SCALAR)
    assert pickle.loads(pickle.dumps(reducer)) == reducer


def test_top() -> None:
    assert (top(3).name, top(3).n, top(3).label, top(3).shape) == ("top", 3, "top(3)", LIST)
    assert reducer_of(top(3)) == top(3) != top(4)
    for wrong, error in ((0, ValueError), (2**32, ValueError), ("3", TypeError), (True, TypeError)):
        with pytest.raises(error, match=r"top\(\)"):
            top(wrong)  # type: ignore[arg-type]


def test_functions_of_the_callers() -> None:
    combining, reducing = reducer_of(combine=operator.add), reducer_of(test_top)
    assert (combining.name, combining.label) == ("combine", "combine=add")
    assert (reducing.name, reducing.label) == ("reduce", "reduce=test_top")
    assert combining.calls_python
    assert reducing.calls_python
    assert pickle.loads(pickle.dumps(combining)) == combining


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({}, TypeError, "either reduce= or combine=, and neither was given"),
        ({"reduce": "sum", "combine": operator.add}, TypeError, "and both was given"),
        ({"reduce": "median"}, ValueError, "there is no reducer 'median'; reduce= is one of 'count', 'sum'"),
        ({"reduce": 3}, TypeError, "a name or a function of a key and its values, not 3"),
        ({"combine": "sum"}, TypeError, "combine= takes a function of two values, not 'sum'"),
        ({"reduce": sum}, TypeError, r"would be called as sum\(key, values\); write reduce='sum'"),
        ({"reduce": list}, TypeError, "write reduce='list'"),
        ({"reduce": top}, TypeError, r"write reduce=top\(3\)"),
    ],
)
def test_what_is_no_reducer(given: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        reducer_of(**given)


def test_a_callable_that_cannot_be_hashed_will_do() -> None:
    class Unhashable:
        __hash__ = None  # type: ignore[assignment]

        def __call__(self, key: Any, values: Any) -> None: ...

    assert reducer_of(Unhashable()).label == "reduce=Unhashable"
    assert isinstance(reducer_of(Unhashable()), Reducer)


def test_batches_are_iterated_over_once() -> None:
    assert list(Batches([1, 2])) == [1, 2]
    with pytest.raises(TypeError):
        Batches(3)
