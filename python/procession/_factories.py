"""What contexts make: each primitive is given its arena here, and nowhere else.

Each method imports what it makes when it is called, so that `import procession` is as quick as `import
multiprocessing`; by its full name where objects are made often, which is found faster by a tenth of a microsecond.
"""

from __future__ import annotations

import multiprocessing.context

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Literal

    from . import _native, connection, errors, executor, pool, queues, synchronize
    from ._output import ForwardOutput
    from ._owner import OnAbandoned
    from .managers import SyncManager

    Durability = Literal["crash", "power"]

__all__ = ["Factories"]


class Factories(multiprocessing.context.BaseContext):
    """The methods of a context that make something. A context says which arena, and how processes are started."""

    @property
    def TimeoutError(self) -> type[errors.TimeoutError]:  # type: ignore[override]
        """What everything here raises when a deadline passes; also a `multiprocessing.TimeoutError`."""
        from .errors import TimeoutError

        return TimeoutError

    def _arena(self) -> _native.Arena:
        from procession._store import shared_arena

        return shared_arena()

    def cpu_count(self) -> int:
        """CPUs this process may really use: affinity and cgroup quota count. At least 1."""
        from ._cpu import cpu_count

        return cpu_count()

    def Lock(  # type: ignore[override]
        self, *, on_abandoned: OnAbandoned = "warn", path: Any = None, name: str | None = None
    ) -> synchronize.Lock:
        """A lock. Whoever waits for one whose owner dies takes it over with a warning, or gets LockAbandoned.

        With `path` or `name` it is everybody's who opens that, see docs/guides/disk.md.
        """
        if path is not None or name is not None:
            from ._disk.locks import open_lock

            return open_lock(path, name, on_abandoned)
        from procession.synchronize import Lock

        return Lock(on_abandoned=on_abandoned, arena=self._arena())

    def RLock(  # type: ignore[override]
        self, *, on_abandoned: OnAbandoned = "warn", path: Any = None, name: str | None = None
    ) -> synchronize.RLock:
        """A lock that its owner may take again; `path` and `name` as for `Lock`."""
        if path is not None or name is not None:
            from ._disk.locks import open_rlock

            return open_rlock(path, name, on_abandoned)
        from procession.synchronize import RLock

        return RLock(on_abandoned=on_abandoned, arena=self._arena())

    def Condition(  # type: ignore[override]
        self, lock: Any = None, *, on_abandoned: OnAbandoned = "warn"
    ) -> synchronize.Condition:
        """A condition variable on `lock`, or on an RLock of its own."""
        from procession.synchronize import Condition

        return Condition(lock, on_abandoned=on_abandoned, arena=self._arena())

    def Semaphore(  # type: ignore[override]
        self, value: int = 1, *, on_abandoned: OnAbandoned = "warn"
    ) -> synchronize.Semaphore:
        """A semaphore that starts at `value`."""
        from procession.synchronize import Semaphore

        return Semaphore(value, on_abandoned=on_abandoned, arena=self._arena())

    def BoundedSemaphore(  # type: ignore[override]
        self, value: int = 1, *, on_abandoned: OnAbandoned = "warn"
    ) -> synchronize.BoundedSemaphore:
        """A semaphore that may not be released above `value`."""
        from procession.synchronize import BoundedSemaphore

        return BoundedSemaphore(value, on_abandoned=on_abandoned, arena=self._arena())

    def Event(self) -> synchronize.Event:  # type: ignore[override]
        """A flag to wait for."""
        from procession.synchronize import Event

        return Event(arena=self._arena())

    def Barrier(  # type: ignore[override]
        self, parties: int, action: Callable[[], Any] | None = None, timeout: float | None = None
    ) -> synchronize.Barrier:
        """A meeting point for `parties` processes or threads."""
        from procession.synchronize import Barrier

        return Barrier(parties, action, timeout, arena=self._arena())

    def Queue(  # type: ignore[override]
        self,
        maxsize: int = 0,
        *,
        max_bytes: int = 0,
        path: Any = None,
        name: str | None = None,
        durability: Durability | None = None,
        salvage: bool = False,
    ) -> queues.Queue:
        """A queue in shared memory, bounded by items and by bytes (0: unbounded).

        With `path` or `name` its items lie on disk and survive all processes, with `durability="power"` a power cut as
        well; an existing one keeps what is not named. `salvage` opens one whose files are damaged with what is whole
        in them, and drops the rest. See docs/guides/disk.md.
        """
        if path is not None or name is not None or durability is not None or salvage:
            from ._disk.queues import open_queue

            return open_queue(False, path, name, durability, salvage, maxsize, max_bytes)  # type: ignore[no-any-return]
        return self._queue(maxsize, max_bytes)  # type: ignore[no-any-return]

    def JoinableQueue(  # type: ignore[override]
        self,
        maxsize: int = 0,
        *,
        max_bytes: int = 0,
        max_deliveries: int = 0,
        path: Any = None,
        name: str | None = None,
        durability: Durability | None = None,
        salvage: bool = False,
    ) -> queues.JoinableQueue:
        """A queue whose `join` waits until every item was reported done. On disk as `Queue`.

        An item that would be delivered more than `max_deliveries` times (0: no bound) raises DeliveredTooOften.
        """
        if path is not None or name is not None or durability is not None or salvage:
            from ._disk.queues import open_queue

            settings = durability, salvage, maxsize, max_bytes, max_deliveries
            return open_queue(True, path, name, *settings)  # type: ignore[no-any-return]
        return self._joinable_queue(maxsize, max_bytes, max_deliveries)  # type: ignore[no-any-return]

    def _queue(self, maxsize: int, max_bytes: int) -> Any:
        """A Queue in memory."""
        from .queues import Queue

        return Queue(maxsize, max_bytes=max_bytes, arena=self._arena())

    def _joinable_queue(self, maxsize: int, max_bytes: int, max_deliveries: int) -> Any:
        """A JoinableQueue in memory."""
        from .queues import JoinableQueue

        return JoinableQueue(maxsize, max_bytes=max_bytes, max_deliveries=max_deliveries, arena=self._arena())

    def SimpleQueue(self) -> queues.SimpleQueue:  # type: ignore[override]
        """A queue with get, put and empty."""
        from .queues import SimpleQueue

        return SimpleQueue(arena=self._arena())

    def Pipe(self, duplex: bool = True) -> tuple[connection.Connection, connection.Connection]:
        """Two connected ends; with `duplex` false the first only receives and the second only sends."""
        from .connection import Pipe

        return Pipe(duplex, arena=self._arena())

    def Value(
        self, typecode_or_type: Any, *args: Any, lock: Any = True, path: Any = None, name: str | None = None
    ) -> Any:
        """A shared number or ctypes object, with a lock unless `lock` is false.

        With `path` or `name` it lives in a file, and `args` are for when it is not there yet; see docs/guides/disk.md.
        """
        if path is not None or name is not None:
            from ._disk.values import open_value

            return open_value(typecode_or_type, args, path, name, lock)
        from .sharedctypes import Value

        return Value(typecode_or_type, *args, lock=lock, arena=self._arena())

    def Array(
        self,
        typecode_or_type: Any,
        size_or_initializer: Any,
        *,
        lock: Any = True,
        path: Any = None,
        name: str | None = None,
    ) -> Any:
        """A shared array, with a lock unless `lock` is false.

        With `path` or `name` it lives in a file, and the items are for when it is not there yet; a size of None is
        whatever it has. See docs/guides/disk.md.
        """
        if path is not None or name is not None:
            from ._disk.values import open_array

            return open_array(typecode_or_type, size_or_initializer, path, name, lock)
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

    def Manager(self) -> SyncManager:
        """A manager, running in a process of its own, that holds objects of any kind and hands out proxies of them."""
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
        """A pool of worker processes (threads in the thread context)."""
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
        """A `concurrent.futures` executor on a pool of worker processes (threads in the thread context)."""
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
