"""What contexts make: shared objects, and those who work with them.

Each method imports what it makes when it is called, as in `_shared_factories`.
"""

from __future__ import annotations

from ._shared_factories import SharedFactories

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from . import errors, executor, pool
    from ._output import ForwardOutput
    from .managers import SyncManager

__all__ = ["Factories"]


class Factories(SharedFactories):
    """The methods of a context that make something. A context says how processes are started."""

    @property
    def TimeoutError(self) -> type[errors.TimeoutError]:  # type: ignore[override]
        """What everything here raises when a deadline passes; also a `multiprocessing.TimeoutError`."""
        from .errors import TimeoutError

        return TimeoutError

    def cpu_count(self) -> int:
        """How many CPUs this process may really use: its affinity and its cgroup's quota count. At least 1.

        What pools and executors take when they are not told how many workers. (`os.cpu_count` has the machine's.)
        """
        from ._cpu import cpu_count

        return cpu_count()

    def Manager(self) -> SyncManager:
        """A manager: a process of its own that holds dicts, lists and other objects, and hands out proxies of them.

        Each call of a proxy is a message there and back: shared values, arrays and queues are many times quicker. When
        it dies, calls raise EOFError or ConnectionError. `with` ends it. See `procession.managers.SyncManager`.
        """
        from .managers import SyncManager

        manager = SyncManager(ctx=self.get_context())
        manager.start()
        return manager

    def Pool(  # type: ignore[override]
        self,
        processes: int | None = None,
        initializer: Callable[..., Any] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        *,
        retries: int = 0,
        timeout: float | None = None,
        memory_limit: int | str | None = None,
        maxmemoryperchild: int | str | None = None,
        forward_output: ForwardOutput = None,
    ) -> pool.Pool:
        """Worker processes that call functions for you (threads in the thread context).

            with procession.Pool() as pool:
                lengths = pool.map(len, ["a", "bb"])

        `processes`: how many, by default `cpu_count()`. `initializer(*initargs)` runs in each worker first.
        `maxtasksperchild`: a worker ends after so many tasks, and another takes its place; `maxmemoryperchild` (bytes,
        or "2G"): when it is seen between tasks to have more memory of its own; its parent looks 50 times a second.

        A worker that dies fails the item it was at, with WorkerDied, and is replaced; `retries` is how often that item
        is tried again. `timeout` (seconds an item may run) and `memory_limit` (bytes, or "2G") end a worker that goes
        beyond: TaskTimeout, MemoryLimitExceeded. `forward_output`: what workers print arrives here, in whole lines.

        What it gives is a `procession.pool.Pool`, which says more, and what is raised when: its methods are shown by
        `help(procession.pool.Pool.map)`.
        """
        from .pool import Pool

        return Pool(
            processes,
            initializer,
            initargs,
            maxtasksperchild,
            self.get_context(),
            retries=retries,
            timeout=timeout,
            memory_limit=memory_limit,
            maxmemoryperchild=maxmemoryperchild,
            forward_output=forward_output,
        )

    def Executor(
        self,
        max_workers: int | None = None,
        initializer: Callable[..., Any] | None = None,
        initargs: Iterable[Any] = (),
        *,
        max_tasks_per_child: int | None = None,
        retries: int = 0,
        timeout: float | None = None,
        memory_limit: int | str | None = None,
        forward_output: ForwardOutput = None,
    ) -> executor.Executor:
        """A `concurrent.futures` executor on worker processes of this context (threads in the thread context).

        As `procession.Executor`, which says what the arguments are (`timeout` in seconds), what a worker's death does
        and what is raised.
        """
        from .executor import Executor

        return Executor(
            max_workers,
            self.get_context(),
            initializer,
            initargs,
            max_tasks_per_child=max_tasks_per_child,
            retries=retries,
            timeout=timeout,
            memory_limit=memory_limit,
            forward_output=forward_output,
        )
