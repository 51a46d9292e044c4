"""Lock, RLock, Semaphore, BoundedSemaphore, Condition, Event and Barrier, with multiprocessing's names and signatures.

Each is a few words of an arena (see `_store`) that every process maps; the native module works on them with atomic
instructions and sleeps on shared futexes, so an operation that need not wait makes no system call. The same classes
serve threads when their arena is private to the process. They can be pickled at any time.

What differs from multiprocessing:

- A Lock, RLock or Condition knows its holder. If the holder's process dies, one of those who wait takes the lock over
  and is told by an `AbandonedLockWarning`: what the lock guards may be half-done. With a filter that turns the
  warning into an error, the lock is released again before the error is raised. A permit that was taken by `with
  semaphore:` passes on in the same way; one taken by `acquire()` is nobody's, as in multiprocessing.
- Made with `on_abandoned="raise"`, each keeps everybody out instead, until a block `with lock.repair()` has ended well.
- A Condition is exact: `notify(n)` ends the wait of the `n` threads that have waited longest, and of no others. What
  was given to a waiter that has died passes on to the next.
- A Barrier breaks when a party dies while it waits there.

Who waits looks every 8 ms whether those live for whom it waits.

Dropped: building Event and Condition out of semaphores, as multiprocessing does. An Event took seven operations; a
Condition's `notify` waited for its waiters to wake, and one killed in between stopped it.

Blocking calls release the GIL, are woken by the release they wait for, and look after signals at least ten times a
second, so Ctrl-C ends them. Timeouts are seconds; None is for ever, a negative one is 0.
"""

from __future__ import annotations

import threading
import time

from . import _native
from ._owner import Ownable, describe_owner, raises
from ._store import INSIDE, MadeByNew, arena_of, keep_in_flight, on_disk

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ._owner import OnAbandoned
    from .statistics import BarrierStatistics, ConditionStatistics, EventStatistics, LockStatistics, SemaphoreStatistics

__all__ = [
    "Barrier",
    "BoundedSemaphore",
    "Condition",
    "Event",
    "Lock",
    "RLock",
    "SemLock",
    "Semaphore",
    "arena_of",
]

RECURSIVE_MUTEX, SEMAPHORE = 0, 1  # kinds of `SemLock`, as multiprocessing numbers them
SEM_VALUE_MAX = 2**31 - 1  # as multiprocessing has it on Linux


class SemLock(Ownable, MadeByNew):
    """What locks and semaphores have in common: the names of multiprocessing's class, and of its inner `_semlock`, that
    other packages use (concurrent.futures, loky, the standard library's own queues)."""

    __slots__ = ()

    kind: int = SEMAPHORE
    maxvalue: int = 1

    @property
    def _semlock(self) -> Any:
        return self

    @property
    def handle(self) -> int:
        """Where in the arena it lies (a descriptor or an address in multiprocessing)."""
        return self.address[0]

    def _is_zero(self) -> bool:
        return self._get_value() == 0

    def _get_value(self) -> int:
        return 0 if self.locked() else 1  # type: ignore[attr-defined]


async def _acquire_async(self: Any, timeout: float | None = None) -> bool:
    """In asyncio: as `acquire`, without blocking the loop. It asks again every 1 to 50 ms, so it is less prompt."""
    from ._waiting import acquire

    return await acquire(self, timeout)


def _describe_waiters(waited_for: Any) -> str:
    waiters = waited_for.statistics().waiters
    return f", waiters={waiters}" if waiters else ""


class Lock(_native.Lock, SemLock):
    """A lock for threads of any process. It may be released by another thread or process than acquired it.

    `acquire(block=True, timeout=None)` is True if the lock is the caller's. It waits until the holder releases it or
    dies; in the second case it warns with AbandonedLockWarning or, with `on_abandoned="raise"`, raises LockAbandoned
    (see `repair`). `release()` raises ReleaseError, a ValueError, if the lock is free.

    With `path` or `name` it is everybody's who opens that: see docs/guides/disk.md.
    """

    __slots__ = ()

    def __new__(
        cls,
        *,
        on_abandoned: OnAbandoned = "warn",
        path: Any = None,
        name: str | None = None,
        ctx: Any = None,
        arena: _native.Arena | None = None,
        address: tuple[int, int] | None = None,
    ) -> Lock:
        if path is not None or name is not None:
            return on_disk("locks").open_lock(path, name, on_abandoned)  # type: ignore[no-any-return]
        return super().__new__(cls, arena_of(ctx, arena), raises=raises(on_abandoned), address=address)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}(owner={describe_owner(self.owner)}{_describe_waiters(self)})>"

    acquire_async = _acquire_async

    def _count(self) -> int:
        return self.statistics().count

    def statistics(self) -> LockStatistics:
        """Holder, waiters and counters. Never blocks."""
        from .statistics import LockStatistics

        return LockStatistics(**super().statistics())


class RLock(_native.RLock, SemLock):
    """A lock that its holder, a thread, may acquire again; it is free after as many releases.

    `acquire(block=True, timeout=None)`, `path` and `name` are as for Lock. `release()` raises NotOwner, an
    AssertionError, in any other thread.
    """

    __slots__ = ()
    kind = RECURSIVE_MUTEX

    def __new__(
        cls,
        *,
        on_abandoned: OnAbandoned = "warn",
        path: Any = None,
        name: str | None = None,
        ctx: Any = None,
        arena: _native.Arena | None = None,
        address: tuple[int, int] | None = None,
    ) -> RLock:
        if path is not None or name is not None:
            return on_disk("locks").open_rlock(path, name, on_abandoned)  # type: ignore[no-any-return]
        return super().__new__(cls, arena_of(ctx, arena), raises=raises(on_abandoned), address=address)

    def __repr__(self) -> str:
        count = str(self.count) if self._is_mine() or not self.locked() else "nonzero"
        return f"<{type(self).__name__}({describe_owner(self.owner)}, {count}{_describe_waiters(self)})>"

    def _count(self) -> int:
        return self.count

    def statistics(self) -> LockStatistics:
        """Holder, waiters and counters. Never blocks."""
        from .statistics import LockStatistics

        return LockStatistics(**super().statistics())


class Semaphore(_native.Semaphore, SemLock):
    """A count of permits. `acquire` takes one, and waits while there is none; `release(n=1)` adds `n` and wakes as
    many.

    A permit taken by `with` is the process's: if that dies, it goes back, and who gets it is told as for a Lock. One
    taken by `acquire` is nobody's, since anybody may release it: it stays taken. (So do those of `with` where 64 other
    living processes have taken some.) Raises ValueError for a negative value.
    """

    __slots__ = ()

    def __new__(
        cls,
        value: int = 1,
        *,
        on_abandoned: OnAbandoned = "warn",
        ctx: Any = None,
        arena: _native.Arena | None = None,
        address: tuple[int, int] | None = None,
    ) -> Semaphore:
        most = value if issubclass(cls, BoundedSemaphore) else SEM_VALUE_MAX
        return super().__new__(cls, arena_of(ctx, arena), value, most, raises=raises(on_abandoned), address=address)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}(value={self.get_value()}{_describe_waiters(self)})>"

    def __init__(self, value: int = 1, **where: Any) -> None:
        """Of the value that `__new__` was given. Raises: TypeError for another, from a subclass's own constructor."""
        if value != self.get_value():
            raise TypeError(f"{type(self).__name__}.__new__ has to be given the value as well, {value}")

    @property
    def maxvalue(self) -> int:  # type: ignore[override]
        """The value it cannot exceed."""
        return self.maximum

    def locked(self) -> bool:
        """Whether `acquire` would have to wait."""
        return self.get_value() == 0

    acquire_async = _acquire_async
    _get_value = _native.Semaphore.get_value

    def statistics(self) -> SemaphoreStatistics:
        """Value, maximum and waiters. Never blocks."""
        from .statistics import SemaphoreStatistics

        return SemaphoreStatistics(**super().statistics())


class BoundedSemaphore(Semaphore):
    """A semaphore whose `release` raises ReleaseError, a ValueError, rather than pass the initial value."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}(value={self.get_value()}, maxvalue={self.maximum}{_describe_waiters(self)})>"


class Event(_native.Event, MadeByNew):
    """A flag. `wait(timeout=None)` blocks until `set()`, and is True unless the timeout came first.

    Whoever waits when it is set is let go, even if `clear()` follows at once.
    """

    __slots__ = ()

    def __new__(
        cls, *, ctx: Any = None, arena: _native.Arena | None = None, address: tuple[int, int] | None = None
    ) -> Event:
        return super().__new__(cls, arena_of(ctx, arena), address=address)

    def __repr__(self) -> str:
        state = "set" if self.is_set() else "unset"
        return f"<{type(self).__qualname__} at {id(self):#x} {state}{_describe_waiters(self)}>"

    async def wait_async(self, timeout: float | None = None) -> bool:
        """In asyncio: as `wait`, without blocking the loop."""
        from ._waiting import event_wait

        return await event_wait(self, timeout)

    def statistics(self) -> EventStatistics:
        """Flag, count and waiters. Never blocks."""
        from .statistics import EventStatistics

        return EventStatistics(**super().statistics())


class _Count(int):
    """One of the counters that multiprocessing builds a Condition of, as far as it has a meaning here."""

    get_value = int.__int__


def _reopen(cls: Any, arguments: tuple[Any, ...], arena: _native.Arena, address: tuple[int, int]) -> Any:
    """In the receiver: an object that, besides its place, needs what its constructor was given."""
    return cls.__new__(cls, *arguments, arena=arena, address=address)


class Condition(_native.Condition, Ownable, MadeByNew):
    """A place to wait for a change of what a lock guards; `lock` is a Lock or RLock, by default an RLock of its own.

    `wait(timeout=None)` releases the lock however often it was acquired, blocks until `notify` chooses it, and
    acquires the lock again; False if the timeout came first. `notify(n=1)` lets go the `n` that have waited longest.
    All three raise NotOwner, an AssertionError, unless the calling thread holds the lock; `wait` raises
    TooManyWaiters beyond 240 of them. Where the lock's `on_abandoned` is "raise", `wait` raises LockAbandoned with the
    lock held, as it always ends; a release leaves it abandoned.
    """

    __slots__ = ()

    def __new__(
        cls,
        lock: Lock | RLock | None = None,
        *,
        on_abandoned: OnAbandoned = "warn",
        ctx: Any = None,
        arena: _native.Arena | None = None,
        address: tuple[int, int] | None = None,
    ) -> Condition:
        arena = arena_of(ctx, arena)
        own = lock is None
        if lock is None:
            lock = RLock(on_abandoned=on_abandoned, arena=arena)
        elif raises(on_abandoned):
            raise ValueError("the lock says what becomes of whoever finds its holder dead: give on_abandoned to it")
        self = super().__new__(cls, arena, lock, address=address)
        if own:
            _native.serve_as(lock, INSIDE, self.address[0])
        return self

    def __repr__(self) -> str:
        return f"<{type(self).__name__}({self.lock!r}, {self.statistics().waiters})>"

    @property
    def _lock(self) -> Any:
        return self.lock

    _owned = _lock

    @property
    def _sleeping_count(self) -> _Count:
        return _Count(self.statistics().waiters)

    @property
    def _woken_count(self) -> _Count:
        return _Count(0)  # `notify` takes whom it wakes off the list itself

    _wait_semaphore = _woken_count

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        """Wait until `predicate()` is true, calling it with the lock held after each notification. Its last value.

        That is a false one when `timeout` seconds passed first (None: for ever). Raises: as `wait`; what it raises.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while not (result := predicate()):
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                break
            self.wait(left)
        return result

    def statistics(self) -> ConditionStatistics:
        """Waiters and counter. Never blocks."""
        from .statistics import ConditionStatistics

        return ConditionStatistics(**super().statistics())

    def __reduce__(self) -> tuple[Any, ...]:
        keep_in_flight(self)
        return _reopen, (type(self), (self.lock,), self.arena, self.address)


class Barrier(_native.Barrier, MadeByNew, threading.Barrier):
    """A meeting point: `wait` blocks until `parties` threads of any process have called it.

    The last to arrive calls `action()` before the others go on. `timeout` (seconds) is the default for `wait`. The
    barrier breaks, for all who wait and all who come, when a wait times out, the action raises, somebody calls
    `abort()` or a party dies while it waits; `reset()` makes it whole.
    """

    _action: Callable[[], Any] | None
    _timeout: float | None

    def __new__(
        cls,
        parties: int,
        action: Callable[[], Any] | None = None,
        timeout: float | None = None,
        *,
        ctx: Any = None,
        arena: _native.Arena | None = None,
        address: tuple[int, int] | None = None,
    ) -> Barrier:
        self = super().__new__(cls, arena_of(ctx, arena), parties, address=address)
        self._action = action
        self._timeout = timeout
        return self

    def __repr__(self) -> str:
        state = "broken" if self.broken else f"waiters={self.n_waiting}/{self.parties}"
        return f"<{type(self).__qualname__} at {id(self):#x}: {state}>"

    def wait(self, timeout: float | None = None) -> int:
        """Arrive and wait for the others. Gives a number from 0 to parties - 1, another for each.

        Raises BrokenBarrierError (also a threading.BrokenBarrierError) when the barrier is or becomes broken or is
        reset, or after `timeout` seconds, which breaks it; its `pid` and `name` say whose death did, if one did. In the
        last to arrive, raises what the action raises.
        """
        return self.pass_through(self._action, self._timeout if timeout is None else timeout)

    def statistics(self) -> BarrierStatistics:
        """Parties, waiters and state. Never blocks."""
        from .statistics import BarrierStatistics

        return BarrierStatistics(**super().statistics())

    def __reduce__(self) -> tuple[Any, ...]:
        keep_in_flight(self)
        arguments = 1, self._action, self._timeout  # the number of parties is in the arena; any will do
        return _reopen, (type(self), arguments, self.arena, self.address)
