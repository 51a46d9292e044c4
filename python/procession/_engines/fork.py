"""Start a child by fork: it begins as a copy of the parent, with everything the parent has in memory.

Also home of what all handles share: waiting on the sentinel without importing the standard library's connections,
collecting the exit code exactly once however many threads ask, and giving descriptors back.
"""

from __future__ import annotations

import io
import os
import select
import signal
import sys
import threading
from multiprocessing import popen_fork, process, util

from .._bootstrap import (
    at_fork_in_child,
    end_with_parent,
    exit_child,
    has_pidfd,
    lifeline,
    own_sentinel,
    pidfd_open,
)
from .._forking import at_rest
from .._outcome import Outcome

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from typing import Any

__all__ = ["BasePopen", "Popen", "readable"]

ENDED = 5  # see crates/core/src/recorder.rs
_UNKNOWN_EXIT = 255  # exit code when somebody else collected it; the standard fork server's value


def readable(fd: int, timeout: float | None) -> bool:
    """Whether `fd` is readable or hung up within `timeout` seconds (None: wait for ever)."""
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    return bool(poller.poll(None if timeout is None else max(0.0, timeout * 1000)))


class BasePopen(popen_fork.Popen):
    """A handle for a child of this very process."""

    sentinel: int
    outcome: Outcome

    def __init__(self, process_obj: Any) -> None:
        self._collecting = threading.Lock()
        self._exact = False  # whether the sentinel is a pidfd: readable at death, not a moment earlier or later
        self.outcome = Outcome.create()
        try:
            super().__init__(process_obj)
        except BaseException:
            self.outcome.close()
            raise

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        """Collect the exit code if the child has ended; with flag 0, block until it has."""
        if self.returncode is None:
            if flag == 0:
                self._block()
            with self._collecting:
                if self.returncode is None:
                    self.returncode = self._collect(os.WNOHANG)
                    if self.returncode is not None:
                        self._sweep()
        return self.returncode

    def _block(self) -> None:
        """Wait for the end without collecting the exit code, which other threads may be after as well."""
        try:
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        except ChildProcessError:
            if self._exact:
                readable(self.sentinel, None)

    def _collect(self, flag: int) -> int | None:
        try:
            pid, status = os.waitpid(self.pid, flag)
        except ChildProcessError:
            # Not ours to collect any more: SIGCHLD is ignored, or someone waited for all children
            return _UNKNOWN_EXIT if self._exact and readable(self.sentinel, 0) else None
        return os.waitstatus_to_exitcode(status) if pid == self.pid else None

    def _sweep(self) -> None:
        """Let shared objects know at once that this process is dead; without this they find out by themselves."""
        native: Any = sys.modules.get("procession._native")
        reap = getattr(native, "reap", None)
        if reap is not None:
            reap(self.pid)
            if native.recording():
                native.record(ENDED, 0, self.pid, self.returncode)

    def wait(self, timeout: float | None = None) -> int | None:
        """Block until the child ends, or for `timeout` seconds; return the exit code, None if it still runs."""
        if self.returncode is None and timeout is not None and not readable(self.sentinel, timeout):
            return None
        return self.poll(os.WNOHANG if timeout == 0 else 0)

    def _send_signal(self, sig: int) -> None:
        if self.poll() is None:
            super()._send_signal(sig)  # type: ignore[misc]

    def close(self) -> None:
        """Give back the descriptors, the outcome's as well."""
        super().close()
        self.outcome.close()

    def _watch_child(self) -> None:
        """Open the sentinel of the child just started. On failure the child is killed: nothing is left half-started.

        Raises: OSError when descriptors run out.
        """
        try:
            fd = pidfd_open(self.pid)
            assert fd is not None, "a kernel without pidfd was given a child that needs one"
        except BaseException:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            raise
        self._exact = True
        self.sentinel = fd
        self.finalizer = util.Finalize(self, util.close_fds, (fd,))  # type: ignore[attr-defined]


class Popen(BasePopen):
    """Fork, and run the process object in the child."""

    method = "fork"

    def _launch(self, process_obj: Any) -> None:
        with lifeline() as end, at_rest():
            if has_pidfd():
                self._fork(process_obj, end)
            else:
                self._launch_with_pipes(process_obj, end)

    def _fork(self, process_obj: Any, lifeline: int) -> None:
        parent_sentinel = own_sentinel()
        crowded = threading.active_count() > 1
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                end_with_parent(lifeline)
                if crowded:
                    _renew_streams()
                _close_outcomes_of_siblings()
                process_obj._outcome = self.outcome
                _forget_exit_handlers()
                code = process_obj._bootstrap(parent_sentinel=parent_sentinel)
            finally:
                exit_forked(code)
        self._watch_child()

    def _launch_with_pipes(self, process_obj: Any, lifeline: int) -> None:
        process_obj._outcome, process_obj._lifeline = self.outcome, lifeline
        try:
            super()._launch(process_obj)  # type: ignore[misc]
        finally:
            del process_obj._outcome, process_obj._lifeline


_STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))
_old_streams: list[Any] = []  # never closed, which would wait for their locks


def _renew_streams() -> None:
    """In a forked child whose parent has several threads: one of them may have been writing at that moment, or reading.

    Its lock would never be released here, and the child hang where it flushes its streams, at its end at the latest.
    What the program has put in their place is left alone. (The standard library's children do hang.)
    """
    for name, mode in _STREAMS:
        stream = getattr(sys, name)
        if type(stream) is not io.TextIOWrapper or stream is not getattr(sys, f"__{name}__"):
            continue
        if not isinstance(stream.buffer, io.BufferedReader | io.BufferedWriter):
            continue  # `python -u`: there is no lock
        _old_streams.append(stream)
        fd, buffering = stream.buffer.raw.fileno(), 1 if stream.line_buffering else -1
        fresh = open(fd, mode, buffering, stream.encoding, stream.errors, closefd=False)  # noqa: SIM115
        setattr(sys, name, fresh)
        setattr(sys, f"__{name}__", fresh)


def _siblings() -> list[BasePopen]:
    """In a forked child: the handles of the parent's children."""
    handles = [getattr(sibling, "_popen", None) for sibling in list(process._children)]  # type: ignore[attr-defined]
    return [handle for handle in handles if isinstance(handle, BasePopen)]


def _renew_locks() -> None:
    """In a child that Python forked: another thread may have been collecting an exit code."""
    for handle in _siblings():
        handle._collecting = threading.Lock()


at_fork_in_child(_renew_locks)


def _close_outcomes_of_siblings() -> None:
    """In the child: give up the siblings' outcomes, or each process would hold the results of all started before it."""
    for handle in _siblings():
        handle.outcome.close()


def _forget_exit_handlers() -> None:
    """The parent's exit handlers are not the child's; from Python 3.13 on the child's own are run."""
    if sys.version_info >= (3, 13):
        import atexit

        atexit._clear()
        atexit.register(util._exit_function)


def exit_forked(code: int) -> None:
    """Leave a forked child: with its own exit handlers where this Python runs them, at once otherwise."""
    if sys.version_info >= (3, 13):
        exit_child(code)
    os._exit(code)
