"""CPython's own tests on procession: some classes of them, and the runner that `make conformance` uses for all."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from conformance import differences, runner, standing  # noqa: E402
from conformance.runner import Result, Runner  # noqa: E402

# Classes that take a second or two each and between them touch everything that procession replaces
PARTS = {
    "fork": r"WithProcessesTest(Lock|Event|Value|Array|Queue|Process)\.|TestSimpleQueue|WithManagerTestMyManager",
    "spawn": r"WithProcessesTest(Subclassing|SharedCTypes|Connection)|TestSyncManagerTypes",
    "forkserver": r"WithProcessesTest(Pickling|Semaphore|SubclassingProcess)|WithThreadsTest(Queue|Pool)\.",
}


def conformance(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "conformance", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)


@pytest.mark.slow
@pytest.mark.watchdog(110)
@pytest.mark.parametrize("method", PARTS)
def test_part_of_the_suite(method: str) -> None:
    ended = conformance("--suite", "mp", "--context", method, "--only", PARTS[method], "--watchdog", "30")
    if ended.returncode == 2 and "install Debian's" in ended.stderr:
        pytest.skip(ended.stderr.strip())
    assert ended.returncode == 0, ended.stdout + ended.stderr
    counted = re.search(r"(\d+) run, +(\d+) passed", ended.stdout)
    assert counted is not None
    assert int(counted[2]) > 15


# The runner


def outcomes(pattern: str, watchdog: float = 30) -> dict[str, Result]:
    names = [name for name in runner.list_tests("self", "fork") if name.startswith(pattern)]
    found = list(Runner("self", "fork", against="standard", watchdog=watchdog).run(names))
    results = {result.name: result for result in found}
    assert len(results) == len(found), "a test was reported twice"
    return results


@pytest.mark.slow
def test_a_hang_costs_one_test() -> None:
    found = outcomes("Hanging.", watchdog=2)
    assert {name: result.outcome for name, result in found.items()} == {
        "Hanging.test_1_before": "ok",
        "Hanging.test_2_hangs": "hung",
        "Hanging.test_3_after": "ok",
    }
    assert "in test_2_hangs" in found["Hanging.test_2_hangs"].detail, "the stacks are missing"
    assert "time.sleep(600)" in found["Hanging.test_2_hangs"].detail, "the other process is missing"


@pytest.mark.slow
def test_a_death_costs_one_test() -> None:
    found = outcomes("Dying.")
    assert {name: result.outcome for name, result in found.items()} == {
        "Dying.test_1_dies": "died",
        "Dying.test_2_after": "ok",
    }


@pytest.mark.slow
def test_what_is_left_behind_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "GRACE", 0.1)
    found = outcomes("Leaving.")
    assert found["Leaving.(processes left)"].outcome == "left"
    assert "time.sleep(600)" in found["Leaving.(processes left)"].detail
    assert outcomes("Altering.")["Altering.(environment altered)"].outcome == "altered"


@pytest.mark.slow
def test_failures_are_told() -> None:
    found = {**outcomes("Failing."), **outcomes("Broken.")}
    assert {name: result.outcome for name, result in found.items() if not result.good} == {
        "Failing.test_fails": "failed",
        "Failing.test_fails_in_part": "failed",
        "Failing.test_succeeds_unexpectedly": "failed",
        "setUpClass (conformance.self_tests.Broken)": "failed",
    }
    assert "on purpose" in found["Failing.test_fails"].detail
    assert "number=1" in found["Failing.test_fails_in_part"].detail
    assert found["Failing.test_is_skipped"].outcome == "skipped"


@pytest.mark.slow
def test_an_interpreter_without_the_tests_is_told(tmp_path: Path) -> None:
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "__init__.py").touch()
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); "
    code += "from conformance import suites; list(suites.tests('mp', 'fork'))"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=50)
    assert re.search(r"NoTests: .* install Debian's libpython3\.\d+-testsuite", ended.stderr)


# The list of differences


def result(name: str, outcome: str, method: str = "fork") -> Result:
    return Result("mp", method, name, outcome)


def test_a_listed_difference_is_expected() -> None:
    listed = differences.read("# comment\n\nmp.A.test_*  fork,spawn  because\n")
    assert differences.expected(result("A.test_x", "failed"), listed)
    assert not differences.expected(result("A.test_x", "failed", "forkserver"), listed)
    assert not differences.expected(result("B.test_x", "failed"), listed)
    assert listed[0].stale() == set()
    assert not differences.expected(result("A.test_x", "ok", "spawn"), listed)
    assert listed[0].stale() == {"spawn"}


def test_a_race_may_end_either_way() -> None:
    (listed,) = differences.read(f"mp.A.*  all?@{differences.VERSION}  because")
    assert not differences.expected(result("A.test_x", "ok"), [listed])
    assert listed.stale() == set()
    assert differences.expected(result("A.test_x", "failed"), [listed])


def test_a_difference_of_another_version_does_not_count() -> None:
    listed = differences.read("mp.A.*  all@2.7  because")
    assert not differences.expected(result("A.test_x", "failed"), listed)
    listed = differences.read(f"mp.A.*  all@{differences.VERSION}  because")
    assert differences.expected(result("A.test_x", "failed"), listed)


@pytest.mark.parametrize("line", ["mp.A.*  fork", "mp.A.*  thread  because", "mp.A.*"])
def test_a_bad_line_is_told(line: str) -> None:
    with pytest.raises(ValueError, match=r"differences\.txt:2: .*mp\.A"):
        differences.read("# one\n" + line)


def test_the_list_can_be_read() -> None:
    for one in differences.load():
        assert one.pattern.split(".")[0] in ("mp", "main", "futures", "executor")
        assert len(one.reason) > 20, "a reason that tells something"


# What the tests start


def test_scripts_and_programs_stand_on_procession() -> None:
    python = sys.executable
    assert standing.changed([python, "-X", "dev", "-I", "s.py", "x"], "procession") == (
        [python, "-X", "dev", "-I", "-m", "procession", "run", "s.py", "x"]
    )
    assert standing.changed([python, "-m", "thing"], "procession") == [python, "-m", "procession", "run", "-m", "thing"]
    changed = standing.changed([python, "-c", "print(1)", "x"], "procession")
    assert changed[0::3] == [python, "x"]
    assert changed[2].endswith("\nprint(1)")
    assert "procession.install()" in changed[2]
    assert "procession" not in standing.changed([python, "-c", "print(1)"], "standard")[2].replace(str(ROOT), "")
    assert standing.changed([python, "s.py"], "standard") == [python, "s.py"]
    assert standing.changed(["ls", "-m"], "procession") == ["ls", "-m"]
