"""The ways to show progress, and which of them is meant by what a caller gives as `progress=`.

A display is begun, shown snapshots, and ended once. What is `own` draws on a terminal or in a notebook and may be told
by any thread; functions and other libraries' bars are told in the caller's.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from functools import partial
from multiprocessing import parent_process

from .._variables import switched
from . import lines
from .screen import REDRAW_SECONDS, encodes, is_terminal, on_screen

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol, TextIO

    class Display(Protocol):
        """Something that shows progress."""

        own: bool
        interval: float  # seconds between two snapshots, at least

        def begin(self, now: Any) -> None:
            """Nothing is done yet."""

        def show(self, now: Any) -> None:
            """A new snapshot."""

        def end(self, now: Any, stopped: bool) -> None:
            """The last one. `stopped`: it ended before everything was done."""

    class Updatable(Protocol):
        """A bar of tqdm's kind, or the class of one, or a `rich.progress.Progress`."""

        @property
        def update(self) -> Callable[..., object]:
            """Told of items done."""

    View = Callable[[Any, bool], lines.View]

__all__ = ["Called", "PlainLines", "TerminalBar", "display_for"]

PLAIN_SECONDS = 5.0  # between two lines where nothing can be drawn over

_plain: list[PlainLines] = []  # those that are live
os.register_at_fork(after_in_child=_plain.clear)


class TerminalBar:
    """A line among the live ones of a terminal. The last one remains, unless a bar that began before is live still."""

    own = True
    interval: float = 1.05 * REDRAW_SECONDS  # never refused by the screen, which counts from the end of a drawing

    def __init__(self, out: TextIO, view: View) -> None:
        self._out, self._view = out, view
        self._marks = lines.MARKS if encodes(out, "".join(lines.MARKS)) else lines.ASCII

    def begin(self, now: Any) -> None:
        """As `Display`."""
        self._now = self._view(now, False)
        self._screen = on_screen(self, self._out)

    def show(self, now: Any) -> None:
        """As `Display`."""
        self._now = self._view(now, False)
        self._screen.draw()

    def end(self, now: Any, stopped: bool) -> None:
        """As `Display`."""
        self._now = self._view(now, stopped)
        is_outermost = self._screen.bars[:1] == [self]
        self._screen.end(self, self.lines(self._screen.size().columns, 1) if is_outermost else [])

    def lines(self, columns: int, rows: int) -> list[str]:
        """For the screen."""
        return [lines.line(self._now, columns, self._marks)]


class PlainLines:
    """A line now and then, and one at the end, without any control character: for logs and dumb terminals.

    Of bars within others, which may be many, only those that take long are seen.
    """

    own = True
    interval = PLAIN_SECONDS

    def __init__(self, out: TextIO, view: View) -> None:
        self._out, self._view = out, view

    def begin(self, now: Any) -> None:
        """As `Display`."""
        _plain.append(self)

    def show(self, now: Any) -> None:
        """As `Display`."""
        self._print(self._view(now, False))

    def end(self, now: Any, stopped: bool) -> None:
        """As `Display`."""
        is_outermost = _plain[:1] == [self]
        if self in _plain:
            _plain.remove(self)
        if is_outermost:
            self._print(self._view(now, stopped))

    def _print(self, view: lines.View) -> None:
        columns = 80
        with suppress(OSError, ValueError, AttributeError):
            columns = os.get_terminal_size(self._out.fileno()).columns or 80
        try:
            self._out.write(lines.line(lines.View(view.title, None, view.numbers), columns, lines.ASCII) + "\n")
            self._out.flush()
        except (OSError, ValueError):  # nobody reads it
            pass


class Called:
    """A function that is told. It hears of the end if everything was done; otherwise the call itself raises."""

    own = False
    interval = REDRAW_SECONDS

    def __init__(self, function: Callable[[Any], object]) -> None:
        self._function = function

    def begin(self, now: Any) -> None:
        """As `Display`."""

    def show(self, now: Any) -> None:
        """As `Display`."""
        self._function(now)

    def end(self, now: Any, stopped: bool) -> None:
        """As `Display`."""
        if not stopped:
            self._function(now)


def display_for(progress: Any, view: View = lines.view_of) -> Display | None:
    """What shows it; None where nothing is to be shown. `view` makes a line of a snapshot.

    Raises: TypeError for what is none of the things that `progress=` may be.
    """
    if progress is None or progress is False:
        return None
    if progress is True or isinstance(progress, str):
        return _own(view)
    if _speaks(progress, "add_task", "update", "remove_task") and not isinstance(progress, type):
        from .others import RichTask

        return RichTask(progress)
    whole = progress.func if isinstance(progress, partial) else progress
    if _speaks(whole, "update", "close"):
        from .others import TqdmBar

        return TqdmBar(progress)
    if callable(progress):
        return Called(progress)
    raise TypeError(
        "progress must be True, a title, a function of one argument, tqdm (the class, or a bar made with it) or a "
        f"rich.progress.Progress, not {progress!r}"
    )


def _speaks(thing: Any, *names: str) -> bool:
    return all(callable(getattr(thing, name, None)) for name in names)


def _own(view: View) -> Display | None:
    """A bar of ours, wherever one can be seen.

    A child's is not: the terminal is its parent's, whose bars it knows nothing of.
    """
    wanted = switched("PROCESSION_PROGRESS")
    if wanted is False:
        return None
    out = sys.stderr
    if parent_process() is None:
        if "IPython" in sys.modules:
            from .notebook import NotebookBar, in_kernel

            if in_kernel():
                return NotebookBar(view)
        if out is not None and is_terminal(out):
            return PlainLines(out, view) if os.environ.get("TERM") == "dumb" else TerminalBar(out, view)
    return PlainLines(out, view) if out is not None and wanted else None
