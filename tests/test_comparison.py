"""`procession bench`: everybody does the same work, and what is printed says how fast."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from procession import comparison
from procession.cli.benching import _bar, _times
from procession.comparison import WORKLOADS, Contender, Row, Workload, compare

PATIENCE_S = 50


def bench(*arguments: str) -> Any:
    command = [sys.executable, "-m", "procession", "bench", *arguments]
    env = {**os.environ, "COLUMNS": "72"}
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=PATIENCE_S, check=False)


def test_who_fails_is_said_to_and_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    def run(contender: Contender, count: int) -> float | None:
        tries.append(contender.name)
        if contender.name == "bad":
            raise RuntimeError("lost an item")
        return None if contender.name == "other" else count / 4

    monkeypatch.setattr(comparison, "WORKLOADS", (Workload("work", 8, "items", run),))
    ((good, bad),) = compare([Contender(name) for name in ("good", "bad", "other")], rounds=2)
    assert (good.contender, good.seconds, good.per_second) == ("good", 2.0, 4.0)
    assert bad == Row(good.workload, "bad", None, "RuntimeError: lost an item")
    assert good.spread == 0
    assert tries == ["good", "bad", "other", "good", "other"]  # in turn, and no second time for who failed


@pytest.mark.slow
def test_what_is_printed_can_be_read() -> None:
    done = bench("--quick")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 72
    assert "\x1b" not in done.stdout
    assert sum(line.startswith("  multiprocessing") and " 1 x " in line for line in lines) == len(WORKLOADS)


@pytest.mark.slow
def test_everybody_does_every_workload(tmp_path: Path) -> None:
    done = bench("--quick", "--json", "--rounds", "2", "--save", str(tmp_path / "figures.json"))
    told = json.loads(done.stdout)
    assert json.loads((tmp_path / "figures.json").read_text()) == told
    per_second = {workload["name"]: workload["per_second"] for workload in told["workloads"]}
    assert list(per_second) == [workload.name for workload in WORKLOADS]
    assert all(list(one)[:2] == ["procession", "multiprocessing"] for one in per_second.values())
    assert all(rate > 0 for one in per_second.values() for rate in one.values())
    assert {"concurrent.futures", "joblib (loky)"} <= set(per_second["tiny tasks of a map"])
    assert not any(workload["failures"] for workload in told["workloads"])


def test_how_figures_look() -> None:
    pairs = [(120.0, 10.0), (9.0, 10.0), (0.5, 10.0), (3.0, 0.0), (12345.0, 1.0), (1.0, 12345.0)]
    assert [_times(*pair) for pair in pairs] == ["12 x", "0.9 x", "1/20", "", "12,345 x", "1/12,345"]
    assert (_bar(2.5, "▏▎▍▌▋▊▉█"), _bar(3.0, "#")) == ("██▌", "###")
