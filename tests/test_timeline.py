"""`procession run --trace`: a trace of a real program holds what it did, however it ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from commands import COMMAND, left_behind, procession

from procession.errors import NotARecording, NotATrace
from procession.testing import wait_until
from procession.timeline import report_text, write_trace

METHODS = ["fork", "spawn", "forkserver"]
Events = list[dict[str, Any]]

POOL = """
import json, os, sys, threading, time
import procession
from procession.testing import wait_until

def task(number):
    if number == 5:
        raise ValueError(number)
    return os.getpid(), threading.get_native_id()

def locked(lock, seconds):
    with lock:
        time.sleep(seconds)
    return os.getpid()

if __name__ == "__main__":
    context = procession.get_context(sys.argv[1])
    lock = context.Lock()
    lock.name = "the lock"
    with context.Pool(2) as pool:
        answers = [pool.apply_async(task, (number,)) for number in range(8)]
        places = [None if number == 5 else answer.get() for number, answer in enumerate(answers)]
        chunked = pool.map(task, range(10, 20), chunksize=4)
        if sys.argv[1] != "thread":
            lock.acquire()
            waiting = context.Process(target=locked, args=(lock, 0.0), name="Waiter")
            waiting.start()
            wait_until(lambda: lock.statistics().waiters == 1)
            lock.release()
            waiting.join()
    pool.join()
    json.dump([places, chunked, os.getpid()], sys.stdout)
"""


def trace_of(path: Path) -> Events:
    """The events of a trace, each of which must be what the format wants."""
    whole = json.loads(path.read_text())
    events: Events = whole["traceEvents"]
    for event in events:
        assert event["ph"] in "XMCsfi"
        assert isinstance(event["pid"], int)
        if event["ph"] != "M":
            assert event["ts"] >= 0
        if event["ph"] == "X":
            assert event["dur"] >= 0
            assert event["cat"] in ("process", "task", "wait", "submit")
    assert whole["otherData"]["recorded by"] == "procession"
    return events


def slices(events: Events, cat: str) -> Events:
    return [event for event in events if event["ph"] == "X" and event["cat"] == cat]


def traced(folder: Path, code: str, *arguments: str, name: str = "program.py") -> subprocess.CompletedProcess[str]:
    (folder / name).write_text(textwrap.dedent(code))
    done = procession("run", "--trace", "out.json", name, *arguments, cwd=folder)
    assert left_behind(folder) == []
    return done


@pytest.mark.slow
@pytest.mark.parametrize("method", [*METHODS, "thread"])
def test_every_task_is_there_once_with_its_worker(tmp_path: Path, method: str) -> None:
    done = traced(tmp_path, POOL, method)
    assert done.returncode == 0, done.stderr
    places, chunked, main = json.loads(done.stdout)
    events = trace_of(tmp_path / "out.json")
    tasks = {event["args"]["task"]: event for event in slices(events, "task")}
    assert len(tasks) == len(slices(events, "task")) == 8 + 3
    for number, place in enumerate(places):
        assert tasks[number]["name"] == "task"
        assert tasks[number]["args"].get("failed", 0) == (number == 5)
        if place is not None:
            assert [tasks[number]["pid"], tasks[number]["tid"]] == place
    assert [tasks[8 + chunk]["args"]["items"] for chunk in range(3)] == [4, 4, 2]
    assert [tasks[8 + chunk]["pid"] for chunk in range(3)] == [chunked[place][0] for place in (0, 4, 8)]
    # Each has an arrow, from a slice of the main process's to its own
    arrows = Counter(event["id"] for event in events if event["ph"] == "s")
    assert arrows == Counter(event["id"] for event in events if event["ph"] == "f")
    assert len(arrows) == 11
    assert {event["pid"] for event in slices(events, "submit")} == {main}
    assert all("program.py:" in event["args"]["at"] for event in slices(events, "submit"))
    if method != "thread":
        lives = {event["args"]["pid"]: event for event in slices(events, "process")}
        assert all(lives[place[0]]["args"]["parent"] in lives or method == "forkserver" for place in places if place)
        [wait] = [event for event in slices(events, "wait") if "the lock" in event["name"]]
        assert wait["name"] == "acquire: Lock 'the lock'"
        assert wait["args"]["at"].endswith("program.py:12 in locked")
        assert lives[wait["pid"]]["name"] == "Waiter"
        assert any(event["name"] == f"join: process {wait['pid']}" for event in slices(events, "wait"))


def test_slices_of_a_thread_are_nested(tmp_path: Path) -> None:
    """A viewer cannot draw what overlaps by halves."""
    assert traced(tmp_path, POOL, "fork").returncode == 0
    by_thread: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for event in trace_of(tmp_path / "out.json"):
        if event["ph"] == "X" and event["cat"] != "submit":
            span = event["ts"], -event["ts"] - event["dur"]
            by_thread.setdefault((event["pid"], event["tid"]), []).append(span)
    for spans in by_thread.values():
        open_: list[float] = []
        for began, ended in sorted(spans):
            while open_ and open_[-1] <= began + 1e-6:
                open_.pop()
            assert not open_ or -ended <= open_[-1] + 0.01
            open_.append(-ended)


@pytest.mark.slow
def test_a_killed_worker_and_what_it_was_at_end_there(tmp_path: Path) -> None:
    code = """
        import os, signal
        import procession

        def dies():
            os.kill(os.getpid(), signal.SIGKILL)

        with procession.get_context("fork").Pool(1) as pool:
            try:
                pool.apply(dies)
            except procession.errors.WorkerDied as error:
                print(error.pid)
        pool.join()
        """
    done = traced(tmp_path, code)
    pid = int(done.stdout)
    events = trace_of(tmp_path / "out.json")
    [task] = slices(events, "task")
    assert (task["pid"], task["name"], task["args"]["unfinished"]) == (pid, "dies", True)
    [life] = [event for event in slices(events, "process") if event["pid"] == pid]
    assert life["args"]["end"] == "killed by SIGKILL"
    assert life["args"]["exitcode"] == -9
    assert life["ts"] + life["dur"] == pytest.approx(task["ts"] + task["dur"])
    assert "1 task never ended." in report_text(tmp_path / "out.json")


ENDS = {
    "its end": ("", 0),
    "an error": ("raise ValueError('ours')", 1),
    "sys.exit": ("import sys; sys.exit(7)", 7),
    "os._exit": ("os._exit(5)", 5),
    "a kill": ("os.kill(os.getpid(), 9)", -9),
    "a crash": ("os.kill(os.getpid(), 11)", -11),
    "an interrupt": ("os.kill(os.getpid(), 2)", -2),
    "closed descriptors": ("os.closerange(0, 3); os.closerange(3, 1000)", 0),
}


@pytest.mark.parametrize("end", ENDS)
def test_it_is_whole_however_the_program_ends(tmp_path: Path, end: str) -> None:
    code, exitcode = ENDS[end]
    program = f"""
        import os
        import procession
        with procession.get_context("fork").Pool(1) as pool:
            pool.map(abs, range(3), chunksize=1)
        pool.join()
        {code}
        """
    assert traced(tmp_path, program).returncode == exitcode
    # Whoever reads standard error to its end has the file; those who closed it had it written before they ended
    assert len(slices(trace_of(tmp_path / "out.json"), "task")) == 3
    assert os.listdir(tmp_path).count("out.json") == 1
    assert [name for name in os.listdir(tmp_path) if name.startswith(".out")] == []


def test_a_kill_from_outside_while_it_waits_shows_for_what(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import procession\n"
        "queue = procession.get_context('fork').Queue()\n"
        "queue.name = 'never filled'\n"
        "print(flush=True)\n"
        "queue.get()\n"
    )
    command = [*COMMAND, "run", "--trace", "out.json", "--record", "kept", "program.py"]
    running = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert running.stdout is not None
    running.stdout.readline()

    def is_waiting() -> bool:
        write_trace(tmp_path / "kept", tmp_path / "early.json")  # while it runs
        return bool(slices(trace_of(tmp_path / "early.json"), "wait"))

    wait_until(is_waiting)
    os.kill(running.pid, signal.SIGKILL)
    running.communicate(timeout=20)
    [wait] = slices(trace_of(tmp_path / "out.json"), "wait")
    assert wait["name"] == "get: Queue 'never filled'"
    assert wait["args"]["at"].endswith("program.py:5 in <module>")
    assert wait["args"]["unfinished"]
    [life] = slices(trace_of(tmp_path / "out.json"), "process")
    assert "without a word" in life["args"]["end"]
    assert wait["ts"] + wait["dur"] == pytest.approx(life["ts"] + life["dur"])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "thread"])
def test_every_kind_of_wait_is_there_once(tmp_path: Path, method: str) -> None:
    """A pipe is waited for in slices, of which nobody wants to know."""
    code = """
        import sys, time
        import procession

        def child(pipe, event, semaphore, barrier, queue, condition):
            pipe.recv()
            event.wait()
            with semaphore:
                barrier.wait()
            queue.get()
            queue.task_done()
            with condition:
                condition.wait()

        if __name__ == "__main__":
            context = procession.get_context(sys.argv[1])
            ours, theirs = context.Pipe()
            event, semaphore, barrier = context.Event(), context.Semaphore(0), context.Barrier(2)
            queue, condition = context.JoinableQueue(), context.Condition()
            process = context.Process(target=child, args=(theirs, event, semaphore, barrier, queue, condition))
            process.start()
            for step in (lambda: ours.send(1), event.set, semaphore.release, barrier.wait, lambda: queue.put(1)):
                time.sleep(0.15)
                step()
            queue.join()
            time.sleep(0.15)
            with condition:
                condition.notify()
            process.join()
            try:
                queue.get(timeout=0.05)
            except procession.errors.Empty:
                pass
        """
    assert traced(tmp_path, code, method).returncode == 0
    waits = slices(trace_of(tmp_path / "out.json"), "wait")
    children = [event for event in waits if not event["args"]["at"].endswith("<module>")]
    # Who is woken by a condition may find its lock still held: a wait too, and a short one
    children = [event for event in children if event["args"]["action"] != "acquire" or event["dur"] > 90_000]
    assert [event["args"]["action"] for event in children] == ["get", "wait", "acquire", "wait", "get", "wait"]
    assert [event["args"]["at"].rpartition(":")[2] for event in children] == [
        *(f"{line} in child" for line in (6, 7, 8, 9, 10, 13))
    ]
    assert all(event["dur"] > 90_000 for event in children)
    assert [event["args"].get("in vain") for event in children] == [None] * 6
    last = [event for event in waits if event["args"]["at"].endswith("<module>")][-1]
    if method == "fork":
        assert (last["args"]["action"], last["args"]["in vain"]) == ("get", True)


def test_the_program_is_what_it_is_without(tmp_path: Path) -> None:
    code = """
        import os, sys
        try:
            os.wait()
        except ChildProcessError:
            print("no children")
        print(sys.argv, sorted(int(fd) for fd in os.listdir("/proc/self/fd"))[:-1], os.getppid(), os.getcwd())
        print(os.getpid() == os.getsid(0), len(os.listdir("/proc/self/task")))
        """
    done = traced(tmp_path, code, "--trace", "x")
    plain = procession("run", "program.py", "--trace", "x", cwd=tmp_path)
    assert (done.stdout, done.stderr, done.returncode) == (plain.stdout, plain.stderr, 0)
    assert "no children" in done.stdout
    assert slices(trace_of(tmp_path / "out.json"), "process")


@pytest.mark.parametrize("option", ["--trace", "--report"])
def test_what_cannot_be_written_is_refused_before_the_program_begins(tmp_path: Path, option: str) -> None:
    for path, why in [
        ("nowhere/out.json", "cannot be written: there is no directory"),
        (".", "is a directory"),
        ("-", "is no file"),
    ]:
        done = procession("run", option, path, "-c", "print('ran')", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert why in done.stderr
    done = procession("run", option, cwd=tmp_path)
    assert (done.returncode, f"no file after {option}" in done.stderr) == (2, True)


def test_one_file_cannot_be_both(tmp_path: Path) -> None:
    done = procession("run", "--trace", "out", "--report", "./out", "-c", "print('ran')", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "cannot be both the trace and the report" in done.stderr


def test_a_recording_is_kept_and_not_written_over(tmp_path: Path) -> None:
    command = ["run", "--record", "kept", "-c", "import procession"]
    assert procession(*command, cwd=tmp_path).returncode == 0
    write_trace(tmp_path / "kept", tmp_path / "out.json")
    assert len(slices(trace_of(tmp_path / "out.json"), "process")) == 1
    done = procession(*command, cwd=tmp_path)
    assert done.returncode == 2
    assert "holds a recording already" in done.stderr


@pytest.mark.parametrize("command", [["run", "--trace", "out.json"], ["check"]])
def test_a_limit_that_is_none_is_refused_before_anything_begins(command: list[str], tmp_path: Path) -> None:
    environment = {**os.environ, "PROCESSION_RECORD_LIMIT": "lots", "TMPDIR": str(tmp_path)}
    done = procession(*command, "-c", "print('ran')", cwd=tmp_path, env=environment)
    said = "the variable PROCESSION_RECORD_LIMIT must be a size such as 2G or 512M, not 'lots'"
    help_ = f"See: procession {command[0]} --help"
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [f"procession {command[0]}: {said}", help_]
    assert os.listdir(tmp_path) == []


def test_a_full_disk_leaves_the_old_file_and_the_recording(small_disk: Path, tmp_path: Path) -> None:
    (small_disk / "out.json").write_text("old")
    code = "from procession import _native\nfor number in range(30000): _native.record(16, a=number, label='t')"
    command = ["run", "--trace", str(small_disk / "out.json"), "-c", code]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = procession(*command, cwd=tmp_path, env=environment)
    assert done.returncode == 0
    assert "No space left" in done.stderr
    assert os.listdir(small_disk) == ["out.json"]
    assert (small_disk / "out.json").read_text() == "old"
    [kept] = tmp_path.glob("procession-recording-*")
    assert str(kept) in done.stderr
    assert f"{small_disk}/out.json could not be written (No space left on device)" in done.stderr


def test_other_commands_have_it_too(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("one two two\n" * 1000)
    done = procession("mapreduce", "--trace", "out.json", "--report", "page.html", "wordcount", "text", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert slices(trace_of(tmp_path / "out.json"), "task")
    assert "<h1>mapreduce --trace out.json" in (tmp_path / "page.html").read_text()


def test_what_is_no_trace_or_half_of_one_says_so(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    for text in ("", "{}", "[1]", "[" * 100_000, '{"traceEvents": []}', '{"otherData": {}, "traceEvents": []}', "\0\1"):
        path.write_text(text)
        with pytest.raises(NotATrace, match="no trace that"):
            report_text(path)
    with pytest.raises(NotARecording):
        report_text(tmp_path)
    assert procession("run", "--trace", "out.json", "-c", "import procession", cwd=tmp_path).returncode == 0
    whole = path.read_text()
    path.write_text(whole[: len(whole) * 2 // 3])
    with pytest.raises(NotATrace, match="breaks off"):
        report_text(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(NotATrace, match="no trace that"):
        report_text(path)
    task = '{"ph":"X","cat":"task","ts":"x","dur":1,"pid":1,"tid":1,"args":{}}'
    for event in ('{"ph":"X","cat":"task"}', "17", task):
        path.write_text(whole.replace("\n]}\n", f",\n{event}\n]}}\n"))
        with pytest.raises(NotATrace, match="has changed this trace"):
            report_text(path)
    path.write_text(json.dumps(json.loads(whole), indent=1))  # by somebody else's tool
    assert "<html" in report_text(path)
    done = subprocess.run([sys.executable, "-m", "procession", "report", "missing"], cwd=tmp_path, capture_output=True)
    assert done.returncode == 3
    assert b"No such file" in done.stderr
