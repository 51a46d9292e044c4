"""Tasks and answers as Python objects in memory: what the native dispatcher is for processes, for threads.

Whoever waits for results notes the answers, and that may be the main thread, where a signal's handler may raise between
any two instructions. So what belongs together is done in one call: a chain of iterators over built-in functions, in
which no handler runs. What is not done yet is kept, and done by the next who reads.
"""

from __future__ import annotations

import queue
from collections import deque
from contextlib import suppress
from functools import partial
from itertools import chain, compress, count, repeat
from operator import is_
from typing import Any

from .. import _native
from .state import RAISED, READY, VALUE

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .registration import Registration

__all__ = ["Dispatcher", "Functions", "Outcomes"]

MANY = 4  # a bit of a kind; see crates/python/src/pool
TRACE, SUBMITTED, PRIVATE = 1, 18, 1 << 15  # see crates/core/src/recorder.rs
PART = 1 << 20  # a status: of a chunk that is not done yet
_is_true = partial(is_, True)


class Functions:
    """Stands for the table of functions: here they are their own addresses."""

    registration: Registration | None = None
    _last = 0  # `id` of the function seen last: not the function, which may be about to go

    def address(self, function: Any) -> Any:
        """What stands for the function. Raises: TypeError for what cannot be called."""
        if not callable(function):
            raise TypeError(f"a pool calls functions, and {function!r} cannot be called")
        self.note(function)
        return function

    check = address

    def note(self, function: Any) -> None:
        """Say that this is called, if it is another than the last."""
        if self.registration is not None and id(function) != self._last:
            self._last = id(function)
            self.registration.entitle(function)

    def __len__(self) -> int:
        return 0


class Dispatcher:
    """The native dispatcher's methods on queues in memory."""

    def __init__(self) -> None:
        self.tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.watchers: list[Callable[[], None]] = []  # of event loops: called after each answer
        self._out: dict[int, tuple[Any, int, int]] = {}  # by number: the job, where its results go, how many items
        self._order = count()  # of what is in the next two
        self._heard: dict[int, tuple[int, int, Any, int]] = {}  # answers, taken and not yet noted
        self._noted: dict[int, Any] = {}  # jobs that have ended, and news; not yet heeded
        self._next = 0
        self._numbers = count()
        self.failed: int = 0
        self.registration: Registration | None = None

    @property
    def outstanding(self) -> int:
        """Tasks without an answer, and what has ended and is not heeded yet."""
        return len(self._out) + len(self._noted)

    def submit(
        self, job: _native.Job, function: Any, kind: int, index: int, payloads: Iterable[Any], most_bytes: int = 0
    ) -> int:
        """Put tasks for the workers; returns how many. See `_native.Dispatcher.submit`."""
        tasks, entries = [], []
        for payload in payloads:
            items = len(payload) if kind & MANY else 0
            tasks.append((next(self._numbers), function, kind, payload))
            entries.append((job, index, items))
            index += max(items, 1)
        if not tasks:
            return 0
        if _native.recording() & TRACE:
            _native.record(SUBMITTED, id(self), tasks[0][0], len(tasks), flags=PRIVATE)
        numbers = [task[0] for task in tasks]
        _do(
            map(self._out.__setitem__, numbers, entries),
            map(setattr, (self,), ("_next",), (numbers[-1] + 1,)),
            map(job.expect, (len(tasks),)),
            map(self.tasks.put, tasks),
        )
        self._count()
        return len(tasks)

    def submit_one(self, job: _native.Job, function: Any, kind: int, payload: Any) -> int:
        """Put one task."""
        return self.submit(job, function, kind, 0, (payload,))

    def answer(self, answer: tuple[int, int, Any, int]) -> None:
        """A worker has something to say."""
        self.answers.put(answer)
        for tell in tuple(self.watchers):
            tell()

    def collect(self, most: int, timeout: float | None) -> Iterable[Any] | None:
        """Jobs that have ended, and news; None after `timeout` seconds without any.

        Each is kept until the caller comes for the next one: it has heeded it then.
        """
        try:
            may_wait = not self._heard and not self._noted
            self._heard.update(zip(self._order, map(self.answers.get, (may_wait,), (timeout,)), strict=False))
            if self.answers.qsize():
                self._heard.update(zip(self._order, map(self.answers.get, repeat(False, most)), strict=False))
        except queue.Empty:
            pass
        for key, answer in tuple(self._heard.items()):
            try:
                self._note(key, answer)
            except KeyError:  # a signal's handler noted it in the middle of this, or its task is out no longer
                self._heard.pop(key, None)
        if not self._noted:
            return None
        self._count()
        return _Kept(self._noted)

    def _count(self) -> None:
        """Tell who looks from outside."""
        if self.registration is not None:
            self.registration.count(self._next, self._next - len(self._out), self.failed)

    def _note(self, key: int, answer: tuple[int, int, Any, int]) -> None:
        number, status, value, nanos = answer
        steps: list[Iterator[Any]]
        entry: Any = None
        if status == PART:
            steps = self._noting_part(number, value, nanos)
        elif status >= READY:
            entry, steps = (status, number, value), [iter((True,))]
        else:
            entry, steps = self._noting(number, status, value, nanos)
        ends = map(_is_true, chain(map(self._heard.pop, (key,)), *steps))
        self._noted.update(zip(self._order, compress(repeat(entry), ends), strict=False))

    def fail(self, number: int, status: int, value: Any, nanos: int = 0) -> Any:
        """Note the answer of a task, whatever it is; its job, if that has ended by it."""
        job, steps = self._noting(number, status, value, nanos)
        with suppress(KeyError):  # another thread did
            return job if any(map(_is_true, chain(*steps))) else None

    def _noting(self, number: int, status: int, value: Any, nanos: int) -> tuple[Any, list[Iterator[Any]]]:
        """The job of a task, and the steps that note an answer; the last gives True if the job has ended by it."""
        job, index, items = self._out.get(number, (None, 0, 0))
        gone: Iterator[Any] = map(self._out.pop, (number,))
        if job is None:
            return None, [gone]
        if status == VALUE and items and type(value) is Outcomes:
            return job, [gone, *self._noting_each(job, index, value, nanos)]
        steps: list[Iterator[Any]] = [gone, map(job.arrive, (index,), (items,), (status,), (value,), (nanos,))]
        if status == RAISED:
            steps.insert(1, map(setattr, (self,), ("failed",), (self.failed + 1,)))
        return job, steps

    def _noting_part(self, number: int, outcomes: Outcomes, nanos: int) -> list[Iterator[Any]]:
        """The steps for a chunk of which more is to come: the rest is still one task."""
        job, index, items = self._out.get(number, (None, 0, 0))
        if job is None:
            return []
        rest = job, index + len(outcomes), items - len(outcomes)
        stays: list[Iterator[Any]] = [map(self._out.__setitem__, (number,), (rest,)), map(job.expect, (1,))]
        return stays + self._noting_each(job, index, outcomes, nanos)

    @staticmethod
    def _noting_each(job: Any, index: int, outcomes: Outcomes, nanos: int) -> list[Iterator[Any]]:
        """The steps for a chunk whose items stand for themselves."""
        statuses = [status for status, _ in outcomes]
        told = [[value] if status == VALUE else value for status, value in outcomes]
        arrivals = map(job.arrive, count(index), repeat(1), statuses, told, repeat(nanos // len(outcomes)))
        return [map(job.expect, (len(outcomes) - 1,)), arrivals]

    def owner(self, number: int) -> tuple[Any, int, int, int] | None:
        """The job of a task that is out, where its result goes, how many items; None: it is not out."""
        entry = self._out.get(number)
        return None if entry is None else (*entry, 0)

    def is_out(self, number: int) -> bool:
        """Whether a task has no answer."""
        return number in self._out

    def numbers(self, job: Any = None) -> list[int]:
        """The tasks that are out, of one job or of all."""
        return [number for number, entry in list(self._out.items()) if job is None or entry[0] is job]

    def forget(self, numbers: list[int]) -> None:
        """These tasks are out no longer; nothing is noted of them."""
        for number in numbers:
            self._out.pop(number, None)


class _Kept:
    """What is noted. An entry is struck off when the next is asked for: who is interrupted before begins with it."""

    def __init__(self, noted: dict[int, Any]) -> None:
        self._noted = noted

    def __iter__(self) -> Iterator[Any]:
        for key, entry in tuple(self._noted.items()):
            yield entry
            self._noted.pop(key, None)


class Outcomes(list[tuple[int, Any]]):
    """Of a chunk whose items stand for themselves: a status and a value or an exception for each."""


def _do(*steps: Iterable[Any]) -> None:
    """Take these steps in one call."""
    deque(chain.from_iterable(steps), maxlen=0)
