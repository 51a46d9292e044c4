"""Workers that are to be started, and were not, because the system gives no process, descriptor or memory just now.

That passes as a rule: other programs end, and so do workers. So a pool that has begun goes on with the workers that
live and tries again, sooner at first. Only when none lives and none could be started for a while it is of no use.
"""

from __future__ import annotations

from time import monotonic

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from .engine import Engine

__all__ = ["PATIENCE_S", "Vacancies"]

PAUSE_S = 0.05, 1.0  # between two tries, the first and the longest; arbitrary
PATIENCE_S = 2.0  # how long nobody may be at work; arbitrary


class Vacancies:
    """Numbers of workers to be started."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._numbers: list[int] = []
        self._pause, self._again = PAUSE_S[0], 0.0  # before the try after the next, and when that is
        self._since: float | None = None  # when starting began to fail

    def __contains__(self, number: int) -> bool:
        return number in self._numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def add(self, number: int) -> None:
        """A worker is to be started."""
        if number not in self._numbers:
            self._numbers.append(number)

    def fill(self) -> Exception | None:
        """Start what is to be started, if it is time to try. An error means that nobody is at work, for too long.

        One thread at a time may call it.
        """
        now = monotonic()
        while self._numbers and now >= self._again:
            number = self._numbers.pop(0)  # first: a signal's handler may come here too
            try:
                self._engine.start(number)
            except BaseException as error:
                if number not in self._engine.workers:
                    self._numbers.insert(0, number)
                if not isinstance(error, OSError | EOFError | MemoryError):  # EOFError: the fork server could not
                    raise
                self._since = now if self._since is None else self._since
                self._again, self._pause = now + self._pause, min(2 * self._pause, PAUSE_S[1])
                return error if not self._engine.workers and now - self._since >= PATIENCE_S else None
            self._pause, self._since = PAUSE_S[0], None
        return None
