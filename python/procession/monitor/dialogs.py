"""What opens over the table: the help, a row's details, stacks, and the question before a process is ended."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from procession.monitor.bars import escaped
from procession.monitor.stacks import NoStack, Stack
from procession.monitor.words import visible

__all__ = ["DetailsScreen", "EndScreen", "HelpScreen", "Lines", "StackScreen"]

Lines = list[tuple[str, str]]

STYLE = """
{name} {{
    align: center middle;
    & > Vertical {{
        width: 90%; max-width: 110; min-width: 36; height: auto; max-height: 90%;
        background: $surface; border: round $primary; padding: 0 1;
        border-title-color: $accent; border-subtitle-color: $text-muted;
    }}
    & VerticalScroll {{ height: auto; max-height: 100%; scrollbar-size-vertical: 1; }}
    & Static {{ height: auto; link-style: not underline; link-color: $foreground; link-color-hover: $accent;
                link-background-hover: $surface; }}
}}
"""


class Dialog(ModalScreen[None]):
    """A box with a title and text that can be scrolled; Esc closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "dismiss", "Close", show=False),
        Binding("up", "scroll(-1)", show=False),
        Binding("down", "scroll(1)", show=False),
        Binding("pageup", "scroll(-10)", show=False),
        Binding("pagedown,space", "scroll(10)", show=False),
        Binding("home", "scroll(-100000)", show=False),
        Binding("end", "scroll(100000)", show=False),
    ]
    DEFAULT_CSS: ClassVar[str] = STYLE.format(name="Dialog")
    HINT = "Esc close"

    def __init__(self, title: str, text: Text | None = None) -> None:
        super().__init__()
        self.heading: str = visible(title)
        self.text: Text = text or Text()

    def compose(self) -> ComposeResult:
        """A box around what scrolls."""
        with Vertical(), VerticalScroll(can_focus=False):
            yield Static(self.text, id="text")

    def on_mount(self) -> None:
        """Title and keys stand in the border."""
        box = self.query_one(Vertical)
        box.border_title, box.border_subtitle = Text(self.heading), self.HINT

    def put(self, text: Text) -> None:
        """Another text."""
        if text != self.text or text.spans != self.text.spans:
            self.text = text
            for part in self.query("#text").results(Static):  # none before it is there, which shows self.text anyway
                part.update(text)

    def action_scroll(self, lines: int) -> None:
        """Up or down."""
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)


class HelpScreen(Dialog):
    """The keys, and what the words mean."""


class DetailsScreen(Dialog):
    """A row in full, up to date as long as it is open."""

    HINT = "Esc close · s stack · k end"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "app.stack", show=False),
        Binding("k", "app.end", show=False),
    ]

    def __init__(self, title: str, read: Callable[[], tuple[Lines, str] | None]) -> None:
        self._read = read
        super().__init__(title, self._text())

    def again(self) -> None:
        """Read the row again."""
        self.put(self._text())

    def _text(self) -> Text:
        found = self._read()
        if found is None:
            return Text("It is gone.", style="italic")
        lines, explained = found
        # The names stand beside the values where both fit; the first column is as wide as its longest.
        width = max((len(name) for name, _ in lines), default=0)
        text = Text()
        for name, value in lines:
            text.append(name.ljust(width) + "  ", style="dim" if name else "")
            text.append(visible(value) + "\n", style="bold red" if value.startswith("DEADLOCK") else "")
        if explained:
            text.append("\n" + explained, style="italic")
        return text


class StackScreen(Dialog):
    """The Python stacks of a process, one thread's first."""

    HINT = "Esc close · r read again"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("r,s", "again", show=False)]

    def __init__(self, title: str, read: Callable[[], Awaitable[list[Stack]]], native_id: int | None) -> None:
        super().__init__(title, Text("reading …", style="italic"))
        self._read, self._native_id = read, native_id

    def on_mount(self) -> None:
        """Read as soon as it is open."""
        super().on_mount()
        self.action_again()

    def action_again(self) -> None:
        """Read once more."""
        self.run_worker(self._show(), exclusive=True)

    async def _show(self) -> None:
        try:
            stacks = await self._read()
        except NoStack as error:
            self.put(Text(str(error), style="bold"))
            return
        first = [stack for stack in stacks if stack.native_id == self._native_id]
        self.put(stack_text(first + [stack for stack in stacks if stack not in first]))


def stack_text(stacks: list[Stack]) -> Text:
    """Stacks, the innermost call at the top."""
    text = Text()
    for number, stack in enumerate(stacks):
        text.append("\n" if number else "")
        text.append(visible(stack.name) or "thread", style="bold")
        text.append(f"  {stack.native_id or ''}  {'computes' if stack.active else 'waits'}\n", style="dim")
        for depth, frame in enumerate(stack.frames):
            ours = "/procession/" in frame.file or "/lib/python" in frame.file
            text.append(f"  {'▸' if depth == 0 else ' '} {visible(frame.function)}", style="dim" if ours else "")
            text.append(f"  {visible(os.path.basename(frame.file))}:{frame.line}\n", style="dim")
    if not stacks:
        text.append("No Python thread was found.")
    return text


class EndScreen(ModalScreen[str]):
    """Asks before a process is ended; gives terminate, kill or nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "answer('terminate')", show=False),
        Binding("k", "answer('kill')", show=False),
        Binding("escape,q,n", "answer('')", show=False),
    ]
    DEFAULT_CSS: ClassVar[str] = STYLE.format(name="EndScreen")

    def __init__(self, question: str, explained: str) -> None:
        super().__init__()
        self.question: str = question
        self.explained: str = explained

    def compose(self) -> ComposeResult:
        """The question and the three answers."""
        lines = [escaped(self.explained), ""]
        for key, answer, what in (
            ("t", "terminate", "Terminate: ask it to end (SIGTERM)"),
            ("k", "kill", "Kill: end it at once (SIGKILL)"),
            ("Esc", "", "Leave it alone"),
        ):
            lines.append(f"[@click=screen.answer('{answer}')][reverse] {key} [/] {what}[/]")
        with Vertical():
            yield Static("\n".join(lines))

    def on_mount(self) -> None:
        """The question stands in the border."""
        self.query_one(Vertical).border_title = Text(self.question)

    def action_answer(self, answer: str) -> None:
        """One of the three."""
        self.dismiss(answer)
