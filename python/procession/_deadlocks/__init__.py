"""Deadlocks found while the program runs, in one process or between many.

On, it costs each lock taken about a microsecond and each thread that waits a look now and then; off, one load of a
word. It is on or off for a whole family of processes, by a word in their arena. `docs/guides/deadlocks.md` has the
rules.

A thread that has waited for 20 ms looks at the table of waits (`_native.waits`) and at what its entries are about
(`facts`), and whether it is part of a deadlock (`graph`). If so, and if it is the one to be told, it looks once more: a
deadlock counts when every wait in it is the same wait as before, by its number in the table. A thread that sleeps all
the time between cannot have done anything meanwhile, so the second look, made of facts that were read one by one,
is as good as one of a single moment.
"""

from __future__ import annotations

import threading
import time

from .. import _native, _store, _waits
from . import facts, graph, telling
from .telling import Participant, Place

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["Participant", "Place", "detect", "look"]

_AGAIN_S = 0.01  # between the two looks: longer than a thread that was just woken takes to leave the table, as a rule


def detect(on: bool = True) -> None:
    """Look for deadlocks from now on in this program, in all processes of the family, or do not.

    Processes that run already take note of it when they next wait.
    """
    import os

    os.environ[_waits.VARIABLE] = "1" if on else "0"
    for arena in (_store.shared_arena(), _store.private_arena()):
        _store.detect(arena, on)


def look(_arena: _native.Arena, _slot: int) -> None:
    """Called by a thread in the midst of a wait. Raises: DeadlockError, if it is the one to be told of one."""
    pid, ident = _here()
    part, first = _part_of((pid, ident))
    if part is None or first is None:
        return
    waits = _numbers(part, first)
    time.sleep(_AGAIN_S)
    again, second = _part_of((pid, ident))
    if again != part or second is None or _numbers(again, second) != waits:
        return
    error = telling.error(part, (pid, ident), second, facts.process_names())
    telling.leave_deadlock(error)
    raise error


def _here() -> graph.Thread:
    import os

    return os.getpid(), threading.get_ident()


def _part_of(thread: graph.Thread) -> tuple[frozenset[graph.Thread] | None, graph.Facts | None]:
    """The deadlock that a thread is to be told of, and the facts."""
    seen = facts.gather()
    if thread not in seen.waits:
        return None, None
    part = graph.deadlock_of(thread, seen)
    if part is None or graph.raiser(part, seen) != thread:
        return None, None
    return part, seen


def _numbers(part: Collection[graph.Thread], seen: graph.Facts) -> set[object]:
    return {seen.waits[thread].id for thread in part}
