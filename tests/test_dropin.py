"""Programs written for multiprocessing, run with `import procession as multiprocessing`, and by `procession run`.

Each program of `programs/` prints what it sees of one part of the documented surface; whatever the import and the start
method, it must print the same.
"""

import functools
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = sorted(Path(__file__).with_name("programs").glob("*.py"))
METHODS = ["fork", "spawn", "forkserver"]
TIMEOUT_S = 50


RUN = ["-m", "procession", "run"]


def run(path: Path, method: str, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, *options, path, method]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)


def skip_without_packages(path: Path) -> None:
    if path.stem == "arrays" and importlib.util.find_spec("numpy") is None:
        pytest.skip("needs numpy")


@functools.cache
def expected(path: Path) -> str:
    """What the program prints with the standard library, whichever its start method."""
    ended = run(path, "fork")
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_program_prints_the_same(path: Path, method: str, tmp_path: Path) -> None:
    skip_without_packages(path)
    text = path.read_text()
    assert text.count("\nimport multiprocessing\n") == 1
    changed = tmp_path / path.name
    changed.write_text(text.replace("\nimport multiprocessing\n", "\nimport procession as multiprocessing\n"))
    ended = run(changed, method)
    assert (ended.stdout, ended.returncode) == (expected(path), 0), ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_program_runs_unmodified(path: Path, method: str) -> None:
    skip_without_packages(path)
    ended = run(path, method, *RUN)
    assert (ended.stdout, ended.returncode) == (expected(path), 0), ended.stderr
