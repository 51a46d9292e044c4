"""Process and Thread: work that runs beside this code, with a name, an exit code and a result.

A process is the standard library's own (`multiprocessing.process.BaseProcess`), so `current_process()`, logging and
every other reader of it know ours; only how it is started (see `_engines`) and `result` are new. A `Thread` is
`threading.Thread` with the same additions, so that one program runs on either.
"""

from __future__ import annotations

import itertools
import multiprocessing.context
import os
import threading
from _weakrefset import WeakSet
from multiprocessing.process import BaseProcess, active_children, current_process, parent_process

from ._outcome import NOTHING, RAISED, UNFINISHED

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from ._outcome import Outcome

__all__ = [
    "BaseProcess",
    "ForkProcess",
    "ForkServerProcess",
    "ProcessWithResult",
    "SpawnProcess",
    "Thread",
    "ThreadProcess",
    "active_children",
    "active_threads",
    "current_process",
    "on_start_in_child",
    "parent_process",
]


_start_hooks: list[Callable[[str | None], None]] = []


def on_start_in_child(hook: Callable[[str | None], None]) -> None:
    """Call `hook` in every process started from here, before its target, with the start method it was given."""
    _start_hooks.append(hook)


class ProcessWithResult(BaseProcess):
    """A process whose target's return value or exception comes back to its parent.

    When the process dies, nothing of the parent is harmed: `result` raises `WorkerDied`, `join` returns.
    """

    _outcome: Outcome | None = None  # in the child only: where to write
    _answer: tuple[int, Any] | None = None  # in the parent only: what was read
    _popen: Any

    def run(self) -> Any:
        """Call the target; subclasses may override this. What it returns is the result. Runs in the child."""
        if self._target:  # type: ignore[attr-defined]
            return self._target(*self._args, **self._kwargs)  # type: ignore[attr-defined]
        return None

    def join(self, timeout: float | None = None) -> None:
        """Block until the process ends, or for `timeout` seconds. Its death, however caused, wakes this."""
        super().join(timeout)
        popen = self._popen
        if popen is not None and popen.returncode is not None and self._answer is None:
            self._settle(popen.outcome)

    def result(self, timeout: float | None = None) -> Any:
        """Return what the target returned, or raise what it raised, with the child's traceback as `__cause__`.

        Blocks until the process has ended (its death wakes this) or for `timeout` seconds. May be asked again: the
        same object is kept until `close`. A target that left through `sys.exit()` with code 0 or None gives None.

        Raises: TimeoutError when it still runs; WorkerDied when it ended without an answer (`os._exit`, a signal,
        `sys.exit(3)`); ResultUnpicklable when the answer could not be pickled; UnpicklingError when it cannot be
        rebuilt here; ValueError after `close`; AssertionError before `start` or from another process.
        """
        self.join(timeout)
        popen = self._popen
        if popen.returncode is None:
            from .errors import TimeoutError

            raise TimeoutError(f"{self.name} (pid {popen.pid}) has given no result within {timeout} seconds")
        if self._answer is None:
            self._answer = self._read(popen.outcome)
        kind, contents = self._answer
        if kind == RAISED:
            _raise_remote(*contents)
        if kind == UNFINISHED:
            from .errors import WorkerDied

            raise WorkerDied.of(self.name, popen.pid, popen.returncode)
        return contents

    def close(self) -> None:
        """Forget the result and give back the descriptors. Raises: ValueError while the process runs."""
        super().close()
        self._answer = None

    def _settle(self, outcome: Outcome) -> None:
        """Free the descriptor at once if there is nothing to read, as for most processes."""
        if outcome.fd >= 0 and (kind := outcome.kind()) in (UNFINISHED, NOTHING):
            self._answer = kind, None
            outcome.close()

    def _read(self, outcome: Outcome) -> tuple[int, Any]:
        try:
            answer = outcome.load()
        except Exception as error:
            from .errors import UnpicklingError

            raise UnpicklingError(
                f"the result of {self.name} arrived, but cannot be rebuilt here: {type(error).__name__}: {error}"
            ) from error
        outcome.close()
        return answer

    def _bootstrap(self, parent_sentinel: int | None = None) -> int:
        """In the child: run as the standard library does, and note down how the target ended."""
        for hook in _start_hooks:
            hook(self._start_method)  # type: ignore[attr-defined]
        outcome = self._outcome
        if outcome is not None:
            self.__dict__["run"] = _Recorded(self.run, outcome, self.name)
        code: int = super()._bootstrap(parent_sentinel)  # type: ignore[misc]
        return code

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        state.pop("_outcome", None)
        return state


class _Recorded:
    """A process's `run` that leaves its outcome behind before it returns or raises."""

    def __init__(self, run: Callable[[], Any], outcome: Outcome, name: str) -> None:
        self._run, self._outcome, self._name = run, outcome, name

    def __call__(self) -> None:
        try:
            value = self._run()
        except SystemExit as error:
            if error.code is None or error.code == 0:
                self._outcome.write_nothing()
            raise
        except KeyboardInterrupt as error:
            self._outcome.write_exception(error, self._name)
            raise SystemExit(1) from None  # without a traceback: an interrupt reaches the parent too, which prints one
        except BaseException as error:
            self._outcome.write_exception(error, self._name)
            raise
        self._outcome.write_value(value, self._name)


def _raise_remote(error: BaseException, text: str) -> None:
    from .errors import RemoteTraceback

    raise error from RemoteTraceback(text)


class ForkProcess(ProcessWithResult, multiprocessing.context.ForkProcess):
    """A process that begins as a copy of its parent."""

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        from ._engines.fork import Popen

        return Popen(process_obj)


class SpawnProcess(ProcessWithResult, multiprocessing.context.SpawnProcess):
    """A process in a fresh interpreter. Its target and arguments are pickled by `start`."""

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        from ._engines.spawn import Popen

        return Popen(process_obj)


class ForkServerProcess(ProcessWithResult, multiprocessing.context.ForkServerProcess):
    """A process forked from a small server that has the program's imports ready. Pickled as for spawn."""

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        from ._engines.forkserver import Popen

        return Popen(process_obj)


# Threads

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

    def terminate(self) -> None:
        """Do nothing if the thread has ended. Raises: NotSupported while it runs."""
        if self.is_alive():
            from .errors import NotSupported

            raise NotSupported(
                f"{self.name} is a thread and cannot be ended from outside: let it wait on an Event and return, or use "
                "a process (context 'fork', 'spawn' or 'forkserver')"
            )

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
        name = name or f"{type(self).__name__}-{next(_numbers)}"
        super().__init__(group, target, name, args, kwargs, daemon=daemon)
