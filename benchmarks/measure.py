"""How to time: pace a loop until it is long enough, and start several processes together."""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from statistics import median
from timeit import Timer
from typing import Any, Protocol, TypeVar

from benchmarks.model import Scale
from benchmarks.rivals import Rival

T = TypeVar("T")

GROWTH = 20  # a short run misleads, so the next is at most this many times longer
UNROLL = 10  # repetitions of a statement in the body of a timing loop, so that the loop itself hardly counts


class Meeting(Protocol):
    """A barrier."""

    def wait(self) -> object: ...


Party = Callable[[Meeting], T]


def pace(run: Callable[[int], int], scale: Scale, first: int = 100, most: int = 2_000_000) -> float:
    """Nanoseconds per operation of `run(n)`, which does n operations and returns how long they took.

    n grows until a run is long enough; the run that counts repeats that one, so that whatever the first had to grow
    or touch is warm.
    """
    n = first
    while (elapsed := run(n)) < scale.seconds * 0.5e9 and n < most:
        wanted = int(n * scale.seconds * 1e9 / max(elapsed, 1))
        n = min(most, n * GROWTH, max(wanted, n + 1))
    return run(n) / n


def statement(code: str, scale: Scale, **names: Any) -> float:
    """Nanoseconds for one execution of `code`, a line of Python that sees `names`."""
    timer = Timer("\n".join([code] * UNROLL), globals=names)
    return pace(lambda n: int(timer.timeit(n) * 1e9), scale) / UNROLL


def median_and_p99(samples: Sequence[int]) -> dict[str, float]:
    ordered = sorted(samples)
    return {"median": median(ordered), "p99": float(ordered[len(ordered) * 99 // 100])}


def together(rival: Rival, parties: Sequence[Party[T]]) -> list[T]:
    """Run each party in a process of its own; return what they return, in order.

    All get the same barrier to start from. Answers travel by the standard library's pipes, whoever is measured. If a
    party fails or dies the others are killed, since they may wait for it: raises RuntimeError with its traceback, or
    EOFError.
    """
    meeting = multiprocessing.get_context("fork").Barrier(len(parties))
    processes, readers = [], []
    for party in parties:
        reader, writer = multiprocessing.Pipe(duplex=False)
        process = rival.process(_attend, party, meeting, writer)
        process.start()
        writer.close()
        processes.append(process)
        readers.append(reader)
    try:
        answers = _collect(readers)
    except BaseException:
        for process in processes:
            process.kill()
        raise
    finally:
        for process in processes:
            process.join()
    return [answers[reader] for reader in readers]


def _attend(party: Party[Any], meeting: Any, writer: Connection) -> None:
    try:
        writer.send((party(meeting), None))
    except BaseException:
        writer.send((None, traceback.format_exc()))


def _collect(readers: list[Connection]) -> dict[Connection, Any]:
    """One answer from each, as they come, so that the first failure is seen while others still wait."""
    answers: dict[Connection, Any] = {}
    while len(answers) < len(readers):
        for ready in wait([reader for reader in readers if reader not in answers]):
            assert isinstance(ready, Connection)
            value, error = ready.recv()
            if error is not None:
                raise RuntimeError(error)
            answers[ready] = value
    return answers
