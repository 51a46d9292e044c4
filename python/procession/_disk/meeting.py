"""Where unrelated programs find each other: at a file.

What lies on disk is what must last. Who holds a lock, who waits and where a reader stands must not: it dies with those
who know it. So it lies in an arena, as in memory, and the file only says where: which process has that arena open, and
at which address the object is. Whoever opens the file first makes that state in an arena of its own program, made for
this (`disk_arena`); whoever comes later attaches that arena through the other's `/proc` entry. When the last one has
closed the file, or died, the state is gone with its arena, and the next one is first again and makes it from the file.

Two locks of the file, which the kernel frees when their holder dies, say what may be believed:

- byte 0, the *gate*: held alone by whoever is coming in, while it looks, and makes the state if it is first;
- byte 1, *presence*: held together by all who have the file open. Nobody is present: whatever stands in the file is
  of the past. Somebody is: then his arena has to be found, or there would be two states, and two holders of one lock.

They are open-file-description locks (`F_OFD_SETLK`): threads are kept apart by them as well as processes, the child of
a fork shares its parent's presence, and closing some other descriptor of the same file changes nothing.

The meeting's part of the file (from byte 1024): CRC-32 of the rest, number of entries, namespace of process ids, token
of the arena, address; then for each process pid, descriptor and start time. It is a hint, and never believed unchecked:
a pid counts with its start time, an arena with its token, an address with its serial number. When none of those who
stand there can be asked any more (the children of a fork do not enter themselves), `/proc` is searched for a descriptor
of that arena. Processes that see each other under other pids cannot share one, for each would take the other for dead.

Dropped: a mutex in the file itself, whose owner would have to be told from whoever has his pid after a restart of the
machine, and from processes of other containers; a socket or a server, which somebody would have to keep alive.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys
import time
from binascii import crc32
from contextlib import suppress
from multiprocessing import process as _mp_process
from multiprocessing import util as _mp_util

from .. import _native, _store
from .._registry import proc
from .._stat import START, stat
from ..errors import HomeError, HomeUnreachable, ObjectGone, TimeoutError

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["Meeting", "Moved", "close", "disk_arena", "open_again", "try_lock"]

ARENA_BYTES = 1 << 30  # of states, a hundred bytes or so each, and of what is too large for a queue's own memory
GATE_TIMEOUT = 60.0  # seconds; arbitrary. Who is first to open a large queue after a crash reads all of it
REACH_TIMEOUT = 2.0  # seconds; whoever dies or leaves may be seen present for some milliseconds longer
PAUSES = (0.001, 0.05)  # seconds: the first, and the longest

_GATE, _PRESENCE = 0, 1  # bytes
_AREA, _AREA_END = 1024, 4096
_PLACE = struct.Struct("<IQ16sQQ")  # how many are present, namespace of their pids, token, offset, serial
_PRESENT = struct.Struct("<IiQ")  # pid, descriptor, start time
_MOST = (_AREA_END - _AREA - 4 - _PLACE.size) // _PRESENT.size

_arena: _native.Arena | None = None
_unshared: set[int] = set()  # descriptors whose locks are this process's only, and no forked child's


class Moved(Exception):
    """The file was removed while its gate was waited for: open the path again."""


def disk_arena() -> _native.Arena:
    """The arena for the states of objects on disk that this program is the first to open; made when first asked for."""
    global _arena
    if _arena is None:
        _arena = _native.Arena.for_strangers(ARENA_BYTES * 4, ARENA_BYTES)
        _meet(_arena)
    return _arena


def _meet(arena: _native.Arena) -> None:
    if arena.token not in [known.token for known in _store.met]:
        _store.met.append(arena)
        arena.introduce(_called())


def _called() -> str:
    """What this process is called among strangers: its program, and its name in that."""
    program = os.path.basename(sys.argv[0]) if sys.argv and sys.argv[0] != "-c" else "python -c"
    name = str(_mp_process.current_process().name)
    text = program if name == "MainProcess" else f"{program} {name}"
    return text.encode(errors="replace").decode()


def _introduce(_: object) -> None:
    for arena in _store.met:
        arena.introduce(_called())


_mp_util.register_after_fork(_introduce, _introduce)


def _unshare() -> None:
    """In the child of a fork, which would keep the gate locked for a parent that dies, with nobody to open it."""
    for file in _unshared:
        with suppress(OSError):
            os.close(file)
    _unshared.clear()


os.register_at_fork(after_in_child=_unshare)


def open_again(file: int) -> int:
    """Another descriptor of an open file, with locks of its own that no forked child shares; for `close`."""
    again = os.open(f"/proc/self/fd/{file}", os.O_RDWR | os.O_CLOEXEC)
    _unshared.add(again)
    return again


def close(file: int) -> None:
    """Close what `open_again` gave, and give back its locks."""
    _unshared.discard(file)
    os.close(file)


def try_lock(file: int, byte: int) -> bool:
    """Lock a byte of a file for this descriptor alone; False when another has it. Raises: OSError."""
    try:
        _lock(file, byte, fcntl.F_WRLCK)
    except (BlockingIOError, PermissionError):  # EAGAIN or EACCES, as POSIX has it
        return False
    return True


class Meeting:
    """This process's presence at a file, and where the state is that all who are present share.

    It lasts until `close`, or until the object and its copies in forked children are dropped.
    """

    __slots__ = ("_hold", "file", "is_first")

    file: int
    """The descriptor by which this process, and children that it has forked, are present; -1 when it has left."""
    is_first: bool
    """Whether it was this opener who made the state."""

    def __init__(self, file: int, hold: _native.Hold, is_first: bool) -> None:
        self.file, self._hold, self.is_first = file, hold, is_first

    @classmethod
    def join(
        cls,
        file: int,
        make: Callable[[_native.Arena], Any],
        *,
        path: str,
        prepare: Callable[[], object] | None = None,
        apart: bool = False,
        timeout: float | None = GATE_TIMEOUT,
    ) -> Meeting:
        """Come to the meeting at a file that is open for reading and writing; the descriptor stays the caller's.

        With the gate locked, `prepare` sees to it that the file is whole (and may raise); then, if nobody is present,
        `make` makes the state in the arena given: it returns an object with `arena` and `address`, and may do the
        recovery, as nobody else has the file open. Both must not open this file again, which would wait for themselves.
        With `apart`, those who cannot be reached do not matter: each machine has a state of its own.

        Blocks while another process comes in; its death ends that. `path` is for messages. Raises: TimeoutError when
        that takes longer than `timeout` seconds; HomeUnreachable when somebody is present who cannot be reached; Moved
        when the file was removed meanwhile; HomeError where the file system has no locks.
        """
        own = open_again(file)
        try:
            _lock_gate(own, path, timeout)
            if os.fstat(own).st_nlink == 0:
                raise Moved(path)
            if prepare is not None:
                prepare()
            hold = _found(own, path, apart)
            is_first = hold is None
            if hold is None:
                made = make(disk_arena())
                hold = _native.Hold(made.arena, made.address)
            _lock(own, _PRESENCE, fcntl.F_RDLCK)
            _enter(own, hold)
            _lock(own, _GATE, fcntl.F_UNLCK)
        except BaseException:
            close(own)
            raise
        _unshared.discard(own)  # from here on a child is present too
        return cls(own, hold, is_first)

    def __del__(self) -> None:
        with suppress(OSError, AttributeError):
            self.close()

    @property
    def arena(self) -> _native.Arena:
        """Where the state lies: the disk arena of whichever program came first."""
        return self._hold.arena

    @property
    def address(self) -> tuple[int, int]:
        """Where in the arena."""
        return self._hold.address

    @property
    def is_closed(self) -> bool:
        """Whether this process has left."""
        return self.file < 0

    def close(self) -> None:
        """Leave. The state must not be used any more: the next who comes may be first. Idempotent."""
        file, self.file = self.file, -1
        if file >= 0:
            os.close(file)  # before the state is dropped: who is present can be reached


def _lock(file: int, byte: int, kind: int) -> None:
    fcntl.fcntl(file, fcntl.F_OFD_SETLK, _flock(byte, kind))


def _flock(byte: int, kind: int) -> bytes:
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, byte, 1, 0)


def _somebody_is_present(file: int) -> bool:
    """Whether another has the file open. (The caller has not entered yet.)"""
    answer = fcntl.fcntl(file, fcntl.F_OFD_GETLK, _flock(_PRESENCE, fcntl.F_WRLCK))
    return struct.unpack_from("h", answer)[0] != fcntl.F_UNLCK  # type: ignore[no-any-return]


def _lock_gate(file: int, path: str, timeout: float | None) -> None:
    deadline = None if timeout is None else time.monotonic() + timeout
    pause, longest = PAUSES
    while True:
        try:
            if try_lock(file, _GATE):
                return
        except OSError as error:
            raise HomeError(
                f"{path} cannot be locked ({error.strerror}): its file system has no locks for parts of files, without "
                "which its users cannot find each other; move it to another",
                path=path,
            ) from error
        if deadline is not None and time.monotonic() >= deadline:
            raise TimeoutError(f"{path} could not be opened within {timeout} seconds: another process is opening it")
        time.sleep(pause)
        pause = min(pause * 2, longest)


def _found(file: int, path: str, apart: bool) -> _native.Hold | None:
    """The state of those who are present; None when nobody is. Raises: HomeUnreachable, unless they may be `apart`."""
    deadline = time.monotonic() + REACH_TIMEOUT
    pause, longest = PAUSES
    while _somebody_is_present(file):
        token, address, present = _entries(file)
        arena = _reach(token, present) if token else None
        if arena is not None:
            with suppress(ObjectGone):  # then who is still present is about to leave
                return _native.Hold(arena, address)
        if apart:
            break
        if time.monotonic() >= deadline:
            listed = ", ".join(str(pid) for pid, _, _ in present) or "none"
            raise HomeUnreachable(
                f"a process has {path} open that cannot be reached from here: it runs in another container or on "
                f"another machine, or belongs to another user (process ids in the file: {listed}); "
                "use it from one place at a time",
                path=path,
            )
        time.sleep(pause)
        pause = min(pause * 2, longest)
    return None


def _entries(file: int) -> tuple[bytes, tuple[int, int], list[tuple[int, int, int]]]:
    """What the file says: token, address, and who was present. The token is empty when that is of no use here."""
    area = os.pread(file, _AREA_END - _AREA, _AREA).ljust(_AREA_END - _AREA, b"\0")
    if int.from_bytes(area[:4], "little") != crc32(area[4:]):
        return b"", (0, 0), []
    count, namespace, token, offset, serial = _PLACE.unpack_from(area, 4)
    start = 4 + _PLACE.size
    present = _PRESENT.iter_unpack(area[start : start + _PRESENT.size * min(count, _MOST)])
    return token if namespace == _namespace() else b"", (offset, serial), list(present)


def _namespace() -> int:
    """Where this process's id is what it is."""
    return os.stat("/proc/self/ns/pid").st_ino


def _enter(file: int, hold: _native.Hold) -> None:
    """Write down where the state is, and who can tell: those who stand there and live, and this process."""
    token, address, present = _entries(file)
    if (token, address) != (hold.arena.token, hold.address):
        present = []
    me = os.getpid(), hold.arena.fd, _start_time(os.getpid())
    living = [one for one in present if one[0] != me[0] and _start_time(one[0]) == one[2]]
    present = [*living, me][-_MOST:]
    area = _PLACE.pack(len(present), _namespace(), hold.arena.token, *hold.address)
    area = (area + b"".join(_PRESENT.pack(*one) for one in present)).ljust(_AREA_END - _AREA - 4, b"\0")
    os.pwrite(file, crc32(area).to_bytes(4, "little") + area, _AREA)


def _start_time(pid: int) -> int:
    """In clock ticks since boot; 0 when there is no such process."""
    try:
        return int(stat(pid)[START])
    except (OSError, IndexError):
        return 0


def _reach(token: bytes, present: list[tuple[int, int, int]]) -> _native.Arena | None:
    """The arena with this token: this process's, or through one of those who have it open."""
    known = _native.Arena.find(token)
    if known is not None:
        return known
    for pid, fd, started in present:
        if _start_time(pid) == started and (arena := _attached(f"/proc/{pid}/fd/{fd}", token)):
            return arena
    for pid in proc.processes():
        with suppress(OSError):
            for link in proc.disk_arenas(pid).values():
                if arena := _attached(link, token):
                    return arena
    return None


def _attached(link: str, token: bytes) -> _native.Arena | None:
    try:
        if _native.Observer.of_file(link).token != token:
            return None
        file = os.open(link, os.O_RDWR | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None  # it ended meanwhile, or hides what it has open, or that is no arena
    try:
        arena = _native.Arena.attach(file, token)
    finally:
        os.close(file)
    _meet(arena)
    return arena
