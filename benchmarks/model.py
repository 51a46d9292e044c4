"""The words of the suite: workload, scale, outcome, result, target.

All measurements are costs: time per operation in nanoseconds, or an amount in the workload's own unit. Lower is better
everywhere, so a ratio is always "rival's cost / ours", and a message rate is only another way to print a cost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.rivals import Rival

OURS = "procession"
STANDARD = "multiprocessing"


class Missing(Exception):
    """The rival does not have this name, or is not installed."""


@dataclass(frozen=True)
class Scale:
    """How long to measure: a sample times a run of about `seconds`, after one as long that only warms up."""

    seconds: float
    rounds: int
    timeout_s: float


FULL = Scale(seconds=0.3, rounds=5, timeout_s=60)
QUICK = Scale(seconds=0.15, rounds=3, timeout_s=20)

# Metric name → cost. A workload with one metric calls it "".
Costs = dict[str, float]


@dataclass(frozen=True)
class Workload:
    """One thing to measure, the same for every rival."""

    name: str  # family.name
    about: str
    run: Callable[[Rival, Scale], Costs]
    rivals: tuple[str, ...] = (OURS, STANDARD)
    unit: str = "ns"
    bytes_each: int = 0  # size of one message where GB/s is worth printing
    slow: bool = False  # left out of a quick run

    @property
    def family(self) -> str:
        return self.name.partition(".")[0]

    def row(self, metric: str) -> str:
        return f"{self.name}/{metric}" if metric else self.name


@dataclass(frozen=True)
class Target:
    """A promise: `row` costs us at most 1/`ratio` of what `versus` pays in `other_row` (the same row if None)."""

    row: str
    ratio: float
    versus: str = STANDARD
    other_row: str | None = None


@dataclass(frozen=True)
class Ceiling:
    """A promise in absolute terms: `row` stays under `limit`."""

    row: str
    limit: float


@dataclass(frozen=True)
class Outcome:
    """What one fresh process said: costs, or why there are none ("missing: …", "hung", "failed: …")."""

    costs: Costs = field(default_factory=dict)
    problem: str = ""


@dataclass
class Result:
    """All rounds of one row with one rival. `samples` may be shorter than the rounds if some had a problem."""

    row: str
    rival: str
    unit: str
    bytes_each: int = 0
    samples: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def median(self) -> float:
        return median(self.samples)

    @property
    def low(self) -> float:
        return min(self.samples)

    @property
    def quartiles(self) -> tuple[float, float]:
        """First and third quartile; both the sample itself when there is only one."""
        if len(self.samples) < 2:
            return self.samples[0], self.samples[0]
        first, _, third = quantiles(self.samples, n=4, method="inclusive")
        return first, third
