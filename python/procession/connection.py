"""Pipes between two ends, and the standard library's Connection, Listener, Client and the rest, under its names.

A pipe is one ring in shared memory for each direction; sending and receiving while both sides run costs no system call.
Beside the rings runs a socket pair that carries none of this. It serves three ends:

* Liveness. The kernel closes a dead process's descriptors, so "every holder of the other end is gone" is a hang-up,
  kill -9 included, and descriptors travel to children exactly as those of a standard pipe do. A blocked receiver or
  sender looks at it between slices of `_SLICE_S`, so it notices a death within that time.
* Waiting for several things. Once somebody has asked the receiving end for its `fileno()` (`wait`, select, asyncio),
  its direction is *watched*: a sender who finds the bell *armed* disarms it and rings, which is to write a byte. A
  receiver who finds the ring empty arms it: it counts the bytes there are, arms, looks at the ring again, and only if
  that is still empty takes as many bytes away; what was put meanwhile rang after those. So there are messages only
  if there is a byte or one on its way. A receiver who overtakes that one leaves a byte too many; the next to find the
  ring empty removes it, and `wait` asks the ring.
* Descriptors, which `reduction.send_handle` sends through it.

A message is a 1-tuple holding the object (`send`), or bytes (`send_bytes`). As in the standard library both sorts mix:
`recv` unpickles bytes, `recv_bytes` of an object gives its pickle.

Back pressure: a sender waits while `_RING_BYTES` are unread (payloads of 64 KiB and more lie beside the ring and count
with a few bytes), or `_RING_ITEMS` messages.

Connections of the standard library, as `Client` and `Connection(fd)` make them, are what they are there.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import socket
import sys
from multiprocessing import connection as _standard
from multiprocessing import reduction
from multiprocessing.connection import (  # type: ignore[attr-defined]
    Client,
    Connection,
    Listener,
    answer_challenge,
    deliver_challenge,
    rebuild_connection,
)
from time import monotonic

from . import _native
from ._store import Shared, shared_arena
from ._wait import wait
from .errors import Empty, Full

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = [
    "Client",
    "Connection",
    "Listener",
    "Pipe",
    "RingConnection",
    "answer_challenge",
    "deliver_challenge",
    "rebuild_connection",
    "reduce_connection",
    "wait",
]

_SLICE_S = 0.1  # longest time a blocked end goes without looking whether the other one lives
_FIRST_SLICE_S = 0.005  # the first looks come sooner, so that an end that closes orderly is noticed quickly
_RING_BYTES = 1 << 18  # a standard pipe holds 64 KiB
_RING_ITEMS = 1 << 14
_FLAG_BYTES = 8  # four for each direction:
_CLOSED, _WATCHED, _ARMED = range(3)  # a receiving end was closed somewhere (a hint to look); see above
_BELL = b"\xff"  # `reduction.sendfds` writes the number of descriptors instead, and never sends so many
_MOST_BELLS = 64  # taken away at once

# They make a socket of what `fileno` gives them.
_WANT_SOCKET = {getattr(reduction, name).__code__ for name in ("send_handle", "recv_handle")}


def __getattr__(name: str) -> Any:
    """What else the standard module has."""
    try:
        return getattr(_standard, name)
    except AttributeError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None


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
        self.ring, self.direction, self.fd = ring, direction, fd
        self.flags = memoryview(flags)[4 * direction :]
        self.looked = monotonic()  # when the other end was last seen alive

    def put(self, message: object) -> None:
        """Block while the ring is full. Raises: BrokenPipeError when nobody can receive any more."""
        flags, now = self.flags, monotonic()
        if flags[_CLOSED] or now - self.looked > _SLICE_S:
            flags[_CLOSED] = 0  # before looking: what is closed after that sets it again
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
        if flags[_ARMED]:
            flags[_ARMED] = 0
            with contextlib.suppress(OSError):  # nobody can receive any more; the next one to send is told
                os.write(self.fd, _BELL)

    def check(self) -> None:
        """Raises: BrokenPipeError when every receiving end is gone."""
        if _events(self.fd) & select.POLLHUP:
            raise BrokenPipeError(errno.EPIPE, "the other end of the pipe is closed")


class _Inbound:
    """The receiving half of an end."""

    def __init__(self, ring: _Ring, flags: _Flags, direction: int, fd: int) -> None:
        self.ring, self.direction, self.fd = ring, direction, fd
        self.flags = memoryview(flags)[4 * direction :]
        self.channel: socket.socket | None = None  # of `fd`, made when asked for
        self.is_new = True  # nobody has watched through this object
        self.poller: select.epoll | None = None  # of `unheard` and the channel
        self.unheard = -1  # eventfd, readable while there are messages that nobody rang for

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
        if self.flags[_WATCHED] and self.ring.empty():
            self.arm()
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

    def peek(self) -> bytes | None:
        """The first bytes in the channel, which stay there; none when the other end is gone, None if there are none."""
        if self.channel is None:
            self.channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, self.fd)
            self.channel.setblocking(True)  # whatever the default timeout is: a socket for handles is expected to wait
        try:
            return self.channel.recv(_MOST_BELLS, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except ConnectionResetError:
            return b""  # the other end went without having taken what we rang

    def arm(self) -> None:
        """Have the next message rung for. Takes the bytes of those before it away if the ring is empty."""
        rung = self.peek() or b""
        self.flags[_WATCHED] = self.flags[_ARMED] = 1
        if self.ring.empty():
            bells = len(rung) - len(rung.lstrip(_BELL))
            if bells and self.channel is not None:
                with contextlib.suppress(BlockingIOError):  # another process that holds this end was quicker
                    self.channel.recv(bells, socket.MSG_DONTWAIT)
            if self.poller is not None:
                with contextlib.suppress(BlockingIOError):
                    os.eventfd_read(self.unheard)

    def watch(self) -> int:
        """A descriptor that is readable while there are messages or the other end is gone, from now on."""
        if not self.flags[_WATCHED] or (not self.flags[_ARMED] and self.ring.empty()):
            self.arm()
        if self.is_new and not self.ring.empty() and not self.peek():
            # As a rule those were sent before anybody watched. It is only for them; the number must not change later.
            self.poller, self.unheard = select.epoll(), os.eventfd(1, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            self.poller.register(self.unheard, select.EPOLLIN)
            self.poller.register(self.fd, select.EPOLLIN)
        self.is_new = False
        return self.fd if self.poller is None else self.poller.fileno()

    def is_ready(self, woken: bool) -> bool:
        """Whether there is a message; for whom the descriptor has woken also whether there is a handle or the end."""
        if woken and self.ring.empty():
            self.arm()
            first = self.peek()
            if first is not None and first[:1] != _BELL:
                return True
        return not self.ring.empty()

    def close(self) -> None:
        """Give back the descriptors, and give the senders a hint."""
        if self.poller is not None:
            self.poller.close()
            os.close(self.unheard)
        if self.channel is None:
            os.close(self.fd)
        else:
            self.channel.close()  # it owns `fd`, and may have gone first if both were garbage
        self.flags[_CLOSED] = 1


def _events(fd: int, wanted: int = 0) -> int:
    """The poll events pending on a descriptor; errors and hang-ups are always among those asked for."""
    poller = select.poll()
    poller.register(fd, wanted)
    pending = poller.poll(0)
    return pending[0][1] if pending else 0


class RingConnection(Connection):
    """One end of a `Pipe`. Only one thread at a time should send, and one receive, as with a standard pipe's ends.

    It may be passed to a child as an argument, inherited by fork, or sent through another connection or a queue. When
    every process holding the other end has closed it or died, receiving raises EOFError once the messages already sent
    are taken, and sending raises BrokenPipeError.
    """

    def __init__(self, inbound: _Inbound | None, outbound: _Outbound | None, flags: _Flags) -> None:
        """Of the halves that `Pipe` makes. `inbound` is None for an end that only sends, `outbound` if it receives."""
        half = inbound or outbound
        assert half is not None
        super().__init__(half.fd, readable=inbound is not None, writable=outbound is not None)
        self._inbound, self._outbound, self._flags = inbound, outbound, flags

    def __repr__(self) -> str:
        if self.closed:
            return "<Connection(closed)>"
        unread = self._inbound.ring.qsize() if self._inbound is not None else 0
        return f"<Connection(fd {self._handle}, {unread} messages unread)>"  # type: ignore[attr-defined]

    def fileno(self) -> int:
        """A descriptor that is readable while there is something to receive or the other end is gone.

        It is a socket beside the rings, through which descriptors may be sent; the messages do not come through it.
        Once it was asked for, a message to an empty pipe costs three system calls more.

        Raises: OSError when closed.
        """
        self._check_closed()  # type: ignore[attr-defined]
        inbound = self._inbound
        if inbound is not None and sys._getframe(1).f_code not in _WANT_SOCKET:
            return inbound.watch()
        if inbound is not None:
            inbound.arm()  # no bell may stand before the handle
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

    @property
    def _is_ready(self) -> Callable[[bool], bool] | None:
        """For `wait`."""
        return None if self._inbound is None else self._inbound.is_ready

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
        inbound, self._inbound, self._outbound = self._inbound, None, None
        if inbound is not None:
            inbound.close()
        else:
            os.close(self._handle)  # type: ignore[attr-defined]

    def __reduce__(self) -> tuple[Any, ...]:
        self._check_closed()  # type: ignore[attr-defined]
        directions = [half and (half.ring, half.direction) for half in (self._inbound, self._outbound)]
        return _rebuild, (*directions, self._flags, reduction.DupFd(self._handle))  # type: ignore[attr-defined]


def _rebuild(
    inbound: tuple[_Ring, int] | None, outbound: tuple[_Ring, int] | None, flags: _Flags, duplicate: Any
) -> RingConnection:
    fd = duplicate.detach()
    os.set_inheritable(fd, False)
    return _end(inbound, outbound, flags, fd)


def _end(
    inbound: tuple[_Ring, int] | None, outbound: tuple[_Ring, int] | None, flags: _Flags, fd: int
) -> RingConnection:
    """The end that receives from one ring and sends into the other, each with its direction."""
    return RingConnection(
        inbound and _Inbound(inbound[0], flags, inbound[1], fd),
        outbound and _Outbound(outbound[0], flags, outbound[1], fd),
        flags,
    )


def reduce_connection(conn: Any) -> Any:
    """How a connection of either kind is pickled."""
    if isinstance(conn, RingConnection):
        return conn.__reduce__()
    return _standard.reduce_connection(conn)  # type: ignore[attr-defined]


def Pipe(duplex: bool = True, *, arena: _native.Arena | None = None) -> tuple[RingConnection, RingConnection]:
    """Return two connected ends, `(a, b)`: both send and receive, or with `duplex` false a only receives, b only sends.

    Raises: OSError when descriptors run out (one for each end), ArenaFull.
    """
    arena = arena or shared_arena()
    flags, b_to_a, a_to_b = _Flags(arena=arena), (_Ring(arena=arena), 0), None
    if duplex:
        a_to_b = _Ring(arena=arena), 1
    ours, theirs = (channel.detach() for channel in socket.socketpair())
    return _end(b_to_a, a_to_b, flags, ours), _end(a_to_b, b_to_a, flags, theirs)
