"""The tables and the picture of docs/explanation/scheduling.md, from what was measured (`measured.json`) and the
simulation."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from math import ceil
from pathlib import Path
from typing import Any

from procession.pool.chunks import FAR, NEAR, Pace

from .advice import best_chunk, feeds, kruskal_weiss, least_chunk, longest
from .chart import Panel
from .measure import naps
from .pool import ADAPTIVE, Costs, Run, simulate
from .shuffle import Shuffle, Shuffled, simulate_shuffle
from .times import Constant, Drawn, items

HERE = Path(__file__).parent
MEASURED = HERE / "measured.json"
WORKERS = (10, 30, 100, 300, 1000, 3000, 10_000)
DECADES = (10, 100, 1000, 10_000)
ITEMS_EACH = 20  # for each worker in a run, at least; fewer, and the beginning and the end count for much
LOCAL_S, FAR_S = 0.3, 30.0  # seconds of work for each worker, at least: enough for tasks to become as long as wanted


def measured() -> dict[str, Any]:
    """What `simulate.py measure` wrote."""
    found: dict[str, Any] = json.loads(MEASURED.read_text())
    return found


def costs_of(known: dict[str, Any], engine: str, chunksize: int | None = ADAPTIVE) -> Costs:
    """Those of tasks of one item, or of several."""
    return Costs(**known["costs"][engine]["single" if chunksize == 1 else "chunk"])


# How figures are written


def seconds(value: float) -> str:
    """With a unit, in three figures."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9)):
        if abs(value) >= size * 0.9995:
            return f"{_three(value / size)} {unit}"
    return "0"


def _three(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def percent(part: float) -> str:
    """A part of one."""
    return f"{100 * part:.0f} %"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """In Markdown."""
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join(["---"] * len(head)) + " |"]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join(lines)


# The tables, one function each


def parameters(known: dict[str, Any]) -> str:
    """What was measured."""
    rows = []
    for engine, kinds in known["costs"].items():
        for kind, costs in kinds.items():
            given = Costs(**costs)
            rows.append(
                (
                    engine,
                    "one item" if kind == "single" else "several",
                    seconds(given.submit),
                    seconds(given.answer),
                    seconds(given.submit_item + given.answer_item),
                    seconds(given.worker),
                    seconds(given.worker_item),
                    seconds(given.there),
                )
            )
    head = ("workers in", "tasks of", "hand over", "take in", "each item", "worker: task", "worker: each item", "way")
    return table(head, rows)


def checked(known: dict[str, Any]) -> str:
    """The model against real runs: how far it is off."""
    rows: dict[tuple[str, object], dict[int, str]] = {}
    for point in known["points"]:
        name = f"{seconds(point['mean'])} {point['kind']}", point["chunksize"] or "adaptive"
        rows.setdefault(name, {})[point["workers"]] = f"{100 * off(known, point):+.1f} %"
    counts = sorted({point["workers"] for point in known["points"]})
    return table(("naps", "chunksize", *map(str, counts)), [(*name, *row.values()) for name, row in rows.items()])


def checked_rates(known: dict[str, Any]) -> str:
    """The same of the smallest tasks on one worker, which saturate."""
    rows = []
    for point in known["rates"]:
        costs = costs_of(known, point["method"], point["chunksize"])
        model = point["items"] / simulate(Constant(point["items"], 0.0), 1, costs, point["chunksize"]).makespan
        rows.append((point["chunksize"] or "adaptive", f"{point['rate'] / 1e6:.1f} M/s", f"{model / 1e6:.1f} M/s"))
    return table(("chunksize", "measured", "model"), rows)


def checked_far(known: dict[str, Any]) -> str:
    """The same on Dask, where some runs are saturated."""
    rows = []
    for point in known["far_points"]:
        run = rerun(known, point)
        row = seconds(point["mean"]), point["workers"], seconds(point["seconds"]), seconds(run.makespan)
        rows.append((*row, percent(run.load), f"{100 * off(known, point):+.0f} %"))
    return table(("naps", "workers", "measured", "model", "coordinator busy", "off by"), rows)


def off(known: dict[str, Any], point: dict[str, Any]) -> float:
    """By which part of the measured time the model's is longer."""
    return rerun(known, point).makespan / point["seconds"] - 1


def rerun(known: dict[str, Any], point: dict[str, Any]) -> Run:
    """The simulation of a real run: the same naps, each as much too long as naps are here."""
    asked = naps(point["kind"], point["mean"], point["workers"])
    taken = Drawn([nap + point["overslept"] for nap in asked])
    chunksize = point["chunksize"]
    return simulate(taken, point["workers"], costs_of(known, point["method"], chunksize), chunksize)


SIZES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)


def saturation(known: dict[str, Any]) -> str:
    """How many workers one coordinator feeds with tasks of one item, by how long an item takes."""
    rows = []
    for engine in known["costs"]:
        single = costs_of(known, engine, 1)
        fed = [_three(max(1.0, feeds(single, mean))) for mean in SIZES]
        rows.append((engine, seconds(single.of_coordinator()), _three(1 / single.of_coordinator()), *fed))
    return table(("workers in", "a task costs", "tasks a second", *map(seconds, SIZES)), rows)


def is_near(engine: str) -> bool:
    """Its workers are on this machine, and ours."""
    return engine in ("fork", "thread")


def pace_of(engine: str) -> Pace:
    """How long the pool wants tasks to be there."""
    return NEAR if is_near(engine) else FAR


def efficiency(known: dict[str, Any], engine: str, mean: float, workers: int) -> Run:
    """`Pool.map` without a chunksize, of equal items: some seconds' work for each worker, at least some dozen items."""
    each = LOCAL_S if is_near(engine) else FAR_S
    count = workers * max(ITEMS_EACH, round(each / mean))
    return simulate(Constant(count, mean), workers, costs_of(known, engine), pace=pace_of(engine))


def advised(known: dict[str, Any], engine: str, mean: float, workers: int) -> Run:
    """The same with tasks twice as long as the coordinator needs them to be at least."""
    costs = costs_of(known, engine)
    least = least_chunk(costs, mean, workers)
    size = 1 if least == float("inf") else ceil(2 * least)
    count = size * workers * ITEMS_EACH
    return simulate(Constant(count, mean), workers, costs, size)


def whereabouts(known: dict[str, Any]) -> str:
    """Where the workers' time goes."""
    rows = []
    for engine, mean in (("fork", 1e-4), ("dask", 1e-2)):
        for workers in WORKERS:
            run = efficiency(known, engine, mean, workers)
            whole = run.workers * run.makespan
            shares = [percent(part / whole) for part in (run.working, run.handling, run.starved, run.tail)]
            row = engine, seconds(mean), f"{workers:,}", *shares, percent(run.load), f"{run.items / run.tasks:.1f}"
            rows.append((*row, percent(advised(known, engine, mean, workers).efficiency)))
    head = ("workers in", "item", "workers", "working", "handling", "starved", "tail", "coordinator busy")
    return table((*head, "items in a task", "working, as advised"), rows)


ADVICE = (  # engine, times, mean, workers, items
    ("fork", "constant", 1e-5, 10, 1_000_000),
    ("fork", "constant", 1e-5, 100, 5_000_000),
    ("fork", "constant", 1e-5, 1000, 5_000_000),
    ("fork", "exponential", 1e-4, 10, 100_000),
    ("fork", "exponential", 1e-4, 100, 1_000_000),
    ("fork", "exponential", 1e-4, 1000, 2_000_000),
    ("fork", "exponential", 1e-4, 10_000, 2_000_000),
    ("fork", "heavy", 1e-3, 10, 100_000),
    ("fork", "heavy", 1e-3, 100, 400_000),
    ("dask", "exponential", 1e-3, 10, 100_000),
    ("dask", "exponential", 1e-3, 100, 1_000_000),
    ("dask", "exponential", 1e-2, 1000, 1_000_000),
    ("ray", "exponential", 1e-3, 10, 100_000),
    ("ray", "exponential", 1e-3, 100, 1_000_000),
    ("ray", "exponential", 1e-2, 1000, 1_000_000),
)


def advice(known: dict[str, Any]) -> str:
    """Items in a task: what is needed, what theory says, what is best by trial, what the pool chooses."""
    rows = []
    for engine, kind, mean, workers, count in ADVICE:
        costs, given = costs_of(known, engine), items(kind, count, mean)
        size, best = best_chunk(given, workers, costs)
        ours = simulate(given, workers, costs, pace=pace_of(engine))
        even = given.between(0, count) / workers
        least = least_chunk(costs, mean, workers)
        rows.append(
            (
                engine,
                f"{count:,} of {seconds(mean)}, {kind}",
                f"{workers:,}",
                "no size" if least == float("inf") else f"{least:,.0f}",
                f"{kruskal_weiss(count, workers, costs.worker, mean):,.0f}" if kind == "exponential" else "–",
                f"{size:,}: {percent(best.efficiency)}",
                f"{ours.items / ours.tasks:,.1f}: {percent(ours.efficiency)}",
                percent(even / max(even, longest(given))),
            )
        )
    return table(("workers in", "items", "workers", "least", "theory", "best", "adaptive", "limit"), rows)


WORK_EACH = 10.0  # seconds of mapping for each worker, and a quarter of it of merging


def shuffles(known: dict[str, Any]) -> str:
    """Map tasks and ranges, here and on a cluster."""
    rows = []
    for engine in known["handle"]:
        for workers in DECADES:
            usual = _ranges(engine, workers)
            tried = [usual, *(1 << power for power in range(1, (4 * workers).bit_length() + 1))]
            done = [(ranges, _shuffled(known, engine, workers, ranges)) for ranges in tried]
            best = min(done, key=lambda pair: pair[1].seconds)
            rows.append((engine, f"{workers:,}", *_told(done[0]), *_told(best)))
    return table(("workers in", "workers", *(f"{which}: {what}" for which in ("now", "best") for what in TOLD)), rows)


def _ranges(engine: str, workers: int) -> int:
    """As many as are made: see `pool.rounds` and `pool.far_keyed`."""
    return min(4 * workers, 256) if is_near(engine) else min(2 * workers, 64)


def _shuffled(known: dict[str, Any], engine: str, workers: int, ranges: int) -> Shuffled:
    maps = workers if is_near(engine) else 4 * workers
    whole = WORK_EACH * workers
    work = Shuffle(maps, ranges, whole, whole / 4, known["transfer"], known["handle"][engine])
    return simulate_shuffle(work, workers, costs_of(known, engine, 1))


TOLD = ("ranges", "map", "reduce", "efficiency")


def _told(pair: tuple[int, Shuffled]) -> tuple[str, ...]:
    ranges, done = pair
    return f"{ranges:,}", seconds(done.map.makespan), seconds(done.reduce.makespan), percent(done.efficiency)


TABLES: dict[str, Callable[[dict[str, Any]], str]] = {
    "parameters": parameters,
    "checked": checked,
    "checked-rates": checked_rates,
    "checked-far": checked_far,
    "saturation": saturation,
    "whereabouts": whereabouts,
    "advice": advice,
    "shuffles": shuffles,
}


def panels(known: dict[str, Any]) -> list[Panel]:
    """Efficiency over workers, a curve for each size of item."""
    near, far = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2), (1e-3, 1e-2, 1e-1, 1.0, 10.0)
    given = (
        ("Processes, Pool.map as it is", "fork", efficiency, near),
        ("Dask, Pool.map as it is", "dask", efficiency, far),
        ("Dask, tasks as long as advised", "dask", advised, far),
    )
    return [
        Panel(title, [(f"items of {seconds(mean)}", _curve(known, engine, by, mean)) for mean in means])
        for title, engine, by, means in given
    ]


def _curve(known: dict[str, Any], engine: str, by: Callable[..., Run], mean: float) -> list[tuple[float, float]]:
    return [(workers, by(known, engine, mean, workers).efficiency) for workers in WORKERS]
