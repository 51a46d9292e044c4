"""How a process's result travels to its parent.

One anonymous memory file (memfd) per process, made by the parent before the child exists and inherited by it. The child
writes its pickled result and then a header; the parent reads once the child is dead. So:

* writing cannot block, whatever the size: no deadlock with `join`, as a pipe would have;
* the header is written last: a child killed half-way leaves an unfinished outcome, which is visible as such;
* it costs one descriptor and, when nobody asks, one 16-byte write of the child (a result of None is not pickled).

The price is that a large result is written even if nobody ever asks for it; it is freed with the process object.

Layout: bytes 0–7 the kind (0 while unfinished), 8–15 the length of what follows, then the pickle. For a spawned child
the same file first carries, from byte 16, what the child has to run; the outcome overwrites it.
"""

from __future__ import annotations

import os
import struct

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from typing import Any, BinaryIO

__all__ = ["HEADER_BYTES", "Outcome"]

HEADER_BYTES = 16
_HEADER = struct.Struct("<QQ")

_PLAIN = (int, float, bool)  # small, and pickled by pickle itself: one system call stores header and contents
_FIRST_READ = 4096  # bytes; an answer that fits comes with its header in one system call

UNFINISHED = 0  # the child has not answered (yet)
NOTHING = 1  # it returned None
VALUE = 2  # a pickled value follows
RAISED = 3  # a pickled pair follows: the exception, the formatted traceback


def anonymous_file(name: str) -> int:
    """A descriptor of a file without a name, closed on exec, the user's own. `name` is what `/proc` shows of it."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create(name, os.MFD_CLOEXEC)
        os.fchmod(fd, 0o600)  # a memfd begins as everybody's
        return fd
    import tempfile

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


class Outcome:
    """The end of one process: written once by the child, read by the parent after the child's death."""

    def __init__(self, fd: int) -> None:
        """Take over the descriptor `fd`; `create` makes a new one."""
        self._fd = fd

    @classmethod
    def create(cls) -> Outcome:
        """Make an unfinished outcome. Raises: OSError when descriptors run out."""
        return cls(anonymous_file("procession-outcome"))

    def __del__(self) -> None:
        self.close()

    @property
    def fd(self) -> int:
        """The descriptor, -1 when closed."""
        return self._fd

    def close(self) -> None:
        """Give the descriptor and the memory back. Idempotent."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def open(self, mode: str) -> BinaryIO:
        """A file object on the memory, placed behind the header; closing it leaves the outcome open."""
        os.lseek(self._fd, HEADER_BYTES, os.SEEK_SET)
        file: Any = open(self._fd, mode, closefd=False)  # noqa: SIM115  (the caller closes it)
        return file  # type: ignore[no-any-return]

    # The parent's side

    def kind(self) -> int:
        """What is there: one of the constants above. UNFINISHED until the child has written everything."""
        header = os.pread(self._fd, HEADER_BYTES, 0)
        return _HEADER.unpack(header)[0] if len(header) == HEADER_BYTES else UNFINISHED

    def load(self) -> tuple[int, Any]:
        """Read kind and contents. Raises whatever unpickling raises."""
        start = os.pread(self._fd, _FIRST_READ, 0)
        kind, length = _HEADER.unpack_from(start) if len(start) >= HEADER_BYTES else (UNFINISHED, 0)
        if kind in (UNFINISHED, NOTHING):
            return kind, None
        import pickle

        if HEADER_BYTES + length <= len(start):
            return kind, pickle.loads(memoryview(start)[HEADER_BYTES:])

        with self.open("rb") as file:
            return kind, pickle.load(file)

    # The child's side

    def write_nothing(self) -> None:
        """The result is None."""
        os.pwrite(self._fd, _HEADER.pack(NOTHING, 0), 0)

    def write_value(self, value: object, name: str) -> None:
        """Store the result; if it cannot be pickled, the error that says so. `name` is the process's."""
        if value is None:
            self.write_nothing()
            return
        if type(value) in _PLAIN:
            import pickle

            contents = pickle.dumps(value, 5)
            os.pwrite(self._fd, _HEADER.pack(VALUE, len(contents)) + contents, 0)
            return
        try:
            self._write(VALUE, value)
        except Exception as error:
            self._write(RAISED, (_unpicklable(value, error, name, "result"), _format(error)))

    def write_exception(self, error: BaseException, name: str) -> None:
        """Store an exception with its traceback; if it cannot be pickled and unpickled, an error that says so."""
        text = _format(error)
        import pickle

        try:
            pickle.loads(_dumps(error))
        except Exception as failure:
            self._write(RAISED, (_unpicklable(error, failure, name, "exception"), text))
        else:
            self._write(RAISED, (error, text))

    def _write(self, kind: int, contents: object) -> None:
        """Pickle, then publish: the header goes last."""
        from multiprocessing.reduction import ForkingPickler

        os.ftruncate(self._fd, HEADER_BYTES)
        with self.open("wb") as file:
            ForkingPickler(file, 5).dump(contents)
            file.flush()
            length = os.lseek(self._fd, 0, os.SEEK_CUR) - HEADER_BYTES
        os.pwrite(self._fd, _HEADER.pack(kind, length), 0)


def _dumps(obj: object) -> Any:
    from multiprocessing.reduction import ForkingPickler

    return ForkingPickler.dumps(obj, 5)


def _format(error: BaseException) -> str:
    import traceback

    return "".join(traceback.format_exception(type(error), error, error.__traceback__))


def _unpicklable(obj: object, failure: Exception, name: str, what: str) -> Exception:
    """The error that comes back in place of a result or exception that cannot."""
    from ._blame import find_unpicklable, shorten
    from .errors import ResultUnpicklable

    path, part, reason = find_unpicklable(obj, _dumps, what)
    if reason.args == () or isinstance(reason, ValueError):
        reason = failure  # it pickles, but cannot be made again from its pickle
    message = f"the {what} of {name} cannot be pickled: {path} is {shorten(part)} ({type(reason).__name__}: {reason})"
    return ResultUnpicklable(message, path=path, name=name, pid=os.getpid(), item=shorten(obj))
