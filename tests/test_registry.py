"""Programs as the registry sees them from outside: real families, hung ones, and those whose members were killed."""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import procession
from procession import _registry
from procession._registry import proc
from procession._sites import short_site
from procession.cli.listing import listing
from procession.errors import NoSuchProgram
from procession.testing import wait_until

PATIENCE_S = 20  # for a program that takes a fraction of a second to start


@contextlib.contextmanager
def running(folder: Path, source: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A program of its own that says "ready" and goes on until it is killed, its children with it."""
    script = folder / "program.py"
    script.write_text(textwrap.dedent(source))
    command = [sys.executable, str(script), *arguments]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        yield program
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
        program.wait()
        program.stdout.close()  # type: ignore[union-attr]


def named(program: _registry.Program, name: str) -> _registry.ObjectInfo:
    (found,) = [one for one in program.objects if one.name == name]
    return found


EVERYTHING = """
    import os, sys, time, procession

    def child(lock, queue, event):
        queue.put("from the child")
        event.set()
        lock.acquire()

    if __name__ == "__main__":
        ctx = procession.get_context(sys.argv[1])
        lock, queue, event = ctx.Lock(), ctx.Queue(), ctx.Event()
        lock.name, queue.name = "accounts", "orders"
        value, array = ctx.Value("d", 2.5), ctx.Array("i", 10)
        semaphore, barrier, condition = ctx.BoundedSemaphore(3), ctx.Barrier(2), ctx.Condition()
        semaphore.acquire()
        back, forth = ctx.Pipe()
        back.name = "wire"
        back.send("one")
        lock.acquire()
        worker = ctx.Process(target=child, args=(lock, queue, event), name="clerk")
        worker.start()
        event.wait()
        while lock.statistics().waiters == 0:
            time.sleep(0.001)
        print("ready", flush=True)
        time.sleep(600)
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_family_is_seen_from_outside(method: str, tmp_path: Path) -> None:
    with running(tmp_path, EVERYTHING, method) as outside:
        seen = _registry.program(outside.pid)
        assert seen.pid == outside.pid
        assert "program.py" in seen.command
        assert abs(seen.started - time.time()) < 60
        assert 0 < seen.used < seen.limit
        assert seen.notes == ()
        clerk = next(process for process in seen.processes if process.name == "clerk")
        main = next(process for process in seen.processes if process.pid == outside.pid)
        assert main.alive
        assert clerk.alive
        assert [thread.native_id for thread in main.threads] == [outside.pid]
        if method != "forkserver":
            assert clerk.parent == outside.pid

        accounts = named(seen, "accounts")
        assert (accounts.kind, accounts.given, accounts.creator) == ("Lock", "accounts", outside.pid)
        assert accounts.site == f"{tmp_path}/program.py:11 in <module>"
        assert set(accounts.holders) >= {outside.pid, clerk.pid}
        assert accounts.owner is not None
        assert (accounts.owner.pid, accounts.owner.name) == (outside.pid, "MainProcess")
        assert abs((accounts.owner.since or 0) - time.time()) < 60
        assert accounts.statistics.waiters == 1
        assert named(seen, "orders").statistics.depth == 1
        assert named(seen, "Value at program.py:13").statistics == _registry.ValueStatistics("d", 2.5)
        assert named(seen, "Array at program.py:13").statistics == _registry.ArrayStatistics("i", 10)
        semaphore = named(seen, "BoundedSemaphore at program.py:14").statistics
        assert (semaphore.value, semaphore.maximum) == (2, 3)
        assert named(seen, "Barrier at program.py:14").statistics.parties == 2
        assert named(seen, "Condition at program.py:14").statistics.waiters == 0
        assert named(seen, "Event at program.py:11").statistics.is_set
        wire = [one for one in seen.objects if one.name == "wire"]
        assert [one.kind for one in wire] == ["Pipe", "Pipe"]
        assert sorted(one.statistics.depth for one in wire) == [0, 1]
        assert not {"Buffer", "PipeFlags", "Claim"} & {one.kind for one in seen.objects}

        assert outside.pid in [program.pid for program in _registry.programs()]
        assert _registry.program(clerk.pid).token == seen.token, "any member will do"
        json.dumps(_registry.as_json(seen), allow_nan=False)


def test_who_looks_has_no_part_in_it(tmp_path: Path) -> None:
    with running(tmp_path, EVERYTHING, "fork") as outside, _registry.Watch() as watch:
        first = watch.program(outside.pid)
        again = watch.program(outside.pid)
        assert os.getpid() not in [process.pid for process in first.processes]
        assert [dataclasses.replace(one) for one in again.objects] == list(first.objects)
        assert first.used == again.used


@pytest.mark.slow
def test_a_program_that_stands_still_is_seen(tmp_path: Path) -> None:
    with running(tmp_path, EVERYTHING, "fork") as outside:
        os.kill(outside.pid, signal.SIGSTOP)
        wait_until(lambda: Path(f"/proc/{outside.pid}/stat").read_text().rpartition(") ")[2][0] == "T")
        seen = _registry.program(outside.pid)
        assert named(seen, "accounts").statistics.waiters == 1
        stopped = {process.pid: process.stopped for process in seen.processes}
        assert stopped.pop(outside.pid)
        assert not any(stopped.values())
        assert "stopped by a signal" in "\n".join(text for _, text in listing(seen))
        os.kill(outside.pid, signal.SIGCONT)


HUNG = """
    import sys, threading, procession

    def transfer(first, second, barrier):
        with first:
            barrier.wait()
            with second:
                pass

    def consume(queue):
        queue.get(timeout=3600)

    if __name__ == "__main__":
        ctx = procession.get_context(sys.argv[1])
        alice, bob, barrier, queue = ctx.Lock(), ctx.Lock(), ctx.Barrier(2), ctx.Queue()
        alice.name, bob.name, queue.name = "alice", "bob", "orders"
        children = [
            ctx.Process(target=transfer, args=(alice, bob, barrier), name="one"),
            ctx.Process(target=transfer, args=(bob, alice, barrier), name="two"),
            ctx.Process(target=consume, args=(queue,), name="consumer"),
        ]
        for child in children:
            child.start()
        print("ready", flush=True)
        children[0].join()
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_deadlock_is_seen_with_who_waits_where(method: str, tmp_path: Path) -> None:
    def waits(program: _registry.Program) -> dict[str, _registry.WaitInfo]:
        first = {process.name: process.threads[0].waits for process in program.processes if process.threads}
        return {name: wait for name, wait in first.items() if wait is not None and wait.site is not None}

    with running(tmp_path, HUNG, method) as outside:
        wait_until(lambda: len(waits(_registry.program(outside.pid))) == 4, timeout=PATIENCE_S)
        seen = _registry.program(outside.pid)
        found = waits(seen)
        alice, bob, orders = named(seen, "alice"), named(seen, "bob"), named(seen, "orders")
        one = next(process for process in seen.processes if process.name == "one")
        two = next(process for process in seen.processes if process.name == "two")
        assert (found["one"].action, found["one"].object) == ("acquire", bob.address)
        assert (found["two"].action, found["two"].object) == ("acquire", alice.address)
        assert found["one"].site == found["two"].site == f"{tmp_path}/program.py:7 in transfer"
        assert (found["consumer"].action, found["consumer"].object) == ("get", orders.address)
        assert {name for name, wait in found.items() if wait.timed} == {"consumer"}
        assert (found["MainProcess"].action, found["MainProcess"].pid) == ("join", one.pid)
        assert all(abs(wait.since - time.time()) < 60 for wait in found.values())
        assert alice.owner is not None
        assert (alice.owner.pid, alice.waiters) == (one.pid, ((two.pid, two.pid),))
        assert two.threads[0].ident is not None


HOLDER = """
    import os, time, procession

    def hold(lock):
        lock.acquire()
        os.kill(os.getpid(), 9)

    if __name__ == "__main__":
        import signal
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody takes back what the dead held
        lock = procession.get_context("fork").Lock()
        lock.name = "held by the dead"
        child = os.fork()
        if child == 0:
            hold(lock)
        while True:
            try:
                os.kill(child, 0)
            except ProcessLookupError:
                break
        print("ready", flush=True)
        time.sleep(600)
"""


@pytest.mark.slow
def test_a_dead_holder_is_named(tmp_path: Path) -> None:
    with running(tmp_path, HOLDER) as outside:
        seen = _registry.program(outside.pid)
        lock = named(seen, "held by the dead")
        assert lock.owner is not None
        dead = next(process for process in seen.processes if process.pid == lock.owner.pid)
        assert not dead.alive
        assert dead.threads == ()
        assert lock.owner.pid in lock.holders


@pytest.mark.slow
def test_a_family_whose_head_was_killed_is_seen_while_somebody_lives(tmp_path: Path) -> None:
    source = """
        import os, time, procession
        lock = procession.get_context("fork").Lock()
        lock.name = "left behind"
        if os.fork() == 0:
            print("ready", flush=True)
            time.sleep(600)
        os.wait()
    """
    with running(tmp_path, source) as outside:
        (child,) = [process.pid for process in _registry.program(outside.pid).processes if process.pid != outside.pid]
        os.kill(outside.pid, signal.SIGKILL)
        outside.wait()
        seen = _registry.program(child)
        assert seen.pid == child
        assert [(one.pid, one.alive) for one in seen.processes] == [(outside.pid, False), (child, True)]
        assert named(seen, "left behind").creator == outside.pid
        os.killpg(outside.pid, signal.SIGKILL)


THREADS = """
    import threading, procession
    ctx = procession.get_context("thread")
    lock = ctx.Lock()
    lock.name = "between threads"
    lock.acquire()
    print("ready", flush=True)
    threading.Event().wait()
"""


@pytest.mark.slow
def test_what_threads_share_is_seen_where_the_system_allows_it(tmp_path: Path) -> None:
    with running(tmp_path, THREADS) as outside:
        seen = _registry.program(outside.pid)
        found = [one for one in seen.objects if one.name == "between threads"]
        if seen.notes:
            assert "its memory cannot be read" in seen.notes[0]
            assert found == []
        else:
            assert [(one.home, one.kind) for one in found] == [(outside.pid, "Lock")]
            assert found[0].owner is not None


def test_a_pid_that_is_gone_is_said_to_be() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    with pytest.raises(NoSuchProgram, match=f"no process {child.pid}") as caught:
        _registry.program(child.pid)
    assert (caught.value.pid, caught.value.reason) == (child.pid, "gone")


def test_a_program_without_procession_is_said_to_be_one() -> None:
    child = subprocess.Popen(["sleep", "600"])
    try:
        with pytest.raises(NoSuchProgram, match="shares nothing through procession") as caught:
            _registry.program(child.pid)
        assert caught.value.reason == "not procession's"
    finally:
        child.kill()
        child.wait()


CLOSED = """
    import os, sys, time, procession

    if __name__ == "__main__":
        lock = procession.Lock()
        lock.name = "kept"
        if sys.argv[1] == "child":
            procession.Process(target=time.sleep, args=(600,), daemon=True).start()
        os.closerange(3, 100)
        print("ready", flush=True)
        time.sleep(600)
"""


@pytest.mark.slow
def test_who_closed_its_descriptors_is_found_by_its_children(tmp_path: Path) -> None:
    with running(tmp_path, CLOSED, "child") as outside:
        seen = _registry.program(outside.pid)
        assert outside.pid in [process.pid for process in seen.processes]
    with running(tmp_path, CLOSED, "alone") as outside, pytest.raises(NoSuchProgram, match="has closed the descriptor"):
        _registry.program(outside.pid)


def test_a_zombie_has_ended() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(NoSuchProgram, match="has ended"):
        _registry.program(child.pid)
    child.wait()


def look_as_another_user(pid: int, answers: Any) -> None:
    os.setresuid(65534, 65534, 65534)
    try:
        _registry.program(pid)
    except NoSuchProgram as error:
        answers.put((str(error), error.reason))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_users_program_is_not_looked_at() -> None:
    context = procession.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=look_as_another_user, args=(os.getpid(), answers))
    child.start()
    text, reason = answers.get(timeout=PATIENCE_S)
    child.join()
    assert reason == "another user's"
    assert f"process {os.getpid()} belongs to another user" in text


def test_ten_thousand_objects_are_all_there() -> None:
    before = len(_registry.program(os.getpid()).objects)
    locks = [procession.Lock() for _ in range(10_000)]
    seen = _registry.program(os.getpid())
    assert len(seen.objects) - before == 10_000
    addresses = {one.address for one in seen.objects}
    assert {lock.address for lock in locks} <= addresses


def test_what_has_not_changed_is_not_made_again() -> None:
    lock, event = procession.Lock(), procession.Event()
    lock.name, event.name = "changing", "unchanged"
    with _registry.Watch() as watch:
        first = watch.program(os.getpid())
        lock.acquire()
        event.name = "renamed"
        second = watch.program(os.getpid())
        third = watch.program(os.getpid())
        assert named(first, "changing") != named(second, "changing")
        assert named(second, "changing") is named(third, "changing")
        assert named(second, "renamed").address == named(first, "unchanged").address
        lock.release()
        del lock
        assert "changing" not in [one.name for one in watch.program(os.getpid()).objects]


def test_a_part_is_renamed_with_its_whole() -> None:
    value = procession.Value("i")
    with _registry.Watch() as watch:
        for name in ("first", "second"):
            value.name = name
            assert named(watch.program(os.getpid()), f"RLock of {name}").part_of == value.address[0]


def test_names_of_what_has_none() -> None:
    assert _registry.shown_name("Lock", None, "/home/u/bank.py:12 in deposit") == "Lock at bank.py:12"
    assert _registry.shown_name("Lock", "accounts", "/home/u/bank.py:12 in deposit") == "accounts"
    assert _registry.shown_name("Lock", None, None) == "Lock"
    assert short_site("/home/u/a b.py:3 in <module>") == "a b.py:3"
    assert short_site("/home/u in v/b.py:3 in f") == "b.py:3"


BARE = """
    import sys, time, procession

    def sleep():
        time.sleep(600)

    if __name__ == "__main__":
        child = procession.get_context(sys.argv[1]).Process(target=sleep, name="sleeper")
        child.start()
        procession.Thread(target=sleep, name="a thread", daemon=True).start()
        print("ready", flush=True)
        child.join()
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_and_threads_that_share_nothing_are_seen(method: str, tmp_path: Path) -> None:
    with running(tmp_path, BARE, method) as outside:
        wait_until(lambda: "sleeper" in [one.name for one in _registry.program(outside.pid).processes])
        wait_until(lambda: "a thread" in [one.name for one in _registry.program(outside.pid).processes[0].threads])
        seen = _registry.program(outside.pid)
        assert seen.objects == ()
        assert [one.name for one in seen.processes] == ["MainProcess", "sleeper"]
        assert [one.name for one in seen.processes[0].threads] == ["MainThread", "a thread"]


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="there the kernel knows every thread's name")
def test_a_thread_without_a_name_is_not_called_as_the_interpreter_is() -> None:
    with ThreadPoolExecutor(1) as executor:
        number = executor.submit(threading.get_native_id).result()
        assert dict(proc.threads(os.getpid()))[number] == "a thread"


def make_objects(answers: Any) -> None:
    lock = procession.Lock()
    lock.name = "a grandchild's"
    answers.put(lock)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_what_a_child_makes_is_in_its_parents_memory(method: str) -> None:
    context = procession.get_context(method)
    answers = context.Queue()
    child = context.Process(target=make_objects, args=(answers,))
    child.start()
    lock = answers.get(timeout=PATIENCE_S)
    assert lock.arena.token == answers.arena.token
    child.join()
