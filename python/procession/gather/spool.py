"""Files without a name: what workers write for each other, and the answer they make together.

A spool lies in memory (memfd) or, when that would be too much, in a file on disk that has no name, so whatever dies
when, nothing is left behind: the space comes back with the last descriptor. The caller's process makes it; workers,
which exist already, open it through that process's `/proc` entry. A pid or descriptor number may have been reused by
then, so device and inode travel along and are compared. A worker that is forked while a call is going on (in place of
one that died) inherits the caller's descriptors and closes them at once: it would hold the space for as long as it
lives.

Everyone appends, and the kernel says where that was; the first page is kept for a header. See crates/gather.
"""

from __future__ import annotations

import errno
import os
import weakref

from .. import _native
from .._bootstrap import at_fork_in_child
from .._outcome import anonymous_file
from ..errors import ObjectGone, SpillFull

TYPE_CHECKING = False  # `typing` is slow to import, and workers should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["Spool", "spill_directory"]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_open: weakref.WeakSet[Spool] = weakref.WeakSet()


def _close_inherited() -> None:
    for spool in list(_open):
        spool.close()


at_fork_in_child(_close_inherited)


class Spool:
    """An anonymous file, open for reading and writing.

    Pickles for relatives of this process, for as long as it keeps the file open; what they get is a descriptor of
    their own, to be closed with `release`. Copies within the process are this very object.
    """

    __slots__ = ("__weakref__", "_identity", "_reopened", "directory", "fd")

    def __init__(self, fd: int, directory: str | None = None, *, reopened: bool = False) -> None:
        """Owns `fd` from now on. `directory` is where the space is taken from, None for memory."""
        self.fd: int = fd
        self.directory: str | None = directory
        self._reopened = reopened
        _open.add(self)
        status = os.fstat(fd)
        self._identity = status.st_dev, status.st_ino

    def __repr__(self) -> str:
        where = "in memory" if self.directory is None else f"in {self.directory}"
        return f"<{type(self).__name__} {where}{', closed' if self.fd < 0 else ''}>"

    def __del__(self) -> None:
        if getattr(self, "fd", -1) >= 0:
            self.close()

    @classmethod
    def in_memory(cls, name: str) -> Spool:
        """A new one in memory; on disk where there is no memfd. `name` is what `/proc` shows, nothing more.

        Raises: OSError.
        """
        if not hasattr(os, "memfd_create"):
            return cls.on_disk(spill_directory(None))
        return cls(anonymous_file(name)).begun()

    @classmethod
    def on_disk(cls, directory: str) -> Spool:
        """A new one in the file system of a directory. Raises: OSError naming it."""
        return cls(_nameless(directory), directory).begun()

    def begun(self) -> Spool:
        """Itself, when the header's page has been written. Raises: SpillFull, OSError; it is closed then."""
        try:
            self.fill(_native.spool_init, self.fd)
        except BaseException:
            self.close()
            raise
        return self

    def fill(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a native function that writes into it. Raises: SpillFull when there is no space; as the function."""
        try:
            return function(*arguments)
        except OSError as error:
            raise self.full(error) from None

    def full(self, error: OSError) -> OSError:
        """SpillFull for an error of writing into it; one that came out of a function of the user's, as it is.

        The error was caught where the native function was called: one of its own has no frame below that.
        """
        trace = error.__traceback__
        if error.errno not in _FULL or (trace is not None and trace.tb_next is not None):
            return error
        if self.directory is None:
            place, mend = "shared memory", "a memory_budget= below what there is makes it use the disk"
        else:
            place, mend = self.directory, "free some space, or name a place with more: spill_dir="
        written = os.fstat(self.fd).st_size
        message = (
            f"{os.strerror(error.errno)}: what a map_reduce_by_key gathers does not fit into {place}, where {written} "
            f"bytes of it were. Nothing is left behind; {mend}"
        )
        return SpillFull(error.errno, message, directory=self.directory, written_bytes=written)

    def detach(self) -> int:
        """Give the descriptor to the caller, who closes it. The spool is closed."""
        fd, self.fd = self.fd, -1
        _open.discard(self)
        return fd

    def close(self) -> None:
        """Give the descriptor back; the space too, once nobody else has it open. May be called again."""
        if self.fd >= 0:
            os.close(self.detach())

    def release(self) -> None:
        """In a worker: done with it. A thread, which has the caller's own, leaves it open."""
        if self._reopened:
            self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (os.getpid(), self.fd, self._identity, self.directory)


def _reopen(pid: int, fd: int, identity: tuple[int, int], directory: str | None) -> Spool:
    """Raises: ObjectGone when the process that made it has ended, or has closed it."""
    try:
        again = os.open(f"/proc/{pid}/fd/{fd}", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise ObjectGone(f"cannot reach a spool of process {pid} ({error.strerror}): the call is over") from error
    spool = Spool(again, directory, reopened=True)
    if spool._identity != tuple(identity):
        spool.close()
        raise ObjectGone(f"a spool of process {pid} was closed: the call is over")
    return spool


def _nameless(directory: str) -> int:
    flags = getattr(os, "O_TMPFILE", 0)
    if flags:
        try:
            return os.open(directory, flags | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError:
            pass  # overlayfs, NFS and others lack it; if something else is wrong the next attempt says so
    import tempfile

    fd, path = tempfile.mkstemp(prefix="procession-", dir=directory)
    os.unlink(path)
    return fd


def spill_directory(given: Any) -> str:
    """Where spools go that are too large for memory: the directory given, else where temporary files go.

    Raises: TypeError for what is no path; NotADirectoryError, PermissionError for a directory given that will not do.
    """
    if given is None:
        import tempfile

        return tempfile.gettempdir()
    path = os.fspath(given)
    path = os.fsdecode(path)
    if not os.path.isdir(path):
        raise NotADirectoryError(f"spill_dir is to be a directory that exists, and {path!r} is not")
    if not os.access(path, os.W_OK | os.X_OK):
        raise PermissionError(f"spill_dir is to be a directory in which files can be made, and {path!r} is not")
    return path
