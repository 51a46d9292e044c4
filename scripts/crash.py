"""A storm of kills through the Python layer: `crash.py [SECONDS [SEED]]`.

Producers and consumers of one queue and users of one lock are killed by SIGKILL at random moments, hundreds of times a
minute, and replaced. Every message carries a number and bytes that follow from it; a byte per number, in memory shared
by plain mmap, tells who arrived. Checked: nothing stands still for two seconds, nothing arrives twice or torn, lost is
at most what killed consumers had taken, and in the end the arena is as empty as it was. (`crates/core/tests/crash.rs`
is the same for the core alone, where children are also killed before their first step.)
"""

from __future__ import annotations

import gc
import mmap
import os
import random
import struct
import sys
import time
import warnings
from dataclasses import dataclass
from typing import Any

import procession
from procession import _store
from procession.errors import AbandonedLockWarning
from procession.queues import Queue
from procession.synchronize import Lock

PRODUCERS, CONSUMERS, LOCKERS = 3, 3, 2
RANGE = 1 << 18  # numbers that one life of a producer may use
LIVES = 1 << 14  # lives of producers, at most
WORST_STALL_S = 2.0
BATCH = 4
PAIR = struct.Struct(
    "qqq"
)  # two counters that are equal while the lock is free, and the lock's `abandoned` when they were

# Offsets in the table: a byte for each number, then what children report.
TORN = LIVES * RANGE
TURNS = TORN + 8
READY = TORN + 64
GUARDED = TORN + 256


@dataclass(frozen=True)
class Report:
    """What a storm came to."""

    seed: int
    seconds: float
    kills: int
    consumers_killed: int
    put: int
    received: int
    turns: int
    abandoned: int  # times that the lock passed from a dead owner
    worst_stalls_s: tuple[float, float, float]  # of puts, of gets, of turns of the lock
    objects_left: int

    def __str__(self) -> str:
        rate = self.kills / self.seconds * 60
        lost = self.put - self.received
        return (
            f"seed {self.seed}: {self.kills} kills in {self.seconds:.1f} s ({rate:.0f} a minute); "
            f"{self.put} messages put ({self.put / self.seconds:.0f}/s), {self.received} received, "
            f"{lost} lost by {self.consumers_killed} killed consumers; "
            f"{self.turns} turns of the lock, passed on {self.abandoned} times; "
            f"worst stalls {', '.join(f'{stall * 1000:.0f}' for stall in self.worst_stalls_s)} ms (put, get, lock)"
        )


def body(number: int, size: int) -> bytes:
    """Bytes that follow from a message's number."""
    unit = number.to_bytes(8, "little")
    return unit * (size // 8) + unit[: size % 8]


def produce(table: mmap.mmap, slot: int, queue: Queue, first: int, seed: int) -> None:
    """Put numbered messages of many sizes until the range is used up."""
    rng = random.Random(seed)
    table[READY + slot] = 1
    for number in range(first, first + RANGE):
        size = rng.choice((0, 10, 100, 1000)) if rng.randrange(60) else rng.randrange(70_000, 1_000_000)
        queue.put((number, body(number, size)))


def consume(table: mmap.mmap, slot: int, queue: Queue) -> None:
    """Take messages, one by one and in batches, and note which came."""
    table[READY + slot] = 1
    while True:
        for number, received in queue.get_many(BATCH) if slot % 2 else [queue.get()]:
            if received != body(number, len(received)):
                table[TORN] = 1
            table[number] += 1


def take_turns(table: mmap.mmap, slot: int, lock: Lock) -> None:
    """Change two counters together under the lock."""
    table[READY + slot] = 1
    while True:
        with lock:
            first, second, abandoned = PAIR.unpack_from(table, GUARDED)
            if first != second and abandoned == lock.abandoned:
                table[TORN] = 1
            struct.pack_into("q", table, GUARDED, first + 1)
            PAIR.pack_into(table, GUARDED, first + 1, first + 1, lock.abandoned)


class Storm:
    """The children, their killer and what they share."""

    slots = PRODUCERS + CONSUMERS + LOCKERS

    def __init__(self, seed: int, maxsize: int) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.context = procession.get_context("fork")
        self.arena = _store.shared_arena()
        # What was left before, garbage here and holds of processes that died, must not be freed in the middle of it
        gc.collect()
        self.arena.reap()
        self.objects_before = self.arena.statistics()["objects"]
        self.file = os.memfd_create("crash")
        os.ftruncate(self.file, GUARDED + 4096)
        self.table = mmap.mmap(self.file, GUARDED + 4096)
        self.queue = Queue(maxsize, arena=self.arena)
        self.lock = Lock(arena=self.arena)
        self.lives = self.kills = self.consumers_killed = 0
        self.children: list[Any] = []
        self.progress = [(0, time.monotonic())] * 3
        self.worst_stalls = [0.0] * 3

    def start(self, slot: int) -> Any:
        """A new child in a slot, which stands for its part."""
        self.table[READY + slot] = 0
        target: Any
        args: tuple[Any, ...]
        if slot < PRODUCERS:
            target, args = produce, (self.queue, self.lives * RANGE, self.rng.getrandbits(32))
            self.lives += 1
        elif slot < PRODUCERS + CONSUMERS:
            target, args = consume, (self.queue,)
        else:
            target, args = take_turns, (self.lock,)
        process = self.context.Process(target=target, args=(self.table, slot, *args), daemon=True)
        process.start()
        return process

    def watch(self) -> None:
        """Note for how long puts, gets and turns of the lock have stood still."""
        taken, put = self.queue.position
        now = time.monotonic()
        counts = [put, taken, PAIR.unpack_from(self.table, GUARDED)[0]]
        for index, count in enumerate(counts[: 2 + (self.slots > PRODUCERS + CONSUMERS)]):
            if count != self.progress[index][0]:
                self.progress[index] = (count, now)
            self.worst_stalls[index] = max(self.worst_stalls[index], now - self.progress[index][1])
        if max(self.worst_stalls) > WORST_STALL_S:
            raise AssertionError(f"stood still for {self.worst_stalls} s (seed {self.seed}): {self.progress}")

    def kill(self, slot: int) -> None:
        """End a child, the hard way."""
        process = self.children[slot]
        process.kill()
        process.join()
        self.kills += 1
        self.consumers_killed += PRODUCERS <= slot < PRODUCERS + CONSUMERS

    def run(self, seconds: float) -> float:
        """Kill and replace; returns how long it took."""
        self.children = [self.start(slot) for slot in range(self.slots)]
        begin = time.monotonic()
        self.progress = [(0, begin)] * 3
        while time.monotonic() - begin < seconds and self.lives < LIVES:
            time.sleep(self.rng.random() * 0.02)  # the moment of the kill, not an order
            self.watch()
            slot = self.rng.randrange(len(self.children))
            if self.table[READY + slot] or not self.children[slot].is_alive():
                self.kill(slot)
                self.children[slot] = self.start(slot)
        return time.monotonic() - begin

    def finish(self) -> None:
        """No more is put; what is in the queue is taken here."""
        for slot, child in enumerate(self.children):
            # Who dies before its first step leaves a reservation, which is kept for a minute
            # (docs/explanation/death.md).
            while not self.table[READY + slot] and child.is_alive():
                time.sleep(0.001)
            self.kill(slot)
        while not self.queue.empty():
            number, received = self.queue.get(timeout=5)
            assert received == body(number, len(received)), f"torn (seed {self.seed})"
            self.table[number] += 1

    def received(self) -> int:
        """How many numbers arrived; none twice."""
        total = 0
        for life in range(self.lives):
            seen = os.pread(self.file, RANGE, life * RANGE)
            total += RANGE - seen.count(0)
            assert seen.count(0) + seen.count(1) == RANGE, f"twice (seed {self.seed})"
        return total

    def report(self, seconds: float) -> Report:
        """Take stock, and check that nothing is wrong with it."""
        taken, put = self.queue.position
        received = self.received()
        # Not the counters: `pack_into` clears what it is about to write, and who died then has set them back to 0
        turns, abandoned = self.lock.statistics().acquired, self.lock.abandoned
        assert taken == put, f"{put} put, {taken} taken"
        assert not self.table[TORN], f"torn (seed {self.seed})"
        lost = put - received
        assert 0 <= lost <= self.consumers_killed * BATCH, f"{put} put, {received} received (seed {self.seed})"
        self.children.clear()
        del self.queue, self.lock
        self.arena.reap()
        left = self.arena.statistics()["objects"] - self.objects_before
        os.close(self.file)
        counts = (self.kills, self.consumers_killed, put, received, turns, abandoned)
        puts, gets, turns_of_lock = self.worst_stalls
        return Report(self.seed, seconds, *counts, (puts, gets, turns_of_lock), left)


def storm(seconds: float, seed: int, maxsize: int = 0) -> Report:
    """One storm over a queue of that bound. Raises AssertionError when anything is lost, twice, torn or stuck."""
    warnings.simplefilter("ignore", AbandonedLockWarning)
    whole = Storm(seed, maxsize)
    try:
        took = whole.run(seconds)
        whole.finish()
        return whole.report(took)
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
        if report.objects_left:
            sys.exit(f"{report.objects_left} objects were left in the arena")


if __name__ == "__main__":
    main()
