"""The command `procession`: each command is one call into the library, loaded when it is named."""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with these arguments (those of the process, if None) and return its exit code."""
    name, *rest = (sys.argv[1:] if arguments is None else list(arguments)) or [""]
    if name == "help":  # as git and cargo have it
        name, *rest = [rest[0], "--help"] if rest else ["--help"]
    if name == "run":
        from procession.cli.running import run

        return run(rest)
    if name == "check":
        from procession.cli.checking import check

        return check(rest)
    if name == "completion" and rest[:1] == ["--answer"]:  # a shell asks; these are not arguments, but parts of some
        from procession.cli.completing import answer

        return answer(rest[1], rest[2:])
    from procession.cli import catalogue

    if catalogue.command(name) is not None:
        from procession.cli.commands import execute

        return execute(name, rest)
    return _without_command([name, *rest])


def _without_command(given: list[str]) -> int:
    """What is asked of `procession` itself."""
    from procession.cli.catalogue import overview
    from procession.cli.codes import EXIT_OK, EXIT_USAGE
    from procession.cli.manual import show
    from procession.cli.mistakes import no_command, refuse

    if given[0] in ("-h", "--help"):
        show(overview())
        return EXIT_OK
    if given[0] in ("-V", "--version"):
        from importlib.metadata import version

        show(f"procession {version('procession')}")
        return EXIT_OK
    if not given[0]:
        print(overview(), file=sys.stderr)
        return EXIT_USAGE
    return refuse("", no_command(given))
