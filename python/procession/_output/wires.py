"""A child's side: its ends of the pipes, put in the place of its standard output and error.

Two pipes and a socket have no order among each other. So a child that turns from one to another (a print, then a log
record, then a print to standard error) says so: its Python streams write a sign with a number in front of what follows,
and the parent sorts by these. It takes only one small write at each turn, and nobody waits. What does not go through
Python's streams (C code, subprocesses) has no signs: it stays in order within its stream, and about in order otherwise.

A pipe whose reader has died raises BrokenPipeError, or kills. The child ends with its parent anyhow, but in half a
second in which it may put things in order: so it holds the reading ends too, and its pipes do not break.
"""

from __future__ import annotations

import io
import os
import sys
import threading

from .._bootstrap import at_fork_in_child
from . import logs

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from typing import Any

__all__ = ["SIGN_END", "TOKEN_BYTES", "Wires", "sign"]

TOKEN_BYTES = 16  # random, of one child: what no program writes by accident
SIGN_END = b"\0"
STREAMS = "stdout", "stderr"
LOG = 0  # the channel of log records; the others are descriptors 1 and 2

_old_streams: list[Any] = []  # never closed: their descriptors are the new ones'


def sign(token: bytes) -> bytes:
    """How the sign of a turn begins; its number and SIGN_END follow."""
    return b"\0" + token


class Turns:
    """In a child: which of its channels was written to last."""

    def __init__(self, token: bytes) -> None:
        self.lock = threading.RLock()  # reentrant, for signals' handlers print
        self._sign, self._number, self._last = sign(token), 0, -1
        self._on = True
        at_fork_in_child(self._stop)

    def _stop(self) -> None:
        """In a process that the child forks, whose turns are not the child's."""
        self.lock = threading.RLock()
        self._on = False

    def take(self, channel: int) -> int:
        """Under the lock: this channel is written to next. Returns the number of the turn, 0 if it has none."""
        if not self._on:
            return 0
        if channel != self._last:
            number = self._number + 1
            if channel != LOG:
                os.write(channel, self._sign + b"%d" % number + SIGN_END)  # whole or not at all, being small
            self._number, self._last = number, channel
        return self._number


class _Raw(io.FileIO):
    """Descriptor 1 or 2, as the Python stream on top of it sees it."""

    def __init__(self, fd: int, name: str, turns: Turns) -> None:
        super().__init__(fd, "w", closefd=False)
        self.name = name
        self._fd, self._turns = fd, turns

    def write(self, data: Any, /) -> Any:
        with self._turns.lock:
            self._turns.take(self._fd)
            return super().write(data)


class Wires:
    """The ends of one child. Made by its parent, travels to it, and is attached there."""

    def __init__(self, fds: tuple[int, ...], token: bytes, levels: Any = None) -> None:
        """`fds`: what to write into (output, error, log records), then the reading ends of the first two."""
        self.fds, self.token = fds, token
        self.starter = threading.get_ident()  # the thread that is about to fork, if that is how the child starts
        self._levels = levels
        self._handler: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        from multiprocessing.reduction import DupFd

        duplicates = [DupFd(fd) for fd in self.fds]
        return _arrived, (duplicates, self.token, logs.levels())

    def attach(self) -> None:
        """In the child: write there from now on. Again: only have log records go there, whatever was set up since."""
        if self._handler is None:
            turns = Turns(self.token)
            for fd in self.fds:
                os.set_inheritable(fd, False)
            for target, name in enumerate(STREAMS, 1):
                _replace_stream(target, name, self.fds[target - 1], turns)
            self._handler = logs.Handler(self.fds[2], turns)
        logs.divert(self._handler, self._levels)

    def close(self) -> None:
        """In the parent, once the child has them; and in children that they are not meant for."""
        fds, self.fds = self.fds, ()
        for fd in fds[:3]:  # the reading ends are the source's
            os.close(fd)


def _arrived(duplicates: list[Any], token: bytes, levels: Any) -> Wires:
    return Wires(tuple(duplicate.detach() for duplicate in duplicates), token, levels)


def _replace_stream(target: int, name: str, fd: int, turns: Turns) -> None:
    """Put `fd` in the place of descriptor `target`, and a fresh stream of whole lines on top of it."""
    os.dup2(fd, target)
    os.close(fd)
    _old_streams.extend((getattr(sys, name), getattr(sys, f"__{name}__")))
    buffer = io.BufferedWriter(_Raw(target, f"<{name}>", turns))
    stream = io.TextIOWrapper(buffer, "utf-8", "backslashreplace", line_buffering=True)
    stream.mode = "w"  # type: ignore[misc]  # as the interpreter's own has
    setattr(sys, name, stream)
    setattr(sys, f"__{name}__", stream)
