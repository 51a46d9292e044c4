"""The command as a user meets it: real processes, real files, a real terminal."""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
import pty
import random
import re
import select
import signal
import subprocess
import termios
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import COMMAND, complaint, left_behind, procession

# A job that says it has begun and then never ends: what an interrupt meets.
ENDLESS = """
import os, threading

class Endless:
    def map(self, text):
        os.write(2, b"begun\\n")
        threading.Event().wait()

    def reduce(self, left, right):
        return left
"""

FAILING = """
import os, signal

class Raises:
    def map(self, text):
        raise KeyError("not in the table")

    def reduce(self, left, right):
        return left

class Dies(Raises):
    def map(self, text):
        os.kill(os.getpid(), signal.SIGKILL)
"""


def words_of(text: str) -> list[str]:
    """The words of a text, found letter by letter: an independent way to what the job should find."""
    return "".join(char if char.isalpha() else " " for char in text.lower()).split()


@pytest.fixture
def corpus(tmp_path: Path) -> Iterator[Path]:
    """A folder with text in a few files below `text`."""
    rng = random.Random(11)
    words = [f"mot{number}é" for number in range(500)]
    for name, lines in (("text/large.txt", 20_000), ("text/sub/small.txt", 20), ("text/empty.txt", 0)):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text("".join(" ".join(rng.choices(words, k=5)) + "\n" for _ in range(lines)))
    (tmp_path / "text" / "binary").write_bytes(b"\0" * 100)
    yield tmp_path
    assert left_behind(tmp_path) == [], "a process outlived the command"


def expected(folder: Path) -> Counter[str]:
    return Counter(word for path in folder.rglob("*.txt") for word in words_of(path.read_text()))


@pytest.mark.parametrize("context", ["fork", "spawn", "forkserver", "thread"])
def test_word_count(context: str, corpus: Path) -> None:
    done = procession(
        "mapreduce", "wordcount", "text", "--format", "csv", "--context", context, "--workers", "2", cwd=corpus
    )
    assert done.returncode == 0, done.stderr
    header, *records = csv.reader(io.StringIO(done.stdout))
    assert header == ["word", "count"]
    assert {word: int(count) for word, count in records} == expected(corpus)
    assert [int(count) for _, count in records] == sorted((int(count) for _, count in records), reverse=True)
    assert done.stderr.startswith("3 files (1 binary left out)")
    assert done.stderr.count("\n") == 2, "a summary of two lines, and no progress without a terminal"
    assert re.search(r"^CPU \d+\.\d\d s, \d+\.\d\d [×x] one core; peak memory [\d.]+ MiB; ", done.stderr, re.MULTILINE)


def test_formats_top_and_output(corpus: Path) -> None:
    top = expected(corpus).most_common(3)
    done = procession("mapreduce", "wordcount", "text/**/*.txt", "--top", "3", cwd=corpus)
    assert [line.split()[1].replace(",", "") for line in done.stdout.splitlines()[2:]] == [str(n) for _, n in top]
    done = procession(
        "mapreduce", "wordcount", "text", "--top", "3", "--format", "json", "--output", "out.json", cwd=corpus
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert [row["count"] for row in json.loads((corpus / "out.json").read_text())] == [count for _, count in top]
    assert [path.name for path in corpus.iterdir() if path.name.startswith(".procession")] == []


def test_standard_input_and_comparison(corpus: Path) -> None:
    text = (corpus / "text" / "large.txt").read_text()
    done = procession("mapreduce", "wordcount", "-", "--format", "json", cwd=corpus, input=text)
    assert {row["word"]: row["count"] for row in json.loads(done.stdout)} == Counter(words_of(text))
    done = procession("mapreduce", "wordcount", "text", "--compare", cwd=corpus)
    assert done.returncode == 0
    assert "the same answer; speed-up" in done.stderr


def test_version(tmp_path: Path) -> None:
    assert procession("--version", cwd=tmp_path).stdout.startswith("procession 0.")


def test_the_job_of_the_help_runs(corpus: Path) -> None:
    shown = procession("mapreduce", "--help", cwd=corpus).stdout
    start, end = shown.index("    class LongestLine"), shown.index("On a cluster")
    (corpus / "longest.py").write_text("if True:\n" + shown[start:end])
    done = procession("mapreduce", "longest.py:LongestLine", "text", "--format", "csv", cwd=corpus)
    lines = [line for path in corpus.rglob("*.txt") for line in path.read_text().splitlines()]
    assert list(csv.reader(io.StringIO(done.stdout)))[1] == [str(field) for field in max((len(x), x) for x in lines)]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["worcount", "text"], 2, "no built-in job is called 'worcount'; did you mean wordcount?"),
        (["nowhere.py:Job", "text"], 2, "no job file 'nowhere.py'"),
        (["failing.py:Job", "text"], 2, "failing.py has no 'Job'; it has: Dies, Raises"),
        (["json:JSONDecoder", "text"], 2, "json:JSONDecoder is not a job: it has no map and no reduce"),
        (["wordcount", "text", "--workers", "0"], 2, "at least 1 worker, not 0"),
        (["wordcount", "text", "--workers", "-3"], 2, "at least 1 worker, not -3"),
        (["wordcount", "text", "--top", "-1"], 2, "--top: at least 0, not -1"),
        (["wordcount", "text", "--encoding", "utf-9"], 2, "unknown encoding: utf-9"),
        (["wordcount", "nothing"], 3, "nothing: no such file or directory"),
        (["wordcount", "*.nothing"], 3, "*.nothing: no file matches this pattern"),
        (["wordcount", "bad.bin"], 3, "bad.bin: byte 4 is not utf-8"),
        (["wordcount", "text", "--output", "no/where"], 1, "No such file or directory"),
        (["failing.py:Raises", "text"], 1, "KeyError: 'not in the table'"),
    ],
)
def test_what_a_user_can_get_wrong(arguments: list[str], code: int, says: str, corpus: Path) -> None:
    (corpus / "failing.py").write_text(FAILING)
    (corpus / "bad.bin").write_bytes(b"good\xff")
    done = procession("mapreduce", *arguments, cwd=corpus)
    assert done.returncode == code, done.stderr
    said = complaint(done.stderr)
    assert re.match(r"procession( mapreduce)?: ", said)
    assert says in said
    assert done.stdout == ""
    if "Raises" not in arguments[0]:
        assert done.stderr.count("\n") <= 2, "one line, and where help is; no traceback"


def test_an_unreadable_file(corpus: Path) -> None:
    path = corpus / "text" / "large.txt"
    path.chmod(0)
    if os.access(path, os.R_OK):  # root may read everything; what is left is a file that opens but does not read
        done = procession("mapreduce", "wordcount", "/proc/self/mem", cwd=corpus)
    else:
        done = procession("mapreduce", "wordcount", "text", cwd=corpus)
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_a_worker_that_dies(context: str, corpus: Path) -> None:
    (corpus / "failing.py").write_text(FAILING)
    done = procession("mapreduce", "failing.py:Dies", "text", "--context", context, cwd=corpus)
    assert done.returncode == 1
    assert "SIGKILL" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_reader_that_leaves_early(corpus: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*COMMAND, "mapreduce", "wordcount", "text", "--top", "0"],
        cwd=corpus,
        stdout=writer,
        stderr=subprocess.PIPE,
        timeout=50,
        check=False,
    )
    os.close(writer)
    assert done.returncode == 128 + signal.SIGPIPE
    assert b"Traceback" not in done.stderr


def on_a_terminal(*arguments: str, cwd: Path) -> tuple[subprocess.Popen[bytes], int]:
    """Starts the command with a terminal of its own; returns it and the other end of the terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=cwd,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # else it would be nobody's controlling terminal
        env={**os.environ, "TERM": "xterm", "PYTHONUTF8": "1"},
    )
    os.close(theirs)
    return process, ours


def read_terminal(end: int, until: bytes = b"") -> bytes:
    """What was written to the terminal: up to `until` if given, else until every process has closed it."""
    seen = b""
    deadline = time.monotonic() + 50
    while not until or until not in seen:
        if not select.select([end], [], [], max(0, deadline - time.monotonic()))[0]:
            raise AssertionError(f"the terminal went silent after {seen!r}")
        try:
            data = os.read(end, 65536)
        except OSError:  # EIO: the last process with this terminal is gone
            return seen
        if not data:
            return seen
        seen += data
    return seen


def test_progress_on_a_terminal(corpus: Path) -> None:
    # Enough work for a few redraws: the line is drawn ten times a second while no answer is there.
    (corpus / "slow.py").write_text(
        "class Slow:\n"
        "    def map(self, text):\n"
        "        total = 0\n"
        "        for number in range(3_000_000):\n"
        "            total += number\n"
        "        return total\n"
        "    def reduce(self, left, right):\n"
        "        return left + right\n"
    )
    process, end = on_a_terminal("mapreduce", "slow.py:Slow", "text", cwd=corpus)
    seen = read_terminal(end).decode()
    os.close(end)
    assert process.wait() == 0, seen
    assert "slow.py:Slow ━" in seen or "slow.py:Slow ─" in seen
    assert "MiB/s" in seen or "KiB/s" in seen
    assert "\x1b[J" in seen.partition("column 1")[0][-20:], "taken away before the answer is shown"
    process, end = on_a_terminal("mapreduce", "wordcount", "text", "--no-progress", cwd=corpus)
    seen = read_terminal(end).decode()
    os.close(end)
    assert process.wait() == 0, seen
    assert "\x1b" not in seen


@pytest.mark.parametrize("context", ["fork", "spawn", "forkserver"])
def test_an_interrupt_ends_everything(context: str, corpus: Path) -> None:
    (corpus / "endless.py").write_text(ENDLESS)
    process, end = on_a_terminal(
        "mapreduce", "endless.py:Endless", "text", "--context", context, "--workers", "2", "--no-progress", cwd=corpus
    )
    read_terminal(end, until=b"begun")
    os.write(end, b"\x03")  # what Ctrl-C sends: the terminal signals every process of the group
    seen = read_terminal(end).decode()
    os.close(end)
    assert process.wait() == 130
    assert seen.replace("begun", "").replace("^C", "").split() == ["procession:", "interrupted"]
    # The fixture checks that no process is left.
