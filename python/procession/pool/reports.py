"""Where a worker was when it crashed: its last words, written by the interpreter's `faulthandler`.

A process that dies of a signal of its own (a segmentation fault, an abort, a bus error) can still write down its Python
stack; one that is to be ended for taking too long or too much does so as the last thing. One anonymous file for each
pool has a stretch for each worker, which opens it anew through `/proc` so as to have a position of its own. A worker
killed from outside says nothing, and where there is no `/proc` none does.
"""

from __future__ import annotations

import os
import signal
import sys

from .. import _native
from .._bootstrap import at_fork_in_child
from .._outcome import anonymous_file

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Reports", "last_line"]

STRETCH = 64 << 10  # bytes for each worker: 100 frames, which is all that is written, of the longest names
ASK = getattr(signal, "SIGRTMAX", None)  # upon this signal, which nobody uses, a worker writes its stack and ends
_READY = b"\n"


class Reports:
    """The file of one pool. Travels to the workers by where it is found in `/proc`."""

    def __init__(self) -> None:
        self.fd: int = -1
        self._owner = os.getpid()
        self._identity: tuple[int, int] | None = None
        if hasattr(os, "memfd_create") and ASK is not None:
            try:
                self.fd = anonymous_file("procession-reports")
            except OSError:  # no descriptor left: workers die without a word
                return
            status = os.fstat(self.fd)
            self._identity = status.st_dev, status.st_ino

    def __del__(self) -> None:
        if getattr(self, "_owner", None) == os.getpid():
            self.close()

    def close(self) -> None:
        """Give the descriptor back. May be called again."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    # The parent's side

    def clear(self, number: int) -> None:
        """Forget what a worker of this number left."""
        if self.fd >= 0 and os.pread(self.fd, 1, number * STRETCH):
            os.pwrite(self.fd, bytes(STRETCH), number * STRETCH)

    def ask(self, number: int, pid: int) -> bool:
        """Have a worker write down where it is, and end, as soon as it runs. False: it cannot."""
        if self.fd < 0 or os.pread(self.fd, 1, number * STRETCH) != _READY:
            return False
        # To the thread that runs tasks: another, of a numeric library say, has no Python stack to tell of
        return _native.signal_main_thread(pid, ASK)  # type: ignore[arg-type]  # where there is a file there is the signal

    def take(self, number: int) -> str:
        """What the worker wrote; empty for nothing."""
        if self.fd < 0:
            return ""
        return os.pread(self.fd, STRETCH, number * STRETCH).partition(b"\0")[0].decode(errors="replace").lstrip("\n")

    # A worker's side

    def __reduce__(self) -> tuple[Any, ...]:
        return _Place, (self._owner, self.fd, self._identity)

    def open(self, number: int) -> None:
        """In worker `number`: write there from now on, when this process crashes or is asked to end."""
        _Place(self._owner, self.fd, self._identity).open(number)


class _Place:
    """Where the file is, for a worker."""

    def __init__(self, owner: int, fd: int, identity: tuple[int, int] | None) -> None:
        self._owner, self._fd, self._identity = owner, fd, identity

    def open(self, number: int) -> None:
        """See `Reports`."""
        if self._fd < 0:
            return
        import faulthandler

        try:
            fd = os.open(f"/proc/{self._owner}/fd/{self._fd}", os.O_WRONLY | os.O_CLOEXEC)
        except OSError:  # no /proc, or the parent is gone
            return
        status = os.fstat(fd)
        if (status.st_dev, status.st_ino) != self._identity:
            os.close(fd)
            return
        os.lseek(fd, number * STRETCH, os.SEEK_SET)
        before = faulthandler.is_enabled()
        at_fork_in_child(lambda: _leave(before))
        faulthandler.enable(fd, all_threads=False)
        # Chained to what the signal does by itself, it ends the process: the task does not go on for a moment longer,
        # as it would with a system call that was interrupted
        faulthandler.register(ASK, fd, all_threads=False, chain=True)  # type: ignore[arg-type]
        os.write(fd, _READY)


def _leave(before: bool) -> None:
    """In a process that a task forked: its crashes are no worker's."""
    import faulthandler

    faulthandler.unregister(ASK)  # type: ignore[arg-type]
    (faulthandler.enable if before and sys.stderr is not None else faulthandler.disable)()


def last_line(report: str) -> str | None:
    """The innermost Python line of a report, as `file:line in function`; None if it has none."""
    for line in report.splitlines():
        line = line.strip()
        if line.startswith("File "):
            return line.removeprefix("File ").replace('"', "").replace(", line ", ":")
    return None
