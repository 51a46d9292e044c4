"""Rounds over the rivals, each measurement in a fresh process; what hangs is killed and reported.

The rivals of a workload take turns within a round, and each round starts with another one, so that a neighbour's noise
hits all alike. A rival that is missing, hangs or fails is not tried again in later rounds.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from benchmarks.model import Outcome, Result, Scale, Workload

ROOT = Path(__file__).resolve().parent.parent
# A program's modules are compiled before it is measured, as they are where it is installed.
UNWANTED = {"PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTHONDEVMODE", "PYTHONPROFILEIMPORTTIME"}
ERROR_WIDTH = 160  # characters of an error worth keeping


def measure(workload: Workload, rivals: Iterable[str], scale: Scale) -> list[Result]:
    """All rounds of one workload. Results in the order of `rivals`, metrics in the order the workload names them."""
    active = [name for name in workload.rivals if name in rivals]
    results: dict[tuple[str, str], Result] = {}
    for turn, name in _turns(active, scale.rounds):
        outcome = run_child(workload.name, name, scale)
        if outcome.problem:
            active.remove(name)
            _result(results, workload, name, "").problems.append(f"{outcome.problem} (round {turn + 1})")
        for metric, cost in outcome.costs.items():
            _result(results, workload, name, metric).samples.append(cost)
    order = {name: index for index, name in enumerate(workload.rivals)}
    return sorted(results.values(), key=lambda result: order[result.rival])


def _turns(active: list[str], rounds: int) -> Iterator[tuple[int, str]]:
    """(round, rival) in turn; reads `active` anew each time, since the caller drops rivals from it."""
    for number in range(rounds):
        shift = number % max(len(active), 1)
        for name in active[shift:] + active[:shift]:
            yield number, name


def _result(results: dict[tuple[str, str], Result], workload: Workload, rival: str, metric: str) -> Result:
    row = workload.row(metric)
    return results.setdefault((row, rival), Result(row, rival, workload.unit, workload.bytes_each))


def run_child(workload: str, rival: str, scale: Scale) -> Outcome:
    """Run one measurement in a process group of its own, and leave nothing of that group behind."""
    environment = {name: value for name, value in os.environ.items() if name not in UNWANTED}
    command = [sys.executable, "-m", "benchmarks.child", workload, rival, json.dumps(asdict(scale))]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        # Files, not pipes: a stray grandchild that keeps a pipe open would keep us waiting for its end.
        child = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=err, start_new_session=True)
        try:
            child.wait(scale.timeout_s)
        except subprocess.TimeoutExpired:
            return Outcome(problem="hung")
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        return _read(child.returncode, *(_contents(file) for file in (out, err)))


def _contents(file: TextIO) -> list[str]:
    file.seek(0)
    return file.read().strip().splitlines()


def _read(returncode: int, output: list[str], errors: list[str]) -> Outcome:
    if returncode or not output:
        last = next((line for line in reversed(errors) if line and not line.startswith(" ")), f"exit code {returncode}")
        return Outcome(problem=f"failed: {last[:ERROR_WIDTH]}")
    answer = json.loads(output[-1])
    if "missing" in answer:
        return Outcome(problem=f"missing: {answer['missing'][:ERROR_WIDTH]}")
    return Outcome(costs=answer["costs"])
