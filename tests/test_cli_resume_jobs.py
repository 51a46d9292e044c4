"""`procession mapreduce`: workers killed, and with --checkpoint everything killed and the command given again."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import COMMAND, left_behind, procession

pytestmark = pytest.mark.slow  # each starts the command, most of them several times

JOBS = """
import os, pathlib, signal, time

first_size = None

def has_grown():
    # Whether the journal has more in it than when this process first looked: a share has returned.
    global first_size
    size = os.path.getsize("c.db-wal")
    first_size = first_size or size
    return size > first_size

class Base:
    def __init__(self, whom: str = "", times: int = 1):
        self.whom, self.times = whom, times

    def begin(self, text):
        with open("calls", "a") as log:
            log.write(f"{text.path}\\n")
        time.sleep(0.01)
        if self.whom == "all" and not os.path.exists("killed") and has_grown():
            pathlib.Path("killed").touch()
            os.killpg(0, signal.SIGKILL)
        if self.whom == "worker" and "17" in text.path:
            marks = list(pathlib.Path().glob("killed*"))
            if len(marks) < self.times:
                pathlib.Path(f"killed{len(marks)}").touch()
                os.kill(os.getpid(), signal.SIGKILL)

class Longest(Base):
    def map(self, text):
        self.begin(text)
        return max((len(line), line) for line in text.splitlines())

    def reduce(self, left, right):
        return max(left, right)

def numbers(text):
    for line in text.splitlines():
        for word in line.split():
            yield word[:1], int(word[1:])

class Mean(Base):
    reduce = "mean"

    def map(self, text):
        self.begin(text)
        return [(key, value / 7) for key, value in numbers(text)]

class List(Base):
    reduce = "list"

    def map(self, text):
        self.begin(text)
        return list(numbers(text))

class Own(Base):
    keyed = True

    def map(self, text):
        self.begin(text)
        return list(numbers(text))

    def reduce(self, key, values):
        return sum(values[1::2]) - values[0]
"""
FILES = 24


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "jobs.py").write_text(JOBS)
    rng = random.Random(5)
    (tmp_path / "text").mkdir()
    for number in range(FILES):  # as large as the smallest piece, so that each is one
        lines = (" ".join(f"{rng.choice('abcdef')}{rng.randrange(1000)}" for _ in range(20)) for _ in range(800))
        (tmp_path / "text" / f"{number:02}.txt").write_text("\n".join(lines) + "\n")
    yield tmp_path
    assert left_behind(tmp_path) == [], "a process outlived the command"


def run(folder: Path, job: str, *arguments: str, whom: str = "", times: int = 1) -> tuple[int, str, list[str]]:
    """The command, in a process group of its own; exit code, output, what it said."""
    given = ["--format", "json", "--workers", "2", "--set", f"whom={whom}", "--set", f"times={times}", *arguments]
    done = subprocess.run(
        [*COMMAND, "mapreduce", f"jobs.py:{job}", "text", *given],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=50,
        start_new_session=True,
    )
    return done.returncode, done.stdout, done.stderr.splitlines()


def calls(folder: Path) -> Counter[str]:
    """How often each file was mapped since this was asked last."""
    log = folder / "calls"
    found = Counter(log.read_text().split()) if log.exists() else Counter()
    log.unlink(missing_ok=True)
    return found


def journalled(folder: Path) -> int:
    connection = sqlite3.connect(folder / "c.db")
    try:
        count: int = connection.execute("SELECT count(*) FROM items").fetchone()[0]
        return count
    finally:
        connection.close()


KEPT = ["--checkpoint", "c.db", "--checkpoint-interval", "0.02"]


_answers: dict[str, str] = {}


def wanted(folder: Path, job: str) -> str:
    """What an uninterrupted run says: the texts are the same in each test."""
    if job not in _answers:
        code, _answers[job], _ = run(folder, job)
        assert code == 0
        assert sorted(calls(folder).values()) == [1] * FILES
    return _answers[job]


@pytest.mark.parametrize("job", ["Longest", "Mean", "List"])
def test_all_killed_and_given_again(job: str, folder: Path) -> None:
    answer = wanted(folder, job)
    code, _, _ = run(folder, job, *KEPT, whom="all")
    assert code == -signal.SIGKILL
    done = journalled(folder)
    assert done, "some shares had returned"
    before = calls(folder)
    code, found, said = run(folder, job, *KEPT, whom="all")
    assert code == 0, said
    assert said[0].startswith(f"{done} of ")
    assert found == answer
    after = calls(folder)
    assert set(after.values()) == {1}
    assert len(after) < FILES
    assert set(before) | set(after) == {f"text/{number:02}.txt" for number in range(FILES)}
    code, found, said = run(folder, job, *KEPT, "--workers", "3", whom="all")
    assert (code, found) == (0, answer)
    assert calls(folder) == Counter()


@pytest.mark.parametrize(("job", "arguments"), [("Longest", []), ("List", KEPT)])
def test_a_worker_that_dies_costs_nothing_but_time(job: str, arguments: list[str], folder: Path) -> None:
    answer = wanted(folder, job)
    code, found, said = run(folder, job, *arguments, whom="worker")
    assert code == 0, said
    assert found == answer
    assert calls(folder)["text/17.txt"] == 2


def test_a_piece_that_kills_every_worker(folder: Path) -> None:
    code, _, said = run(folder, "Longest", whom="worker", times=9)
    assert code == 1
    assert "was killed by SIGKILL while working on jobs.py:Longest.map(text/" in said[-1]
    assert calls(folder)["text/17.txt"] == 2
    code, _, said = run(folder, "Longest", "--retries", "9", whom="worker", times=9)
    assert code == 0, said


def test_a_checkpoint_of_something_else(folder: Path) -> None:
    assert run(folder, "List", *KEPT)[0] == 0
    calls(folder)
    refused = {
        "the checkpoint is for another job": run(folder, "Longest", *KEPT),
        "the checkpoint is for another errors: strict, not replace": run(folder, "List", "--errors", "replace", *KEPT),
        "the checkpoint is for another arguments": run(folder, "List", *KEPT, times=2),
    }
    os.utime(folder / "text" / "03.txt", (1, 1))
    refused[" is not what it was when the checkpoint was written"] = run(folder, "List", *KEPT)
    for says, (code, out, said) in refused.items():
        assert (code, out) == (2, ""), said
        assert says in said[-1]
    assert calls(folder) == Counter()
    code, _, said = run(folder, "Longest", *KEPT, "--checkpoint-reset")
    assert code == 0, said
    assert len(calls(folder)) == FILES
    assert list(folder.glob("c.db.*")) == [], "the runs of the other job are gone"


def test_runs_that_are_gone(folder: Path) -> None:
    small = ["mapreduce", "wordcount", "text/00.txt", *KEPT]
    assert procession(*small, cwd=folder).returncode == 0
    (folder / "c.db.runs-1").unlink()
    done = procession(*small, cwd=folder)
    code, said = done.returncode, done.stderr.splitlines()
    assert code == 1
    assert "c.db.runs-1: this part of the checkpoint cannot be opened" in said[-1]


def test_standard_input_is_refused(folder: Path) -> None:
    done = procession("mapreduce", "wordcount", "-", "--checkpoint", "c.db", cwd=folder, input="a")
    assert done.returncode == 2
    assert "a checkpoint needs files to come back to" in done.stderr
