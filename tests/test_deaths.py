"""Every public operation, dead at some of its steps; `make crash` takes all of them (`scripts/deaths.py`, which says
what must hold). And a short storm over a pool, of which `make soak` has minutes (`scripts/soak.py`)."""

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = str(Path(__file__).parent.parent / "scripts")
STRIDE = 9  # of an operation's steps: every ninth, from the second on


def script(name: str) -> Any:
    if SCRIPTS not in sys.path:
        sys.path.append(SCRIPTS)
    return importlib.import_module(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", script("deaths").OPERATIONS)
def test_others_go_on_whatever_the_step(name: str) -> None:
    script("deaths").deaths(name, 2, STRIDE)


@pytest.mark.slow
@pytest.mark.parametrize("name", script("deaths").POOLS)
def test_a_call_is_whole_whatever_the_step_of_a_worker(name: str) -> None:
    script("deaths").pool_deaths(name, 2, STRIDE)


@pytest.mark.slow
def test_a_pool_in_a_storm() -> None:
    report = script("soak").pool_storm(1.5, 20261128)
    assert report.deaths + report.kills > 5, report
    assert report.tasks > 100, report
