"""What contexts make in shared memory: each object is given its arena here, and nowhere else.

Each method imports what it makes when it is called, so that `import procession` is as quick as `import
multiprocessing`; by its full name where objects are made often, which is found faster by a tenth of a microsecond.
"""

from __future__ import annotations

import multiprocessing.context

from ._typing import overload

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Literal

    from . import _native, connection, queues, sharedctypes, synchronize
    from ._owner import OnAbandoned

    Durability = Literal["crash", "power"]

__all__ = ["SharedFactories"]


class SharedFactories(multiprocessing.context.BaseContext):
    """The methods of a context that make shared objects. A context says which arena."""

    def _arena(self) -> _native.Arena:
        from procession._store import shared_arena

        return shared_arena()

    def Lock(  # type: ignore[override]
        self, *, on_abandoned: OnAbandoned = "warn", path: Any = None, name: str | None = None
    ) -> synchronize.Lock:
        """A lock for threads of any process. Any of them may release it.

        `with lock:` or `lock.acquire(block=True, timeout=None)`, in seconds, waits until the holder releases it. If the
        holder's process dies, however that happens, one who waits takes the lock over within a few milliseconds, and is
        told by an AbandonedLockWarning: what the lock guards may be half-done. With `on_abandoned="raise"` it raises
        LockAbandoned instead, for everybody, until a block `with lock.repair()` has ended well.

        With `path` (a file) or `name` (a file in PROCESSION_HOME) it is everybody's who opens that, from any program:
        see docs/guides/disk.md.

        Raises: ValueError for another `on_abandoned`; ArenaFull; for a file HomeError. What it gives is a
        `procession.synchronize.Lock`, which says what its methods do.
        """
        if path is not None or name is not None:
            from ._disk.locks import open_lock

            return open_lock(path, name, on_abandoned)
        from procession.synchronize import Lock

        return Lock(on_abandoned=on_abandoned, arena=self._arena())

    def RLock(  # type: ignore[override]
        self, *, on_abandoned: OnAbandoned = "warn", path: Any = None, name: str | None = None
    ) -> synchronize.RLock:
        """A lock that the thread which holds it may take again; it is free after as many releases.

        Only that thread may release it: another gets NotOwner, an AssertionError. All else, the arguments and what the
        holder's death does as well, is as for `Lock`. What it gives is a `procession.synchronize.RLock`.
        """
        if path is not None or name is not None:
            from ._disk.locks import open_rlock

            return open_rlock(path, name, on_abandoned)
        from procession.synchronize import RLock

        return RLock(on_abandoned=on_abandoned, arena=self._arena())

    def Condition(  # type: ignore[override]
        self, lock: Any = None, *, on_abandoned: OnAbandoned = "warn"
    ) -> synchronize.Condition:
        """A place to wait for a change of what `lock` guards: a Lock or RLock, by default an RLock of its own.

            with condition:
                condition.wait_for(lambda: box.value > 0, timeout=5)

        `wait(timeout=None)`, in seconds, releases the lock, sleeps until `notify(n=1)` or `notify_all()` chooses it,
        and takes the lock again; False if the timeout came first. `notify` wakes those that have waited longest, and
        what was given to a waiter that has died goes to the next. `on_abandoned` is for its own lock, as for `Lock`.

        Raises: ValueError for `on_abandoned="raise"` together with a lock; ArenaFull. What it gives is a
        `procession.synchronize.Condition`.
        """
        from procession.synchronize import Condition

        return Condition(lock, on_abandoned=on_abandoned, arena=self._arena())

    def Semaphore(  # type: ignore[override]
        self, value: int = 1, *, on_abandoned: OnAbandoned = "warn"
    ) -> synchronize.Semaphore:
        """A count of `value` permits: `acquire(block=True, timeout=None)` takes one, and waits while there is none.

        `release(n=1)` gives `n` back, and wakes as many. A permit taken by `with semaphore:` goes back when its process
        dies; who gets it is told by a warning or, with `on_abandoned="raise"`, by an error, as with a lock. One taken
        by `acquire` is nobody's, and stays taken.

        Raises: ValueError for a negative value; ArenaFull. What it gives is a `procession.synchronize.Semaphore`.
        """
        from procession.synchronize import Semaphore

        return Semaphore(value, on_abandoned=on_abandoned, arena=self._arena())

    def BoundedSemaphore(  # type: ignore[override]
        self, value: int = 1, *, on_abandoned: OnAbandoned = "warn"
    ) -> synchronize.BoundedSemaphore:
        """A semaphore that may not be released above `value`: then `release` raises ReleaseError, a ValueError.

        All else as for `Semaphore`. What it gives is a `procession.synchronize.BoundedSemaphore`.
        """
        from procession.synchronize import BoundedSemaphore

        return BoundedSemaphore(value, on_abandoned=on_abandoned, arena=self._arena())

    def Event(self) -> synchronize.Event:  # type: ignore[override]
        """A flag to wait for: `wait(timeout=None)`, in seconds, blocks until `set()`; False if the timeout came first.

        Who waits when it is set goes on, even if `clear()` follows at once. The death of whoever should have set it
        wakes nobody: give a timeout, or wait for the process's `sentinel`. What it gives is a
        `procession.synchronize.Event`. Raises: ArenaFull.
        """
        from procession.synchronize import Event

        return Event(arena=self._arena())

    def Barrier(  # type: ignore[override]
        self, parties: int, action: Callable[[], Any] | None = None, timeout: float | None = None
    ) -> synchronize.Barrier:
        """A meeting point: `wait(timeout=None)` blocks until `parties` threads of any process have called it.

        The last to arrive calls `action()` before the others go on. `timeout` (seconds) is for waits that give none.
        It breaks, and all who wait get BrokenBarrierError, when a wait times out, the action raises, somebody calls
        `abort()`, or a process dies that waits there; `reset()` makes it whole.

        Raises: ValueError for less than one party; ArenaFull. What it gives is a `procession.synchronize.Barrier`.
        """
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
        """A queue in shared memory, for any number of processes that put and get.

        `maxsize` bounds its items, `max_bytes` the bytes of encoded items, without large payloads (0: unbounded).
        `put(obj, block=True, timeout=None)` pickles the object at once, waits while there is no room, and raises Full
        after `timeout` seconds; `get(block=True, timeout=None)` waits for an item, and raises Empty. When `put` has
        returned the item is in shared memory: it stays there if the process that put it dies. One that a consumer had
        taken dies with that; `JoinableQueue` gives such ones out again. There is no feeder thread.

        With `path` or `name` its items lie on disk and survive all processes, with `durability="power"` a power cut as
        well; an existing one keeps what is not named. `salvage` opens one whose files are damaged with what is whole
        in them, and drops the rest. See docs/guides/disk.md.

        Raises: TypeError or ValueError for what is no bound; ArenaFull; for files HomeError. What it gives is a
        `procession.queues.Queue` (in the thread context, a queue of the objects themselves).
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
        """A queue whose consumers report what is done (`task_done`), and whose `join` waits until everything is.

        An item that a consumer took and did not report when it died comes back to the front, for whoever waits for one,
        within 100 ms: items are done at least once. One that would be delivered more than `max_deliveries` times (0: no
        bound) raises DeliveredTooOften in `get`. All else, on disk as well, as for `Queue`. What it gives is a
        `procession.queues.JoinableQueue`.
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
        """An unbounded queue with `put`, `get`, `empty` and `close`. Else as `Queue`.

        What it gives is a `procession.queues.SimpleQueue`. Raises: ArenaFull.
        """
        from .queues import SimpleQueue

        return SimpleQueue(arena=self._arena())

    def Pipe(self, duplex: bool = True) -> tuple[connection.RingConnection, connection.RingConnection]:
        """Two connected ends, `(a, b)`: both send and receive, or with `duplex` false a only receives, b only sends.

        `send(obj)` blocks while too much is unread; `recv()` waits for an object, `poll(timeout)` (seconds) says
        whether there is one. When every process that has the other end has closed it or died, `recv` raises EOFError
        once nothing is left, and `send` BrokenPipeError. Only one thread at a time should send, and one receive.

        Raises: OSError when descriptors run out (one for each end); ArenaFull. What it gives are two
        `procession.connection.RingConnection`.
        """
        from .connection import Pipe

        return Pipe(duplex, arena=self._arena())

    @overload
    def Value(
        self,
        typecode_or_type: str,
        *args: Any,
        lock: synchronize.Lock | synchronize.RLock | Literal[True] | None = True,
        path: Any = None,
        name: str | None = None,
    ) -> sharedctypes.SharedValue: ...
    @overload
    def Value(
        self, typecode_or_type: Any, *args: Any, lock: Any = True, path: Any = None, name: str | None = None
    ) -> Any: ...
    def Value(
        self, typecode_or_type: Any, *args: Any, lock: Any = True, path: Any = None, name: str | None = None
    ) -> Any:
        """A number, character or ctypes object in shared memory: `Value("d", 0.5).value`.

        `typecode_or_type`: as in the module `array` ("i", "d", "q", ...), or a ctypes type. Each access takes the lock:
        `lock` is True for a new RLock, one to use, or False for none. `value.value += 1` is two accesses: hold the lock
        (`with value:`), or with integers use `value.add(1)`, which is one. A death changes no value; its lock goes on
        as `Lock` does.

        With `path` or `name` it lives in a file, and `args` are for when it is not there yet; see docs/guides/disk.md.

        Raises: WrongTypecode; TypeError for what is no C type or another kind of value; ArenaFull; for files
        HomeError. What it gives is a `procession.sharedctypes.SharedValue` for a typecode or a simple ctypes type.
        """
        if path is not None or name is not None:
            from ._disk.values import open_value

            return open_value(typecode_or_type, args, path, name, lock)
        from .sharedctypes import Value

        return Value(typecode_or_type, *args, lock=lock, arena=self._arena())

    @overload
    def Array(
        self,
        typecode_or_type: str,
        size_or_initializer: Any,
        *,
        lock: synchronize.Lock | synchronize.RLock | Literal[True] | None = True,
        path: Any = None,
        name: str | None = None,
    ) -> sharedctypes.SharedArray: ...
    @overload
    def Array(
        self,
        typecode_or_type: Any,
        size_or_initializer: Any,
        *,
        lock: Any = True,
        path: Any = None,
        name: str | None = None,
    ) -> Any: ...
    def Array(
        self,
        typecode_or_type: Any,
        size_or_initializer: Any,
        *,
        lock: Any = True,
        path: Any = None,
        name: str | None = None,
    ) -> Any:
        """An array of numbers or characters in shared memory.

        `size_or_initializer` is a number of zeroes, or a sequence of items. Types and `lock` are as for `Value`.
        `numpy.asarray(array)` is a view of the same memory, without its lock.

        With `path` or `name` it lives in a file, and the items are for when it is not there yet; a size of None is
        whatever it has. See docs/guides/disk.md.

        Raises: as `Value`; InvalidSize for a negative size. What it gives is a `procession.sharedctypes.SharedArray`
        for a typecode or a simple ctypes type.
        """
        if path is not None or name is not None:
            from ._disk.values import open_array

            return open_array(typecode_or_type, size_or_initializer, path, name, lock)
        from .sharedctypes import Array

        return Array(typecode_or_type, size_or_initializer, lock=lock, arena=self._arena())

    def RawValue(self, typecode_or_type: Any, *args: Any) -> Any:
        """A ctypes object in shared memory, without a lock; `args` initialise it.

        `typecode_or_type` as for `Value`.

        Raises: WrongTypecode; TypeError for what is no C type, or as its constructor does; ArenaFull.
        """
        from .sharedctypes import RawValue

        return RawValue(typecode_or_type, *args, arena=self._arena())

    def RawArray(self, typecode_or_type: Any, size_or_initializer: Any) -> Any:
        """A ctypes array in shared memory, without a lock; `typecode_or_type` as for `Value`.

        `size_or_initializer` is a number of zeroes, or a sequence of items.

        Raises: WrongTypecode; InvalidSize; TypeError for what is no C type; ArenaFull.
        """
        from .sharedctypes import RawArray

        return RawArray(typecode_or_type, size_or_initializer, arena=self._arena())
