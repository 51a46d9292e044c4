"""Results to text: costs with their spread, ratios beside what was promised, and what fell short."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.model import OURS, Ceiling, Result, Target
from benchmarks.targets import CEILINGS, TARGETS

Index = dict[tuple[str, str], Result]

SLOW_PER_SECOND = 1000  # below this a rate says less than the time

_UNITS = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1, "ns"))


def index(results: list[Result]) -> Index:
    return {(result.row, result.rival): result for result in results if result.samples}


def amount(value: float, unit: str) -> str:
    """A cost for people: 3 digits and a fitting unit."""
    if unit != "ns":
        return f"{value:,.4g}"
    size, name = next(((size, name) for size, name in _UNITS if value >= size), _UNITS[-1])
    return f"{value / size:.3g} {name}"


def rate(result: Result) -> str:
    """Operations, or bytes, in a second."""
    if result.unit != "ns":
        return ""
    if result.bytes_each:
        return f"{result.bytes_each / result.median:.2f} GB/s"
    per_second = 1e9 / result.median
    if per_second < SLOW_PER_SECOND:
        return ""
    return f"{per_second / 1e6:.3g} M/s" if per_second >= 1e5 else f"{per_second:,.0f} /s"


def cost_lines(results: list[Result]) -> Iterator[str]:
    """One line for each row and rival: median, quartiles, least, rate."""
    yield f"{'row':<38} {'rival':<16} {'median':>9} {'quartiles':>21} {'least':>9}  rate"
    for result in results:
        if result.samples:
            low, high = (amount(value, result.unit) for value in result.quartiles)
            middle, least = amount(result.median, result.unit), amount(result.low, result.unit)
            spread = f"{low} .. {high}"
            yield f"{result.row:<38} {result.rival:<16} {middle:>9} {spread:>21} {least:>9}  {rate(result)}"
        for problem in result.problems:
            yield f"{result.row:<38} {result.rival:<16} {problem}"


def target_lines(results: list[Result]) -> Iterator[str]:
    """One line for each promise this run can judge: ratio of medians, the range over the rounds, promise, verdict."""
    known = index(results)
    yield f"{'row':<38} {'versus':<28} {'ratio':>7} {'rounds':>15} {'promised':>9}"
    for target in TARGETS:
        ours, theirs = known.get((target.row, OURS)), known.get((target.other_row or target.row, target.versus))
        if ours and theirs:
            yield _verdict(target, ours, theirs)
    for ceiling in CEILINGS:
        if held := known.get((ceiling.row, OURS)):
            yield _below(ceiling, held)


def _verdict(target: Target, ours: Result, theirs: Result) -> str:
    ratio = theirs.median / ours.median
    by_round = [their / our for their, our in zip(theirs.samples, ours.samples, strict=False)]
    spread = f"{_short(min(by_round))} .. {_short(max(by_round))}"
    versus = target.versus + (f" {target.other_row}" if target.other_row not in (None, target.row) else "")
    mark = "ok" if ratio >= target.ratio else "SHORT"
    return f"{target.row:<38} {versus:<28} {_short(ratio):>7} {spread:>15} {target.ratio:>7g} x  {mark}"


def _below(ceiling: Ceiling, ours: Result) -> str:
    mark = "ok" if ours.median < ceiling.limit else "SHORT"
    return f"{ceiling.row:<38} {'(absolute)':<28} {ours.median:>7.3g} {'':>15} {f'< {ceiling.limit:g}':>9}  {mark}"


def _short(ratio: float) -> str:
    return f"{ratio:.0f}" if ratio >= 100 else f"{ratio:.3g}"
