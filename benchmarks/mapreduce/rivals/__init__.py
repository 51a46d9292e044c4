"""One module per rival, imported only in the process that measures it."""

from __future__ import annotations

import os
from importlib import import_module

from benchmarks.mapreduce.model import WORKERS, Function
from benchmarks.model import Missing

# Rival -> module. The order is that of the tables.
RIVALS = {
    "plain": "plain",
    "pool": "by_hand",
    "pool-shuffled": "by_hand_shuffled",
    "joblib": "joblib_pool",
    "duckdb": "duck",
    "polars": "frames",
    "procession": "ours",
    "procession-budget": "ours_budget",
    "command": "command",
}


def load(rival: str, workload: str) -> Function:
    """The rival's function for the workload. Raises Missing if it has none, or is not installed."""
    os.environ.setdefault("POLARS_MAX_THREADS", str(WORKERS))
    try:
        module = import_module(f"benchmarks.mapreduce.rivals.{RIVALS[rival]}")
    except ImportError as error:
        raise Missing(str(error)) from error
    functions: dict[str, Function] = module.FUNCTIONS
    if workload not in functions:
        raise Missing(f"{rival} has no {workload}")
    return functions[workload]
