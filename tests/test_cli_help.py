"""The help: on one screen, with what matters first, with examples that run, and a page that says the same."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import COMMAND, left_behind, load_script, procession
from terminal import INTERRUPT, Terminal

from procession import Lock, mapreduce
from procession.check import finding
from procession.cli import catalogue, checking, main, running
from procession.cli.catalogue import COMMANDS, overview
from procession.cli.codes import CODES
from procession.cli.commands import parser_of
from procession.cli.manual import Manual

NAMES = [one.name for one in COMMANDS]
OWN: dict[str, Any] = {"run": running, "check": checking}
MANUALS: dict[str, Manual] = {name: OWN[name].MANUAL if name in OWN else parser_of(name).manual for name in NAMES}
# Those of `bench`, which take longer, are run by test_comparison.py.
EXAMPLES = [
    pytest.param(line, id=line[:60])
    for manual in MANUALS.values()
    for line in manual.examples
    if manual.name != "bench"
]

SIMULATE = """
import multiprocessing, sys

def step(number):
    return number * number

if __name__ == "__main__":
    with multiprocessing.Pool(2) as pool:
        print(sum(pool.map(step, range(10))))
"""
PAGES = """
def title(page):
    return page["title"]

def fetch(address):
    return len(address)
"""
WAITING = """
import procession, sys
lock = procession.Lock()
print("there", flush=True)
sys.stdin.read()
"""


def test_the_first_screen_fits_into_one(tmp_path: Path) -> None:
    lines = procession("--help", cwd=tmp_path).stdout.splitlines()
    assert len(lines) <= 23, "and the prompt"
    assert max(map(len, lines)) <= 80
    assert [line[15:27].strip() for line in lines if line[15:16].strip() and line[26:27] == " "][: len(NAMES)] == NAMES
    assert set(NAMES) == set(CODES)
    for arguments in (["help"], ["-h"]):
        assert procession(*arguments, cwd=tmp_path).stdout.splitlines() == lines
    nothing = procession(cwd=tmp_path)
    assert (nothing.returncode, nothing.stdout, nothing.stderr.splitlines()) == (2, "", lines)


def test_nothing_heavy_is_loaded_for_it(tmp_path: Path) -> None:
    heavy = "argparse", "typing", "re", "procession._native", "importlib.metadata", "textwrap"
    code = (
        "import sys; from procession.cli import main; main(['--help']); print(*set(sys.argv[1:]) & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code, *heavy],
        capture_output=True, text=True, timeout=50, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.stdout == f"{overview()}\n\n", done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_help_of_each_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([name, "--help"])
    shown, said = capsys.readouterr()
    assert said == ""
    lines = shown.splitlines()
    assert [line for line in lines if len(line) > 80] == []
    assert lines[0].startswith(f"usage: procession {name} ")
    assert "Examples:" in lines[:10], "on the first screen"
    assert lines.index("Examples:") < lines.index("Options:") < lines.index("Exit code:")
    assert re.search(r"^  2    wrong usage", shown, re.MULTILINE)
    assert "\x1b" not in shown


def test_help_where_characters_are_lacking(tmp_path: Path) -> None:
    done = procession("map", "--help", cwd=tmp_path, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\ufffd" in done.stdout


def test_what_is_written_twice_is_the_same() -> None:
    assert (*finding.KINDS,) == catalogue.KINDS
    assert (*mapreduce.FORMATS,) == catalogue.FORMATS
    assert (*mapreduce.ON_ERROR,) == catalogue.ON_ERROR
    assert set(catalogue.JOBS) == set(mapreduce.built_in_jobs())


@pytest.mark.parametrize("words", [["map", "--help"], ["mapreduce", "--help"], ["mapreduce", "wordcuont"]])
def test_nothing_that_works_is_loaded_for_help(words: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *COMMAND[1:], *words], stderr=-1, stdout=-1, cwd=tmp_path
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.decode().splitlines()}
    assert "procession.cli.commands" in loaded
    assert not loaded & {"procession.mapreduce", "procession.pool", "procession._native"}


def test_the_page_is_what_the_commands_say() -> None:
    script = load_script("cli_reference")
    assert script.PAGE.read_text() == script.page(), "make it anew: python scripts/cli_reference.py"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder that has all that the examples name."""
    for name, text in {
        "simulate.py": SIMULATE,
        "mypackage/__init__.py": "",
        "mypackage/train.py": SIMULATE,
        "pages.py": PAGES,
        "numbers.jsonl": "1\n4\n",
        "pages.jsonl": '{"title": "One"}\n{}\n',
        "names.txt": "Ada\n",
        "urls.jsonl": '"a"\n"bc"\n',
        "sales.csv": "city,price\nRome,3\nOslo,5\n",
        "logs/today/web.log": "a\nrequest timed out\n",
        "archive/text.txt": "some words\n",
        **dict(class_of_help(note) for note in MANUALS["mapreduce"].notes if "class " in note),
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
    (tmp_path / "books").mkdir()
    for path in (tmp_path / "books" / "one.gz", tmp_path / "big.gz"):
        path.write_bytes(gzip.compress(b"In the beginning\nthere was a Word\n"))
    (tmp_path / "bin").mkdir()
    for name, command in (("procession", COMMAND), ("python", [sys.executable])):
        path = tmp_path / "bin" / name
        path.write_text(f'#!/bin/sh\nexec {" ".join(command)} "$@"\n')
        path.chmod(0o755)
    yield tmp_path
    assert left_behind(tmp_path) == []


def class_of_help(note: str) -> tuple[str, str]:
    """The file that holds the job which the help shows."""
    file = {"Spellings": "spelling.py", "LongestLine": "longest.py"}[note.split()[1].rstrip(":")]
    return file, textwrap.dedent(note)


@pytest.mark.slow
@pytest.mark.parametrize("line", EXAMPLES)
def test_examples_run(line: str, place: Path) -> None:
    shell = next((name for name in ("zsh", "fish", "bash") if f"completion {name}" in line), "bash")
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell}")
    path = {"PATH": f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    if "report recording" in line:  # what the example before it made
        line = f"procession run --record recording simulate.py && {line}"
    if line.startswith("procession top"):
        watch_in_a_terminal(line, place, path)
        return
    with subprocess.Popen([sys.executable, "-c", WAITING], stdin=-1, stdout=-1, cwd=place) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"there\n"
        line = line.replace("4121", str(other.pid))
        if "compinit" in line:
            line = f"autoload -Uz compinit && compinit -u -D && {line}"
        done = subprocess.run(
            [shell, "-c", line], cwd=place, env=os.environ | path, capture_output=True, text=True, timeout=50
        )
        other.communicate(b"")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def watch_in_a_terminal(line: str, place: Path, path: dict[str, str]) -> None:
    """`top`, left when it is there."""
    pytest.importorskip("textual")
    line = line.replace("4121", str(os.getpid())).replace(" --port 8765", "")  # which somebody else may have
    program = f"import os; os.execvp('sh', ['sh', '-c', {f'exec {line}'!r}])"
    shared = Lock()  # something to be seen of this process
    terminal = Terminal(program, place, environ={"TERM": "xterm-256color", **path})
    terminal.read_until("http://127.0.0.1" if "--web" in line else "Quit")
    terminal.type(INTERRUPT if "--web" in line else b"q")
    assert terminal.finish() == 0, terminal.text
    assert not shared.locked()
