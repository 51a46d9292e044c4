"""What the race detector is told of a run: synchronisation and accesses, as records of the recorder (`_recording`).

This file gives the records of kinds 64 to 95 their meaning; `hooks` and `crates/python/src/check.rs` write them.

| kind | object | a, b | meaning |
| --- | --- | --- | --- |
| RELEASE | anything | | what this thread did so far is before whatever a later ACQUIRE of the object begins |
| ACQUIRE | the same | | |
| LOCK, UNLOCK | a lock | `b`: how many times, 0 for once | as ACQUIRE and RELEASE, and it is held in between |
| JOINED | | `b`: pid | that process has ended, and this thread knows |
| READ, WRITE | shared memory | see below | an access |
| UPDATE | shared memory | see below | read and write in one step (`Value.add`) |
| UNSEEN | | | this process synchronises by means that are not followed (`site`: which): nothing is said of it |

Of an access `a` has the first byte in its upper half and the byte after the last in its lower one, and `b` is the lock
that the access took for itself, 0 for none.

A releasing operation takes its ticket before it releases, an acquiring one after, and so does a read that may have
waited for a change; other accesses carry none and stand behind the last ticket of their thread. So in the order
"ticket" whatever happens before something else comes first.

Much is left out, and only what leads to silence: see `crates/python/src/check/memory.rs`.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from .._recording import Record

__all__ = [
    "ACQUIRE",
    "AGAIN",
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
    "guard_of",
    "key_of",
    "span_of",
]

RELEASE, ACQUIRE, LOCK, UNLOCK, JOINED = range(64, 69)
READ, WRITE, UPDATE, UNSEEN = range(72, 76)

RAW = 1  # flag of an access: it did not look at the object's own lock
SLICE = 2  # flag of an access: several items in one step
AGAIN = 4  # flag of a read: one that was left out, and is written for the sake of what follows
PRIVATE = 1 << 15  # flag of any record: the object is one process's own

Key = tuple[int, int, int]


def span_of(record: Record) -> tuple[int, int]:
    """The first byte of an access, and the one after the last."""
    return record.a >> 32, record.a & 0xFFFF_FFFF


def guard_of(record: Record) -> Key | None:
    """The lock that an access took for itself."""
    return (record.arena, record.b, record.pid if record.flags & PRIVATE else 0) if record.b else None


def key_of(record: Record) -> Key:
    """What names a record's object in the whole family."""
    return record.arena, record.object, record.pid if record.flags & PRIVATE else 0
