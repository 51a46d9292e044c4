"""The command `procession`: arguments in, one call into the library, the outcome printed.

Answers go to standard output, everything else to standard error, so that a pipe carries the answer alone. What a user
can cause ends in one line and an exit code, never in a traceback; the one traceback shown is that of a user's own job.
"""

from __future__ import annotations

import argparse
import codecs
import contextlib
import io
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any, TextIO

import procession
from procession import mapreduce
from procession.errors import InputError, JobError, ProcessionError
from procession.mapreduce.errors import JobFailed

__all__ = ["main"]

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INPUT = 3
EXIT_INTERRUPTED = 128 + signal.SIGINT
EXIT_PIPE_CLOSED = 128 + signal.SIGPIPE

DEFAULT_TOP = 20  # rows of a table, if not told; arbitrary; not measured

EXAMPLE = """\
A job is a class with two methods; the file longest.py could hold:

    class LongestLine:
        columns = ("length", "line")

        def map(self, text):              # a str of whole lines -> a partial answer
            return max(((len(line), line) for line in text.splitlines()), default=(0, ""))

        def reduce(self, left, right):    # two partial answers -> one, in any order
            return max(left, right)

Examples:
    procession mapreduce wordcount /usr/share/doc --errors replace --top 10
    procession mapreduce longest.py:LongestLine 'logs/**/*.log' --workers 4
    zcat big.gz | procession mapreduce wordcount - --format csv --output words.csv

Exit code: 0 done; 1 the job failed, a worker died, or --compare found a difference; 2 wrong usage or no such job;
3 the input is missing, unreadable, changed while read, or not text; 130 interrupted.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command with these arguments (those of the process, if None) and returns its exit code."""
    options = parser().parse_args(arguments)
    try:
        code: int = options.command(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return complain("interrupted", EXIT_INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has had enough. Standard output is replaced so that closing it cannot fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PIPE_CLOSED
    except JobFailed as error:
        print(error.details, end="", file=sys.stderr)
        return complain(str(error), EXIT_FAILED)
    except JobError as error:
        return complain(str(error), EXIT_USAGE)
    except InputError as error:
        return complain(input_message(error), EXIT_INPUT)
    except (ValueError, LookupError) as error:
        return complain(str(error), EXIT_USAGE)
    except (ProcessionError, OSError, MemoryError) as error:
        return complain(f"{type(error).__name__}: {error}", EXIT_FAILED)
    return code


def complain(message: str, code: int) -> int:
    """Says in one line what is wrong."""
    print(f"procession: {' '.join(message.split())}", file=sys.stderr)
    return code


def input_message(error: InputError) -> str:
    """`path: what is wrong`, without the number an OSError prints."""
    return f"{error.filename}: {error.strerror}" if error.filename is not None else str(error)


def parser() -> argparse.ArgumentParser:
    """The arguments of every command."""
    whole = argparse.ArgumentParser(prog="procession", description="Shared-memory multiprocessing: its commands.")
    whole.add_argument("--version", action="version", version=f"procession {version('procession')}")
    commands = whole.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add_mapreduce(commands)
    return whole


def add_mapreduce(commands: Any) -> None:
    """The arguments of `procession mapreduce`."""
    one = commands.add_parser(
        "mapreduce",
        help="run a map-reduce job over text files on all cores",
        description="Run a map-reduce job over text, divided among worker processes at line borders.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    one.set_defaults(command=run_mapreduce)
    one.add_argument("job", metavar="JOB", help="wordcount, or your own: module:Class or path/to/file.py:Class")
    one.add_argument(
        "inputs",
        metavar="INPUT",
        nargs="+",
        help="a file, a directory (its text files, recursively, without symbolic links), a glob pattern, or - for "
        "standard input",
    )
    one.add_argument("--workers", type=int, metavar="N", help="how many workers (default: one per usable CPU)")
    one.add_argument("--context", choices=("fork", "spawn", "forkserver", "thread"), help="how workers are started")
    one.add_argument("--top", type=int, metavar="N", help=f"only the first N rows; 0: all (table: {DEFAULT_TOP})")
    one.add_argument("--output", metavar="FILE", help="write there instead of standard output; - is standard output")
    one.add_argument("--format", choices=tuple(mapreduce.FORMATS), default="table", help="how to print rows (table)")
    one.add_argument("--encoding", default="utf-8", help="how the text is encoded (utf-8)")
    one.add_argument(
        "--errors",
        choices=("strict", "replace", "ignore"),
        default="strict",
        help="bytes that are no text: end with the file and offset (strict), read them as �, or leave them out",
    )
    one.add_argument("--no-progress", action="store_true", help="no progress line, even on a terminal")
    one.add_argument("--compare", action="store_true", help="run again in one process; compare answers and times")


def run_mapreduce(options: argparse.Namespace) -> int:
    """`procession mapreduce`: one call of `mapreduce.run`, one of `write_rows`."""
    if options.top is not None and options.top < 0:
        raise ValueError(f"--top must not be negative, and is {options.top}")
    codecs.lookup(options.encoding)
    if options.compare and "-" in options.inputs:
        raise ValueError("--compare reads its input twice, which standard input does not allow")
    text_as = {"encoding": options.encoding, "errors": options.errors}
    context = procession.get_context(options.context)
    with output(options.output) as out:
        with bar(options, options.job) as shown:
            answer = mapreduce.run(
                options.job,
                options.inputs,
                context=context,
                workers=options.workers,
                progress=shown.update,
                **text_as,
            )
        top = options.top if options.top is not None else DEFAULT_TOP if options.format == "table" else 0
        rows = mapreduce.rows_of(answer.job, answer.total, top or None)
        mapreduce.write_rows(rows, answer.job, out, options.format)
    print(summary(answer), file=sys.stderr)
    return compare(options, answer, text_as) if options.compare else EXIT_OK


def bar(options: argparse.Namespace, label: str) -> mapreduce.Bar:
    return mapreduce.Bar(os.path.basename(label), sys.stderr, show=not options.no_progress)


def compare(options: argparse.Namespace, answer: mapreduce.Answer, text_as: dict[str, str]) -> int:
    """Runs the same job in this process alone and says how the two differ."""
    with bar(options, "one process") as shown:
        alone = mapreduce.run_here(options.job, options.inputs, progress=shown.update, **text_as)
    same = bool(alone.total == answer.total)
    ratio = alone.seconds / answer.seconds
    verdict = "the same answer" if same else "A DIFFERENT ANSWER"
    print(f"one process alone: {alone.seconds:.2f} s, {verdict}; speed-up {ratio:.2f} ×", file=sys.stderr)
    return EXIT_OK if same else EXIT_FAILED


def summary(answer: mapreduce.Answer) -> str:
    """A run in one line."""
    left_out = f" ({answer.binary_files:,} binary left out)" if answer.binary_files else ""
    rate = mapreduce.size(answer.size_bytes / answer.seconds)
    return (
        f"{counted(answer.files, 'file')}{left_out}, {mapreduce.size(answer.size_bytes)} in "
        f"{counted(answer.pieces, 'piece')}, {counted(answer.workers, 'worker')}: {answer.seconds:.2f} s, {rate}/s"
    )


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


@contextlib.contextmanager
def output(path: str | None) -> Iterator[TextIO]:
    """Where rows go. A file is opened before the work begins and appears, whole, when it ends without an error."""
    if path is None or path == "-":
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that lacks a character is no reason to fail
        yield sys.stdout
        return
    if os.path.lexists(path) and not os.path.isfile(path):  # a device, a pipe; or a directory, which raises
        with open(path, "w", encoding="utf-8", newline="") as out:
            yield out
        return
    path = os.path.realpath(path)
    descriptor, draft = tempfile.mkstemp(prefix=".procession-", dir=os.path.dirname(path))
    try:
        with open(descriptor, "w", encoding="utf-8", newline="") as out:
            yield out
        os.chmod(draft, os.stat(path).st_mode if os.path.exists(path) else 0o666 & ~current_umask())
        os.replace(draft, path)
    except BaseException:
        os.unlink(draft)
        raise


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
