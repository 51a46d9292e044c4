"""How the help of a command is put together: what matters most comes first, so that it is on the first screen.

Usage, a sentence or two, examples; then the options; then what else is to be known, and the exit codes. The examples
are real: a test runs every one of them.
"""

from __future__ import annotations

import os
import sys

from procession.cli.codes import EXIT_PIPE_CLOSED, of_command

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

__all__ = ["WIDTH", "Manual", "Option", "show", "shown"]

WIDTH = 80  # columns
INDENT = 2
OPTION = 22  # columns of an option and its value, before its meaning


class Option:
    """An option or argument of a command that reads its own arguments: named as argparse names those of the others."""

    def __init__(
        self, names: str, metavar: str = "", help: str = "", *, choices: tuple[str, ...] = (), value: str = "needed"
    ) -> None:
        """`names` are divided by blanks; those of an argument begin with no dash. `value`: "needed", or "optional",
        after an equals sign. An option without a metavar takes none."""
        self.option_strings: list[str] = [name for name in names.split() if name.startswith("-")]
        self.metavar: str = metavar or ("" if self.option_strings else names)
        self.help = help
        self.choices = choices
        self.value = value
        self.nargs = None if metavar else 0


class Manual:
    """What the help of a command says besides its options."""

    def __init__(
        self, name: str, usage: str, description: str, examples: tuple[str, ...], notes: tuple[str, ...] = ()
    ) -> None:
        """`usage` without the command's name. Paragraphs of `notes` that begin with a blank are printed as they are."""
        self.name: str = name
        self.usage: str = usage
        self.description: str = description
        self.examples: tuple[str, ...] = examples
        self.notes: tuple[str, ...] = notes

    def text(self, groups: Iterable[tuple[str, Iterable[Any]]]) -> str:
        """All of the help. `groups`: titles, and the options or arguments below them, ours or argparse's."""
        told = "\n".join(f"  {line}" for example in self.examples for line in example.split("\n"))
        parts = [f"usage: procession {self.name} {self.usage}", filled(self.description), f"Examples:\n{told}"]
        for title, options in groups:
            lines = [columns_of_text(shown(one), one.help or "", OPTION) for one in options]
            parts.append("\n".join([f"{title}:", *lines]))
        parts.extend(note if note.startswith(" ") else filled(note) for note in self.notes)
        codes = [columns_of_text(f"{code}", meaning, 7) for code, meaning in of_command(self.name).items()]
        return "\n\n".join([*parts, "\n".join(["Exit code:", *codes])])


def shown(option: Any) -> str:
    """How an option or an argument is written: `--on, --context ENGINE`."""
    value = option.metavar or ("|".join(option.choices) if option.choices and option.nargs != 0 else "")
    if not option.option_strings:
        return str(value)
    flags = ", ".join(sorted(option.option_strings, key=lambda name: not name.startswith("--")))
    if not value or option.nargs == 0:
        return flags
    return f"{flags}[={value}]" if getattr(option, "value", "") == "optional" else f"{flags} {value}"


def show(text: str) -> None:
    """Prints help: its headings stand out on a terminal. Ends the command where nobody reads it."""
    from procession.cli.colours import BOLD, Paint

    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")  # a terminal that lacks a character is no reason to fail
    paint = Paint(sys.stdout)
    lines = (paint(line, BOLD) if line[:1].strip() and line.endswith(":") else line for line in text.split("\n"))
    try:
        print("\n".join(lines), flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or closing it would fail as well
        sys.exit(EXIT_PIPE_CLOSED)


def filled(text: str) -> str:
    """A paragraph in lines."""
    import textwrap

    return textwrap.fill(text, WIDTH, break_on_hyphens=False, break_long_words=False)


def columns_of_text(head: str, text: str, column: int) -> str:
    """A word, and beside it, from that column on, what it means; below it where the word is long."""
    import textwrap

    start, rest = " " * INDENT + head, " " * column
    lines = textwrap.wrap(text, WIDTH - column, break_on_hyphens=False, break_long_words=False)
    if len(start) < column - 1:
        start = start.ljust(column) + lines.pop(0)
    return "\n".join([start, *(rest + line for line in lines)])
