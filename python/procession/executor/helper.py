"""The thread that reads an executor's answers while nobody else does.

Whoever waits in `result` reads answers himself: that is the quick way. But futures also have callbacks, and are waited
for by `as_completed` and by event loops, which read nothing. So there is one helper for each executor that has been
used. It reads, and tells those who wait. When somebody comes to wait in `result` while it reads, it is nudged out of
its wait and gives way; as long as somebody keeps reading it only looks in now and then (`GIVE_WAY_S`). With nothing on
its way it sleeps, and the next `submit` wakes it.
"""

from __future__ import annotations

import threading
from contextlib import suppress

from ..errors import PoolBroken
from ..pool.lead import CHECK_S
from ..pool.supervisor import Supervisor

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["Helped"]

GIVE_WAY_S = 0.005  # how long the helper leaves the reading to somebody who read lately; arbitrary


class Helped(Supervisor):
    """A supervisor with a helper; when that has to end, and what it does last, is the crew's to say."""

    def __init__(self, *given: Any) -> None:
        """As `Supervisor`."""
        super().__init__(*given)
        self.engine: Any = self.engine  # that of an executor
        self.helper: threading.Thread | None = None
        self._bell = threading.Lock()  # what the helper sleeps on: released by who wakes it
        self._bell.acquire()
        self._asleep = False  # the helper, until the next call is submitted
        self._dozing = False  # the helper, for a moment
        self._helping = False  # the helper reads answers, or is about to
        self._user_reads = 0  # how often others came to read

    def _is_over(self) -> bool:
        raise NotImplementedError

    def _end(self) -> None:
        raise NotImplementedError

    # For others

    def wait(self, ready: Callable[[], bool], timeout: float | None = None) -> bool:
        """See `Supervisor.wait`; the helper gives way."""
        self._user_reads += 1
        if self._helping:
            self.engine.nudge()
        try:
            return super().wait(ready, timeout)
        finally:
            if self._dozing:
                self.wake()

    def _start_driver(self) -> None:
        """The helper does what a pool's driver does."""

    def wake(self) -> None:
        """Have the helper look whether there is something to do. Takes no lock."""
        with suppress(RuntimeError):  # it is being woken already
            self._bell.release()

    def _start_helper(self) -> None:
        helper = threading.Thread(target=self._help, name="procession-executor-helper")
        helper.start()
        self.helper = helper

    def _wake_for_call(self) -> None:
        """A call was submitted while the helper sleeps."""
        self._asleep = False  # here, for it takes a while until the helper runs, and the next call comes at once
        self.wake()

    def join(self) -> None:
        """Block until everything is done and the workers have ended; not in the helper itself."""
        helper = self.helper
        if helper is not None and helper is not threading.current_thread():
            helper.join()
            self.helper = None  # for those who count the threads that somebody still refers to

    # Its life

    def _help(self) -> None:
        """All of it."""
        try:
            self._help_until_the_end()
        except Exception as error:  # it must not vanish: everybody would wait for ever
            self._break(PoolBroken(f"the thread that reads answers failed: {type(error).__name__}: {error}"))
            self._help_until_the_end()
        self._end()

    def _help_until_the_end(self) -> None:
        seen = self._user_reads
        while not self._is_over():
            while self._called:
                self._called.popleft().announce()
            if not self.dispatcher.outstanding and not self._news:
                self._sleep()
            elif seen != self._user_reads:
                seen = self._user_reads
                self._bell.acquire(timeout=GIVE_WAY_S)
            else:
                self._help_reading()

    def _sleep(self) -> None:
        """Until a call is submitted, or the end has come."""
        self._asleep = True
        # In this order: who submits puts the call first and then looks whether to wake
        if not self.dispatcher.outstanding and not self._called and not self._is_over():
            self._bell.acquire()
        self._asleep = False

    def _help_reading(self) -> None:
        """Read answers until some have come, unless somebody else does: then look in later."""
        self._helping = True
        if self._lead.acquire(False):
            try:
                self._take_turn(CHECK_S)
            finally:
                self._helping = False
        else:
            self._helping, self._dozing = False, True
            self._bell.acquire(timeout=CHECK_S)
            self._dozing = False
