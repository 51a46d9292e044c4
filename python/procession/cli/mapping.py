"""`procession map`: one call of `map_lines` from standard input to standard output."""

from __future__ import annotations

import argparse
import os
import stat
import sys
from typing import Any

import procession
from procession import mapreduce
from procession.cli.shared import EXIT_OK, add_workers, counted

__all__ = ["add_map"]

HELP = """\
Each line of standard input is a JSON value; the function is called with it in a worker, and what it returns is a line
of JSON on standard output, in the same order. Lines of blanks are passed over. What the function prints itself goes to
standard error.

Examples:
    procession map math:sqrt < numbers.jsonl > roots.jsonl
    procession map pages.py:title --on-error null < pages.jsonl > titles.jsonl
    procession map json:dumps --raw < names.txt > names.jsonl

Exit code: 0 done, also if lines were passed over as --on-error says; 1 the function raised or gave what JSON has no
form for, or a worker died; 2 wrong usage or no such function; 3 a line is not JSON or not text; 130 interrupted.
"""


def add_map(commands: Any) -> None:
    """The arguments of `procession map`."""
    one = commands.add_parser(
        "map",
        help="call a function with every line of standard input on all cores",
        description="Call a Python function with every line of standard input, on all cores and in bounded memory.",
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    one.set_defaults(command=run_map)
    one.add_argument("function", metavar="FUNCTION", help="module:function or path/to/file.py:function")
    add_workers(one)
    one.add_argument("--raw", action="store_true", help="a line is not JSON but a str, without its end")
    one.add_argument("--unordered", action="store_true", help="results in the order they come")
    one.add_argument(
        "--on-error",
        choices=mapreduce.ON_ERROR,
        default="stop",
        help="a line that fails: end with its number (stop), leave it out (skip), or write null",
    )
    one.add_argument(
        "--errors",
        choices=("strict", "replace", "ignore"),
        default="strict",
        help="bytes that are no UTF-8: the line fails (strict), read them as �, or leave them out",
    )
    one.add_argument("--progress", action="store_true", help="show how far it is, if standard error is a terminal")


def run_map(options: argparse.Namespace) -> int:
    """`procession map`."""
    context = procession.get_context(options.context)
    source = sys.stdin.fileno()
    status = os.fstat(source)
    size = status.st_size if stat.S_ISREG(status.st_mode) else None
    label = options.function.rpartition(":")[2]
    with mapreduce.LineBar(label, sys.stderr, size, show=options.progress) as shown:
        done = mapreduce.map_lines(
            options.function,
            source,
            sys.stdout.buffer,
            context=context,
            workers=options.workers,
            raw=options.raw,
            errors=options.errors,
            on_error=options.on_error,
            ordered=not options.unordered,
            progress=shown.update,
        )
    if done.first is not None:
        print(f"{done.failed:,} of {counted(done.lines, 'line')} failed; {done.first}", file=sys.stderr)
    if options.progress:
        rate = mapreduce.size(done.size_bytes / done.seconds)
        print(f"{counted(done.lines, 'line')}, {done.seconds:.2f} s, {rate}/s", file=sys.stderr)
    return EXIT_OK
