"""How fast items come, and when the last one will: from counts at moments, without a clock of its own.

The rate is that of the recent past: items and seconds both fade with age, and their quotient is taken. So it is right
from the first item on (a moving average of rates would begin at nought or at whatever came first), a pause weighs as
much as it lasted, and a burst, as when a chunk is answered at once, does not throw it about. What is recent depends on
how often something comes: some ten arrivals, or ten seconds, whichever is longer.

Between two arrivals the time left counts down, as it does for whoever waits. Only when the next one is overdue does the
silence slow the rate.
"""

from __future__ import annotations

from math import exp

__all__ = ["Rate"]

MEMORY_S = 10.0  # after so long what was counts for 1/e; arbitrary
MEMORY_ARRIVALS = 10


class Rate:
    """Of one run. `began` and every other moment are seconds of the same clock."""

    def __init__(self, began: float) -> None:
        self._began = self._at = began  # of the last arrival
        self._done = 0
        self._arrivals = 0
        self._items = self._seconds = 0.0  # faded

    def feed(self, now: float, done: int) -> None:
        """So many are done by now. Fewer than before: work was lost, and is being done again."""
        new = done - self._done
        if new <= 0 or now <= self._at:
            return
        seconds = now - self._at
        self._arrivals += 1
        memory = max(MEMORY_S, MEMORY_ARRIVALS * (now - self._began) / self._arrivals)
        fading = exp(-seconds / memory)
        self._items = self._items * fading + new
        self._seconds = self._seconds * fading + seconds
        self._done, self._at = done, now

    def per_second(self, now: float) -> float | None:
        """Items a second; None as long as nothing came."""
        if not self._items:
            return None
        overdue = max(0.0, now - self._at - self._interval())
        return self._items / (self._seconds + overdue)

    def mean(self, now: float) -> float | None:
        """Items a second from the beginning on; None as long as nothing came."""
        return self._done / (now - self._began) if self._done and now > self._began else None

    def left(self, now: float, total: int) -> float | None:
        """Seconds until `total` are done; None as long as nothing came."""
        rate = self.per_second(now)
        if rate is None:
            return None
        return max(0.0, (total - self._done) / rate - min(now - self._at, self._interval()))

    def _interval(self) -> float:
        """Seconds within which the next arrival is due."""
        return (self._at - self._began) / self._arrivals if self._arrivals else 0.0
