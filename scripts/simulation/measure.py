"""What the simulation needs to know of this machine, measured on the real pool; and real runs to hold it against.

The coordinator's and the worker's costs are processor time (of the thread, of the process), so that other programs on
the machine disturb little. What a task costs is taken at several chunk sizes, and a line laid through them: its height
at no items is the task's cost, its slope the item's.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy

import procession
from procession.pool.mapping import _Adaptive
from procession.pool.rounds import RANGE_BYTES, RANGES_PER_WORKER
from procession.testing import wait_until

from .pool import ADAPTIVE, Costs, _Job
from .times import items

CHUNKS = (4, 16, 64, 256)
ITEMS = 40_000  # of one measurement
RATE_ITEMS = 400_000
AGAIN = 9  # measurements, of which the median counts
PATIENCE_S = 60
WORKERS = 2  # of a shuffle; as many as there are cores here
FEW_BYTES = 2 << 20  # of memory for it, so that it writes some hundred runs
KEYS_EACH = 2000
PARTS = ("submit", "answer", "worker")


def nothing(_: object) -> None:
    """The smallest task."""


def nap(seconds: float) -> float:
    """A task that needs a worker and no processor. Returns how long it really took."""
    begun = time.perf_counter()
    time.sleep(seconds)
    return time.perf_counter() - begun


def thousands(first: int) -> list[int]:
    """Keys of which no two are the same."""
    return list(range(first, first + KEYS_EACH))


def costs(method: str) -> dict[str, Costs]:
    """Of a start method: "single" for tasks of one item (`chunksize=1`), "chunk" for tasks of several."""
    with procession.get_context(method).Pool(1) as pool:
        pool.map(nothing, range(1000))
        single = _of_a_task(pool, 1)
        height, slope = _line([(chunk, _of_a_task(pool, chunk)) for chunk in CHUNKS])
        way = max(0.0, _round_trip(pool) - sum(single.values())) / 2
    single_costs = Costs(**single, there=way, back=way)
    by_item = {f"{part}_item": slope[part] for part in PARTS}
    height["submit"] += _planning()
    return {"single": single_costs, "chunk": Costs(**height, **by_item, there=way, back=way)}


def _of_a_task(pool: Any, chunk: int) -> dict[str, float]:
    """Seconds for a task of `chunk` items, without the time its function takes."""
    tasks = ITEMS // chunk
    seen: dict[str, list[float]] = {part: [] for part in PARTS}
    for _ in range(AGAIN):
        before = _processor_time(pool)
        submitted = _on_this_thread(lambda: pool.map_async(nothing, range(tasks * chunk), chunksize=chunk))
        engine = pool._core.engine
        # All answers lie ready before the first is taken in: what is measured is taking in, not waiting.
        wait_until(lambda engine=engine: engine.waiting == 0 and engine.answers.qsize() >= tasks, PATIENCE_S)
        seen["worker"].append((_processor_time(pool) - before) / tasks)
        answered = _on_this_thread(submitted.result.get)
        seen["submit"].append(submitted.seconds / tasks)
        seen["answer"].append(answered.seconds / tasks)
    return {part: statistics.median(values) for part, values in seen.items()}


class _Timed:
    def __init__(self, result: Any, seconds: float) -> None:
        self.result, self.seconds = result, seconds


def _on_this_thread(call: Callable[[], Any]) -> _Timed:
    begun = time.thread_time()
    result = call()
    return _Timed(result, time.thread_time() - begun)


def _processor_time(pool: Any) -> float:
    """Seconds that the pool's workers, processes or threads, have used."""
    used = 0
    for worker in pool._core.engine.workers.values():
        number = getattr(worker, "native_id", None) or worker.pid
        with open(f"/proc/{number}/schedstat") as file:
            used += int(file.read().split()[0])
    return used / 1e9


def _line(points: Sequence[tuple[int, dict[str, float]]]) -> tuple[dict[str, float], dict[str, float]]:
    """For each part the height at 0 and the slope of the line nearest to these points."""
    height, slope = {}, {}
    for part in PARTS:
        fit = numpy.polyfit([chunk for chunk, _ in points], [cost[part] for _, cost in points], 1)
        slope[part], height[part] = (max(0.0, float(value)) for value in fit)
    return height, slope


def _planning() -> float:
    """Seconds the pool takes to decide on the size of a chunk; not part of `map_async`."""
    tasks = 1000
    job = _Job(tasks)
    plan = _Adaptive(job, job)
    plan(10**9)
    job.measured = (tasks, tasks * 10_000)
    begun = time.thread_time()
    sizes = plan(10**9)
    return (time.thread_time() - begun) / len(sizes)


def _round_trip(pool: Any) -> float:
    """Seconds for one task when everybody is asleep."""
    seen = []
    for _ in range(200):
        time.sleep(0.003)  # by then worker and caller have stopped spinning
        begun = time.perf_counter()
        pool.apply(nothing, (0,))
        seen.append(time.perf_counter() - begun)
    return statistics.median(seen)


def transfer(keys: int = 1_000_000) -> float:
    """Seconds it takes a worker to read what one range needs of one run, and to merge it with the others'.

    Of two maps of the same size, one of which was made to write its tables early and so many more runs, the difference.
    """
    seen: dict[int | None, Any] = {None: None, FEW_BYTES: None}
    with procession.get_context("fork").Pool(WORKERS) as pool:
        for budget in seen:
            for _ in range(3):
                items = range(0, keys, KEYS_EACH)
                with pool.map_reduce_by_key(thousands, items, "count", memory_budget=budget) as answer:
                    told = answer.statistics
                if seen[budget] is None or told.reduce_seconds < seen[budget].reduce_seconds:
                    seen[budget] = told
    few, many = seen[None], seen[FEW_BYTES]
    ranges = min(RANGES_PER_WORKER * WORKERS, max(1, few.run_bytes // RANGE_BYTES))
    return WORKERS * (many.reduce_seconds - few.reduce_seconds) / ((many.runs - few.runs) * ranges)


# Real runs. Tasks that sleep need no processor, so that two cores can carry 64 workers.

POINTS = [
    (kind, mean, workers, chunksize)
    for kind, mean in (
        ("constant", 0.001),
        ("constant", 0.005),
        ("constant", 0.02),
        ("exponential", 0.005),
        ("heavy", 0.005),
    )
    for workers in (1, 2, 4, 8, 16, 64)
    for chunksize in (1, ADAPTIVE)
]
WORK_S = 0.4  # of each worker of such a run


def naps(kind: str, mean: float, workers: int) -> list[float]:
    """What the workers of a real run are told to sleep."""
    asked = items(kind, max(4, round(WORK_S / mean)) * workers, mean)
    return [asked.between(number, number + 1) for number in range(len(asked))]


def run(method: str, kind: str, mean: float, workers: int, chunksize: int | None) -> dict[str, Any]:
    """A real run: how long it took, and how long its naps were in truth, in order. The quicker of two."""
    asked, best = naps(kind, mean, workers), None
    with procession.get_context(method).Pool(workers) as pool:
        pool.map(nothing, range(100 * workers), chunksize=1)
        for _ in range(2):
            begun = time.perf_counter()
            slept = pool.map(nap, asked, chunksize=chunksize)
            seconds = time.perf_counter() - begun
            if best is None or seconds < best[0]:
                best = seconds, slept
    overslept = statistics.median(real - told for real, told in zip(best[1], asked, strict=True))
    given = {"kind": kind, "mean": mean, "workers": workers, "chunksize": chunksize}
    return {"method": method, **given, "items": len(asked), "overslept": overslept, "seconds": best[0]}


RATES = (1, 16, 256, ADAPTIVE)  # chunk sizes


def rate(method: str, chunksize: int | None) -> dict[str, Any]:
    """Items a second of a real run of the smallest tasks on one worker; the best of five."""
    best = 0.0
    with procession.get_context(method).Pool(1) as pool:
        for _ in range(5):
            begun = time.perf_counter()
            pool.map(nothing, range(RATE_ITEMS), chunksize=chunksize)
            best = max(best, RATE_ITEMS / (time.perf_counter() - begun))
    return {"method": method, "chunksize": chunksize, "items": RATE_ITEMS, "rate": best}
