"""`procession map`: one call of `map_lines` from standard input to standard output."""

from __future__ import annotations

import argparse
import fcntl
import os
import stat
import sys

from procession._sizes import shown_size
from procession.cli.arguments import Parser, one_of, positive_seconds, size, whole
from procession.cli.catalogue import ON_ERROR
from procession.cli.codes import EXIT_OK
from procession.cli.manual import Manual
from procession.cli.shared import (
    ERRORS,
    add_checkpoint,
    add_timeline,
    add_workers,
    checkpoint_of,
    context_of,
    counted,
)
from procession.cli.signals import ending_input

__all__ = ["MANUAL", "parser"]

MANUAL = Manual(
    "map",
    "[OPTIONS] FUNCTION < LINES > RESULTS",
    "Call a Python function with every line of standard input, on all cores and in bounded memory. A line is a JSON "
    "value; what the function returns is a line of JSON on standard output, in the same order.",
    (
        "procession map math:sqrt < numbers.jsonl > roots.jsonl",
        "procession map pages.py:title --on-error null < pages.jsonl > titles.jsonl",
        "procession map json:dumps --raw < names.txt > names.jsonl",
        "procession map pages.py:fetch --timeout 30 --retries 2 --on-error skip \\\n"
        "    --checkpoint pages.db < urls.jsonl > out.jsonl",
    ),
    (
        "The last of these may be killed at any moment, or the machine's memory run out, and is given again as it "
        "stands: it writes all of its output again and calls the function only for the lines that were not done. A "
        "line that failed, took longer than 30 s or ended three workers is told of again, and not tried, unless "
        "--retry-failed says so.",
        "Lines of blanks are passed over. What the function prints itself goes to standard error.",
    ),
)


def parser() -> Parser:
    """The arguments of `procession map`."""
    one = Parser(MANUAL)
    one.set_defaults(command=run_map)
    one.add_argument("function", metavar="FUNCTION", help="module:function or path/to/file.py:function")
    add_workers(one)
    one.add_argument("--raw", action="store_true", help="a line is not JSON but a str, without its end")
    one.add_argument("--unordered", action="store_true", help="results in the order they come")
    one.add_argument(
        "--on-error",
        **one_of(*ON_ERROR),
        default="stop",
        help="a line that fails: end with its number (stop), leave it out (skip), or write null",
    )
    one.add_argument(
        "--errors",
        **one_of(*ERRORS),
        default="strict",
        help="bytes that are no UTF-8: the line fails (strict), read them as �, or leave them out",
    )
    one.add_argument(
        "--timeout", type=positive_seconds, metavar="SECONDS", help="most that a line may take; then it fails"
    )
    one.add_argument(
        "--retries", type=whole(0), default=0, metavar="N", help="try a line again N times if its worker died (0)"
    )
    one.add_argument(
        "--memory-limit", type=size, metavar="SIZE", help="most memory of a worker, as 2G; then its line fails"
    )
    kept = add_checkpoint(one, "lines")
    kept.add_argument("--retry-failed", action="store_true", help="try lines again that failed in an earlier run")
    one.add_argument("--progress", action="store_true", help="show how far it is, if standard error is a terminal")
    add_timeline(one)
    return one


def run_map(options: argparse.Namespace) -> int:
    """`procession map`."""
    from procession import mapreduce
    from procession.progress.runs import LineBar

    checkpoint = checkpoint_of(options, retry_failed=options.retry_failed)
    if checkpoint is not None and not checkpoint.reset:
        refuse_appending(options.checkpoint)
    source = sys.stdin.fileno()
    if os.isatty(source):
        print("reading lines from the terminal, each a JSON value; Ctrl-D ends them", file=sys.stderr)
    status = os.fstat(source)
    size = status.st_size if stat.S_ISREG(status.st_mode) else None
    label = options.function.rpartition(":")[2]
    bar = LineBar(label, sys.stderr, size, show=options.progress)
    with context_of(options) as context, ending_input() as stop, bar as shown:
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
            timeout=options.timeout,
            retries=options.retries,
            memory_limit=options.memory_limit,
            checkpoint=checkpoint,
            progress=shown.update,
            stop=stop,
        )
    if done.resumed:
        print(f"{counted(done.resumed, 'line')} of {done.lines:,} known from {options.checkpoint}", file=sys.stderr)
    if done.first is not None:
        print(f"{done.failed:,} of {counted(done.lines, 'line')} failed; {done.first}", file=sys.stderr)
    if options.progress:
        rate = shown_size(done.size_bytes / done.seconds)
        print(f"{counted(done.lines, 'line')}, {done.seconds:.2f} s, {rate}/s", file=sys.stderr)
    return EXIT_OK


def refuse_appending(checkpoint: str) -> None:
    """Raises ValueError when what an earlier run wrote would stand before the same again: >> with a checkpoint."""
    out = sys.stdout.fileno()
    status = os.fstat(out)
    appends = fcntl.fcntl(out, fcntl.F_GETFL) & os.O_APPEND
    if appends and stat.S_ISREG(status.st_mode) and status.st_size and os.path.exists(checkpoint):
        raise ValueError(
            "standard output is appended to a file (>>), and a run that goes on from a checkpoint writes all of its "
            "output again: use > instead"
        )
