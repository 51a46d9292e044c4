"""Variables of the environment: an empty one counts as unset, nonsense raises an error that names it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from procession import _output, _store, _waits, doctor
from procession.cli import top
from procession.pool import blas

READERS: dict[str, Callable[[], Any]] = {name: read for name, read in doctor.VARIABLES.items() if read is not None}
READERS["PROCESSION_TOP_SERVER"] = top.server
PATHS = {"PROCESSION_CHAOS_LOG", "PROCESSION_CHECK", "PROCESSION_HOME", "PROCESSION_RECORD"}  # any text may be one


@pytest.fixture(autouse=True)
def _unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*doctor.VARIABLES, *blas.variables(1)):
        monkeypatch.delenv(name, raising=False)


def test_none_is_forgotten_here() -> None:
    assert READERS.keys() | PATHS == set(doctor.VARIABLES)


@pytest.mark.parametrize("name", READERS)
def test_an_empty_one_counts_as_unset(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    unset = READERS[name]()
    monkeypatch.setenv(name, "")
    assert READERS[name]() == unset


@pytest.mark.parametrize("name", READERS)
def test_nonsense_is_an_error_that_names_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "lots")
    with pytest.raises(ValueError, match=f"^the variable {name} must be .*, not 'lots'$"):
        READERS[name]()


@pytest.mark.parametrize("name", sorted(READERS.keys() - {"PROCESSION_TOP_SERVER"}))
def test_the_doctor_says_what_a_value_must_be(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "lots")
    [found] = [one for one in doctor._environment() if one.name == name]
    assert (found.value, found.problem) == ("lots", True)
    assert found.mend.startswith(f"the variable {name} must be ")
    monkeypatch.setenv(name, "")
    assert not any(one.problem for one in doctor._environment())


@pytest.mark.parametrize(("text", "size_bytes"), [("0", 0), ("4096", 4096), ("64MiB", 64 << 20), ("1G", 1 << 30)])
def test_a_limit_is_a_size(text: str, size_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROCESSION_ARENA_LIMIT", text)
    assert _store.arena_limit() == size_bytes


def test_a_switch_is_0_or_1(monkeypatch: pytest.MonkeyPatch) -> None:
    for text, on in (("0", False), ("1", True)):
        monkeypatch.setenv("PROCESSION_FORWARD_OUTPUT", text)
        assert _output.wanted(None) is on
        monkeypatch.setenv("PROCESSION_DETECT_DEADLOCKS", text)
        assert _waits.is_wanted() is on


PROGRAM = """
import os
import procession

def threads(_):
    return os.environ["OMP_NUM_THREADS"]

if __name__ == "__main__":
    for method in ("fork", "spawn"):
        with procession.get_context(method).Pool(1) as pool:
            assert pool.map(threads, [1], progress=True) == [str(procession.cpu_count())]
        pool.join()
    assert os.environ["OMP_NUM_THREADS"] == ""
"""


def test_a_program_whose_variables_are_all_empty(tmp_path: Any) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    empty = dict.fromkeys((*doctor.VARIABLES, *blas.variables(1)), "")
    command = [sys.executable, "-W", "error", str(program)]
    done = subprocess.run(command, env=os.environ | empty, cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
    assert os.listdir(tmp_path) == ["program.py"]
