"""Exit codes, messages for what was mistyped, and colours: the same for every command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commands import COMMAND, procession
from terminal import Terminal

from procession.cli import main
from procession.cli.codes import ALWAYS, CODES, EXIT_OK, EXIT_USAGE, of_command

LOSES = "import procession\ntotal = 0\ndef add():\n    global total\n    total += 1\n"
LOSES += "child = procession.Process(target=add)\nchild.start()\nchild.join()\nprint(total)\n"
FAILS = "def fails(x):\n    raise ValueError(x)\n\nclass Fails:\n    def map(self, text):\n        raise ValueError\n"
FAILS += "    def reduce(self, left, right):\n        return left\n"

# What makes a command end so: its arguments, and its input.
CASES: dict[tuple[str, int | str], tuple[list[str], str]] = {
    ("run", "any"): (["-c", "import sys; sys.exit(7)"], ""),
    ("run", 2): (["nowhere.py"], ""),
    ("check", "any"): (["-c", "import sys; sys.exit(7)"], ""),
    ("check", 2): (["nowhere.py"], ""),
    ("check", 3): (["loses.py"], ""),
    ("top", 1): (["--web", "1"], ""),
    ("top", 2): ([], ""),
    ("ps", 0): ([], ""),
    ("ps", 1): (["1"], ""),
    ("ps", 2): (["first"], ""),
    ("report", 1): (["trace.json", "-o", "nowhere/page.html"], ""),
    ("report", 2): ([], ""),
    ("report", 3): (["nowhere.json"], ""),
    ("map", 0): (["math:sqrt"], "1\n"),
    ("map", 1): (["fails.py:fails"], "1\n"),
    ("map", 2): (["math:sqrrt"], "1\n"),
    ("map", 3): (["math:sqrt"], "one\n"),
    ("mapreduce", 0): (["wordcount", "-"], "a\n"),
    ("mapreduce", 1): (["fails.py:Fails", "-"], "a\n"),
    ("mapreduce", 2): (["wordcuont", "-"], "a\n"),
    ("mapreduce", 3): (["wordcount", "nowhere"], ""),
    ("doctor", 2): (["--jsno"], ""),
    ("bench", 1): (["--quick", "--save", "nowhere/figures.json"], ""),
    ("bench", 2): (["--rounds", "0"], ""),
    ("completion", 0): (["bash"], ""),
    ("completion", 2): (["bsah"], ""),
}
ELSEWHERE = {
    ("check", 4): "no program brings it about; it is procession's own mistake",
    ("top", 0): "test_cli_top.py",
    ("report", 0): "test_report.py",
    ("doctor", 0): "test_doctor.py",
    ("doctor", 1): "test_doctor.py",
    ("bench", 0): "test_comparison.py",
}
BY_SIGNALS = set(ALWAYS) - {EXIT_OK, EXIT_USAGE}


def test_every_code_is_tried() -> None:
    written = {(name, code) for name in CODES for code in of_command(name) if code not in BY_SIGNALS}
    assert written == set(CASES) | set(ELSEWHERE)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "code"), CASES)
def test_exit_codes(name: str, code: int | str, tmp_path: Path) -> None:
    (tmp_path / "loses.py").write_text(LOSES)
    (tmp_path / "fails.py").write_text(FAILS)
    if name == "report":
        procession("run", "--trace", "trace.json", "-c", "import procession; procession.Lock()", cwd=tmp_path)
    arguments, text = CASES[name, code]
    done = procession(name, *arguments, cwd=tmp_path, input=text)
    assert done.returncode == (7 if code == "any" else code), done.stderr
    assert bool(done.stderr) >= (done.returncode not in (0, 7)), "it says why"
    assert "\x1b" not in done.stdout + done.stderr, "no colours without a terminal"


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals(number: signal.Signals, code: int, tmp_path: Path) -> None:
    command = [*COMMAND, "map", "math:sqrt"]
    with subprocess.Popen(command, stdin=-1, stdout=-1, stderr=-1, text=True, cwd=tmp_path) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        print(4, file=running.stdin, flush=True)
        assert running.stdout.readline() == "2.0\n"
        running.send_signal(number)
        _, said = running.communicate(timeout=50)
    assert running.returncode == code
    assert said.startswith("procession: ")


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["ps", "--help"], ["completion", "zsh"]])
def test_a_reader_that_leaves(arguments: list[str], tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*COMMAND, *arguments], cwd=tmp_path, stdout=writer, stderr=-1, timeout=50, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["tpo"], "no command is called 'tpo'; did you mean top?"),
        (["mapredcue", "wordcount"], "no command is called 'mapredcue'; did you mean mapreduce?"),
        (["sim.py", "-n", "a b"], "no command is called 'sim.py'; to run a program: procession run sim.py -n 'a b'"),
        (["-m", "package"], "no command is called '-m'; to run a program: procession run -m package"),
        (["wordcount", "x"], "no command is called 'wordcount'; it is a job: procession mapreduce wordcount INPUT"),
        (["--vresion"], "no option --vresion; did you mean --version?"),
        (["zzz"], "no command is called 'zzz'; there are run, top, ps,"),
        (["map", "--chekpoint"], "no option --chekpoint; did you mean --checkpoint?"),
        (["map", "--chekpoint=x", "math:sqrt"], "no option --chekpoint; did you mean --checkpoint?"),
        (
            ["map", "math:sqrt", "--on-error", "sotp"],
            "--on-error: 'sotp' is none of stop, skip, null; did you mean stop?",
        ),
        (["map", "math:sqrt", "--timeout", "0"], "--timeout: a number of seconds above 0, not 0"),
        (["map", "math:sqrt", "--memory-limit"], "--memory-limit needs a value"),
        (["map", "math:sqrt", "-w"], "no option -w"),
        (["mapreduce", "wordcuont"], "no built-in job is called 'wordcuont'; did you mean wordcount?"),
        (["mapreduce", "grep", "x", "--pattern", "-x"], "one that begins with a dash: --pattern=-x"),
        (["mapreduce", "wordcount"], "nothing is given for INPUT"),
        (["run", "--tarce", "x"], "no option --tarce; did you mean --trace?"),
        (["run", "--context", "frok", "x"], "no start method is called 'frok'; did you mean fork?"),
        (["check", "--only", "dead-lock", "x"], "no kind of finding is called 'dead-lock'; did you mean deadlock?"),
        (["bench", "--context", "thread"], "--context: 'thread' is none of fork, spawn, forkserver"),
    ],
)
def test_did_you_mean(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    out, said = capsys.readouterr()
    assert out == ""
    first, second = said.splitlines()
    assert says in first
    name = f"procession {arguments[0]}" if arguments[0] in CODES else "procession"
    assert first.startswith(f"{name}: ")
    assert second == f"See: {name} --help"


def test_an_engine_that_was_meant(tmp_path: Path) -> None:
    done = procession("map", "math:sqrt", "--on", "frok", cwd=tmp_path, input="1\n")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("; did you mean fork?\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environ", "coloured"),
    [
        ({}, True),
        ({"NO_COLOR": ""}, True),
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
    ],
)
def test_colours_on_a_terminal(environ: dict[str, str], coloured: bool, tmp_path: Path) -> None:
    program = "from procession.cli import main; main(['ps', '--help'])"
    clean = {"NO_COLOR": "", "FORCE_COLOR": "", "TERM": "xterm"}
    terminal = Terminal(program, tmp_path, environ={**clean, **environ})
    assert terminal.finish() == 0
    assert ("\x1b[1mExamples:\x1b[0m" in terminal.text) is coloured
    assert ("\x1b" in terminal.text) is coloured


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["ps"], ["ps", "--help"], ["--help"]])
def test_colours_in_a_pipe_only_if_forced(arguments: list[str], tmp_path: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    share = "import procession, sys; lock = procession.Lock(); print('there', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", share], stdin=-1, stdout=-1) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"there\n"
        assert "\x1b" not in procession(*arguments, cwd=tmp_path, env=clean).stdout
        assert "\x1b[1m" in procession(*arguments, cwd=tmp_path, env=clean | {"FORCE_COLOR": "1"}).stdout
        other.communicate(b"")
