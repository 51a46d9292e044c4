"""The model of scripts/simulation: right where the answer is known, and near what was measured."""

from __future__ import annotations

import sys
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from simulation import tables  # noqa: E402
from simulation.advice import best_chunk, feeds, kruskal_weiss, least_chunk  # noqa: E402
from simulation.chart import Panel, draw  # noqa: E402
from simulation.pool import ADAPTIVE, Costs, simulate  # noqa: E402
from simulation.shuffle import Shuffle, simulate_shuffle  # noqa: E402
from simulation.times import KINDS, Constant, items  # noqa: E402

FREE = Costs()
COSTS = Costs(
    submit=2e-6, answer=1e-6, submit_item=2e-8, answer_item=1e-8, worker=4e-6, worker_item=1e-7, there=5e-5, back=3e-5
)
ANY_CHUNK = [1, 7, ADAPTIVE]


@pytest.mark.parametrize(("count", "workers"), [(12, 3), (13, 3), (2, 5), (1, 1), (100, 7)])
def test_equal_tasks_on_a_free_coordinator(count: int, workers: int) -> None:
    assert simulate(Constant(count, 0.5), workers, FREE, 1).makespan == ceil(count / workers) * 0.5


def test_one_task_goes_all_the_way() -> None:
    costs = COSTS
    way = costs.submit + costs.submit_item + costs.there + costs.worker + costs.worker_item
    back = costs.back + costs.answer + costs.answer_item
    assert simulate(Constant(1, 0.25), 4, costs, 1).makespan == pytest.approx(way + 0.25 + back)


@pytest.mark.parametrize("workers", [1, 10, 1000])
def test_a_saturated_coordinator_does_one_over_its_cost(workers: int) -> None:
    costs = Costs(submit=2e-6, answer=1e-6)
    run = simulate(Constant(20_000, 0.0), workers, costs, 1)
    assert run.throughput == pytest.approx(1 / 3e-6)
    assert run.load == pytest.approx(1)


def test_a_coordinator_feeds_as_many_workers_as_it_serves_in_a_tasks_time() -> None:
    costs, seconds = Costs(submit=2e-6, answer=1e-6), 3e-4
    assert feeds(costs, seconds) == pytest.approx(100)
    enough = simulate(Constant(20_000, seconds), 90, costs, 1)
    assert enough.efficiency > 0.97
    for workers in (200, 400):
        too_many = simulate(Constant(40_000, seconds), workers, costs, 1)
        assert too_many.efficiency == pytest.approx(100 / workers, rel=0.02)


def test_larger_tasks_feed_more_workers() -> None:
    costs, seconds, workers = Costs(submit=2e-6, answer=1e-6), 1e-5, 100
    least = least_chunk(costs, seconds, workers)
    assert least == pytest.approx(30)
    assert feeds(costs, seconds, 30) == pytest.approx(workers)
    size, run = best_chunk(Constant(400_000, seconds), workers, costs)
    assert least <= size <= 8 * least
    assert run.efficiency > 0.9
    assert least_chunk(Costs(submit_item=1e-6), seconds, workers) == float("inf"), "an item costs more than its share"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chunksize", ANY_CHUNK)
def test_nothing_is_lost_or_done_twice(kind: str, chunksize: int | None) -> None:
    given = items(kind, 3000, 1e-3)
    run = simulate(given, 9, COSTS, chunksize)
    assert run.working == pytest.approx(given.between(0, 3000))
    assert run.handling == pytest.approx(run.tasks * COSTS.worker + 3000 * COSTS.worker_item)
    each = COSTS.submit_item + COSTS.answer_item
    assert run.coordinating == pytest.approx(run.tasks * (COSTS.submit + COSTS.answer) + 3000 * each)
    assert run.working + run.handling + run.starved + run.tail == pytest.approx(9 * run.makespan)
    assert min(run.starved, run.tail) >= -1e-9
    if chunksize is not ADAPTIVE:
        assert run.tasks == ceil(3000 / chunksize)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("workers", [2, 16, 100])
def test_grahams_bounds(kind: str, workers: int) -> None:
    """Graham 1966: who takes the next task whenever he is free is never later than this."""
    given = items(kind, 2000, 1e-3)
    longest = max(given.between(number, number + 1) for number in range(2000))
    even = given.between(0, 2000) / workers
    makespan = simulate(given, workers, FREE, 1).makespan
    assert max(even, longest) <= makespan * (1 + 1e-9)
    assert makespan <= (even + (1 - 1 / workers) * longest) * (1 + 1e-9)


def test_times_follow_the_seed() -> None:
    one, same, other = (items("exponential", 50_000, 2.0, seed) for seed in (1, 1, 2))
    assert one.between(0, 50_000) == same.between(0, 50_000) != other.between(0, 50_000)
    for kind in KINDS:
        assert items(kind, 50_000, 2.0).between(0, 50_000) == pytest.approx(100_000, rel=0.05)
    with pytest.raises(ValueError, match="constant, exponential, heavy"):
        items("normal", 1, 1.0)


def test_the_pool_decides_on_the_size_of_a_task() -> None:
    """About a millisecond of work, and single items where one takes that long."""
    small = simulate(Constant(400_000, 1e-5), 4, COSTS)
    assert 50 < small.items / small.tasks <= 100
    assert simulate(Constant(400, 2e-3), 4, COSTS).tasks == 400


def test_theory_of_chunks() -> None:
    assert kruskal_weiss(1_000_000, 100, 1e-6, 1e-4) == pytest.approx(16.3, rel=0.01)
    assert kruskal_weiss(1000, 10, 1e-6, 0.0) == 100


def test_a_shuffle_costs_the_coordinator_every_part() -> None:
    work = Shuffle(maps=50, ranges=20, map_s=0.0, merge_s=0.0, handle=2e-6)
    done = simulate_shuffle(work, 10, Costs(submit=1e-6, answer=1e-6))
    assert done.map.makespan == pytest.approx(50 * (2e-6 + 20 * 1e-6))
    assert done.reduce.makespan == pytest.approx(20 * (2e-6 + 50 * 1e-6))


def test_a_shuffle_costs_the_workers_every_transfer() -> None:
    work = Shuffle(maps=8, ranges=4, map_s=8.0, merge_s=4.0, transfer=0.125)
    done = simulate_shuffle(work, 4, FREE)
    assert (done.map.makespan, done.reduce.makespan) == (2.0, 1.0 + 8 * 0.125)
    assert done.transferring == 8 * 4 * 0.125
    assert done.efficiency == pytest.approx(12 / (4 * 4))


# What was measured, and what the page says of it.


@pytest.fixture(scope="module")
def known() -> dict[str, Any]:
    return tables.measured()


@pytest.mark.slow
def test_the_model_is_near_every_measured_run(known: dict[str, Any]) -> None:
    off = [abs(tables.rerun(known, point).makespan / point["seconds"] - 1) for point in known["points"]]
    assert len(off) >= 50
    assert median(off) < 0.02
    assert max(off) < 0.15


@pytest.mark.parametrize("name", ["parameters", "saturation"])
def test_the_page_has_the_tables_of_the_script(known: dict[str, Any], name: str) -> None:
    """All of them are written by `make simulate`; these two are quickly made."""
    page = (ROOT / "docs" / "explanation" / "scheduling.md").read_text()
    assert f"<!-- {name} -->\n{tables.TABLES[name](known)}\n<!-- end -->" in page


def test_the_page_has_a_place_for_each_table() -> None:
    page = (ROOT / "docs" / "explanation" / "scheduling.md").read_text()
    assert all(f"<!-- {name} -->\n|" in page for name in tables.TABLES)


def test_a_picture_is_well_formed() -> None:
    from xml.etree import ElementTree

    panel = Panel("one", [("a", [(10, 1.0), (100, 0.5)]), ("b", [(10, 0.0)])])
    drawn = ElementTree.fromstring(draw([panel], "workers", "busy"))
    assert len(drawn.findall("{http://www.w3.org/2000/svg}circle")) == 3


@pytest.mark.parametrize(("value", "text"), [(1.5e-7, "150 ns"), (2e-3, "2 ms"), (61.0, "61 s"), (0.0, "0")])
def test_seconds_are_written_with_a_unit(value: float, text: str) -> None:
    assert tables.seconds(value) == text
