"""`procession report`: a page about a run that was recorded, made of its trace or of the recording itself."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from pathlib import Path

from procession.cli.arguments import Parser
from procession.cli.codes import EXIT_OK
from procession.cli.manual import Manual
from procession.errors import InputError

__all__ = ["MANUAL", "parser"]

MANUAL = Manual(
    "report",
    "[OPTIONS] RUN",
    "Make one page of HTML about a run: throughput, what each worker did, what was waited for, memory, the longest and "
    "the failed tasks. The page needs nothing else: send it to whomever you like.",
    (
        "procession run --trace run.json simulate.py && procession report run.json",
        "procession run --record recording simulate.py",
        "procession report recording/ -o - > page.html",
    ),
    (
        "RUN is what `procession run --trace FILE` wrote, or the directory of `procession run --record DIRECTORY`; "
        "such a directory may be of a program that still runs.",
    ),
)


def parser() -> Parser:
    """The arguments of `procession report`."""
    one = Parser(MANUAL)
    one.add_argument("run", metavar="RUN", help="a trace (a file) or a recording (a directory)")
    one.add_argument("-o", "--output", metavar="FILE", help="where to write it, - for standard output (RUN.html)")
    one.set_defaults(command=report)
    return one


def report(options: argparse.Namespace) -> int:
    """Write the page and say where it is. Raises: InputError, NotARecording, NotATrace, OSError."""
    from procession.timeline import report_text, write_report

    if not os.path.exists(options.run):
        raise InputError(errno.ENOENT, os.strerror(errno.ENOENT), options.run)
    if options.output == "-":
        sys.stdout.write(report_text(options.run))
        return EXIT_OK
    run = Path(options.run)
    output = options.output or (f"{run}.html" if run.is_dir() else run.with_suffix(".html"))
    write_report(run, output)
    print(os.fspath(output))
    return EXIT_OK
