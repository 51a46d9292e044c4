"""Where a pool's workers run: processes, on rings in shared memory. (`local.py` is the same for threads.)

The seam between the pool and the two engines: start a worker, tell which ended, give the evidence, stop taking tasks,
end them. Besides that an engine has a `dispatcher` (tasks out, answers in) and a table of `functions`.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import contextmanager

from .. import _native
from .._store import Shared, shared_arena
from ..errors import NotGuarded, RemoteTraceback, WorkerDied, describe_exit
from ..process import ForkProcess, ForkServerProcess, SpawnProcess, current_process
from .functions import FunctionTable
from .state import Ended
from .worker import Surroundings, main

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Protocol
else:
    Protocol = object

__all__ = ["Engine", "ProcessEngine"]

TERMINATE_S = 1.0  # a worker asked to end (SIGTERM) and still there after this is killed

_CLASSES: dict[str, Any] = {"fork": ForkProcess, "spawn": SpawnProcess, "forkserver": ForkServerProcess}


class Engine(Protocol):
    """What a supervisor needs of the place where workers run."""

    method: str
    dispatcher: Any
    functions: Any
    tasks: Any  # what no worker has taken: has `qsize`, and travels to the workers
    workers: dict[int, Any]  # the live ones: objects with name, pid, exitcode

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

    def close(self) -> None:
        """Let the workers end when no task is left."""

    def kill(self) -> None:
        """End the workers now, as far as they can be ended, and forget the tasks."""

    def join(self, timeout: float | None) -> bool:
        """Wait until all workers have ended. False: some have not."""


class _Ring(_native.Ring, Shared):
    __slots__ = ()


class _Claims(_native.Claim, Shared):
    __slots__ = ()


class ProcessEngine:
    """Workers in processes of a context."""

    def __init__(
        self,
        context: Any,
        size: int,
        initializer: Callable[..., Any] | None,
        initargs: tuple[Any, ...],
        most_tasks: int,
    ) -> None:
        arena = shared_arena()
        self.method: str = context.get_start_method()
        self._class = getattr(context, "Process", None) or _CLASSES[self.method]
        self.tasks = self._tasks = _Ring(arena)
        self._answers = _Ring(arena)
        self._claims = _Claims(arena, 2 * size)
        self._initializer, self._initargs, self._most_tasks = initializer, initargs, most_tasks
        self.workers: dict[int, Any] = {}
        self._closed = False
        self.dispatcher = _native.Dispatcher(self._tasks, self._answers)
        dispatcher = self.dispatcher
        self.functions = FunctionTable(arena, lambda: dispatcher.outstanding)

    @property
    def waiting(self) -> int:
        """Tasks no worker has taken."""
        return self._tasks.qsize()

    def start(self, number: int) -> None:
        """Start worker `number`. Raises: OSError, or PicklingError for the initializer under spawn and forkserver."""
        self._claims[2 * number] = 0
        in_main = threading.current_thread() is threading.main_thread()
        dies_with = os.getpid() if in_main and self.method != "forkserver" else 0
        given = Surroundings(
            number,
            self._tasks,
            self._answers,
            self._claims,
            self._initializer,
            self._initargs,
            self._most_tasks,
            dies_with,
        )
        process = self._class(target=main, args=(given,), daemon=True)
        process.name = process.name.replace("Process", "PoolWorker")
        with _interrupts_later(in_main and self.method != "forkserver"):
            try:
                process.start()
            except NotGuarded:
                _leave_quietly()
                raise
        self.workers[number] = process

    def ended(self) -> list[int]:
        """See `Engine`."""
        return [number for number, worker in self.workers.items() if worker.exitcode is not None]

    def evidence(self, number: int) -> Ended:
        """See `Engine`, and `state` for why in this order."""
        worker = self.workers.pop(number)
        claim = self._claims[2 * number]
        taken = self._tasks.position[0]
        others = frozenset(self._claims[2 * other] for other in self.workers)
        described = describe_exit(worker.exitcode)
        if worker.exitcode == 1 and self.method != "fork":
            described += _reason(worker)
        worker._popen.close()
        return Ended(number, worker.exitcode, claim, taken, others, described)

    def item_of(self, number: int) -> int:
        """See `Engine`."""
        return self._claims[2 * number + 1]

    def close(self) -> None:
        """See `Engine`."""
        if not self._closed:
            self._closed = True
            self._tasks.shutdown()

    def kill(self) -> None:
        """See `Engine`. SIGTERM first; what is still there a second later gets SIGKILL."""
        for worker in self.workers.values():
            if worker.exitcode is None:
                worker.terminate()
        if not self.join(TERMINATE_S):
            for worker in self.workers.values():
                worker.kill()
            self.join(TERMINATE_S)
        # Not before: a worker that found the ring closed would take a signal for the end of its work
        self.close()

    def join(self, timeout: float | None) -> bool:
        """See `Engine`."""
        end = None if timeout is None else time.monotonic() + timeout
        for worker in self.workers.values():
            worker.join(None if end is None else max(0.0, end - time.monotonic()))
        for worker in self.workers.values():
            if worker.exitcode is not None:
                worker._popen.close()  # gives the descriptors back; the exit code stays known
        return all(worker.exitcode is not None for worker in self.workers.values())


def _reason(worker: Any) -> str:
    """Why a new process could not become a worker, if it left word: its main module, which lacks the guard, say."""
    try:
        worker.result(0)
    except WorkerDied:
        return ""
    except Exception as error:
        return f": {error}"
    except BaseException as error:  # a KeyboardInterrupt that a task raised, say
        if not isinstance(error.__cause__, RemoteTraceback):
            raise  # one of this process
        return f": {type(error).__name__} {error}".rstrip()
    return ""


def _leave_quietly() -> None:
    """In a worker whose main module starts a pool when imported: its parent's PoolBroken will say so, once."""
    if "PoolWorker" not in current_process().name:
        return
    previous = sys.excepthook

    def show(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        if not isinstance(error, NotGuarded):
            previous(kind, error, trace)

    sys.excepthook = show


@contextmanager
def _interrupts_later(wanted: bool) -> Iterator[None]:
    """Hold Ctrl-C back: a child begins with it blocked, until it has set its own handler."""
    if not wanted:
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
