"""What follows from the model: when the coordinator is saturated, and how many items should go into a task."""

from __future__ import annotations

from math import ceil, log, sqrt

from .pool import Costs, Items, Run, simulate

MOST_TASKS = 400_000  # of a run that is tried; more take longer than the answer is worth


def feeds(costs: Costs, seconds: float, items: int = 1) -> float:
    """How many workers one coordinator can feed with tasks of `items` items of `seconds` each: the bound, and no run.

    A worker asks once in a task's time, and the coordinator needs its cost for each.
    """
    return (items * (seconds + costs.worker_item) + costs.worker) / costs.of_coordinator(items)


def least_chunk(costs: Costs, seconds: float, workers: int) -> float:
    """The same the other way round: items of `seconds` that a task must have, for the coordinator to feed `workers`.

    Infinite if an item costs the coordinator more than a worker's share of its time.
    """
    left = seconds + costs.worker_item - workers * (costs.submit_item + costs.answer_item)
    need = workers * (costs.submit + costs.answer) - costs.worker
    return max(1.0, need / left) if left > 0 else float("inf")


def kruskal_weiss(count: int, workers: int, overhead: float, deviation: float) -> float:
    """Items in a chunk of equal size for which `count` items of this standard deviation are expected to end first.

    Kruskal and Weiss, Allocating independent subtasks on parallel processors (1985), for count >> workers. `overhead`
    is a worker's for a chunk, in seconds. It knows no coordinator that could be busy.
    """
    if deviation == 0 or workers < 2:
        return count / workers
    return (sqrt(2) * count * overhead / (deviation * workers * sqrt(log(workers)))) ** (2 / 3)


def longest(items: Items) -> float:
    """Seconds of the item that takes longest: nobody is done sooner."""
    return max(items.between(number, number + 1) for number in range(len(items)))


def best_chunk(items: Items, workers: int, costs: Costs) -> tuple[int, Run]:
    """The size, of the powers of two, with which all items are done first, and the run."""
    most = max(1, ceil(len(items) / workers))
    sizes = [1 << power for power in range(most.bit_length()) if len(items) >> power <= MOST_TASKS]
    runs = [(size, simulate(items, workers, costs, size)) for size in sizes]
    return min(runs, key=lambda pair: pair[1].makespan)
