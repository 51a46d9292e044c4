"""`procession map --checkpoint`: killed as a whole, and given again."""

from __future__ import annotations

import json
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

FUNCTIONS = """
import os, pathlib, signal, time

def noted(value):
    with open("calls", "a") as log:
        log.write(f"{value}\\n")
    return [value, "é" * (value % 7)]

def slow(value):
    time.sleep(0.004)
    return noted(value)

def kills_all_at_150(value):
    if value == 150 and not os.path.exists("killed"):
        pathlib.Path("killed").touch()
        os.killpg(0, signal.SIGKILL)
    return slow(value)

def poison(value):
    noted(value)
    if value == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    if value == 4:
        raise KeyError(value)
    return value

def limited(value):
    noted(value)
    if value == 2:
        time.sleep(60)
    if value == 3:
        held = bytearray(400 << 20)
        time.sleep(60)
    if value == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return value
"""
LINES = "".join(f"{number}\n" for number in range(300))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "fn.py").write_text(FUNCTIONS)
    (tmp_path / "in").write_text(LINES)
    yield tmp_path
    assert left_behind(tmp_path) == [], "a process outlived the command"


def start(folder: Path, function: str, *arguments: str) -> subprocess.Popen[bytes]:
    """The command from `in` to `out`, in a process group of its own."""
    command = [*COMMAND, "map", f"fn.py:{function}", "--checkpoint", "c.db", "--workers", "2", *arguments]
    with open(folder / "in", "rb") as source, open(folder / "out", "wb") as out:
        return subprocess.Popen(
            command, cwd=folder, stdin=source, stdout=out, stderr=subprocess.PIPE, start_new_session=True
        )


def finish(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    _, said = process.communicate(timeout=50)
    return process.returncode, said.decode()


def uninterrupted(folder: Path, function: str) -> bytes:
    """What the output is to be."""
    done = subprocess.run(
        [*COMMAND, "map", f"fn.py:{function}"], cwd=folder, input=LINES.encode(), capture_output=True, check=True
    )
    (folder / "calls").unlink()
    return done.stdout


def calls(folder: Path) -> Counter[int]:
    log = folder / "calls"
    found = Counter(map(int, log.read_text().split())) if log.exists() else Counter()
    log.unlink(missing_ok=True)
    return found


def journalled(folder: Path) -> set[int]:
    """The values whose lines are done: line 1 has 0."""
    connection = sqlite3.connect(folder / "c.db")
    try:
        return {number - 1 for (number,) in connection.execute("SELECT number FROM items")}
    finally:
        connection.close()


@pytest.mark.parametrize("arguments", [[], ["--unordered"]])
def test_killed_in_the_middle_and_given_again(arguments: list[str], folder: Path) -> None:
    wanted = uninterrupted(folder, "noted")
    code, _ = finish(start(folder, "kills_all_at_150", *arguments))
    assert code == -signal.SIGKILL
    known = journalled(folder)
    assert known
    calls(folder)
    code, said = finish(start(folder, "kills_all_at_150", *arguments))
    assert code == 0, said
    assert said == f"{len(known)} lines of 300 known from c.db\n"
    assert calls(folder) == Counter(set(range(300)) - known)
    written = (folder / "out").read_bytes()
    assert sorted(written.splitlines()) == sorted(wanted.splitlines())
    if not arguments:
        assert written == wanted
    assert finish(start(folder, "kills_all_at_150", *arguments)) == (0, "300 lines of 300 known from c.db\n")
    assert calls(folder) == Counter()
    assert sorted((folder / "out").read_bytes().splitlines()) == sorted(wanted.splitlines())


def test_killed_at_random_moments(folder: Path) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    rng = random.Random(seed)
    wanted = uninterrupted(folder, "noted")
    for ended in (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        process = start(folder, "slow")
        try:
            process.wait(rng.uniform(0.25, 0.6))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, ended)
        finish(process)
    code, said = finish(start(folder, "slow"))
    assert code == 0, said
    assert (folder / "out").read_bytes() == wanted
    assert journalled(folder) == set(range(300))


def test_a_poison_line_is_told_of_and_not_tried_again(folder: Path) -> None:
    def run(*arguments: str) -> tuple[int, str, str]:
        done = procession(
            "map", "fn.py:poison", "--checkpoint", "c.db", *arguments, cwd=folder, input="1\n2\n3\n4\n5\n"
        )
        return done.returncode, done.stdout, done.stderr.splitlines()[-1]

    code, out, said = run("--on-error", "null")
    assert (code, out) == (0, "1\nnull\n3\nnull\n5\n")
    assert said.startswith("2 of 5 lines failed; line 2: its worker (pid ")
    assert said.endswith("was killed by SIGKILL")
    assert calls(folder) == Counter([1, 2, 3, 4, 5])
    code, out, said = run("--on-error", "skip")
    assert (code, out) == (0, "1\n3\n5\n")
    assert said.endswith("was killed by SIGKILL (in an earlier run; --retry-failed tries it again)")
    code, out, said = run()
    assert (code, out) == (1, "1\n")
    assert said.startswith("procession: line 2: its worker")
    assert calls(folder) == Counter()
    code, out, _ = run("--retry-failed", "--on-error", "skip")
    assert (code, out) == (0, "1\n3\n5\n")
    assert calls(folder) == Counter([2, 4])


def test_the_line_that_ends_a_run_is_known_too(folder: Path) -> None:
    for attempt, told in enumerate(("", " (in an earlier run; --retry-failed tries it again)")):
        done = procession("map", "fn.py:poison", "--checkpoint", "c.db", cwd=folder, input="1\n4\n")
        assert (done.returncode, done.stdout) == (1, "1\n")
        assert done.stderr.splitlines()[-1] == f"procession: line 2: KeyError: 4{told}"
        assert "KeyError: 4" in done.stderr.splitlines()[-2], "the traceback"
        assert calls(folder) == (Counter() if attempt else Counter([1, 4]))


def test_more_lines_and_a_line_without_its_end(folder: Path) -> None:
    assert procession("map", "math:sqrt", "--checkpoint", "c", cwd=folder, input="1\n4").stdout == "1.0\n2.0\n"
    done = procession("map", "math:sqrt", "--checkpoint", "c", cwd=folder, input="1\n4\n\n9\n")
    assert (done.stdout, done.stderr) == ("1.0\n2.0\n3.0\n", "2 lines of 4 known from c\n")


def test_what_is_refused(folder: Path) -> None:
    procession("map", "math:sqrt", "--checkpoint", "c", cwd=folder, input="1\n4\n")
    cases: list[tuple[list[str], str, int, str]] = [
        (["math:cos"], "1\n", 2, "c: the checkpoint is for another function: math.sqrt, not math.cos; name another"),
        (["math:sqrt"], "2\n", 2, "c: line 1 is not what it was when the checkpoint was written"),
        (["math:sqrt"], "1\n", 2, "c: there are 1 lines, and there were more: line 2 was done"),
        (["math:sqrt", "--checkpoint", "fn.py"], "1\n", 2, "fn.py: this file is not a checkpoint; name another"),
        (["math:sqrt", "--checkpoint", "no/c"], "1\n", 1, "no/c: the checkpoint cannot be opened or made"),
    ]
    for arguments, text, code, says in cases:
        done = procession("map", "--checkpoint", "c", *arguments, cwd=folder, input=text)
        assert done.returncode == code, done.stderr
        assert says in done.stderr.splitlines()[-1]
        assert len(done.stderr.splitlines()) == 1


def test_limits(folder: Path) -> None:
    limits = ["--timeout", "0.5", "--memory-limit", "100M", "--retries", "1", "--on-error", "null", "--workers", "1"]
    done = procession("map", "fn.py:limited", *limits, "--checkpoint", "c.db", cwd=folder, input="1\n2\n3\n4\n5\n")
    assert (done.returncode, done.stdout) == (0, "1\nnull\nnull\nnull\n5\n")
    assert calls(folder) == Counter([1, 2, 2, 3, 3, 4, 4, 5]), "each that ended its worker was tried once again"
    connection = sqlite3.connect(folder / "c.db")
    try:
        said = [
            json.loads(payload)[1] for (payload,) in connection.execute("SELECT payload FROM items WHERE status = 2")
        ]
    finally:
        connection.close()
    assert said[0].startswith("took longer than 0.5 s")
    assert " of memory, and 100 MiB was the limit" in said[1]
    assert said[2].endswith("was killed by SIGKILL")


def test_begun_anew(folder: Path) -> None:
    procession("map", "math:sqrt", "--checkpoint", "c", cwd=folder, input="1\n4\n")
    done = procession("map", "math:cos", "--checkpoint", "c", "--checkpoint-reset", cwd=folder, input="0\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "1.0\n", "")
    done = procession("map", "math:cos", "--checkpoint-reset", cwd=folder, input="0\n")
    assert (done.returncode, done.stderr.split()[-3:]) == (2, ["need", "--checkpoint", "PATH"])


def test_output_that_is_appended_to_is_refused(folder: Path) -> None:
    with open(folder / "out", "a") as out:
        for code in (0, 2):
            done = subprocess.run(
                [*COMMAND, "map", "math:sqrt", "--checkpoint", "c"],
                cwd=folder,
                input=b"1\n",
                stdout=out,
                stderr=subprocess.PIPE,
                timeout=50,
            )
            assert done.returncode == code
    assert (folder / "out").read_text() == "1.0\n"
    assert b"use > instead" in done.stderr


def test_two_at_once(folder: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "map", "math:sqrt", "--checkpoint", "c"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as first:
        assert first.stdin is not None
        assert first.stdout is not None
        first.stdin.write(b"4\n")
        first.stdin.flush()
        assert first.stdout.readline() == b"2.0\n"
        done = procession("map", "math:sqrt", "--checkpoint", "c", cwd=folder, input="4\n")
        assert (done.returncode, done.stdout) == (1, "")
        assert f"c: process {first.pid} is using this checkpoint now" in done.stderr
        first.stdin.close()
        assert first.wait(50) == 0
