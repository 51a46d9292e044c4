"""The parent's end of one pipe: bytes, cut at a child's signs, and made into lines; and of the socket for log records.

What is read is first divided by turns (see `wires`), then sorted with what came on the child's other channels, and only
then made into lines: a line counts where it ends. The bytes are taken for UTF-8; what is none is shown as `\\x..`.
"""

from __future__ import annotations

import os
import re

from . import logs
from .wires import SIGN_END, sign

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from typing import Any

    Piece = tuple[int, "Channel", Any]  # of which turn, where it was read, what it was

__all__ = ["Channel", "Records", "Text"]

READ_BYTES = 64 << 10  # at a time: what a pipe holds
MOST_READS = 16  # in a row: a pipe may have been made to hold a MiB, but never so much that others wait long
MOST_PACKETS = 1024  # in a row; a socket's buffer holds fewer
LINE_BYTES = 16 << 20  # a longer line is given in pieces, for the parent's memory is not the child's to fill
DIGITS = 20  # of a turn's number, at most


class Channel:
    """One of the ways from a child, and its turn as far as it was read."""

    def __init__(self, name: str, fd: int) -> None:
        self.name, self.fd = name, fd
        self.is_open = True  # nobody has closed the other side
        self.turn = 0

    def read(self) -> list[Piece]:
        """What is there now, without waiting."""
        pieces: list[Piece] = []
        for _ in range(self._most() if self.is_open else 0):
            try:
                data = os.read(self.fd, READ_BYTES)
            except BlockingIOError:
                break
            if not data:
                self.is_open = False
                break
            pieces += self.pieces(data)
            if self._is_last(data):
                break
        return pieces

    def _most(self) -> int:
        return MOST_READS

    def _is_last(self, data: bytes) -> bool:
        return len(data) < READ_BYTES

    def pieces(self, data: bytes) -> list[Piece]:
        """What was read, by turns."""
        raise NotImplementedError

    def close(self) -> None:
        """Give the descriptor back. May be called again."""
        fd, self.fd, self.is_open = self.fd, -1, False
        if fd >= 0:
            os.close(fd)


class Text(Channel):
    """A child's standard output or error."""

    def __init__(self, name: str, fd: int, token: bytes) -> None:
        super().__init__(name, fd)
        self._sign = sign(token)
        self._pattern = re.compile(re.escape(self._sign) + rb"(\d+)" + SIGN_END)
        self._held = b""  # what may be the beginning of a sign
        self._line = bytearray()  # whose end has not come

    def pieces(self, data: bytes) -> list[Piece]:
        """See `Channel`."""
        if self._held:
            data, self._held = self._held + data, b""
        if SIGN_END not in data:
            return [(self.turn, self, data)]
        texts = self._pattern.split(data)  # text, number, text, number, …, text
        texts[-1] = self._without_beginning(texts[-1])
        pieces: list[Piece] = [(self.turn, self, texts[0])]
        for number, text in zip(texts[1::2], texts[2::2], strict=True):
            self.turn = max(self.turn, int(number))
            pieces.append((self.turn, self, text))
        return pieces

    def _without_beginning(self, data: bytes) -> bytes:
        """The bytes without what may be the beginning of a sign at their end, which is kept for the next time."""
        length = len(self._sign)
        at = data.find(self._sign[:1], max(0, len(data) - length - DIGITS))
        while at >= 0:
            tail = data[at:]
            if self._sign.startswith(tail) or (tail.startswith(self._sign) and tail[length:].isdigit()):
                self._held = tail
                return data[:at]
            at = data.find(self._sign[:1], at + 1)
        return data

    def cut(self, data: bytes) -> list[str]:
        """The lines that end in these bytes."""
        end = data.rfind(b"\n")
        if end < 0:
            self._line += data
            return self._so_far() if len(self._line) > LINE_BYTES else []
        whole = bytes(self._line) + data[:end]
        self._line = bytearray(data[end + 1 :])
        return whole.decode("utf-8", "backslashreplace").split("\n")

    def rest(self) -> list[str]:
        """The line whose end does not come any more."""
        self._line += self._held
        self._held = b""
        return self._so_far() if self._line else []

    def _so_far(self) -> list[str]:
        line, self._line = self._line, bytearray()
        return [line.decode("utf-8", "backslashreplace")]


class Records(Channel):
    """A child's log records."""

    def __init__(self, fd: int) -> None:
        super().__init__("log", fd)
        self._assembly = logs.Assembly()

    def _most(self) -> int:
        return MOST_PACKETS

    def _is_last(self, data: bytes) -> bool:
        return False

    def pieces(self, data: bytes) -> list[Piece]:
        """See `Channel`."""
        try:
            turn, record = self._assembly.feed(data)
        except Exception:  # somebody else has written there
            return []
        self.turn = max(self.turn, turn)
        return [] if record is None else [(self.turn, self, record)]
