"""The screen of `procession top`: summary, tabs, table, what the row under the cursor says, keys.

Every interval it looks, in a thread, so that keys are answered meanwhile; the model takes the look in, and what changed
is drawn. A look never raises for what it looks at: programs may end at any instruction.
"""

from __future__ import annotations

import asyncio
import textwrap
from typing import ClassVar

import psutil
from rich.text import Text
from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.theme import Theme
from textual.widgets import Input

from procession._cpu import cpu_count
from procession.monitor import words
from procession.monitor.bars import Bar, Line, escaped
from procession.monitor.columns import Choice
from procession.monitor.details import details, hint, title
from procession.monitor.dialogs import DetailsScreen, EndScreen, HelpScreen, StackScreen
from procession.monitor.keys import KEYS, footer, help_text
from procession.monitor.model import Model, filtered
from procession.monitor.rows import ProcessRow, Row, ThreadRow
from procession.monitor.stacks import stacks
from procession.monitor.summary import Spans, summary, tab_titles
from procession.monitor.table import Table
from procession.monitor.tabs import TABS
from procession.monitor.watch import Watch

__all__ = ["Top"]

DARK = Theme(
    "procession-dark",
    primary="#5fafd7", secondary="#c792ea", accent="#7fdbca", warning="#ffcb6b", error="#ff6e6e", success="#9ccc65",
    foreground="#d6deeb", background="#0e1419", surface="#161e26", panel="#1f2a35", dark=True,
)  # fmt: skip
LIGHT = Theme(
    "procession-light",
    primary="#1f6f9f", secondary="#7b3fa0", accent="#00696b", warning="#8a5a00", error="#b3261e", success="#2e6b1f",
    foreground="#1c2530", background="#fafaf7", surface="#f0f1ee", panel="#e2e5e3", dark=False,
)  # fmt: skip
COLOURS = {  # of the summary's pieces, as the themes name them
    "strong": "bold $foreground",
    "dim": "$text-muted",
    "meter": "$success on $panel",
    "waiting": "$warning",
    "hot": "$error",
    "accent": "$accent",
}


class Top(App[None]):
    """The task manager."""

    TITLE: str | None = "procession top"
    ENABLE_COMMAND_PALETTE: ClassVar[bool] = False
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            # What is typed behind `/` is for the filter, so that key may not wait in the list's queue
            Binding(key.keys, key.action, key.name, show=False, priority=key.action == "filter")
            for key in KEYS
            if key.keys != "enter"
        ),
        *(Binding(str(number), f"show_tab({number - 1})", show=False) for number in range(1, len(TABS) + 1)),
    ]
    CSS: ClassVar[str] = """
    Screen { background: $background; }
    ModalScreen { background: $background 60%; }
    #summary { height: 3; padding: 0 1; }
    #tabs { height: 1; background: $panel; color: $text-muted; }
    #banner { height: auto; padding: 0 1; background: $error; color: $background; text-style: bold;
              display: none; }
    #banner.shown { display: block; }
    Table { height: 1fr; padding: 0; }
    #hint { height: 2; padding: 0 1; background: $surface; color: $foreground; }
    #filter { height: 1; border: none; padding: 0 1; background: $panel; }
    #keys { height: 1; background: $panel; color: $foreground; }
    """

    def __init__(self, watch: Watch, interval_s: float = 1.0) -> None:
        super().__init__()
        self.watch_program: Watch = watch
        self.interval_s: float = interval_s
        self.model: Model = Model(keep=watch.pid is not None)
        self.tab: int = 0
        self.choices: list[Choice] = [Choice(tab.first, tab.columns[tab.first].falling) for tab in TABS]
        self.cursors: list[object] = [None] * len(TABS)
        self.filter: str = ""
        self.paused: bool = False
        self._looking = False
        for theme in (DARK, LIGHT):
            self.register_theme(theme)
        self.theme = DARK.name

    def compose(self) -> ComposeResult:
        """From the top to the bottom."""
        yield Line(id="summary")
        yield Bar(id="tabs")
        yield Line(id="banner")
        yield Table()
        yield Line(id="hint")
        yield Input(id="filter", placeholder="words that a row must have; Enter keeps, Esc clears")
        yield Bar(id="keys")

    def on_mount(self) -> None:
        """Looks from now on."""
        self.query_one("#filter", Input).display = False
        self.table.focus()
        self.set_interval(self.interval_s, self.tick)
        self.call_after_refresh(self.tick)

    def on_unmount(self) -> None:
        """Watches no more."""
        self.watch_program.close()

    @property
    def table(self) -> Table:
        """The list."""
        return self.screen_stack[0].query_one(Table)

    def _line(self, name: str) -> Line:
        return self.screen_stack[0].query_one(f"#{name}", Line)

    def _bar(self, name: str) -> Bar:
        return self.screen_stack[0].query_one(f"#{name}", Bar)

    # Looking

    def tick(self) -> None:
        """Look, unless that is held or still going on."""
        if not self.paused and not self._looking:
            self._looking = True
            self.run_worker(self._look(), group="look")

    async def _look(self) -> None:
        try:
            self.model.take(await asyncio.to_thread(self.watch_program.look))
        finally:
            self._looking = False
        self.draw()

    # Drawing

    def draw(self) -> None:
        """Put everything on the screen as it is now."""
        if not self.screen_stack or not self.screen_stack[0].query("#summary"):
            return  # not there yet, or being left
        self._draw_top()
        self._draw_rows()
        for screen in self.screen_stack[1:]:
            if isinstance(screen, DetailsScreen):
                screen.again()

    def _draw_top(self) -> None:
        width = self.size.width
        lines = summary(self.model, width - 2, cpu_count())
        self._line("summary").put("\n".join(_markup(line) for line in lines))
        self._bar("tabs").put_pieces(
            [
                (title, "bold $background on $primary" if number == self.tab else "$foreground", f"show_tab({number})")
                for number, title in enumerate(tab_titles(self.model, width))
            ]
        )
        keys = [(" PAUSED ", "bold $background on $warning", "pause")] if self.paused else []
        for key in footer(width - len(keys) * 8):
            keys += [(f" {key.shown}", "bold $accent", key.action), (f" {key.name} ", "", key.action)]
        self._bar("keys").put_pieces(keys)
        self._draw_banner(width)

    def _draw_banner(self, width: int) -> None:
        """The first circle of waits, whoever is in it, and how many there are besides."""
        banner = self._line("banner")
        banner.set_class(bool(self.model.circles), "shown")
        if not self.model.circles:
            return
        lines = [
            f"{party}{f', held by {party.holder}' if party.holder else ''}" for party in self.model.circles[0].parties
        ]
        if len(self.model.circles) > 1:
            lines.append(f"and {words.plural(len(self.model.circles) - 1, 'other circle')}")
        word = "DEADLOCK  "
        indent = " " * (len(word) if width >= 60 else 2)
        wrapped = [
            part
            for line in lines
            for part in textwrap.wrap(line, width - 2, initial_indent=indent, subsequent_indent=indent + "  ")
        ]
        if width >= 60:
            wrapped[0] = word + wrapped[0].lstrip()
        else:
            wrapped.insert(0, word)
        banner.put(escaped("\n".join(wrapped)))

    def _draw_rows(self) -> None:
        tab, choice = TABS[self.tab], self.choices[self.tab]
        rows = filtered(tab.rows(self.model, tab.columns[choice.column].order, choice), self.filter)
        empty = tab.empty if self.model.looks else "looking …"
        if self.filter and not rows:
            empty = f"Nothing here has '{self.filter}'. Esc lists all."
        self.table.show(tab.columns, (choice.column, choice.reverse), rows, empty)
        self._draw_hint()

    def _draw_hint(self) -> None:
        row = self.table.row
        self._line("hint").put(escaped(hint(row, self.model)) if row is not None else "")

    def on_table_moved(self) -> None:
        """Another row is under the cursor."""
        self._draw_hint()

    def on_resize(self, event: events.Resize) -> None:
        """The width decides what is shown."""
        self._line("hint").styles.height = 1 if event.size.height < 16 else 2
        self._line("summary").styles.height = 2 if event.size.height < 12 else 3
        self._line("banner").styles.max_height = max(event.size.height // 4, 1)
        self.draw()

    # Choosing what is listed

    def action_show_tab(self, number: int) -> None:
        """To a tab; its cursor is where it was."""
        row = self.table.row
        self.cursors[self.tab] = row.key if row is not None else None
        self.tab = number
        self.draw()
        self.table.go_to(self.cursors[number])

    def action_turn(self, by: int) -> None:
        """To the next tab."""
        self.action_show_tab((self.tab + by) % len(TABS))

    def _choose(self, **changes: object) -> None:
        now = self.choices[self.tab]
        values = {"column": now.column, "reverse": now.reverse, "tree": now.tree, "threads": now.threads, **changes}
        self.choices[self.tab] = Choice(**values)  # type: ignore[arg-type]
        self.draw()

    def on_table_ordered(self, message: Table.Ordered) -> None:
        """A title was clicked: sort by it, or the other way round."""
        if message.column == self.choices[self.tab].column:
            self.action_reverse()
        else:
            self._choose(column=message.column, reverse=TABS[self.tab].columns[message.column].falling)

    def action_sort(self, by: int) -> None:
        """By the next column that is shown."""
        columns = TABS[self.tab].columns
        column = (self.choices[self.tab].column + by) % len(columns)
        self._choose(column=column, reverse=columns[column].falling)

    def action_sort_by(self, name: str) -> None:
        """Processes by the column of this title."""
        if self.tab != 0:
            self.action_show_tab(0)
        column = next(number for number, each in enumerate(TABS[0].columns) if each.title == name)
        self._choose(column=column, reverse=TABS[0].columns[column].falling)

    def action_reverse(self) -> None:
        """The other way round."""
        self._choose(reverse=not self.choices[self.tab].reverse)

    def action_tree(self) -> None:
        """Tree or flat."""
        self._choose(tree=not self.choices[self.tab].tree)

    def action_threads(self) -> None:
        """Threads shown or not."""
        self._choose(threads=not self.choices[self.tab].threads)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool:
        """In the filter `/` is a letter."""
        return action != "filter" or not isinstance(self.focused, Input)

    def action_filter(self) -> None:
        """Type what to look for."""
        box = self.query_one("#filter", Input)
        box.display = True
        self.screen.set_focus(box)  # at once: the next keys, which may have been typed already, are for it

    def on_input_changed(self, event: Input.Changed) -> None:
        """The list follows what is typed."""
        self.filter = event.value
        self._draw_rows()

    def on_input_submitted(self) -> None:
        """Back to the list, with the filter."""
        self.query_one("#filter", Input).display = bool(self.filter)
        self.table.focus()

    def action_plain(self) -> None:
        """Esc: all rows."""
        box = self.query_one("#filter", Input)
        box.value = ""
        box.display = False
        self.table.focus()

    def action_pause(self) -> None:
        """Hold, go on."""
        self.paused = not self.paused
        self.draw()

    def action_light(self) -> None:
        """The other colours."""
        self.theme = DARK.name if self.theme == LIGHT.name else LIGHT.name

    # Dialogs

    def action_help(self) -> None:
        """The keys and words."""
        if len(self.screen_stack) == 1:
            self.push_screen(HelpScreen("procession top", Text.assemble(*help_text(TABS[self.tab]))))

    def on_table_chosen(self) -> None:
        """Enter on a row."""
        self.action_details()

    def action_details(self) -> None:
        """The row in full."""
        row = self.table.row
        if row is not None:
            self.push_screen(DetailsScreen(title(row), lambda: details(self._current(row), self.model)))

    def _current(self, row: Row) -> Row:
        """The row that has the same key now; the one given where it is gone."""
        return next((each for each in self.table.rows if each.key == row.key), row)

    def action_stack(self) -> None:
        """The stack of the row's thread, or of its process."""
        row = self.table.row
        if row is None or isinstance(self.screen, StackScreen):
            return
        if row.ended is not None:
            self.notify("It has ended: there is no stack any more.")
            return
        pid = row.pid
        native_id = row.info.native_id if isinstance(row, ThreadRow) else pid  # the main thread has its process's
        self.push_screen(StackScreen(f"Python stacks of pid {pid}", lambda: stacks(pid), native_id))

    def action_end(self) -> None:
        """Ask, then end the row's process."""
        row = self.table.row
        if row is None or isinstance(self.screen, EndScreen):
            return
        process = self.watch_program.sampler.process(row.pid)
        if row.ended is not None or process is None:
            self.notify("It has ended already.")
            return
        family = self.model.family_of(row)
        found = family.process(row.pid) if family is not None else None
        name = found.info.name if found is not None else "process"
        explained = "What it was working on is lost; locks it holds are passed on as abandoned."
        if isinstance(row, ThreadRow):
            explained = "A thread cannot be ended from outside: this ends its whole process. " + explained
        elif not isinstance(row, ProcessRow) and row.pid == row.program.pid:
            explained = "This ends the process that made it, the first of its program. " + explained

        def answered(answer: str | None) -> None:
            if answer:
                self._send(process, answer, name)

        self.push_screen(EndScreen(f"End {name} (pid {row.pid})?", explained), answered)

    def _send(self, process: psutil.Process, how: str, name: str) -> None:
        """The signal, to this very process: psutil compares the time of its start, as numbers are used again."""
        try:
            process.terminate() if how == "terminate" else process.kill()
        except psutil.NoSuchProcess:
            self.notify(f"{name} (pid {process.pid}) had ended already.")
        except psutil.AccessDenied:
            self.notify(f"Not allowed to end {name} (pid {process.pid}): it is another user's.", severity="error")
        else:
            self.notify(f"{'SIGTERM' if how == 'terminate' else 'SIGKILL'} sent to {name} (pid {process.pid}).")
        self.tick()


def _markup(line: Spans) -> str:
    return "".join(f"[{COLOURS[kind]}]{escaped(text)}[/]" if kind else escaped(text) for text, kind in line)
