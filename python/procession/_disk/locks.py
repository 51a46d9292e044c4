"""Lock and RLock between programs that know no more of each other than a path.

The lock itself lies in memory (`meeting`), so it is as fast as any, knows its owner, and passes on with his death as
any does. The file is where the lock's users meet. When all of them have gone at once, as one that was alone and is
killed, nobody is left to be told. Made with `on_abandoned="raise"` a lock keeps its promise even then: its holder also
stands in the file (bytes 512–519: pid and time, 0: nobody), in a page that is mapped, and whoever makes the state again
makes it as that holder left it. That costs a microsecond, which other locks are spared.

On a file system of several machines (NFS, SMB ...) the memory of the others cannot be reached. There each machine has a
lock of its own, and who holds that takes byte 2 of the file besides, which the server keeps for one at a time. It is
asked for again and again, so a release is noticed a moment later; it is not known who holds it elsewhere; and when his
machine dies, the server frees it after its own time, and nobody is told.
"""

from __future__ import annotations

import os
import struct
import time

from .. import _native
from .._owner import raises
from ..errors import HomeError, HomeMismatch, NotOwner
from ..synchronize import Lock, RLock
from . import meeting
from .header import PAGE, Header
from .homes import Home, OnDisk, place

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from typing import Any

    from .._owner import OnAbandoned

__all__ = [
    "DiskLock",
    "DiskRLock",
    "MarkedLock",
    "MarkedRLock",
    "ServerLock",
    "ServerRLock",
    "is_remote",
    "open_lock",
    "open_rlock",
]

_PAUSES = (0.001, 0.1)  # seconds: the first, and the longest, between two questions to a file server
_SERVER = 2  # the byte that is asked for there
_HOLDER_AT, _HOLDER = 512, struct.Struct("=II")  # pid, 0: nobody; and since when, in seconds since 1970

# File systems that other machines have too, as mountinfo(5) names them
_REMOTE = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "9p", "lustre", "gfs2", "ocfs2", "gpfs", "beegfs"}


def _reopen(cls: Any, path: str, on_abandoned: OnAbandoned) -> Any:
    """The lock at a path, where a pickle is read. Raises: FileNotFoundError when it was removed."""
    return cls(path, on_abandoned=on_abandoned, create=False)


class _LockHome(Home):
    """The file of a lock, in which its holder may stand."""

    __slots__ = ("_file", "_lock", "_name", "_raises")

    def __init__(self, path: str, lock: type[_AnyDiskLock], name: str, raises: bool, create: bool) -> None:
        self._lock, self._name, self._raises = lock, name, raises
        super().__init__(path, Header(lock._kind), self._make, create=create, apart=lock._apart)

    def _prepare(self, file: int, *arguments: Any) -> None:
        super()._prepare(file, *arguments)
        self._file = file

    def _make(self, arena: _native.Arena) -> Any:
        pid, since = _HOLDER.unpack(os.pread(self._file, _HOLDER.size, _HOLDER_AT))
        if not self._raises:
            os.pwrite(self._file, bytes(_HOLDER.size), _HOLDER_AT)  # to be told once is enough
        lock = self._lock._type.__base__(arena, raises=self._raises, left_by=(pid, since) if pid else None)
        _native.set_name(lock, self._name)
        return lock


class _AnyDiskLock(OnDisk):
    """What both kinds have in common."""

    __slots__ = ()

    _kind: str
    _type: Any
    _apart = False  # whether each machine has a state of its own

    def __new__(
        cls, path: str, *, label: str | None = None, on_abandoned: OnAbandoned = "warn", create: bool = True
    ) -> Any:
        home = _LockHome(path, cls, label or path, raises(on_abandoned), create)
        self = cls._type.__new__(cls, arena=home.meeting.arena, address=home.meeting.address)
        self._home = home
        if self.on_abandoned != on_abandoned:
            home.close()
            raise HomeMismatch(
                f"{path} is open elsewhere with on_abandoned={'warn' if on_abandoned == 'raise' else 'raise'!r}, and "
                f"{on_abandoned!r} was asked for: all who have it open must agree",
                path=path,
            )
        return self

    def close(self: Any) -> None:
        """As that of any object on disk. Raises: HomeError while this process holds it, for nobody could release it."""
        owner = None if self._home.meeting.is_closed else self.owner
        if owner is not None and owner.pid == os.getpid():
            raise HomeError(f"{self.path} is held by this process: release it before it is closed", path=self.path)
        super().close()

    def __reduce__(self: Any) -> tuple[Any, ...]:
        return _reopen, (type(self), self.path, self.on_abandoned)


class DiskLock(_AnyDiskLock, Lock):
    """A Lock that lives at a path."""

    __slots__ = ()
    _kind, _type = "lock", Lock


class DiskRLock(_AnyDiskLock, RLock):
    """An RLock that lives at a path."""

    __slots__ = ()
    _kind, _type = "rlock", RLock


class _Doubled:
    """For locks of which the holder, once inside, also does something with the file, and undoes it before he leaves."""

    __slots__ = ()

    def _enter(self, deadline: float | None) -> bool:
        """Inside. False when the deadline passed, and the lock is given back."""
        raise NotImplementedError

    def _leave(self) -> None:
        """About to go outside."""
        raise NotImplementedError

    def acquire(self: Any, block: bool = True, timeout: float | None = None) -> bool:
        """As that of any lock."""
        deadline = None if timeout is None else time.monotonic() + timeout
        if not super().acquire(block, timeout):  # type: ignore[misc]
            return False
        if self._is_inner():
            return True
        entered: bool = False
        try:
            entered = self._enter(deadline if block else 0.0)
        finally:
            if not entered:
                super().release()  # type: ignore[misc]
        return entered

    def release(self: Any) -> None:
        """As that of any lock."""
        if not self._is_inner():
            self._leave()
        super().release()  # type: ignore[misc]

    def _is_inner(self: Any) -> bool:
        """Whether this is not the first acquisition of the holder; or who asks is not the holder of an RLock."""
        return self._kind == "rlock" and (self.count != 1 or not self._is_mine())

    def __enter__(self: Any) -> bool:
        return self.acquire()  # type: ignore[no-any-return]

    def __exit__(self: Any, *error: object) -> None:
        self.release()

    def _begin_repair(self: Any) -> Any:
        found, token = super()._begin_repair()  # type: ignore[misc]
        if not self._is_inner():
            self._enter(None)
        return found, token

    def _end_repair(self: Any, token: int, is_repaired: bool) -> None:
        if is_repaired and not self._is_inner():
            self._leave()
        super()._end_repair(token, is_repaired)  # type: ignore[misc]


class _Marked(_Doubled):
    """For locks whose holder stands in the file."""

    __slots__ = ()

    def __new__(cls, *arguments: Any, **options: Any) -> Any:
        self: Any = super().__new__(cls, *arguments, **options)
        page = _native.Mapping(self._home.meeting.file, 0, PAGE)
        self._holder = memoryview(page)[_HOLDER_AT : _HOLDER_AT + _HOLDER.size].cast("I")
        return self

    def _enter(self: Any, deadline: float | None) -> bool:
        holder = self._holder
        if holder[0] == 0:  # else this is a repair, and until it is done the dead one stands there
            holder[1] = int(time.time())
            holder[0] = os.getpid()
        return True

    def _leave(self: Any) -> None:
        self._holder[0] = 0


class MarkedLock(_Marked, DiskLock):
    """A Lock that is not forgotten when all have died."""

    __slots__ = ()


class MarkedRLock(_Marked, DiskRLock):
    """An RLock that is not forgotten when all have died."""

    __slots__ = ()


class _OnServer(_Doubled):
    """For locks on a file system of several machines: who has this machine's also takes the server's."""

    __slots__ = ()
    _apart = True

    def _enter(self: Any, deadline: float | None) -> bool:
        """Lock the byte by a descriptor of its own, with which the lock ends however this process ends."""
        file = meeting.open_again(self._home.meeting.file)
        pause, longest = _PAUSES
        try:
            while not meeting.try_lock(file, _SERVER):
                if deadline is not None and time.monotonic() >= deadline:
                    return False
                time.sleep(pause)
                pause = min(pause * 2, longest)
            self._taken, file = file, -1
        finally:
            if file >= 0:
                meeting.close(file)
        return True

    def release(self: Any) -> None:
        """As that of any lock, but for the process that has acquired it only. Raises: NotOwner in any other."""
        owner = self.owner
        if owner is not None and owner.pid != os.getpid():
            raise NotOwner(
                f"process {owner.pid} holds {self.path}: on a file system of several machines, only the process that "
                "has acquired a lock can release it",
                owner=owner,
            )
        if owner is None:
            self._type.release(self)  # which says that it is free
        super().release()

    def _leave(self: Any) -> None:
        meeting.close(self._taken)

    def _end_repair(self: Any, token: int, is_repaired: bool) -> None:
        if not is_repaired and not self._is_inner():
            self._leave()  # the server knows of no repair
        super()._end_repair(token, is_repaired)


class ServerLock(_OnServer, DiskLock):
    """A Lock on a file system of several machines."""

    __slots__ = ()


class ServerRLock(_OnServer, DiskRLock):
    """An RLock on a file system of several machines."""

    __slots__ = ()


def open_lock(path: Any, name: str | None, on_abandoned: OnAbandoned, create: bool = True) -> DiskLock:
    """The Lock at a path, made if it is not there. Blocks while another process opens it.

    Raises: as `Home`; HomeMismatch also when those who have it open chose otherwise of `on_abandoned`.
    """
    where = place("lock", path, name)
    cls: Any = ServerLock if is_remote(where) else MarkedLock if raises(on_abandoned) else DiskLock
    return cls(where, label=name, on_abandoned=on_abandoned, create=create)  # type: ignore[no-any-return]


def open_rlock(path: Any, name: str | None, on_abandoned: OnAbandoned, create: bool = True) -> DiskRLock:
    """The RLock at a path; as `open_lock`."""
    where = place("rlock", path, name)
    cls: Any = ServerRLock if is_remote(where) else MarkedRLock if raises(on_abandoned) else DiskRLock
    return cls(where, label=name, on_abandoned=on_abandoned, create=create)  # type: ignore[no-any-return]


def is_remote(path: str) -> bool:
    """Whether a file lies, or would lie, on a file system that other machines have too."""
    try:
        device = os.stat(path).st_dev
    except OSError:
        device = os.stat(os.path.dirname(path)).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:
        for line in mounts:
            mount, _, source = line.partition(" - ")
            if mount.split(" ", 3)[2] == number:
                type_ = source.split(" ", 1)[0]
                return type_ in _REMOTE or type_ in ("fuse.sshfs", "fuse.glusterfs", "fuse.ceph-fuse")
    return False
