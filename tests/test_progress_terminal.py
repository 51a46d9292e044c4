"""Bars on a real terminal: what stands on it in the end, and what the program, its user and its deaths do to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import left_behind
from terminal import INTERRUPT, Terminal, screen

pytestmark = pytest.mark.slow

PROGRAM = """
import os, signal, sys, threading, time, logging
import procession
from procession import progress
context = procession.get_context("fork")
threads = procession.get_context("thread")

def double(number):
    return 2 * number

def wait(gate):
    gate.wait()

def fail(number):
    if number % 2:
        raise ValueError(number)

def die(number):
    if number == 5:
        os.kill(os.getpid(), signal.SIGKILL)

def shown(gate):
    "Let go of what waits here once a bar has been drawn again."
    def open_it():
        time.sleep(0.3)
        gate.set()
    threading.Thread(target=open_it).start()

def main():
{body}

if __name__ == "__main__":
    main()
"""

Run = Callable[..., Terminal]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Starts a program, given as the lines of its main function."""

    def start(body: str, **options: Any) -> Terminal:
        indented = "\n".join(f"    {line}" for line in body.strip("\n").splitlines())
        environ = {"TERM": "xterm", "PYTHONUTF8": "1", "PROCESSION_PROGRESS": ""} | options.pop("environ", {})
        return Terminal(PROGRAM.replace("{body}", indented), tmp_path, environ=environ, **options)

    yield start
    assert left_behind(tmp_path) == []


def lines_of(terminal: Terminal, columns: int = 80, code: int = 0) -> list[str]:
    """What stands there when the program has ended."""
    assert terminal.finish() == code, terminal.text
    lines = screen(terminal.text, columns)
    assert lines.pop() == "", "the next prompt begins a line"
    return lines


@pytest.mark.parametrize("columns", [80, 40])
def test_the_last_line_stays(run: Run, columns: int) -> None:
    body = """
with context.Pool(2) as pool:
    assert pool.map(double, range(1000), progress=True)[-1] == 1998
    assert sum(pool.imap(double, iter(range(10)), progress="an iterator")) == 90
    assert sum(pool.imap_unordered(double, range(10), 3, progress="unordered")) == 90
    pool.map_async(double, range(10), progress="in the background").get()
    assert pool.map_reduce(double, range(1000), int.__add__, progress="reduced") == 999_000
    assert pool.map_reduce_by_key(lambda n: [n % 2], range(1000), "count", progress="by key")[1] == 500
with context.Executor(2) as executor:
    assert sum(executor.map(double, range(10), progress="executor")) == 90
with threads.Pool(2) as pool:
    pool.map(double, range(1000), progress="threads")
    pool.map(double, [], progress="nothing")
"""
    lines = lines_of(run(body, columns=columns), columns)
    assert all(len(line) < columns and "100%" in line for line in lines)
    titles = ["double", "an iterator", "unordered", "in the ", "reduced", "by key", "executor", "threads", "nothing"]
    assert len(lines) == len(titles)
    for line, title in zip(lines, titles, strict=True):
        assert line.startswith(title)
        assert columns == 40 or ("━" * 10 in line and " in 0" in line)


def test_a_bar_moves_while_nobody_takes_results(run: Run) -> None:
    body = """
with context.Pool(2) as pool:
    results = pool.imap(double, range(10), progress="slow consumer")
    input()
    print(sum(results))
"""
    terminal = run(body)
    terminal.read_until(" in 0.")  # the last line: what is typed would be in the way of a live one
    terminal.type(b"\n")
    assert "90" in "\n".join(lines_of(terminal))


def test_a_dumb_terminal_is_sent_lines(run: Run) -> None:
    terminal = run('context.Pool(2).map(double, range(1000), progress="dumb")', environ={"TERM": "dumb"})
    (line,) = lines_of(terminal)
    assert line.startswith("dumb 100%  1,000/1,000")
    assert "\x1b" not in terminal.text
    assert "\r" not in terminal.text


def test_a_terminal_that_knows_ascii_alone(run: Run) -> None:
    environ = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    (line,) = lines_of(run('threads.Pool(2).map(double, range(9), progress="äöü")', environ=environ))
    assert line.startswith("??? #########")


def test_what_is_printed_meanwhile_goes_above(run: Run) -> None:
    body = """
logging.basicConfig(level="INFO", format="logged %(message)s")
gate = threading.Event()
def speak(number):
    if number == 0:
        print("printed", number)
        print("in", "pieces", end="", flush=True)
        logging.info("a record")
        progress.write("written")
        progress.write("an error\\nof two lines\\n", sys.stderr)
        print(" and whole")
        sys.stdout.writelines(["at once\\n"])
        print("no end", end="")
with threads.Pool(1) as pool:
    pool.map(speak, range(3), chunksize=1, progress="bar")
print(" of line")
"""
    lines = lines_of(run(body))
    bar = next(line for line in lines if line.startswith("bar"))
    lines.remove(bar)
    said = ["printed 0", "logged a record", "written", "an error", "of two lines", "in pieces and whole", "at once"]
    assert lines == [*said, "no end of line"]
    assert "3/3" in bar


def test_what_many_threads_print_stays_whole(run: Run) -> None:
    body = """
def speak(name):
    for number in range(25):
        print("thread", name, "says", number)
    return name
with threads.Pool(4) as pool:
    pool.map(speak, "abcd", chunksize=1, progress="bar")
"""
    lines = lines_of(run(body))
    assert lines.pop().startswith("bar ━")
    assert sorted(lines) == sorted(f"thread {name} says {number}" for name in "abcd" for number in range(25))


def test_bars_within_bars(run: Run) -> None:
    body = """
def outer(number):
    with threads.Pool(1) as pool:
        pool.map(double, range(5), progress=f"inner {number}")
with threads.Pool(2) as pool:
    pool.map(outer, range(4), chunksize=1, progress="outer")
"""
    terminal = run(body)
    (line,) = lines_of(terminal)
    assert line.startswith("outer ━")
    assert all(f"inner {number} " in terminal.text for number in range(4)), "they were there"


def test_bars_in_threads(run: Run) -> None:
    body = """
both = threading.Barrier(2)
def meet(number):
    both.wait()
    return number
def call(title):
    with threads.Pool(1) as pool:
        pool.map(meet, range(3), chunksize=1, progress=title)
callers = [threading.Thread(target=call, args=(title,)) for title in ("one", "two")]
for caller in callers:
    caller.start()
for caller in callers:
    caller.join()
"""
    terminal = run(body)
    lines = lines_of(terminal)
    assert 1 <= len(lines) <= 2, "one that begins first and ends last takes the other's away"
    assert all("3/3" in line for line in lines)
    assert "\x1b[1A" in terminal.text, "one below the other"


def test_more_bars_than_lines(run: Run) -> None:
    body = """
gate = threading.Event()
def call(title):
    with threads.Pool(1) as pool:
        pool.map(wait, [gate], progress=title)
callers = [threading.Thread(target=call, args=(f"bar {number}",)) for number in range(10)]
for caller in callers:
    caller.start()
input()
gate.set()
for caller in callers:
    caller.join()
"""
    terminal = run(body, rows=6)
    terminal.read_until("more")
    terminal.type(b"\n")
    assert all("bar" in line for line in lines_of(terminal) if line)


def test_failures_stand_in_the_line(run: Run) -> None:
    body = """
with context.Pool(2) as pool:
    pool.map(fail, range(10), progress=True, return_exceptions=True)
    try:
        pool.map(die, range(10), chunksize=5, progress=True)
    except procession.errors.WorkerDied:
        print("died")
    pool.map(fail, [1], progress=True)
"""
    lines = lines_of(run(body), code=1)
    assert lines[0].startswith("fail ━")
    assert lines[0].endswith("5 failed")
    assert lines[1].startswith("die ━")
    assert lines[1].endswith("1 failed")
    assert lines[2] == "died"
    assert lines[3].endswith("1 failed")
    assert any(line.startswith("Traceback") for line in lines[4:])
    assert lines[-1] == "ValueError: 1"


@pytest.mark.parametrize("call", ["map", "map_async", "imap"])
def test_an_interrupt_leaves_the_bar_where_it_stopped(run: Run, call: str) -> None:
    body = f"""
gate = context.Event()
with context.Pool(2) as pool:
    result = pool.{call}(wait, [gate] * 9, progress="interrupted")
    result.get() if hasattr(result, "get") else list(result)
"""
    terminal = run(body)
    terminal.read_until("0/9", times=3)  # when it has been drawn again, the call is under way
    terminal.type(INTERRUPT)
    lines = [line for line in lines_of(terminal, code=-2) if line]
    assert sum(line.startswith("interrupted") for line in lines) == 1
    bar = next(line for line in lines if line.startswith("interrupted"))
    assert "0/9" in bar
    assert "stopped after" in bar
    lines.remove(bar)
    assert "Traceback (most recent call last):" in lines
    assert lines[-1] == "KeyboardInterrupt"


def test_an_error_in_the_loop_stops_the_bar(run: Run) -> None:
    body = """
pool = context.Pool(2)
for result in pool.imap(double, range(100_000), progress="stopped"):
    raise KeyError(result)
"""
    lines = lines_of(run(body), code=1)
    assert sum(line.startswith("stopped ") for line in lines) == 1
    assert "KeyError: 0" in lines


def test_children_leave_the_terminal_alone(run: Run) -> None:
    body = """
def within(number):
    with procession.get_context("thread").Pool(1) as pool:
        return sum(pool.map(double, range(5), progress="not seen"))
with context.Pool(2) as pool:
    print(sum(pool.map(within, range(4), progress="parent")))
"""
    terminal = run(body)
    bar, total = lines_of(terminal)
    assert bar.startswith("parent")
    assert total == "80"
    assert "not seen" not in terminal.text


def test_a_forked_child_prints_for_itself(run: Run) -> None:
    body = """
def started(number):
    child = context.Process(target=print, args=("from the child",))
    child.start()
    child.join()
with threads.Pool(1) as pool:
    pool.map(started, range(1), progress="parent")
"""
    terminal = run(body)
    assert terminal.finish() == 0
    assert terminal.text.count("from the child\n") == 1


def test_turned_off(run: Run) -> None:
    assert lines_of(run("context.Pool(2).map(double, [1], progress=True)", environ={"PROCESSION_PROGRESS": "0"})) == []


def test_a_terminal_that_goes_away(run: Run, tmp_path: Path) -> None:
    body = """
signal.signal(signal.SIGHUP, signal.SIG_IGN)
gate = context.Event()
with context.Pool(1) as pool:
    result = pool.map_async(wait, [gate], progress="gone")
    while os.path.exists("terminal"):
        time.sleep(0.01)
    time.sleep(0.3)  # some redraws
    gate.set()
    result.get()
    open("done", "w").close()
"""
    (tmp_path / "terminal").touch()
    terminal = run(body)
    terminal.read_until("gone")
    terminal.close()
    (tmp_path / "terminal").unlink()
    assert terminal.wait() == 0
    assert (tmp_path / "done").exists()
