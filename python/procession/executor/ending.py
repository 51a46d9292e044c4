"""What becomes of executors that nobody shut down when their process ends, or is forked.

At the interpreter's end everything that was submitted is done first, as with the standard executor, unless Ctrl-C is
what ends it. That has to happen before threads are joined: exit handlers come later, when no thread can be started any
more.
"""

from __future__ import annotations

import threading
import weakref

from .._bootstrap import at_fork_in_child
from .._interrupts import was_interrupted

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from .crew import Crew

__all__ = ["crews", "exiting", "finish", "finish_all"]

crews: weakref.WeakSet[Crew] = weakref.WeakSet()  # of this process
exiting: bool = False  # the interpreter is ending


def _disown() -> None:
    """In a forked child: the parent's executors are not its own."""
    for crew in list(crews):
        crew.disown()
    crews.clear()


at_fork_in_child(_disown)


def finish(crew: weakref.ref[Crew]) -> None:
    """Before a child of multiprocessing ends its own children."""
    if (alive := crew()) is not None:
        if was_interrupted():
            alive.end_workers("kill")
        alive.shut_down(True)


def finish_all() -> None:
    """At the interpreter's end. May be called twice."""
    global exiting
    exiting = True
    ours = list(crews)
    for crew in ours:
        if was_interrupted():
            crew.end_workers("kill")
        crew.wake()
    for crew in ours:
        crew.join()


try:
    threading._register_atexit(finish_all)  # type: ignore[attr-defined]
except RuntimeError:  # imported while the interpreter ends
    exiting = True
