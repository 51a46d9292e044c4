"""A storm of kills over a pool: `storm_pool.py [SEED]`.

5,000 tasks of 2 ms of CPU with retries, done by two workers: undisturbed, and while 200 times a random worker is killed
by SIGKILL, at moments spread over the whole. Checked: every result comes, is right and comes once; nothing hangs. Told:
how many times as long the storm took (3 would be too much), and what it cost: tasks begun again, workers started.

`imap_unordered` gives results as they come, so one that came twice would be seen; `map` is what most programs use.
"""

from __future__ import annotations

import faulthandler
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import procession

TASKS, KILLS, WORKERS = 5000, 200, 2
RETRIES = 20  # of one item, which is hit once as a rule
WORK_S = 0.002
MOST_RATIO = 3.0
MOST_S = 120.0  # for one run; longer is a hang
ENTRIES = ("imap_unordered", "map")


def rounds_of_work() -> int:
    """How far to count so that it takes that much CPU."""
    rounds = 1_000_000
    began = time.thread_time()
    sum(range(rounds))
    return int(rounds * WORK_S / (time.thread_time() - began))


ROUNDS = rounds_of_work()


def work(given: tuple[int, Any]) -> int:
    """Some CPU; counts how often it was begun."""
    number, begun = given
    begun[number] += 1
    sum(range(ROUNDS))
    return number * number


@dataclass(frozen=True)
class Run:
    """What a run came to."""

    seconds: float
    kills: int
    begun: int  # tasks, those done again too
    started: int  # workers

    def __str__(self) -> str:
        return f"{self.seconds:.2f} s ({self.begun} begun, {self.started} workers, {self.kills} kills)"


class Killer(threading.Thread):
    """Kills a random worker whenever the map has come to one of so many random places."""

    def __init__(self, pool: Any, kills: int, rng: random.Random) -> None:
        super().__init__(daemon=True)
        self._pool, self._rng = pool, rng
        self._places = sorted(rng.randrange(TASKS * 95 // 100) for _ in range(kills))
        self._over = threading.Event()
        self._killed: set[int] = set()  # pids; one may take a while to be gone

    @property
    def kills(self) -> int:
        """How many there were."""
        return len(self._killed)

    def run(self) -> None:
        """Until there are no more places, or `stop`."""
        for place in self._places:
            while self._pool._core.engine.tasks.position[0] < place or not self._kill():
                if self._over.wait(0.0005):
                    return

    def _kill(self) -> bool:
        living = [worker.pid for worker in self._pool._pool if worker.exitcode is None]
        choice = [pid for pid in living if pid not in self._killed]
        if choice:
            pid = self._rng.choice(choice)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                self._killed.add(pid)
                return True
        return False

    def stop(self) -> None:
        """No more kills."""
        self._over.set()
        self.join()


def run(entry: str, kills: int, seed: int) -> Run:
    """Make the map once. Raises: AssertionError for a result that is missing, wrong or there twice."""
    context = procession.get_context("fork")
    begun = context.Array("B", TASKS, lock=False)
    faulthandler.dump_traceback_later(MOST_S, exit=True)
    with context.Pool(WORKERS, retries=RETRIES) as pool:
        killer = Killer(pool, kills, random.Random(seed))
        began = time.monotonic()
        killer.start()
        results = list(getattr(pool, entry)(work, [(number, begun) for number in range(TASKS)]))
        seconds = time.monotonic() - began
        killer.stop()
        started = pool.statistics().started
    pool.join()
    faulthandler.cancel_dump_traceback_later()
    assert Counter(results) == Counter(number * number for number in range(TASKS)), f"{entry}, seed {seed}"
    return Run(seconds, killer.kills, sum(begun), started)


def main() -> None:
    """Both entries, with and without kills."""
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else random.SystemRandom().getrandbits(32)
    for entry in ENTRIES:
        calm, storm = run(entry, 0, seed), run(entry, KILLS, seed)
        ratio = storm.seconds / calm.seconds
        print(f"{entry}, {TASKS} tasks, seed {seed}: calm {calm}; storm {storm}; ratio {ratio:.2f}", flush=True)
        assert storm.kills == KILLS, "the map was over too soon"
        if ratio > MOST_RATIO:
            sys.exit(f"the storm took more than {MOST_RATIO:g} times as long")


if __name__ == "__main__":
    main()
