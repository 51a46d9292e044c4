"""The thread of a pool's own, where one is needed: for callbacks, and to look after workers while nobody waits.

It starts with the first call of that kind and ends when nothing more of it is on its way.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress

from ..errors import PoolBroken, PoolTerminated

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["CHECK_S", "Driver"]

CHECK_S = 0.02  # how often is looked whether a worker has ended, or went beyond a limit


class Driver:
    """A part of the supervisor."""

    error: BaseException | None
    dispatcher: Any

    if TYPE_CHECKING:

        def wait(self, ready: Callable[[], bool], timeout: float | None = None) -> bool:
            """The supervisor's."""

        def _wake_followers(self) -> None: ...
        def _tell(self, job: Any) -> None: ...

    def _begin_driving(self, attended: bool) -> None:
        self._attended = attended  # somebody must always look after the workers
        self._driver: threading.Thread | None = None
        self._last_driver: threading.Thread | None = None  # the same, also when it has nothing more to do
        self._driver_lock = threading.Lock()
        self._called: deque[Any] = deque()  # finished jobs whose callbacks are to be called
        self._with_callbacks = 0  # jobs whose callbacks have not been called

    def attend(self) -> None:
        """A call with a time limit or retries is about to be submitted, and nobody may come to wait for it."""
        self._attended = True

    def expect_callbacks(self) -> None:
        """A job with callbacks is about to be submitted. Raises: RuntimeError when there is no thread for them."""
        with self._driver_lock:
            self._with_callbacks += 1
        try:
            self._start_driver()
        except BaseException:
            self.no_callbacks()
            raise

    def no_callbacks(self) -> None:
        """It was not submitted after all, or they have been called."""
        with self._driver_lock:
            self._with_callbacks -= 1

    def _start_driver(self) -> None:
        with self._driver_lock:
            if self._driver is None:
                self._driver = threading.Thread(target=self._drive, name="procession-pool-driver", daemon=True)
                self._last_driver = self._driver
                try:
                    self._driver.start()
                except BaseException:  # the system may have no thread left
                    self._driver = self._last_driver = None
                    raise

    def _drive(self) -> None:
        while True:
            while self._called:
                self._call_back(self._called.popleft())
            with self._driver_lock:
                outstanding = self._attended and self.error is None and self.dispatcher.outstanding
                if not self._called and not self._with_callbacks and not outstanding:
                    self._driver = None
                    break
            with suppress(PoolBroken, PoolTerminated):
                self.wait(lambda: bool(self._called), CHECK_S)
        self._wake_followers()

    def _call_back(self, job: Any) -> None:
        if job._callbacks is None:  # heeded twice
            return
        success, value = job.settled()
        callback = job._callbacks[0 if success else 1]
        try:
            if callback is not None:
                callback(value)
        except Exception as error:
            threading.excepthook(threading.ExceptHookArgs((type(error), error, error.__traceback__, self._driver)))
        finally:
            job._callbacks = None
            self.no_callbacks()
            self._tell(job)
            self._wake_followers()
