"""Queues on disk against persist-queue, litequeue and diskcache: what one item costs, put and got again.

    python -m benchmarks.disk [--rounds 5] [--seconds 1] [--directory DIR] [--only crash,power,producers]

Three workloads, each with a dict of an int, a str and a float, every item compared with what was put:

* crash: one process puts so many, then gets them. Rivals are set to the fastest of their settings with which what was
  put survives the death of the process: SQLite's WAL without flushes (`synchronous=OFF`), persist-queue's file queue.
* power: the same, put and got so that it survives a power cut: `durability="power"`, SQLite's `synchronous=FULL`.
  persist-queue's file queue has no such setting and is left out.
* producers: eight processes put at once, in the same settings; the time of all puts by their number.

The flushes of a disk vary tenfold from second to second, so rivals take turns within a round, a round begins with
another one each time, and each row is the median over the rounds with the least and the most. Beside each sample one
append of 64 bytes and its `fdatasync` is timed: what a flush cost on this disk at that moment.

litequeue pops (and does not delete: its `pop` marks the row); diskcache is its Deque; of persist-queue both.
"""

from __future__ import annotations

import argparse
import os
import pickle
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import procession
from benchmarks.machine import describe

PRODUCERS = 8
PATIENCE_S = 300  # that a writer waits for SQLite's lock before it gives up; 8 of them starve each other
CRASH, POWER = "crash", "power"
TARGETS = {"crash": 20.0, "power": 1.0, "producers": 3.0}  # times the best rival


def item(number: int) -> dict[str, Any]:
    return {"id": number, "name": f"item {number}", "value": number / 7}


class Durable(Protocol):
    """A queue on disk."""

    def put(self, item: Any) -> object: ...
    def get(self) -> Any: ...


class Procession:
    def __init__(self, place: Path, durability: str) -> None:
        queue = procession.Queue(path=place / "queue", durability=durability)
        self.put, self.get = queue.put, queue.get


class PersistQueueSQL:
    def __init__(self, place: Path, durability: str) -> None:
        from persistqueue import SQLiteQueue

        queue = SQLiteQueue(str(place), auto_commit=True, multithreading=True, timeout=PATIENCE_S)
        for connection in {queue._putter, queue._getter}:
            connection.execute(f"PRAGMA synchronous={_synchronous(durability)}")
        self.put, self.get = queue.put, queue.get


class PersistQueueFile:
    def __init__(self, place: Path, durability: str) -> None:
        from persistqueue import Queue

        queue = Queue(str(place), autosave=True, tempdir=str(place))
        self.put, self.get = queue.put, queue.get


class LiteQueue:
    def __init__(self, place: Path, durability: str) -> None:
        from litequeue import LiteQueue

        self.queue = LiteQueue(str(place / "queue.db"), timeout=PATIENCE_S)
        self.queue.conn.execute(f"PRAGMA synchronous={_synchronous(durability)}")

    def put(self, item: Any) -> None:
        self.queue.put(pickle.dumps(item))

    def get(self) -> Any:
        return pickle.loads(self.queue.pop().data)


class DiskCache:
    def __init__(self, place: Path, durability: str) -> None:
        from diskcache import Cache, Deque

        synchronous = {CRASH: 0, POWER: 2}[durability]
        cache = Cache(str(place), eviction_policy="none", sqlite_synchronous=synchronous, timeout=PATIENCE_S)
        queue = Deque.fromcache(cache)
        self.put, self.get = queue.append, queue.popleft


def _synchronous(durability: str) -> str:
    return {CRASH: "OFF", POWER: "FULL"}[durability]


RIVALS: dict[str, Callable[[Path, str], Durable]] = {
    "procession": Procession,
    "persist-queue sqlite": PersistQueueSQL,
    "persist-queue file": PersistQueueFile,
    "litequeue": LiteQueue,
    "diskcache": DiskCache,
}
ROWS = {  # which rival can do what
    "crash": list(RIVALS),
    "power": [name for name in RIVALS if name != "persist-queue file"],
    "producers": [name for name in RIVALS if name != "persist-queue file"],
}


def alone(make: Callable[[], Durable], seconds: float) -> dict[str, float]:
    """Microseconds for a put, a get and both, with as many items as take about so many seconds."""
    queue, count = make(), 64
    while True:
        items = [item(number) for number in range(count)]
        began = time.perf_counter()
        for one in items:
            queue.put(one)
        between = time.perf_counter()
        got = [queue.get() for _ in items]
        ended = time.perf_counter()
        assert got == items, "what was got is not what was put"
        if ended - began > seconds / 2 or count > 1_000_000:
            put, get = (between - began) / count * 1e6, (ended - between) / count * 1e6
            return {"put": put, "get": get, "both": put + get}
        count = min(count * 16, max(count * 2, int(count * seconds / (ended - began))))


def produce(make: Callable[[], Durable], who: int, count: int, met: Any) -> None:
    queue = make()
    items = [item(who * 1_000_000 + number) for number in range(count)]
    queue.put(items[0])
    met.wait()
    for one in items[1:]:
        queue.put(one)


def together(make: Callable[[], Durable], seconds: float) -> dict[str, float]:
    """Microseconds of all by the number of puts, of eight processes at once."""
    count = 16
    queue = make()
    while True:
        context = procession.get_context("fork")
        met = context.Barrier(PRODUCERS + 1)
        processes = [context.Process(target=produce, args=(make, who, count + 1, met)) for who in range(PRODUCERS)]
        for process in processes:
            process.start()
        met.wait()
        began = time.perf_counter()
        for process in processes:
            process.join()
            assert process.exitcode == 0
        took = time.perf_counter() - began
        got = [queue.get()["id"] for _ in range(PRODUCERS * (count + 1))] if count <= 64 else []
        for who in range(PRODUCERS if got else 0):
            mine = [one for one in got if one // 1_000_000 == who]
            assert mine == [who * 1_000_000 + number for number in range(count + 1)], "lost, or out of order"
        if took > seconds / 2 or count > 100_000:
            return {"put": took / (PRODUCERS * count) * 1e6}
        count = min(count * 4, max(count * 2, int(count * seconds / took)))


def flush(place: Path) -> float:
    """Microseconds of an append and its flush: the median of fifty."""
    file, took = os.open(place / "flushed", os.O_RDWR | os.O_CREAT), []
    for _ in range(50):
        began = time.perf_counter()
        os.write(file, bytes(64))
        os.fdatasync(file)
        took.append(time.perf_counter() - began)
    os.close(file)
    return median(took) * 1e6


def measure(workload: str, rival: str, seconds: float, directory: Path) -> dict[str, float]:
    """One sample, in a process of its own and an empty directory."""
    place = Path(tempfile.mkdtemp(prefix="disk-", dir=directory))

    def make() -> Durable:
        return RIVALS[rival](place, CRASH if workload == "crash" else POWER)

    try:
        run = together if workload == "producers" else alone
        process = procession.get_context("fork").Process(target=run, args=(make, seconds))
        process.start()
        sample: dict[str, float] = process.result()
        process.close()
        return sample | ({} if workload == "crash" else {"fsync": flush(place)})
    finally:
        shutil.rmtree(place, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="about how long a sample is")
    parser.add_argument(
        "--directory", type=Path, default=None, help="on the disk to measure; default: the temporary one"
    )
    parser.add_argument("--only", default=",".join(ROWS), help="workloads, separated by commas")
    options = parser.parse_args()
    wanted = options.only.split(",")
    samples: dict[tuple[str, str], list[dict[str, float]]] = {}
    for number in range(options.rounds):
        for workload in wanted:
            rivals = ROWS[workload]
            for at in range(len(rivals)):
                rival = rivals[(number + at) % len(rivals)]
                sample = measure(workload, rival, options.seconds, options.directory or Path(tempfile.gettempdir()))
                samples.setdefault((workload, rival), []).append(sample)
    print(report(samples))


def report(samples: dict[tuple[str, str], list[dict[str, float]]]) -> str:
    """The medians, and what they come to against the best rival."""
    lines = [", ".join(f"{key} {value}" for key, value in describe().items()), ""]
    lines += ["| workload | rival | µs a put | µs a get | µs for both | least .. most | µs a flush |"]
    lines += ["| --- | --- | ---: | ---: | ---: | --- | ---: |"]
    costs: dict[str, dict[str, float]] = {}
    for (workload, rival), rows in sorted(samples.items(), key=lambda entry: list(ROWS).index(entry[0][0])):
        whole = "put" if workload == "producers" else "both"
        all_of = [row[whole] for row in rows]
        costs.setdefault(workload, {})[rival] = median(all_of)
        cells = [
            f"{median(row[name] for row in rows):.2f}" if name in rows[0] else "" for name in ("put", "get", "both")
        ]
        flushes = f"{median(row['fsync'] for row in rows):.0f}" if "fsync" in rows[0] else ""
        lines.append(
            f"| {workload} | {rival} | {' | '.join(cells)} | {min(all_of):.2f} .. {max(all_of):.2f} | {flushes} |"
        )
    lines.append("")
    for workload, by_rival in costs.items():
        ours = by_rival.pop("procession")
        best = min(by_rival, key=by_rival.__getitem__)
        times, target = by_rival[best] / ours, TARGETS[workload]
        verdict = "ok" if times >= target else "SHORT"
        lines.append(f"{workload}: {times:.1f} x the best rival ({best}); target {target:g} x: {verdict}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
