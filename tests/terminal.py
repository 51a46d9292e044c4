"""A program in a terminal of its own, so that Ctrl-C reaches it as it does at a user's: all its processes at once."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import textwrap
import time
from pathlib import Path

INTERRUPT = b"\x03"
_PIECES = re.compile(r"\x1b\[(\d*)([A-Z])|(\r)|(\n)|([^\x1b\r\n])")


def screen(text: str, columns: int = 80) -> list[str]:
    """What a terminal shows that was sent this: its lines, without blanks at their ends, those scrolled away included.

    Knows what our own bars send. Raises AssertionError for anything else.
    """
    lines, row, column, end = [[" "] * columns], 0, 0, 0
    for piece in _PIECES.finditer(text):
        assert piece.start() == end, f"unknown to this terminal: {text[end : end + 20]!r}"
        end = piece.end()
        number, command, back, feed, char = piece.groups()
        if command == "A":
            row -= int(number or 1)
            assert row >= 0, "above the first line"
        elif command in ("K", "J"):
            lines[row][column:] = [" "] * (columns - column)
            if command == "J":
                del lines[row + 1 :]
        elif back or feed:
            column, row = 0, row + bool(feed)
        else:
            assert char, f"unknown to this terminal: {piece[0]!r}"
            if column == columns:
                column, row = 0, row + 1
        while row >= len(lines):
            lines.append([" "] * columns)
        if char:
            lines[row][column] = char
            column += 1
    return ["".join(line).rstrip() for line in lines]


class Terminal:
    """Runs a program; what it prints, on either stream, comes together."""

    def __init__(
        self, program: str, folder: Path, *, columns: int = 80, rows: int = 24, environ: dict[str, str] | None = None
    ) -> None:
        """`environ` adds to the environment."""
        path = folder / "program.py"
        path.write_text(textwrap.dedent(program))
        self.text = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self.pid, self._end = pty.fork()
        if self.pid == 0:
            try:
                os.chdir(folder)  # by which `commands.left_behind` knows the family
                signal.signal(signal.SIGINT, signal.SIG_DFL)  # ignored where the tests run in the background
                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
                os.execve(sys.executable, [sys.executable, str(path)], os.environ | (environ or {}))
            finally:
                os._exit(127)

    def read_until(self, wanted: str, timeout_s: float = 30, *, times: int = 1) -> None:
        """Wait until the program has printed this, so often. Raises AssertionError when it does not, or ends."""
        deadline = time.monotonic() + timeout_s
        while self.text.count(wanted) < times:
            assert time.monotonic() < deadline, self.text
            assert self._read(0.1), self.text

    def _read(self, timeout_s: float) -> bool:
        if select.select([self._end], [], [], timeout_s)[0]:
            try:
                data = os.read(self._end, 65536)
            except OSError:
                return False  # nobody has the terminal any more
            self.text += self._decoder.decode(data).replace("\r\n", "\n")
        return True

    def type(self, data: bytes) -> None:
        """As at the keyboard."""
        os.write(self._end, data)

    def finish(self) -> int:
        """Read to the end, which is when the last process of the family has left; the program's exit code."""
        while self._read(1):
            pass
        self.close()
        return self.wait()

    def close(self) -> None:
        """Take the terminal away."""
        os.close(self._end)

    def wait(self) -> int:
        """The program's exit code, when it has ended."""
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)
