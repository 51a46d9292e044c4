"""Who holds a lock, and what is to be done when he died with it.

`Owner` is what `lock.owner` gives. `Repair` is the one way to a lock (or semaphore) made with `on_abandoned="raise"`
whose holder died: every other acquisition raises LockAbandoned until a block `with lock.repair()` has ended well. So
the state that the lock guards is never used by one who does not know, and whoever repairs it cannot forget to say so,
nor hold up the others if he fails or dies: then it is the next one's to repair.

Dropped: to raise with the lock held, as POSIX's robust mutexes and Rust's poisoned ones do. In Python `with lock:`
calls no `__exit__` when `__enter__` raises, so who does not catch the error would keep the lock for ever.
"""

from __future__ import annotations

import os
import threading
from multiprocessing import process

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from typing import Any, Literal

    from .errors import LockAbandoned

    OnAbandoned = Literal["warn", "raise"]

__all__ = ["Ownable", "Owner", "Repair", "describe_owner", "raises"]


class Owner(tuple[int, int]):
    """The holder of a lock: process id and thread ident, as a pair. A moment's view."""

    name: str | None
    """What the process was called when it started (its first 44 bytes); None when it never said."""
    since: float | None
    """When it acquired the lock, `time.time()` rounded down to a second; None when that is not known."""
    site: str | None
    """The line that acquired it, `"/full/path/bank.py:12 in deposit"`: known where deadlocks are looked for."""

    def __new__(
        cls, pid: int, thread: int, name: str | None = None, since: float | None = None, site: str | None = None
    ) -> Owner:
        self = super().__new__(cls, (pid, thread))
        self.name, self.since, self.site = name, since, site
        return self

    @property
    def pid(self) -> int:
        """Process id."""
        return self[0]

    @property
    def thread(self) -> int:
        """Thread ident, as `threading.get_ident()` there; 0 when it is no longer known."""
        return self[1]

    def describe(self) -> str:
        """As multiprocessing's locks name their holder."""
        if self.pid != os.getpid():
            return "SomeOtherProcess"
        if self.thread != threading.get_ident():
            return "SomeOtherThread"
        name = process.current_process().name
        here = threading.current_thread().name
        return name if here == "MainThread" else f"{name}|{here}"

    def __repr__(self) -> str:
        return f"Owner(pid={self.pid}, thread={self.thread}, name={self.name!r}, since={self.since})"

    def __getnewargs__(self) -> Any:
        return self.pid, self.thread, self.name, self.since, self.site


def raises(on_abandoned: str) -> bool:
    """Whether a dead holder raises. Raises: ValueError for anything but "warn" and "raise"."""
    if on_abandoned not in ("warn", "raise"):
        raise ValueError(f"on_abandoned must be 'warn' or 'raise', not {on_abandoned!r}")
    return on_abandoned == "raise"


class Ownable:
    """What has a holder that may die: locks, and semaphores, and conditions by their locks."""

    __slots__ = ()

    @property
    def _owned(self) -> Any:
        return self

    @property
    def on_abandoned(self) -> OnAbandoned:
        """What becomes of whoever finds the holder dead: "warn" or "raise"."""
        return "raise" if self._owned._raises else "warn"

    def repair(self) -> Repair:
        """For `with`: take it whatever a dead holder left, and let the others in again afterwards.

        Gives the LockAbandoned that says who died, or None if there is nothing to repair. Blocks as `acquire()`. If the
        block raises, or this process dies in it, the next one is told as well.
        """
        return Repair(self._owned)


def describe_owner(owner: Owner | None) -> str:
    """The holder, or that there is none, as multiprocessing's locks say it."""
    return "None" if owner is None else owner.describe()


class Repair:
    """The lock (or a permit) taken whatever a dead holder left; what `repair()` gives.

    Entering blocks as `acquire` does and tells what there is to repair: a LockAbandoned, or None if nothing. When the
    block ends, the lock is released, and free for all; after an exception, and after a death in the block, the next
    one is told as well.
    """

    def __init__(self, lock: Any) -> None:
        self._lock = lock
        self._found: LockAbandoned | None = None
        self._token = 0

    def __enter__(self) -> LockAbandoned | None:
        self._found, self._token = self._lock._begin_repair()
        return self._found

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self._lock._end_repair(self._token, kind is None or self._found is None)
