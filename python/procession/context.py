"""Contexts: how processes are started, and where shared state lives.

The one place where both choices meet. A process context ('fork', 'spawn', 'forkserver') puts its primitives in the
program's shared arena; the 'thread' context puts the very same primitives in this process's own memory and runs
threads, so one program runs in either. The classes derive from the standard library's contexts and carry its names,
because other libraries test for both. Factories import what they make when called, which keeps `import procession` as
quick as `import multiprocessing`.

The standard library's own default start method is followed, and never changed.
"""

from __future__ import annotations

import multiprocessing.context
import threading
from multiprocessing.context import AuthenticationError, BufferTooShort, ProcessError

from . import process

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from multiprocessing.managers import SyncManager
    from typing import Any, ClassVar

    from . import _native, connection, errors, pool, queues, synchronize

__all__ = [
    "BaseContext",
    "DefaultContext",
    "ForkContext",
    "ForkServerContext",
    "Process",
    "SpawnContext",
    "ThreadContext",
    "default",
    "get_context",
]

_METHODS = ["fork", "spawn", "forkserver"]


class BaseContext(multiprocessing.context.BaseContext):
    """Factories for everything, paired with one start method.

    Objects made by one process context can be used in processes of another; those of the thread context cannot leave
    their process (`NotShared`).
    """

    _name: ClassVar[str]
    Process: ClassVar[Any]
    Thread = process.Thread

    ProcessError = ProcessError
    BufferTooShort = BufferTooShort
    AuthenticationError = AuthenticationError

    @property
    def TimeoutError(self) -> type[errors.TimeoutError]:  # type: ignore[override]
        """What everything here raises when a deadline passes; also a `multiprocessing.TimeoutError`."""
        from .errors import TimeoutError

        return TimeoutError

    def _arena(self) -> _native.Arena:
        from ._store import shared_arena

        return shared_arena()

    def cpu_count(self) -> int:
        """CPUs this process may really use: affinity and cgroup quota count. At least 1."""
        from ._cpu import cpu_count

        return cpu_count()

    def Lock(self) -> synchronize.Lock:  # type: ignore[override]
        """A lock; whoever waits for one whose owner dies takes it over."""
        from .synchronize import Lock

        return Lock(arena=self._arena())

    def RLock(self) -> synchronize.RLock:  # type: ignore[override]
        """A lock that its owner may take again."""
        from .synchronize import RLock

        return RLock(arena=self._arena())

    def Condition(self, lock: Any = None) -> synchronize.Condition:  # type: ignore[override]
        """A condition variable on `lock`, or on an RLock of its own."""
        from .synchronize import Condition

        return Condition(lock, arena=self._arena())

    def Semaphore(self, value: int = 1) -> synchronize.Semaphore:  # type: ignore[override]
        """A semaphore that starts at `value`."""
        from .synchronize import Semaphore

        return Semaphore(value, arena=self._arena())

    def BoundedSemaphore(self, value: int = 1) -> synchronize.BoundedSemaphore:  # type: ignore[override]
        """A semaphore that may not be released above `value`."""
        from .synchronize import BoundedSemaphore

        return BoundedSemaphore(value, arena=self._arena())

    def Event(self) -> synchronize.Event:  # type: ignore[override]
        """A flag to wait for."""
        from .synchronize import Event

        return Event(arena=self._arena())

    def Barrier(  # type: ignore[override]
        self, parties: int, action: Callable[[], Any] | None = None, timeout: float | None = None
    ) -> synchronize.Barrier:
        """A meeting point for `parties` processes or threads."""
        from .synchronize import Barrier

        return Barrier(parties, action, timeout, arena=self._arena())

    def Queue(self, maxsize: int = 0, *, max_bytes: int = 0) -> queues.Queue:  # type: ignore[override]
        """A queue in shared memory, bounded by items and by bytes (0: unbounded)."""
        from .queues import Queue

        return Queue(maxsize, max_bytes=max_bytes, arena=self._arena())

    def JoinableQueue(self, maxsize: int = 0, *, max_bytes: int = 0) -> queues.JoinableQueue:  # type: ignore[override]
        """A queue whose `join` waits until every item was reported done."""
        from .queues import JoinableQueue

        return JoinableQueue(maxsize, max_bytes=max_bytes, arena=self._arena())

    def SimpleQueue(self) -> queues.SimpleQueue:  # type: ignore[override]
        """A queue with get, put and empty."""
        from .queues import SimpleQueue

        return SimpleQueue(arena=self._arena())

    def Pipe(self, duplex: bool = True) -> tuple[connection.Connection, connection.Connection]:
        """Two connected ends; with `duplex` false the first only receives and the second only sends."""
        from .connection import Pipe

        return Pipe(duplex, arena=self._arena())

    def Value(self, typecode_or_type: Any, *args: Any, lock: Any = True) -> Any:
        """A shared number or ctypes object, with a lock unless `lock` is false."""
        from .sharedctypes import Value

        return Value(typecode_or_type, *args, lock=lock, arena=self._arena())

    def Array(self, typecode_or_type: Any, size_or_initializer: Any, *, lock: Any = True) -> Any:
        """A shared array, with a lock unless `lock` is false."""
        from .sharedctypes import Array

        return Array(typecode_or_type, size_or_initializer, lock=lock, arena=self._arena())

    def RawValue(self, typecode_or_type: Any, *args: Any) -> Any:
        """A shared number or ctypes object without a lock."""
        from .sharedctypes import RawValue

        return RawValue(typecode_or_type, *args, arena=self._arena())

    def RawArray(self, typecode_or_type: Any, size_or_initializer: Any) -> Any:
        """A shared array without a lock."""
        from .sharedctypes import RawArray

        return RawArray(typecode_or_type, size_or_initializer, arena=self._arena())

    def Pool(  # type: ignore[override]
        self,
        processes: int | None = None,
        initializer: Callable[..., Any] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
    ) -> pool.Pool:
        """A pool of worker processes (threads in the thread context)."""
        from .pool import Pool

        return Pool(processes, initializer, initargs, maxtasksperchild, context=self.get_context())

    def set_forkserver_preload(self, module_names: list[str]) -> None:
        """Modules that the fork server shall import besides those of the main module; takes effect when it starts."""
        from ._engines.forkserver import set_preload

        set_preload(module_names)

    def get_context(self, method: str | None = None) -> Any:
        """This context, or the one named: 'fork', 'spawn', 'forkserver' or 'thread'.

        Raises: ValueError for another name.
        """
        if method is None:
            return self
        try:
            return _contexts[method]
        except KeyError:
            raise ValueError(f"cannot find context for {method!r}; there are {', '.join(_contexts)}") from None

    def get_start_method(self, allow_none: bool = False) -> str:
        """Name of this context."""
        return self._name

    def get_all_start_methods(self) -> list[str]:
        """The ways to start a process on this machine, the usual one first. ('thread' starts none.)"""
        return list(_METHODS)


class ForkContext(BaseContext, multiprocessing.context.ForkContext):
    """Children begin as copies of their parent."""

    _name = "fork"  # type: ignore[misc]  # typeshed has it as a variable of instances
    Process = process.ForkProcess


class SpawnContext(BaseContext, multiprocessing.context.SpawnContext):
    """Children are fresh interpreters."""

    _name = "spawn"  # type: ignore[misc]  # typeshed has it as a variable of instances
    Process = process.SpawnProcess


class ForkServerContext(BaseContext, multiprocessing.context.ForkServerContext):
    """Children are forked from a server that has the imports ready."""

    _name = "forkserver"  # type: ignore[misc]  # typeshed has it as a variable of instances
    Process = process.ForkServerProcess


class ThreadContext(BaseContext):
    """Threads instead of processes, and state in this process's own memory. Nothing made here can leave it."""

    _name = "thread"
    Process = process.ThreadProcess
    current_process = staticmethod(threading.current_thread)  # type: ignore[assignment]
    parent_process = staticmethod(lambda: None)
    active_children = staticmethod(process.active_threads)  # type: ignore[assignment]

    def _arena(self) -> _native.Arena:
        from ._store import private_arena

        return private_arena()

    def Queue(self, maxsize: int = 0, *, max_bytes: int = 0) -> Any:
        """A `queue.Queue` with the methods of a process queue; `max_bytes` has no meaning for objects in memory."""
        from .queues import ThreadQueue

        return ThreadQueue(maxsize)

    def JoinableQueue(self, maxsize: int = 0, *, max_bytes: int = 0) -> Any:
        """As `Queue`, with `task_done` and `join`."""
        from .queues import ThreadJoinableQueue

        return ThreadJoinableQueue(maxsize)

    def SimpleQueue(self) -> Any:
        """A queue with get, put and empty."""
        from .queues import ThreadSimpleQueue

        return ThreadSimpleQueue()

    def Manager(self) -> SyncManager:
        """A manager in a process of its own; there is no other kind."""
        return default.get_context(multiprocessing.context._default_context.get_start_method()).Manager()  # type: ignore


# The default


class Process(process.ProcessWithResult, multiprocessing.context.Process):
    """A process started by the default method. See `ProcessWithResult`."""

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        chosen = default.get_context()
        if isinstance(chosen, ThreadContext):
            from .errors import NotSupported

            raise NotSupported(
                "the start method is 'thread', and procession.Process always starts a process: use procession.Thread, "
                "or get_context('thread').Process"
            )
        return chosen.Process._Popen(process_obj)

    @staticmethod
    def _after_fork() -> None:
        default.get_context().Process._after_fork()


class DefaultContext(BaseContext, multiprocessing.context.DefaultContext):
    """The context behind the names of the package: the start method that was set, else the interpreter's own."""

    Process = Process

    def __init__(self) -> None:
        super().__init__(None)  # type: ignore[arg-type]
        self._actual_context: BaseContext | None = None

    def get_context(self, method: str | None = None) -> Any:
        """The context named, or without a name the one in use."""
        if method is not None:
            return super().get_context(method)
        return self._actual_context or _contexts[self._interpreters_choice()]

    def Manager(self) -> SyncManager:
        """A manager in a process of its own, started by the method in use ('thread': by the interpreter's)."""
        manager: SyncManager = self.get_context().Manager()
        return manager

    def set_start_method(self, method: str | None, force: bool = False) -> None:
        """Choose the context behind the package's names; None with `force` goes back to the interpreter's own.

        Raises: RuntimeError when it was set before and `force` is false; ValueError for an unknown name.
        """
        if self._actual_context is not None and not force:
            raise RuntimeError("context has already been set")
        self._actual_context = None if method is None else BaseContext.get_context(self, method)

    def get_start_method(self, allow_none: bool = False) -> str | None:  # type: ignore[override]
        """Name of the method in use; with `allow_none`, None while nothing was set."""
        if self._actual_context is not None:
            return self._actual_context._name
        return None if allow_none else self._interpreters_choice()

    def get_all_start_methods(self) -> list[str]:
        """The ways to start a process on this machine."""
        return list(_METHODS)

    @staticmethod
    def _interpreters_choice() -> str:
        """What the standard library would use, read without making it decide."""
        theirs: Any = multiprocessing.context._default_context
        return str((theirs._actual_context or theirs._default_context)._name)


_contexts: dict[str, Any] = {
    "fork": ForkContext(),
    "spawn": SpawnContext(),
    "forkserver": ForkServerContext(),
    "thread": ThreadContext(),
}
default: DefaultContext = DefaultContext()
get_context = default.get_context


def _follow_own_start(method: str | None) -> None:
    """In a child: its default is the method it was started with, as in the standard library."""
    if method is not None:
        default._actual_context = _contexts[method]


process.on_start_in_child(_follow_own_start)
