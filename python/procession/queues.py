"""Queues: what is put is put.

A queue is a ring of messages in shared memory. `put` encodes the object (its snapshot at that moment; a later change
to it does not leak through), copies it into the ring and returns: no feeder thread, nothing to flush, and the process
may exit, or be killed, in the next instruction. Unbounded queues grow; bounded ones make `put` wait. Messages of one
producer arrive in its order.

When a process dies while it uses a queue, the others go on: a producer killed inside `put` has put nothing, a
consumer killed inside `get` either has taken nothing or has the item, which is lost with it. Of a `JoinableQueue`
nothing is lost: what was taken and not acknowledged comes back when its consumer ends. A `get` that is cut short by an
exception of a signal's handler has taken nothing.

Large things (64 KiB and more: arrays, bytes, the buffers of a DataFrame) are copied once, into a block of shared memory
beside the ring, and what `get` returns is a view of that block: an array arrives writable, is the receiver's alone,
and its memory is given back when the last view of it is dropped.

The classes pass for the standard library's: the same methods and constructors (`ctx=` included), `isinstance` holds,
and what these have inside (`_reader`, `_sem` ...) is there as views, made when asked for (`_queue_insides`). put and
get are the native methods, unless a subclass overrides them. One thing is different on purpose: an object that cannot
be pickled is an error in `put`, where the standard library prints it in a thread and drops the object. A subclass that
overrides `_on_queue_feeder_error` gets it there, as in the standard library.

The queues of the thread context (`ThreadQueue` and so on) are `queue.Queue` with the same extra methods: objects are
handed over as they are, not copied.
"""

from __future__ import annotations

import sys
from types import GenericAlias

from . import _native
from ._store import JOINABLE_QUEUE, QUEUE, SIMPLE_QUEUE, Shared, shared_arena
from ._thread_queues import ThreadJoinableQueue, ThreadQueue, ThreadSimpleQueue, bound, check_max_bytes
from .errors import Closed, Empty, Full

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from typing import Any, ClassVar

    from .statistics import QueueStatistics

__all__ = [
    "Empty",
    "Full",
    "JoinableQueue",
    "Queue",
    "SimpleQueue",
    "ThreadJoinableQueue",
    "ThreadQueue",
    "ThreadSimpleQueue",
]


def _home(ctx: Any) -> _native.Arena:
    """Where the state of a context lives; any context that is not ours means processes."""
    arena: _native.Arena = ctx._arena() if hasattr(ctx, "_arena") else shared_arena()
    return arena


class _Standing:
    """Instances pass for instances of the standard library's class.

    Deriving from it would make every child that gets a queue import what that class rests on (some 5 ms). So an
    instance tells of itself that it is of both classes, once somebody has imported the other one to compare with.
    """

    __slots__ = ()
    _standard_name: ClassVar[str]

    @property  # type: ignore[misc]  # `object` would let it be set
    def __class__(self) -> type[Any]:
        return _standing_for(type(self))


def _standing_for(cls: Any) -> type[Any]:
    """What instances that stand for `cls` say they are of: it, and the standard library's, if that is loaded."""
    standard = sys.modules.get("multiprocessing.queues")
    return cls if standard is None else _both(cls, getattr(standard, cls._standard_name, None))


def _both(cls: Any, standard: Any) -> type[Any]:
    """A class that is `cls` and derives from `standard` as well; the same one each time."""
    known: Any = vars(cls).get("_both")
    if known is None or known.__bases__[-1] is not standard:
        if standard is None or issubclass(cls, standard):
            return cls  # type: ignore[no-any-return]
        own = {"__slots__": (), "__module__": cls.__module__, "__qualname__": cls.__qualname__}
        known = cls._both = type(cls.__name__, (cls, standard), own)
    return known  # type: ignore[no-any-return]


class _Inside:
    """Something that a standard queue has inside, made when first asked for and then an attribute of the instance.

    (Not by `__getattr__`, with which every access to put and get would be slower.)
    """

    def __init__(self, kind: str | None = None) -> None:
        """`kind`: which class of `synchronize` it is an instance of; None for one of `_queue_insides`."""
        self.kind = kind

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self.name = name

    def __get__(self, queue: Any, cls: type[Any]) -> Any:
        if queue is None:
            return self
        from . import _queue_insides, synchronize

        if self.kind is None:
            made = _queue_insides.make(queue, self.name)
        else:
            made = getattr(synchronize, self.kind)(arena=queue.arena)
        queue.__dict__[self.name] = made
        return made


class _RingQueue(_native.Ring, Shared, _Standing):
    """What the three kinds of queue share."""

    __slots__ = ("__dict__", "__weakref__")  # users hang things on queues; an empty one costs a few bytes
    _role: ClassVar[int]

    def __new__(
        cls,
        *arguments: Any,
        ctx: Any = None,
        arena: _native.Arena | None = None,
        address: tuple[int, int] | None = None,
        **more: Any,
    ) -> Any:
        """Whatever else the constructor of a subclass takes is for its `__init__`, which sets the bounds."""
        self = super().__new__(cls, _home(ctx) if arena is None else arena, address=address)
        if address is None:
            _native.serve_as(self, cls._role)
        return self

    def __repr__(self) -> str:
        limit = self.max_items or "unbounded"
        state = ", shut down" if self.is_shutdown else ""
        return f"<{type(self).__name__}({self.qsize()} items, {limit}{state})>"

    def statistics(self) -> QueueStatistics:
        """A snapshot, without locking anything."""
        taken, put = self.position
        getters, putters, _joiners = self.sleepers()
        from .statistics import QueueStatistics

        return QueueStatistics(self.qsize(), self.nbytes(), put, taken, int(getters) + int(putters), self.is_shutdown)

    async def get_async(self, timeout: float | None = None) -> Any:
        """In asyncio: as `get`, without blocking the loop. A cancelled wait has taken nothing.

        Raises: Empty after `timeout` seconds; as `get`.
        """
        from ._waiting import queue_get

        return await queue_get(self, timeout)

    async def put_async(self, obj: Any, timeout: float | None = None) -> None:
        """In asyncio: as `put`, without blocking the loop. The object is encoded when there is room; a cancelled wait
        has put nothing.

        Raises: Full after `timeout` seconds; as `put`.
        """
        from ._waiting import queue_put

        await queue_put(self, obj, timeout)

    # What the standard library's queues have inside

    _reader = _Inside()
    _writer = _Inside()
    _rlock = _Inside("Lock")
    _wlock = _Inside("Lock")
    _sem = _Inside()
    _buffer = _Inside()
    _opid = _Inside()
    _maxsize = _Inside()
    _ignore_epipe = _Inside()
    _notempty = _Inside()
    _thread = _Inside()
    _jointhread = _Inside()
    _joincancelled = _Inside()
    _close = _Inside()
    _poll = _Inside()
    _send_bytes = _Inside()
    _recv_bytes = _Inside()
    _unfinished_tasks = _Inside()
    _cond = _Inside("Condition")

    @property
    def _closed(self) -> bool:
        return self.closed

    @staticmethod
    def _on_queue_feeder_error(e: BaseException, obj: Any) -> None:
        """A subclass that overrides this gets what could not be pickled, and `put` returns as if it had been put."""
        raise e

    def _unsendable(self, error: BaseException, obj: Any) -> None:
        """Called by `put` for an object that cannot be encoded. Raises `error` unless a subclass takes it."""
        handler = self._on_queue_feeder_error
        if handler is _RingQueue._on_queue_feeder_error:
            raise error
        handler(error.__cause__ if isinstance(error.__cause__, Exception) else error, obj)

    # Pickling: by address, and whatever a subclass adds in the way that it would to the standard class

    def __getstate__(self) -> tuple[Any, ...]:
        """What a subclass adds its own to; the queue itself travels by its address."""
        return ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """The counterpart of `__getstate__`."""

    def __reduce__(self) -> tuple[Any, ...]:
        reduced = super().__reduce__()
        cls: Any = type(self)
        if cls.__getstate__ is _RingQueue.__getstate__ and cls.__setstate__ is _RingQueue.__setstate__:
            return reduced
        return (*reduced, self.__getstate__())

    __class_getitem__: Any = classmethod(GenericAlias)


def _closed() -> bool:
    """`empty` of a closed queue."""
    raise Closed("this queue is closed: close() was called on it in this process")


class SimpleQueue(_RingQueue):
    """An unbounded queue with `put`, `get` and `empty`."""

    __slots__ = ()
    _standard_name, _role = "SimpleQueue", SIMPLE_QUEUE

    def __init__(self, *, ctx: Any = None, arena: _native.Arena | None = None) -> None:
        """State lives in `arena`, or where that of the context `ctx` does; otherwise where all processes see it."""

    def close(self) -> None:
        """This handle is used no more; others are not affected. Idempotent."""
        super().close()
        self._reader.close()
        self._writer.close()
        self.__dict__["empty"] = _closed


class Queue(_RingQueue):
    """A queue for any number of producers and consumers in any processes of the family.

    `maxsize` bounds the items, `max_bytes` the bytes of encoded items (payloads of 64 KiB and more live beside the
    queue and count with a few bytes); 0 is unbounded. `put` and `get` block as `queue.Queue`'s do, and take a timeout
    in seconds.
    """

    __slots__ = ()
    _standard_name, _role = "Queue", QUEUE

    def __init__(
        self, maxsize: int = 0, *, max_bytes: int = 0, ctx: Any = None, arena: _native.Arena | None = None
    ) -> None:
        """State lives in `arena`, or where that of the context `ctx` does; otherwise where all processes see it.

        Raises: TypeError or InvalidSize for what is no bound.
        """
        check_max_bytes(max_bytes)
        self.set_bounds(bound(maxsize), max_bytes)

    def put_nowait(self, obj: Any) -> None:
        """`put` that raises Full instead of waiting."""
        self.put(obj, False)

    def get_nowait(self) -> Any:
        """`get` that raises Empty instead of waiting."""
        return self.get(False)

    def close(self) -> None:
        """This handle is used no more: `put` and `get` raise Closed. Others are not affected. Idempotent."""
        super().close()
        if self.position[1]:  # as the standard library's, which closes only what was used
            self.__dict__["empty"] = _closed

    def join_thread(self) -> None:
        """Nothing to wait for: there is no feeder thread. Kept because programs call it after `close`."""
        if not self.closed:
            raise AssertionError(f"Queue {self!r} not closed")

    def cancel_join_thread(self) -> None:
        """Nothing to cancel: `put` has delivered when it returns, and exit never waits for a queue."""

    def _start_thread(self) -> None:
        """Nothing to start."""

    def _reset(self, after_fork: bool = False) -> None:
        """Nothing to reset: a forked child's copy is as good as its parent's."""

    def _after_fork(self) -> None:
        """Nothing to do."""

    def _terminate_broken(self) -> None:
        """Close the queue after an error elsewhere."""
        self._reader.close()
        self.close()
        self.join_thread()


class JoinableQueue(Queue):
    """A `Queue` whose consumers tell when an item is done with (`task_done`), so that producers can `join` it.

    An item that a consumer took and did not acknowledge when it ended, however it ended, goes back to the front of the
    queue, in its old place: to whoever waits for one within 100 ms. `delivery_count` tells how often an item was
    delivered. So consumers do an item at least once, and those that end must acknowledge all they took. The queue keeps
    an item until then, in shared memory: for consumers that never acknowledge a `Queue` is right. For the same reason
    an array that arrives in a block of its own is copied once more than from a `Queue`.
    """

    __slots__ = ()
    _standard_name, _role = "JoinableQueue", JOINABLE_QUEUE

    def __init__(
        self,
        maxsize: int = 0,
        *,
        max_bytes: int = 0,
        max_deliveries: int = 0,
        ctx: Any = None,
        arena: _native.Arena | None = None,
    ) -> None:
        """As `Queue`. An item that would be delivered more than `max_deliveries` times (0: no bound) is not decoded:
        `get` raises DeliveredTooOften instead, and `task_done` drops it.
        """
        super().__init__(maxsize, max_bytes=max_bytes, ctx=ctx, arena=arena)
        if self.arena.shared:  # among threads no consumer dies alone
            self.keep_taken(bound(max_deliveries, "max_deliveries"))

    def task_done(self) -> None:
        """One item taken before is done with: the oldest that this process has taken and not acknowledged.

        A process that has none acknowledges the oldest of anybody's, which is right where one process takes items and
        another finishes them. Raises: ValueError when called more often than items were put.
        """
        if not super().task_done():
            raise ValueError("task_done() called too many times")

    def join(self, timeout: float | None = None) -> None:
        """Wait until every item put was done with; what comes back from dead consumers must be done with as well.

        Raises: TimeoutError after `timeout` seconds.
        """
        if not super().join(timeout):
            raise TimeoutError(f"{self.unfinished()} items were not done with after {timeout} s")
