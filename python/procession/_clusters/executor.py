"""Any `concurrent.futures.Executor` as a cluster: the standard ones, and so MPI, Slurm, Parsl, Dask's and loky's.

Nothing is asked of an executor but `submit`. The three kinds of the standard library are told apart, for what can be
shared with their workers: threads have this process's memory, its processes can attach this program's, subinterpreters
have neither. Of an executor that is none of them nothing is known, not even on which machine its workers are.
"""

from __future__ import annotations

import sys
import threading
from concurrent import futures
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor

from ..errors import ClusterLost, EngineMissing, NotSupported

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .. import _native

__all__ = ["ExecutorCluster", "adopt", "open"]

_SIZES = ("_max_workers", "max_workers", "num_workers")  # what executors call the number of their workers


def adopt(executor: Executor) -> ExecutorCluster:
    """The cluster that somebody's executor is. `close` leaves it running."""
    return ExecutorCluster(executor, is_ours=False)


def open(address: str | None) -> ExecutorCluster:
    """Subinterpreters of this process, one for each CPU. Raises: EngineMissing where this Python has none."""
    from .._cpu import cpu_count

    interpreters: Any = getattr(futures, "InterpreterPoolExecutor", None)
    if interpreters is None:
        raise EngineMissing(
            f"'subinterpreters' needs Python 3.14, and this is {sys.version_info[0]}.{sys.version_info[1]}: "
            "use 'thread' for threads, 'fork' or 'forkserver' for processes"
        )
    return ExecutorCluster(interpreters(cpu_count()), is_ours=True, name="subinterpreters")


class ExecutorCluster:
    """One executor. The `Cluster` of it."""

    address = None  # an object of this process

    def __init__(self, executor: Executor, *, is_ours: bool, name: str | None = None) -> None:
        self._executor, self._is_ours = executor, is_ours
        self.name = name or type(executor).__name__
        is_interpreters = any(cls.__name__ == "InterpreterPoolExecutor" for cls in type(executor).__mro__)
        self.is_near = isinstance(executor, ThreadPoolExecutor) and not is_interpreters
        self._is_here = self.is_near or isinstance(executor, ProcessPoolExecutor)
        self.has_main = self._is_here  # an interpreter's main module is an empty one

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def size(self) -> int:
        """See `Cluster`. One that does not tell counts as one for each CPU here."""
        for name in _SIZES:
            size = getattr(self._executor, name, None)
            if isinstance(size, int) and size > 0:
                return size
        from .._cpu import cpu_count

        return cpu_count()

    def submit(self, function: Any, *arguments: Any) -> Future[Any]:
        """See `Cluster`. Raises: what the executor raises, which `fate` knows."""
        if any(type(argument) is _Part for argument in arguments):
            return _after(self._executor, function, arguments)
        return self._executor.submit(function, *arguments)

    def keep(self, value: Any) -> Any:
        """The value: an executor has no place for it."""
        return value

    def spread(self, parts: int, function: Any, *arguments: Any) -> list[Any]:
        """See `Cluster`. The values come here, and go from here to where they are wanted."""
        whole = self.submit(function, *arguments)
        return [_Part(whole, number) for number in range(parts)]

    def primitive(self, kind: str, *arguments: Any, name: str | None = None) -> Any:
        """See `Cluster`: threads get this process's own, processes those in shared memory."""
        make = _PRIMITIVES.get(kind) if self._is_here else None
        if make is None or name is not None:
            raise NotSupported(self._refusal(kind, name if make is not None else None))
        from .._store import private_arena, shared_arena

        return make(arguments, private_arena() if self.is_near else shared_arena())

    def _refusal(self, kind: str, name: str | None) -> str:
        if name is not None:
            return f"{kind}(name=…) needs a cluster that keeps names, as Dask's: give {kind}() to the tasks instead"
        if self._is_here:
            return f"no {kind} can be shared with the workers of {self.name}; use get_context('fork') or 'thread'"
        homes = kind if kind in ("Queue", "JoinableQueue", "Value", "Lock", "RLock") else "Queue"
        return (
            f"{kind}: nothing is known that the workers of {self.name} share with this program; put it on a file "
            f"system that they share, {homes}(path=…), or use get_context('dask') or get_context('fork')"
        )

    def fate(self, error: BaseException) -> BaseException | None:
        """See `Cluster`. An executor that breaks fails everything, and which worker died it does not tell."""
        ended = isinstance(error, RuntimeError) and "shutdown" in str(error)
        if not isinstance(error, BrokenExecutor) and not ended:
            return None
        why = "it was shut down" if ended else f"{type(error).__name__}: {error}"
        lost = ClusterLost(f"{self.name} takes no more calls, make a new one: {why}", cluster=self.name)
        lost.__cause__ = error
        return lost

    def close(self) -> None:
        """See `Cluster`."""
        if self._is_ours:
            self._executor.shutdown(wait=True, cancel_futures=True)


# What is spread


class _Part:
    """Stands for one of the values that a call will return."""

    def __init__(self, whole: Future[Any], number: int) -> None:
        self.whole, self._number = whole, number

    def value(self) -> Any:
        """The value, when the call has ended. Raises: what the call raised."""
        return self.whole.result()[self._number]


def _after(executor: Executor, function: Any, arguments: tuple[Any, ...]) -> Future[Any]:
    """Submit a call when the values are there that it takes."""
    promised: Future[Any] = Future()
    awaited = {argument.whole for argument in arguments if type(argument) is _Part}
    lock = threading.Lock()

    def one_is_there(whole: Future[Any]) -> None:
        with lock:
            awaited.discard(whole)
            if awaited:
                return
        if not promised.set_running_or_notify_cancel():
            return
        try:
            values = [argument.value() if type(argument) is _Part else argument for argument in arguments]
            executor.submit(function, *values).add_done_callback(pass_on)
        except BaseException as error:
            promised.set_exception(error)

    def pass_on(call: Future[Any]) -> None:
        if call.cancelled():
            promised.set_exception(CancelledError())
        elif (error := call.exception()) is not None:
            promised.set_exception(error)
        else:
            promised.set_result(call.result())

    for whole in tuple(awaited):
        whole.add_done_callback(one_is_there)
    return promised


# Primitives of executors on this machine


def _queue(arguments: tuple[Any, ...], arena: _native.Arena) -> Any:
    from .. import queues

    return queues.Queue(*arguments, arena=arena) if arena.shared else queues.ThreadQueue(*arguments)


def _joinable_queue(arguments: tuple[Any, ...], arena: _native.Arena) -> Any:
    from .. import queues

    return queues.JoinableQueue(*arguments, arena=arena) if arena.shared else queues.ThreadJoinableQueue(*arguments)


def _simple_queue(arguments: tuple[Any, ...], arena: _native.Arena) -> Any:
    from .. import queues

    return queues.SimpleQueue(arena=arena) if arena.shared else queues.ThreadSimpleQueue()


def _from(module: str, name: str) -> Callable[[tuple[Any, ...], _native.Arena], Any]:
    """What makes one of this module's, in an arena."""

    def make(arguments: tuple[Any, ...], arena: _native.Arena) -> Any:
        from importlib import import_module

        return getattr(import_module(f"procession.{module}"), name)(*arguments, arena=arena)

    return make


_PRIMITIVES: dict[str, Callable[[tuple[Any, ...], _native.Arena], Any]] = {
    "Queue": _queue,
    "JoinableQueue": _joinable_queue,
    "SimpleQueue": _simple_queue,
    **{
        name: _from("synchronize", name)
        for name in ("Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore", "Event", "Barrier")
    },
    **{name: _from("sharedctypes", name) for name in ("Value", "Array", "RawValue", "RawArray")},
}
