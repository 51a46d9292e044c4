"""Threads of this process, and the locks of `threading` by which they synchronise.

`threading.Lock` and `RLock` are replaced by classes that record. Everything else in `threading`, `queue` and
`concurrent.futures` is made of those two, in Python, and so followed: Condition, Event, Semaphore, Barrier, Queue,
Future. `queue.SimpleQueue` is not, and gets a recording subclass.
"""

from __future__ import annotations

import _thread
import queue
import sys
import threading

from . import tokens
from .replacing import replace

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["RecordedLock", "RecordedRLock", "RecordedSimpleQueue", "watch"]

_INCIDENTAL = {"procession._threads", "logging"}  # whose locks say nothing of the program's order
_TOKENS = "_check_tokens"  # an attribute of threads: for the start, for the end


def watch() -> None:
    """Follow threads and what they synchronise by, as far as it is made from now on."""
    cls: Any = threading.Thread
    replace(cls, start=_around_start(cls.start), join=_around_join(cls.join), is_alive=_around_is_alive(cls.is_alive))
    replace(cls, _bootstrap_inner=_around_bootstrap(cls._bootstrap_inner))
    module: Any = threading
    module.Lock = RecordedLock
    module._allocate_lock = RecordedSignal  # only Condition makes such, and never gives them back
    module.RLock = RecordedRLock
    if hasattr(module, "_CRLock"):
        module._CRLock = RecordedRLock
    queue.SimpleQueue = RecordedSimpleQueue  # type: ignore[misc]


def _around_start(start: Callable[[Any], None]) -> Callable[[Any], None]:
    def recorded_start(self: Any) -> None:
        begin, end = tokens.new(), tokens.new()
        self.__dict__.setdefault(_TOKENS, (begin, end))
        tokens.releasing(begin)
        start(self)

    return recorded_start


def _around_bootstrap(bootstrap: Callable[[Any], None]) -> Callable[[Any], None]:
    def recorded_bootstrap(self: Any) -> None:
        begin, end = self.__dict__.get(_TOKENS, (0, 0))
        tokens.acquired(begin)
        tokens.named(self.name, thread=True)
        try:
            bootstrap(self)
        finally:
            tokens.releasing(end)

    return recorded_bootstrap


def _ended(thread: Any) -> None:
    known = thread.__dict__.get(_TOKENS)
    if known is not None:
        tokens.acquired(known[1])


def _around_join(join: Callable[..., None]) -> Callable[..., None]:
    def recorded_join(self: Any, timeout: float | None = None) -> None:
        join(self, timeout)
        self.is_alive()

    return recorded_join


def _around_is_alive(is_alive: Callable[[Any], bool]) -> Callable[[Any], bool]:
    def recorded_is_alive(self: Any) -> bool:
        alive = is_alive(self)
        if not alive:
            _ended(self)
        return alive

    return recorded_is_alive


class RecordedLock:
    """A `threading.Lock` that records."""

    __slots__ = ("__weakref__", "_lock", "_token")

    def __new__(cls) -> Any:
        """A plain lock for those that would order by chance what the program does not."""
        if sys._getframe(1).f_globals.get("__name__") in _INCIDENTAL:
            return _thread.allocate_lock()
        return object.__new__(cls)

    def __init__(self) -> None:
        self._lock = _thread.allocate_lock()
        self._token = tokens.new_private()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """As the plain lock's."""
        taken = self._lock.acquire(blocking, timeout)
        if taken:
            tokens.locked(self._token)
        return taken

    def release(self) -> None:
        """As the plain lock's."""
        if self._lock.locked():
            tokens.unlocking(self._token)
        self._lock.release()

    def locked(self) -> bool:
        """Whether somebody holds it."""
        return self._lock.locked()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *exception: object) -> None:
        self.release()

    def __reduce__(self) -> Any:
        raise TypeError("cannot pickle '_thread.lock' object")

    def _at_fork_reinit(self) -> None:
        self._lock = _thread.allocate_lock()

    def __repr__(self) -> str:
        return repr(self._lock)


class RecordedSignal(RecordedLock):
    """A lock that one thread takes twice and another gives back, to let the first go on: nothing that is held."""

    __slots__ = ()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """As the plain lock's."""
        taken = self._lock.acquire(blocking, timeout)
        if taken:
            tokens.acquired(self._token)
        return taken

    def release(self) -> None:
        """As the plain lock's."""
        tokens.releasing(self._token)
        self._lock.release()


class RecordedRLock:
    """A `threading.RLock` that records."""

    __slots__ = ("__weakref__", "_lock", "_token")

    def __new__(cls) -> Any:
        """As for `RecordedLock`."""
        if sys._getframe(1).f_globals.get("__name__") in _INCIDENTAL:
            return _thread.RLock()
        return object.__new__(cls)

    def __init__(self) -> None:
        self._lock: Any = _thread.RLock()
        self._token = tokens.new_private()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """As the plain lock's."""
        taken: bool = self._lock.acquire(blocking, timeout)
        if taken:
            tokens.locked(self._token)
        return taken

    def release(self) -> None:
        """As the plain lock's."""
        if self._lock._is_owned():
            tokens.unlocking(self._token)
        self._lock.release()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *exception: object) -> None:
        self.release()

    def locked(self) -> bool:
        """Whether somebody holds it."""
        return "unlocked" not in repr(self._lock)

    def _is_owned(self) -> bool:
        owned: bool = self._lock._is_owned()
        return owned

    def _release_save(self) -> Any:
        depth = self._depth()
        tokens.unlocking(self._token, depth)
        return self._lock._release_save(), depth

    def _acquire_restore(self, state: Any) -> None:
        saved, depth = state
        self._lock._acquire_restore(saved)
        tokens.locked(self._token, depth)

    def _depth(self) -> int:
        counted = getattr(self._lock, "_recursion_count", None)  # from Python 3.12 on
        return int(counted()) if counted is not None else int(repr(self._lock).split("count=")[1].split()[0])

    def _recursion_count(self) -> int:
        return self._depth() if self._lock._is_owned() else 0

    def __reduce__(self) -> Any:
        raise TypeError("cannot pickle '_thread.RLock' object")

    def _at_fork_reinit(self) -> None:
        self._lock._at_fork_reinit()

    def __repr__(self) -> str:
        return repr(self._lock)


class RecordedSimpleQueue(queue.SimpleQueue["Any"]):
    """A `queue.SimpleQueue` that records."""

    _token: int

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """As the plain queue's."""
        tokens.releasing(self.name())
        super().put(item, block, timeout)

    def put_nowait(self, item: Any) -> None:
        """As the plain queue's."""
        self.put(item)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """As the plain queue's."""
        item = super().get(block, timeout)
        tokens.acquired(self.name())
        return item

    def get_nowait(self) -> Any:
        """As the plain queue's."""
        return self.get(False)

    def name(self) -> int:
        """What records call it."""
        # Made at first use: two threads that come here at once must agree.
        name: int = self.__dict__.setdefault("_token", tokens.new_private())
        return name
