"""`pytest --procession-check`."""

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import multiprocessing
import pytest

total = 0

def add(number):
    global total
    total += number

def start():
    process = multiprocessing.Process(target=add, args=(1,))
    process.start()
    process.join()

def test_loses():
    start()
    print(total)

def test_is_fine():
    with multiprocessing.Pool(2) as pool:
        assert pool.map(abs, [-1]) == [1]

def test_fails():
    start()
    assert total == 1

@pytest.mark.procession_check(ignore=["lost-write"])
def test_ignores():
    start()
    print(total)

@pytest.mark.procession_check(off=True)
def test_is_not_checked():
    start()
    print(total)
"""


def run(directory: Path, *options: str) -> str:
    (directory / "test_program.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", *options, "test_program.py"]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=50).stdout


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_tests_with_findings_fail(tmp_path: Path, method: str) -> None:
    printed = run(tmp_path, "--procession-check", "--procession-method", method)
    assert "FAILED test_program.py::test_loses - Failed: 1. lost-write: `total`" in printed
    assert "FAILED test_program.py::test_fails - assert 0 == 1" in printed
    assert "Captured procession check call" in printed
    for name in ("test_is_fine", "test_ignores", "test_is_not_checked"):
        assert f"PASSED test_program.py::{name}" in printed


@pytest.mark.slow
def test_without_the_option_nothing_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(
        "import sys\n"
        "def pytest_sessionfinish():\n"
        "    print([name for name in sys.modules if name.startswith('procession.')])\n"
    )
    printed = run(tmp_path)
    assert "['procession.pytest_plugin']" in printed
    assert "1 failed, 4 passed" in printed
