"""Results to text: what each rival took, and how it stands with the promises. Markdown tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from statistics import median

from benchmarks.mapreduce.model import Run, fastest
from benchmarks.mapreduce.targets import BY_HAND, FASTER, GROWTH, HAND_WRITTEN, MEMORY, Faster, Growth, Memory

# Runs of letters: the command and Polars go by Unicode's Alphabetic; Python and DuckDB have no name for that, and what
# comes nearest differs in a fraction of a percent of the keys. See the README.
BY_LETTERS = ("letters", "index-letters")
NEARLY = ("plain", "pool", "pool-shuffled", "duckdb", "procession", "procession-budget")
Runs = dict[tuple[str, int, str], Run]


def index(runs: list[Run]) -> Runs:
    """By workload, size and rival; BY_HAND is whichever hand-written version was the faster."""
    known = {(run.workload, run.times, run.rival): run for run in runs}
    for workload, times in {(run.workload, run.times) for run in runs}:
        written = [known[workload, times, rival] for rival in HAND_WRITTEN if (workload, times, rival) in known]
        if best := fastest(written):
            known[workload, times, BY_HAND] = replace(best, rival=BY_HAND)
    return known


def cost_lines(runs: list[Run]) -> Iterator[str]:
    yield "| workload | input | rival | seconds | least .. most | CPU s | peak MiB | keys | answer |"
    yield "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | --- |"
    for run in runs:
        if run.seconds:
            spread = f"{min(run.seconds):.2f} .. {max(run.seconds):.2f}"
            memory = "" if run.memory_mib is None else f"{run.memory_mib:.0f}"
            costs = f"{median(run.seconds):.2f} | {spread} | {median(run.cpu_seconds):.2f} | {memory}"
            yield line(run.workload, f"{run.times}x", run.rival, costs, f"{run.entries:,}", agreement(run, runs))
        for problem in run.problems:
            yield line(run.workload, f"{run.times}x", run.rival, problem, "", "", "", "", "")


def line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def agreement(run: Run, runs: list[Run]) -> str:
    """Whether the whole answer equals that of plain Python (runs of letters: of Polars), or of the first at hand."""
    same = [other for other in runs if (other.workload, other.times) == (run.workload, run.times) and other.digest]
    nearly = run.workload in BY_LETTERS and run.rival in NEARLY
    if not run.digest or not same:
        return "not compared"
    if run.workload in BY_LETTERS:
        same = [other for other in same if (other.rival in NEARLY) == nearly and other.rival != "duckdb"] or [run]
    first = same[0]
    note = ", nearly the same words" if nearly else ""
    if run.digest == first.digest:
        return ("reference" if run is first else f"equal to {first.rival}") + note
    return "nearly the same words" if run.rival == "duckdb" and nearly else f"DIFFERS from {first.rival}"


def target_lines(runs: list[Run]) -> Iterator[str]:
    """A line for each promise that this run can judge."""
    known = index(runs)
    yield "| promise | versus | measured | each round | promised | |"
    yield "| --- | --- | ---: | ---: | ---: | --- |"
    for faster in FASTER:
        yield from _faster(faster, known)
    for growth in GROWTH:
        yield from _growth(growth, known)
    for memory in MEMORY:
        yield from _memory(memory, known)


def _faster(target: Faster, known: Runs) -> Iterator[str]:
    theirs = known.get((target.its_workload or target.workload, 1, target.rival))
    ours = known.get((target.workload, 1, target.ours))
    if ours and theirs and ours.seconds and theirs.seconds:
        ratio = median(theirs.seconds) / median(ours.seconds)
        each = [their / our for their, our in zip(theirs.seconds, ours.seconds, strict=False)]
        versus = target.rival + (f" {target.its_workload}" if target.its_workload else "")
        mark = "ok" if ratio >= target.ratio else "SHORT"
        spread = f"{min(each):.2f} .. {max(each):.2f}"
        yield line(f"{target.ours} {target.workload}", versus, f"{ratio:.2f} x", spread, f"{target.ratio:.2f} x", mark)


def _growth(target: Growth, known: Runs) -> Iterator[str]:
    for times in (1, 2):
        small = known.get((target.workload, times, target.ours))
        large = known.get((target.workload, 2 * times, target.ours))
        if small and large and small.seconds and large.seconds:
            factor = median(large.seconds) / median(small.seconds)
            mark = "ok" if factor <= target.factor else "SHORT"
            what, most = f"{times}x to {2 * times}x", f"at most {target.factor} x"
            yield line(f"{target.ours} {target.workload}", what, f"{factor:.2f} x", "", most, mark)


def _memory(target: Memory, known: Runs) -> Iterator[str]:
    ours = known.get((target.workload, 1, target.ours))
    theirs = known.get((target.workload, 1, target.rival))
    limit = theirs.memory_mib if theirs else target.limit_mib
    if ours and ours.memory_mib and limit:
        mark = "ok" if ours.memory_mib <= limit else "SHORT"
        versus = target.rival or "budget and interpreters"
        peak, most = f"{ours.memory_mib:.0f} MiB", f"at most {limit:.0f} MiB"
        yield line(f"{target.ours} {target.workload}, peak", versus, peak, "", most, mark)
