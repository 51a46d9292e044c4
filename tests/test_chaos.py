"""Chaos: deaths and delays at steps of the shared memory, by seed; and what it must not touch."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import procession
from procession import _chaos
from procession.testing import chaos, steps


def put_many(queue: Any, count: int) -> None:
    for number in range(count):
        queue.put(number)


def died_at(log: Path) -> list[list[str]]:
    """Deed and step of each line, in the order in which the processes were started."""
    lines = [line.split() for line in log.read_text().splitlines()]
    assert all(len(line) == 5 and line[4].startswith("crates/core/src/") for line in lines), lines
    return [line[1:4] for line in sorted(lines, key=lambda line: int(line[0]))]


def one_after_another(context: Any, seed: int, log: Path, deeds: str = "kill", count: int = 2000) -> list[int]:
    queue = context.Queue()
    codes = []
    with chaos(seed, 0.01, deeds, log):
        for _ in range(3):
            child = context.Process(target=put_many, args=(queue, count))
            child.start()
            child.join()
            codes.append(child.exitcode)
            child.close()
    return codes


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_the_same_seed_kills_at_the_same_steps(method: str, tmp_path: Path) -> None:
    context = procession.get_context(method)
    for name, seed in (("first", 7), ("again", 7), ("other", 8)):
        assert one_after_another(context, seed, tmp_path / name) == [-signal.SIGKILL] * 3
    first, again, other = (died_at(tmp_path / name) for name in ("first", "again", "other"))
    assert first == again
    assert first != other
    assert len({step for _, _, step in first}) > 1, "each process draws for itself"


def test_delays_end_nobody(tmp_path: Path) -> None:
    context = procession.get_context("fork")
    assert one_after_another(context, 3, tmp_path / "log", "delay", 200) == [0, 0, 0]
    assert {deed for deed, _, _ in died_at(tmp_path / "log")} == {"delay"}


def test_who_asked_for_it_and_who_comes_later_are_spared() -> None:
    queue: Any = procession.Queue()
    with chaos(1, 1.0, "kill"):
        put_many(queue, 100)
        child = procession.Process(target=put_many, args=(queue, 1))
        child.start()
        child.join()
        assert child.exitcode == -signal.SIGKILL
    child = procession.Process(target=put_many, args=(queue, 1))
    child.start()
    child.join()
    assert child.exitcode == 0
    assert _chaos.VARIABLE not in os.environ


PROGRAM = """
import procession

def work(queue):
    for number in range(20_000):
        queue.put(number)

if __name__ == "__main__":
    queue = procession.Queue()
    for number in range(20_000):
        queue.put(number)
    child = procession.Process(target=work, args=(queue,))
    child.start()
    child.join()
    print(queue.qsize() >= 20_000, child.exitcode)
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_program_is_spared_and_its_children_are_not(method: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.replace("    queue =", f"    procession.set_start_method({method!r})\n    queue =", 1))
    log = tmp_path / "log"
    environment = {**os.environ, "PROCESSION_CHAOS": "5:0.001:kill", "PROCESSION_CHAOS_LOG": str(log)}
    command = [sys.executable, "-W", "error", str(program)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=50)
    assert (done.stdout, done.stderr) == ("True -9\n", "")
    assert len(died_at(log)) == 1
    assert log.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["7", "x:0.1", "7:2", "7:0.1:maim", "-1:0.1", "7:0.1:kill:1:1", "7:nan"])
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="PROCESSION_CHAOS must be seed:rate"):
        _chaos.orders({_chaos.VARIABLE: text})


def test_what_the_variables_say() -> None:
    assert _chaos.orders({}) is None
    assert _chaos.orders({_chaos.VARIABLE: "7:0.5"}) == ((7, 0.5, 3, None), None)
    log = {_chaos.LOG_VARIABLE: "/some/log"}
    assert _chaos.orders({_chaos.VARIABLE: "7:0.5:delay:4", **log}) == ((7, 0.5, 2, b"/some/log"), 4)
    assert _chaos.claimed("7:0.5", 4) == _chaos.claimed("7:0.5:both", 4) == "7:0.5:both:4"


def test_the_variables_are_not_read_before_there_is_an_arena() -> None:
    environment = {**os.environ, "PROCESSION_CHAOS": "nonsense"}

    def run(code: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=50)

    assert run("import procession").returncode == 0
    assert "PROCESSION_CHAOS must be" in run("import procession; procession.Lock()").stderr


def forked(work: Callable[[], object]) -> int:
    """Run `work` in a forked child; its exit code."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_steps_are_counted_and_died_at() -> None:
    queue: Any = procession.Queue()
    queue.put("storage there is")
    with steps() as counted:
        queue.put(1)
    assert counted.count > 2

    def die(step: int) -> None:
        with steps(die_at=step):
            queue.put(2)

    assert forked(lambda: die(counted.count)) == -signal.SIGKILL
    assert forked(lambda: die(counted.count + 1)) == 0
    with steps() as nothing:
        pass
    assert nothing.count == 0
