"""Processes that share a run of the tests do all of it, none of it twice, and say so in one line."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import load_script

HERE = Path(__file__).parent
PARTS = ["test_layers.py", "test_mapreduce_usage.py", "test_testing.py"]


def pytest_run(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pytest", "-q", *(str(HERE / part) for part in PARTS), *arguments]
    return subprocess.Popen(command, cwd=HERE.parent, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_each_test_is_run_once(tmp_path: Path) -> None:
    names = []
    both = [pytest_run("-rA", "--claims", str(tmp_path)) for _ in range(2)]
    for run in both:
        names += re.findall(r"^PASSED (\S+)", run.communicate(timeout=50)[0], re.MULTILINE)
        assert run.returncode in (0, 5)  # 5: the other was faster
    listed = pytest_run("--collect-only").communicate(timeout=50)[0]
    assert sorted(names) == sorted(line for line in listed.splitlines() if "::" in line)
    assert len(list(tmp_path.iterdir())) == len(PARTS)


def test_one_line_for_all() -> None:
    closing_line = load_script("suite").closing_line
    lines = ["1 failed, 20 passed, 2 skipped in 3.21s", "22 passed, 1 skipped in 61.00s (0:01:01)"]
    assert closing_line(lines, 62.5) == "1 failed, 42 passed, 3 skipped in 62.50s"
    assert closing_line(["no tests ran in 0.01s", ""], 1) == "no tests ran in 1.00s"
