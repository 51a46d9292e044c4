"""A program in a terminal of its own, so that Ctrl-C reaches it as it does at a user's: all its processes at once."""

from __future__ import annotations

import os
import pty
import select
import signal
import sys
import textwrap
import time
from pathlib import Path

INTERRUPT = b"\x03"


class Terminal:
    """Runs a program; what it prints, on either stream, comes together."""

    def __init__(self, program: str, folder: Path) -> None:
        path = folder / "program.py"
        path.write_text(textwrap.dedent(program))
        self.text = ""
        self.pid, self._end = pty.fork()
        if self.pid == 0:
            try:
                os.chdir(folder)  # by which `commands.left_behind` knows the family
                signal.signal(signal.SIGINT, signal.SIG_DFL)  # ignored where the tests run in the background
                os.execv(sys.executable, [sys.executable, str(path)])
            finally:
                os._exit(127)

    def read_until(self, wanted: str, timeout_s: float = 30) -> None:
        """Wait until the program has printed this. Raises AssertionError when it does not, or ends."""
        deadline = time.monotonic() + timeout_s
        while wanted not in self.text:
            assert time.monotonic() < deadline, self.text
            assert self._read(0.1), self.text

    def _read(self, timeout_s: float) -> bool:
        if select.select([self._end], [], [], timeout_s)[0]:
            try:
                data = os.read(self._end, 65536)
            except OSError:
                return False  # nobody has the terminal any more
            self.text += data.decode(errors="replace").replace("\r\n", "\n")
        return True

    def type(self, data: bytes) -> None:
        """As at the keyboard."""
        os.write(self._end, data)

    def finish(self) -> int:
        """Read to the end, which is when the last process of the family has left; the program's exit code."""
        while self._read(1):
            pass
        os.close(self._end)
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)
