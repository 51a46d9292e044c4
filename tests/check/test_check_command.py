"""`procession check` as a command: exit codes, forms of output, programs that end badly."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from procession.testing import wait_until

LOSES = """
import multiprocessing, sys
total = 0
def work():
    global total
    total += 1
if __name__ == "__main__":
    process = multiprocessing.Process(target=work)
    process.start()
    process.join()
    print("total", total)
"""


def run(*arguments: Any, **options: Any) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "procession", "check", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=50, **options)


def program(directory: Path, text: str) -> Path:
    path = directory / "program.py"
    path.write_text(textwrap.dedent(text).lstrip())
    return path


@pytest.mark.slow
def test_findings_are_told_and_the_programs_output_is_its_own(tmp_path: Path) -> None:
    ended = run(program(tmp_path, LOSES), cwd=tmp_path)
    assert ended.returncode == 3
    assert ended.stdout == "total 0\n"
    assert "lost-write: `total`" in ended.stderr
    assert "> 5 |     total += 1" in ended.stderr
    assert "Write instead:" in ended.stderr
    assert ended.stderr.endswith("procession check: 1 finding (1 lost-write)\n")
    assert "\033" not in ended.stderr
    assert max(map(len, ended.stderr.splitlines())) <= 80


@pytest.mark.slow
def test_a_program_of_ours_is_told_of_results(tmp_path: Path) -> None:
    ours = LOSES.replace("multiprocessing", "procession").replace("total = 0", "total = []").replace("+= 1", "+= [1]")
    ended = run(program(tmp_path, ours), cwd=tmp_path)
    assert "total = process.result()" in ended.stderr


@pytest.mark.slow
def test_exit_zero_gives_the_programs_code(tmp_path: Path) -> None:
    ended = run("--exit-zero", program(tmp_path, LOSES + "    sys.exit(7)\n"))
    assert ended.returncode == 7
    assert "the program's exit code is 7" in ended.stderr


@pytest.mark.slow
def test_json_alone_on_standard_output(tmp_path: Path) -> None:
    ended = run("--json", program(tmp_path, LOSES))
    report = json.loads(ended.stdout)
    assert ended.stderr == "total 0\n"
    assert report["version"] == 1
    assert report["program"]["status"] == 0
    [finding] = report["findings"]
    assert finding["kind"] == "lost-write"
    assert finding["details"]["after"] == "1"
    assert [place["line"] for place in finding["places"]] == [5, 10, 8]
    assert finding["places"][0]["source"] == "total += 1"


@pytest.mark.slow
def test_json_in_a_file_beside_the_text(tmp_path: Path) -> None:
    ended = run(f"--json={tmp_path / 'report.json'}", program(tmp_path, LOSES))
    assert ended.stdout == "total 0\n"
    assert "lost-write" in ended.stderr
    assert len(json.loads((tmp_path / "report.json").read_text())["findings"]) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "comment"),
    [
        (["--ignore", "lost-write,race"], ""),
        (["--only=race"], ""),
        ([], "  # procession: ignore[lost-write]"),
        ([], "  # procession: ignore"),
    ],
)
def test_what_is_not_wanted_is_left_out(tmp_path: Path, options: list[str], comment: str) -> None:
    ended = run(*options, program(tmp_path, LOSES.replace("total += 1", f"total += 1{comment}")))
    assert ended.returncode == 0
    assert ended.stderr == "procession check: nothing found; 1 left out as told\n"


@pytest.mark.slow
def test_a_comment_for_another_kind_changes_nothing(tmp_path: Path) -> None:
    assert run(program(tmp_path, LOSES.replace("+= 1", "+= 1  # procession: ignore[race]"))).returncode == 3


@pytest.mark.slow
@pytest.mark.parametrize("death", ["os.kill(os.getpid(), 9)", "os._exit(9)", "raise ValueError('as planned')"])
def test_a_program_that_ends_badly_is_analysed(tmp_path: Path, death: str) -> None:
    ended = run(program(tmp_path, LOSES + f"    import os; {death}\n"))
    assert ended.returncode == 3
    assert "lost-write" in ended.stderr
    if "raise" in death:
        assert "ValueError: as planned" in ended.stderr
        assert "procession/cli" not in ended.stderr


@pytest.mark.slow
def test_a_child_that_ends_without_a_word_is_told(tmp_path: Path) -> None:
    ended = run(program(tmp_path, LOSES.replace("    total += 1", "    total += 1; import os; os._exit(0)")))
    assert ended.returncode == 0
    *told, summary = ended.stderr.splitlines()
    assert re.fullmatch(r"procession check: Process-1, pid \d+, was ended by a signal or os._exit: .*", " ".join(told))
    assert max(map(len, told)) <= 80
    assert summary == "procession check: nothing found"


def test_exit_codes_without_findings(tmp_path: Path) -> None:
    assert run("-c", "import sys; sys.exit(5)").returncode == 5
    killed = run("-c", "import os; os.kill(os.getpid(), 9)")
    assert killed.returncode == 137
    assert "SIGKILL" in killed.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to run"),
        (["-c"], "nothing to run after -c"),
        (["--only", "rice", "x.py"], "no kind of finding is called 'rice'"),
        (["--method", "spoon", "x.py"], "no start method is called 'spoon'"),
        (["--timeout", "soon", "x.py"], "--timeout takes a number"),
        (["--onyl", "race", "x.py"], "no option --onyl; did you mean --only?"),
        (["--json=/no/such/place", __file__], "--json=/no/such/place: No such file or directory"),
        (["--keep", "/proc", __file__], "something in it already"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str) -> None:
    ended = run(*arguments)
    assert ended.returncode == 2
    assert message in ended.stderr


def test_no_such_file() -> None:
    ended = run("no_such_file.py")
    assert ended.returncode == 2
    assert "can't open file" in ended.stderr


@pytest.mark.slow
def test_the_program_of_a_command_line(tmp_path: Path) -> None:
    ended = run("--method=fork", "-c", LOSES)
    assert ended.returncode == 3
    assert "> 6 |     total += 1" in ended.stderr


@pytest.mark.slow
def test_a_module_and_its_submodule(tmp_path: Path) -> None:
    package = tmp_path / "bank"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "state.py").write_text("entries = []\n")
    (package / "work.py").write_text("from . import state\n\n\ndef enter(name):\n    state.entries.append(name)\n")
    (package / "__main__.py").write_text(
        textwrap.dedent(
            """
            import multiprocessing
            from .state import entries
            from .work import enter

            if __name__ == "__main__":
                with multiprocessing.Pool(1) as pool:
                    pool.map(enter, "abc")
                print(len(entries))
            """
        ).lstrip()
    )
    ended = run("--json", "-m", "bank", cwd=tmp_path)
    [finding] = json.loads(ended.stdout)["findings"]
    assert [(Path(place["file"]).name, place["line"]) for place in finding["places"]] == [
        ("work.py", 5),
        ("__main__.py", 8),
        ("__main__.py", 6),
    ]


@pytest.mark.slow
def test_ctrl_c_ends_the_program_and_is_reported(tmp_path: Path) -> None:
    # In short sleeps: a signal that comes just before the system's sleep begins does not end that
    text = LOSES + "    open('ready', 'w').close()\n    import time\n    for _ in range(600): time.sleep(0.1)\n"
    command = [sys.executable, "-m", "procession", "check", str(program(tmp_path, text))]
    options: Any = {"text": True, "stderr": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=tmp_path, start_new_session=True, **options) as child:
        wait_until((tmp_path / "ready").exists)
        os.killpg(child.pid, signal.SIGINT)
        _, printed = child.communicate(timeout=30)
    assert child.returncode == 3
    assert "KeyboardInterrupt" in printed
    assert "1 finding (1 lost-write)" in printed


@pytest.mark.slow
def test_time_is_up(tmp_path: Path) -> None:
    ended = run("--timeout", "0.3", program(tmp_path, "import threading\nthreading.Event().wait()\n"))
    assert ended.returncode == 130  # as of Ctrl-C
    assert "0.3 seconds are over" in ended.stderr


def test_nothing_is_left_in_the_temporary_directory(tmp_path: Path) -> None:
    ended = run("-c", "print(1)", env={**os.environ, "TMPDIR": str(tmp_path)})
    assert ended.stdout == "1\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_example_in_the_documentation_is_what_is_printed(tmp_path: Path) -> None:
    document = (Path(__file__).parents[2] / "docs" / "guides" / "check.md").read_text()
    code, *_ = re.findall(r"^```python\n(.*?)^```", document, re.MULTILINE | re.DOTALL)
    promised, *_ = re.findall(r"^```text\n(.*?)^```", document, re.MULTILINE | re.DOTALL)
    (tmp_path / "bank.py").write_text(code)
    ended = run("bank.py", cwd=tmp_path)
    words = [re.sub(r"pid \d+", "pid", text).split() for text in (promised, ended.stdout + ended.stderr)]
    assert words[0] == words[1]


@pytest.mark.slow
def test_what_a_killed_command_left_is_removed_by_the_next(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "procession", "check", "-c", "import time; print(flush=True); time.sleep(60)"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, start_new_session=True) as killed:
        assert killed.stdout is not None
        killed.stdout.readline()
        assert run("-c", "", env=environment).returncode == 0
        [left] = tmp_path.glob("procession-check-*")  # it is in use
        os.killpg(killed.pid, signal.SIGKILL)
    os.utime(left, (0, 0))
    assert run("-c", "", env=environment).returncode == 0
    assert list(tmp_path.glob("procession-check-*")) == []
