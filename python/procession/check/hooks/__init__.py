"""Listening for the race detector: what a process of a checked run records besides its work.

`watch` puts recording methods and functions in the place of plain ones, for the life of the process:

- the native ones on Lock, RLock and Value; Array, queues, pipes and pools ask for themselves
(`crates/python/src/check.rs`); - here, those of what is called less often or belongs to the standard library:
  `processes` (start, end, fork), `threads` (`threading` and `queue`), `objects` (Event, Condition, Semaphore, Barrier,
  managers), `pools` (who learns of a result) and `raw` (ctypes objects).

What cannot be followed: memory that was exported as a buffer (numpy views, `memoryview`, `SharedMemory.buf`), so
nothing is said of it; locks of `threading` made before `watch`; synchronisation by files, sockets, plain descriptors
and signals. Of a process whose program is seen to use such (`unseen`) nothing is said at all.
"""

from __future__ import annotations

from ... import _native

__all__ = ["watch"]

_CHECK = 2
_is_watching = False


def watch() -> None:
    """Record from now on, once, if this process takes part in a recording for the race detector."""
    global _is_watching
    if _is_watching or not _native.recording() & _CHECK:
        return
    _is_watching = True
    from . import objects, pools, processes, raw, threads, unseen

    _native.watch()
    for part in (threads, processes, objects, pools, raw, unseen):
        part.watch()
