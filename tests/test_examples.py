"""The programs in examples/: what they print, on several engines, and that an interrupt ends all of them.

Each is run as a reader would run it, in a folder of its own. `examples/expected/NAME.txt` is such a session: a command,
and what it prints; `…` stands for what differs from run to run. Engine and number of workers must make no difference.
What the programs claim of deaths is tested in test_examples_deaths.py.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commands import left_behind
from documents import difference, matches

from procession.testing import descendants, wait_until

EXAMPLES = Path(__file__).parents[1] / "examples"
PROGRAMS = sorted(path.stem for path in EXAMPLES.glob("*.py"))
DEAR = ["hyperparameters"]  # scikit-learn takes seconds to import: test_examples_deaths.py runs it once on each engine
CHEAP = [name for name in PROGRAMS if name not in DEAR]
NEEDS = {"hyperparameters": "sklearn", "montecarlo": "numpy", "simulation": "numpy", "thumbnails": "PIL"}
TO_INSTALL = {"sklearn": "scikit-learn", "numpy": "numpy", "PIL": "pillow"}

RUNS = [
    ("bank", "fork", 2),
    ("bank", "spawn", 3),
    ("crawler", "fork", 1),
    ("crawler", "thread", 3),
    ("dedupe", "fork", 3),
    ("dedupe", "thread", 2),
    ("etl", "forkserver", 2),
    ("etl", "thread", 3),
    ("loganalysis", "fork", 1),
    ("loganalysis", "spawn", 2),
    ("montecarlo", "fork", 3),
    ("montecarlo", "thread", 2),
    ("pipeline", "fork", 1),
    ("pipeline", "spawn", 2),
    ("simulation", "fork", 3),
    ("simulation", "thread", 2),
    ("thumbnails", "forkserver", 2),
    ("thumbnails", "thread", 3),
]
SHORT = {  # arguments for a run that is only looked at
    "bank": ["--transfers", "300"],
    "montecarlo": ["--error", "0.02"],
    "simulation": ["--steps", "50"],
}


def session(name: str) -> tuple[list[str], str]:
    """The arguments and the output of a program, as its file says."""
    command, _, output = (EXAMPLES / "expected" / f"{name}.txt").read_text().partition("\n")
    prompt, python, script, *arguments = command.split()
    assert (prompt, python, script) == ("$", "python", f"examples/{name}.py")
    return arguments, output


def run(folder: Path, name: str, *arguments: object, check: bool = False) -> str:
    """What the program prints, run to its end."""
    module = ["-m", "procession", "check"] if check else []
    command = [sys.executable, "-W", "error", *module, EXAMPLES / f"{name}.py", *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ("procession check: nothing found\n" if check else "")
    return done.stdout


def need(name: str) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "engine", "workers"), RUNS)
def test_it_prints_what_is_expected(name: str, engine: str, workers: int, tmp_path: Path) -> None:
    need(name)
    arguments, expected = session(name)
    printed = run(tmp_path, name, *arguments, "--engine", engine, "--workers", workers)
    assert matches(expected, printed), difference(expected, printed)
    assert left_behind(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", CHEAP)
def test_check_finds_nothing(name: str, tmp_path: Path) -> None:
    need(name)
    run(tmp_path, name, *SHORT.get(name, []), "--workers", 2, "--engine", "fork", check=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHEAP)
def test_an_interrupt_leaves_no_process(name: str, tmp_path: Path) -> None:
    need(name)
    command = [sys.executable, "-W", "error", EXAMPLES / f"{name}.py", "--engine", "fork"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True) as program:
        wait_until(lambda: descendants(program.pid), 30)
        os.killpg(program.pid, signal.SIGINT)  # as a terminal does
        _, errors = program.communicate(timeout=30)
    assert program.returncode == -signal.SIGINT, errors
    assert errors.count("Traceback") <= 1, errors
    wait_until(lambda: left_behind(tmp_path) == [])


@pytest.mark.parametrize(("name", "package"), NEEDS.items())
def test_it_says_what_to_install(name: str, package: str) -> None:
    code = f"import runpy, sys; sys.modules[{package!r}] = None; runpy.run_path({str(EXAMPLES / name)!r} + '.py')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50)
    assert done.stderr.endswith(f": pip install {TO_INSTALL[package]}\n")


# The folder


def test_the_readme_lists_them_all() -> None:
    listed = re.findall(r"\[(\w+)\.py\]\(\1\.py\)", (EXAMPLES / "README.md").read_text())
    assert sorted(listed) == PROGRAMS


def test_each_has_a_session_and_two_engines() -> None:
    assert sorted(path.stem for path in (EXAMPLES / "expected").iterdir()) == PROGRAMS
    assert sorted({name for name, _, _ in RUNS}) == CHEAP


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_is_short_and_says_how_to_run_it(name: str) -> None:
    text = (EXAMPLES / f"{name}.py").read_text()
    assert text.count("\n") < 80
    assert re.match(rf'"""[A-Z].*\n\n    python examples/{name}\.py.*\n(?s:.*?)\nIt shows: ', text)
