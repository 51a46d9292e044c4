"""A storm of kills over a JoinableQueue: `crash_joinable.py [SECONDS [SEED]]`.

As `crash.py`, but no item may be lost: what a killed consumer had taken comes back. A byte per number says how far it
got: 0 never arrived, 1 about to be acknowledged, 2 acknowledged. Checked: nothing stands still for two seconds, nothing
is torn, nothing acknowledged arrives again, every number that was put gets to 1 at least, `join` returns in the end,
and the arena is as empty as it was. (A consumer killed between the 1 and its `task_done` makes an item come again: at
least once is what is promised.)
"""

from __future__ import annotations

import mmap
import os
import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import crash
from crash import BATCH, CONSUMERS, PRODUCERS, RANGE, READY, TORN, body

from procession.queues import JoinableQueue

AGAIN = TORN + 16  # something acknowledged came again
REDELIVERED = TORN + 24  # one count for each consumer's slot


@dataclass(frozen=True)
class Report:
    """What a storm came to."""

    seed: int
    seconds: float
    kills: int
    consumers_killed: int
    put: int
    lost: int
    again: int  # items that came again after they had been acknowledged
    redelivered: int  # times that an item came with a count above 1
    worst_stalls_s: tuple[float, float]
    objects_left: int

    def __str__(self) -> str:
        rate = self.kills / self.seconds * 60
        return (
            f"seed {self.seed}: {self.kills} kills in {self.seconds:.1f} s ({rate:.0f} a minute), "
            f"{self.consumers_killed} of consumers; {self.put} items put ({self.put / self.seconds:.0f}/s), "
            f"{self.redelivered} delivered again, {self.lost} lost, {self.again} again after their acknowledgement; "
            f"worst stalls {', '.join(f'{stall * 1000:.0f}' for stall in self.worst_stalls_s)} ms (put, get)"
        )


def consume(table: mmap.mmap, slot: int, jobs: JoinableQueue) -> None:
    """Take items, one by one and in batches, and acknowledge each."""
    table[READY + slot] = 1
    count = REDELIVERED + 8 * (slot - PRODUCERS)
    while True:
        items = jobs.get_many(BATCH) if slot % 2 else [jobs.get()]
        if jobs.delivery_count > 1:
            table[count : count + 8] = (int.from_bytes(table[count : count + 8], "little") + 1).to_bytes(8, "little")
        for number, received in items:
            if received != body(number, len(received)):
                table[TORN] = 1
            if table[number] == 2:
                table[AGAIN] = 1
            table[number] = 1
            jobs.task_done()
            table[number] = 2


class Storm(crash.Storm):
    """The same storm with consumers that acknowledge, and without the lock."""

    slots = PRODUCERS + CONSUMERS

    def __init__(self, seed: int, maxsize: int) -> None:
        super().__init__(seed, maxsize)
        self.queue: JoinableQueue = JoinableQueue(maxsize, arena=self.arena)

    def start(self, slot: int) -> Any:
        """A new child in a slot."""
        if slot < PRODUCERS:
            return super().start(slot)
        self.table[READY + slot] = 0
        process = self.context.Process(target=consume, args=(self.table, slot, self.queue), daemon=True)
        process.start()
        return process

    def finish(self) -> None:
        """All end; one more consumer goes on until everything is done with."""
        for slot in range(self.slots):
            self.wait_ready(slot)
            self.kill(slot)
        self.children[PRODUCERS] = self.start(PRODUCERS)
        self.queue.join(timeout=20)
        self.wait_ready(PRODUCERS)
        self.kill(PRODUCERS)

    def wait_ready(self, slot: int) -> None:
        """Who dies before its first step leaves a reservation, which is kept for a minute
        (docs/explanation/death.md)."""
        while not self.table[READY + slot] and self.children[slot].is_alive():
            time.sleep(0.001)

    def report_all(self, seconds: float) -> Report:
        """Take stock, and check that nothing is wrong with it."""
        _, put = self.queue.position
        # The helper may be killed between its last task_done and its last 2.
        arrived = sum(RANGE - os.pread(self.file, RANGE, life * RANGE).count(0) for life in range(self.lives))
        assert not self.table[TORN], f"torn (seed {self.seed})"
        redelivered = sum(
            int.from_bytes(self.table[at : at + 8], "little")
            for at in range(REDELIVERED, REDELIVERED + 8 * CONSUMERS, 8)
        )
        again = self.table[AGAIN]
        self.children.clear()
        del self.queue, self.lock
        self.arena.reap()
        left = self.arena.statistics()["objects"] - self.objects_before
        os.close(self.file)
        puts, gets, _ = self.worst_stalls
        counts = (self.kills, self.consumers_killed, put, put - arrived, again, redelivered)
        return Report(self.seed, seconds, *counts, (puts, gets), left)


def storm(seconds: float, seed: int, maxsize: int = 0) -> Report:
    """One storm over a JoinableQueue of that bound. Raises: AssertionError when something is torn or stuck."""
    whole = Storm(seed, maxsize)
    try:
        took = whole.run(seconds)
        whole.finish()
        return whole.report_all(took)
    finally:
        for child in whole.children:
            child.kill()


def main() -> None:
    """Storms over an unbounded and a bounded queue, half the time each."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().getrandbits(32)
    for maxsize in (0, 10):
        report = storm(seconds / 2, seed, maxsize)
        print(report, flush=True)
        if report.lost or report.again or report.objects_left:
            sys.exit(f"not as promised: {report!r}")


if __name__ == "__main__":
    main()
