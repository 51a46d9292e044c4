"""A meter joins what is counted with what shows it, and keeps the time between two snapshots.

Whoever waits for the result tells the meter to look (`tell`): that costs a look at the clock, unless it is time. Where
nobody waits, as between two results of an iterator, `ticking` has a thread that does, for displays that are ours.

What a function given by the caller raises leaves `tell` and `end` as it is, and then the meter has ended.
"""

from __future__ import annotations

import os
import threading
from time import monotonic

from .rate import Rate
from .snapshot import Snapshot

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from .displays import Display

    Count: TypeAlias = tuple[int, int, int | None]  # items done, items of these that failed, items in all if known

__all__ = ["Meter"]


class Meter:
    """Of one call. A context manager: leaving it early shows where it stopped."""

    def __init__(
        self, display: Display, title: str, read: Callable[[], Count], known: Callable[[], int] = lambda: 0
    ) -> None:
        """Begins to show. `known` tells how many of those done an earlier run did: they say nothing about the rate."""
        self.display: Display = display
        self._title = title
        self._read = read
        self._known = known
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self.ended: bool = False
        self._began = monotonic()
        self._rate = Rate(self._began)
        self.due: float = self._began + display.interval  # when it is time to tell
        display.begin(self._now())

    def __del__(self) -> None:
        """Whoever had it was interrupted before it could say so."""
        if not getattr(self, "ended", True) and hasattr(self, "due"):
            self.stop()

    def __enter__(self) -> Meter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self.end()
        else:
            self.stop()

    def due_in(self) -> float:
        """Seconds until it is time to tell, 0 if it is."""
        return max(0.0, self.due - monotonic())

    def tell(self) -> None:
        """Show how far it is, if it is time. Raises: what a function given by the caller raises."""
        if monotonic() >= self.due and not self._is_over():
            with self._lock:
                if self._is_over():
                    return
                self.due = monotonic() + self.display.interval
                try:
                    self.display.show(self._now())
                except BaseException:
                    self.stop()  # it may have something to put away
                    raise

    def end(self, completed: bool = True) -> None:
        """Show how it ended: with everything done, or not. A second time: nothing. Raises: as `tell`."""
        if self._is_over():  # in a forked child the lock may be held for ever
            return
        with self._lock:
            if self._is_over():
                return
            now = self._now(ended=completed)
            if completed and now.done < (now.total or 0):
                completed, now = False, self._now()
            self.ended = True
            self.display.end(now, not completed)

    def stop(self) -> None:
        """It ended early, and there is an error on its way that says why: no other takes its place."""
        try:
            self.end(completed=False)
        except Exception:
            self.ended = True

    def _is_over(self) -> bool:
        return self.ended or self._pid != os.getpid()

    def _now(self, *, ended: bool = False) -> Snapshot:
        done, failed, total = self._read()
        now, known = monotonic(), self._known()
        self._rate.feed(now, done - known)
        if ended:
            total = done if total is None else total
            return Snapshot(done, total, failed, now - self._began, self._rate.mean(now), 0.0, self._title, True)
        left = None if total is None else self._rate.left(now, total - known)
        return Snapshot(done, total, failed, now - self._began, self._rate.per_second(now), left, self._title, False)
