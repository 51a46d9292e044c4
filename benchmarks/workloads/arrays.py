"""What surrounds small tasks: 16 arrays of 32 MiB through Pool.map, as arguments and as results, and a heavy tail.

Arrays: numpy, float64. As arguments they exist beforehand, and each is read in a worker (one number of every page). As
results each is made in a worker (`numpy.full`, so every page is written), all are kept, and the caller reads one number
of every page; that is part of the time. The first map of a pool is a row of its own; the others are its second and
third. Memory is measured in maps that are not timed: see `scripts/peak.py`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter, perf_counter_ns, sleep
from typing import Any

from benchmarks.model import Costs, Scale, Workload
from benchmarks.rivals import Rival

PEAK = Path(__file__).resolve().parent.parent / "scripts" / "peak.py"
ARRAYS = 16
ARRAY_BYTES = 32 << 20
NUMBERS = ARRAY_BYTES // 8
PAGE_NUMBERS = 512  # numbers in a page
MAPS = 3

TASKS = 600
LEAST_S, MOST_S = 0.001, 0.050
TAIL = 1.1  # exponent of the Pareto distribution: the ten longest of 600 take as long as the shortest 300


def read(array: Any) -> float:
    """One number of every page, added up."""
    return float(array[::PAGE_NUMBERS].sum())


def make(number: int) -> Any:
    import numpy

    return numpy.full(NUMBERS, float(number))


SUMS = [float(number) * (NUMBERS // PAGE_NUMBERS) for number in range(ARRAYS)]


def arguments(pool: Any) -> Callable[[], list[float]]:
    arrays = [make(number) for number in range(ARRAYS)]
    return lambda: list(pool.map(read, arrays, None))


def results(pool: Any) -> Callable[[], list[float]]:
    return lambda: [read(array) for array in list(pool.map(make, range(ARRAYS), None))]


Direction = Callable[[Any], Callable[[], list[float]]]


def timed(rival: Rival, scale: Scale, direction: Direction, method: str) -> Costs:
    """Nanoseconds of a whole map: the first, and the median of those after it."""
    pool = rival.pool(method)
    pool.map(abs, range(20), None)
    run = direction(pool)
    samples = []
    for _ in range(MAPS):
        began = perf_counter_ns()
        answer = run()
        samples.append(perf_counter_ns() - began)
        assert answer == SUMS, "wrong arrays"
    pool.close()
    return {"": median(samples[1:]), "first": samples[0]}


def peak(rival: Rival, scale: Scale, direction: Direction, method: str) -> Costs:
    """MiB of the program and its workers at the worst moment of two maps."""
    pool = rival.pool(method)
    run = direction(pool)
    command = [sys.executable, str(PEAK), str(os.getpid())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as watcher:
        assert watcher.stdout
        watcher.stdout.readline()
        assert run() == run() == SUMS, "wrong arrays"
        answer, _ = watcher.communicate()
    pool.close()
    return {"": float(answer)}


def heavy_tail() -> list[float]:
    """Seconds of each task: Pareto, cut off at both ends, the longest last."""
    random = Random(3)
    return sorted(min(MOST_S, LEAST_S * random.paretovariate(TAIL)) for _ in range(TASKS))


def rest(seconds: float) -> float:
    """Take so long, and no core; returns how long it was."""
    began = perf_counter()
    sleep(seconds)
    return perf_counter() - began


def makespan(rival: Rival, scale: Scale) -> Costs:
    """Time of a map over that of an ideal schedule: each worker an equal share, or the longest task if that is more.

    Tasks sleep, so that it is the schedule that is measured, and not who else uses the cores. The ideal is made of what
    the tasks took by their own clocks, since every sleep lasts longer than it should; "nominal" is over what was asked.
    """
    pool = rival.pool()
    tasks = heavy_tail()
    pool.map(rest, [0.0] * 100, None)
    began = perf_counter()
    took = list(pool.map(rest, tasks, None))
    elapsed = perf_counter() - began
    pool.close()
    return {"": elapsed / max(sum(took) / 2, max(took)), "nominal": elapsed / max(sum(tasks) / 2, max(tasks))}


def _arrays(name: str, about: str, direction: Direction) -> list[Workload]:
    about = f"{ARRAYS} arrays of 32 MiB as {about}"
    return [
        *[
            Workload(
                f"pool.{name}{suffix}",
                f"map: {about}, workers by {method}",
                partial(timed, direction=direction, method=method),
                slow=True,
            )
            for suffix, method in (("", "fork"), ("-forkserver", "forkserver"))
        ],
        Workload(
            f"pool.{name}-peak",
            f"{about}: most memory of all processes, MiB",
            partial(peak, direction=direction, method="fork"),
            unit="",
            slow=True,
        ),
    ]


WORKLOADS = (
    *_arrays("arrays-in", "arguments", arguments),
    *_arrays("arrays-out", "results", results),
    Workload("pool.heavy-tail", f"map of {TASKS} tasks of 1–50 ms: time over the ideal", makespan, unit=""),
)
