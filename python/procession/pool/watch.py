"""Looks after workers that run: whether an item takes too long, or a worker too much memory; and ends those.

A worker may be done with its item, and at another one that is not to blame, between the look and the blow. So it is
stopped first (SIGSTOP), looked at again, and only ended if it is still where it was; otherwise it goes on. Nothing of
the arena is touched while it stands still: it may hold a lock there that nobody can take over from one who lives.

What the worker's end is put down to is left in `causes`; that it has ended, and which item it took along, is found out
like any other death. One that had just answered costs nothing.
"""

from __future__ import annotations

from functools import partial
from time import monotonic, monotonic_ns

from .._sizes import shown_size
from ..errors import MemoryLimitExceeded, RemoteTraceback, TaskTimeout, WorkerDied
from .reports import last_line

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .engine import ProcessEngine

    Cause = Callable[..., BaseException]

__all__ = ["Watch"]

LOADING = 1  # in the time since which a worker is at something: it unpickles, and imports what its function needs
LOADING_S = 10.0  # what that may take besides; arbitrary: a fresh worker may have much to import
WORTH_TELLING = 32 << 20  # bytes; with less, memory is hardly what a worker died of. Arbitrary
SAMPLE_S = 0.2  # between two looks at memory that is not limited; it is for messages only


class Watch:
    """Of one pool's processes."""

    def __init__(self, engine: ProcessEngine, limit_bytes: int | None, retire_bytes: int | None) -> None:
        """`limit_bytes`: a worker with more memory of its own is ended; `retire_bytes`: after its task."""
        self._engine = engine
        self._limit, self._retire = limit_bytes, retire_bytes
        self._sampled = 0.0
        self._memory: dict[int, int] = {}  # bytes, by worker
        self._causes: dict[int, Cause] = {}  # what the end of a worker is put down to

    def look(self) -> None:
        """At all of them. Takes as long as it takes to end one."""
        now = monotonic()
        weigh = self._limit is not None or self._retire is not None or now - self._sampled >= SAMPLE_S
        if weigh:
            self._sampled = now
        for number in list(self._engine.workers):
            self._look_at_time(number)
            if weigh:
                self._look_at_memory(number)

    def end(self, number: int, was: tuple[int, ...], cause: Cause | None) -> None:
        """End a worker, unless it is not where it was any more."""
        engine = self._engine
        if not engine.stop(number):
            return
        if engine.at(number) != was:
            engine.go_on(number)
            return
        if cause is not None:
            self._causes[number] = cause
        engine.slay(number)

    def end_tasks(self, tasks: set[int]) -> None:
        """End the workers that are at these, unless they come to others meanwhile."""
        for number in list(self._engine.workers):
            at = self._engine.at(number)
            if at[0] - 1 in tasks:
                self.end(number, at, None)

    def loss(self, number: int, worker: Any, item: str) -> BaseException:
        """The error for what a dead worker took along."""
        report = self._engine.report(number)
        line, memory = last_line(report), self._memory.pop(number, None)
        remark = f"; it was at {line}" if line else ""
        if memory is not None and memory >= WORTH_TELLING:
            remark += f"; it had {shown_size(memory)} of memory of its own when last looked at"
        cause = self._causes.pop(number, WorkerDied.of)
        facts = {"item": item, "remark": remark, "memory_bytes": memory, "line": line}
        output = getattr(worker, "output", ())
        error = cause(worker.name, worker.pid, worker.exitcode, output=output, **facts)
        if report:
            error.__cause__ = RemoteTraceback(report)
        return error

    def forget(self, number: int) -> None:
        """A worker that ended took nothing along."""
        self._memory.pop(number, None)
        self._causes.pop(number, None)

    def _look_at_time(self, number: int) -> None:
        at = self._engine.at(number)
        since = at[2]
        if not since:
            return
        owner = self._engine.dispatcher.owner(at[0] - 1)
        if owner is None:
            return  # answered
        job: Any = owner[0]
        timeout = job._limits.timeout
        if monotonic_ns() - since >= (timeout + (LOADING_S if since & LOADING else 0)) * 1e9:
            words = f"was ended after its {timeout:g} seconds"
            self.end(number, at, partial(TaskTimeout.of, ended=words, timeout_s=timeout))

    def _look_at_memory(self, number: int) -> None:
        at = self._engine.at(number)
        try:
            size = self._engine.memory(number)
        except LookupError:  # another thread saw that it ended
            return
        if size is None:
            return
        self._memory[number] = size
        limit = self._limit
        if limit is not None and size > limit:
            words = f"was ended for passing its memory limit of {shown_size(limit)}"
            self.end(number, at, partial(MemoryLimitExceeded.of, ended=words, limit_bytes=limit))
        elif self._retire is not None and size > self._retire:
            self._engine.retire(number)
