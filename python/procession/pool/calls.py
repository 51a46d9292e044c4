"""What both phases of a keyed map-reduce stand on: tasks and their answers, spools, the board, progress, the end.

A call owns what it made and gives it back however it ends. When it ends early, its workers are told to stop at their
next item and what they answer is thrown away; nobody waits for them.
"""

from __future__ import annotations

import threading
from time import perf_counter

from .. import _native
from ..errors import WorkerDied
from ..gather.spool import Spool, spill_directory
from .board import (
    BYTES,
    ITEMS,
    NANOS,
    PAIRS,
    PID,
    SPILLED,
    STATE,
    STATES,
    STOP,
    Board,
    KeyedProgress,
    WorkerProgress,
)
from .limits import Limits
from .results import ONE, failure
from .state import VALUE

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from dataclasses import dataclass
    from typing import Any

    from ..gather.budget import Budget
    from ..gather.reducers import Reducer
    from .rounds import Fail
    from .supervisor import Supervisor
else:
    from ._record import dataclass

__all__ = ["Call", "Options"]

REPORT_S = 0.1  # between two reports of progress
COUNTED = (ITEMS, BYTES, PAIRS, SPILLED, NANOS)


@dataclass(frozen=True)
class Options:
    """What the caller wants."""

    reducer: Reducer
    budget: Budget
    directory: str | None  # where to spill; None: where temporary files go
    retries: int
    progress: Callable[[KeyedProgress], object] | None
    kept: Any = None  # a checkpoint; see `mapreduce.kept`


class _Tasks(_native.Job):
    """The tasks of a call that are out."""

    __slots__ = ("__weakref__", "_callbacks", "_name")

    _callbacks: None
    _name: str
    _limits, _tries, _is_divisible = Limits(), None, False  # what is lost is the call's business

    def describe(self, index: int, items: int, offset: int = 0) -> str:
        """Name a task for a message, until somebody does it better."""
        return self._name


class _Written:
    """A spool, and how much was written into it by shares that returned."""

    __slots__ = ("is_old", "run_bytes", "spool")

    def __init__(self, spool: Spool, is_old: bool) -> None:
        self.spool, self.run_bytes, self.is_old = spool, 0, is_old


class Call:
    """One call of map_reduce_by_key, from begin to end: a context manager."""

    def __init__(self, core: Supervisor, options: Options) -> None:
        self.core: Supervisor = core
        self.options: Options = options
        self.began: float = perf_counter()
        self.shared: bool = core.engine.method != "thread"
        self.board: Board = Board.of(2 * core.size, shared=self.shared)
        self.spools: list[_Written] = []
        self.owned: list[Spool] = []  # closed at the end
        self.stopping: list[Callable[[], None]] = []  # called when the call ends early
        self.doing: dict[int, Callable[[], str]] = {}  # what the task at a slot is doing, by slot
        self.deaths = self.merged = 0
        self.known_bytes = 0  # of input that a checkpoint had
        self.total_items: int | None = None
        self.total_bytes: int | None = None
        self._job = _Tasks()
        self._job._callbacks, self._job._name = None, "map_reduce_by_key"
        self._counted: dict[int, list[int]] = {}  # by pid, as COUNTED: of shares that returned
        self._reported = self.began
        self._over = threading.Event()

    def __enter__(self) -> Call:
        self.core.feeding.add(self)
        return self

    def __exit__(self, kind: object, *exception: object) -> None:
        if kind is not None:
            self._stop()
        self.core.feeding.discard(self)
        self._over.set()
        for spool in self.owned:
            spool.close()

    def feed_all(self) -> None:
        """Block until the call is over: the pool was closed, by another thread, and is joined."""
        self._over.wait()

    def _stop(self) -> None:
        self.board.words[STOP] = 1
        for stop in self.stopping:
            stop()
        dispatcher = self.core.dispatcher
        dispatcher.forget(dispatcher.numbers(self._job))

    # Spools

    @property
    def directory(self) -> str:
        """Where spools go that are on disk."""
        return self.options.directory or spill_directory(None)

    @property
    def in_memory(self) -> int:
        """Bytes in spools in memory."""
        return sum(written.run_bytes for written in self.spools if written.spool.directory is None)

    def spool(self, on_disk: bool) -> int:
        """The number of a spool of that kind, made when first wanted. Raises: OSError."""
        kept = self.options.kept
        on_disk = on_disk or kept is not None
        for place, written in enumerate(self.spools):
            if not written.is_old and (written.spool.directory is not None) == on_disk:
                return place
        if kept is not None:
            return self.take_spool(kept.spool())
        return self.take_spool(Spool.on_disk(self.directory) if on_disk else Spool.in_memory("procession-spool"))

    def take_spool(self, spool: Spool, *, is_old: bool = False) -> int:
        """The number of a spool that is the call's from now on; an old one is read and nothing more."""
        self.owned.append(spool)
        self.spools.append(_Written(spool, is_old))
        return len(self.spools) - 1

    # Tasks

    def submit(self, slot: int, function: Any, work: Any) -> None:
        """Have a worker call the function. Raises: PicklingError for it; what a pool that ended raises."""
        self.core.submit(self._job, function, ONE, slot, (work,))

    def arrivals(self, timeout: float, phase: str) -> Iterator[tuple[int, Any, WorkerDied | None]]:
        """Wait for up to `timeout` seconds; then what has come: the slot, what was returned there, or the death.

        Raises: what a task raised, with a note of what it was at; what the pool broke with.
        """
        job = self._job
        self.core.wait(lambda: job.has_arrived, min(timeout, REPORT_S))
        for slot, _, status, told in job.take():
            if status == VALUE:
                yield slot, told, None
            elif isinstance(told, WorkerDied):
                yield slot, None, told
            else:
                raise self._explained(failure(status, told, self._job._name), slot)
        self.report(phase)

    def _explained(self, error: BaseException, slot: int) -> BaseException:
        if isinstance(error, Exception):
            pid = self.board.line(slot)[PID]
            error.add_note(f"in worker {pid}, at {self.doing[slot]()}" if pid else f"at {self.doing[slot]()}")
        return error

    @staticmethod
    def given_up(death: WorkerDied, doing: str, failure: Fail) -> WorkerDied:
        """The error for work that killed its workers too often."""
        error = WorkerDied.of(death.name, death.pid, death.exitcode, item=doing)
        error.__cause__ = death.__cause__
        if failure.scattered:
            error.add_note(f"it was the last of {failure.attempts} workers that died with nothing finished in between")
        elif failure.attempts > 1:
            error.add_note(f"it was tried {failure.attempts} times, and ended with a dead worker each time")
        return error

    # Progress

    def count(self, slot: int) -> None:
        """A share returned: keep what it counted, and clear its line."""
        line = self.board.line(slot)
        counted = self._counted.setdefault(line[PID], [0] * len(COUNTED))
        for place, word in enumerate(COUNTED):
            counted[place] += line[word]
        self.board.clear(slot)

    def _counts(self) -> dict[int, tuple[list[int], str]]:
        """By pid: what it counted so far, as COUNTED, and its state."""
        counts = {pid: (list(counted), STATES[0]) for pid, counted in self._counted.items()}
        for slot in range(2 * self.core.size):
            line = self.board.line(slot)
            if line[PID]:
                before, state = counts.get(line[PID], ([0] * len(COUNTED), STATES[0]))
                values = [value + line[word] for value, word in zip(before, COUNTED, strict=True)]
                counts[line[PID]] = values, STATES[line[STATE] % len(STATES)] if line[STATE] else state
        return counts

    def measured(self) -> tuple[int, int]:
        """Items mapped so far, and the nanoseconds they took."""
        counts = [values for values, _ in self._counts().values()]
        return sum(values[0] for values in counts), sum(values[-1] for values in counts)

    def report(self, phase: str, *, always: bool = False) -> None:
        """Tell the caller how far it is, ten times a second. Raises: what the callback raises."""
        progress, now = self.options.progress, perf_counter()
        if progress is None or (not always and now - self._reported < REPORT_S):
            return
        self._reported = now
        counts = sorted(self._counts().items())
        workers = tuple(WorkerProgress(pid, state, *values[:4]) for pid, (values, state) in counts)
        items, done = (sum(values[place] for _, (values, _) in counts) for place in (0, 1))
        size = self.merged if phase == "reduce" else done + self.known_bytes
        total = self.total_items
        progress(KeyedProgress(phase, items, total, size, self.total_bytes, now - self.began, workers))
