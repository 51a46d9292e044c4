"""The Tab key: real shells load what is printed, and are asked what may follow."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import COMMAND
from terminal import Terminal

from procession.cli.catalogue import COMMANDS
from procession.cli.completing import candidates

NAMES = [one.name for one in COMMANDS]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with some files, and the command on the PATH."""
    (tmp_path / "bin").mkdir()
    path = tmp_path / "bin" / "procession"
    path.write_text(f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "data").mkdir()
    for name in ("sim.py", "a b.txt"):
        (tmp_path / name).touch()
    return tmp_path


def words(*typed: str) -> list[str]:
    """The words that may stand there."""
    return [word for word, _ in candidates(list(typed))[1]]


def test_what_may_stand_where() -> None:
    assert words("")[: len(NAMES)] == NAMES
    assert words("help", "") == NAMES
    assert words("map", "--on-error", "") == ["stop", "skip", "null"]
    assert words("map", "--on-error=") == ["stop", "skip", "null"]
    assert {"--checkpoint", "--workers", "--help"} <= set(words("map", "--"))
    assert words("mapreduce", "") == ["wordcount", "index", "groupby", "grep"]
    assert words("mapreduce", "wordcount", "") == []
    assert {"dask", "fork"} <= set(words("map", "--on", ""))
    assert words("run", "--context", "") == ["fork", "spawn", "forkserver", "thread"]
    assert "lost-update" in words("check", "--only", "")
    assert words("completion", "") == ["bash", "zsh", "fish"]
    kinds = {
        "files": [("run", ""), ("run", "sim.py", "--x"), ("check", "-m", "name", ""), ("report", ""), ("map", "")],
        "directories": [("run", "--record", ""), ("check", "--keep", ""), ("mapreduce", "--spill-dir", "")],
        "words": [("doctor", ""), ("bench", "--rounds", ""), ("top", "12", ""), ("map", "--timeout", "")],
    }
    for kind, cases in kinds.items():
        assert [(case, candidates(list(case))[0]) for case in cases] == [(case, kind) for case in cases]


BASH = """
eval "$(procession completion bash)"
COMP_WORDS=(procession "$@")
COMP_CWORD=$#
_procession procession 2>errors
printf '%s\\n' "${COMPREPLY[@]}"
"""


def in_bash(place: Path, *typed: str) -> list[str]:
    """What bash offers in the place of the last word, as it divides words."""
    done = subprocess.run(
        ["bash", "--norc", "-c", BASH, "bash", *typed],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.slow
def test_bash(place: Path) -> None:
    assert in_bash(place, "") == [*NAMES, "--help", "--version"]
    assert in_bash(place, "ma") == ["map", "mapreduce"]
    assert in_bash(place, "map", "--on-error", "=", "s") == ["stop", "skip"]
    assert in_bash(place, "map", "--on-error", "=") == ["stop", "skip", "null"]
    assert in_bash(place, "mapreduce", "w") == ["wordcount"]
    assert sorted(in_bash(place, "run", "")) == ["a b.txt", "bin", "data", "errors", "sim.py"]
    assert in_bash(place, "run", "--record", "d") == ["data"]
    assert in_bash(place, "doctor", "--j") == ["--json"]


@pytest.mark.slow
def test_running_programs_are_offered(place: Path) -> None:
    share = "import procession, sys; lock = procession.Lock(); print('there', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", share], stdin=-1, stdout=-1) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"there\n"
        assert str(other.pid) in in_bash(place, "top", "")
        assert str(other.pid) in in_bash(place, "ps", "--all", "")
        other.communicate(b"")
    assert str(other.pid) not in in_bash(place, "top", "")


@pytest.mark.slow
def test_the_key_itself(place: Path) -> None:
    terminal = Terminal(
        "import os; os.execvp('bash', ['bash', '--norc', '-i'])", place, environ={"PS1": "$ ", "TERM": "xterm"}
    )
    terminal.type(b'eval "$(procession completion bash)"; echo load""ed\n')
    terminal.read_until("loaded\n")
    for typed, wanted in (("procession mapr", "mapreduce "), ("wordc", "wordcount "), ("a", "a\\ b.txt ")):
        terminal.type(f"{typed}\t".encode())
        terminal.read_until(wanted)
    terminal.type(b"\x15exit 7\n")
    assert terminal.finish() == 7


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("fish") is None, reason="no fish")
def test_fish(place: Path) -> None:
    for line, wanted in {
        "procession ma": ["map", "mapreduce"],
        "procession map --on-error=s": ["--on-error=skip", "--on-error=stop"],
        "procession run s": ["sim.py"],
        "procession run --record d": ["data/"],
    }.items():
        script = f"procession completion fish | source; complete -C '{line}'"
        done = subprocess.run(["fish", "-c", script], cwd=place, capture_output=True, text=True, timeout=50, check=True)
        assert [offered.partition("\t")[0] for offered in done.stdout.splitlines()] == wanted


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh")
def test_zsh(place: Path) -> None:
    (place / ".zshrc").write_text(
        "PS1='%% '\nautoload -Uz compinit; compinit -u -D\neval \"$(procession completion zsh)\"\n"
    )
    environ = {"ZDOTDIR": str(place), "TERM": "xterm"}
    terminal = Terminal("import os; os.execvp('zsh', ['zsh', '-i'])", place, environ=environ)
    terminal.read_until("% ")
    for typed, wanted in (("procession mapr", "educe"), ("wordc", "ount"), ("s", "im.py"), ("--format=j", "son")):
        terminal.type(f"{typed}\t".encode())
        terminal.read_until(wanted)
    terminal.type(b"\x15exit 7\n")
    assert terminal.finish() == 7
