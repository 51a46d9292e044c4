"""python -m benchmarks.mapreduce [--corpus DIR] [--rounds N] [--only words,index] [--rivals plain,duckdb]"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.machine import describe
from benchmarks.mapreduce.corpus import build, default_place
from benchmarks.mapreduce.model import WORKLOADS, Run
from benchmarks.mapreduce.rivals import RIVALS
from benchmarks.mapreduce.runner import measure
from benchmarks.mapreduce.table import cost_lines, target_lines
from benchmarks.mapreduce.targets import GROWTH

RESULTS = Path(__file__).resolve().parent.parent / "results"


def main() -> None:
    options = _options()
    if options.show:
        print("\n".join(_tables([Run(**fields) for fields in json.loads(options.show.read_text())["results"]])))
        return
    if not (options.corpus / "about.json").exists():
        print(f"building the corpus in {options.corpus}", file=sys.stderr)
        build(options.corpus)
    run: dict[str, Any] = {"machine": describe(), "corpus": json.loads((options.corpus / "about.json").read_text())}
    results = _measure_all(options)
    lines = _tables(results)
    print("\n".join(lines))
    run["results"] = [asdict(result) for result in results]
    everything = options.only == list(WORKLOADS) and options.rivals == list(RIVALS)
    if options.save or everything:
        _store(run, lines, options.save or f"{run['machine']['date'][:10]}-{run['machine']['commit']}-mapreduce")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mapreduce", description=__doc__)
    parser.add_argument("--corpus", type=Path, default=default_place(), help="its directory; built if not there")
    parser.add_argument("--rounds", type=int, default=3, help="how often each rival has its turn; default: %(default)s")
    parser.add_argument("--only", type=_words, default=list(WORKLOADS), help=f"workloads: {', '.join(WORKLOADS)}")
    parser.add_argument("--rivals", type=_words, default=list(RIVALS), help=f"rivals: {', '.join(RIVALS)}")
    parser.add_argument("--no-memory", action="store_true", help="leave out the runs that sample memory")
    parser.add_argument("--no-growth", action="store_true", help="leave out the inputs of 2x and 4x")
    parser.add_argument("--save", metavar="NAME", help="store under this name; runs of everything are always stored")
    parser.add_argument("--show", type=Path, metavar="FILE", help="print the tables of a stored run")
    options = parser.parse_args()
    for given, known in ((options.only, WORKLOADS), (options.rivals, RIVALS)):
        if unknown := set(given) - set(known):
            parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    options.corpus = options.corpus.resolve()
    return options


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _measure_all(options: argparse.Namespace) -> list[Run]:
    results: list[Run] = []
    for workload in options.only:
        results += measure(options.corpus, workload, 1, options.rivals, options.rounds, not options.no_memory)
        growing = [growth.ours for growth in GROWTH if growth.workload == workload and growth.ours in options.rivals]
        for times in (2, 4) if growing and not options.no_growth else ():
            results += measure(options.corpus, workload, times, growing, options.rounds, not options.no_memory)
    return results


def _tables(results: list[Run]) -> list[str]:
    return [*cost_lines(results), "", *target_lines(results)]


def _store(run: dict[str, Any], lines: list[str], name: str) -> None:
    """NAME.json with everything, NAME.md with the tables."""
    machine = run["machine"]
    title = f"{machine['cpu']}, {machine['cores']} cores, {machine['python']}, load before {machine['load']}"
    (RESULTS / f"{name}.json").write_text(json.dumps(run, indent=1) + "\n")
    (RESULTS / f"{name}.md").write_text("\n".join([f"# {name}", "", title, "", *lines]) + "\n")


if __name__ == "__main__":
    main()
