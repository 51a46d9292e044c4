"""Lines of the screen: text that is drawn again only when it changes, and lines of which each piece can be clicked."""

from __future__ import annotations

from textual import events
from textual.widgets import Static

from procession.monitor.words import visible

__all__ = ["Bar", "Line", "escaped"]


def escaped(text: str) -> str:
    """Text that is to stand as it is where markup is understood."""
    return visible(text).replace("\\", "\\\\").replace("[", "\\[")


class Line(Static):
    """Text with markup, drawn again when it is another."""

    shown: str = ""

    def put(self, markup: str) -> None:
        """Show this."""
        if markup != self.shown:
            self.shown = markup
            self.update(markup)


class Bar(Line):
    """Pieces side by side; a click on one does what the piece is for.

    Textual's links in text would do the same, but they are drawn as links, in colours of their own.
    """

    pieces: tuple[tuple[str, str, str], ...] = ()

    def put_pieces(self, pieces: list[tuple[str, str, str]]) -> None:
        """Show these: text without markup, the style before it, the action on a click."""
        self.pieces = tuple(pieces)
        self.put("".join(f"[{style}]{escaped(text)}[/]" if style else escaped(text) for text, style, _ in pieces))

    async def on_click(self, event: events.Click) -> None:
        """What lies under the pointer is done."""
        left = 0
        for text, _, action in self.pieces:
            if left <= event.x < left + len(text) and action:
                await self.app.run_action(action)
                return
            left += len(text)
