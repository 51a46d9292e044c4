"""What the race detector is told of a run: synchronisation and accesses, as records of the recorder (`_recording`).

This file gives the records of kinds 64 to 95 their meaning; `hooks` and `crates/python/src/check` write them.

| kind | object | a, b | meaning |
| --- | --- | --- | --- |
| RELEASE | anything | | what this thread did so far is before whatever a later ACQUIRE of the object begins |
| ACQUIRE | the same | | |
| LOCK, UNLOCK | a lock | | as ACQUIRE and RELEASE, and the lock is held in between |
| JOINED | | pid | that process has ended, and this thread knows |
| READ, WRITE | shared memory | first byte, byte after the last | an access; flags below |
| UPDATE | the same | the same | read and write in one step (`Value.add`) |
| GUARD | shared memory | its lock's object; its size | which lock the object's accesses take |
| UNSEEN | | | this process synchronises by means that are not followed (`site`: which): nothing is said of it |

A releasing operation takes its ticket before it releases, an acquiring one after; accesses carry none and stand behind
the last ticket of their thread. So in the order "ticket" whatever happens before something else comes first.

An access that the thread has made before, at the same place in the program, to the same bytes, with the same locks
held and with no synchronisation since, is written once (see `crates/python/src/check`).
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from .._recording import Record

__all__ = [
    "ACQUIRE",
    "GUARD",
    "JOINED",
    "LOCK",
    "PRIVATE",
    "RAW",
    "READ",
    "RELEASE",
    "SLICE",
    "UNLOCK",
    "UNSEEN",
    "UPDATE",
    "WRITE",
    "key_of",
]

RELEASE, ACQUIRE, LOCK, UNLOCK, JOINED = range(64, 69)
READ, WRITE, UPDATE, GUARD, UNSEEN = range(72, 77)

RAW = 1  # flag of an access: it did not look at the object's own lock
SLICE = 2  # flag of an access: several items in one step
PRIVATE = 1 << 15  # flag of any record: the object is one process's own

Key = tuple[int, int, int]


def key_of(record: Record) -> Key:
    """What names a record's object in the whole family."""
    return record.arena, record.object, record.pid if record.flags & PRIVATE else 0
