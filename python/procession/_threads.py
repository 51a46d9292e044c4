"""Thread: `threading.Thread` with what a process has besides: a result, an exit code, a sentinel to wait for.

So one program runs on either. `ThreadProcess` is what the context 'thread' calls a Process.
"""

from __future__ import annotations

import itertools
import os
import threading
from _weakrefset import WeakSet
from multiprocessing.process import current_process

from ._waits import join_thread

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

__all__ = ["Thread", "ThreadProcess", "active_threads"]

_threads: WeakSet[Thread] = WeakSet()  # from where multiprocessing takes it: `weakref` would be one import more
_numbers = itertools.count(1)


def active_threads() -> list[Thread]:
    """The `Thread` objects of this process that have been started and still run."""
    return [thread for thread in list(_threads) if thread.is_alive()]


class Thread(threading.Thread):
    """`threading.Thread` with a result, an exit code and the rest of what a process has.

    Cannot be ended from outside: `terminate` and `kill` raise while it runs.
    """

    def __init__(
        self,
        group: None = None,
        target: Callable[..., Any] | None = None,
        name: str | None = None,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        daemon: bool | None = None,
    ) -> None:
        super().__init__(group, target, name, tuple(args), dict(kwargs or {}), daemon=daemon)
        self._value: Any = None
        self._error: BaseException | None = None
        self._finished = False
        self._closed = False
        self._ended: int = -1  # eventfd, made when `sentinel` is asked for
        self._ended_lock = threading.Lock()
        _threads.add(self)

    def run(self) -> Any:
        """Call the target; subclasses may override this. What it returns is the result."""
        target: Callable[..., Any] | None = getattr(self, "_target", None)
        try:
            return None if target is None else target(*self._args, **self._kwargs)  # type: ignore[attr-defined]
        finally:
            self.__dict__.pop("_target", None)

    def start(self) -> None:
        """Start the thread. Raises: RuntimeError when it was started before."""
        if not self.ident:
            self.__dict__["run"] = _RecordedHere(self, self.run)
        super().start()

    def join(self, timeout: float | None = None) -> None:
        """Block until the thread ends, or for `timeout` seconds. Raises: RuntimeError in itself or before `start`."""
        join_thread(super().join, self, timeout)

    @property
    def pid(self) -> int | None:
        """Process id of this very process once the thread is started; `native_id` is the kernel's id of the thread."""
        return None if self.ident is None else os.getpid()

    @property
    def authkey(self) -> bytes:
        """The authentication key of the process the thread lives in."""
        return current_process().authkey

    @property
    def exitcode(self) -> int | None:
        """None while it runs; 0 after it returned, 1 after an exception, n after `sys.exit(n)`."""
        if not self._finished:
            return None
        if isinstance(self._error, SystemExit):
            code = self._error.code
            return 0 if code is None else code if isinstance(code, int) else 1
        return 0 if self._error is None else 1

    @property
    def sentinel(self) -> int:
        """A descriptor that becomes readable when the thread ends; made when first asked for.

        Raises: ValueError before `start` and after `close`.
        """
        if self.ident is None or self._closed:
            raise ValueError("thread not started, or closed")
        with self._ended_lock:
            if self._ended < 0:
                self._ended = os.eventfd(1 if self._finished else 0, os.EFD_CLOEXEC)
            return self._ended

    def result(self, timeout: float | None = None) -> Any:
        """Return what the target returned, or raise what it raised.

        Blocks until the thread ends, or for `timeout` seconds.

        Raises: TimeoutError when it still runs; WorkerDied after `sys.exit` with a code other than 0; ValueError after
        `close`; RuntimeError before `start`.
        """
        self._check_open()
        self.join(timeout)
        if self.is_alive():
            from .errors import TimeoutError

            raise TimeoutError(f"{self.name} has given no result within {timeout} seconds")
        if isinstance(self._error, SystemExit):
            if self.exitcode == 0:
                return None
            from .errors import WorkerDied

            raise WorkerDied.of(self.name, self.pid, self.exitcode)
        if self._error is not None:
            raise self._error
        return self._value

    async def wait_async(self, timeout: float | None = None) -> int | None:
        """In asyncio: wait for the end without blocking the loop, or for `timeout` seconds.

        Returns the exit code, None if it still runs.
        """
        from ._waiting import process_wait

        return await process_wait(self, timeout)

    async def result_async(self, timeout: float | None = None) -> Any:
        """In asyncio: as `result`, without blocking the loop."""
        from ._waiting import process_result

        return await process_result(self, timeout)

    def terminate(self) -> None:
        """Do nothing if the thread has ended. Raises: NotSupported while it runs."""
        if self.is_alive():
            from .errors import NotSupported

            raise NotSupported(
                f"{self.name} is a thread and cannot be ended from outside: let it wait on an Event and return, or use "
                "a process (context 'fork', 'spawn' or 'forkserver')"
            )

    def interrupt(self) -> None:
        """As `terminate`."""
        self.terminate()

    def kill(self) -> None:
        """As `terminate`."""
        self.terminate()

    def close(self) -> None:
        """Forget the result. Raises: ValueError while the thread runs."""
        if self.is_alive():
            raise ValueError("Cannot close a thread while it is still running. You should first call join()")
        self._closed = True
        self._value = self._error = None
        with self._ended_lock:
            if self._ended >= 0:
                os.close(self._ended)
            self._ended = -1

    def __del__(self) -> None:
        if getattr(self, "_ended", -1) >= 0:
            os.close(self._ended)

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("thread object is closed")

    def _finish(self) -> None:
        """Tell those who wait on the sentinel, present and future."""
        with self._ended_lock:
            self._finished = True
            if self._ended >= 0:
                os.eventfd_write(self._ended, 1)


class _RecordedHere:
    """A thread's `run` that keeps its value or exception in the thread object."""

    def __init__(self, thread: Thread, run: Callable[[], Any]) -> None:
        self._thread: Thread | None = thread
        self._run = run

    def __call__(self) -> None:
        thread, self._thread = self._thread, None  # no cycle once it has run
        assert thread is not None
        from . import _native  # not above: `procession run` would load it for programs that need none of this

        _native.name_thread(thread.name)
        try:
            thread._value = self._run()
        except SystemExit as error:
            thread._error = error  # ends the thread silently, as in `threading`
        except BaseException as error:
            thread._error = error
            raise
        finally:
            thread._finish()


class ThreadProcess(Thread):
    """What context 'thread' calls a Process; named as processes are."""

    def __init__(
        self,
        group: None = None,
        target: Callable[..., Any] | None = None,
        name: str | None = None,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        daemon: bool | None = None,
    ) -> None:
        if getattr(target, "__module__", None) == "concurrent.futures.process":  # it would wait for pipes for ever
            from .errors import NotSupported

            raise NotSupported(
                'ProcessPoolExecutor needs processes, and the start method is "thread": '
                'use procession.Executor(context="thread"), ThreadPoolExecutor or another start method'
            )
        name = name or f"{type(self).__name__}-{next(_numbers)}"
        super().__init__(group, target, name, args, kwargs, daemon=daemon)
