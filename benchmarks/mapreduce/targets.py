"""What the project promised, as data: medians of one run, two workers. See the issue "Map-reduce that gains from every
core"."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Faster:
    """`rival` takes at least `ratio` times as long as `ours` does for the same workload.

    Below 1 the rival may be faster: 1 / 1.5 means "within 1.5 times its time". Where the rival has a cheaper
    definition of the same thing, `its_workload` names it.
    """

    workload: str
    ours: str
    rival: str
    ratio: float
    its_workload: str = ""


@dataclass(frozen=True)
class Growth:
    """Twice the input takes `ours` at most `factor` times as long, from 1x to 2x and from 2x to 4x."""

    workload: str
    ours: str
    factor: float


@dataclass(frozen=True)
class Memory:
    """The peak of `ours` is not above that of `rival`, or not above `limit_mib`."""

    workload: str
    ours: str
    rival: str = ""
    limit_mib: float = 0.0


BY_HAND = "by hand"  # the faster of the versions written with multiprocessing.Pool
HAND_WRITTEN = ("pool", "pool-shuffled")
PYTHON, BUILT_IN, BUDGETED = "procession", "command", "procession-budget"
BUDGET_MIB = 128  # what `rivals/ours_budget.py` asks for
INTERPRETERS_MIB = 3 * 20  # a parent and two workers before they hold anything

FASTER = (
    Faster("words", PYTHON, "plain", 2.5),
    Faster("words", PYTHON, BY_HAND, 2.5),
    Faster("words", PYTHON, "duckdb", 1 / 1.5),
    Faster("index", PYTHON, "plain", 2.5),
    Faster("index", PYTHON, BY_HAND, 2.2),
    Faster("index", PYTHON, "duckdb", 1),
    Faster("groupby", PYTHON, "plain", 2),
    Faster("groupby", PYTHON, BY_HAND, 1.1),
    *[Faster("groupby", BUILT_IN, engine, 1 / 1.2) for engine in ("duckdb", "polars")],
    *[
        Faster(ours, BUILT_IN, engine, 1, theirs)
        for ours, theirs in (("letters", ""), ("letters", "words"), ("index-letters", ""), ("index-letters", "index"))
        for engine in ("duckdb", "polars")
    ],
)
GROWTH = (
    Growth("words", PYTHON, 2.2),
    Growth("groupby", PYTHON, 2.2),
    Growth("letters", BUILT_IN, 2.2),
)
MEMORY = (
    *[Memory(workload, PYTHON, BY_HAND) for workload in ("words", "index", "groupby")],
    Memory("words", BUDGETED, limit_mib=BUDGET_MIB + INTERPRETERS_MIB),
)
