"""A pool's workers as threads of this process: the same pool, nothing pickled, nothing to recover.

Tasks and answers are handed over as they are (`direct`). A thread cannot be ended from outside: `terminate` drops
the tasks that nobody has begun, and the workers end after those they are at.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from .. import _native
from .._store import shared_arena
from ..errors import WorkerDied
from ..process import ThreadProcess
from .chunks import NEAR, Pace
from .direct import MANY, PART, PRIVATE, TRACE, Dispatcher, Functions, Outcomes
from .limits import PARTS
from .registration import Registration
from .state import BROKEN, RAISED, READY, VALUE, Ended

__all__ = ["LocalEngine", "Watched"]

STREAM = 8  # a bit of a kind; see crates/python/src/pool
TASK, TASK_DONE, WORKER = 16, 17, 19  # see crates/core/src/recorder.rs
PART_NS = 1_000_000  # of a chunk in parts: for so long outcomes are kept, as in processes
_STOP = None


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
    outcomes, began = Outcomes(), time.perf_counter_ns()
    for place, item in enumerate(items, 1):
        outcomes.append(_outcome(function, kind, item))
        now = time.perf_counter_ns()
        if now - began >= PART_NS and place < len(items):
            tell(outcomes, now - began)
            outcomes, began = Outcomes(), now
    return outcomes


def _call(function: Callable[..., Any], kind: int, payload: Any) -> Any:
    if kind & STREAM:
        return Outcomes(_outcome(function, kind - MANY - STREAM, item) for item in payload)
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
    if type(value) is Outcomes:
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
