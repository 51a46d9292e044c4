"""What the parent can do to a worker process that runs: see where it is, weigh it, stop it, end it.

A worker is stopped by SIGSTOP, which nothing can hold up, and stands still when the kernel says so.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

from .. import _native
from .._stat import state_of
from .state import CELLS, CLAIM, ITEM, RETIRE, SINCE

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    import threading
    from typing import Any

    from .reports import Reports

__all__ = ["TERMINATE_S", "Control"]

TERMINATE_S = 1.0  # a worker asked to end (SIGTERM) and still there after this is killed
LAST_WORDS_S = 0.5  # how long one that is ended may take to say where it is (a millisecond, but for a busy machine)
STOP_S = 1.0  # how long a worker may take to stand still: one that waits for a disk cannot


class Control:
    """A part of the engine of processes."""

    workers: dict[int, Any]
    claims: Any
    reports: Reports
    ending: threading.RLock  # held by who waits for a worker's end, and by who gives back what is left of it
    inherited: dict[int, int]  # by worker: bytes of its parent's memory that it began with, as its own

    def at(self, number: int) -> tuple[int, ...]:
        """Where a worker is: its claim, the item, since when."""
        cells, first = self.claims, CELLS * number
        return cells[first + CLAIM], cells[first + ITEM], cells[first + SINCE]

    def memory(self, number: int) -> int | None:
        """Bytes of memory that are a worker's own, without what it inherited from a fork; None where nobody knows."""
        size = _native.own_memory(self.workers[number].pid)
        return None if size is None else max(0, size - self.inherited.get(number, 0))

    def retire(self, number: int) -> None:
        """Have a worker end after the task it is at."""
        self.claims[CELLS * number + RETIRE] = 1

    def report(self, number: int) -> str:
        """What a worker wrote before it ended."""
        return self.reports.take(number)

    def stop(self, number: int) -> bool:
        """Have a worker stand still. False: it has ended."""
        try:
            worker = self.workers[number]
            if worker.exitcode is not None:
                return False
            os.kill(worker.pid, signal.SIGSTOP)
        except (LookupError, ProcessLookupError):
            return False
        end = time.monotonic() + STOP_S
        while (state := state_of(worker.pid)) not in "TtZX" and time.monotonic() < end:
            time.sleep(0.0005)
        return state not in "ZX"

    def go_on(self, number: int) -> None:
        """Let a worker that was stopped go on."""
        with suppress(LookupError, ProcessLookupError):
            os.kill(self.workers[number].pid, signal.SIGCONT)

    def slay(self, number: int) -> None:
        """End a worker that stands still. It writes down where it is, if it can, and does nothing else any more."""
        with self.ending, suppress(LookupError, ProcessLookupError):
            worker = self.workers[number]
            if self.reports.ask(number, worker.pid):
                os.kill(worker.pid, signal.SIGCONT)
                worker.join(LAST_WORDS_S)
            worker.kill()
            worker.join(TERMINATE_S)
