"""`procession top` as a command: where it runs, where it does not, and what it says there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import procession
from terminal import Terminal

pytest.importorskip("textual")

RUN = "from procession.cli import main; import sys; sys.exit(main([{arguments}]))"


def said(text: str) -> str:
    """What was printed, without the line ends put in to fit the width."""
    return " ".join(text.split())


def test_without_a_terminal_it_names_what_works_there(tmp_path: Path) -> None:
    outcome = procession("top", cwd=tmp_path)
    assert outcome.returncode == 2
    assert "needs a terminal" in said(outcome.stderr)
    assert "`procession ps`" in said(outcome.stderr)
    assert "--web" in said(outcome.stderr)
    assert outcome.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--interval", "0"), "--interval is between"),
        (("--port", "80"), "--port goes with --web"),
        (("--web", "--port", "70000"), "--port is between"),
        (("x",), "PID: 'x' is no whole number"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], text: str, tmp_path: Path) -> None:
    outcome = procession("top", *arguments, cwd=tmp_path)
    assert outcome.returncode == 2
    assert text in said(outcome.stderr)


def test_a_number_that_is_gone_or_not_ours(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    for pid, text in ((child.pid, "there is no process"), (os.getppid(), "")):
        outcome = procession("top", "--web", str(pid), cwd=tmp_path)
        assert outcome.returncode == 1
        assert text in said(outcome.stderr)
        assert "`procession ps` lists what can be watched" in said(outcome.stderr)


def test_a_missing_package_is_named(tmp_path: Path) -> None:
    code = "import sys; sys.modules['textual_serve'] = None; " + RUN.format(arguments="'top', '--web'")
    outcome = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=50)
    assert outcome.returncode == 2
    assert "needs textual-serve; install with: pip install 'procession[top]'" in said(outcome.stderr)


@pytest.mark.slow
def test_a_dumb_terminal_gets_a_hint(tmp_path: Path) -> None:
    program = "import os; os.environ['TERM'] = 'dumb'; " + RUN.format(arguments="'top'")
    terminal = Terminal(program, tmp_path)
    assert terminal.finish() == 2
    assert "TERM=dumb" in terminal.text
    assert "procession ps" in said(terminal.text)


@pytest.mark.slow
@pytest.mark.parametrize("variable", [("X", "1"), ("NO_COLOR", "1"), ("PYTHONIOENCODING", "ascii")])
@pytest.mark.parametrize("key", [b"q", b"\x03"])
def test_in_a_terminal_it_runs_and_is_left(variable: tuple[str, str], key: bytes, tmp_path: Path) -> None:
    program = RUN.format(arguments="'top', '--interval', '0.1'")
    terminal = Terminal(program, tmp_path, environ=dict([("TERM", "xterm-256color"), variable]))
    terminal.read_until("Processes")
    terminal.read_until("Quit")
    terminal.type(key)
    assert terminal.finish() == 0


@pytest.mark.slow
def test_the_screen_is_standard_output(tmp_path: Path) -> None:
    program = (
        "import os; os.environ['TERM'] = 'xterm-256color'; "
        "os.dup2(os.open('errors', os.O_WRONLY | os.O_CREAT), 2); " + RUN.format(arguments="'top'")
    )
    terminal = Terminal(program, tmp_path)
    terminal.read_until("Quit")
    terminal.type(b"q")
    assert terminal.finish() == 0
    assert (tmp_path / "errors").read_text() == ""
