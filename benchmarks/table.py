"""Results to text: costs with their spread, ratios beside what was promised, and what fell short."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.model import OURS, Result, Target
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


@dataclass(frozen=True)
class Verdict:
    """A promise and what a run says of it."""

    row: str
    versus: str  # a rival, with its row if that is another one; "(absolute)"
    measured: float  # ratio of the medians, or our median
    spread: tuple[float, float] | None  # least and greatest ratio within one round
    promised: float
    ok: bool


def verdicts(results: list[Result]) -> Iterator[Verdict]:
    """Of each promise that this run can judge."""
    known = index(results)
    for target in TARGETS:
        ours, theirs = known.get((target.row, OURS)), known.get((target.other_row or target.row, target.versus))
        if ours and theirs:
            yield _verdict(target, ours, theirs)
    for ceiling in CEILINGS:
        if held := known.get((ceiling.row, OURS)):
            ok = held.median < ceiling.limit
            yield Verdict(ceiling.row, "(absolute)", held.median, None, ceiling.limit, ok)


def _verdict(target: Target, ours: Result, theirs: Result) -> Verdict:
    by_round = ratios(theirs, ours)
    versus = target.versus + (f" {target.other_row}" if target.other_row not in (None, target.row) else "")
    ratio = theirs.median / ours.median
    return Verdict(target.row, versus, ratio, (min(by_round), max(by_round)), target.ratio, ratio >= target.ratio)


def ratios(theirs: Result, ours: Result) -> list[float]:
    """How many times as much theirs costs, in each round."""
    return [their / our for their, our in zip(theirs.samples, ours.samples, strict=False)]


def target_lines(results: list[Result]) -> Iterator[str]:
    """One line for each promise this run can judge: ratio of medians, the range over the rounds, promise, verdict."""
    yield f"{'row':<38} {'versus':<28} {'ratio':>7} {'rounds':>15} {'promised':>9}"
    for told in verdicts(results):
        mark = "ok" if told.ok else "SHORT"
        if told.spread is None:
            measured, spread, promised = f"{told.measured:.3g}", "", f"{f'< {told.promised:g}':>9}"
        else:
            measured, spread = short(told.measured), f"{short(told.spread[0])} .. {short(told.spread[1])}"
            promised = f"{told.promised:>7g} x"
        yield f"{told.row:<38} {told.versus:<28} {measured:>7} {spread:>15} {promised}  {mark}"


def short(ratio: float) -> str:
    """A ratio for people: 3 digits."""
    return f"{ratio:.0f}" if ratio >= 100 else f"{ratio:.3g}"
