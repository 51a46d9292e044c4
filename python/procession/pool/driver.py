"""The thread of a pool's own, where one is needed: for callbacks, and to look after workers while nobody waits.

It starts with the first call of that kind and ends when nothing more of it is on its way. For calls that nobody may
wait for, and that need no more than workers, there is one thread for all pools (`guard`).
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress

from ..errors import PoolBroken, PoolTerminated
from .lead import CHECK_S

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["Driver"]


class Driver:
    """A part of the supervisor."""

    error: BaseException | None
    dispatcher: Any
    state: Any
    vacancies: Any
    _due: Any

    if TYPE_CHECKING:

        def wait(self, ready: Callable[[], bool], timeout: float | None = None) -> bool:
            """The supervisor's."""

        def _wake_followers(self) -> None: ...
        def _tell(self, job: Any) -> None: ...

    def _begin_driving(self, attended: bool, guarded: bool) -> None:
        self._attended = attended  # somebody must always look after the workers
        self.is_guarded: bool = not guarded  # or needs no guard
        self._guard: Any = None
        self._driver: threading.Thread | None = None
        self._last_driver: threading.Thread | None = None  # the same, also when it has nothing more to do
        self._driver_lock = threading.Lock()
        self._called: deque[Any] = deque()  # finished jobs whose callbacks are to be called
        self._with_callbacks = 0  # jobs whose callbacks have not been called

    def attend(self) -> None:
        """A call with a time limit or retries is about to be submitted, and nobody may come to wait for it."""
        self._attended = True

    def be_guarded(self) -> None:
        """A call was submitted whose result nobody may come to wait for: let the workers be seen to meanwhile."""
        if self._attended:
            return  # the driver does
        from .guard import guard

        with suppress(OSError, RuntimeError):  # no room for it: then who waits looks after them, as ever
            guard.attend(self)  # type: ignore[arg-type]  # a supervisor
            self._guard, self.is_guarded = guard, True

    @property
    def needs_guard(self) -> bool:
        """Whether something may be lost when nobody looks after the workers."""
        return self.error is None and bool(self.state.accepts or self.dispatcher.outstanding)

    @property
    def is_uneasy(self) -> bool:
        """Whether something is to be done later: a worker could not be started, say."""
        return bool(self._due or self.vacancies)

    def _tell_guard(self) -> None:
        if self._guard is not None:
            self._guard.tell(self)

    def _leave_guard(self) -> None:
        if self._guard is not None:
            self._guard.leave(self)

    def _await_helpers(self) -> None:
        """Before workers are waited for: these threads may be starting one."""
        self._leave_guard()
        driver = self._last_driver
        if driver is not None and driver is not threading.current_thread():
            driver.join()

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
