"""Writes docs/reference/cli.md from what the commands say of themselves: python scripts/cli_reference.py

A test holds the page to it, so a changed option is a changed page.
"""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from procession.cli import checking, running
from procession.cli.catalogue import COMMANDS, overview
from procession.cli.codes import of_command
from procession.cli.commands import parser_of
from procession.cli.completing import MANUAL as COMPLETION
from procession.cli.manual import Manual, shown

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "cli.md"
PICTURES = {"doctor": "a verdict for each line: ok, limited, missing or broken"}
LITERAL = (
    r"--[a-z][a-z-]+(=FILE)?|__\w+__(\.py)?|sys\.argv\[1:\]|pip install '[^']+'|[\w.]+\.db\.runs-\*|NAME=VALUE|=FILE"
)
OWN = {"run": running, "check": checking}  # these read their own arguments

OPENING = """\
# The command

<!-- Made by scripts/cli_reference.py from the commands themselves; a test holds it to them, and runs every example. -->

What each command does, its options, its exit codes. `procession COMMAND --help` prints the same. Times are in seconds;
sizes in bytes, or as `512M` and `2G`, which are multiples of 1024.
"""

WAYS = """\
## What is common to all

**Answers go to standard output, everything else to standard error**, so that a pipe carries the answer alone. What is
wrong is said in one line that begins with `procession:`; a traceback is that of your own code.

**A mistyped command, option or value** is named, with what was meant perhaps, and ends with exit code 2:

```none
$ procession tpo
procession: no command is called 'tpo'; did you mean top?
See: procession --help
```

**Colours** are used on terminals only. `NO_COLOR=1` turns them off, `FORCE_COLOR=1` on, also into a pipe; the former
counts more. `TERM=dumb` has none. They say nothing that the words do not. The other variables that count are in
[environment.md](environment.md).

**The Tab key** completes commands, options and their values, files, names of jobs, and the numbers of running programs:

| Shell | What to write, and where |
| --- | --- |
| bash | `{bash}` in `~/.bashrc` |
| zsh | `{zsh}` in `~/.zshrc`, after `compinit` |
| fish | `{fish}` in `~/.config/fish/config.fish` |

## Exit codes

The usual ones; what else they mean for a command is below, with the command.

| Code | Meaning |
| --- | --- |
| 0 | done |
| 1 | failed: the work, or something it needs |
| 2 | wrong usage; nothing was done |
| 3 | the input is missing or not what it should be; of `check`: something was found |
| 4 | of `check`: an analysis failed |
| 130 | interrupted: Ctrl-C, SIGINT |
| 141 | whoever read the output has left, as `head` does |
| 143 | SIGTERM came |

`run` and `check` end with the exit code of the program they ran, whatever that is.
"""


def page() -> str:
    """The whole page."""
    told = COMPLETION.examples
    bash, zsh, fish = (line.partition("  #")[0].strip() for line in told)
    parts = [OPENING, f"```none\n{overview()}\n```\n", WAYS.format(bash=bash, zsh=zsh, fish=escaped(fish))]
    return "\n".join([*parts, *("\n".join(section(one.name)) for one in COMMANDS)]).rstrip() + "\n"


def section(name: str) -> Iterator[str]:
    """All about a command."""
    groups: list[tuple[str, Iterable[Any]]]
    manual: Manual
    if name in OWN:
        manual, groups = OWN[name].MANUAL, [("Options", OWN[name].OPTIONS)]
    else:
        parser = parser_of(name)
        manual, groups = parser.manual, [*parser.groups()]
    yield f"## procession {name}\n"
    yield f"{filled(manual.description)}\n"
    yield f"```none\nprocession {name} {manual.usage}\n```\n"
    examples = "\n".join(manual.examples)
    yield f"Examples:\n\n```none\n{examples}\n```\n"
    if name in PICTURES:
        yield f"![procession {name}: {PICTURES[name]}](../pictures/{name}.svg)\n"
    for title, options in groups:
        yield f"| {title} | |\n| --- | --- |"
        yield from (f"| `{escaped(shown(one))}` | {cell(one.help or '')} |" for one in options)
        yield ""
    for note in manual.notes:
        yield f"```python\n{textwrap.dedent(note)}\n```\n" if note.startswith(" ") else f"{filled(note)}\n"
    yield "| Exit code | |\n| --- | --- |"
    yield from (f"| {code} | {cell(meaning)} |" for code, meaning in of_command(name).items())
    yield ""


def filled(text: str) -> str:
    """A paragraph in lines."""
    return textwrap.fill(literal(text), 120, break_on_hyphens=False, break_long_words=False)


def cell(text: str) -> str:
    """Prose as it may stand in a table."""
    return escaped(literal(text))


def escaped(text: str) -> str:
    """Code as it may stand in a table."""
    return text.replace("|", "\\|")


def literal(text: str) -> str:
    """With options and names of files as code, so that no renderer makes dashes of two hyphens."""
    parts = text.split("`")
    parts[::2] = [re.sub(LITERAL, r"`\g<0>`", part) for part in parts[::2]]
    return "`".join(parts)


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    PAGE.write_text(page())
