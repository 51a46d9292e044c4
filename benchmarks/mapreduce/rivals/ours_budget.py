"""procession with a memory budget that the larger workloads do not fit in: what spilling costs."""

from __future__ import annotations

from benchmarks.mapreduce.rivals.ours import functions
from benchmarks.mapreduce.targets import BUDGET_MIB

FUNCTIONS = functions(memory_budget=BUDGET_MIB << 20)
