"""The process beside a program that is run with `--trace` or `--report`.

It must write when the program has ended, also by `kill -9`, so it cannot be the program; and the program must be what
it is without it: same pid, same parent, same children. So it is forked off before the program begins, by a child that
ends at once, and is nobody's child that a `wait()` of the program could meet. It holds none of the program's
descriptors but standard error: who reads that to its end, as `subprocess.run` does, has the files then.

The program keeps no descriptor for it either, as it may close all that it has. At its end it finds two named pipes in
the recording's directory: into `finish` it writes that it is done, at `done` it waits until the scribe has gone.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Wishes", "begin"]

_INTERVAL_S = 0.1  # between samples
_PATIENCE_S = 2.0  # for processes that outlive the program; a lifeline ends its children after half a second


class Wishes:
    """What is to be written: paths, or None."""

    def __init__(self, trace: str | None, report: str | None, keep: str | None = None) -> None:
        """`keep`: the directory for the recording itself, which is made; by default it is one that goes away.

        Raises: ValueError for "-".
        """
        if "-" in (trace, report, keep):
            raise ValueError("- is no file for a trace or a report: standard output is the program's")
        self.trace: str | None = None if trace is None else os.path.abspath(trace)
        self.report: str | None = None if report is None else os.path.abspath(report)
        self.keep: str | None = None if keep is None else os.path.abspath(keep)

    def check(self) -> None:
        """Raises: OSError, ValueError for what cannot be written; nothing is changed."""
        if self.trace is not None and self.trace == self.report:
            raise ValueError(f"{self.trace} cannot be both the trace and the report")
        for path in (self.trace, self.report):
            if path is not None:
                _check_file(path)
        if self.keep is not None and os.path.exists(os.path.join(self.keep, "header")):
            raise FileExistsError(f"{self.keep} holds a recording already")


def _check_file(path: str) -> None:
    folder = os.path.dirname(path)
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path} is a directory")
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{path} cannot be written: there is no directory {folder}")
    # A file is written beside the one it then replaces; a device or a pipe is written itself
    place = path if os.path.exists(path) and not os.path.isfile(path) else folder
    if not os.access(place, os.W_OK):
        raise PermissionError(f"{path} cannot be written: no permission to write to {place}")


def begin(wishes: Wishes, command: list[str]) -> None:
    """Record this process and its family from now on, and have written what is wished for when it ends.

    To be called before the program begins and while there is one thread. Raises: OSError,
    ValueError.
    """
    from .. import _recording

    wishes.check()
    limit_bytes = _recording.limit()  # before there is anything that would have to go away again
    if wishes.keep is None:
        directory = tempfile.mkdtemp(prefix="procession-recording-")
    else:
        os.makedirs(directory := wishes.keep, exist_ok=True)
    for name in ("finish", "done"):
        os.mkfifo(os.path.join(directory, name), 0o600)
    with open(os.path.join(directory, "command"), "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(" ".join(command))
    program = os.getpid()
    child = os.fork()
    if child == 0:
        _detach(lambda: _Scribe(directory, wishes, program).run())
    os.waitpid(child, 0)
    _recording.begin(directory, _recording.TRACE, limit_bytes)
    atexit.register(_finish, directory, program)


def _detach(work: Callable[[], None]) -> NoReturn:
    """In the child: leave a child of its own to do the work."""
    try:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            null = os.open(os.devnull, os.O_RDWR)
            for standard in (0, 1):
                os.dup2(null, standard)
            os.closerange(3, os.sysconf("SC_OPEN_MAX"))
            os.chdir("/")  # what the program runs in may be unmounted
            work()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


def _finish(directory: str, program: int) -> None:
    """At the program's end: wait until all is written."""
    from .. import _native

    if os.getpid() != program:
        return
    if _native.recording():
        _native.record(3, label="")  # EXIT; its code is not known here
        _native.stop_recording()
    with contextlib.suppress(OSError, KeyboardInterrupt):
        finish = os.open(os.path.join(directory, "finish"), os.O_WRONLY | os.O_NONBLOCK)  # fails if there is no scribe
        done = os.open(os.path.join(directory, "done"), os.O_RDONLY | os.O_NONBLOCK)
        os.write(finish, b".")
        os.close(finish)
        poller = select.poll()
        poller.register(done, 0)
        poller.poll()
        os.close(done)


class _Scribe:
    def __init__(self, directory: str, wishes: Wishes, program: int) -> None:
        self._directory, self._wishes, self._program = directory, wishes, program
        self._writing = directory  # what is written just now
        # For reading and writing: such an opening waits for nobody, and keeps the pipe's other end from hanging up
        self._finish = os.open(os.path.join(directory, "finish"), os.O_RDWR | os.O_NONBLOCK)
        self._done = os.open(os.path.join(directory, "done"), os.O_RDWR)

    def run(self) -> None:
        from .samples import Sampler

        sampler = Sampler(self._directory)
        self._watch(sampler.look)
        deadline = time.monotonic() + _PATIENCE_S
        while (left := sampler.pids() - {self._program}) and time.monotonic() < deadline:
            sampler.look()
            time.sleep(min(_INTERVAL_S, 0.01 * len(left)))
        sampler.close()
        try:
            self._write()
        except Exception as error:
            why = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
            keeps = f"the recording stays in {self._directory}: `procession report` reads it"
            print(f"procession: {self._writing} could not be written ({why}); {keeps}", file=sys.stderr)

    def _watch(self, look: Callable[[], None]) -> None:
        """Sample until the program says that it is done, or is gone."""
        poller = select.poll()
        poller.register(self._finish, select.POLLIN)
        with contextlib.suppress(OSError, AttributeError):  # an old kernel: `_is_gone` does
            poller.register(os.pidfd_open(self._program), select.POLLIN)
        while not poller.poll(_INTERVAL_S * 1000) and not self._is_gone():
            look()

    def _is_gone(self) -> bool:
        try:
            os.kill(self._program, 0)
        except ProcessLookupError:
            return True
        return False

    def _write(self) -> None:
        from .._recording import Recording
        from . import write_report, write_trace

        wishes = self._wishes
        for name in ("finish", "done"):
            os.unlink(os.path.join(self._directory, name))
        for path, write in ((wishes.trace, write_trace), (wishes.report, write_report)):
            if path is not None:
                self._writing = path
                write(self._directory, path)
        shortfall = Recording(self._directory).shortfall()
        if shortfall:
            print(f"procession: {shortfall}", file=sys.stderr)
        if wishes.keep is None:
            shutil.rmtree(self._directory)
