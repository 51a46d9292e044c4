"""Queue, Lock, Semaphore, Event and Value on what Dask's scheduler offers, with multiprocessing's names.

The state is the scheduler's, under a name; an object here is that name and a connection, its program's client or its
worker's own, so it can be sent anywhere. Dask's `distributed.Queue("x")` and a `Queue(name="x")` are the same queue
(whose items we pickle, since Dask's are only what msgpack knows). Each operation is a round trip, and a wait is one for
each second that it lasts: the scheduler goes on with a wait whose process has died, and gives the next item or permit
to it. So a dead waiter can take one along for a second, no longer. What waits at a queue is a function of ours that
runs in the scheduler, since Dask's own has it log an error and a stack for each wait that ends in vain.

A permit (a Lock is a Semaphore of one) is a lease that its holder's process renews. It is free again when that has not
happened for `distributed.scheduler.locks.lease-timeout`, 30 seconds if nobody said otherwise: a dead holder does not
stop the others for ever. Nobody is told of it, as there is nobody who knows. A living holder that keeps the interpreter
lock for so long loses its lease too.

What has no name goes when its cluster is closed; what has one stays with the scheduler.
"""

# mypy: disallow-untyped-calls=false
# (much of Dask has no types)

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import uuid
from multiprocessing import sharedctypes

import distributed

from ...errors import Empty, Full, NotSupported, ObjectGone, ReleaseError, WrongTypecode
from ..shipping import Shipping, loads
from .named import Named, within

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from . import DaskCluster

__all__ = ["Event", "Lock", "Queue", "Semaphore", "Value", "make"]

_VALUE_S = 1.0  # for a value that is there, or is put there: no wait


def make(cluster: DaskCluster, kind: str, arguments: tuple[Any, ...], name: str | None) -> Any:
    """See `Cluster.primitive`."""
    cls = _KINDS.get(kind)
    if cls is None:
        raise NotSupported(f"Dask has no {kind}: {_INSTEAD.get(kind, 'use one of ' + ', '.join(_KINDS))}")
    made = cls(name or f"procession-{uuid.uuid4().hex}", cluster.name, *arguments)
    made._dumps = Shipping(cluster).dumps
    end = made._begin(cluster.client)
    if name is None:
        cluster.owns(end)
    return made


# In the scheduler


async def _put(name: str, item: bytes, seconds: float, dask_scheduler: Any = None) -> bool:
    """Whether there was room."""
    queue = dask_scheduler.extensions["queues"].queues[name]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await queue.put({"type": "msgpack", "value": item})
            return True
    return False


async def _get(name: str, seconds: float, dask_scheduler: Any = None) -> list[Any]:
    """An item in a list, or none."""
    queue = dask_scheduler.extensions["queues"].queues[name]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            return [(await queue.get())["value"]]
    return []


def _has_value(name: str, dask_scheduler: Any = None) -> bool:
    return name in dask_scheduler.extensions["variables"].variables


# What contexts make


class Queue(Named):
    """A queue in the scheduler's memory, through which every item passes: for small ones."""

    def __init__(self, name: str, home: str, maxsize: int = 0) -> None:
        super().__init__(name, home)
        self._maxsize = max(0, maxsize)

    def _begin(self, client: Any) -> Callable[[], object]:
        self._opened = client
        return distributed.Queue(self.name, client=client, maxsize=self._maxsize).close

    def _facts(self) -> tuple[Any, ...]:
        return (self._maxsize,)

    def qsize(self) -> int:
        """Items that were put and not got."""
        return int(self._ask("queue_qsize"))

    def empty(self) -> bool:
        """Whether there are none."""
        return self.qsize() == 0

    def full(self) -> bool:
        """Whether there is no room for another."""
        return 0 < self._maxsize <= self.qsize()

    def put(self, obj: Any, block: bool = True, timeout: float | None = None) -> None:
        """Append an item; wait for room, for `timeout` seconds at most. Raises: Full, PicklingError, ClusterLost."""
        packed = self._dumps(obj)
        if not within(lambda seconds: self._ask(_put, packed, seconds), block, timeout):
            raise Full(f"{self!r} has had {self._maxsize} items all the time")

    def put_nowait(self, obj: Any) -> None:
        """Append an item if there is room. Raises: Full."""
        self.put(obj, block=False)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take the oldest item; wait for one, for `timeout` seconds at most. Raises: Empty, ClusterLost.

        An item is lost if the process that it goes to dies meanwhile.
        """
        got = within(lambda seconds: self._ask(_get, seconds), block, timeout)
        if not got:
            raise Empty(f"nothing came into {self!r}")
        return loads(got[0])

    def get_nowait(self) -> Any:
        """Take the oldest item if there is one. Raises: Empty."""
        return self.get(block=False)

    def close(self) -> None:
        """Nothing to do: the queue is the scheduler's."""

    join_thread = cancel_join_thread = close  # no thread puts items later


class Semaphore(Named):
    """So many permits. Bounded: a permit is given back by the object that took it, not by another or a copy of it."""

    def __init__(self, name: str, home: str, value: int = 1) -> None:
        super().__init__(name, home)
        if value < 1:
            raise ValueError(
                f"Dask's semaphores start with all permits free, and {value} is no number of them: to wait for "
                "somebody's sign, use an Event or a Queue"
            )
        self._value = value

    def _begin(self, client: Any) -> Callable[[], object]:
        self._open(client)
        self._semaphore.register()
        end: Callable[[], object] = self._semaphore.close
        return end

    def _open(self, client: Any) -> None:
        self._opened = client
        self._semaphore: Any = distributed.Semaphore(
            self._value, self.name, scheduler_rpc=client.scheduler, loop=client.loop
        )

    def _facts(self) -> tuple[Any, ...]:
        return (self._value,)

    def get_value(self) -> int:
        """Permits that are free."""
        return self._value - int(self._ask("semaphore_value"))

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Take a permit; wait for one, for `timeout` seconds at most. False: none came. Raises: ClusterLost."""
        if self._client.status != "running":
            raise self._lost()
        try:
            return bool(within(lambda seconds: self._semaphore.acquire(timeout=seconds), block, timeout))
        except OSError as error:
            raise self._lost(error) from error
        except RuntimeError as error:
            raise ObjectGone(f"the scheduler knows no {type(self).__name__} {self.name!r} any more") from error

    def release(self) -> None:
        """Give the permit back that was taken longest ago. Raises: ReleaseError if this object has taken none."""
        try:
            self._semaphore.release()
        except RuntimeError as error:
            raise ReleaseError(
                f"{self!r} was not acquired here: with Dask, a permit is given back by the object that took it"
            ) from error

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *exception: object) -> None:
        self.release()


class Lock(Semaphore):
    """A lock that is released by the object that acquired it. That of a dead process is free after the lease's time."""

    def __init__(self, name: str, home: str) -> None:
        super().__init__(name, home, 1)

    def _facts(self) -> tuple[Any, ...]:
        return ()

    def locked(self) -> bool:
        """Whether somebody has it."""
        return self.get_value() == 0


class Event(Named):
    """A flag to wait for."""

    def _begin(self, client: Any) -> Callable[[], object]:
        self._opened = client
        return self.clear

    def is_set(self) -> bool:
        """Whether the flag is up."""
        return bool(self._ask("event_is_set"))

    def set(self) -> None:
        """Raise the flag: whoever waits goes on."""
        self._ask("event_set")

    def clear(self) -> None:
        """Take the flag down."""
        self._ask("event_clear")

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the flag is up, for `timeout` seconds at most; whether it is. Raises: ClusterLost."""
        return bool(within(lambda seconds: self._ask("event_wait", timeout=seconds), True, timeout))


class Value(Named):
    """A number in the scheduler's memory. `value.value += 1` is two round trips: hold `get_lock()` meanwhile."""

    def __init__(self, name: str, home: str, typecode: str, initial: Any = 0, lock: bool = True) -> None:
        super().__init__(name, home)
        self.typecode = typecode
        self._type = _number(typecode)
        self._initial = self._type(initial).value
        self._guard = Lock(f"{name}-lock", home) if lock else None

    def _begin(self, client: Any) -> Callable[[], object]:
        self._opened = client
        ends: list[Callable[[], object]] = [distributed.Variable(self.name, client=client).delete]
        if self._guard is not None:
            ends.append(self._guard._begin(client))
        if not self._ask(_has_value):
            self.value = self._initial
        return lambda: [end() for end in ends]

    def _open(self, client: Any) -> None:
        self._opened = client
        if self._guard is not None and self._guard._opened is None:
            self._guard._open(client)

    def _facts(self) -> tuple[Any, ...]:
        return self.typecode, self._initial, self._guard is not None

    @property
    def value(self) -> Any:
        """The number as it is now."""
        return self._ask("variable_get", timeout=_VALUE_S)["value"]

    @value.setter
    def value(self, value: Any) -> None:
        self._ask("variable_set", data=self._type(value).value, timeout=_VALUE_S)

    def get_lock(self) -> Lock:
        """The lock that makes several steps one: `with value.get_lock(): value.value += 1`."""
        if self._guard is None:
            raise AttributeError("this Value was made with lock=False")
        return self._guard

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Acquire its lock."""
        return self.get_lock().acquire(block, timeout)

    def release(self) -> None:
        """Release its lock."""
        self.get_lock().release()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *exception: object) -> None:
        self.release()


def _number(typecode: str) -> Any:
    """The ctypes type that says what such a number may be."""
    try:
        return {
            **sharedctypes.typecode_to_type,  # type: ignore[attr-defined]
            "?": ctypes.c_bool,
        }[typecode]
    except (KeyError, TypeError):
        raise WrongTypecode(
            f"a Value on Dask is a number, {typecode!r} is no typecode of one; structures go through a Queue"
        ) from None


_KINDS: dict[str, Any] = {
    "Queue": Queue,
    "SimpleQueue": Queue,
    "Lock": Lock,
    "Semaphore": Semaphore,
    "BoundedSemaphore": Semaphore,
    "Event": Event,
    "Value": Value,
}
_INSTEAD = {
    "JoinableQueue": "hand the items to Pool.map or Pool.imap, which know when all are done and whose were lost; or "
    "JoinableQueue(path=…) on a file system that the workers share",
    "RLock": "use Lock, and take it in one place",
    "Condition": "use an Event for a state, a Queue for a message",
    "Barrier": "the end of a Pool.map is one; the tasks of a cluster need not run at the same time",
    "Array": "use results and arguments of tasks, a Value for each number, or Array(path=…) on a shared file system",
}
