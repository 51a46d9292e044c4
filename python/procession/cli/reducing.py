"""`procession mapreduce`: one call of `mapreduce.run`, one of `write_rows`."""

from __future__ import annotations

import argparse
import codecs
import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any

from procession._sizes import shown_size
from procession.cli.arguments import Parser, one_of, positive_seconds, size, whole
from procession.cli.catalogue import FORMATS, JOBS
from procession.cli.codes import EXIT_FAILED, EXIT_OK
from procession.cli.manual import Manual
from procession.cli.mistakes import none_of
from procession.cli.shared import (
    ERRORS,
    add_checkpoint,
    add_timeline,
    add_workers,
    checkpoint_of,
    context_of,
    counted,
    output,
)

if TYPE_CHECKING:
    from procession.mapreduce import Answer
    from procession.progress.runs import Bar

__all__ = ["MANUAL", "parser"]

NEEDED = {"groupby": "by", "grep": "pattern"}  # an option without which a built-in job cannot be made
DEFAULT_TOP = 20  # rows of a table, if not told; arbitrary; not measured

MANUAL = Manual(
    "mapreduce",
    "[OPTIONS] JOB INPUT [INPUT ...]",
    "Run a map-reduce job over text, divided among workers at line borders. The jobs there are: wordcount (how often "
    "each word occurs), index (in which files), groupby (numbers for groups of CSV records), grep (matching lines); "
    "or a class of your own.",
    (
        "procession mapreduce wordcount /usr/share/doc --errors replace --top 10",
        "procession mapreduce groupby sales.csv --by city --of price --how mean",
        "procession mapreduce grep 'logs/**/*.log' --pattern 'timed? out' --format json",
        "procession mapreduce spelling.py:Spellings books/*.gz --memory-budget 2G \\\n    --save spellings.answer",
        "zcat big.gz | procession mapreduce longest.py:LongestLine - --workers 4",
        "procession mapreduce wordcount books --on dask",
        "procession mapreduce index archive --checkpoint index.db --save index.answer",
    ),
    (
        "The last of these may be killed at any moment, and is given again as it stands: it goes on with the pieces of "
        "the input that were not done. (A job by key keeps its runs beside the checkpoint, in index.db.runs-*.)",
        "A job of your own is a class; the file spelling.py could hold:",
        """\
    class Spellings:
        columns = ("word", "spellings")
        reduce = "set"  # or count sum mean min max first list; or method

        def map(self, text):  # a str of whole lines; pairs of a key and a value
            for word in text.split():
                yield word.lower(), word""",
        "A job without keys joins partial answers; the file longest.py could hold:",
        """\
    class LongestLine:
        columns = ("length", "line")

        def map(self, text):
            lines = text.splitlines()
            return max(((len(line), line) for line in lines), default=(0, ""))

        def reduce(self, left, right):  # two partial answers, in any order
            return max(left, right)""",
        "On a cluster each worker reads its part of the files itself, so they must lie at the same paths there; "
        "standard input is sent along. A job of your own travels to the workers.",
    ),
)


def parser() -> Parser:
    """The arguments of `procession mapreduce`."""
    one = Parser(MANUAL)
    one.set_defaults(command=run_mapreduce)
    one.add_argument(
        "job", metavar="JOB", type=job_name, help="a built-in job, or your own: module:Class or path/to/file.py:Class"
    )
    one.add_argument(
        "inputs",
        metavar="INPUT",
        nargs="+",
        help="a file (gzip, bzip2, xz and zstd are unpacked), a directory (its text files, recursively, without "
        "symbolic links), a glob pattern, or - for standard input",
    )
    add_workers(one)
    one.add_argument(
        "--retries", type=whole(0), default=1, metavar="N", help="how many workers a piece of the input may end (1)"
    )
    add_job_arguments(one.add_argument_group("The job"))
    add_input(one.add_argument_group("Input"))
    add_output(one.add_argument_group("Output"))
    memory = one.add_argument_group("Memory")
    memory.add_argument(
        "--memory-budget", type=size, metavar="SIZE", help="most memory for keys and values, as 2G (half)"
    )
    memory.add_argument("--spill-dir", metavar="DIR", help="where to put what exceeds it (the temporary directory)")
    kept = add_checkpoint(one, "pieces of the input")
    kept.add_argument(
        "--checkpoint-interval",
        type=positive_seconds,
        metavar="SECONDS",
        help="time between two hand-ins of a worker (10)",
    )
    add_timeline(one)
    return one


def job_name(text: str) -> str:
    """For `type=`: a name without a colon is a built-in job's."""
    if ":" not in text and text not in JOBS:
        known = none_of(text, JOBS, "built-in job")
        raise argparse.ArgumentTypeError(f"{known} (your own is file.py:Class)")
    return text


def add_job_arguments(group: Any) -> None:
    """What a job is made with."""
    group.add_argument("--by", metavar="COLUMNS", help="groupby: columns whose values make the groups")
    group.add_argument("--of", metavar="COLUMN", help="groupby: the column of numbers")
    group.add_argument("--how", metavar="HOW", help="groupby: count, sum, mean, min or max; grep: lines or count")
    group.add_argument("--pattern", metavar="RE", help="grep: a regular expression of Python")
    group.add_argument("--ignore-case", action="store_const", const=True, help="grep: small and capital letters alike")
    group.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a keyword argument for the job's __init__; may be repeated",
    )


def add_input(group: Any) -> None:
    """How text is read."""
    group.add_argument("--encoding", metavar="ENCODING", default="utf-8", help="how the text is encoded (utf-8)")
    group.add_argument(
        "--errors",
        **one_of(*ERRORS),
        default="strict",
        help="bytes that are no text: end with the file and offset (strict), read them as �, or leave them out",
    )


def add_output(group: Any) -> None:
    """What is written where."""
    group.add_argument("--top", type=whole(0), metavar="N", help=f"the first N rows; 0: all (table: {DEFAULT_TOP})")
    group.add_argument("--output", metavar="FILE", help="write there instead of standard output; - is standard output")
    group.add_argument("--format", **one_of(*FORMATS), default="table", help="how to print rows (table)")
    group.add_argument(
        "--save", metavar="FILE", help="keep the whole answer of a job by key, for procession.KeyedResult.open(FILE)"
    )
    group.add_argument("--no-progress", action="store_true", help="no progress display, even on a terminal")
    group.add_argument("--compare", action="store_true", help="run again in one process; compare answers and times")


def run_mapreduce(options: argparse.Namespace) -> int:
    """`procession mapreduce`."""
    from procession import mapreduce

    check(options)
    checkpoint = checkpoint_of(options, interval=options.checkpoint_interval)
    given = {"arguments": job_arguments(options), "encoding": options.encoding, "errors": options.errors}
    with context_of(options) as context, output(options.output) as out:
        mapreduce.check_format(options.format, out)
        with bar(options, options.job) as shown, contextlib.redirect_stdout(sys.stderr):  # what the job prints
            answer = mapreduce.run(
                options.job,
                options.inputs,
                context=context,
                workers=options.workers,
                memory_budget=options.memory_budget,
                spill_dir=options.spill_dir,
                retries=options.retries,
                checkpoint=checkpoint,
                progress=shown.update,
                quiet=True,
                **given,
            )
        if options.save is not None:
            save(answer, options.save)
        top = options.top if options.top is not None else DEFAULT_TOP if options.format == "table" else 0
        rows = mapreduce.rows_of(answer.job, answer.total, top or None)
        mapreduce.write_rows(rows, answer.job, out, options.format)
    sys.stdout.flush()
    if answer.resumed:
        known = f"{answer.resumed:,} of {counted(answer.pieces, 'piece')} known from {options.checkpoint}"
        print(known, file=sys.stderr)
    print(summary(answer), file=sys.stderr)
    return compare(options, answer, given) if options.compare else EXIT_OK


def check(options: argparse.Namespace) -> None:
    """Raises ValueError or LookupError for arguments that cannot be."""
    needed = NEEDED.get(options.job, "")
    if needed and getattr(options, needed) is None and not any(one.startswith(f"{needed}=") for one in options.set):
        raise ValueError(f"{options.job} needs --{needed}; procession mapreduce --help has an example")
    codecs.lookup(options.encoding)
    if options.compare and "-" in options.inputs:
        raise ValueError("--compare reads its input twice, which standard input does not allow")
    if options.spill_dir is not None and not os.path.isdir(options.spill_dir):
        raise ValueError(f"--spill-dir is no directory: {options.spill_dir}")


def job_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """What the job's class is called with. Raises ValueError for a --set without a name."""
    named = ("by", "of", "how", "pattern", "ignore_case")
    arguments = {name: getattr(options, name) for name in named if getattr(options, name) is not None}
    for given in options.set:
        name, equals, value = given.partition("=")
        if not equals or not name.isidentifier():
            raise ValueError(f"--set takes NAME=VALUE, not {given!r}")
        arguments[name] = value
    return arguments


def save(answer: Answer, path: str) -> None:
    """Raises ValueError for a job without keys, OSError."""
    if not hasattr(answer.total, "save"):
        raise ValueError("--save keeps answers of jobs by key, and this job has no keys")
    answer.total.save(path)


def bar(options: argparse.Namespace, label: str) -> Bar:
    """The progress bar of a command, on standard error."""
    from procession.progress.runs import Bar

    return Bar(os.path.basename(label), sys.stderr, show=not options.no_progress)


def compare(options: argparse.Namespace, answer: Answer, given: dict[str, Any]) -> int:
    """Runs the same job in this process alone and says how the two differ."""
    from procession import mapreduce

    with bar(options, "one process") as shown, contextlib.redirect_stdout(sys.stderr):
        alone = mapreduce.run_here(options.job, options.inputs, progress=shown.update, **given)
    same = mapreduce.equal(alone.total, answer.total)
    ratio = alone.seconds / answer.seconds
    verdict = "the same answer" if same else "A DIFFERENT ANSWER"
    print(f"one process alone: {alone.seconds:.2f} s, {verdict}; speed-up {ratio:.2f} {times()}", file=sys.stderr)
    return EXIT_OK if same else EXIT_FAILED


def summary(answer: Answer) -> str:
    """A run in two lines: what was read and how fast; what it cost."""
    left_out = f" ({answer.binary_files:,} binary left out)" if answer.binary_files else ""
    rate = shown_size(answer.size_bytes / answer.seconds)
    here = " of this process" if answer.cluster else ""
    cost = [
        f"CPU{here} {answer.cpu_seconds:.2f} s, {answer.cpu_seconds / answer.seconds:.2f} {times()} one core",
        f"peak memory{here} {shown_size(answer.peak_bytes)}",
    ]
    if answer.moved_bytes:
        on_disk = f", {shown_size(answer.spilled_bytes)} of it on disk" if answer.spilled_bytes else ""
        cost.append(f"{shown_size(answer.moved_bytes)} moved{on_disk}")
    workers = f"{counted(answer.workers, 'worker')}{f' of {answer.cluster}' if answer.cluster else ''}"
    return (
        f"{counted(answer.files, 'file')}{left_out}, {shown_size(answer.size_bytes)} in "
        f"{counted(answer.pieces, 'piece')}, {workers}: {answer.seconds:.2f} s, {rate}/s\n"
        f"{'; '.join(cost)}"
    )


def times() -> str:
    """The multiplication sign, if standard error has it."""
    from procession import mapreduce

    return "×" if mapreduce.can_show("×", sys.stderr) else "x"
