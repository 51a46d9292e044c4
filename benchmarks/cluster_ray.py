"""What a task costs on Ray: our pool, Ray called by hand, and Ray's own pool, on one Ray with two CPUs.

    python benchmarks/cluster_ray.py [ROUNDS]

Microseconds for each task (call, item), the median of ROUNDS (9) rounds in which all take turns, and the least and the
most. The function gives back its argument, so everything is overhead. Needs `pip install 'procession[ray]'`.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import ray
from ray.util.multiprocessing import Pool as TheirPool
from ray.util.queue import Queue as TheirQueue

import procession

TASKS, ITEMS, CALLS = 1_000, 20_000, 100
CHUNK = 500  # items, where by hand somebody has to say how many


def same(thing: int) -> int:
    return thing


@ray.remote
def same_by_hand(thing: int) -> int:
    return thing


@ray.remote
def all_by_hand(things: list[int]) -> list[int]:
    return [same(thing) for thing in things]


def main(rounds: int) -> None:
    context = procession.get_context("ray")
    print(f"ray {ray.__version__}, Python {sys.version.split()[0]}, load {os.getloadavg()[0]:.1f}, {rounds} rounds")
    theirs = TheirPool(2)
    queue, their_queue = context.Queue(), TheirQueue()
    with context.Pool(2) as pool:
        compare(
            "map of one item a task",
            TASKS,
            rounds,
            procession=lambda: pool.map(same, range(TASKS), chunksize=1),
            by_hand=lambda: ray.get([same_by_hand.remote(number) for number in range(TASKS)]),
            ray_pool=lambda: theirs.map(same, range(TASKS), chunksize=1),
        )
        compare(
            "map, chunks chosen",
            ITEMS,
            rounds,
            procession=lambda: pool.map(same, range(ITEMS)),
            by_hand=lambda: by_hand_in_chunks(),
            ray_pool=lambda: theirs.map(same, range(ITEMS)),
        )
        compare(
            "one call and its answer",
            CALLS,
            rounds,
            procession=lambda: [pool.apply(same, (number,)) for number in range(CALLS)],
            by_hand=lambda: [ray.get(same_by_hand.remote(number)) for number in range(CALLS)],
            ray_pool=lambda: [theirs.apply(same, (number,)) for number in range(CALLS)],
        )
        compare(
            "a queue's put and get",
            CALLS,
            rounds,
            procession=lambda: [put_and_get(queue, number) for number in range(CALLS)],
            ray_queue=lambda: [put_and_get(their_queue, number) for number in range(CALLS)],
        )
    theirs.terminate()
    their_queue.shutdown(force=True)
    context.close()


def by_hand_in_chunks() -> list[int]:
    chunks = [list(range(first, first + CHUNK)) for first in range(0, ITEMS, CHUNK)]
    return [item for chunk in ray.get([all_by_hand.remote(chunk) for chunk in chunks]) for item in chunk]


def put_and_get(queue: Any, item: int) -> None:
    queue.put(item)
    queue.get()


def compare(what: str, count: int, rounds: int, **rivals: Callable[[], Any]) -> None:
    """One row for each, after a round that does not count."""
    taken: dict[str, list[float]] = {name: [] for name in rivals}
    for number in range(rounds + 1):
        for name, run in rivals.items():
            began = time.perf_counter()
            run()
            if number:
                taken[name].append((time.perf_counter() - began) / count * 1e6)
    for name, times in taken.items():
        middle = statistics.median(times)
        print(f"| {what} | {name.replace('_', ' ')} | {middle:.1f} | {min(times):.1f} | {max(times):.1f} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
