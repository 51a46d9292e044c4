"""A killed parent takes its whole family along, and nothing of it is left: the bounded part of `scripts/family.py`."""

import multiprocessing
import os
import signal
import time
from typing import Any

import pytest
from commands import load_script

import procession
from procession.testing import wait_until


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_nothing_is_left_of_a_family_whose_parent_is_killed(method: str) -> None:
    report = load_script("family").kill_parents(method, 1)
    assert report.processes >= 17
    assert report.orphans == report.left == [], report


# One process and its parent


def run_parent(start: Any, *args: Any) -> int:
    """Fork a parent that calls `start(end, *args)`; returns what it or its child sent, once the parent is killed."""
    reading, writing = os.pipe()
    parent = os.fork()
    if parent == 0:
        try:
            os.close(reading)
            start(writing, *args)
            time.sleep(600)
        finally:
            os._exit(1)
    os.close(writing)
    pid = int(os.read(reading, 32))
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    with os.fdopen(reading) as file:
        return int(file.read() or 0) or -pid  # ends with the last who could write


def tell_and_sleep(end: int) -> None:
    os.write(end, b"%d" % os.getpid())
    time.sleep(600)


def notice_its_end(end: int) -> None:
    """Tell the pid, then whether the parent lives."""
    os.write(end, b"%d" % os.getpid())
    parent = procession.parent_process()
    assert parent is not None
    parent.join()
    os.write(end, b"%d" % (1 + parent.is_alive()))


def start(end: int, target: Any, *args: Any) -> None:
    procession.get_context("fork").Process(target=target, args=(end, *args)).start()


def test_a_process_has_a_moment_to_notice() -> None:
    assert run_parent(start, notice_its_end) == 1


def start_standard(end: int) -> None:
    early = multiprocessing.Process
    procession.install("fork")
    early(target=tell_and_sleep, args=(end,)).start()


def test_a_standard_process_on_our_engine_ends_too() -> None:
    assert run_parent(start_standard) < 0


def catch(end: int) -> None:
    def handle(*_: object) -> None:
        os.write(end, b"15")
        os._exit(0)

    signal.signal(signal.SIGTERM, handle)
    tell_and_sleep(end)


def test_a_process_is_asked_to_end_first() -> None:
    assert run_parent(start, catch) == 15


def stay_deaf(end: int) -> None:
    """Ignore what can be ignored; blocking what comes from the parent's end is as far as one gets."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGHUP, signal.SIGINT})
    tell_and_sleep(end)


@pytest.mark.slow
def test_a_process_that_does_not_listen_is_killed() -> None:
    assert run_parent(start, stay_deaf) < 0


def continued(end: int) -> None:
    """SIGCONT alone means nothing."""
    os.kill(os.getpid(), signal.SIGCONT)
    time.sleep(0.6)  # longer than until SIGKILL
    tell_and_sleep(end)


@pytest.mark.slow
def test_a_continued_process_lives() -> None:
    assert run_parent(start, continued) < 0


def fork_and_leave(end: int) -> None:
    """As a daemon does: the one who stays is no child of multiprocessing's."""
    parent = os.getppid()
    if os.fork() > 0:
        os._exit(0)
    os.setsid()
    os.write(end, b"%d" % os.getpid())
    wait_until(lambda: not os.path.exists(f"/proc/{parent}") or _is_zombie(parent))
    time.sleep(0.6)  # longer than until SIGKILL
    os.write(end, b"7")
    os._exit(0)


def _is_zombie(pid: int) -> bool:
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] == "Z"


def close_and_stay(end: int) -> None:
    """As a daemon does that need not fork."""
    parent = os.getppid()
    end = os.dup2(end, 3)
    os.closerange(4, 1024)
    os.write(end, b"%d" % os.getpid())
    wait_until(lambda: not os.path.exists(f"/proc/{parent}") or _is_zombie(parent))
    time.sleep(0.6)
    os.write(end, b"7")
    os._exit(0)


@pytest.mark.slow
@pytest.mark.parametrize("leave", [fork_and_leave, close_and_stay])
def test_who_leaves_the_family_lives_on(leave: Any) -> None:
    assert run_parent(start, leave) == 7
