"""A bar in the output of a notebook's cell, drawn by the browser.

It goes through IPython's `display`, as one output that is replaced: with a text beside it for what shows no HTML.
IPython is asked only where the program has loaded it, and only a kernel's shell counts: that in a terminal is no other
than a terminal.
"""

from __future__ import annotations

import sys
from html import escape

from . import lines, words

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["NotebookBar", "in_kernel"]

COLUMNS = 90  # of the text

_live: list[NotebookBar] = []


def in_kernel() -> bool:
    """Whether this is the process of a notebook's kernel."""
    get = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = get() if callable(get) else None
    return getattr(shell, "kernel", None) is not None


class NotebookBar:
    """An output of the cell that runs. It stays, unless a bar that began before is live still."""

    own = True
    interval: float = 0.2  # each snapshot is a message to the browser

    def __init__(self, view: Callable[[Any, bool], lines.View]) -> None:
        self._view = view
        self._handle: Any = None

    def begin(self, now: Any) -> None:
        """As `Display`."""
        display: Any = sys.modules["IPython"].display.display
        _live.append(self)
        self._handle = display(self._output(now, False), raw=True, display_id=True)

    def show(self, now: Any) -> None:
        """As `Display`."""
        self._handle.update(self._output(now, False), raw=True)

    def end(self, now: Any, stopped: bool) -> None:
        """As `Display`."""
        is_outermost = _live[:1] == [self]
        if self in _live:
            _live.remove(self)
        empty = {"text/plain": "", "text/html": ""}
        self._handle.update(self._output(now, stopped) if is_outermost else empty, raw=True)

    def _output(self, now: Any, stopped: bool) -> dict[str, str]:
        view = self._view(now, stopped)
        title, numbers = escape(words.plain(view.title)), escape(view.numbers[0])
        value = "" if view.part is None else f'value="{min(1.0, max(0.0, view.part)):.4f}" '
        bar = "" if view.part is None else f'<progress {value}max="1" style="width: 20em"></progress> '
        html = f'<div style="font-variant-numeric: tabular-nums; white-space: pre">{title} {bar}{numbers}</div>'
        return {"text/plain": lines.line(view, COLUMNS), "text/html": html}
