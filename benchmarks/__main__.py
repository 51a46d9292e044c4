"""python -m benchmarks [--quick] [--only queue.ints,lock] [--rivals procession,multiprocessing] [--save NAME]"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.machine import describe
from benchmarks.model import FULL, QUICK, Result
from benchmarks.rivals import ADAPTERS
from benchmarks.runner import measure
from benchmarks.table import cost_lines, target_lines
from benchmarks.workloads import ALL, chosen

RESULTS = Path(__file__).resolve().parent / "results"


def main() -> None:
    options = _options()
    if options.list:
        print("\n".join(f"{name:<28} {workload.about}" for name, workload in ALL.items()))
    elif options.show:
        run = json.loads(Path(options.show).read_text())
        _print_tables([Result(**fields) for fields in run["results"]])
    else:
        _run(options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short samples, few rounds, no slow workloads")
    parser.add_argument("--only", default="", help="workloads, or how their names start, separated by commas")
    parser.add_argument("--rivals", default="", help="rivals, separated by commas; default: all")
    parser.add_argument("--rounds", type=int, help="how often each rival has its turn")
    parser.add_argument("--seconds", type=float, help="how long to measure for one sample")
    parser.add_argument("--save", metavar="NAME", help="store under this name; runs of everything are always stored")
    parser.add_argument("--show", metavar="FILE", help="print the tables of a stored run")
    parser.add_argument("--list", action="store_true", help="list the workloads")
    return parser.parse_args()


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _run(options: argparse.Namespace) -> None:
    scale = QUICK if options.quick else FULL
    scale = replace(scale, rounds=options.rounds or scale.rounds, seconds=options.seconds or scale.seconds)
    rivals = _words(options.rivals) or list(ADAPTERS)
    if unknown := set(rivals) - set(ADAPTERS):
        sys.exit(f"unknown rivals: {', '.join(sorted(unknown))}; known: {', '.join(ADAPTERS)}")
    try:
        workloads = chosen(_words(options.only), options.quick)
    except ValueError as error:
        sys.exit(str(error))
    run: dict[str, Any] = {"machine": describe(), "scale": asdict(scale), "results": []}
    results: list[Result] = []
    for number, workload in enumerate(workloads, 1):
        print(f"[{number}/{len(workloads)}] {workload.name}", file=sys.stderr, flush=True)
        results += measure(workload, rivals, scale)
    _print_tables(results)
    run["results"] = [asdict(result) for result in results]
    everything = not options.only and not options.rivals
    if options.save or everything:
        _store(run, results, options.save or ("quick" if options.quick else _dated(run)))


def _print_tables(results: list[Result]) -> None:
    print("\n".join(cost_lines(results)))
    print()
    print("\n".join(target_lines(results)))


def _dated(run: dict[str, Any]) -> str:
    machine = run["machine"]
    return f"{machine['date'][:10]}-{machine['commit']}"


def _store(run: dict[str, Any], results: list[Result], name: str) -> None:
    """NAME.json with everything, NAME.txt with the tables, NAME/<family>.svg."""
    folder = RESULTS / name
    folder.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(run, indent=1) + "\n")
    lines = [*cost_lines(results), "", *target_lines(results)]
    (RESULTS / f"{name}.txt").write_text("\n".join(lines) + "\n")
    machine = run["machine"]
    title = f"{machine['cpu']}, {machine['cores']} cores, {machine['python']}, {machine['date'][:10]}"
    try:
        from benchmarks.plots import draw

        draw(results, folder, title)
    except ImportError as error:
        print(f"no plots: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
