"""Who has seen what of whom: vector clocks over the threads of a family, and the locks that each thread holds.

Every thread counts its *epochs*: it begins a new one whenever it releases something. A thread's clock tells, for each
other thread, up to which epoch it has seen it, directly or through others (Fidge 1988, Mattern 1989). An access at
epoch `e` of thread `u` happens before one of thread `t` exactly if `t`'s clock has at least `e` for `u` (FastTrack,
Flanagan and Freund 2009, keeps such pairs instead of whole clocks, and so do we).

Two clocks are kept for each thread. The *full* one follows everything. The *strict* one leaves out what only locks
order: whether one critical section came before another is chance, and another day it is the other way round
(O'Callahan and Choi 2003 call the two relations hybrid). A lock released by another thread than acquired it is a
signal, and counts in both.

Clocks are never changed once another thing refers to them, so keeping one costs nothing.
"""

from __future__ import annotations

from . import events

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .._recording import Record
    from .events import Key

    Clock = Mapping[int, int]

__all__ = ["Held", "State", "Thread"]

NOTHING: Clock = {}


def joined(one: Clock, other: Clock) -> Clock:
    """What is known by either. The first itself if the second adds nothing."""
    new = [thread for thread, epoch in other.items() if one.get(thread, 0) < epoch]
    if not new:
        return one
    return {**one, **{thread: other[thread] for thread in new}}


class Held:
    """A lock that a thread holds: since where, and which acquisition it is."""

    __slots__ = ("depth", "number", "site")

    def __init__(self, number: int, site: str, depth: int) -> None:
        self.number: int = number
        self.site: str = site
        self.depth: int = depth


class Thread:
    """One thread of one process."""

    __slots__ = ("epoch", "full", "held", "index", "locks", "native", "pid", "sites_of_locks", "strict")

    def __init__(self, index: int, pid: int, native: int) -> None:
        self.index: int = index
        self.pid: int = pid
        self.native: int = native
        self.epoch: int = 1
        self.full: Clock = NOTHING
        self.strict: Clock = NOTHING
        self.held: dict[Key, Held] = {}
        self.locks: tuple[tuple[Key, int], ...] = ()
        """The locks held, each with the number of its acquisition."""
        self.sites_of_locks: tuple[str, ...] = ()

    def acquire(self, full: Clock, strict: Clock) -> None:
        """See what others have released."""
        self.full, self.strict = joined(self.full, full), joined(self.strict, strict)

    def release(self) -> tuple[Clock, Clock]:
        """What others may see from now on; what comes next is in a new epoch."""
        full, strict = {**self.full, self.index: self.epoch}, {**self.strict, self.index: self.epoch}
        self.epoch += 1
        return full, strict


class State:
    """The family's clocks, brought forward record by record in the order of tickets."""

    def __init__(self) -> None:
        self.threads: list[Thread] = []
        self._numbers: dict[tuple[int, int], Thread] = {}
        self._of_pid: dict[int, list[Thread]] = {}
        self._released: dict[Key, tuple[Clock, Clock]] = {}
        self._acquisitions = 0
        self._lockers: dict[Key, Thread] = {}

    def thread(self, record: Record) -> Thread:
        """The one that wrote a record."""
        name = record.pid, record.thread
        thread = self._numbers.get(name)
        if thread is None:
            thread = self._numbers[name] = Thread(len(self.threads), *name)
            self.threads.append(thread)
            self._of_pid.setdefault(record.pid, []).append(thread)
        return thread

    def synchronise(self, record: Record, thread: Thread) -> None:
        """Follow one record of synchronisation."""
        kind, key = record.kind, events.key_of(record)
        if kind == events.RELEASE:
            self._release(key, thread)
        elif kind == events.ACQUIRE:
            thread.acquire(*self._released.get(key, (NOTHING, NOTHING)))
        elif kind == events.LOCK:
            self._lock(key, thread, record.site, max(record.b, 1))
        elif kind == events.UNLOCK:
            self._unlock(key, thread, max(record.b, 1))
        elif kind == events.JOINED:
            self.see(thread, self._of_pid.get(record.b, ()))

    def see(self, thread: Thread, others: Iterable[Thread]) -> None:
        """`thread` has seen all that the others did so far."""
        for other in others:
            if other is not thread:
                thread.acquire(*other.release())

    def _release(self, key: Key, thread: Thread) -> None:
        full, strict = thread.release()
        known = self._released.get(key)
        if known is not None:
            full, strict = joined(known[0], full), joined(known[1], strict)
        self._released[key] = full, strict

    def _lock(self, key: Key, thread: Thread, site: str, depth: int) -> None:
        if key in thread.held:
            thread.held[key].depth += depth
            return
        thread.acquire(*self._released.get(key, (NOTHING, NOTHING)))
        self._acquisitions += 1
        thread.held[key] = Held(self._acquisitions, site, depth)
        self._lockers[key] = thread
        self._count(thread)

    def _unlock(self, key: Key, thread: Thread, depth: int) -> None:
        held = thread.held.get(key)
        if held is not None and held.depth > depth:
            held.depth -= depth
            return
        if held is None:  # acquired by another: a signal
            self._release(key, thread)
            locker = self._lockers.pop(key, None)
            if locker is not None and locker.held.pop(key, None) is not None:
                self._count(locker)
            return
        del thread.held[key]
        self._count(thread)
        strict = self._released.get(key, (NOTHING, NOTHING))[1]
        full, _ = thread.release()
        self._released[key] = joined(self._released.get(key, (NOTHING, NOTHING))[0], full), strict

    def _count(self, thread: Thread) -> None:
        thread.locks = tuple((key, held.number) for key, held in thread.held.items())
        thread.sites_of_locks = tuple(held.site for held in thread.held.values())
