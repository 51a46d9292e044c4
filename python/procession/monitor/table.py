"""The list: a table that makes text only of the rows on the screen, and draws only lines that changed.

Textual's own DataTable keeps a cell object for each row and column; with ten thousand rows that change every second it
would be busy with nothing else. Here rows are the model's, and a frame costs as much as the terminal has lines.

The cursor stays on its row, by the row's key, wherever sorting puts it, and the row stays at its place on the screen.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from procession.monitor.columns import Column, fit
from procession.monitor.rows import Row
from procession.monitor.words import one_line

__all__ = ["Table"]

TINTS = ("running", "waiting", "deadlock", "idle", "sleeping", "stopped", "ended", "hot", "accent", "thread")


class Table(ScrollView, can_focus=True):
    """Rows under a line of titles."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "Up", show=False),
        Binding("down", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "edge(0)", "First", show=False),
        Binding("end", "edge(1)", "Last", show=False),
        Binding("enter", "choose", "Details", show=False),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"table--{name}" for name in ("title", "order", "cursor", "row", *TINTS)}
    DEFAULT_CSS: ClassVar[str] = """
    Table {
        background: $background; color: $foreground; overflow-x: hidden; overflow-y: auto; scrollbar-size-vertical: 1;
        & > .table--row { color: $foreground; }
        & > .table--title { background: $panel; color: $text-muted; }
        & > .table--order { background: $panel; color: $accent; text-style: bold; }
        & > .table--cursor { background: $primary; color: $background; text-style: bold; }
        & > .table--running { color: $success; }
        & > .table--waiting { color: $warning; }
        & > .table--hot { color: $error; }
        & > .table--deadlock { color: $error; text-style: bold; }
        & > .table--idle { color: $text-muted; }
        & > .table--sleeping { color: $text-muted; }
        & > .table--stopped { color: $secondary; }
        & > .table--ended { color: $text-disabled; text-style: italic; }
        & > .table--accent { color: $accent; }
        & > .table--thread { color: $text-muted; }
    }
    """

    class Chosen(Message):
        """Enter was pressed on a row, or it was clicked twice."""

    class Moved(Message):
        """The cursor is on another row."""

    class Ordered(Message):
        """A title was clicked."""

        def __init__(self, column: int) -> None:
            super().__init__()
            self.column = column

    def __init__(self) -> None:
        super().__init__()
        self._columns: tuple[Column, ...] = ()
        self._order = (0, False)
        self._rows: list[Row] = []
        self._cursor = 0
        self._strips: dict[int, Strip] = {}  # lines as drawn, by their place on the screen
        self._looks: dict[str, Style] = {}
        self._widths: list[tuple[Column, int]] = []
        self._empty = ""

    # What it shows

    @property
    def row(self) -> Row | None:
        """The row under the cursor."""
        return self._rows[self._cursor] if self._cursor < len(self._rows) else None

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns, shown or not."""
        return self._columns

    @property
    def rows(self) -> list[Row]:
        """All rows, in the order shown."""
        return self._rows

    def show(self, columns: tuple[Column, ...], order: tuple[int, bool], rows: list[Row], empty: str) -> None:
        """Show these rows; order is the number of the column they are sorted by and whether it is reversed."""
        if columns is not self._columns or order != self._order:
            self._columns, self._order = columns, order
            self._fit()
        wanted, before = self.row, self._cursor
        self._rows, self._empty = rows, empty
        if wanted is not None and before:  # on the first row it stays: who has not moved wants to see the first
            self._follow(wanted.key, before)
        self._cursor = max(min(self._cursor, len(rows) - 1), 0)
        self.virtual_size = Size(self.size.width, len(rows) + 1)
        self._redraw()

    def _follow(self, key: Hashable, before: int) -> None:
        if before < len(self._rows) and self._rows[before].key == key:
            return
        for number, row in enumerate(self._rows):
            if row.key == key:
                self._cursor = number
                self._scroll(self.scroll_offset.y + number - before)
                return

    def go_to(self, key: Hashable | None) -> None:
        """Put the cursor on the row with this key, or the first."""
        self._cursor = next((number for number, row in enumerate(self._rows) if row.key == key), 0)
        self._show_cursor()

    # Drawing

    def _fit(self) -> None:
        self._widths = fit(self._columns, max(self.scrollable_content_region.width - 1, 10))
        self._strips.clear()

    def on_resize(self, event: events.Resize) -> None:
        """Other columns may fit."""
        self._fit()
        self.virtual_size: Size = Size(self.size.width, len(self._rows) + 1)
        self.refresh()

    def notify_style_update(self) -> None:
        """Another theme: everything is drawn anew."""
        super().notify_style_update()
        self._looks.clear()
        self._strips.clear()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Other rows stand at the same lines."""
        self._strips.clear()
        super().watch_scroll_y(old_value, new_value)

    def _redraw(self) -> None:
        """Draw the lines again that are not what they were."""
        width = self.scrollable_content_region.width
        if sum(size + 1 for _, size in self._widths) != width:
            self._fit()
        for y in range(self.size.height):
            strip = self._line(y)
            if self._strips.get(y) != strip:
                self._strips[y] = strip
                self.refresh(Region(0, y, self.size.width, 1))

    def render_line(self, y: int) -> Strip:
        """A line of the screen."""
        if y not in self._strips:
            self._strips[y] = self._line(y)
        return self._strips[y]

    def _look(self, name: str) -> Style:
        if name not in self._looks:
            self._looks[name] = self.get_component_rich_style(f"table--{name}")
        return self._looks[name]

    def _line(self, y: int) -> Strip:
        width = self.size.width
        if y == 0:
            return self._titles(width)
        number = y - 1 + self.scroll_offset.y
        if number < len(self._rows):
            return self._row(self._rows[number], width, at_cursor=number == self._cursor)
        text = f" {self._empty}" if not self._rows and y == 2 else ""
        return Strip([Segment(set_cell_size(text, width), self._look("idle"))], width)

    def _titles(self, width: int) -> Strip:
        plain, ordered = self._look("title"), self._look("order")
        segments = [Segment(" ", plain)]
        for column, size in self._widths:
            by_this = column is self._columns[self._order[0]]
            mark = ("▼" if self._order[1] else "▲") if by_this else " "
            look = ordered if by_this else plain
            if column.right or len(column.title) >= size:  # the mark stands in the gap
                segments += [Segment(_cell(column.title, size, column.right), look), Segment(mark, look)]
            else:
                segments += [Segment(_cell(column.title + mark, size, False), look), Segment(" ", plain)]
        return Strip(segments).adjust_cell_length(width, plain)

    def _row(self, row: Row, width: int, *, at_cursor: bool) -> Strip:
        plain = self._look("cursor" if at_cursor else "ended" if row.ended is not None else "row")
        segments = [Segment(" ", plain)]
        for column, size in self._widths:
            tint = "" if at_cursor or row.ended is not None else column.tint(row)
            segments.append(Segment(_cell(column.text(row), size, column.right), self._look(tint) if tint else plain))
            segments.append(Segment(" ", plain))
        return Strip(segments).adjust_cell_length(width, plain)

    # Moving

    def action_move(self, by: int) -> None:
        """Rows up or down."""
        self._set_cursor(self._cursor + by)

    def action_page(self, by: int) -> None:
        """Pages up or down."""
        self._set_cursor(self._cursor + by * max(self.size.height - 2, 1))

    def action_edge(self, last: int) -> None:
        """To the first or last row."""
        self._set_cursor(len(self._rows) - 1 if last else 0)

    def action_choose(self) -> None:
        """Enter."""
        if self.row is not None:
            self.post_message(self.Chosen())

    def _set_cursor(self, number: int) -> None:
        number = max(min(number, len(self._rows) - 1), 0)
        if number != self._cursor:
            self._cursor = number
            self._show_cursor()
            self.post_message(self.Moved())

    def _show_cursor(self) -> None:
        room, top = max(self.size.height - 1, 1), self.scroll_offset.y
        if self._cursor < top:
            self._scroll(self._cursor)
        elif self._cursor >= top + room:
            self._scroll(self._cursor - room + 1)
        self._redraw()

    def _scroll(self, top: int) -> None:
        self.scroll_to(y=max(top, 0), animate=False, force=True)

    def on_click(self, event: events.Click) -> None:
        """A title sorts, a row is chosen, by a second click opened."""
        if event.y == 0:
            left = 1
            for column, size in self._widths:
                if left <= event.x < left + size + 1:
                    self.post_message(self.Ordered(self._columns.index(column)))
                left += size + 1
            return
        number = event.y - 1 + self.scroll_offset.y
        if number < len(self._rows):
            self._set_cursor(number)
            if event.chain == 2:
                self.action_choose()


def _cell(text: str, size: int, right: bool) -> str:
    """The text in so many cells, cut with an ellipsis."""
    text = one_line(text)
    length = cell_len(text)
    if length > size:
        return set_cell_size(text, size - 1) + "…" if size > 1 else set_cell_size(text, size)
    return " " * (size - length) + text if right else text + " " * (size - length)
