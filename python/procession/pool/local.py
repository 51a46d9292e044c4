"""A pool's workers as threads of this process: the same pool, nothing pickled, nothing to recover.

Tasks and answers are Python objects in `queue.SimpleQueue`s. A thread cannot be ended from outside: `terminate` drops
the tasks that nobody has begun, and the workers end after those they are at.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from .. import _native
from .._store import shared_arena
from ..errors import WorkerDied
from ..process import ThreadProcess
from .chunks import NEAR, Pace
from .limits import PARTS
from .registration import Registration
from .state import BROKEN, RAISED, READY, VALUE, Ended

__all__ = ["Dispatcher", "Functions", "LocalEngine", "Watched"]

MANY, STREAM = 4, 8  # bits of a kind; see crates/python/src/pool
TRACE, TASK, TASK_DONE, SUBMITTED, WORKER, PRIVATE = 1, 16, 17, 18, 19, 1 << 15  # see crates/core/src/recorder.rs
PART = 1 << 20  # a status: of a chunk that is not done yet
PART_NS = 1_000_000  # of a chunk in parts: for so long outcomes are kept, as in processes
_STOP = None


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
        self._next = 0
        self.failed: int = 0
        self.registration: Registration | None = None

    @property
    def outstanding(self) -> int:
        """Tasks without an answer."""
        return len(self._out)

    def submit(
        self, job: _native.Job, function: Any, kind: int, index: int, payloads: Iterable[Any], most_bytes: int = 0
    ) -> int:
        """Put tasks for the workers; returns how many. See `_native.Dispatcher.submit`."""
        tasks = []
        for payload in payloads:
            items = len(payload) if kind & MANY else 0
            tasks.append((self._next, function, kind, payload))
            self._out[self._next] = (job, index, items)
            self._next += 1
            index += max(items, 1)
        job.expect(len(tasks))
        if tasks and _native.recording() & TRACE:
            _native.record(SUBMITTED, id(self), tasks[0][0], len(tasks), flags=PRIVATE)
        self._count()
        for task in tasks:
            self.tasks.put(task)
        return len(tasks)

    def submit_one(self, job: _native.Job, function: Any, kind: int, payload: Any) -> int:
        """Put one task."""
        return self.submit(job, function, kind, 0, (payload,))

    def answer(self, answer: tuple[int, int, Any, int]) -> None:
        """A worker has something to say."""
        self.answers.put(answer)
        for tell in tuple(self.watchers):
            tell()

    def collect(self, most: int, timeout: float | None) -> list[Any] | None:
        """Jobs that have ended, and news; None after `timeout` seconds without any."""
        finished: list[Any] = []
        try:
            answer = self.answers.get(True, timeout)
            while True:
                self._note(answer, finished)
                answer = self.answers.get_nowait()
        except queue.Empty:
            if finished:
                self._count()
            return finished or None

    def _count(self) -> None:
        """Tell who looks from outside."""
        if self.registration is not None:
            self.registration.count(self._next, self._next - len(self._out), self.failed)

    def _note(self, answer: tuple[int, int, Any, int], finished: list[Any]) -> None:
        number, status, value, nanos = answer
        if status >= READY:
            if status == PART:
                self._note_part(number, value, nanos)
            else:
                finished.append((status, number, value))
            return
        job = self.fail(number, status, value, nanos)
        if job is not None:
            finished.append(job)

    def fail(self, number: int, status: int, value: Any, nanos: int = 0) -> Any:
        """Note the answer of a task, whatever it is; its job, if that has ended by it."""
        job, index, items = self._out.pop(number, (None, 0, 0))
        self.failed += status == RAISED
        if job is None:
            return None
        if status == VALUE and items and type(value) is _Outcomes:
            return job if self._note_each(job, index, value, nanos) else None
        return job if job.arrive(index, items, status, value, nanos) else None

    def _note_part(self, number: int, outcomes: list[tuple[int, Any]], nanos: int) -> None:
        """Of a chunk of which more is to come."""
        job, index, items = self._out.get(number, (None, 0, 0))
        if job is not None:
            self._out[number] = (job, index + len(outcomes), items - len(outcomes))
            job.expect(1)  # for the rest is still one task
            self._note_each(job, index, outcomes, nanos)

    @staticmethod
    def _note_each(job: Any, index: int, outcomes: list[tuple[int, Any]], nanos: int) -> bool:
        """Of a chunk whose items stand for themselves. True: the job is done."""
        job.expect(len(outcomes) - 1)
        done = False
        for place, (status, value) in enumerate(outcomes):
            told = [value] if status == VALUE else value
            done = job.arrive(index + place, 1, status, told, nanos // len(outcomes))
        return done

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


class _Outcomes(list[tuple[int, Any]]):
    """Of a chunk whose items stand for themselves: a status and a value or an exception for each."""


def _outcome(function: Callable[..., Any], kind: int, item: Any) -> tuple[int, Any]:
    try:
        return VALUE, _call(function, kind, item)
    except Exception as error:
        return RAISED, error


def _watched(function: Callable[..., Any], kind: int, payload: Any, tell: Callable[[Any, int], None]) -> Any:
    """As `_call`, where somebody watches: a chunk that takes long is told of in parts."""
    if not kind & STREAM:
        return _call(function, kind, payload)
    return _in_parts(function, kind - MANY - STREAM, payload, tell)


def _in_parts(function: Callable[..., Any], kind: int, items: list[Any], tell: Callable[[Any, int], None]) -> Any:
    """The outcomes of the last items; those before them were told."""
    outcomes, began = _Outcomes(), time.perf_counter_ns()
    for place, item in enumerate(items, 1):
        outcomes.append(_outcome(function, kind, item))
        now = time.perf_counter_ns()
        if now - began >= PART_NS and place < len(items):
            tell(outcomes, now - began)
            outcomes, began = _Outcomes(), now
    return outcomes


def _call(function: Callable[..., Any], kind: int, payload: Any) -> Any:
    if kind & STREAM:
        return _Outcomes(_outcome(function, kind - MANY - STREAM, item) for item in payload)
    if kind == 0:
        return function(*payload[0], **payload[1])
    if kind == 1:
        return function(payload)
    if kind == 2:
        return function(*payload)
    return [_call(function, kind - MANY, item) for item in payload]


class Watched:
    """Of an engine whose answers come up in this process: event loops are told by a call, and need no descriptor."""

    dispatcher: Dispatcher

    def watch(self, tell: Callable[[], None]) -> int | None:
        """See `Engine`."""
        if tell not in self.dispatcher.watchers:
            self.dispatcher.watchers.append(tell)
        return None

    def unwatch(self, tell: Callable[[], None]) -> None:
        """See `Engine`."""
        if tell in self.dispatcher.watchers:
            self.dispatcher.watchers.remove(tell)


class LocalEngine(Watched):
    """Workers in threads; see `engine.Engine`."""

    method = "thread"
    pace: Pace = NEAR
    encode: Callable[..., Any] = staticmethod(_native.encode)
    wrap: Any = None  # objects are handed over themselves

    def __init__(
        self, size: int, initializer: Callable[..., Any] | None, initargs: tuple[Any, ...], most_tasks: int
    ) -> None:
        self.dispatcher: Dispatcher = Dispatcher()
        self.tasks: queue.SimpleQueue[Any] = self.dispatcher.tasks
        self.answers: queue.SimpleQueue[Any] = self.dispatcher.answers
        self.functions: Functions = Functions()
        self.registration: Registration = Registration.of_threads(shared_arena(), size)
        self.dispatcher.registration = self.functions.registration = self.registration
        self.workers: dict[int, Any] = {}
        self._initializer, self._initargs, self._most_tasks = initializer, initargs, most_tasks
        self._closed = False

    @property
    def waiting(self) -> int:
        """Tasks no worker has taken."""
        return self.dispatcher.tasks.qsize()

    def start(self, number: int) -> None:
        """See `Engine`."""
        arguments = (self.dispatcher, number, self._initializer, self._initargs, self._most_tasks)
        thread = ThreadProcess(target=_serve, args=arguments, daemon=True)
        thread.name = thread.name.replace("ThreadProcess", "PoolThread")
        thread.start()
        self.workers[number] = thread

    def ended(self) -> list[int]:
        """See `Engine`."""
        return [number for number, worker in list(self.workers.items()) if worker.exitcode is not None]

    def evidence(self, number: int) -> Ended:
        """See `Engine`. A thread takes no task with it."""
        worker = self.workers.pop(number)
        if self._closed:
            self.dispatcher.tasks.put(_STOP)
        return Ended(number, worker.exitcode, described=f"ended with code {worker.exitcode}")

    def item_of(self, number: int) -> int:
        """See `Engine`."""
        return 0

    def withdraw(self, numbers: list[int]) -> list[int]:
        """See `Engine`. A thread that comes to one of these passes it over, for nobody waits for it."""
        return numbers

    def close(self) -> None:
        """See `Engine`."""
        self._closed = True
        for _ in self.workers:
            self.dispatcher.tasks.put(_STOP)

    def kill(self) -> None:
        """See `Engine`."""
        try:
            while True:
                self.dispatcher.tasks.get_nowait()
        except queue.Empty:
            self.close()

    def undo(self) -> None:
        """See `Engine`."""
        self.kill()
        self.join(None)

    def join(self, timeout: float | None) -> bool:
        """See `Engine`."""
        end = None if timeout is None else time.monotonic() + timeout
        for worker in list(self.workers.values()):
            worker.join(None if end is None else max(0.0, end - time.monotonic()))
        return all(worker.exitcode is not None for worker in list(self.workers.values()))


def _serve(
    dispatcher: Dispatcher,
    number: int,
    initializer: Callable[..., Any] | None,
    initargs: tuple[Any, ...],
    most: int,
) -> None:
    """A worker's life."""
    if initializer is not None:
        try:
            initializer(*initargs)
        except Exception as error:
            dispatcher.answer((number, BROKEN, error, 0))
            return
    if _native.recording() & TRACE:
        _native.record(WORKER, id(dispatcher), flags=PRIVATE, label="")
    dispatcher.answer((number, READY, None, 0))
    done = 0
    while not most or done < most:
        task = dispatcher.tasks.get()
        if task is _STOP:
            return
        task_number, function, kind, payload = task
        if not dispatcher.is_out(task_number):
            continue
        traced = _native.recording() & TRACE and _trace_begin(dispatcher, task_number, function, kind, payload)
        began = time.perf_counter_ns()
        try:
            if kind < PARTS:
                status, value = VALUE, _call(function, kind, payload)
            else:
                told = lambda outcomes, nanos, number=task_number: dispatcher.answer((number, PART, outcomes, nanos))
                status, value = VALUE, _watched(function, kind - PARTS, payload, told)
        except Exception as error:
            status, value = RAISED, error
        except BaseException as error:
            # What ends a worker process must not end the caller; this thread goes on, as a fresh one would
            status, value = RAISED, _died(dispatcher, task_number, error)
        if traced:
            _trace_end(dispatcher, task_number, status, value)
        dispatcher.answer((task_number, status, value, time.perf_counter_ns() - began))
        del task, function, payload, value
        done += 1


def _trace_begin(dispatcher: Dispatcher, number: int, function: Any, kind: int, payload: Any) -> bool:
    items = len(payload) if kind & MANY else 0
    _native.record(TASK, id(dispatcher), number, items, flags=PRIVATE, label=_native.title(function, payload))
    return True


def _trace_end(dispatcher: Dispatcher, number: int, status: int, value: Any) -> None:
    failed = int(status != VALUE)
    if type(value) is _Outcomes:
        failed = sum(told != VALUE for told, _ in value)
    _native.record(TASK_DONE, id(dispatcher), number, failed, flags=PRIVATE, label="")


def _died(dispatcher: Dispatcher, task: int, error: BaseException) -> WorkerDied:
    """What the caller gets for a task that called `sys.exit`, as from a process."""
    owner = dispatcher.owner(task)
    what = None
    if owner is not None:
        job, index, items, _ = owner
        what = job.describe(index, items, 0) if items <= 1 else f"one of {items} items"
    exitcode = 1
    if isinstance(error, SystemExit):
        exitcode = error.code if isinstance(error.code, int) else int(error.code is not None)
    died = WorkerDied.of(threading.current_thread().name, os.getpid(), exitcode, item=what)
    died.__cause__ = error
    return died
