"""Who holds which lock where it should not: at the end of a process, or while it is forked.

A lock that is taken with `with` is given back by it, so only plain calls of `acquire` are looked at: with the lock of
this package they are kept until `release`, and what is left when a child ends is told. Another process may release it:
then it was handed over, and the analysis says nothing.

Of threading's locks those are looked for that are held when a child is forked, in the user's globals and their objects:
in the child nobody will ever release them.
"""

from __future__ import annotations

import _thread
import os
import sys
import threading
import time

from .. import synchronize
from .hooks.replacing import replace
from .hooks.threads import RecordedLock, RecordedRLock
from .journal import stack, tell
from .snapshots import attributes, modules

TYPE_CHECKING = False  # `typing` is slow to import, and every process of a checked program imports this
if TYPE_CHECKING:
    from typing import Any

__all__ = ["locked_now", "other_threads", "plain", "tell_held", "watch"]

_held: dict[tuple[int, int], tuple[float, list[str]]] = {}  # by address: time and stack of the acquisition
_RLOCK: Any = _thread.RLock


def watch() -> None:
    """Keep in mind what is acquired by name, in this process and its forked children."""
    for cls in (synchronize.Lock, synchronize.RLock):
        _wrap(cls)
    os.register_at_fork(after_in_child=_held.clear)


def _wrap(cls: Any) -> None:
    acquire, release = cls.acquire, cls.release

    def watched_acquire(self: Any, block: bool = True, timeout: float | None = None) -> bool:
        done: bool = acquire(self, block, timeout)
        if done:
            _held[tuple(self.address)] = time.time(), stack()
        return done

    def watched_release(self: Any) -> None:
        address, owner = tuple(self.address), self.owner
        if owner is not None and owner.pid != os.getpid():
            tell("released", address=list(address))
        release(self)
        if not (cls is synchronize.RLock and self._is_mine()):
            _held.pop(address, None)

    replace(cls, acquire=watched_acquire, release=watched_release)


def tell_held() -> None:
    """At the end of a process: the locks that it still holds."""
    for address, (since, where) in list(_held.items()):
        tell("held", address=list(address), since=since, stack=where)


# Threading's locks


def locked_now() -> list[dict[str, Any]]:
    """The user's threading locks that are held, by file and dotted name; a re-entrant one not if this thread has it."""
    found = []
    for file, module in modules().items():
        for name, value in list(vars(module).items()):
            for dotted, lock in [(name, value), *_inner(name, value)]:
                if _safely_locked(lock):
                    found.append({"file": file, "name": dotted, "kind": type(plain(lock)).__name__})
    return found


def other_threads() -> list[dict[str, Any]]:
    """Where the other threads of this process are: name and stack."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    mine = threading.get_ident()
    return [
        {"name": names.get(ident, str(ident)), "stack": stack(frame)}
        for ident, frame in sys._current_frames().items()
        if ident != mine
    ]


def _inner(name: str, value: Any) -> list[tuple[str, Any]]:
    try:
        return [(f"{name}.{key}", part) for key, part in attributes(value).items()]
    except Exception:
        return []


def _safely_locked(lock: Any) -> bool:
    try:
        return _is_locked(lock)
    except Exception:  # a proxy that nothing is behind
        return False


def plain(lock: Any) -> Any:
    """The lock of `threading` that one of ours stands for (see `hooks.threads`); anything else as it is."""
    return lock._lock if isinstance(lock, (RecordedLock, RecordedRLock)) else lock


def _is_locked(lock: Any) -> bool:
    if isinstance(lock, threading.Condition):
        lock = lock._lock  # type: ignore[attr-defined]
    lock = plain(lock)
    if isinstance(lock, _thread.LockType):
        return lock.locked()
    if isinstance(lock, _RLOCK):
        return repr(lock).startswith("<locked") and not lock._is_owned()
    return False
