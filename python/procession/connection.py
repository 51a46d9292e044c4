"""Pipes between two ends, and the standard library's Listener, Client and wait.

A pipe is one ring in shared memory for each direction; sending and receiving while both sides run costs no system call.
Beside each ring runs an ordinary pipe of the kernel that carries no data. It serves two ends:

* Liveness. The kernel closes a dead process's descriptors, so "every holder of the other end is gone" is a hang-up,
  kill -9 included, and descriptors travel to children exactly as those of a standard pipe do. A blocked receiver or
  sender looks at it between slices of `_SLICE_S`, so it notices a death within that time.
* Waiting for several things. Once somebody has asked the receiving end for its `fileno()` (`wait`, select, asyncio),
  its direction is *watched*: the sender writes one byte after each message, the receiver reads one after each. The
  flag for this stays on. What was sent before is made up for by the receiver itself, who opens the pipe's other side
  for that moment through /proc. If a receiver overtakes the byte of the message it takes, the byte is superfluous;
  the next `fileno()` removes it.

A message is a 1-tuple holding the object (`send`), or bytes (`send_bytes`). As in the standard library both sorts mix:
`recv` unpickles bytes, `recv_bytes` of an object gives its pickle.

Back pressure: a sender waits while `_RING_BYTES` are unread (payloads of 64 KiB and more lie beside the ring and count
with a few bytes), or `_RING_ITEMS` messages.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import os
import select
import struct
import termios
from multiprocessing import connection, reduction
from multiprocessing.connection import Client, Listener, wait
from time import monotonic

from . import _native
from ._store import Shared
from .errors import Empty, Full

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Client", "Connection", "Listener", "Pipe", "wait"]

_SLICE_S = 0.1  # longest time a blocked end goes without looking whether the other one lives
_FIRST_SLICE_S = 0.005  # the first looks come sooner, so that an end that closes orderly is noticed quickly
_RING_BYTES = 1 << 18  # a standard pipe holds 64 KiB
_RING_ITEMS = 1 << 14  # fewer than the bytes a kernel pipe holds, so that writing one never blocks
_FLAG_BYTES = 8  # per direction: is it watched; was a receiving end closed somewhere (only a hint to look)


class _Ring(_native.Ring, Shared):
    """One direction of a pipe, picklable by address."""

    __slots__ = ()

    def __new__(cls, *, arena: _native.Arena, address: tuple[int, int] | None = None) -> Any:
        return super().__new__(cls, arena, _RING_ITEMS, _RING_BYTES, address=address)


class _Flags(_native.Block, Shared):
    """The flags of a pipe, picklable by address."""

    __slots__ = ()

    def __new__(cls, *, arena: _native.Arena, address: tuple[int, int] | None = None) -> Any:
        return super().__new__(cls, arena, _FLAG_BYTES, address=address)


class _Outbound:
    """The sending half of an end."""

    def __init__(self, ring: _Ring, flags: _Flags, direction: int, fd: int) -> None:
        self.ring, self.flags, self.direction, self.fd = ring, flags, direction, fd
        self.both = memoryview(flags).cast("H")  # watched and closed of one direction, read at once
        self.looked = monotonic()  # when the other end was last seen alive

    def put(self, message: object) -> None:
        """Block while the ring is full. Raises: BrokenPipeError when nobody can receive any more."""
        flags, now = self.both[self.direction], monotonic()
        if flags or now - self.looked > _SLICE_S:
            self.check()
            self.looked = now
        slice_s = _FIRST_SLICE_S
        while True:
            try:
                self.ring.put(message, True, slice_s)
                break
            except Full:
                self.check()
                slice_s = min(2 * slice_s, _SLICE_S)
        if self.both[self.direction] & 0xFF:
            self.tell()

    def check(self) -> None:
        """Raises: BrokenPipeError when every receiving end is gone."""
        if _events(self.fd) & select.POLLERR:
            raise BrokenPipeError(errno.EPIPE, "the other end of the pipe is closed")

    def tell(self) -> None:
        """Make the receiver's descriptor readable."""
        with contextlib.suppress(BlockingIOError):  # full of such bytes: readable enough
            os.write(self.fd, b"\0")

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_half, (_Outbound, self.ring, self.flags, self.direction, reduction.DupFd(self.fd))


class _Inbound:
    """The receiving half of an end."""

    def __init__(self, ring: _Ring, flags: _Flags, direction: int, fd: int) -> None:
        self.ring, self.flags, self.direction, self.fd = ring, flags, direction, fd
        self.bytes = memoryview(flags)
        self.watched = 2 * direction
        self.closed = 2 * direction + 1

    def get(self) -> Any:
        """Block until there is a message. Raises: EOFError when there is none and nobody can send any more."""
        slice_s = _FIRST_SLICE_S
        while True:
            try:
                message = self.ring.get(True, slice_s)
                break
            except Empty:
                if self.hung_up() and self.ring.empty():  # in this order: the last message precedes the hang-up
                    raise EOFError from None
                slice_s = min(2 * slice_s, _SLICE_S)
        if self.bytes[self.watched]:
            self.swallow(1)
        return message

    def poll(self, timeout: float | None) -> bool:
        """Whether `get` would not block, within `timeout` seconds."""
        deadline = None if timeout is None else monotonic() + timeout
        slice_s = _FIRST_SLICE_S
        while True:
            left = slice_s if deadline is None else deadline - monotonic()
            if not self.ring.empty() or self.hung_up():
                return True
            if left <= 0:
                return False
            self.ring.poll(min(left, slice_s))
            slice_s = min(2 * slice_s, _SLICE_S)

    def hung_up(self) -> bool:
        """Whether every sending end is gone; messages may still be in the ring."""
        return bool(_events(self.fd) & select.POLLHUP)

    def watch(self) -> None:
        """Keep the descriptor readable while there are messages, from now on."""
        self.bytes[self.watched] = 1
        there = struct.unpack("i", fcntl.ioctl(self.fd, termios.FIONREAD, b"\0\0\0\0"))[0]
        wanted = self.ring.qsize()  # read after: a byte is written after its message
        if there > wanted:
            self.swallow(there - wanted)
        elif there < wanted:
            other_side = os.open(f"/proc/self/fd/{self.fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                os.write(other_side, bytes(wanted - there))
            finally:
                os.close(other_side)

    def swallow(self, count: int) -> None:
        """Read `count` bytes if they are there."""
        with contextlib.suppress(BlockingIOError):  # the sender has not come to write it yet
            os.read(self.fd, count)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_half, (_Inbound, self.ring, self.flags, self.direction, reduction.DupFd(self.fd))


def _rebuild_half(cls: type[Any], ring: _Ring, flags: _Flags, direction: int, duplicate: Any) -> Any:
    fd = duplicate.detach()
    os.set_inheritable(fd, False)
    return cls(ring, flags, direction, fd)


def _events(fd: int) -> int:
    """The poll events pending on a descriptor; errors and hang-ups are always among those asked for."""
    poller = select.poll()
    poller.register(fd, 0)
    pending = poller.poll(0)
    return pending[0][1] if pending else 0


class Connection(connection.Connection):
    """One end of a `Pipe`. Only one thread at a time should send, and one receive, as with a standard pipe's ends.

    It may be passed to a child as an argument, inherited by fork, or sent through another connection or a queue. When
    every process holding the other end has closed it or died, receiving raises EOFError once the messages already sent
    are taken, and sending raises BrokenPipeError.
    """

    def __init__(self, inbound: _Inbound | None, outbound: _Outbound | None) -> None:
        """Of the ends that `Pipe` makes. `inbound` is None for one that only sends, `outbound` if it only receives."""
        half = inbound or outbound
        assert half is not None
        super().__init__(half.fd, readable=inbound is not None, writable=outbound is not None)
        self._inbound, self._outbound = inbound, outbound

    def __repr__(self) -> str:
        if self.closed:
            return "<Connection(closed)>"
        unread = self._inbound.ring.qsize() if self._inbound is not None else 0
        return f"<Connection(fd {self._handle}, {unread} messages unread)>"  # type: ignore[attr-defined]

    def fileno(self) -> int:
        """A descriptor that is readable while there is something to receive or the other end is gone.

        Asking for it makes each later message cost two system calls more.

        Raises: OSError when closed.
        """
        self._check_closed()  # type: ignore[attr-defined]
        if self._inbound is not None:
            self._inbound.watch()
        return int(self._handle)  # type: ignore[attr-defined]

    def send(self, obj: Any) -> None:
        """Send an object; blocks while too much is unread (see the module).

        Raises: PicklingError naming the part that cannot be pickled; BrokenPipeError; OSError when closed or read-only.
        """
        outbound = self._outbound
        if outbound is None:
            self._refuse(self._check_writable)  # type: ignore[attr-defined]
        else:
            outbound.put((obj,))

    def recv(self) -> Any:
        """Wait for an object. Raises: EOFError when none is left and the other end is gone; OSError when closed."""
        inbound = self._inbound
        if inbound is None:
            return self._refuse(self._check_readable)  # type: ignore[attr-defined]
        message = inbound.get()
        return message[0] if type(message) is tuple else reduction.ForkingPickler.loads(message)

    def _refuse(self, check: Any) -> None:
        """Say why this end cannot do that: it is closed, or of the other kind."""
        self._check_closed()  # type: ignore[attr-defined]
        check()

    # What the standard library's send_bytes, recv_bytes, recv_bytes_into, poll and close end up in

    def _send_bytes(self, buf: Any) -> None:
        assert self._outbound is not None
        self._outbound.put(bytes(buf))

    def _recv_bytes(self, maxsize: int | None = None) -> io.BytesIO | None:
        assert self._inbound is not None
        message = self._inbound.get()
        data = reduction.ForkingPickler.dumps(message[0]) if type(message) is tuple else message
        if maxsize is not None and len(data) > maxsize:
            return None
        buffer = io.BytesIO()
        buffer.write(data)
        return buffer

    def _poll(self, timeout: float | None) -> bool:
        assert self._inbound is not None
        return self._inbound.poll(timeout)

    def _close(self) -> None:
        inbound, outbound = self._inbound, self._outbound
        self._inbound = self._outbound = None
        if inbound is not None:
            os.close(inbound.fd)
            inbound.bytes[inbound.closed] = 1
        if outbound is not None:
            os.close(outbound.fd)

    def __reduce__(self) -> tuple[Any, ...]:
        self._check_closed()  # type: ignore[attr-defined]
        return Connection, (self._inbound, self._outbound)


def Pipe(duplex: bool = True, *, arena: _native.Arena | None = None) -> tuple[Connection, Connection]:
    """Return two connected ends, `(a, b)`: both send and receive, or with `duplex` false a only receives, b only sends.

    Raises: OSError when descriptors run out (2 for each direction), ArenaFull.
    """
    if arena is None:
        from ._store import shared_arena

        arena = shared_arena()
    flags = _Flags(arena=arena)
    b_to_a = _one_way(arena, flags, 0)
    if not duplex:
        return Connection(b_to_a[0], None), Connection(None, b_to_a[1])
    try:
        a_to_b = _one_way(arena, flags, 1)
    except BaseException:
        for half in b_to_a:
            os.close(half.fd)
        raise
    return Connection(b_to_a[0], a_to_b[1]), Connection(a_to_b[0], b_to_a[1])


def _one_way(arena: _native.Arena, flags: _Flags, direction: int) -> tuple[_Inbound, _Outbound]:
    ring = _Ring(arena=arena)
    reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    return _Inbound(ring, flags, direction, reading), _Outbound(ring, flags, direction, writing)
