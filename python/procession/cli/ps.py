"""`procession ps`: what running programs are at, printed once."""

from __future__ import annotations

import argparse
import sys

from procession.cli.arguments import Parser, whole
from procession.cli.codes import EXIT_FAILED, EXIT_OK
from procession.cli.colours import BOLD, RED, Paint
from procession.cli.manual import Manual
from procession.cli.shared import columns, complain, counted, output
from procession.errors import NoSuchProgram

__all__ = ["MANUAL", "parser"]

STYLES = {"": "", "title": BOLD, "bad": RED}

MANUAL = Manual(
    "ps",
    "[OPTIONS] [PID]",
    "Say what running programs that use procession are at: processes and threads and what each waits for, with the "
    "line of the program; who holds which lock; queues, pools and whatever else they share.",
    (
        "procession ps",
        "procession ps 4121 --all",
        "procession ps --json | python -m json.tool",
    ),
    (
        "Without PID every program of this user; with it the one to which that process belongs. It is read from the "
        "program's memory, which costs the program nothing, also when it hangs.",
    ),
)


def parser() -> Parser:
    """The arguments of `procession ps`."""
    one = Parser(MANUAL)
    one.set_defaults(command=run_ps)
    one.add_argument("pid", metavar="PID", type=whole(1), nargs="?", help="the number of any process of the program")
    one.add_argument("--all", action="store_true", help="every object, also what is inside others")
    one.add_argument(
        "--json", action="store_true", help="everything that is known, for programs; times in seconds, sizes in bytes"
    )
    return one


def run_ps(options: argparse.Namespace) -> int:
    """Looks once and prints."""
    from procession import _registry

    try:
        found = _registry.programs() if options.pid is None else [_registry.program(options.pid)]
    except NoSuchProgram as error:
        return complain(str(error), EXIT_FAILED)
    with output(None) as out:
        if options.json:
            import json

            json.dump([_registry.as_json(program) for program in found], out, allow_nan=False)
            out.write("\n")
            return EXIT_OK
        if not found:
            print("procession: no program of yours shares anything through procession now", file=sys.stderr)
        from procession.cli.listing import listing

        paint = Paint(out)
        for number, program in enumerate(found):
            lines = listing(program, everything=options.all, width=columns())
            out.write("\n" * bool(number) + "\n".join(paint(text, STYLES[style]) for style, text in lines) + "\n")
        if len(found) > 1:
            print(f"\n{counted(len(found), 'program')}", file=out)
    return EXIT_OK
