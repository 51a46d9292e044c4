"""The command: choose tests, run them, print what is not ok, and the totals."""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path

from . import differences, runner
from .runner import Result, Runner
from .suites import METHODS, SUITES


@dataclass
class Totals:
    """The counts of one suite under one start method."""

    suite: str
    method: str
    counts: Counter[str] = field(default_factory=Counter)
    tests: int = 0  # that were run
    seconds: float = 0.0

    def add(self, result: Result, is_expected: bool) -> None:
        if result.good:
            kind = result.outcome
        elif is_expected:
            kind = "expected"
        else:
            kind = "hung" if result.outcome == "hung" else "failed"
        self.counts[kind] += 1
        self.tests += "(" not in result.name and result.outcome != "skipped"  # others are what came of a class

    def __str__(self) -> str:
        parts = [f"{self.suite:8} {self.method:10} {self.tests:4} run, {self.counts['ok']:4} passed"]
        parts.append(f"{self.counts['expected']:3} expected differences, {self.counts['failed']:3} unexpected failures")
        parts.append(f"{self.counts['hung']:3} hangs, {self.counts['skipped']:3} skipped, {self.seconds:6.1f} s")
        return ", ".join(parts)


def choices(known: tuple[str, ...]):  # type: ignore[no-untyped-def]
    def parse(text: str) -> list[str]:
        chosen = text.split(",")
        if unknown := set(chosen) - set(known):
            raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: choose from {','.join(known)}")
        return chosen

    return parse


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m conformance", description=__doc__)
    parser.add_argument(
        "--suite", type=choices(SUITES), default=list(SUITES), help="default: all of " + ",".join(SUITES)
    )
    parser.add_argument("--context", type=choices(METHODS), default=list(METHODS), help="start methods; default: all")
    parser.add_argument("--only", default="", metavar="REGEX", help="only tests whose Class.test matches somewhere")
    parser.add_argument("--against", choices=["procession", "standard"], default="procession")
    parser.add_argument("--watchdog", type=float, default=60, metavar="S", help="seconds a test may take (default 60)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="classes at the same time (default 1)")
    parser.add_argument("--report", type=Path, metavar="FILE.json", help="write every result into this file")
    parser.add_argument("--compare", type=Path, metavar="FILE.json", help="tell what passed in that report, not here")
    parser.add_argument("--logs", type=Path, metavar="DIR", help="keep the output of each class there")
    parser.add_argument("-v", "--verbose", action="store_true", help="print what failed tests said")
    return parser.parse_args()


def results(suite: str, method: str, options: argparse.Namespace) -> Iterator[Result]:
    """Results of the chosen tests, as they come.

    Raises: runner.Unavailable.
    """
    names = [name for name in runner.list_tests(suite, method) if re.search(options.only, name)]
    one = Runner(suite, method, against=options.against, watchdog=options.watchdog, logs=options.logs)
    classes = [list(group) for _, group in groupby(names, lambda name: name.split(".")[0])]
    if options.jobs == 1:
        for group in classes:
            yield from one.run(group)
    else:
        with ThreadPoolExecutor(options.jobs) as threads:
            for found in threads.map(lambda group: list(one.run(group)), classes):
                yield from found


def show(result: Result, is_expected: bool, verbose: bool) -> None:
    """One line for what is not ok, with the last line of what it said."""
    if result.good:
        return
    note = "expected" if is_expected else result.outcome
    lines = [line for line in result.detail.splitlines() if line.strip(" -")] or [""]
    print(f"{note:9} {result.method:10} {result.id}: {lines[-1].strip()[:160]}", flush=True)
    if verbose and not is_expected:
        print("    " + "\n    ".join(result.detail.strip().splitlines()), flush=True)


def run_all(options: argparse.Namespace, listed: list[differences.Difference]) -> tuple[list[Totals], list[Result]]:
    """Run everything chosen, telling of it; a suite that is not there is told, and left out."""
    totals, every = [], []
    for suite in options.suite:
        for method in options.context:
            total, began = Totals(suite, method), time.monotonic()
            try:
                for result in results(suite, method, options):
                    is_expected = differences.expected(result, listed)
                    show(result, is_expected, options.verbose)
                    total.add(result, is_expected)
                    every.append(result)
            except runner.Unavailable as error:
                print(f"{suite} {method}: {error}", file=sys.stderr)
                continue
            total.seconds = time.monotonic() - began
            totals.append(total)
    return totals, every


def stale(listed: Iterable[differences.Difference]) -> list[str]:
    return [
        f"{differences.FILE.name}:{one.line}: stale for {', '.join(sorted(one.stale()))}: {one.pattern} passes"
        for one in listed
        if one.stale()
    ]


def passed_elsewhere(path: Path, every: list[Result]) -> list[str]:
    """Tests that passed in a stored report, and did not here (skipped ones count)."""
    passed = {(entry["id"], entry["method"]) for entry in json.loads(path.read_text()) if entry["outcome"] == "ok"}
    return [
        f"{result.outcome:9} {result.method:10} {result.id}"
        for result in every
        if result.outcome != "ok" and (result.id, result.method) in passed
    ]


def main() -> int:
    options = arguments()
    if options.logs:
        options.logs.mkdir(parents=True, exist_ok=True)
    listed = differences.load() if options.against == "procession" else []
    totals, every = run_all(options, listed)
    if options.report:
        options.report.write_text(json.dumps([{**asdict(result), "id": result.id} for result in every], indent=0))
    old = stale(listed) if not options.only else []
    print(*old, *totals, sep="\n")
    if options.compare:
        lost = passed_elsewhere(options.compare, every)
        print(f"{len(lost)} passed in {options.compare.name}, not here", *lost, sep="\n  ")
    if not totals:
        return 2
    return int(bool(old) or any(total.counts["failed"] or total.counts["hung"] for total in totals))


if __name__ == "__main__":
    sys.exit(main())
