"""Round trips through Queue and Pipe, and the hand-over of a turn by Semaphore, Lock, Event and Condition."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from functools import partial
from time import perf_counter_ns
from typing import Any

from benchmarks.measure import Meeting, Party, median_and_p99, pace, together
from benchmarks.model import OURS, STANDARD, Costs, Scale, Workload
from benchmarks.rivals import Rival

WARM = 200  # round trips before the clock starts
MOST = 50_000  # round trips timed, at most

Turn = Callable[[], object]


def _round_trips(rival: Rival, scale: Scale, here: tuple[Any, Any], there: tuple[Any, Any]) -> Costs:
    """Median and 99th percentile of sending an int and receiving it back, each round trip timed by itself."""

    def ask(meeting: Meeting) -> list[int]:
        send, receive = here
        meeting.wait()
        samples: list[int] = []
        until = perf_counter_ns() + int(scale.seconds * 1e9)
        for number in range(WARM + MOST):
            began = perf_counter_ns()
            send(number)
            answer = receive()
            ended = perf_counter_ns()
            assert answer == number
            samples.append(ended - began)
            if ended > until and number > 2 * WARM:
                break
        send(None)
        return samples[WARM:]

    def echo(meeting: Meeting) -> list[int]:
        receive, send = there
        meeting.wait()
        while (message := receive()) is not None:
            send(message)
        return []

    return median_and_p99(together(rival, [ask, echo])[0])


def queue_round_trip(rival: Rival, scale: Scale) -> Costs:
    ask, answer = rival.queue(), rival.queue()
    return _round_trips(rival, scale, (ask.put, answer.get), (ask.get, answer.put))


def pipe_round_trip(rival: Rival, scale: Scale) -> Costs:
    left, right = rival.primitive("Pipe")
    return _round_trips(rival, scale, (left.send, left.recv), (right.recv, right.send))


def pipe_throughput(rival: Rival, scale: Scale) -> Costs:
    """Nanoseconds per int, one after the other through a one-way Pipe."""
    reader, writer = rival.primitive("Pipe", False)

    def run(n: int) -> int:
        def send(meeting: Meeting) -> int:
            meeting.wait()
            began = perf_counter_ns()
            for number in range(n):
                writer.send(number)
            return began

        def receive(meeting: Meeting) -> int:
            meeting.wait()
            for number in range(n):
                assert reader.recv() == number
            return perf_counter_ns()

        began, ended = together(rival, [send, receive])
        return ended - began

    return {"": pace(run, scale, first=1000)}


def hand_over(rival: Rival, scale: Scale, turns: Callable[[Rival], tuple[Turn, Turn]]) -> Costs:
    """Nanoseconds for one hand-over of a turn: two processes alternate, n times each.

    Each run has primitives of its own. Of those of the last one a process that has ended holds a lock, and procession
    would let the next have it before its turn.
    """

    def play(turn: Turn, n: int, meeting: Meeting) -> tuple[int, int]:
        meeting.wait()
        began = perf_counter_ns()
        for _ in range(n):
            turn()
        return began, perf_counter_ns()

    def run(n: int) -> int:
        parties: list[Party[tuple[int, int]]] = [partial(play, turn, n) for turn in turns(rival)]
        spans = together(rival, parties)
        return max(end for _, end in spans) - min(begin for begin, _ in spans)

    return {"": pace(run, scale, first=100) / 2}


def by_semaphore(rival: Rival) -> tuple[Turn, Turn]:
    return _wait_then_signal(rival.primitive("Semaphore", 1), rival.primitive("Semaphore", 0))


def by_lock(rival: Rival) -> tuple[Turn, Turn]:
    """A lock may be released by another process than its owner; this is what multiprocessing allows."""
    mine, yours = rival.primitive("Lock"), rival.primitive("Lock")
    yours.acquire()
    return _wait_then_signal(mine, yours)


def _wait_then_signal(mine: Any, yours: Any) -> tuple[Turn, Turn]:
    def first() -> None:
        mine.acquire()
        yours.release()

    def second() -> None:
        yours.acquire()
        mine.release()

    return first, second


def by_event(rival: Rival) -> tuple[Turn, Turn]:
    mine, yours = rival.primitive("Event"), rival.primitive("Event")
    mine.set()

    def pass_on(own: Any, other: Any) -> None:
        own.wait()
        own.clear()
        other.set()

    return partial(pass_on, mine, yours), partial(pass_on, yours, mine)


def by_condition(rival: Rival) -> tuple[Turn, Turn]:
    condition = rival.primitive("Condition")
    turn = mmap.mmap(-1, 1)  # whose turn it is; shared by fork, and guarded by the condition

    def pass_on(own: int) -> None:
        with condition:
            while turn[0] != own:
                condition.wait()
            turn[0] = 1 - own
            condition.notify()

    return partial(pass_on, 0), partial(pass_on, 1)


WORKLOADS = (
    Workload("pipe.round-trip", "an int there and back through a duplex Pipe", pipe_round_trip),
    Workload("pipe.ints", "ints one by one through a one-way Pipe", pipe_throughput),
    Workload(
        "queue.round-trip",
        "an int there and back through two queues",
        queue_round_trip,
        (OURS, STANDARD, "faster-fifo"),
    ),
    *[
        Workload(
            f"handover.{turns.__name__[3:]}",
            "one turn passed on between two processes",
            partial(hand_over, turns=turns),
        )
        for turns in (by_semaphore, by_lock, by_event, by_condition)
    ],
)
