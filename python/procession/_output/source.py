"""The parent's end of one child: its pipes, its last lines, and the order of what comes through them.

How the order is found. A child that turns to another channel gives its turn a number, and writes that in front (see
`wires`). All of a lower turn was in its pipe before the sign of a higher one was written. So who has read a sign and
then once more everything that is there has all that comes before it: it is sorted by turns, and passed on up to that
sign. What the second reading brought of later turns waits for the next time, which comes at once.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import threading
from collections import deque
from operator import itemgetter

from . import logs
from .channels import Records, Text
from .outlets import outlet
from .wires import TOKEN_BYTES, Wires

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .channels import Channel, Piece

__all__ = ["Source"]

TAIL = 200  # lines that are known of a child that died
TAIL_CHARACTERS = 4096  # of each of them
_ROUNDS = 64  # of reading at a child's end, at most: a process that it left behind may go on writing


class Source:
    """What comes from one child. Read by the relay alone."""

    def __init__(self, name: str, given: bool | Callable[[Any], object]) -> None:
        self.name = name
        self.pid = 0
        self._outlet = outlet(given)
        self._tail: deque[str] = deque(maxlen=TAIL)
        self._tail_lock = threading.Lock()
        self._turn = 0  # up to which everything has been passed on
        self._waiting: list[Piece] = []  # of later turns
        token = os.urandom(TOKEN_BYTES).replace(b"\0", b"-").replace(b"\n", b"-")
        out, err, records, *ends = _open(name)
        self.wires = Wires((*ends, out, err), token)
        self.channels: list[Channel] = [Text("stdout", out, token), Text("stderr", err, token), Records(records)]

    @property
    def tail(self) -> tuple[str, ...]:
        """The last lines so far."""
        with self._tail_lock:
            return tuple(self._tail)

    @property
    def is_over(self) -> bool:
        """Whether nothing can come any more: neither the child nor anybody it left behind has a writing end."""
        return not self._waiting and not any(channel.is_open for channel in self.channels)

    def close(self) -> None:
        """Give all descriptors back."""
        self.wires.close()
        for channel in self.channels:
            channel.close()

    def pump(self) -> bool:
        """Read what is there and pass it on. Whether there was something."""
        pieces = self._waiting + self._read()
        self._waiting = []
        top = max((turn for turn, _, _ in pieces), default=0)
        if top > self._turn:
            self._turn = top
            pieces += self._read()
            pieces.sort(key=itemgetter(0))  # stable: what came through one channel stays in order
            self._waiting = [piece for piece in pieces if piece[0] > top]
            del pieces[len(pieces) - len(self._waiting) :]
        self._pass_on(pieces)
        return bool(pieces)

    @property
    def has_more(self) -> bool:
        """Whether something was read that is not passed on yet."""
        return bool(self._waiting)

    def finish(self) -> None:
        """The child has ended: pass on the rest, lines without an end as well."""
        for _ in range(_ROUNDS):
            if not self.pump() and not self._waiting:
                break
        for channel in self.channels:
            self._give_rest(channel)

    def _read(self) -> list[Piece]:
        return [piece for channel in self.channels for piece in channel.read()]

    def _pass_on(self, pieces: list[Piece]) -> None:
        """Give the pieces' lines to where they go, as many at a time as there are of one stream."""
        name = ""
        lines: list[str] = []
        for _, channel, contents in pieces:
            if not isinstance(channel, Text):
                self._give(name, lines)
                name, lines = "", []
                self._give_record(contents)
                continue
            if channel.name != name:
                self._give(name, lines)
                name, lines = channel.name, []
            lines += channel.cut(contents)
        self._give(name, lines)
        for channel in self.channels:
            if not channel.is_open and not self._waiting:
                self._give_rest(channel)

    def _give_rest(self, channel: Channel) -> None:
        if isinstance(channel, Text):
            self._give(channel.name, channel.rest())

    def _give(self, stream: str, lines: list[str]) -> None:
        if lines:
            with self._tail_lock:
                self._tail.extend([line[:TAIL_CHARACTERS] for line in lines[-TAIL:]])
            self._outlet.lines(self, stream, lines)

    def _give_record(self, record: Any) -> None:
        with self._tail_lock:
            self._tail.extend([line[:TAIL_CHARACTERS] for line in logs.shown(record).split("\n")[-TAIL:]])
        self._outlet.record(self, record)


def _open(name: str) -> list[int]:
    """Descriptors: to be read from (output, error, records), then to be written to.

    Raises: OSError when they run out, and then none is left open.
    """
    fds: list[int] = []
    try:
        for _ in range(2):
            fds += os.pipe()
        fds += (end.detach() for end in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        for place, fd in enumerate(fds):
            if fd <= 2:  # one of the standard ones was closed: there they would be in the way
                fds[place] = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
                os.close(fd)
    except BaseException as error:
        for fd in fds:
            os.close(fd)
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            why = f"no descriptors left to forward the output of {name}: a child takes six while it starts, then three"
            raise OSError(error.errno, f"{why} ({os.strerror(error.errno)}); see ulimit -n") from error
        raise
    for fd in fds[::2]:
        os.set_blocking(fd, False)
    return [*fds[::2], *fds[1::2]]
