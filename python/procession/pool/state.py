"""The pool's rules: what happened goes in, what is to be done comes out. No I/O, no clock, no process.

Two things are decided here: whether a worker that ended is replaced, and which task, if any, it took with it. The
second rests on claims. A worker's claim cell holds the number of the task it took last, plus one, and is written before
the task is gone from the ring. After a worker's end the supervisor reads, in this order, (1) its claim, (2) how many
tasks were ever taken, (3) the other workers' claims, and (4) drains the ring of answers. Then:

* the claimed number is not among those taken: the worker died on the way, the task is still in the ring;
* another worker claims the same: likewise, and that one got the task;
* the task was answered: the worker died idle, or on its way to the next;
* else the dead worker held it, and exactly this task is lost: it is tried again if it may be, else it fails.

The order matters: somebody who took the task after (1) had it claimed before (3) and, if it went on, answered it
before (4).

Replacing stops when workers end one after the other before any of them serves: starting more would go on for ever. One
that is killed before it serves says little about the next; of those it takes many more.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` and `dataclasses` are slow to import, and a pool should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import dataclass
else:
    from ._record import dataclass

__all__ = [
    "APART",
    "BROKEN",
    "CELLS",
    "BUSY",
    "CLAIM",
    "DIED",
    "ITEM",
    "GONE",
    "KEPT",
    "LOST",
    "RAISED",
    "READY",
    "RETIRE",
    "SEVERAL",
    "SINCE",
    "UNREADABLE",
    "UNSENDABLE",
    "VALUE",
    "Break",
    "DONE",
    "Ended",
    "FAILED",
    "Fail",
    "Instruction",
    "PoolState",
    "Start",
    "Try",
    "held",
]

# A worker's cells in shared memory: the task it took last, plus one; the item of it that it is at; since when it is
# (monotonic nanoseconds, odd while it still unpickles; 0 where the task has no limit); whether it ends after the task.
# For who looks on: since when it is at the task (0: it has none), and how many tasks were done and calls raised in all.
CLAIM, ITEM, SINCE, RETIRE, BUSY, DONE, FAILED = range(7)
CELLS = 7  # for each worker
KEPT = (DONE, FAILED)  # by the next worker with that number
SEVERAL = 1 << 32  # added to the item: it is at all from that one on, for it unpickles them, or pickles their results

# How a task ended; the first four are written by the native side (crates/python/src/pool.rs).
VALUE = 0  # the function returned
RAISED = 1  # it raised, or its arguments could not be unpickled
UNSENDABLE = 2  # it returned something that cannot be pickled
UNREADABLE = 3  # what it returned cannot be unpickled here
DIED = 4  # its worker ended, or the pool did

# News of a worker
READY = 16  # it serves
BROKEN = 17  # its initializer raised
APART = 19  # a chunk of items cannot be unpickled as one (18 is the executor's)
LOST = 20  # a task's worker was lost, where workers are a cluster's
GONE = 21  # and there: the whole cluster is

MOST_STILLBIRTHS = 3  # workers ending in a row before any serves; arbitrary
MOST_KILLED = 64  # the same, of workers that are killed from outside; arbitrary
_FROM_OUTSIDE = (-9, -15)  # SIGKILL, SIGTERM
_WRAP = 2**32  # numbers of tasks count modulo this


@dataclass(frozen=True)
class Start:
    """Start a worker with this number."""

    worker: int


@dataclass(frozen=True)
class Fail:
    """The task with this number ended with its worker."""

    task: int
    worker: int


@dataclass(frozen=True)
class Try:
    """The task with this number was lost with its worker: see that it is done, by another one, as far as it is not."""

    task: int
    worker: int


@dataclass(frozen=True)
class Break:
    """The pool is of no use any more: fail everything, now and from now on."""

    reason: str


if TYPE_CHECKING:
    Instruction = Start | Fail | Try | Break
else:
    Instruction = (Start, Fail, Try, Break)


@dataclass(frozen=True)
class Ended:
    """What is known of a worker that ended, read in the order above."""

    worker: int
    exitcode: int | None
    claim: int = 0  # its claim cell: number of a task plus one, 0 for none
    taken: int = 0  # tasks ever taken from the ring, modulo 2**32
    others: frozenset[int] = frozenset()  # the claims of the other workers
    described: str = ""  # its exit in words
    hopeless: bool = False  # the next one would end in the same way


def held(claim: int, taken: int, others: frozenset[int], outstanding: frozenset[int]) -> int | None:
    """The number of the task that a dead worker took with it; None for none."""
    if claim == 0 or claim in others:
        return None
    task = claim - 1
    was_taken = 0 < (taken - task) % _WRAP < _WRAP // 2
    return task if was_taken and task in outstanding else None


def _once(task: int) -> bool:
    """No task is tried again."""
    return False


class PoolState:
    """Which workers there should be. Every method returns instructions, to be carried out in order."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.serving: set[int] = set()  # workers that said so
        self.starting: set[int] = set()  # workers started that have not
        self.stillbirths: int = 0  # ended in a row without serving
        self.killed: int = 0  # of these, from outside
        self.deaths: int = 0  # workers that took a task with them, or never served
        self.started: int = 0  # workers ever
        self.accepts: bool = True  # new tasks are taken
        self.broken: str | None = None

    def begin(self) -> list[Instruction]:
        """The pool is opened."""
        return [self._start(worker) for worker in range(self.size)]

    def ready(self, worker: int) -> list[Instruction]:
        """A worker serves."""
        self.starting.discard(worker)
        self.serving.add(worker)
        self.stillbirths = self.killed = 0
        return []

    def initializer_failed(self, reason: str) -> list[Instruction]:
        """A worker's initializer raised: the others' would as well."""
        return self._break(reason)

    def ended(
        self, event: Ended, outstanding: frozenset[int], has_more: Callable[[int], bool] = _once
    ) -> list[Instruction]:
        """A worker ended, of itself or not. `outstanding` are the tasks without an answer, all answers read.

        `has_more` tells of a lost task if something of it is to be done again: it may be tried once more, or has items
        that nobody is to blame for.
        """
        instructions: list[Instruction] = []
        served = event.worker in self.serving
        self.serving.discard(event.worker)
        self.starting.discard(event.worker)
        task = held(event.claim, event.taken, event.others, outstanding)
        again = task is not None and has_more(task)
        if task is not None:
            instructions.append((Try if again else Fail)(task, event.worker))
        self.deaths += task is not None or not served
        if self.broken is not None:
            return instructions
        if not served and task is None:
            self.stillbirths += 1
            self.killed += event.exitcode in _FROM_OUTSIDE
            if event.hopeless:
                return instructions + self._break(f"a worker {event.described}")
            if self.stillbirths - self.killed >= MOST_STILLBIRTHS or self.killed >= MOST_KILLED:
                why = f"{self.stillbirths} workers in a row ended before they served; the last {event.described}"
                return instructions + self._break(why)
        left = outstanding - {task}
        if self.accepts or left or again:
            instructions.append(self._start(event.worker))
        return instructions

    def close(self) -> list[Instruction]:
        """No more tasks are taken; workers are replaced only while some are out."""
        self.accepts = False
        return []

    def terminate(self) -> list[Instruction]:
        """Nobody is replaced any more."""
        return self._break("the pool was terminated")

    def _break(self, reason: str) -> list[Instruction]:
        self.accepts = False
        if self.broken is not None:
            return []
        self.broken = reason
        return [Break(reason)]

    def _start(self, worker: int) -> Instruction:
        self.starting.add(worker)
        self.started += 1
        return Start(worker)
