"""The two halves of an end of a pipe: one sends into a ring in shared memory, the other receives from one.

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

Back pressure: a sender waits while `_RING_BYTES` are unread, or `_RING_ITEMS` messages. Payloads of 64 KiB and more lie
beside the ring, where they count with a few bytes; while more than `_LARGE_BYTES` of those it has sent are unread, a
sender waits as well. So one message of any size finds room, and a quick sender does not fill the memory.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
from collections import deque
from time import monotonic, sleep

from . import _native
from ._store import Shared
from .errors import Empty, Full

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Flags", "Inbound", "Outbound", "Ring"]

_SLICE_S = 0.1  # longest time a blocked end goes without looking whether the other one lives
_FIRST_SLICE_S = 0.005  # the first looks come sooner, so that an end that closes orderly is noticed quickly
_RING_BYTES = 1 << 18  # a standard pipe holds 64 KiB
_RING_ITEMS = 1 << 14
_LARGE = 1 << 16  # bytes from which a payload lies beside the ring
_LARGE_BYTES = 1 << 23  # of such; enough for sender and receiver to work at the same time
_PAUSE_S = 0.0001, 0.005  # between looks whether they were read, the first and the longest
_COUNTS = 2**32  # messages are counted modulo this
_FLAG_BYTES = 8  # four for each direction:
_CLOSED, _WATCHED, _ARMED = range(3)  # a receiving end was closed somewhere (a hint to look); see above
_BELL = b"\xff"  # `reduction.sendfds` writes the number of descriptors instead, and never sends so many
_MOST_BELLS = 64  # taken away at once


class Ring(_native.Ring, Shared):
    """One direction of a pipe, picklable by address."""

    __slots__ = ()

    def __new__(cls, *, arena: _native.Arena, address: tuple[int, int] | None = None) -> Any:
        return super().__new__(cls, arena, _RING_ITEMS, _RING_BYTES, address=address)


class Flags(_native.Block, Shared):
    """The flags of a pipe, picklable by address."""

    __slots__ = ()

    def __new__(cls, *, arena: _native.Arena, address: tuple[int, int] | None = None) -> Any:
        return super().__new__(cls, arena, _FLAG_BYTES, address=address)


class Outbound:
    """The sending half of an end."""

    def __init__(self, ring: Ring, flags: Flags, direction: int, fd: int) -> None:
        self.ring: Ring = ring
        self.direction: int = direction
        self.fd: int = fd
        self.flags: memoryview = memoryview(flags)[4 * direction :]
        self.looked: float = monotonic()  # when the other end was last seen alive
        self.large: deque[tuple[int, int]] = deque()  # sent through this object, and not known to be read: see `wait`

    def put(self, message: object) -> None:
        """Block while too much is unread. Raises: BrokenPipeError when nobody can receive any more."""
        if self.large:
            self.wait()
        flags, now = self.flags, monotonic()
        if flags[_CLOSED] or now - self.looked > _SLICE_S:
            flags[_CLOSED] = 0  # before looking: what is closed after that sets it again
            self.check()
            self.looked = now
        slice_s = _FIRST_SLICE_S
        while True:
            try:
                size = self.ring.put_weighed(message, True, slice_s)
                break
            except Full:
                self.check()
                slice_s = min(2 * slice_s, _SLICE_S)
        if size >= _LARGE:
            self.large.append((self.ring.position[1], size))
        if flags[_ARMED]:
            flags[_ARMED] = 0
            with contextlib.suppress(OSError):  # nobody can receive any more; the next one to send is told
                os.write(self.fd, _BELL)

    def wait(self) -> None:
        """Block while too many bytes of large messages are unread. Raises: BrokenPipeError."""
        large, (pause_s, longest_s) = self.large, _PAUSE_S
        while True:
            taken = self.ring.position[0]
            while large and (taken - large[0][0]) % _COUNTS < _COUNTS // 2:
                large.popleft()
            if sum(size for _, size in large) <= _LARGE_BYTES:
                return
            self.check()
            sleep(pause_s)
            pause_s = min(2 * pause_s, longest_s)

    def check(self) -> None:
        """Raises: BrokenPipeError when every receiving end is gone."""
        if _events(self.fd) & select.POLLHUP:
            raise BrokenPipeError(errno.EPIPE, "the other end of the pipe is closed")


class Inbound:
    """The receiving half of an end."""

    def __init__(self, ring: Ring, flags: Flags, direction: int, fd: int) -> None:
        self.ring: Ring = ring
        self.direction: int = direction
        self.fd: int = fd
        self.flags: memoryview = memoryview(flags)[4 * direction :]
        self.channel: socket.socket | None = None  # of `fd`, made when asked for
        self.is_new: bool = True  # nobody has watched through this object
        self.poller: select.epoll | None = None  # of `unheard` and the channel
        self.unheard: int = -1  # eventfd, readable while there are messages that nobody rang for

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
