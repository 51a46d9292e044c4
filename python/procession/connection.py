"""Pipes between two ends, and the standard library's Connection, Listener, Client and the rest, under its names.

A pipe is a ring in shared memory for each direction, and a socket pair beside them: see `_pipe`.

A message is a 1-tuple holding the object (`send`), or bytes (`send_bytes`). As in the standard library both sorts mix:
`recv` unpickles bytes, `recv_bytes` of an object gives its pickle.

Connections of the standard library, as `Client` and `Connection(fd)` make them, are what they are there.
"""

from __future__ import annotations

import io
import os
import socket
import sys
from multiprocessing import connection as _standard
from multiprocessing import reduction
from multiprocessing.connection import rebuild_connection  # type: ignore[attr-defined]

from . import _native
from ._pipe import Flags, Inbound, Outbound, Ring
from ._store import PIPE_BACK, PIPE_FLAGS, PIPE_FORTH, shared_arena
from ._wait import wait

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

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


# The standard library's own
Client: Final = _standard.Client
Connection = _standard.Connection
Listener = _standard.Listener
answer_challenge: Final = _standard.answer_challenge
deliver_challenge: Final = _standard.deliver_challenge

# They make a socket of what `fileno` gives them.
_WANT_SOCKET = {getattr(reduction, name).__code__ for name in ("send_handle", "recv_handle")}


def __getattr__(name: str) -> Any:
    """What else the standard module has."""
    try:
        return getattr(_standard, name)
    except AttributeError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None


class RingConnection(Connection):
    """One end of a `Pipe`. Only one thread at a time should send, and one receive, as with a standard pipe's ends.

    It may be passed to a child as an argument, inherited by fork, or sent through another connection or a queue. When
    every process holding the other end has closed it or died, receiving raises EOFError once the messages already sent
    are taken, and sending raises BrokenPipeError.
    """

    def __init__(self, inbound: Inbound | None, outbound: Outbound | None, flags: Flags) -> None:
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

    @property
    def name(self) -> str | None:
        """The name the pipe was given, for people, at either end; None when it has none."""
        return self._flags.name

    @name.setter
    def name(self, name: str | None) -> None:
        self._flags.name = name
        for half in (self._inbound, self._outbound):
            if half is not None:
                half.ring.name = name

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
    inbound: tuple[Ring, int] | None, outbound: tuple[Ring, int] | None, flags: Flags, duplicate: Any
) -> RingConnection:
    fd = duplicate.detach()
    os.set_inheritable(fd, False)
    return _end(inbound, outbound, flags, fd)


def _end(inbound: tuple[Ring, int] | None, outbound: tuple[Ring, int] | None, flags: Flags, fd: int) -> RingConnection:
    """The end that receives from one ring and sends into the other, each with its direction."""
    return RingConnection(
        inbound and Inbound(inbound[0], flags, inbound[1], fd),
        outbound and Outbound(outbound[0], flags, outbound[1], fd),
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
    flags, b_to_a, a_to_b = Flags(arena=arena), (Ring(arena=arena), 0), None
    if duplex:
        a_to_b = Ring(arena=arena), 1
        _native.serve_as(a_to_b[0], PIPE_FORTH, flags.address[0])
    _native.serve_as(b_to_a[0], PIPE_BACK, flags.address[0])
    _native.serve_as(flags, PIPE_FLAGS)
    ours, theirs = (channel.detach() for channel in socket.socketpair())
    return _end(b_to_a, a_to_b, flags, ours), _end(a_to_b, b_to_a, flags, theirs)
