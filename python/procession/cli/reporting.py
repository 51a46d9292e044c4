"""`procession report`: a page about a run that was recorded, made of its trace or of the recording itself."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from procession.cli.shared import EXIT_OK

__all__ = ["add_report"]

DESCRIPTION = """\
Make one page of HTML about a run: throughput, what each worker did, what was
waited for, memory, the longest and the failed tasks. The page needs nothing
else: send it to whomever you like.

RUN is what `procession run --trace FILE` wrote, or the directory of
`procession run --record DIRECTORY`; such a directory may be of a program that
still runs."""

EXAMPLES = """\
Examples:
  procession run --trace run.json simulate.py && procession report run.json
  procession report recording/ -o - > page.html"""


def add_report(commands: Any) -> None:
    """The arguments of `procession report`."""
    one = commands.add_parser(
        "report",
        help="make a page about a recorded run",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    one.add_argument("run", metavar="RUN", help="a trace (a file) or a recording (a directory)")
    one.add_argument("-o", "--output", metavar="FILE", help="where to write it, - for standard output (RUN.html)")
    one.set_defaults(command=report)


def report(options: argparse.Namespace) -> int:
    """Write the page and say where it is. Raises: NotARecording, NotATrace, OSError."""
    from procession.timeline import report_text, write_report

    if options.output == "-":
        sys.stdout.write(report_text(options.run))
        return EXIT_OK
    run = Path(options.run)
    output = options.output or (f"{run}.html" if run.is_dir() else run.with_suffix(".html"))
    write_report(run, output)
    print(os.fspath(output))
    return EXIT_OK
