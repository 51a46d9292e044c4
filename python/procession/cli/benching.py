"""`procession bench`: how fast this is here, beside what else is here."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import platform
import signal
import sys
import textwrap
from collections.abc import Callable
from datetime import date
from statistics import median
from typing import Any

from procession._cpu import cpu_count
from procession.cli.arguments import Parser, one_of, whole
from procession.cli.codes import EXIT_FAILED, EXIT_OK
from procession.cli.colours import BOLD, GREEN, Paint
from procession.cli.manual import Manual
from procession.cli.shared import columns, output
from procession.progress import words

__all__ = ["MANUAL", "parser"]

NAME, RATE, SPREAD, TIMES = 19, 9, 6, 9  # columns
LEAST = 60  # of the whole
ASCII, SIGNS = "#", ("±", "~")
STANDARD = "multiprocessing"

MANUAL = Manual(
    "bench",
    "[OPTIONS]",
    "Measure procession and its rivals on this machine: eight workloads with procession, with the standard library and "
    "with those of concurrent.futures, billiard, joblib, mpire and faster-fifo that are installed. Takes a minute.",
    (
        "procession bench",
        "procession bench --quick --context spawn",
        "procession bench --save figures.json",
        "procession bench --json > figures.json",
    ),
    (
        "Prints the median of units of work in a second; how far the rounds are apart, as a part of it; how many times "
        "as many units as the standard library's; and bars on a logarithmic scale, longer is faster. What else the "
        "machine does meanwhile is measured with it: the last lines say how much that was.",
    ),
)


def parser() -> Parser:
    """The arguments of `procession bench`."""
    one = Parser(MANUAL)
    one.set_defaults(command=run_bench)
    one.add_argument(
        "--context", **one_of("fork", "spawn", "forkserver"), default="fork", help="how processes start (fork)"
    )
    one.add_argument("--rounds", metavar="N", type=whole(1), default=3, help="of each workload (3); the median counts")
    one.add_argument("--quick", action="store_true", help="a tenth of the work, once: a look, no result")
    one.add_argument("--all", action="store_true", help="also Dask and Ray, if installed: a minute more")
    one.add_argument("--json", action="store_true", help="the figures, for programs, to standard output")
    one.add_argument("--save", metavar="FILE", help="the same to a file, besides the text")
    return one


def run_bench(options: argparse.Namespace) -> int:
    """Measures and prints."""
    from procession.comparison import compare, contenders

    # Forked workers of the standard pool are ended by SIGTERM, and would inherit what the command does at one.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    rounds, scale = (1, 0.1) if options.quick else (options.rounds, 1.0)
    there = contenders(options.context, clusters=options.all)
    began = os.getloadavg()[0]
    with output(None) as out, contextlib.nullcontext() if options.save is None else output(options.save) as kept:
        wide, paint, blocks = columns(LEAST), Paint(out), _blocks(out)
        if not options.json:
            print(_wrapped(f"{_machine()}, load {began:.1f}; {options.context}, medians of {rounds}", wide), file=out)
        done = []
        report = _reporting(wide)
        for rows in compare(there, rounds, scale, report):
            done.append(rows)
            report("")
            if not options.json:
                print("\n".join(_told(rows, wide, paint, blocks, rounds)), file=out, flush=True)
        if not options.json:
            print(f"\n{_wrapped(_noise(done, rounds, began, os.getloadavg()[0]), wide)}", file=out)
        for place in filter(None, (out if options.json else None, kept)):
            json.dump(_as_data(done, options, began), place, indent=1)
            place.write("\n")
    failed = any(row.seconds is None for rows in done for row in rows if row.contender == "procession")
    return EXIT_FAILED if failed else EXIT_OK


def _reporting(wide: int) -> Callable[[str], None]:
    """What says in one line, where there is a terminal, what is being measured."""

    def report(what: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\x1b[K{what[: wide - 1]}", end="", file=sys.stderr, flush=True)

    return report


def _wrapped(text: str, wide: int) -> str:
    return textwrap.fill(text, wide, break_on_hyphens=False)


def _machine() -> str:
    cores = words.counted(cpu_count(), "CPU")
    return f"{date.today()}, {platform.machine()}, {cores}, Python {platform.python_version()}"


def _noise(done: list[list[Any]], rounds: int, began: float, ended: float) -> str:
    """How much else was going on, as far as the figures and the kernel tell."""
    told = []
    spreads = [row.spread for rows in done for row in rows if row.seconds is not None]
    if rounds > 1 and spreads:
        told.append(f"Rounds of one kind were {median(spreads):.0%} apart at the median, {max(spreads):.0%} at most.")
    if began > cpu_count() / 2:
        told.append(
            f"The load was {began:.1f} before and {ended:.1f} after, on {words.counted(cpu_count(), 'CPU')}: others "
            "were at work, and all figures are lower than this machine allows."
        )
    else:
        told.append(f"The load before was {began:.1f} on {words.counted(cpu_count(), 'CPU')}.")
    return " ".join(told)


def _as_data(done: list[list[Any]], options: argparse.Namespace, began: float) -> dict[str, Any]:
    """The figures for programs."""
    return {
        "machine": _machine(),
        "context": options.context,
        "load_before": began,
        "workloads": [_workload_as_data(rows) for rows in done],
    }


def _workload_as_data(rows: list[Any]) -> dict[str, Any]:
    workload = rows[0].workload
    good = [row for row in rows if row.seconds is not None]
    return {
        "name": workload.name,
        "unit": workload.unit,
        "per_second": {row.contender: row.per_second for row in good},
        "spread": {row.contender: row.spread for row in good},
        "failures": {row.contender: row.failure for row in rows if row.seconds is None},
    }


def _blocks(out: Any) -> str:
    """What bars are made of: an eighth to a whole block, where the output has them."""
    eighths = "▏▎▍▌▋▊▉█"
    try:
        eighths.encode(getattr(out, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return eighths


def _told(rows: list[Any], wide: int, paint: Paint, blocks: str, rounds: int) -> list[str]:
    """A workload's lines: its name, then a bar for each contender."""
    workload = rows[0].workload
    standard = next((row.per_second for row in rows if row.contender == STANDARD and row.seconds), 0.0)
    best = max((row.per_second for row in rows), default=0.0)
    least = min((row.per_second for row in rows if row.seconds), default=1.0) / 2
    apart = SPREAD if rounds > 1 else 0
    room = wide - NAME - RATE - apart - TIMES - 4
    lines = ["", paint(f"{workload.name} ({workload.unit} a second)", BOLD)]
    for row in rows:
        head = f"  {row.contender:<{NAME}}"
        if row.seconds is None:
            lines.append(words.shortened(f"{head} failed: {row.failure}", wide))
            continue
        times = _times(row.per_second, standard)
        spread = f"{f'{SIGNS[blocks == ASCII]}{row.spread / 2:.0%}':>{apart}}" if apart else ""
        share = math.log(row.per_second / least) / math.log(best / least) if best > least else 1.0
        bar = paint(_bar(share * room, blocks), GREEN if row.contender == "procession" else "")
        lines.append(f"{head}{words.rate(row.per_second):>{RATE}}{spread}{times:>{TIMES}} {bar}")
    return lines


def _times(per_second: float, standard: float) -> str:
    if not standard:
        return ""
    times = per_second / standard
    if times < 0.1:
        return f"1/{1 / times:,.0f}" if times < 0.001 else f"1/{1 / times:.3g}"
    return f"{times:,.0f} x" if times >= 1000 else f"{times:.3g} x"


def _bar(length: float, blocks: str) -> str:
    whole, part = int(length), int(length * len(blocks)) % len(blocks)
    return blocks[-1] * whole + (blocks[part - 1] if part else "")
