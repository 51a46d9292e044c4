"""The right to read answers, which one thread at a time has."""

from __future__ import annotations

import threading

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from typing import Any

__all__ = ["CHECK_S", "Lead"]

CHECK_S = 0.02  # how often who has it looks whether a worker has ended, or went beyond a limit


class Lead:
    """A lock that knows its thread, so that a signal's handler which raises cannot leave it held for ever.

    Between the taking of a lock and the `try` that gives it back, and in the `finally` before that, a handler may run.
    Who takes this one calls `give_back` at last, however often it is held. And a handler that waits for a result, in
    the middle of its own thread's reading, gets it: the same thread may lead again.
    """

    __slots__ = ("acquire", "is_mine", "release")

    def __init__(self) -> None:
        lock: Any = threading.RLock()
        self.acquire: Any = lock.acquire
        self.release: Any = lock.release
        self.is_mine: Any = lock._is_owned

    def give_back(self) -> None:
        """Let go of it, if this thread has it."""
        while self.is_mine():
            self.release()
