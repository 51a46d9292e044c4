"""Rounds over the rivals: each measurement in a fresh interpreter, rivals taking turns, memory in a run of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.mapreduce.family import Sampler
from benchmarks.mapreduce.model import WORKERS, WORKLOADS, Run
from benchmarks.runner import ROOT

TIMEOUT_S = 600


def measure(corpus: Path, workload: str, times: int, rivals: Sequence[str], rounds: int, memory: bool) -> list[Run]:
    """All rounds of one workload at one size. In the first, answers are digested; a last one samples memory."""
    path = WORKLOADS[workload].input(corpus, times)
    runs = {rival: Run(workload, times, rival) for rival in rivals}
    warm(path)
    for round_number in range(rounds + memory):
        shift = round_number % len(rivals)
        for rival in [*rivals[shift:], *rivals[:shift]]:
            run = runs[rival]
            if not run.problems:
                print(f"  {workload} {times}x {rival}", file=sys.stderr, flush=True)
                one(run, path, check=round_number == 0, sample=round_number == rounds)
    return [run for run in runs.values() if run.seconds or not run.problems[0].startswith("missing")]


def warm(path: Path) -> None:
    """Reads the input once, so that all find it in the page cache."""
    for file in path.rglob("*") if path.is_dir() else [path]:
        if file.is_file():
            with open(file, "rb") as data:
                while data.read(1 << 22):
                    pass


def one(run: Run, path: Path, check: bool, sample: bool) -> None:
    """One fresh process; what it says goes into `run`. Ends its whole session if it takes too long."""
    scratch = Path(tempfile.mkdtemp(prefix="bench-", dir="/dev/shm"))
    command = [sys.executable, "-m", "benchmarks.mapreduce.child", run.workload, run.rival, str(path)]
    environment = os.environ | {"POLARS_MAX_THREADS": str(WORKERS), "BENCH_SCRATCH": str(scratch)}
    with tempfile.TemporaryFile("w+") as errors:
        child = subprocess.Popen(
            [*command, "--digest"] if check else command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
        try:
            listen(run, child, Sampler(child.pid, scratch) if sample else None)
        finally:
            end(child)
            shutil.rmtree(scratch, ignore_errors=True)
        if child.returncode and not run.problems:
            errors.seek(0)
            run.problems.append("failed: " + (errors.read().strip().splitlines() or ["no word"])[-1])


def listen(run: Run, child: subprocess.Popen[str], sampler: Sampler | None) -> None:
    """Takes in the child's one or two lines. A watchdog ends it after TIMEOUT_S, which shows as a failure."""
    watchdog = threading.Timer(TIMEOUT_S, end, [child])
    watchdog.start()
    try:
        assert child.stdout is not None
        for line in child.stdout:
            if sampler:
                run.memory_mib = sampler.stop() / 2**20
            take_in(run, json.loads(line), timed=sampler is None)
        child.wait()
    finally:
        watchdog.cancel()
        if sampler:
            sampler.stop()


def take_in(run: Run, said: dict[str, Any], timed: bool) -> None:
    if "missing" in said:
        run.problems.append(f"missing: {said['missing']}")
    elif "digest" in said:
        run.digest = said["digest"]
    elif timed:
        run.seconds.append(said["seconds"])
        run.cpu_seconds.append(said["cpu_seconds"])
        run.entries = said["entries"]


def end(child: subprocess.Popen[str]) -> None:
    """Kills what is left of the child and of the processes it started; they are a session of their own."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
