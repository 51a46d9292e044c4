"""Users of a queue on disk are killed: what was accepted is there, what was acknowledged stays away, the file opens.

The bounded part of `scripts/disk_crash.py`, which does it a thousand times (`make crash`). Power cuts at every write
and deaths at every step are `crates/disk/tests`.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from procession import JoinableQueue, Queue
from procession.testing import wait_until

SOON = 5  # seconds
ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_a_storm_of_kills() -> None:
    """In a program of its own, whose children inherit nothing of what other tests have opened."""
    storm = [sys.executable, ROOT / "scripts" / "disk_crash.py", "40"]
    done = subprocess.run(storm, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sum(map(int, re.findall(r"(\d+) items accepted", done.stdout))) > 0, done.stdout


def forked(work: Callable[[], object]) -> int:
    """A child that runs `work` and then kills itself."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(4 * SOON)
        try:
            work()
            os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(1)
    return pid


def killed(work: Callable[[], object]) -> None:
    """Run `work` in a child that is killed when it has."""
    assert os.waitstatus_to_exitcode(os.waitpid(forked(work), 0)[1]) == -signal.SIGKILL


def test_what_a_killed_consumer_had_comes_back_in_its_place(tmp_path: Path) -> None:
    jobs = JoinableQueue(path=tmp_path / "jobs")
    for number in range(3):
        jobs.put(number)
    killed(lambda: (jobs.get(), jobs.get(), jobs.task_done()))
    wait_until(lambda: jobs.qsize() == 2)
    assert [(jobs.get(timeout=SOON), jobs.delivery_count) for _ in range(2)] == [(1, 2), (2, 1)]


def test_who_waits_is_given_what_comes_back(tmp_path: Path) -> None:
    jobs = JoinableQueue(path=tmp_path / "jobs")
    jobs.put("item")
    taken, die_now = os.pipe(), os.pipe()

    def take_and_wait() -> None:
        jobs.get()
        os.write(taken[1], b".")
        os.read(die_now[0], 1)

    pid = forked(take_and_wait)
    os.read(taken[0], 1)
    os.write(die_now[1], b".")
    assert jobs.get(timeout=SOON) == "item"
    os.waitpid(pid, 0)
    for end in (*taken, *die_now):
        os.close(end)


@pytest.mark.slow
@pytest.mark.parametrize("durability", ["crash", "power"])
def test_what_was_put_survives_everybody(tmp_path: Path, durability: str) -> None:
    killed(lambda: [Queue(path=tmp_path / "queue", durability=durability).put(number) for number in range(100)])
    queue = Queue(path=tmp_path / "queue")
    assert [queue.get_nowait() for _ in range(100)] == list(range(100))
    killed(queue.close)
    assert queue.qsize() == 0


def test_a_killed_getter_leaves_the_queue_to_others(tmp_path: Path) -> None:
    queue = Queue(path=tmp_path / "queue")
    pid = forked(queue.get)
    wait_until(lambda: any(queue.sleepers()))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    queue.put(1)
    assert queue.get(timeout=SOON) == 1
