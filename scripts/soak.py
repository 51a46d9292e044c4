"""Random deaths over pools, queues and locks under load, for so many seconds: `soak.py [SECONDS [SEED]]`.

In turn: a pool whose workers die and dawdle at steps that a seed chooses (`procession.testing.chaos`) and are also
killed from outside, in `map` and `map_reduce_by_key` with retries; and the storms of `crash.py` over queues and a lock.
Each round prints its seed: `soak.py 1 SEED` does that round again.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import crash

import procession
from procession.testing import Snapshot, chaos, descendants

WORKERS = 3
RATE = 0.002  # of a worker's steps; a task takes some ten, so one in fifty tasks meets something
PATIENT = 1000  # retries: the same item may well be met by several deaths
WORDS = ["one", "five", "nine"]


def double(number: int) -> tuple[int, bytes]:
    """A task with a result that is sometimes large."""
    return 2 * number, b"x" * (100_000 if number % 97 == 0 else 10)


@dataclass(frozen=True)
class PoolReport:
    """What a storm over a pool came to."""

    seed: int
    seconds: float
    calls: int
    tasks: int
    deaths: int  # by chaos
    delays: int
    kills: int  # from outside
    slowest_call_s: float

    def __str__(self) -> str:
        rate = (self.deaths + self.kills) / self.seconds * 60
        return (
            f"seed {self.seed}: pool, {self.deaths} deaths at steps, {self.kills} kills ({rate:.0f} a minute), "
            f"{self.delays} delays in {self.seconds:.1f} s; {self.calls} calls with {self.tasks} tasks, all right; "
            f"the slowest call took {self.slowest_call_s:.2f} s"
        )


def kill_one(rng: random.Random, others: set[int]) -> int:
    """Kill a process that this one, or a child of it, has started, but for the others and theirs; how many died."""
    mine = [child for child in Snapshot.take().children if child not in others]
    children = [pid for child in mine for pid in (child, *descendants(child))]
    if not children:
        return 0
    with suppress(ProcessLookupError):
        os.kill(rng.choice(children), signal.SIGKILL)
        return 1
    return 0


def call(pool: Any, number: int, rng: random.Random) -> int:
    """One call, checked; how many tasks it was."""
    size = rng.choice((1, 10, 300))
    if number % 3 == 2:
        found = pool.map_reduce_by_key(list, WORDS * size, reduce="count", retries=PATIENT)
        assert dict(found) == {key: count * size for key, count in Counter("".join(WORDS)).items()}
        found.close()
    else:
        results = pool.map(double, range(size), chunksize=rng.choice((1, 7)), retries=PATIENT)
        assert results == [double(task) for task in range(size)]
    return size


def pool_storm(seconds: float, seed: int) -> PoolReport:
    """Calls on one pool whose workers die. Raises AssertionError when a result is wrong; whatever a call raises."""
    rng = random.Random(seed)
    calls = tasks = kills = 0
    slowest, begin = 0.0, time.monotonic()
    others = set(Snapshot.take().children)  # a test's server, say
    with tempfile.NamedTemporaryFile("r") as log, chaos(seed, RATE, "both", log.name), procession.Pool(WORKERS) as pool:
        while (now := time.monotonic()) - begin < seconds:
            kills += kill_one(rng, others) if rng.random() < 0.3 else 0
            tasks += call(pool, calls, rng)
            calls += 1
            slowest = max(slowest, time.monotonic() - now)
        deeds = Counter(line.split()[1] for line in log)
    took = time.monotonic() - begin
    return PoolReport(seed, took, calls, tasks, deeds["kill"], deeds["delay"], kills, slowest)


def main() -> None:
    """Rounds until the time is over, at least one."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 120.0
    seeds = random.Random(int(sys.argv[2])) if len(sys.argv) > 2 else random.SystemRandom()
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else seeds.getrandbits(32)
    end = time.monotonic() + seconds
    while True:
        print(f"soak.py 1 {seed}", flush=True)
        print(pool_storm(min(seconds, 10), seed), flush=True)
        for maxsize in (0, 10):
            print(crash.storm(min(seconds, 10) / 2, seed, maxsize), flush=True)
        if time.monotonic() > end:
            return
        seed = seeds.getrandbits(32)


if __name__ == "__main__":
    main()
