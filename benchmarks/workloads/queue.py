"""Queues: throughput between processes, in batches, cost within one process.

A throughput run has P producers and C consumers, each a process. All meet, pass a few messages to be warm, meet again;
the time runs from the first put to the last get.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import cycle, islice
from time import perf_counter_ns
from typing import Any

from benchmarks.measure import Meeting, Party, pace, together
from benchmarks.model import OURS, STANDARD, Costs, Scale, Workload
from benchmarks.rivals import Rival
from benchmarks.workloads.payloads import ARRAYS, DICTS, INTS, KIBIBYTES, SIXTY_FOUR, TEXTS, Payload

WARM = 4  # messages from each producer to each consumer before the clock starts
CHECKED = 40  # messages per party in the pass that compares every one
BATCH = 100
RIVALS = (OURS, STANDARD, "faster-fifo")

Span = tuple[int, int, int]  # began, ended (perf_counter_ns, one clock for all processes), sum of weights


def producer(payload: Payload, index: int, put: Callable[[Any], object], n: int, warm: int) -> Party[Span]:
    def party(meeting: Meeting) -> Span:
        messages = payload.prepared(index)
        meeting.wait()
        for message in islice(cycle(messages), warm):
            put(message)
        meeting.wait()
        began = perf_counter_ns()
        for message in islice(cycle(messages), n):
            put(message)
        return began, perf_counter_ns(), 0

    return party


def consumer(payload: Payload, get: Callable[[], Any], n: int, warm: int) -> Party[Span]:
    def party(meeting: Meeting) -> Span:
        meeting.wait()
        payload.drain(get, warm)
        meeting.wait()
        began = perf_counter_ns()
        total = payload.drain(get, n)
        return began, perf_counter_ns(), total

    return party


def checked_pass(rival: Rival, queue: Any, payload: Payload, producers: int, consumers: int) -> None:
    """Send a few messages, take them back whole and compare every one."""
    each = min(CHECKED, payload.distinct)

    def collect(meeting: Meeting) -> list[Any]:
        meeting.wait()
        return [queue.get() for _ in range(each * producers // consumers)]

    def send(index: int, meeting: Meeting) -> list[Any]:
        meeting.wait()
        for message in payload.prepared(index)[:each]:
            queue.put(message)
        return []

    parties: list[Party[list[Any]]] = [collect] * consumers + [partial(send, index) for index in range(producers)]
    payload.check(together(rival, parties)[:consumers], producers, each)


def throughput(
    rival: Rival, scale: Scale, payload: Payload, producers: int = 1, consumers: int = 1, maxsize: int = 0
) -> Costs:
    """Nanoseconds per message from `producers` to `consumers`."""
    queue = rival.queue(maxsize, payload.size)
    checked_pass(rival, queue, payload, producers, consumers)

    def run(n: int) -> int:
        each = -(-n // producers // consumers) * consumers  # messages of one producer; a multiple of the consumers
        put = [producer(payload, index, queue.put, each, WARM * consumers) for index in range(producers)]
        got = [consumer(payload, queue.get, each * producers // consumers, WARM * producers)] * consumers
        spans = together(rival, put + got)
        expected = sum(payload.weight(index, each) for index in range(producers))
        assert sum(total for _, _, total in spans) == expected, "lost, repeated or damaged messages"
        began = min(begin for begin, _, _ in spans[:producers])
        ended = max(end for _, end, _ in spans[producers:])
        return (ended - began) * n // (each * producers)

    return {"": pace(run, scale, first=1000 if not payload.size else 20)}


def batches(rival: Rival, scale: Scale, payload: Payload) -> Costs:
    """Nanoseconds per item, sent and taken a hundred at a time by one producer and one consumer."""
    queue = rival.queue(item_bytes=BATCH * 200)
    batch = rival.batches(queue)
    assert payload.drain_batches is not None
    drain = payload.drain_batches
    items = payload.prepared(0)[:BATCH]
    weight = sum(payload.weigh(item) for item in items)

    def run(n: int) -> int:
        rounds = n // BATCH

        def send(meeting: Meeting) -> Span:
            batch.put(items)
            meeting.wait()
            began = perf_counter_ns()
            for _ in range(rounds):
                batch.put(items)
            return began, 0, 0

        def take(meeting: Meeting) -> Span:
            assert drain(batch.get, BATCH, BATCH) == weight, "the first batch arrived damaged"
            meeting.wait()
            total = drain(batch.get, rounds * BATCH, BATCH)
            return 0, perf_counter_ns(), total

        (began, _, _), (_, ended, total) = together(rival, [send, take])
        assert total == weight * rounds, "lost, repeated or damaged messages"
        return (ended - began) * n // (rounds * BATCH)

    return {"": pace(run, scale, first=2000, most=10_000_000)}


def cost(rival: Rival, scale: Scale) -> Costs:
    """Nanoseconds for one put, and for one get, within one process: a hundred puts, then a hundred gets, repeated."""
    queue = rival.queue()
    items = INTS.prepared(1)[:BATCH]
    spent = {"put": 0, "get": 0}

    def run(n: int) -> int:
        spent.update(put=0, get=0)
        for _ in range(n // BATCH):
            began = perf_counter_ns()
            for item in items:
                queue.put(item)
            between = perf_counter_ns()
            got = [queue.get() for _ in items]
            spent["get"] += perf_counter_ns() - between
            spent["put"] += between - began
            assert got == items
        return spent["put"] + spent["get"]

    total = pace(run, scale, first=BATCH * 10)
    share = spent["put"] / (spent["put"] + spent["get"])
    return {"put": total * share, "get": total * (1 - share)}


def memcpy_or_throughput(rival: Rival, scale: Scale, payload: Payload, maxsize: int) -> Costs:
    """Throughput, or for the row "memcpy" the time to copy the same arrays into warm blocks."""
    if rival.name != "memcpy":
        return throughput(rival, scale, payload, maxsize=maxsize)
    arrays, slots = cycle(payload.prepared(0)), rival.queue()

    def run(n: int) -> int:
        began = perf_counter_ns()
        for array in islice(arrays, n):
            slots.put(array)
        return perf_counter_ns() - began

    run(2 * payload.distinct)
    assert (slots.get() == payload.make(payload.distinct - 1)).all()
    return {"": pace(run, scale, first=10)}


def _between(kind: str, payload: Payload, producers: int, consumers: int) -> Workload:
    return Workload(
        f"queue.{producers}p{consumers}c-{kind}",
        f"{kind}, {producers} producers, {consumers} consumers, unbounded queue",
        partial(throughput, payload=payload, producers=producers, consumers=consumers),
        RIVALS,
    )


WORKLOADS = (
    Workload("queue.ints", "ints, one by one, unbounded queue, 1P1C", partial(throughput, payload=INTS), RIVALS),
    Workload("queue.texts", "str of 17 characters, 1P1C", partial(throughput, payload=TEXTS), RIVALS),
    Workload("queue.dicts", "dict of int, str, float, 1P1C", partial(throughput, payload=DICTS), RIVALS),
    Workload(
        "queue.bytes-1k", "bytes of 1 KiB, 1P1C", partial(throughput, payload=KIBIBYTES), RIVALS, bytes_each=1 << 10
    ),
    Workload("queue.ints-bounded", "ints, maxsize 1000, 1P1C", partial(throughput, payload=INTS, maxsize=1000), RIVALS),
    *[
        _between(kind, payload, producers, consumers)
        for producers, consumers in ((2, 2), (4, 1), (1, 4))
        for kind, payload in (("dicts", DICTS), ("ints", INTS))
    ],
    Workload(
        "queue.bytes-64k",
        "bytes of 64 KiB, maxsize 64, 1P1C",
        partial(throughput, payload=SIXTY_FOUR, maxsize=64),
        RIVALS,
        bytes_each=64 << 10,
    ),
    Workload(
        "queue.array-8m",
        "numpy array of 8 MiB, maxsize 8, 1P1C; memcpy copies the same 4 arrays into 4 warm blocks",
        partial(memcpy_or_throughput, payload=ARRAYS, maxsize=8),
        (*RIVALS, "memcpy"),
        bytes_each=8 << 20,
    ),
    Workload("queue.batch-ints", "ints in batches of 100, cost per int", partial(batches, payload=INTS), RIVALS),
    Workload("queue.batch-dicts", "dicts in batches of 100, cost per dict", partial(batches, payload=DICTS), RIVALS),
    Workload("queue.cost", "one put, one get of an int within one process", cost, RIVALS),
)
