"""Numbers that name what has no place in shared memory, and the shorthand by which the hooks record."""

from __future__ import annotations

import itertools
import os

from ... import _native
from ..events import ACQUIRE, JOINED, LOCK, RELEASE, UNLOCK

__all__ = ["acquired", "joined", "locked", "named", "new", "new_private", "releasing", "unlocking"]

_record = _native.record_synchronised
_NAME = 2  # the recorder's kind of record for names; flag 1: of a thread


def _numbers() -> itertools.count[int]:
    return itertools.count(int.from_bytes(os.urandom(7), "little") << 6 | 1)


_next = _numbers()
_private = itertools.count(1)


def _renew() -> None:
    global _next
    _next = _numbers()


os.register_at_fork(after_in_child=_renew)


def new() -> int:
    """A number that nothing else in the family has."""
    return next(_next)


def new_private() -> int:
    """A number for something of this process. A forked child's copy is another thing, though it has the same number."""
    return -next(_private)


def releasing(name: object) -> None:
    """This thread is about to let others go on."""
    _record(RELEASE, name)


def acquired(name: object) -> None:
    """This thread has been let go on."""
    _record(ACQUIRE, name)


def locked(name: object, depth: int = 1) -> None:
    """This thread has taken a lock, so many times."""
    _record(LOCK, name, depth)


def unlocking(name: object, depth: int = 1) -> None:
    """This thread is about to give back a lock, so many times."""
    _record(UNLOCK, name, depth)


def joined(pid: int) -> None:
    """This thread has learnt that a process has ended."""
    _record(JOINED, 0, pid)


def named(name: str, *, thread: bool) -> None:
    """What the process, or the calling thread, is called."""
    _native.record(_NAME, label=name, flags=int(thread))
