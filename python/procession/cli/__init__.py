"""The command `procession`: each command is one call into the library, loaded when it is named."""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with these arguments (those of the process, if None) and return its exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] == ["run"]:
        from procession.cli.running import run

        return run(given[1:])
    if given[:1] == ["check"]:
        from procession.cli.checking import check

        return check(given[1:])
    from procession.cli.commands import main

    return main(given)
