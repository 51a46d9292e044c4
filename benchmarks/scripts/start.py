"""Start children one after the other, print what the first and the following cost, in nanoseconds.

Usage: start.py MODULE process|pool METHOD IMPORTS HEAP_MIB. A file of its own, so that spawn and forkserver see a real
main module; children re-run the part above the guard, imports included, as they would in a user's program.
"""

from __future__ import annotations

import importlib
import json
import sys
from statistics import median
from time import perf_counter_ns
from typing import Any

REPEATS = 6
PAGE = 4096

if sys.argv[4:] and sys.argv[4] != "-":
    importlib.import_module(sys.argv[4])


def answer(queue: Any) -> None:
    queue.put("ready")


def double(number: int) -> int:
    return number * 2


def run_process(context: Any) -> None:
    queue = context.Queue()
    process = context.Process(target=answer, args=(queue,))
    process.start()
    assert queue.get() == "ready"
    process.join()
    assert process.exitcode == 0


def run_pool(context: Any) -> None:
    pool = context.Pool(2)
    assert pool.apply(double, (21,)) == 42
    pool.close()
    pool.join()


def main() -> None:
    name, what, method, _, heap_mib = sys.argv[1:6]
    heap = bytearray(int(heap_mib) << 20)
    heap[::PAGE] = b"\1" * len(heap[::PAGE])  # touched, so that fork has page tables to copy
    try:
        context = importlib.import_module(name).get_context(method)
        run = {"process": run_process, "pool": run_pool}[what]
        costs = []
        for _ in range(REPEATS):
            began = perf_counter_ns()
            run(context)
            costs.append(perf_counter_ns() - began)
    except (ImportError, AttributeError) as error:
        sys.exit(f"missing: {error}")
    print(json.dumps({"first": costs[0], "next": median(costs[1:])}))


if __name__ == "__main__":
    main()
