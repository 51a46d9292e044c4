"""What somebody typed who meant something else: one short message, and where help is. Loads nothing until then."""

from __future__ import annotations

import sys

from procession.cli.codes import EXIT_USAGE

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import NoReturn

__all__ = ["meant", "no_command", "no_option", "none_of", "refuse"]


def refuse(name: str, message: str) -> NoReturn:
    """Says what is wrong with the arguments of a command ("" for those of `procession` itself), and ends."""
    command = f"procession {name}".rstrip()
    print(f"{command}: {' '.join(message.split())}\nSee: {command} --help", file=sys.stderr)
    sys.exit(EXIT_USAGE)


def meant(given: str, known: Iterable[str]) -> str:
    """`; did you mean …?`, if one of the known is like what was given; else nothing."""
    from difflib import get_close_matches

    names = {name.lower(): name for name in known}
    found = get_close_matches(given.lower(), names, 1, 0.6)
    return f"; did you mean {names[found[0]]}?" if found else ""


def none_of(given: str, known: Iterable[str], what: str) -> str:
    """That there is no such thing, what was meant perhaps, or else what there is."""
    names = list(known)
    return f"no {what} is called {given!r}{meant(given, names) or f'; there are {listed(names)}'}"


def listed(names: list[str]) -> str:
    """`a, b and c`"""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def no_option(given: str, known: Iterable[str]) -> str:
    """That there is no such option, and what was meant perhaps."""
    return f"no option {given}{meant(given, known)}"


def no_command(given: list[str]) -> str:
    """What is wrong with these arguments, of which the first is no command."""
    import os

    from procession.cli.catalogue import COMMANDS, JOBS

    first, names = given[0], [one.name for one in COMMANDS]
    if first.startswith("-") and first[:2] not in ("-m", "-c"):
        return no_option(first, ("--help", "--version"))
    if first.endswith((".py", ".pyz")) or first[:2] in ("-m", "-c") or (os.sep in first and os.path.exists(first)):
        import shlex

        return f"no command is called {first!r}; to run a program: procession run {shlex.join(given)}"
    if found := meant(first, names):
        return f"no command is called {first!r}{found}"
    if first in JOBS:
        return f"no command is called {first!r}; it is a job: procession mapreduce {first} INPUT"
    return f"no command is called {first!r}; there are {listed(names)}"
