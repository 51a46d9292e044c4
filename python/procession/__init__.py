"""What multiprocessing should have been: the same names, on shared memory, with results and clear errors.

    import procession as multiprocessing

Every public name is a method or class of the default context (see `context`), as in the standard library; besides them
there are `Executor`, a concurrent.futures one on the same pool; `install`, which puts this package in the place of
multiprocessing for programs that do not know of it; and `KeyedResult`, the answer of a map-reduce by key. They are
bound when first used, modules as well: importing the package starts nothing, opens nothing and loads almost nothing.
"""

from __future__ import annotations

import sys

if sys.platform != "linux":  # else the first use would say that `_native` is missing
    raise ImportError(
        f"procession runs on Linux, whose futexes and memory files it uses, and this is {sys.platform}: use "
        "multiprocessing here, which has the same names, or run the program in WSL 2, a container or a virtual machine"
    )

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from typing import Any, Final

    from . import context as _context
    from .context import Process
    from .context import default as _default
    from .errors import TimeoutError
    from .executor import Executor as Executor
    from .gather import KeyedResult
    from .installing import install as install
    from .installing import uninstall as uninstall
    from .process import Thread

    AuthenticationError = _context.AuthenticationError
    BufferTooShort = _context.BufferTooShort
    ProcessError = _context.ProcessError

    Array: Final = _default.Array
    Barrier: Final = _default.Barrier
    BoundedSemaphore: Final = _default.BoundedSemaphore
    Condition: Final = _default.Condition
    Event: Final = _default.Event
    JoinableQueue: Final = _default.JoinableQueue
    Lock: Final = _default.Lock
    Manager: Final = _default.Manager
    Pipe: Final = _default.Pipe
    Pool: Final = _default.Pool
    Queue: Final = _default.Queue
    RLock: Final = _default.RLock
    RawArray: Final = _default.RawArray
    RawValue: Final = _default.RawValue
    Semaphore: Final = _default.Semaphore
    SimpleQueue: Final = _default.SimpleQueue
    Value: Final = _default.Value
    active_children: Final = _default.active_children
    allow_connection_pickling: Final = _default.allow_connection_pickling
    cpu_count: Final = _default.cpu_count
    current_process: Final = _default.current_process
    detect_deadlocks: Final = _default.detect_deadlocks
    freeze_support: Final = _default.freeze_support
    get_all_start_methods: Final = _default.get_all_start_methods
    get_context: Final = _default.get_context
    get_logger: Final = _default.get_logger
    get_start_method: Final = _default.get_start_method
    log_to_stderr: Final = _default.log_to_stderr
    parent_process: Final = _default.parent_process
    reducer: Any = _default.reducer
    set_executable: Final = _default.set_executable
    set_forkserver_preload: Final = _default.set_forkserver_preload
    set_start_method: Final = _default.set_start_method

    __version__: str

__all__ = [
    "Array",
    "AuthenticationError",
    "Barrier",
    "BoundedSemaphore",
    "BufferTooShort",
    "Condition",
    "Event",
    "Executor",
    "JoinableQueue",
    "KeyedResult",
    "Lock",
    "Manager",
    "Pipe",
    "Pool",
    "Process",
    "ProcessError",
    "Queue",
    "RLock",
    "RawArray",
    "RawValue",
    "Semaphore",
    "SimpleQueue",
    "Thread",
    "TimeoutError",
    "Value",
    "active_children",
    "allow_connection_pickling",
    "cpu_count",
    "current_process",
    "detect_deadlocks",
    "freeze_support",
    "get_all_start_methods",
    "get_context",
    "get_logger",
    "get_start_method",
    "install",
    "log_to_stderr",
    "parent_process",
    "reducer",
    "set_executable",
    "set_forkserver_preload",
    "set_start_method",
    "uninstall",
]

# Public names that are not the default context's, and the modules they are in
_ELSEWHERE = {"Executor": "executor", "KeyedResult": "gather", "install": "installing", "uninstall": "installing"}

# There without an import, as in the standard library most are
_MODULES = [
    "checkpoint",
    "connection",
    "context",
    "dummy",
    "errors",
    "executor",
    "gather",
    "installing",
    "managers",
    "pool",
    "process",
]
_MODULES += ["queues", "shared_memory", "sharedctypes", "synchronize"]
# These are the standard library's own
_MODULES += ["forkserver", "heap", "popen_fork", "popen_forkserver", "popen_spawn_posix", "reduction"]
_MODULES += ["resource_sharer", "resource_tracker", "spawn", "util"]


def __getattr__(name: str) -> Any:
    """Bind a public name on first use."""
    if name in _MODULES:
        __import__(f"{__name__}.{name}")  # `importlib` would be one more module to load
        return globals()[name]
    if name == "__version__":  # asked of the installed package: the one place is Cargo.toml
        from importlib.metadata import version

        globals()[name] = version(__name__)
        return globals()[name]
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{_hint(name)}")
    if name in _ELSEWHERE:
        value = getattr(__getattr__(_ELSEWHERE[name]), name)
    else:
        from . import context

        value = getattr(context.default, name)
    if name != "reducer":  # a property of the context that may change
        globals()[name] = value
    return value


def _hint(name: str) -> str:
    """Where a name is that people look for here: `procession.WorkerDied`."""
    if name[:1].isupper() and hasattr(__getattr__("errors"), name):
        return f"; it is {__name__}.errors.{name}"
    return ""


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES, "__version__"})
