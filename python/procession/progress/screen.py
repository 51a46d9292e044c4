"""The live lines at the bottom of a terminal, one below the other, drawn over themselves; and text printed above them.

A screen is a file that is a terminal, and the bars that are live on it, in the order in which they began. Each draws
its own lines (see `Drawn`); the screen puts them where they stood before. The last line has no end, so the terminal
never scrolls for a bar's sake. What remains of a bar that ended goes above those that are live, as `write`'s text does.

A terminal that goes away ends the drawing, and nothing else: no bar is worth an exception in somebody's work.

While there are live lines, `write` of standard output and error, where they are terminals, is ours: what the program
prints (or logs, or a traceback) goes above the lines, when its line is complete. It is the file's own attribute that is
replaced, not `sys.stdout`, so that a logging handler that keeps the file does no harm either.

Every change of what stands on the terminal is one string, and noted before it is written: a KeyboardInterrupt in the
middle leaves nothing to be put right but what the next change puts right anyhow. The lock is reentrant, for a signal's
handler may print; what it would draw in the middle of a drawing is left to that one's end.
"""

from __future__ import annotations

import atexit
import io
import os
import sys
import threading
from time import monotonic

from .words import width

TYPE_CHECKING = False  # `typing` is slow to import, and whoever only prints above the bars should not wait for it
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Protocol, TextIO

    class Drawn(Protocol):
        """A bar, for the screen."""

        def lines(self, columns: int, rows: int) -> Sequence[str]:
            """What is to be seen now, each narrower than `columns`. Called with the screen's lock: quick, and pure."""


__all__ = ["REDRAW_SECONDS", "Screen", "encodes", "is_terminal", "on_screen", "write"]

REDRAW_SECONDS = 0.1  # at most ten times a second

_lock = threading.RLock()
_live: list[Screen] = []  # those with bars


class Screen:
    """A terminal with live lines. Use `on_screen`."""

    def __init__(self, out: TextIO) -> None:
        self.out = out
        self.bars: list[Drawn] = []
        files: list[Any] = [out, *(file for file in (sys.stdout, sys.stderr) if file is not out)]
        self._guards = [Guard(self, file) for file in files if file is not None]
        self._drawn: list[str] = []
        self._drawn_at = -REDRAW_SECONDS
        self._drawing = False
        self._is_gone = False  # the terminal

    def is_due(self) -> bool:
        """Whether it is time to draw again."""
        return monotonic() - self._drawn_at >= REDRAW_SECONDS

    def size(self) -> os.terminal_size:
        """Columns and lines of the terminal, as they are now."""
        try:
            found = os.get_terminal_size(self.out.fileno())
        except (OSError, ValueError):
            found = os.terminal_size((80, 24))
        return os.terminal_size((found.columns or 80, found.lines or 24))

    def draw(self) -> None:
        """Draw all bars as they are, if it is time."""
        if self.is_due():
            with _lock:
                self._replace("")

    def end(self, bar: Drawn, last: Sequence[str] = ()) -> None:
        """The bar is live no more; these lines, whole ones, are what remains of it. A second time: nothing."""
        with _lock:
            if bar not in self.bars:
                return  # a forked child's copy, too
            self.bars.remove(bar)
            try:
                self._replace("".join(f"{line}\n" for line in last))
            finally:
                if not self.bars:
                    _live.remove(self)
                    for guard in self._guards:
                        guard.remove()

    def forget(self) -> None:
        """In a forked child: what is live here is the parent's."""
        self.bars.clear()
        for guard in self._guards:
            guard.remove(quiet=True)

    def above(self, text: str, out: TextIO) -> None:
        """Write whole lines, to this or another file, with the live lines out of their way."""
        self._put(self._home() + "\x1b[J")
        self._drawn = []
        try:
            self._raw(out)(text)
            out.flush()
        finally:
            self._replace("")

    def _raw(self, out: TextIO) -> Callable[[str], object]:
        """The file's own `write`."""
        return next((guard.original for guard in self._guards if guard.file is out), out.write)

    def _replace(self, text: str) -> None:
        """Under the lock: put whole lines in the place of the live ones, and those below them again."""
        if self._drawing and not text:
            return
        was_drawing, self._drawing = self._drawing, True
        try:
            self._drawn_at = monotonic()
            columns, rows = self.size()
            lines = self._lines(columns, rows)
            # Each live line is cleared behind its text, not before: nothing flickers. Others may end in the last
            # column, where that would take their last character
            above = f"\x1b[J{text}" if text else ""
            home, self._drawn = self._home(), lines
            self._put(home + above + "\x1b[K\n".join(lines) + "\x1b[K\x1b[J")
        finally:
            self._drawing = was_drawing

    def _lines(self, columns: int, rows: int) -> list[str]:
        lines: list[str] = []
        for place, bar in enumerate(self.bars):
            new = list(bar.lines(columns, max(1, rows - 1 - len(lines))))
            if lines and len(lines) + len(new) > rows - 2:
                lines.append(f"and {len(self.bars) - place} more"[: columns - 1])
                break
            lines += new
        return lines[: max(1, rows - 1)]

    def _home(self) -> str:
        """What moves to the start of what was drawn. A terminal that became narrower has broken long lines in two."""
        if not self._drawn:
            return "\r"
        columns = self.size().columns
        rows = sum(max(1, -(-width(line) // columns)) for line in self._drawn)
        return f"\r\x1b[{rows - 1}A" if rows > 1 else "\r"

    def _put(self, text: str) -> None:
        if self._is_gone:
            return
        try:
            if not encodes(self.out, text):  # somebody's title
                text = text.encode("ascii", "replace").decode()
            if isinstance(self.out, io.TextIOWrapper):
                # Past its buffer, where what a terminal that is gone did not take would stay: Python tries it again at
                # the end of the program, and makes that fail with exit code 120.
                self.out.flush()
                data = text.encode(self.out.encoding)
                while data:
                    data = data[os.write(self.out.fileno(), data) :]
            else:
                self._raw(self.out)(text)
                self.out.flush()
        except (OSError, ValueError):  # the terminal is gone, or the file closed
            self._is_gone = True


class Guard:
    """Puts what is written to a file above a screen's live lines, a whole line at a time."""

    def __init__(self, screen: Screen, file: Any) -> None:
        self.file = file
        self.original: Callable[[str], object] = file.write
        self._screen = screen
        self._parts: dict[int, str] = {}  # by thread: lines that have no end yet
        self._is_set = is_terminal(file) and "write" not in vars_of(file)
        if self._is_set:
            try:
                file.write = self.write
            except AttributeError:  # not one of the standard kind
                self._is_set = False

    def write(self, text: str) -> int:
        """In the place of the file's."""
        with _lock:
            if not self._is_set:  # the last bar ended while this waited
                self.original(text)
                return len(text)
            thread = threading.get_ident()  # a print is several writes
            whole, end, part = f"{self._parts.pop(thread, '')}{text}".rpartition("\n")
            if part:
                self._parts[thread] = part
            if end:
                self._screen.above(whole + end, self.file)
        return len(text)

    def remove(self, *, quiet: bool = False) -> None:
        """There are no live lines any more. `quiet`: here is a copy of what another process prints."""
        if self._is_set:
            self._is_set = False
            if vars_of(self.file).get("write") == self.write:
                del self.file.write
            if self._parts and not quiet:
                self.original("".join(self._parts.values()))


def on_screen(bar: Drawn, out: TextIO) -> Screen:
    """Have a bar drawn on this terminal, below those that are live there."""
    with _lock:
        screen = next((live for live in _live if live.out is out), None)
        if screen is None:
            screen = Screen(out)
            _live.append(screen)
        try:
            screen.bars.append(bar)
            screen._replace("")
        except BaseException:  # Ctrl-C
            screen.end(bar)
            raise
    return screen


def write(text: str, file: TextIO | None = None) -> None:
    """Print whole lines, to standard output if no file is given: above the live bars if there are any, else plainly.

    A text without an end of line gets one. May be called by every thread at any time. Blocks for as long as the file
    does. Raises: what the file's `write` raises.
    """
    out = sys.stdout if file is None else file
    if out is None:
        return
    if not text.endswith("\n"):
        text += "\n"
    if _live and is_terminal(out):
        with _lock:
            screen = next((live for live in _live if live.out is out), None) or next(iter(_live), None)
            if screen is not None:
                screen.above(text, out)
                return
    out.write(text)
    out.flush()


def vars_of(file: Any) -> dict[str, Any]:
    """A file's own attributes, if it can have any."""
    return getattr(file, "__dict__", {})


def is_terminal(file: TextIO) -> bool:
    """Whether this is a terminal. A file that does not know is none."""
    try:
        return bool(file.isatty())
    except (AttributeError, ValueError, OSError):
        return False


def encodes(file: TextIO, text: str) -> bool:
    """Whether the file can say this."""
    try:
        text.encode(getattr(file, "encoding", None) or "ascii")
    except (UnicodeError, LookupError):
        return False
    return True


def _finish() -> None:
    """At exit: what is live still, as after a Ctrl-C at an unlucky moment, stays, and the prompt is below it."""
    with _lock:
        for screen in list(_live):
            for bar in list(screen.bars):
                screen.end(bar, bar.lines(screen.size().columns, 1))


def _forget() -> None:
    """In a forked child: the bars are the parent's."""
    global _lock
    _lock = threading.RLock()
    for screen in _live:
        screen.forget()
    _live.clear()


atexit.register(_finish)
os.register_at_fork(after_in_child=_forget)
