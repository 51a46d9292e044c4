"""SIGTERM: a worker finishes what it is at, unless its parent sent it; a command finishes and exits with 143."""

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from commands import COMMAND, left_behind

import procession
from procession.testing import wait_until


def finish_slowly(begun: Any, go: Any) -> int:
    begun.put(os.getpid())
    go.wait()
    return os.getpid()


def send_from_outside(pid: int) -> None:
    subprocess.run(["kill", "-TERM", str(pid)], check=True)


def test_a_worker_finishes_its_task(quick_process_context: Any) -> None:
    begun, go = quick_process_context.Queue(), quick_process_context.Event()
    with quick_process_context.Pool(1) as pool:
        result = pool.apply_async(finish_slowly, (begun, go))
        pid = begun.get(timeout=20)
        (worker,) = pool._pool
        send_from_outside(pid)
        go.set()
        assert result.get(20) == pid
        worker.join(20)
        assert worker.exitcode == 0
        assert pool.apply(os.getpid) != pid  # another one has taken its place


def test_an_idle_worker_ends(quick_process_context: Any) -> None:
    with quick_process_context.Pool(1) as pool:
        pid = pool.apply(os.getpid)
        (worker,) = pool._pool
        send_from_outside(pid)
        worker.join(20)
        assert worker.exitcode == 0
        assert pool.apply(os.getpid) != pid


def send_twice(pid: int) -> None:
    send_from_outside(pid)
    wait_until(lambda: not is_in_mask(pid, "ShdPnd"))  # or both would be one
    send_from_outside(pid)


def is_in_mask(pid: int, name: str) -> bool:
    """Whether SIGTERM is in a process's set of signals of that name."""
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(name))
    return bool(int(line.split()[1], 16) & 1 << signal.SIGTERM - 1)


def test_the_second_one_and_the_parents_end_it_at_once(fork: Any) -> None:
    for send in (send_twice, lambda pid: os.kill(pid, signal.SIGTERM)):
        begun, go = fork.Queue(), fork.Event()
        with fork.Pool(1) as pool:
            result = pool.apply_async(finish_slowly, (begun, go))
            send(begun.get(timeout=20))
            with pytest.raises(procession.errors.WorkerDied, match="SIGTERM"):
                result.get(20)


def fork_a_child() -> int:
    """The signal that ends a child of a worker."""
    pid = os.fork()
    if pid == 0:
        time.sleep(600)
        os._exit(0)
    send_from_outside(pid)
    return -os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_child_of_a_worker_has_no_part_in_it(fork: Any) -> None:
    with fork.Pool(1) as pool:
        assert pool.apply(fork_a_child) == signal.SIGTERM


def raise_terminated(*_: object) -> None:
    raise AssertionError("a handler of the program's, in a worker")


def test_a_worker_does_not_inherit_the_programs_handler(fork: Any) -> None:
    before = signal.signal(signal.SIGTERM, raise_terminated)
    try:
        test_a_worker_finishes_its_task(fork)
    finally:
        signal.signal(signal.SIGTERM, before)


# Commands

SLOW = """
import os, time

def slow(number):
    open(f"begun-{number}", "w").close()
    while not os.path.exists("go"):
        time.sleep(0.01)
    return -number
"""


class Command:
    """A command that runs in a folder of its own, in a group of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        (folder / "slow.py").write_text(SLOW)
        self.folder = folder
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def feed(self, text: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def finish(self) -> tuple[int, bytes, bytes]:
        """Its exit code, what it wrote, what it complained of; nobody is left of it. Its input stays open."""
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        out, errors = self.process.stdout.read(), self.process.stderr.read()
        self.process.wait(20)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        wait_until(lambda: not left_behind(self.folder))
        return self.process.returncode, out, errors


@pytest.mark.slow
@pytest.mark.parametrize("context", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("whole_group", [False, True])
def test_map_finishes_what_it_is_at(context: str, whole_group: bool, tmp_path: Path) -> None:
    command = Command(tmp_path, "map", "slow.py:slow", "--workers", "2", "--context", context)
    command.feed(b"".join(b"%d\n" % number for number in range(1, 40)) + b"4")  # the last one is not whole
    wait_until(lambda: len(list(tmp_path.glob("begun-*"))) == 2)
    (os.killpg if whole_group else os.kill)(command.process.pid, signal.SIGTERM)
    time.sleep(0.05)  # it could take the next lines now
    (tmp_path / "go").touch()
    assert command.finish() == (143, b"-1\n-2\n", b"procession: terminated\n")


def test_map_that_waits_for_input_ends(tmp_path: Path) -> None:
    command = Command(tmp_path, "map", "slow.py:slow", "--workers", "1", "--context", "fork")
    (tmp_path / "go").touch()
    command.feed(b"1\n")
    assert command.process.stdout is not None
    assert command.process.stdout.readline() == b"-1\n"
    command.feed(b"2")
    os.kill(command.process.pid, signal.SIGTERM)
    assert command.finish() == (143, b"", b"procession: terminated\n")


def test_the_second_one_ends_map_at_once(tmp_path: Path) -> None:
    command = Command(tmp_path, "map", "slow.py:slow", "--workers", "1", "--context", "fork")
    command.feed(b"1\n")
    wait_until(lambda: (tmp_path / "begun-1").exists())
    os.kill(command.process.pid, signal.SIGTERM)
    wait_until(lambda: not is_in_mask(command.process.pid, "SigCgt"))
    os.kill(command.process.pid, signal.SIGTERM)
    assert command.finish() == (-signal.SIGTERM, b"", b"")


JOB = """
import time

class Sleeps:
    columns = ("n",)

    def map(self, text):
        open("begun-1", "w").close()
        time.sleep(600)

    def reduce(self, left, right):
        return left
"""


def test_mapreduce_ends_without_an_answer(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(JOB)
    (tmp_path / "text").write_text("text\n")
    command = Command(tmp_path, "mapreduce", "job.py:Sleeps", "text", "--workers", "1", "--output", "answer")
    wait_until(lambda: (tmp_path / "begun-1").exists())
    os.kill(command.process.pid, signal.SIGTERM)
    assert command.finish() == (143, b"", b"procession: terminated\n")
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".py" and path.is_file()) == [
        "begun-1",
        "text",
    ]
