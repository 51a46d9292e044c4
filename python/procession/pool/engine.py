"""Where a pool's workers run: processes, on rings in shared memory. (`local.py` is the same for threads.)

The seam between the pool and the two engines: start a worker, tell which ended, give the evidence, stop taking tasks,
end them. Besides that an engine has a `dispatcher` (tasks out, answers in) and a table of `functions`.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager

from .. import _native
from .._interrupts import Held
from .._output import drain
from .._prompt import ByValue, main_is_typed_in, typed_in
from .._store import Shared, shared_arena
from ..errors import NotGuarded, NotSupported, RemoteTraceback, TooManyWaiters, WorkerDied, describe_exit
from ..process import ProcessWithResult
from .blas import survey, threads_each, variables
from .chunks import NEAR
from .control import TERMINATE_S, Control
from .functions import FunctionTable
from .marks import Marks, is_before
from .registration import Registration
from .reports import Reports
from .state import CELLS, CLAIM, ITEM, KEPT, Ended
from .worker import Surroundings, main

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Protocol

    from .chunks import Pace
else:
    Protocol = object

__all__ = ["Engine", "ProcessEngine"]


class Engine(Protocol):
    """What a supervisor needs of the place where workers run."""

    method: str
    dispatcher: Any
    functions: Any
    tasks: Any  # what no worker has taken: has `qsize`, and travels to the workers
    answers: Any  # what nobody has taken in: has `qsize`
    workers: dict[int, Any]  # the live ones: objects with name, pid, exitcode
    wrap: Any  # called with a payload, makes what is sent in its place; None where that is the payload itself
    registration: Registration
    pace: Pace  # how tasks are cut and handed out there
    encode: Any  # raises what sending something would: PicklingError

    @property
    def waiting(self) -> int:
        """Tasks no worker has taken."""

    def start(self, number: int) -> None:
        """Start worker `number`."""

    def ended(self) -> list[int]:
        """Numbers of the workers that have ended; never blocks."""

    def evidence(self, number: int) -> Ended:
        """What is known of a worker that has ended; it is no worker from here on."""

    def item_of(self, number: int) -> int:
        """Which item of its task a worker was at."""

    def withdraw(self, numbers: list[int]) -> list[int]:
        """See to it that those of these tasks that no worker has taken are not done; which these are."""

    def watch(self, tell: Callable[[], None]) -> int | None:
        """A descriptor that is readable while there are answers. -1: there is none.

        None: `tell` is called after each answer, in any thread, until `unwatch`. May be asked again and again.
        """

    def unwatch(self, tell: Callable[[], None]) -> None:
        """Do not call `tell` any more."""

    def close(self) -> None:
        """Let the workers end when no task is left."""

    def kill(self) -> None:
        """End the workers now, as far as they can be ended, and forget the tasks."""

    def undo(self) -> None:
        """A worker could not be started: end the others."""

    def join(self, timeout: float | None) -> bool:
        """Wait until all workers have ended. False: some have not."""


class _Ring(_native.Ring, Shared):
    """A ring that workers inherit or get by its address."""

    __slots__ = ()


class _Claims(_native.Claim, Shared):
    __slots__ = ()


class ProcessEngine(Control):
    """Workers in processes of a context."""

    pace: Pace = NEAR
    encode: Callable[..., Any] = staticmethod(_native.encode)

    def __init__(
        self,
        context: Any,
        make: Callable[..., Any],
        size: int,
        initializer: Callable[..., Any] | None,
        initargs: tuple[Any, ...],
        most_tasks: int,
    ) -> None:
        """`make(context, target=, args=)` gives a process to start: `Pool.Process`."""
        arena = shared_arena()
        self.method: str = context.get_start_method()
        self._context, self._make = context, make
        self.tasks: Any = _Ring(arena)
        self.answers: _Ring = _Ring(arena)
        self.claims: Any = _Claims(arena, CELLS * size)
        self.marks: Marks = Marks()
        self._marking = threading.Lock()
        self.ending: Any = threading.RLock()
        self.reports: Reports = Reports()
        self.inherited: dict[int, int] = {}
        self._initializer, self._initargs, self._most_tasks = initializer, initargs, most_tasks
        self._threads = threads_each(size)
        if self._threads and self.method == "fork":
            survey()
        self.workers: dict[int, Any] = {}
        self._closed = False
        self._forward: Any = False
        self.dispatcher: Any = _native.Dispatcher(self.tasks, self.answers)
        dispatcher = self.dispatcher
        known = typed_in() if main_is_typed_in() and self.method == "fork" else ()
        self.wrap: Any = _Wrap(known) if main_is_typed_in() else None
        self.functions: FunctionTable = FunctionTable(arena, lambda: dispatcher.outstanding, known)
        self.registration: Registration = Registration.of_processes(arena, self, size)

    @property
    def waiting(self) -> int:
        """Tasks no worker has taken."""
        return int(self.tasks.qsize())

    def forward_output(self, given: Any) -> Callable[[], None] | None:
        """Before the first worker: what becomes of their output. Returns what has it passed on, if it is."""
        self._forward = given
        return drain if given else None

    def start(self, number: int) -> None:
        """Start worker `number`. Raises: OSError, or PicklingError for the initializer under spawn and forkserver."""
        for cell in set(range(CELLS)).difference(KEPT):
            self.claims[CELLS * number + cell] = 0
        self.reports.clear(number)
        if self.method == "fork":
            self.inherited[number] = _native.own_memory(os.getpid()) or 0
        given = Surroundings(
            number,
            self.tasks,
            self.answers,
            self.claims,
            self.marks,
            self.reports,
            self._initializer,
            self._initargs,
            self._most_tasks,
            self.method,
            self._threads,
        )
        process = self._process(given)
        process.name = process.name.replace("Process", "PoolWorker")
        process.daemon = True
        if self._forward:
            if not isinstance(process, ProcessWithResult):
                raise NotSupported(f"forward_output: {type(process).__qualname__} is not a process of procession's")
            process._forward = self._forward
        environment = variables(self._threads) if self._threads and self.method == "spawn" else {}
        with Held(), _environment(environment):  # a worker begins with Ctrl-C blocked, until it has its own handler
            try:
                process.start()
            except NotGuarded:
                from .._main_guard import leave_quietly

                leave_quietly("PoolWorker")
                raise
        self.workers[number] = process
        self.registration.enter(number, getattr(process, "pid", 0))

    def _process(self, given: Surroundings) -> Any:
        return self._make(self._context, target=main, args=(given,))

    def ended(self) -> list[int]:
        """See `Engine`."""
        return [number for number, worker in list(self.workers.items()) if worker.exitcode is not None]

    def evidence(self, number: int) -> Ended:
        """See `Engine`, and `state` for why in this order."""
        worker = self.workers.pop(number)
        self.registration.enter(number, 0)
        claim = self.claims[CELLS * number + CLAIM]
        taken = self.tasks.position[0]
        others = frozenset(self.claims[CELLS * other + CLAIM] for other in self.workers)
        described = describe_exit(worker.exitcode)
        reason = _reason(worker) if worker.exitcode == 1 and self.method != "fork" else None
        described += "" if reason is None else f": {reason}"
        with self.ending:
            _give_back(worker)
        return Ended(number, worker.exitcode, claim, taken, others, described, isinstance(reason, NotGuarded))

    def item_of(self, number: int) -> int:
        """See `Engine`."""
        item: int = self.claims[CELLS * number + ITEM]
        return item

    def withdraw(self, numbers: list[int]) -> list[int]:
        """See `Engine`, and `marks`."""
        with self._marking:
            return self.marks.withdraw(numbers, lambda: self.tasks.position)

    def has_taken(self, number: int) -> bool:
        """Whether a worker has taken this task."""
        return is_before(number, self.tasks.position[0])

    def watch(self, tell: Callable[[], None]) -> int | None:
        """See `Engine`."""
        try:
            return self.answers.watch()
        except TooManyWaiters:
            return -1

    def unwatch(self, tell: Callable[[], None]) -> None:
        """See `Engine`. The ring keeps its descriptor until the workers have ended."""

    def close(self) -> None:
        """See `Engine`."""
        if not self._closed:
            self._closed = True
            self.tasks.shutdown()

    def kill(self) -> None:
        """See `Engine`. SIGTERM first; what is still there a second later gets SIGKILL."""
        for worker in list(self.workers.values()):
            if worker.exitcode is None:
                worker.terminate()
        if not self.join(TERMINATE_S):
            for worker in list(self.workers.values()):
                worker.kill()
            self.join(TERMINATE_S)
        # Not before: a worker that found the ring closed would take a signal for the end of its work
        self.close()

    def undo(self) -> None:
        """See `Engine`. Asks no more of a process than the standard pool: programs bring classes of their own."""
        for worker in list(self.workers.values()):
            if worker.exitcode is None:
                worker.terminate()
        for worker in list(self.workers.values()):
            worker.join()
        self.close()

    def join(self, timeout: float | None) -> bool:
        """See `Engine`."""
        end = None if timeout is None else time.monotonic() + timeout
        for worker in list(self.workers.values()):
            worker.join(None if end is None else max(0.0, end - time.monotonic()))
        for number, worker in list(self.workers.items()):
            if worker.exitcode is not None:
                _give_back(worker)
                self.registration.enter(number, 0)
        ended = all(worker.exitcode is not None for worker in list(self.workers.values()))
        if ended:
            self.answers.unwatch()  # gives its descriptor back
            self.reports.close()
        return ended


class _Wrap:
    """Lets what was typed in travel by value; see `_prompt`."""

    def __init__(self, known: Any) -> None:
        self._known = known

    def __call__(self, payload: Any) -> Any:
        return payload if _is_plain(payload) else ByValue(payload, self._known)


_PLAIN = frozenset((int, float, bool, str, bytes, type(None)))


def _is_plain(thing: Any) -> bool:
    kind = type(thing)
    if kind is tuple or kind is list:
        return all(type(item) in _PLAIN or _is_plain(item) for item in thing)
    return kind in _PLAIN or (kind is dict and all(type(item) in _PLAIN for item in thing.values()))


def _give_back(worker: Any) -> None:
    """Close the descriptors of a process that has ended, and let it be no child any more; its exit code stays known."""
    worker.join()
    worker._popen.close()


def _reason(worker: Any) -> BaseException | str | None:
    """Why a new process could not become a worker, if it left word: its main module, which lacks the guard, say."""
    if not hasattr(worker, "result"):
        return None  # not a process of ours
    try:
        worker.result(0)
    except WorkerDied:
        return None
    except Exception as error:
        return error
    except BaseException as error:  # a KeyboardInterrupt that a task raised, say
        if not isinstance(error.__cause__, RemoteTraceback):
            raise  # one of this process
        return f"{type(error).__name__} {error}".rstrip()
    return None


@contextmanager
def _environment(more: dict[str, str]) -> Iterator[None]:
    """For a new interpreter: variables that libraries read when the main module imports them."""
    added = {name: value for name, value in more.items() if not os.environ.get(name)}
    empty = dict.fromkeys(added.keys() & os.environ.keys(), "")
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]
        os.environ.update(empty)
