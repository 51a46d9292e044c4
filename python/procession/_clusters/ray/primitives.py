"""Locks, queues and values of a context on Ray: views of what a `keeper` has, which travel by its name.

They have the methods of those in shared memory, and each call is a message to the keeper and back (a third of a
millisecond). When a process dies that holds a lock, or an item of a JoinableQueue that is not done, the next one gets
it within about 100 ms (on another node two seconds), and of a lock is warned.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import threading
import warnings
from multiprocessing.sharedctypes import typecode_to_type  # type: ignore[attr-defined]

import ray

from ...errors import AbandonedLockWarning, ClusterLost, Empty, Full, WrongTypecode
from ...errors import TimeoutError as OurTimeout
from .fates import fate_of, own_error
from .keeper import NAMESPACE, started

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self

__all__ = ["KINDS"]

_began: tuple[int, str] = (0, "")  # of this process: its pid and when it started
_numbers = itertools.count()  # of what this process asks


def _me() -> tuple[Any, ...]:
    """Who asks; see `keeper`. Raises: ClusterLost when this program is not connected, for Ray would start another."""
    global _began
    if not ray.is_initialized():
        raise ClusterLost("this program is not connected to Ray any more")
    pid = os.getpid()
    if _began[0] != pid:
        _began = pid, started(pid)
    is_client = ray.util.client.ray.is_connected()  # type: ignore[no-untyped-call]
    node = None if is_client else ray.get_runtime_context().get_node_id()
    return node, pid, _began[1], threading.get_ident()


def _dumps_in_worker(thing: Any) -> bytes:
    """By value what is not to be found by its name elsewhere, also from one worker to another."""
    import cloudpickle  # type: ignore[import-untyped, unused-ignore]

    packed: bytes = cloudpickle.dumps(thing)
    return packed


class _View:
    """What all have in common."""

    def __init__(
        self, keeper: str, address: tuple[str, str], *arguments: Any, dumps: Callable[[Any], bytes] | None = None
    ) -> None:
        self._keeper, self._address, self._arguments = keeper, address, arguments
        self._dumps = dumps or _dumps_in_worker
        self._recipe = self._made_by(*arguments)
        self._actor: Any = None  # the keeper, when it was first asked

    def _made_by(self, *arguments: Any) -> tuple[Any, ...]:
        """The recipe: rules, and what they are made with. Raises: for arguments that cannot be."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._address[1]} on Ray>"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._keeper, self._address, *self._arguments)

    def _ask(self, what: str, *details: Any, timeout: float | None = None) -> tuple[bool, Any]:
        """Have the keeper do it. (True, its answer), or (False, None) after `timeout` seconds."""
        me, number = _me(), next(_numbers)
        try:
            if self._actor is None:
                self._actor = ray.get_actor(self._keeper, namespace=NAMESPACE)
            most = None if timeout is None else max(0.0, timeout)
            asked = self._actor.ask.remote(self._address, self._recipe, what, details, most, me, number)
            answer: tuple[bool, Any] = ray.get(asked)
        except Exception as error:
            told = self._told(error)
            raise told from told.__cause__
        except BaseException:  # Ctrl-C: nothing is to be taken for nobody
            if self._actor is not None:
                self._actor.withdraw.remote(me, number)
            raise
        return answer

    def _told(self, error: Exception) -> BaseException:
        if isinstance(error, ValueError) and "Failed to look up actor" in str(error):
            error = ConnectionError("its keeper has ended, as with the context that made it")
        own = own_error(error)
        return fate_of(own, repr(self)) or own


# Locks


class _Acquirable(_View):
    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """True if it is the caller's now. Blocks until it is given back, its holder dies, or for `timeout` seconds.

        Warns with AbandonedLockWarning if its last holder died with it. Raises: ClusterLost.
        """
        return self._acquire(_me(), timeout if block else 0.0)

    def _acquire(self, who: Any, timeout: float | None) -> bool:
        taken, answer = self._ask("acquire", who, timeout=timeout)
        if answer is not None and answer[1] is not None:
            text = AbandonedLockWarning.describe(type(self).__name__, answer[1][1], None, None)
            warnings.warn(text, AbandonedLockWarning, stacklevel=3)
        return taken

    def release(self) -> None:
        """Give it back. Raises: ReleaseError, a ValueError, for what is free; of an RLock NotOwner; ClusterLost."""
        self._ask("release", _me())

    def __enter__(self) -> bool:
        return self._acquire(_me(), None)

    def __exit__(self, *_: object) -> None:
        self.release()


class Lock(_Acquirable):
    """A lock for any process of the cluster, which any of them may release. A holder's death frees it."""

    def _made_by(self) -> tuple[Any, ...]:
        return "Semaphore", 1, 1

    def locked(self) -> bool:
        """Whether somebody holds it; a moment's view."""
        return bool(self._ask("get_value")[1] == 0)


class RLock(_Acquirable):
    """A lock that its holder, a thread, may acquire again. A holder's death frees it."""

    def _made_by(self) -> tuple[Any, ...]:
        return ("RLock",)


class Semaphore(_Acquirable):
    """Permits. Those taken by `with` come back when their process dies; those of `acquire` are nobody's."""

    def _made_by(self, value: int = 1) -> tuple[Any, ...]:
        if value < 0:
            raise ValueError("semaphore initial value must be >= 0")
        return "Semaphore", value

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """True if a permit was taken. Blocks until there is one, or for `timeout` seconds. Raises: ClusterLost."""
        return self._acquire(None, timeout if block else 0.0)

    def release(self, n: int = 1) -> None:
        """Give `n` permits back. Raises: of a BoundedSemaphore ReleaseError for more than there were; ClusterLost."""
        self._ask("release", _me(), n)

    def get_value(self) -> int:
        """How many there are; a moment's view."""
        return int(self._ask("get_value")[1])


class BoundedSemaphore(Semaphore):
    """A Semaphore with never more permits than it began with."""

    def _made_by(self, value: int = 1) -> tuple[Any, ...]:
        return *super()._made_by(value), value


class Event(_View):
    """A flag that can be waited for."""

    def _made_by(self) -> tuple[Any, ...]:
        return ("Event",)

    def is_set(self) -> bool:
        """A moment's view."""
        return bool(self._ask("is_set")[1])

    def set(self) -> None:
        """Set it, and wake all who wait."""
        self._ask("set", True)

    def clear(self) -> None:
        """Unset it."""
        self._ask("set", False)

    def wait(self, timeout: float | None = None) -> bool:
        """Block until it is set, or for `timeout` seconds; whether it was."""
        return self._ask("wait", timeout=timeout)[0]


# Queues


class Queue(_View):
    """A queue, as `multiprocessing.Queue`: an item is in it when `put` returns, whatever becomes of its process.

    An item is lost if a process took it and then died, or died in the moment of taking it.
    """

    _has_leases = False

    def _made_by(self, maxsize: int = 0) -> tuple[Any, ...]:
        return "Queue", maxsize, self._has_leases

    def qsize(self) -> int:
        """How many items there are; a moment's view."""
        return int(self._ask("size")[1][0])

    def empty(self) -> bool:
        """Whether there is none; a moment's view."""
        return self.qsize() == 0

    def full(self) -> bool:
        """Whether `put` would wait; a moment's view."""
        size, most = self._ask("size")[1]
        return bool(0 < most <= size)

    def put(self, obj: Any, block: bool = True, timeout: float | None = None) -> None:
        """Put an object, as it is now. Blocks while the queue is full. Raises: Full, PicklingError, ClusterLost."""
        if not self._ask("put", self._dumps(obj), timeout=timeout if block else 0.0)[0]:
            raise Full

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take the oldest item. Blocks while there is none. Raises: Empty, ClusterLost, and as it is unpickled."""
        taken, item = self._ask("get", _me(), timeout=timeout if block else 0.0)
        if not taken:
            raise Empty
        import pickle

        return pickle.loads(item)

    def put_nowait(self, obj: Any) -> None:
        """`put` that never waits for room."""
        self.put(obj, False)

    def get_nowait(self) -> Any:
        """`get` that never waits for an item."""
        return self.get(False)

    def close(self) -> None:
        """Nothing: what was put is put."""

    join_thread = cancel_join_thread = close


class SimpleQueue(Queue):
    """A queue with get, put and empty."""


class JoinableQueue(Queue):
    """A queue whose items are done when their taker says so; those of a process that dies come back to their place."""

    _has_leases = True

    def task_done(self) -> None:
        """The oldest item that this thread took is done. Raises: ValueError when it has none; ClusterLost."""
        self._ask("task_done", _me())

    def join(self, timeout: float | None = None) -> None:
        """Block until all is done. Raises: TimeoutError after `timeout` seconds; ClusterLost."""
        if not self._ask("join", timeout=timeout)[0]:
            raise OurTimeout(f"{self!r} was not done after {timeout} seconds")


# Values


class Value(_View):
    """A number or a character, of a typecode or a simple type of ctypes. `with value.get_lock():` to change it."""

    def _made_by(self, typecode_or_type: Any, value: Any = 0) -> tuple[Any, ...]:
        self._type = typecode_to_type.get(typecode_or_type, typecode_or_type)
        if not (isinstance(self._type, type) and issubclass(self._type, ctypes._SimpleCData)):
            raise WrongTypecode(f"a Value on Ray is of a typecode or a simple type of ctypes, not {typecode_or_type!r}")
        if value == 0:
            value = self._type().value
        return "Value", self._type.__name__, self._type(value).value

    @property
    def value(self) -> Any:
        """What it is now. To set it raises TypeError for what is not of its type."""
        return self._ask("get")[1]

    @value.setter
    def value(self, value: Any) -> None:
        self._ask("set", self._type(value).value)

    def get_lock(self) -> RLock:
        """The lock that belongs to it."""
        return RLock(self._keeper, ("RLock of Value", self._address[1]))

    def __enter__(self) -> Self:
        self.get_lock().acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.get_lock().release()


KINDS: dict[str, Any] = {
    kind.__name__: kind
    for kind in (Queue, SimpleQueue, JoinableQueue, Lock, RLock, Semaphore, BoundedSemaphore, Event, Value)
}
