"""`procession ps`: what running programs are at, printed once."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from procession.cli.shared import EXIT_OK, columns, complain, counted, output
from procession.errors import NoSuchProgram

__all__ = ["add_ps"]

EXIT_NO_PROGRAM = 1

HELP = """\
For each program: its processes and threads and what each waits for, with the
line of the program; who holds which lock; queues, pools and whatever else they
share. It is read from the program's memory, which costs the program nothing,
also when it hangs.

Without PID every program of this user that uses procession; with it the one to
which that process belongs.

Exit code: 0; 1 no such program (gone, another user's, or not procession's);
2 wrong usage.

Examples:
    procession ps
    procession ps 4121 --all
    procession ps --json | jq '.[].processes[].name'"""


def add_ps(commands: Any) -> None:
    """The entry of `procession ps` in the list of commands."""
    one = commands.add_parser(
        "ps",
        help="list running programs: processes, what they wait for, locks, queues, pools",
        description="Lists what programs that use procession are at.",
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    one.set_defaults(command=run_ps)
    one.add_argument("pid", metavar="PID", type=int, nargs="?", help="the number of any process of the program")
    one.add_argument("--all", action="store_true", help="every object, also what is inside others")
    one.add_argument("--json", action="store_true", help="everything that is known, for programs")


def run_ps(options: argparse.Namespace) -> int:
    """Looks once and prints."""
    from procession import _registry

    try:
        found = _registry.programs() if options.pid is None else [_registry.program(options.pid)]
    except NoSuchProgram as error:
        return complain(str(error), EXIT_NO_PROGRAM)
    with output(None) as out:
        if options.json:
            import json

            json.dump([_registry.as_json(program) for program in found], out, allow_nan=False)
            out.write("\n")
            return EXIT_OK
        if not found:
            print("procession: no program of yours shares anything through procession now", file=sys.stderr)
        from procession.cli.listing import listing

        for number, program in enumerate(found):
            lines = listing(program, everything=options.all, width=columns())
            out.write("\n" * bool(number) + "\n".join(_coloured(lines, out.isatty())) + "\n")
        if len(found) > 1:
            print(f"\n{counted(len(found), 'program')}", file=out)
    return EXIT_OK


def _coloured(lines: list[tuple[str, str]], is_terminal: bool) -> list[str]:
    """The lines, with their style where the terminal knows such things and the user wants them."""
    plain = not is_terminal or os.environ.get("TERM", "dumb") == "dumb" or os.environ.get("NO_COLOR")
    codes = {"": "", "title": "\x1b[1m", "bad": "\x1b[31m"}
    return [text if plain or not style else f"{codes[style]}{text}\x1b[0m" for style, text in lines]
