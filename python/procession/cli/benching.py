"""`procession bench`: how fast this is here, beside what else is here."""

from __future__ import annotations

import argparse
import math
import os
import platform
import signal
import sys
from datetime import date
from typing import Any

from procession._cpu import cpu_count
from procession.cli.arguments import Parser, one_of, whole
from procession.cli.codes import EXIT_FAILED, EXIT_OK
from procession.cli.manual import Manual
from procession.cli.shared import columns, output
from procession.progress import words

__all__ = ["MANUAL", "parser"]

NAME, RATE, TIMES = 20, 9, 8  # columns
BOLD, GREEN, PLAIN = "\x1b[1m", "\x1b[32m", "\x1b[0m"
STANDARD = "multiprocessing"

MANUAL = Manual(
    "bench",
    "[OPTIONS]",
    "Measure procession and its rivals on this machine: eight workloads, with procession, with the standard library "
    "and with those of billiard, joblib and mpire that are installed. Takes less than a minute.",
    (
        "procession bench",
        "procession bench --quick --context spawn",
        "procession bench --json > figures.json",
    ),
    (
        "Prints the median of units of work in a second, how many times as many as the standard library's, and bars on "
        "a logarithmic scale. What else the machine does meanwhile is measured with it.",
    ),
)


def parser() -> Parser:
    """The arguments of `procession bench`."""
    one = Parser(MANUAL)
    one.set_defaults(command=run_bench)
    one.add_argument(
        "--context",
        **one_of(("fork", "spawn", "forkserver"), "start method"),
        default="fork",
        help="how processes start (fork)",
    )
    one.add_argument("--rounds", metavar="N", type=whole(1), default=3, help="of each workload (3); the median counts")
    one.add_argument("--quick", action="store_true", help="a tenth of the work, once: a look, no result")
    one.add_argument("--json", action="store_true", help="the figures, for programs")
    return one


def run_bench(options: argparse.Namespace) -> int:
    """Measures and prints."""
    from procession.comparison import compare

    signal.signal(
        signal.SIGTERM, signal.SIG_DFL
    )  # forked workers of the standard pool are ended by it, and inherit ours
    rounds, scale = (1, 0.1) if options.quick else (options.rounds, 1.0)
    shows = sys.stderr.isatty()
    wide = columns(60)

    def report(what: str) -> None:
        if shows:
            print(f"\r\x1b[K{what[: wide - 1]}", end="", file=sys.stderr, flush=True)

    done: list[list[Any]] = []
    with output(None) as out:
        if not options.json:
            print(f"{_machine()}, {options.context}, medians of {rounds}", file=out)
        for rows in compare(options.context, rounds, scale, report):
            done.append(rows)
            if shows:
                print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            if not options.json:
                print("\n".join(_told(rows, wide, out.isatty(), _blocks(out))), file=out, flush=True)
        if options.json:
            import json

            json.dump({"machine": _machine(), "workloads": [_as_data(rows) for rows in done]}, out, indent=1)
            out.write("\n")
    failed = any(row.seconds is None for rows in done for row in rows if row.contender == "procession")
    return EXIT_FAILED if failed else EXIT_OK


def _machine() -> str:
    cores, load = words.counted(cpu_count(), "CPU"), os.getloadavg()[0]
    return f"{date.today()}, {platform.machine()}, {cores}, load {load:.1f}, Python {platform.python_version()}"


def _as_data(rows: list[Any]) -> dict[str, Any]:
    workload = rows[0].workload
    per_second = {row.contender: row.per_second for row in rows if row.seconds is not None}
    failures = {row.contender: row.failure for row in rows if row.seconds is None}
    return {"name": workload.name, "unit": workload.unit, "per_second": per_second, "failures": failures}


def _blocks(out: Any) -> str:
    """What bars are made of: an eighth to a whole block, where the output has them."""
    eighths = "▏▎▍▌▋▊▉█"
    try:
        eighths.encode(getattr(out, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return "#"
    return eighths


def _told(rows: list[Any], wide: int, colours: bool, blocks: str) -> list[str]:
    """A workload's lines: its name, then a bar for each contender."""
    workload = rows[0].workload
    standard = next((row.per_second for row in rows if row.contender == STANDARD and row.seconds), 0.0)
    best = max((row.per_second for row in rows), default=0.0)
    least = min((row.per_second for row in rows if row.seconds), default=1.0) / 2
    room = wide - NAME - RATE - TIMES - 4
    lines = ["", f"{BOLD}{workload.name}{PLAIN}" if colours else workload.name]
    for row in rows:
        head = f"  {row.contender:<{NAME}}"
        if row.seconds is None:
            lines.append(words.shortened(f"{head} failed: {row.failure}", wide))
            continue
        times = _times(row.per_second, standard)
        share = math.log(row.per_second / least) / math.log(best / least) if best > least else 1.0
        bar = _bar(share * room, blocks)
        bar = f"{GREEN}{bar}{PLAIN}" if colours and row.contender == "procession" else bar
        lines.append(f"{head}{words.rate(row.per_second):>{RATE}}{times:>{TIMES}} {bar}")
    return lines


def _times(per_second: float, standard: float) -> str:
    if not standard:
        return ""
    return f"{per_second / standard:.3g} x" if per_second * 10 >= standard else f"1/{standard / per_second:.3g}"


def _bar(length: float, blocks: str) -> str:
    whole, part = int(length), int(length * len(blocks)) % len(blocks)
    return blocks[-1] * whole + (blocks[part - 1] if part else "")
