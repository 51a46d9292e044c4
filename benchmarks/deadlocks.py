"""How soon a deadlock is noticed, and what looking for deadlocks costs who has none.

    python benchmarks/deadlocks.py [TIMES]

First, two processes close a circle of two locks TIMES times (50): from the moment when the second one begins to wait
until DeadlockError is raised. Then acquire and release of a free lock, alone and within another, off and on.
"""

import statistics
import sys
import time
from typing import Any

import procession
from procession.errors import DeadlockError


def party(first: Any, second: Any, met: Any, times: int, told: Any) -> None:
    for _ in range(times):
        with first:
            met.wait()
            began = time.monotonic()
            try:
                with second:
                    pass
            except DeadlockError:
                told.put((began, time.monotonic()))
            else:
                told.put((began, None))
        met.wait()


def latencies(times: int) -> list[float]:
    """Seconds from the later of two beginnings to the exception."""
    context = procession.get_context("fork")
    left, right, met, told = context.Lock(), context.Lock(), context.Barrier(2), context.Queue()
    both = [(left, right), (right, left)]
    parties = [context.Process(target=party, args=(*locks, met, times, told)) for locks in both]
    for process in parties:
        process.start()
    found = []
    for _ in range(times):
        (one, one_ended), (other, other_ended) = told.get(timeout=20), told.get(timeout=20)
        found.append((one_ended or other_ended) - max(one, other))
    for process in parties:
        process.join()
    return found


def cost(nested: bool, count: int = 200_000) -> float:
    """Nanoseconds for one `with lock: pass`, the best of five."""
    outer, inner = procession.Lock(), procession.Lock()
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        if nested:
            with outer:
                for _ in range(count):
                    with inner:
                        pass
        else:
            for _ in range(count):
                with inner:
                    pass
        best = min(best, time.perf_counter() - began)
    return best / count * 1e9


def main() -> None:
    off = cost(False), cost(True)
    procession.detect_deadlocks()
    on = cost(False, 20_000), cost(True, 20_000)
    found = latencies(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
    print(f"noticed after {statistics.median(found) * 1e3:.1f} ms (median), {max(found) * 1e3:.1f} ms (worst)")
    for name, before, after in zip(("alone", "within another"), off, on, strict=True):
        print(f"a free lock {name}: {before:.0f} ns off, {after:.0f} ns on")


if __name__ == "__main__":
    main()
