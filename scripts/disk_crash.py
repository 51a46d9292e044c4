"""Kills over a queue on disk: `disk_crash.py [KILLS [SEED]]`.

Producers and consumers are killed by SIGKILL at random moments, opening the queue included, and replaced; now and then
all at once, so that nobody is left who knows the queue's state, which then is made again from the files. They share the
path and nothing else: each is forked from this process before that has opened anything, or (every eighth) is a program
of its own.

Each writes down what it was told: one file, opened with O_APPEND, one record a write, so that a record is there or not
whoever is killed, and they have one order. A producer notes that `put` has returned: the item is *accepted*. A consumer
notes what it *got*, and when `task_done` (of a plain queue: `get`) has returned, that it is *acknowledged*. Checked in
the end, when what is left was taken:

* everything accepted was got: by somebody of a JoinableQueue; of a Queue, where it belongs to the consumer from then
  on, by somebody or by a consumer who was killed before he could note it, one each at most;
* nothing arrives after it was acknowledged, nothing is torn, nothing arrives that nobody tried to put;
* what is got of one producer comes in its order;
* whoever opens the queue can, whenever the others were killed.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
import zlib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import procession
import procession._disk.queues  # so that what is forked from here need not load it
from procession.errors import Empty

PRODUCERS, CONSUMERS = 3, 2
# What happened, who noted it, whose item, which of its items. A kill may cut a write where pages meet, not these.
RECORD = struct.Struct("<IIII")
TRY, ACCEPTED, GOT, ACKNOWLEDGED = range(4)
PAUSE_S = 0.02  # between two kills; a queue is opened in a few ms, a program of its own begun in 200
ALL_AT_ONCE = 10  # every so many kills, everybody
OWN_PROGRAM = 8  # every so many parties, a program of its own
MOST_WAITING = 2000  # items, so that the end does not take long
SIZES = (0, 10, 100, 1000, 5000, 70_000)  # bytes of an item's body; the last travels as a buffer
SOON_S = 20


@dataclass(frozen=True)
class Report:
    """What a storm came to."""

    seed: int
    kind: str
    seconds: float
    kills: int
    all_at_once: int  # times that nobody was left
    accepted: int
    acknowledged: int
    delivered_again: int
    unnoted: int  # items of a plain queue that a killed consumer had got and not noted
    lost: int
    resurrected: int  # items that came after they were acknowledged
    torn: int
    disordered: int
    failures: tuple[str, ...]  # tracebacks of parties that ended by themselves

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.resurrected or self.torn or self.disordered or self.failures)

    def __str__(self) -> str:
        return (
            f"{self.kind}, seed {self.seed}: {self.kills} kills in {self.seconds:.1f} s, {self.all_at_once} times all "
            f"at once; {self.accepted} items accepted, {self.acknowledged} acknowledged, "
            f"{self.delivered_again} delivered again, {self.unnoted} got by the killed; {self.lost} lost, "
            f"{self.resurrected} back after their acknowledgement, {self.torn} torn, {self.disordered} out of order, "
            f"{len(self.failures)} failures"
        )


def body(life: int, number: int) -> bytes:
    return (f"{life}.{number}." * 8000)[: SIZES[zlib.crc32(f"{life} {number}".encode()) % len(SIZES)]].encode()


def open_queue(place: Path, kind: str) -> Any:
    name, durability = kind.split()
    return getattr(procession, name)(path=place / "queue", durability=durability)


class Journal:
    """What a party was told, for whoever looks later."""

    def __init__(self, place: Path, life: int) -> None:
        self.file = os.open(place / "journal", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.life = life

    def note(self, what: int, of_life: int, number: int) -> None:
        os.write(self.file, RECORD.pack(what, self.life, of_life, number))


def produce(place: Path, kind: str, life: int) -> None:
    """Put until killed."""
    journal, queue = Journal(place, life), open_queue(place, kind)
    for number in range(1 << 30):
        while queue.qsize() > MOST_WAITING:
            time.sleep(0.001)
        journal.note(TRY, life, number)
        queue.put((life, number, body(life, number)))
        journal.note(ACCEPTED, life, number)


def consume(place: Path, kind: str, life: int, patience: float | None = None) -> None:
    """Take until killed, or until nothing came for so long."""
    journal, queue = Journal(place, life), open_queue(place, kind)
    acknowledge = getattr(queue, "task_done", lambda: None)
    while True:
        try:
            of_life, number, received = queue.get(timeout=patience)
        except Empty:
            return
        if bytes(received) != body(of_life, number):
            raise AssertionError(f"item {number} of {of_life} is torn")
        journal.note(GOT, of_life, number)
        acknowledge()
        journal.note(ACKNOWLEDGED, of_life, number)


PARTS = {"produce": produce, "consume": consume}


def play(part: str, place: Path, kind: str, life: int) -> None:
    """In a process of its own: until killed, or a failure is written down."""
    try:
        PARTS[part](place, kind, life)
    except BaseException:
        (place / f"failure-{life}").write_text(f"{part} {life}: {traceback.format_exc()}")


class Storm:
    """Parties in their slots, producers first."""

    def __init__(self, place: Path, kind: str, seed: int) -> None:
        self.place, self.kind, self.random = place, kind, random.Random(seed)
        self.kills = self.consumers_killed = self.lives = self.all_at_once = 0
        self.pids = [self.start(slot) for slot in range(PRODUCERS + CONSUMERS)]

    def start(self, slot: int) -> int:
        """A new party in a slot: its pid."""
        self.lives += 1
        part = "produce" if slot < PRODUCERS else "consume"
        if self.lives % OWN_PROGRAM == 0:
            arguments = ["--play", part, str(self.place), self.kind, str(self.lives)]
            return os.posix_spawn(sys.executable, [sys.executable, __file__, *arguments], os.environ)
        pid = os.fork()
        if pid == 0:
            try:
                play(part, self.place, self.kind, self.lives)
            finally:
                os._exit(1)
        return pid

    def kill(self, slots: list[int]) -> None:
        for slot in slots:
            os.kill(self.pids[slot], signal.SIGKILL)
        for slot in slots:
            os.waitpid(self.pids[slot], 0)
            self.kills += 1
            self.consumers_killed += slot >= PRODUCERS

    def run(self, kills: int) -> None:
        """Kill and replace, until so many were killed."""
        everybody = list(range(len(self.pids)))
        while self.kills < kills and not self.failures():
            time.sleep(self.random.uniform(0, 2 * PAUSE_S))
            if self.random.randrange(ALL_AT_ONCE) == 0:
                slots, self.all_at_once = everybody, self.all_at_once + 1
            else:
                slots = [self.random.choice(everybody)]
            self.kill(slots)
            for slot in slots:
                self.pids[slot] = self.start(slot)
        self.kill(everybody)

    def failures(self) -> list[str]:
        return [path.read_text() for path in sorted(self.place.glob("failure-*"))]

    def drain(self) -> None:
        """Take what is left; consumers that died have it back within a moment."""
        pid = os.fork()
        if pid == 0:
            try:
                self.lives += 1
                consume(self.place, self.kind, self.lives, 0.5)
                os._exit(0)
            except BaseException:
                (self.place / "failure-drain").write_text(traceback.format_exc())
            finally:
                os._exit(1)
        os.waitpid(pid, 0)

    def report(self, seed: int, seconds: float) -> Report:
        """Read the journal."""
        tried, accepted, acknowledged = set(), set(), set()
        got: dict[tuple[int, int], set[int]] = defaultdict(set)  # item -> consumers
        last: dict[tuple[int, int], int] = {}  # (consumer, producer) -> number
        again = resurrected = torn = disordered = 0
        for what, by, life, number in RECORD.iter_unpack((self.place / "journal").read_bytes()):
            item = life, number
            if what == TRY:
                tried.add(item)
            elif what == ACCEPTED:
                accepted.add(item)
            elif what == ACKNOWLEDGED:
                acknowledged.add(item)
            else:
                torn += item not in tried
                resurrected += item in acknowledged
                again += item in got
                # What comes back from the dead comes late; only what is new must be in order.
                disordered += item not in got and last.get((by, life), -1) > number and not self.kind.startswith("J")
                last[by, life] = number
                got[item].add(by)
        missing = len(accepted - got.keys())
        unnoted = 0
        if self.kind.startswith("Queue"):
            unnoted = min(missing, self.consumers_killed)
            missing -= unnoted
            resurrected += again  # of a plain queue an item comes once
        return Report(
            seed, self.kind, seconds, self.kills, self.all_at_once, len(accepted), len(acknowledged), again, unnoted,
            missing, resurrected, torn, disordered, tuple(self.failures()),
        )  # fmt: skip


def storm(place: Path, kind: str, kills: int, seed: int) -> Report:
    """One storm over a queue in `place`, an empty directory. `kind`: as "JoinableQueue power"."""
    began = time.monotonic()
    whole = Storm(place, kind, seed)
    whole.run(kills)
    seconds = time.monotonic() - began
    whole.drain()
    return whole.report(seed, seconds)


def main(kills: int, seed: int) -> int:
    kinds = ["JoinableQueue crash", "JoinableQueue power", "Queue crash", "Queue power"]
    reports = []
    for number, kind in enumerate(kinds):
        place = Path(tempfile.mkdtemp(prefix="disk-crash-"))
        reports.append(storm(place, kind, -(-kills // len(kinds)), seed + number))
        print(reports[-1], *reports[-1].failures, sep="\n", flush=True)
        if reports[-1].is_clean:
            shutil.rmtree(place)
        else:
            print(f"what is left of it: {place}")
    print(f"{sum(report.kills for report in reports)} kills in all")
    return 0 if all(report.is_clean for report in reports) else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--play"]:
        play(sys.argv[2], Path(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
    else:
        kills, seed, *_ = [*sys.argv[1:], *["1000", str(random.SystemRandom().getrandbits(32))][len(sys.argv) - 1 :]]
        sys.exit(main(int(kills), int(seed)))
