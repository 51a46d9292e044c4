"""Pools of two workers: no-op tasks, so that what is measured is the pool itself. Started and warm."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import perf_counter_ns

from benchmarks.measure import median_and_p99, pace
from benchmarks.model import OURS, STANDARD, Costs, Scale, Workload
from benchmarks.rivals import Rival, TaskPool

RIVALS = (OURS, STANDARD, "futures", "loky", "joblib", "mpire")
WARM = 20
MOST_CALLS = 20_000


def no_op(item: int) -> int:
    return item


def _timed_tasks(rival: Rival, scale: Scale, run: Callable[[TaskPool, range], object]) -> Costs:
    """Nanoseconds per task; `run` returns the results, which are compared with the items."""
    pool = rival.pool()

    def timed(n: int) -> int:
        items = range(1_000, 1_000 + n)
        began = perf_counter_ns()
        results = run(pool, items)
        elapsed = perf_counter_ns() - began
        assert results == list(items), "lost, repeated or reordered results"
        return elapsed

    timed(WARM)
    cost = pace(timed, scale, first=100, most=1_000_000)
    pool.close()
    return {"": cost}


def map_in_chunks(rival: Rival, scale: Scale, chunksize: int | None) -> Costs:
    return _timed_tasks(rival, scale, lambda pool, items: list(pool.map(no_op, items, chunksize)))


def submit(rival: Rival, scale: Scale) -> Costs:
    return _timed_tasks(rival, scale, lambda pool, items: list(pool.submit_all(no_op, items)))


def apply(rival: Rival, scale: Scale) -> Costs:
    """Median and 99th percentile of one task there and back."""
    pool = rival.pool()
    samples: list[int] = []
    until = perf_counter_ns() + int(scale.seconds * 2e9)
    for number in range(WARM + MOST_CALLS):
        began = perf_counter_ns()
        answer = pool.call(no_op, number)
        ended = perf_counter_ns()
        assert answer == number
        samples.append(ended - began)
        if ended > until and number > 2 * WARM:
            break
    pool.close()
    return median_and_p99(samples[WARM:])


WORKLOADS = (
    Workload("pool.map-1", "map of a no-op, chunksize 1, per task", partial(map_in_chunks, chunksize=1), RIVALS),
    Workload("pool.map", "map of a no-op, the rival's own chunks", partial(map_in_chunks, chunksize=None), RIVALS),
    Workload("pool.apply", "apply(): one task there and back", apply, RIVALS),
    Workload("pool.submit", "apply_async or submit of many no-ops, then all results", submit, RIVALS),
)
