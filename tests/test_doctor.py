"""`procession doctor`: what it finds here, and what it finds where something is wrong."""

import json
import os
import re
import resource
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import procession
from procession.doctor import EXTRAS, VARIABLES, Finding, examine

PATIENCE_S = 50
ROOT = Path(__file__).parents[1]


def doctor(*arguments: str, limit: tuple[int, int] | None = None, **environment: str) -> Any:
    """The command, with a limit of the kernel's on it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PROCESSION_")}
    return subprocess.run(
        [sys.executable, "-m", "procession", "doctor", *arguments],
        capture_output=True,
        text=True,
        env={**kept, "COLUMNS": "72", **environment},
        timeout=PATIENCE_S,
        check=False,
        preexec_fn=None if limit is None else lambda: resource.setrlimit(limit[0], (limit[1], limit[1])),
    )


def test_it_knows_every_variable_and_so_does_its_page() -> None:
    sources = [*ROOT.glob("python/**/*.py"), *ROOT.glob("crates/*/src/**/*.rs")]
    read = {name for path in sources for name in re.findall(r"\bPROCESSION_[A-Z_]+[A-Z]\b", path.read_text())}
    assert read == set(VARIABLES)
    page = (ROOT / "docs" / "reference" / "environment.md").read_text()
    assert re.findall(r"^\| `(PROCESSION_[A-Z_]+)", page, re.MULTILINE) == list(VARIABLES)


def test_it_knows_every_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {extra for extra, _ in EXTRAS.values()} == set(project["optional-dependencies"])


@pytest.mark.slow
def test_it_finds_what_is_so() -> None:
    found = {(finding.topic, finding.name): finding for finding in examine()}
    assert found["processors", "usable"].value.startswith(f"{procession.cpu_count()} of ")
    assert found["watching", "processes of a program"].value == "seen"
    methods = [name for topic, name in found if topic == "start methods"]
    assert methods == ["fork", "spawn", "forkserver", "thread"]
    assert all(found["start methods", method].value.endswith(" ms") for method in methods)
    assert found["limits", "open files (-n)"].value == str(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


@pytest.mark.slow
def test_what_is_printed_can_be_read() -> None:
    done = doctor()
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 72
    assert "\x1b" not in done.stdout
    assert "Nothing stands in the way." in done.stdout
    verdicts = {line[:11].strip() for line in lines if line.startswith("  ") and line[2] != " "}
    assert "ok" in verdicts
    assert verdicts <= {"ok", "limited", "missing"}
    assert lines.count("versions") == lines.count("extras") == 1


@pytest.mark.slow
def test_as_data() -> None:
    done = doctor("--json")
    found = [Finding(**entry) for entry in json.loads(done.stdout)]
    assert done.returncode == 0
    assert not any(finding.problem for finding in found)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit", "environment", "problem", "mend"),
    [
        (None, {"PROCESSION_AREAN_LIMIT": "2G"}, "environment, PROCESSION_AREAN_LIMIT", "PROCESSION_ARENA_LIMIT"),
        ((resource.RLIMIT_NOFILE, 12), {}, "start methods, forkserver", "limits below"),
        ((resource.RLIMIT_FSIZE, 1 << 20), {}, "memory, may be shared", "ulimit -f"),
    ],
)
def test_what_is_wrong_is_said_with_its_mend(
    limit: tuple[int, int] | None, environment: dict[str, str], problem: str, mend: str
) -> None:
    done = doctor(limit=limit, **environment)
    assert (done.returncode, done.stderr) == (1, "")
    assert problem in " ".join(done.stdout.rpartition("Does not work as it should:")[2].split())
    assert mend in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit", "name", "mend"),
    [
        ((resource.RLIMIT_NOFILE, 100), "open files (-n)", "large pools need more"),
        ((resource.RLIMIT_AS, 4 << 30), "address space (-v)", "ulimit -v unlimited"),
    ],
)
def test_what_limits_is_no_failure(limit: tuple[int, int], name: str, mend: str) -> None:
    done = doctor(limit=limit)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"  limited  {name}" in done.stdout
    assert mend in done.stdout
    assert f"Limited: {name}." in " ".join(done.stdout.split())


FORBID = """
import ctypes, os, struct, sys

def instruction(code, yes, no, value):
    return struct.pack("HBBI", code, yes, no, value)

class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

forbidden = [instruction(0x15, 0, 1, int(sys.argv[1])), instruction(0x06, 0, 0, 0x00050000 | 1)]  # is it: EPERM
steps = ctypes.create_string_buffer(
    b"".join([instruction(0x20, 0, 0, 0), *forbidden, instruction(0x06, 0, 0, 0x7FFF0000)])
)
program = Program(4, ctypes.addressof(steps))
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
assert libc.prctl(22, 2, ctypes.byref(program)) == 0  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
os.execvp(sys.argv[2], sys.argv[2:])
"""
CALLS = {"x86_64": {"memfd_create": 319, "pidfd_open": 434}, "aarch64": {"memfd_create": 279, "pidfd_open": 434}}


@pytest.mark.slow
@pytest.mark.parametrize(("call", "verdict", "code"), [("memfd_create", "broken", 1), ("pidfd_open", "limited", 0)])
def test_what_a_seccomp_profile_forbids(call: str, verdict: str, code: int) -> None:
    number = str(CALLS[os.uname().machine][call])
    command = [sys.executable, "-c", FORBID, number, sys.executable, "-m", "procession", "doctor", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (done.returncode, done.stderr) == (code, "")
    found = {finding["name"]: finding for finding in json.loads(done.stdout)}
    assert (found[call]["verdict"], found[call]["value"]) == (verdict, "Operation not permitted")
    assert "seccomp" in found[call]["mend"]
