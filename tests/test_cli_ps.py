"""`procession ps` as its users see it: tables, JSON, errors."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from test_registry import EVERYTHING, HOLDER, HUNG, running

import procession
from procession import _registry
from procession.cli.listing import listing, shown_time
from procession.progress import words
from procession.testing import wait_until

PATIENCE_S = 20


def ps(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "procession", "ps", *map(str, arguments)]
    env = {**os.environ, "COLUMNS": "80", **environment}
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=PATIENCE_S, check=False)


def told(answer: subprocess.CompletedProcess[str]) -> str:
    assert answer.stderr == ""
    assert answer.returncode == 0
    assert "\x1b" not in answer.stdout
    assert max(map(len, answer.stdout.splitlines())) <= 80
    return answer.stdout


def line_of(text: str, *words: str) -> str:
    """The one line that has all these words."""
    (found,) = [line for line in text.splitlines() if all(word in line for word in words)]
    return found


@pytest.mark.slow
def test_a_deadlock_can_be_read_off(tmp_path: Path) -> None:
    with running(tmp_path, HUNG, "fork") as program:

        def complete() -> bool:
            seen = _registry.program(program.pid).processes
            return all(process.threads[0].waits and process.threads[0].waits.site for process in seen)

        wait_until(complete, timeout=PATIENCE_S)
        text = told(ps(program.pid))
        pids = {process.name: process.pid for process in _registry.program(program.pid).processes}
        assert text.splitlines()[1].startswith(f"process {program.pid}, runs for ")
        assert line_of(text, "MainProcess").split()[:6] == [
            str(program.pid), "MainProcess", "join", "one", str(pids["one"]), "at"
        ]  # fmt: skip
        flat = " ".join(text.split())
        assert re.search(rf"acquire bob at program.py:7, [0-9.]+ s;? held by two {pids['two']} ", flat)
        assert re.search(rf"acquire alice at program.py:7, [0-9.]+ s;? held by one {pids['one']} ", flat)
        assert "get orders at program.py:11" in line_of(text, "consumer")
        assert f"held by one {pids['one']} for" in line_of(text, "alice ", "1 waiting")


@pytest.mark.slow
def test_everything_is_in_the_table_and_in_json(tmp_path: Path) -> None:
    with running(tmp_path, EVERYTHING, "fork") as program:
        text = told(ps(program.pid))
        assert "held by MainProcess" in line_of(text, "accounts ", "1 waiting")
        assert "1 items" in line_of(text, "orders ")
        assert "2.5 (d)" in line_of(text, "Value at program.py:13")
        assert "10 of 'i'" in line_of(text, "Array at program.py:13")
        assert "2 of 3 free" in line_of(text, "BoundedSemaphore at program.py:14 ")
        assert "0 of 2 here" in line_of(text, "Barrier at program.py:14")
        assert "RLock of Value" not in text
        assert "inside others are not shown" in text
        assert "RLock of Value" in told(ps(program.pid, "--all"))

        (found,) = json.loads(ps(program.pid, "--json").stdout)
        assert found["pid"] == program.pid
        (lock,) = [one for one in found["objects"] if one["given"] == "accounts"]
        assert lock["owner"]["pid"] == program.pid
        assert lock["statistics"]["waiters"] == 1

        everybody = ps()
        assert everybody.returncode == 0
        assert f"process {program.pid}, runs for" in everybody.stdout
        assert program.pid in [one["pid"] for one in json.loads(ps("--json").stdout)]


@pytest.mark.slow
def test_a_dead_holder_is_called_dead(tmp_path: Path) -> None:
    with running(tmp_path, HOLDER) as program:
        text = told(ps(program.pid))
        assert "dead, still holds 1" in text
        assert "(dead)" in line_of(text, "held by the dead ")


@pytest.mark.parametrize("width", [40, 60, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    context = procession.get_context("fork")
    lock, queue = context.Lock(), context.Queue()
    lock.name, queue.name = "a very long name " * 5, "\x1b[31mnot red\n"
    with lock:
        lines = listing(_registry.program(os.getpid()), width=width)
    assert max(len(text) for _, text in lines) <= width
    assert not any("\x1b" in text or "\n" in text for _, text in lines)
    assert any("?[31mnot red?" in text for _, text in lines)


def test_wide_characters_keep_the_columns() -> None:
    wide, narrow = procession.Lock(), procession.Lock()
    wide.name, narrow.name = "漢字" * 20, "x"
    seen = _registry.program(os.getpid())
    both = {wide.address, narrow.address}
    seen = replace(seen, objects=tuple(one for one in seen.objects if one.address in both))
    lines = [text for _, text in listing(seen) if text.endswith("free, 0 times taken")]
    assert len(lines) == 2
    assert len({words.width(text) for text in lines}) == 1


def test_what_is_alike_is_one_line() -> None:
    locks = [procession.Lock() for _ in range(1000)]
    seen = _registry.program(os.getpid())
    mine = {lock.address for lock in locks}
    seen = replace(seen, objects=tuple(one for one in seen.objects if one.address in mine))
    (line,) = [text for _, text in listing(seen) if "Lock at" in text]
    assert line.startswith("1000 x Lock at test_cli_ps.py:")
    assert line.endswith("free, 0 times taken")
    assert sum("Lock at" in text for _, text in listing(seen, everything=True)) == 1000


def test_a_long_list_is_cut_short() -> None:
    locks = [procession.Lock() for _ in range(30)]
    for number, lock in enumerate(locks):
        lock.name = f"lock {number:02}"
    seen = _registry.program(os.getpid())
    mine = {lock.address for lock in locks}
    seen = replace(seen, objects=tuple(one for one in seen.objects if one.address in mine))
    lines = [text for _, text in listing(seen)]
    assert "and 10 more (--all shows them)" in lines
    assert "lock 19" in "".join(lines)
    assert "lock 20" not in "".join(lines)


def test_many_dead_are_counted() -> None:
    lock = procession.Lock()
    with lock:
        seen = _registry.program(os.getpid())
    (mine,) = [one for one in seen.objects if one.address == lock.address]
    mine = replace(mine, owner=_registry.OwnerInfo(70_001, 1, "one", None))
    dead = tuple(_registry.ProcessInfo(70_000 + each, 0, f"worker-{each}", 0.0, False, ()) for each in range(90))
    seen = replace(seen, processes=(*seen.processes[:1], *dead), objects=(mine,))
    text = "\n".join(line for _, line in listing(seen))
    assert "   70001 worker-1         dead, still holds 1" in text
    assert text.count(" dead") == 2  # he, and their number
    assert "and 89 that are dead and hold nothing (--all shows them)" in text
    assert sum(" dead" in line for _, line in listing(seen, everything=True)) == 90


def test_a_pool_with_its_workers() -> None:
    with procession.get_context("fork").Pool(2) as pool:
        pool.name = "the pool"
        assert pool.apply(abs, (-2,)) == 2
        wait_until(lambda: _registry.program(os.getpid()).pools[-1].done == 1)
        text = "\n".join(text for _, text in listing(_registry.program(os.getpid())))
        assert "POOL the pool" in text
        assert "2 workers (fork) of abs" in text
        assert "tasks: 1 done, 0 running, 0 waiting" in text


def test_errors_say_what_is_wrong() -> None:
    child = subprocess.Popen(["sleep", "600"])
    try:
        answer = ps(child.pid)
        assert answer.returncode == 1
        assert answer.stdout == ""
        assert answer.stderr.startswith(f"procession: process {child.pid} shares nothing through procession (yet)")
    finally:
        child.kill()
        child.wait()
    answer = ps(child.pid)
    assert (answer.returncode, answer.stderr) == (1, f"procession: there is no process {child.pid}\n")
    assert ps("twelve").returncode == 2


def test_times() -> None:
    shown = [shown_time(seconds) for seconds in (0.04, 9.9, 12.3, 3, 187, 8100, 3 * 86400.0, -1.0)]
    assert shown == ["0.0 s", "9.9 s", "12 s", "3 s", "3:07", "2:15:00", "3 days", "0 s"]
