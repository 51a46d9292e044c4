"""Contexts: how processes are started, and where shared state lives.

The one place where both choices meet. A process context ('fork', 'spawn', 'forkserver') puts its primitives in the
program's shared arena; the 'thread' context puts the very same primitives in this process's own memory and runs
threads, so one program runs in either (`_thread_context`). A cluster's context (`_far_context`) has its work and its
primitives on a cluster. The classes derive from the standard library's contexts and carry its names, because other
libraries test for both.

The standard library's own default start method is followed, and never changed.
"""

from __future__ import annotations

import multiprocessing.context

from . import _standard, process
from ._factories import Factories
from ._far_context import Far
from ._thread_context import ThreadProcess, Threads, current_process
from ._typing import overload
from .process import ForkProcess, ForkServerProcess, SpawnProcess

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from typing import Any, ClassVar, Final, Literal, Self

    from . import _native, queues
    from .managers import SyncManager

__all__ = [
    "AuthenticationError",
    "BaseContext",
    "BufferTooShort",
    "DefaultContext",
    "FarContext",
    "ForkContext",
    "ForkProcess",
    "ForkServerContext",
    "ForkServerProcess",
    "Process",
    "ProcessError",
    "SpawnContext",
    "SpawnProcess",
    "ThreadContext",
    "ThreadProcess",
    "assert_spawning",
    "concrete_contexts",
    "default",
    "get_context",
    "get_spawning_popen",
    "set_spawning_popen",
]

# The standard library's own
AuthenticationError = multiprocessing.context.AuthenticationError
BufferTooShort = multiprocessing.context.BufferTooShort
ProcessError = multiprocessing.context.ProcessError
assert_spawning: Final = multiprocessing.context.assert_spawning
get_spawning_popen: Final = multiprocessing.context.get_spawning_popen
set_spawning_popen: Final = multiprocessing.context.set_spawning_popen


class BaseContext(Factories):
    """Factories for everything (see `Factories`), paired with one start method.

    Objects made by one process context can be used in processes of another; those of the thread context cannot leave
    their process (`NotShared`).
    """

    _name: ClassVar[str]
    Process: ClassVar[Any]
    Thread = process.Thread

    ProcessError = ProcessError
    BufferTooShort = BufferTooShort
    AuthenticationError = AuthenticationError

    def set_forkserver_preload(self, module_names: list[str]) -> None:
        """Have the fork server import the modules named `module_names`, besides those of the main module.

        Takes effect when the server starts, which is with the first process of the context 'forkserver'.
        """
        from ._engines.forkserver import set_preload

        set_preload(module_names)

    def get_context(  # type: ignore[override]
        self, method: Any = None, *, detect_deadlocks: bool | None = None
    ) -> BaseContext:
        """This context, or the one named: 'fork', 'spawn', 'forkserver' or 'thread'.

        Or one whose work runs on a cluster: 'dask://host:port', 'ray://host:port'; 'dask' or 'ray' for one on this
        machine; 'subinterpreters'; a `distributed.Client`, or any `concurrent.futures.Executor`. See
        docs/guides/clusters.md.

        `detect_deadlocks`: unless None, call that with this value. Raises: ValueError for another name, TypeError for
        another object; of a cluster EngineMissing, ClusterUnreachable, VersionMismatch.
        """
        if detect_deadlocks is not None:
            self.detect_deadlocks(detect_deadlocks)
        if method is None:
            return self
        if isinstance(method, str) and method in concrete_contexts:
            return concrete_contexts[method]  # type: ignore[no-any-return]
        from ._clusters import names_a_cluster

        if names_a_cluster(method):
            return FarContext.of(method)  # type: ignore[no-any-return]
        raise ValueError(f"cannot find context for {method!r}; there are {', '.join(concrete_contexts)}")

    def detect_deadlocks(self, on: bool = True) -> None:
        """Look for deadlocks in this program from now on, or do not: see docs/guides/deadlocks.md.

        For all processes of the family: children inherit it, and those that run take note when they next wait. Then one
        of those who wait for each other raises DeadlockError, and LockOrderWarning tells of locks taken in two orders.
        The environment variable PROCESSION_DETECT_DEADLOCKS=1 does the same from the start.
        """
        from ._deadlocks import detect

        detect(on)

    def close(self) -> None:
        """Let go of what work runs on, which is a cluster's to do (`get_context("dask")`): here there is nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get_start_method(self, allow_none: bool = False) -> str:
        """Name of this context."""
        return self._name

    def __reduce__(self) -> Any:
        """There is one context of each kind in a process; a class derived from them is pickled as any object."""
        known = concrete_contexts.get(self._name)
        return (get_context, (self._name,)) if type(known) is type(self) else super().__reduce__()

    def get_all_start_methods(self) -> list[str]:
        """The ways to start a process on this machine, the usual one first. ('thread' starts none.)"""
        methods: list[str] = _standard.default_context.get_all_start_methods()
        return methods


class ForkContext(BaseContext, multiprocessing.context.ForkContext):
    """Children begin as copies of their parent."""

    _name = "fork"  # type: ignore[misc]  # typeshed has it as a variable of instances
    Process = ForkProcess


class SpawnContext(BaseContext, multiprocessing.context.SpawnContext):
    """Children are fresh interpreters."""

    _name = "spawn"  # type: ignore[misc]  # typeshed has it as a variable of instances
    Process = SpawnProcess


class ForkServerContext(BaseContext, multiprocessing.context.ForkServerContext):
    """Children are forked from a server that has the imports ready."""

    _name = "forkserver"  # type: ignore[misc]  # typeshed has it as a variable of instances
    Process = ForkServerProcess


class ThreadContext(Threads, BaseContext):
    """Threads instead of processes, and state in this process's own memory. Nothing made here can leave it."""

    _name = "thread"


class FarContext(Far, BaseContext):
    """Work runs on a cluster, and what tasks share is the cluster's; see `Far`."""


# The default


class Process(process.ProcessWithResult, multiprocessing.context.Process):
    """A process of the start method in use; a thread if that is 'thread'.

        process = procession.Process(target=sum, args=([1, 2],))
        process.start()
        assert process.result() == 3

    As `multiprocessing.Process`, and besides: `result(timeout=None)` blocks until it ends and returns what the target
    returned, or raises what it raised, or WorkerDied when it died; `output` has its last lines, with `forward_output`;
    `wait_async` and `result_async` wait in asyncio. It ends when its parent does. See `procession.process`.
    """

    def start(self) -> None:
        """As `ProcessWithResult.start`."""
        super().start()
        if self._popen.method == "thread":
            process._children.discard(self)  # the exit of this process sees to threads

    def _forwards(self) -> Any:
        if default.get_start_method() != "thread":
            return super()._forwards()
        if not self._forward:
            return False
        from ._output import wanted

        return wanted(self._forward, "thread")

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        return default.get_context().Process._Popen(process_obj)

    @staticmethod
    def _after_fork() -> None:
        default.get_context().Process._after_fork()


class DefaultContext(BaseContext, multiprocessing.context.DefaultContext):
    """The context behind the names of the package: the start method that was set, else the interpreter's own."""

    Process = Process

    def __init__(self) -> None:
        theirs: Any = concrete_contexts[_standard.default_context._default_context._name]
        super().__init__(theirs)
        self._actual_context: BaseContext | None = None
        self._presumed: BaseContext | None = None  # what `install` chose for a program that may choose for itself

    @overload  # type: ignore[override]
    def get_context(self, method: Literal["fork"], *, detect_deadlocks: bool | None = None) -> ForkContext: ...
    @overload
    def get_context(self, method: Literal["spawn"], *, detect_deadlocks: bool | None = None) -> SpawnContext: ...
    @overload
    def get_context(
        self, method: Literal["forkserver"], *, detect_deadlocks: bool | None = None
    ) -> ForkServerContext: ...
    @overload
    def get_context(self, method: Literal["thread"], *, detect_deadlocks: bool | None = None) -> ThreadContext: ...
    @overload
    def get_context(self, method: str | None = None, *, detect_deadlocks: bool | None = None) -> BaseContext: ...
    @overload
    def get_context(self, method: Any, *, detect_deadlocks: bool | None = None) -> FarContext: ...
    def get_context(self, method: Any = None, *, detect_deadlocks: bool | None = None) -> Any:
        """The context named by `method`, or without one that in use: it has all the names of the package.

        'fork', 'spawn' and 'forkserver' start processes, 'thread' starts threads instead. Work runs on a cluster with
        'dask://host:port' or 'ray://host:port' ('dask', 'ray': one on this machine), 'subinterpreters', a
        `distributed.Client`, or any `concurrent.futures.Executor`: see docs/guides/clusters.md.

        `detect_deadlocks`: unless None, call `detect_deadlocks` with this value.

        Raises: ValueError for another name, TypeError for another object; of a cluster EngineMissing,
        ClusterUnreachable, VersionMismatch.
        """
        if detect_deadlocks is not None:
            self.detect_deadlocks(detect_deadlocks)
        if method is not None:
            return super().get_context(method)
        return self._actual_context or concrete_contexts[_standard.start_method()]

    def __reduce__(self) -> Any:
        """The receiver's own default context."""
        return _default_here, ()

    def _arena(self) -> _native.Arena:
        arena: _native.Arena = self.get_context()._arena()
        return arena

    def _queue(self, maxsize: int, max_bytes: int) -> Any:
        """A queue of the method in use: in shared memory, or between threads."""
        return self.get_context()._queue(maxsize, max_bytes)

    def _joinable_queue(self, maxsize: int, max_bytes: int, max_deliveries: int) -> Any:
        """The same with `task_done` and `join`."""
        return self.get_context()._joinable_queue(maxsize, max_bytes, max_deliveries)

    def SimpleQueue(self) -> queues.SimpleQueue:  # type: ignore[override]
        """An unbounded queue with `put`, `get`, `empty` and `close`. Else as `Queue`.

        What it gives is a `procession.queues.SimpleQueue`. Raises: ArenaFull.
        """
        return self.get_context().SimpleQueue()

    def Manager(self) -> SyncManager:
        """A manager: a process of its own that holds dicts, lists and other objects, and hands out proxies of them.

        Each call of a proxy is a message there and back: shared values, arrays and queues are many times quicker. It is
        started by the method in use ('thread': by the interpreter's). When it dies, calls raise EOFError or
        ConnectionError. `with` ends it. See `procession.managers.SyncManager`.
        """
        manager: SyncManager = self.get_context().Manager()
        return manager

    def current_process(self) -> Any:  # type: ignore[override]
        """This process; while the start method is 'thread', the thread that was started as one."""
        return current_process() if isinstance(self._actual_context, ThreadContext) else process.current_process()

    def active_children(self) -> list[Any]:  # type: ignore[override]
        """The processes started by this one that still run, and its threads if the start method is 'thread'.

        Never blocks. Those that have ended are joined by it, and so collected.
        """
        threads = process.active_threads() if isinstance(self._actual_context, ThreadContext) else []
        return [*process.active_children(), *threads]

    def set_start_method(self, method: str | None, force: bool = False) -> None:
        """Choose the context behind the package's names: `method` is 'fork', 'spawn', 'forkserver' or 'thread'.

        None with `force` goes back to the interpreter's own. Once for a program, before it starts anything.

        Raises: RuntimeError when it was set before, but by `install`, and `force` is false; ValueError for an unknown
        name.
        """
        if self._actual_context is not None and self._presumed is None and not force:
            raise RuntimeError("context has already been set")
        if method is not None and method not in concrete_contexts:
            raise ValueError(f"{method!r} is no start method; there are {', '.join(concrete_contexts)}")
        self._actual_context = None if method is None else concrete_contexts[method]
        self._presumed = None

    def get_start_method(self, allow_none: bool = False) -> str | None:  # type: ignore[override]
        """The start method in use: 'fork', 'spawn', 'forkserver' or 'thread'.

        With `allow_none`, None while nothing was set. Else the interpreter's own, which differs with the version.
        """
        if self._actual_context is not None:
            return self._actual_context._name
        return None if allow_none else _standard.start_method()

    def get_all_start_methods(self) -> list[str]:
        """The ways to start a process on this machine, the usual one first. ('thread' starts none.)"""
        return BaseContext.get_all_start_methods(self)


concrete_contexts: dict[str, Any] = {
    "fork": ForkContext(),
    "spawn": SpawnContext(),
    "forkserver": ForkServerContext(),
    "thread": ThreadContext(),
}
default: DefaultContext = DefaultContext()
_concrete_contexts, _default_context = concrete_contexts, default  # their names in the standard module


def get_context(method: Any = None, *, detect_deadlocks: bool | None = None) -> Any:
    """The context named, or without a name the one in use; see `BaseContext.get_context`."""
    return default.get_context(method, detect_deadlocks=detect_deadlocks)


def _default_here() -> DefaultContext:
    return default


# What else the standard module has


def _force_start_method(method: str) -> None:
    default._actual_context = concrete_contexts[method]


def __getattr__(name: str) -> Any:
    """What the standard module calls `name`; its reducer may change."""
    if name == "TimeoutError":
        from .errors import TimeoutError

        return TimeoutError
    if name in ("reduction", "threading", "_tls"):
        return getattr(multiprocessing.context, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _follow_own_start(method: str | None) -> None:
    """In a child: its default is the method it was started with, as in the standard library."""
    if method is not None:
        default._actual_context = concrete_contexts[method]
        default._presumed = None


process.on_start_in_child(_follow_own_start)
