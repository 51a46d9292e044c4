"""What an item costs on Dask: our pool, and Dask called by hand, on one scheduler with two worker processes.

    python -m benchmarks.cluster [--rounds N] [--save]

Microseconds an item, the median of the rounds (and the least and the most), in which all take turns. The function gives
back its argument, so everything is overhead. With chunks that are left to each library, and with one item a task, where
only the way to the scheduler and back is compared. `Client.map` has no chunks: an item is a task. dask.bag chooses
about a hundred partitions, and without a scheduler's address would use another machinery.

Needs `pip install 'procession[dask]' 'dask[bag]'`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dask
import dask.bag
import distributed

import procession
from benchmarks.machine import describe

ITEMS, TASKS, CALLS = 2_000, 500, 100
RESULTS = Path(__file__).parent / "results"


def same(thing: Any) -> Any:
    return thing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--save", metavar="NAME", help="write results/NAME.md")
    options = parser.parse_args()
    machine = describe()
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        distributed.Client(cluster) as client,
        procession.get_context(client) as context,
        context.Pool() as pool,
    ):
        tables = [
            ("An item of a map, chunks left to each", ITEMS, rivals(client, pool, ITEMS)),
            ("A task: one item each", TASKS, one_each(client, pool)),
            ("A call and its answer, one after the other", CALLS, calls(client, pool)),
        ]
        text = "\n\n".join(table(title, items, runs, options.rounds) for title, items, runs in tables)
    packages = ", ".join(f"{name} {version(name)}" for name in ("procession", "dask", "distributed"))
    head = (
        f"# Dask, {machine['date'][:10]}\n\n{__doc__.partition(chr(10))[0]}\n\nCommit {machine['commit']}; "
        f"{machine['cpu']}, {machine['cores']} cores, load {machine['load']} before the run; {machine['python']}, "
        f"{packages}. Microseconds: median (least to most) of {options.rounds} rounds, in which all took turns. "
        "`python -m benchmarks.cluster`\n\n"
    )
    print(head + text)
    if options.save:
        (RESULTS / f"{options.save}.md").write_text(f"{head}{text}\n")


def rivals(client: Any, pool: Any, items: int) -> dict[str, Callable[[], Any]]:
    return {
        "procession `Pool.map`": lambda: pool.map(same, range(items)),
        "`Client.map` and `gather`": lambda: client.gather(client.map(same, range(items), pure=False)),
        "`dask.bag`": lambda: dask.bag.from_sequence(range(items)).map(same).compute(scheduler=client),
    }


def one_each(client: Any, pool: Any) -> dict[str, Callable[[], Any]]:
    return {
        "procession `Pool.map(chunksize=1)`": lambda: pool.map(same, range(TASKS), chunksize=1),
        "`Client.map` and `gather`": lambda: client.gather(client.map(same, range(TASKS), pure=False)),
        "`Client.submit` and `gather`": lambda: client.gather(
            [client.submit(same, number, pure=False) for number in range(TASKS)]
        ),
        "`dask.bag`, a partition each": lambda: (
            dask.bag.from_sequence(range(TASKS), npartitions=TASKS).map(same).compute(scheduler=client)
        ),
    }


def calls(client: Any, pool: Any) -> dict[str, Callable[[], Any]]:
    return {
        "procession `Pool.apply`": lambda: [pool.apply(same, (number,)) for number in range(CALLS)],
        "`Client.submit(…).result()`": lambda: [
            client.submit(same, number, pure=False).result() for number in range(CALLS)
        ],
    }


def table(title: str, items: int, runs: dict[str, Callable[[], Any]], rounds: int) -> str:
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            began = time.perf_counter()
            answer = run()
            took = time.perf_counter() - began
            assert list(answer) == list(range(items)), name
            if number:  # the first round warms up
                times[name].append(took / items * 1e6)
    rows = [
        f"| {name} | {statistics.median(each):,.0f} | {min(each):,.0f} to {max(each):,.0f} |"
        for name, each in times.items()
    ]
    return "\n".join([f"## {title} ({items:,} of them)", "", "| | µs | |", "| --- | --- | --- |", *rows])


if __name__ == "__main__":
    main()
