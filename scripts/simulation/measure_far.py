"""The same numbers of a pool on a cluster of this machine, by the same pool; see `measure`.

Where the coordinator is depends on the cluster: of a local Dask cluster the scheduler runs in the caller's process, in
Ray the caller hands tasks to workers itself. So its cost is the processor time of this process, all threads; that of
everything below it is the worker's. Handing over and taking in overlap and are not told apart: each gets half.
"""

from __future__ import annotations

import os
import statistics
import time
from typing import Any

import numpy

import procession
from procession.testing import descendants

from .measure import nap, nothing
from .pool import Costs

TASKS = 1500  # of one measurement
AGAIN = 3
CHUNKS = (1, 16, 128)
PARTS_EACH = 32  # parts of a map task, for the cost of a part


def costs(engine: str) -> dict[str, Costs]:
    """Of "dask" or "ray": tasks of one item and of several cost the same there."""
    with procession.get_context(engine) as context, context.Pool() as pool:
        pool.map(nothing, range(300), chunksize=1)
        points = [(chunk, *_of_a_task(pool, chunk)) for chunk in CHUNKS]
        way = max(0.0, _round_trip(pool) - points[0][1] - points[0][2]) / 2
    chunks = [chunk for chunk, _, _ in points]
    slope, height = (max(0.0, float(value)) for value in numpy.polyfit(chunks, [here for _, here, _ in points], 1))
    worker_slope, worker = (
        max(0.0, float(value)) for value in numpy.polyfit(chunks, [there for _, _, there in points], 1)
    )
    halves = {"submit": height / 2, "answer": height / 2, "submit_item": slope / 2, "answer_item": slope / 2}
    found = Costs(**halves, worker=worker, worker_item=worker_slope, there=way, back=way)
    return {"single": found, "chunk": found}


def _of_a_task(pool: Any, chunk: int) -> tuple[float, float]:
    """Seconds of the processor for a task of `chunk` items: of this process, and of all that are below it."""
    tasks = max(300, TASKS // chunk)
    here, there = [], []
    for _ in range(AGAIN):
        before, below = time.process_time(), _used_below()
        pool.map(nothing, range(tasks * chunk), chunksize=chunk)
        here.append((time.process_time() - before) / tasks)
        there.append((_used_below() - below) / tasks)
    return statistics.median(here), statistics.median(there)


def _used_below() -> float:
    """Seconds of the processor that the live descendants of this process have used."""
    used = 0
    for pid in descendants(os.getpid()):
        try:
            for thread in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{thread}/schedstat") as file:
                    used += int(file.read().split()[0])
        except OSError:
            continue  # it has ended meanwhile
    return used / 1e9


def _round_trip(pool: Any) -> float:
    seen = []
    for _ in range(50):
        begun = time.perf_counter()
        pool.apply(nothing, (0,))
        seen.append(time.perf_counter() - begun)
    return statistics.median(seen)


def handle(engine: str, maps: int = 40) -> float:
    """Seconds of this process for one part that a map task leaves with the cluster and a reduce task is handed."""
    with procession.get_context(engine) as context:
        cluster = context.cluster
        spent = {}
        for parts in (1, PARTS_EACH):
            before = time.process_time()
            left = [cluster.spread(parts, _parts, parts) for _ in range(maps)]
            ended = [cluster.submit(_count, *(row[part] for row in left)) for part in range(parts)]
            assert [call.result(60) for call in ended] == [maps] * parts
            spent[parts] = time.process_time() - before
            del left
    whole = spent[PARTS_EACH] - spent[1]
    return whole / (maps * (PARTS_EACH - 1))


def _parts(count: int) -> list[bytes]:
    return [b"part"] * count


def _count(*parts: bytes) -> int:
    return len(parts)


POINTS = [(mean, workers) for mean in (0.001, 0.01, 0.1) for workers in (2, 8, 32)]


def dask_runs() -> list[dict[str, Any]]:
    """Real runs on Dask, of naps, on as many threads of two worker processes. The quicker of two."""
    import distributed

    found = []
    for workers in sorted({workers for _, workers in POINTS}):
        options = {"n_workers": 2, "threads_per_worker": workers // 2, "dashboard_address": "127.0.0.1:0"}
        with (
            distributed.LocalCluster(**options) as cluster,
            distributed.Client(cluster) as client,
            procession.get_context(client) as context,
            context.Pool(workers) as pool,
        ):
            pool.map(nothing, range(10 * workers), chunksize=1)
            found += [_run(pool, mean, workers) for mean, count in POINTS if count == workers]
    return found


def _run(pool: Any, mean: float, workers: int) -> dict[str, Any]:
    count = workers * max(4, round(0.4 / mean))
    best = None
    for _ in range(2):
        begun = time.perf_counter()
        slept = pool.map(nap, [mean] * count, chunksize=1)
        seconds = time.perf_counter() - begun
        if best is None or seconds < best[0]:
            best = seconds, slept
    given = {"kind": "constant", "mean": mean, "workers": workers, "chunksize": 1, "items": count}
    return {"method": "dask", **given, "overslept": statistics.median(best[1]) - mean, "seconds": best[0]}
