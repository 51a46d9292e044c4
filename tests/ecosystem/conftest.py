"""Fixtures besides those of all tests: workers that a client keeps are ended before leaks are looked for."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PROGRAM_S = 30  # seconds a program of a test may take


@pytest.fixture(autouse=True)
def _no_kept_workers(_no_leaks: None) -> Iterator[None]:
    yield
    ours = sys.modules.get("procession.joblib")
    if ours is not None:
        ours.shutdown()


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., str]:
    """Writes a program, runs it in a fresh interpreter, returns what it printed."""

    def run(text: str, *arguments: str) -> str:
        path = tmp_path / "program.py"
        path.write_text(text)
        command = [sys.executable, str(path), *arguments]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=PROGRAM_S, cwd=tmp_path)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    return run


# joblib with two workers, for tests of modules that are skipped without it


@pytest.fixture(params=["fork", "forkserver"])
def config(request: pytest.FixtureRequest) -> Iterator[Any]:
    with procession_backend(request.param) as config:
        yield config


@pytest.fixture
def forked() -> Iterator[Any]:
    with procession_backend("fork") as config:
        yield config


def procession_backend(start_method: str) -> Any:
    import joblib

    return joblib.parallel_config(backend="procession", n_jobs=2, start_method=start_method)
