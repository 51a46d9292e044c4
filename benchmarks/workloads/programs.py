"""Start-up and memory: each measured in a script of its own, since they depend on what `__main__` is.

Start-up is timed inside the script from asking for the child to its clean end: "first" for the first child of the
program (it pays for a fork server, if any), "next" the median of those after it. "program" is the whole script as its
caller sees it, interpreter and imports included.
"""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from benchmarks.model import OURS, Costs, Missing, Scale, Workload
from benchmarks.rivals import Rival

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
METHODS = ("fork", "forkserver", "spawn")
HEAP_MIB = 2048
OBJECTS = 10_000
MISSING_MARK = "missing: "


def _run_script(name: str, *arguments: object) -> tuple[dict[str, Any], int]:
    """What a script printed, and the nanoseconds it lived."""
    began = perf_counter_ns()
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / name), *map(str, arguments)], capture_output=True, text=True, check=False
    )
    elapsed = perf_counter_ns() - began
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        if last.startswith(MISSING_MARK):
            raise Missing(last.removeprefix(MISSING_MARK))
        raise RuntimeError(last)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer, elapsed


def start(rival: Rival, scale: Scale, what: str, method: str, imports: str = "-", heap_mib: int = 0) -> Costs:
    answer, elapsed = _run_script("start.py", rival.name, what, method, imports, heap_mib)
    return {**answer, "program": elapsed}


def idle(rival: Rival, scale: Scale) -> Costs:
    """Descriptors and memory of a program that holds 10,000 each of Lock, Value and small Queue."""
    answer, _ = _run_script("idle.py", rival.name, OBJECTS)
    return dict(answer)


def _starts(what: str, suffix: str, about: str, slow: bool, **options: Any) -> list[Workload]:
    return [
        Workload(
            f"start.{what}-{method}{suffix}",
            f"{what} by {method}{about}: from start to first result and clean end",
            partial(start, what=what, method=method, **options),
            slow=slow,
        )
        for method in METHODS
    ]


WORKLOADS = (
    *_starts("process", "", "", slow=True),
    *_starts("process", "-numpy", ", numpy imported in main", slow=False, imports="numpy"),
    *_starts("process", "-heap", ", 2 GiB of touched heap in the parent", slow=True, heap_mib=HEAP_MIB),
    *_starts("pool", "-numpy", " of 2 workers, numpy imported in main", slow=False, imports="numpy"),
    Workload("memory.idle", "10,000 each of Lock, Value('i'), Queue(4), idle", idle, (OURS,), unit=""),
)
