"""`Pool.map` with a checkpoint: everything is killed, at forced and at random moments, and the program run again."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import left_behind

import procession
from procession.checkpoint import Checkpoint
from procession.errors import CheckpointFull, CheckpointInUse, CheckpointMismatch, TaskErrors, TaskTimeout, WorkerDied
from procession.pool import Pool
from procession.testing import wait_until

# Squares numbers, noting each call. It kills its whole group when it has read as many of them as its argument says.
PROGRAM = """
import os, signal, sys, time
import procession

def square(number):
    os.write(log, b"%d\\n" % number)
    time.sleep(float(os.environ.get("PAUSE", "0")))
    return number * number

def numbers(until):
    for number in range(300):
        if number == until:
            os.killpg(0, signal.SIGKILL)
        yield number

log = os.open("calls", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
if __name__ == "__main__":
    context = procession.get_context(os.environ.get("METHOD", "fork"))
    with context.Pool(2) as pool:
        found = pool.map(square, numbers(int(sys.argv[1])), checkpoint="c.db")
    print(found == [number * number for number in range(300)])
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "program.py").write_text(PROGRAM)
    yield tmp_path
    assert left_behind(tmp_path) == [], "a process outlived the program"


def start(folder: Path, until: int = -1, **environment: str) -> subprocess.Popen[str]:
    """The program, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "program.py", str(until)],
        cwd=folder,
        env={**os.environ, **environment},
        start_new_session=True,
        stdout=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen[str]) -> int:
    said, _ = process.communicate(timeout=50)
    if process.returncode == 0:
        assert said == "True\n"
    return process.returncode


def calls(folder: Path) -> Counter[int]:
    """How often each item was called since this was asked last."""
    log = folder / "calls"
    found = Counter(map(int, log.read_text().split()))
    log.unlink()
    return found


def journalled(folder: Path) -> set[int]:
    connection = sqlite3.connect(folder / "c.db")
    try:
        return {number for (number,) in connection.execute("SELECT number FROM items")}
    finally:
        connection.close()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_all_killed_after_some_items(method: str, folder: Path) -> None:
    for until in (150, 280):
        assert finished(start(folder, until, METHOD=method)) == -signal.SIGKILL
    calls(folder)
    known = journalled(folder)
    assert known
    assert finished(start(folder, METHOD=method)) == 0
    assert calls(folder) == Counter(set(range(300)) - known), "what was not known, each once"
    assert finished(start(folder, METHOD=method)) == 0
    assert not (folder / "calls").read_text(), "everything is known"


@pytest.mark.slow
def test_all_killed_at_random_moments(folder: Path) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    rng = random.Random(seed)
    kills = 0
    while True:
        process = start(folder, PAUSE="0.005")
        try:
            process.wait(rng.uniform(0.15, 0.6) if kills < 8 else 50)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
        if finished(process) == 0:
            break
        assert finished(process) == -signal.SIGKILL
    assert set(calls(folder)) == set(range(300))
    assert journalled(folder) == set(range(300))
    assert kills


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_end(number: signal.Signals, folder: Path) -> None:
    process = start(folder, PAUSE="0.01")
    log = folder / "calls"
    wait_until(lambda: log.exists() and log.stat().st_size > 200)
    process.send_signal(number)
    assert finished(process) != 0
    known = journalled(folder)
    assert known
    done = calls(folder)
    assert set(done) >= known
    assert finished(start(folder)) == 0
    assert calls(folder) == Counter(set(range(300)) - known)


# In this process


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "c.db")


def call(item: Any) -> Any:
    """Notes the call, and does what the item says."""
    log, what = item
    with open(log, "a") as out:
        out.write(f"{what}\n")
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "raise":
        raise KeyError(what)
    return what


def called(log: str) -> list[str]:
    return Path(log).read_text().split() if os.path.exists(log) else []


def test_a_poison_item_fails_again_without_being_tried(fork_pool: Pool, path: str) -> None:
    log = path + ".log"
    items = [(log, "one"), (log, "die"), (log, "two"), (log, "raise"), (log, "three")]
    for attempt in range(2):
        with pytest.raises(WorkerDied) as caught:
            fork_pool.map(call, items, checkpoint=path)
        assert caught.value.signal == "SIGKILL"
        assert any("in an earlier run" in note for note in caught.value.__notes__) is bool(attempt)
        assert sorted(called(log)) == ["die", "one", "raise", "three", "two"]
    with pytest.raises(WorkerDied):
        fork_pool.map(call, items, checkpoint=Checkpoint(path, retry_failed=True))
    assert sorted(called(log)) == ["die", "die", "one", "raise", "raise", "three", "two"]


def test_another_function_and_other_items(pool: Pool, path: str) -> None:
    assert pool.map(abs, [-1, -2], checkpoint=path) == [1, 2]
    with pytest.raises(CheckpointMismatch, match=r"another function: builtins.abs, not builtins.str"):
        pool.map(str, [-1, -2], checkpoint=path)
    with pytest.raises(CheckpointMismatch, match="item 1 is not"):
        pool.map(abs, [-1, -3], checkpoint=path)
    with pytest.raises(CheckpointMismatch, match="another call: map, not starmap"):
        pool.starmap(abs, [(-1,), (-2,)], checkpoint=path)
    assert pool.map(str, [-1, -2], checkpoint=Checkpoint(path, reset=True)) == ["-1", "-2"]
    assert pool.map(str, [-1, -2], checkpoint=path) == ["-1", "-2"], "reset once, it goes on as any other"


def test_starmap_and_the_end_of_the_input(pool: Pool, path: str) -> None:
    assert pool.starmap(pow, [(2, 3), (3, 2)], checkpoint=path) == [8, 9]
    checkpoint = Checkpoint(path)
    assert pool.starmap(pow, iter([(2, 3), (3, 2), (1, 1)]), checkpoint=checkpoint) == [8, 9, 1]
    statistics = checkpoint.statistics()
    assert statistics is not None
    assert (statistics.resumed, statistics.written) == (2, 1)
    assert pool.map(abs, [], checkpoint=path + "2") == []


def test_one_at_a_time(pool: Pool, path: str) -> None:
    def items() -> Iterator[int]:
        yield 1
        with pytest.raises(CheckpointInUse, match="this process is using"):
            pool.map(abs, [1], checkpoint=path)
        yield 2

    assert pool.map(abs, items(), checkpoint=path) == [1, 2]


def test_a_full_disk(fork_pool: Pool, small_disk: Path) -> None:
    path = str(small_disk / "c.db")
    with pytest.raises(CheckpointFull):
        fork_pool.map(bytes, range(1000, 1900), checkpoint=path)
    subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)
    checkpoint = Checkpoint(path)
    assert fork_pool.map(bytes, range(1000, 1900), checkpoint=checkpoint) == [bytes(n) for n in range(1000, 1900)]
    statistics = checkpoint.statistics()
    assert statistics is not None
    assert statistics.resumed > 100
    assert statistics.resumed + statistics.written == 900


def test_nothing_of_it_is_loaded_without_a_checkpoint() -> None:
    program = (
        "import sys, procession\n"
        "with procession.get_context('fork').Pool(1) as pool: pool.map(abs, [1])\n"
        "print('sqlite3' in sys.modules, 'procession.checkpoint' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"


def test_what_the_package_calls_it() -> None:
    assert procession.checkpoint.Checkpoint is Checkpoint
    assert repr(Checkpoint) == "<class 'procession.checkpoint.Checkpoint'>"


def test_all_failures_at_once(fork_pool: Pool, path: str) -> None:
    log = path + ".log"
    items = [(log, "one"), (log, "raise"), (log, "two")]
    for _ in range(2):
        with pytest.raises(TaskErrors, match=r"1 of 3 calls of call failed") as caught:
            fork_pool.map(call, items, checkpoint=path, on_error="group")
        assert caught.value.results is not None
        assert [caught.value.results[0], caught.value.results[2]] == ["one", "two"]
        assert isinstance(caught.value.exceptions[0], KeyError)
    found = fork_pool.map(call, items, checkpoint=path, return_exceptions=True)
    assert isinstance(found[1], KeyError)
    assert sorted(called(log)) == ["one", "raise", "two"]


def test_limits_hold_with_a_checkpoint(fork_pool: Pool, path: str) -> None:
    found = fork_pool.map(time.sleep, [0, 60, 0], timeout=0.1, return_exceptions=True, checkpoint=path)
    assert [found[0], found[2]] == [None, None]
    assert isinstance(found[1], TaskTimeout)
    again = fork_pool.map(time.sleep, [0, 60, 0], return_exceptions=True, checkpoint=path)
    assert isinstance(again[1], TaskTimeout)
    assert again[1].timeout_s == 0.1
