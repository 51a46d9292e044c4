"""Processes: what they know of themselves, how they start and how they end."""

import multiprocessing
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import pytest

import procession
from procession import errors


def double(number: int) -> int:
    return 2 * number


def kill_self(number: int) -> None:
    os.kill(os.getpid(), number)


def fail() -> None:
    raise ValueError("the target failed", 7)


class RefusesToUnpickle:
    def __reduce__(self) -> Any:
        return fail, ()


def finish(worker: Any) -> None:
    worker.join()
    worker.close()


def run(context: Any, target: Any, *args: Any) -> Any:
    worker = context.Process(target=target, args=args)
    worker.start()
    try:
        return worker.result()
    finally:
        finish(worker)


# The process


def who_am_i() -> tuple[Any, ...]:
    parent = multiprocessing.parent_process()
    assert parent is not None
    current = multiprocessing.current_process()
    return current.name, current.daemon, os.getpid(), parent.pid, parent.is_alive(), sys.argv, os.getcwd()


def test_child_knows_itself_and_its_parent(process_context: Any) -> None:
    worker = process_context.Process(target=who_am_i, name="inner", daemon=True)
    worker.start()
    name, daemon, pid, parent_pid, parent_alive, argv, directory = worker.result()
    assert (name, daemon, pid) == ("inner", True, worker.pid)
    assert (parent_pid, parent_alive) == (os.getpid(), True)
    assert (argv, directory) == (sys.argv, os.getcwd())
    finish(worker)


def start_another(method: str) -> tuple[int, str | None]:
    worker = procession.get_context(method).Process(target=double, args=(5,))
    worker.start()
    value = worker.result()
    finish(worker)
    return value, procession.get_start_method()


@pytest.mark.parametrize("inner", ["fork", "spawn", "forkserver"])
def test_nested(process_context: Any, inner: str) -> None:
    assert run(process_context, start_another, inner) == (10, process_context.get_start_method())


def test_sentinel_can_be_waited_for(context: Any) -> None:
    workers = [context.Process(target=double, args=(1,)) for _ in range(3)]
    for worker in workers:
        worker.start()
    waiting = {worker.sentinel: worker for worker in workers}
    while waiting:
        for sentinel in wait(list(waiting), timeout=30):
            ended = waiting.pop(sentinel)  # type: ignore[index]
            assert ended.result() == 2
    for worker in workers:
        finish(worker)


def test_sentinel_does_not_wait_for_grandchildren(process_context: Any) -> None:
    worker = process_context.Process(target=leave_grandchild)
    worker.start()
    worker.join(timeout=30)
    assert worker.exitcode == 0
    os.kill(worker.result(), signal.SIGKILL)
    finish(worker)


def leave_grandchild() -> int:
    pid = os.fork()
    if pid == 0:
        time.sleep(600)
        os._exit(0)
    return pid


def test_terminate_kill_and_exit_codes(process_context: Any) -> None:
    for end, number in (("terminate", signal.SIGTERM), ("kill", signal.SIGKILL)):
        worker = process_context.Process(target=time.sleep, args=(600,))
        assert (worker.exitcode, worker.pid, worker.is_alive()) == (None, None, False)
        worker.start()
        assert worker.is_alive()
        assert worker in multiprocessing.active_children()
        with pytest.raises(ValueError, match="still running"):
            worker.close()
        getattr(worker, end)()
        worker.join()
        assert worker.exitcode == -number
        assert not worker.is_alive()
        assert worker not in multiprocessing.active_children()
        getattr(worker, end)()  # nothing is left to end
        finish(worker)


def test_a_signal_sent_before_the_first_step_is_not_lost(process_context: Any) -> None:
    for _ in range(1 if process_context.get_start_method() == "spawn" else 20):
        worker = process_context.Process(target=time.sleep, args=(600,))
        worker.start()
        worker.terminate()
        worker.join()
        assert worker.exitcode == -signal.SIGTERM
        finish(worker)


def test_many_threads_join_one_process(process_context: Any) -> None:
    worker = process_context.Process(target=double, args=(1,))
    worker.start()
    seen: list[int | None] = []
    threads = [threading.Thread(target=lambda: (worker.join(), seen.append(worker.exitcode))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [0] * 8
    finish(worker)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_unpicklable_argument_is_named_by_start(method: str) -> None:
    context = procession.get_context(method)
    worker = context.Process(target=double, args=(1, {"lock": [threading.Lock()]}))
    with pytest.raises(errors.PicklingError, match=r"args\[1\]\['lock'\]\[0\]") as caught:
        worker.start()
    assert caught.value.path == "args[1]['lock'][0]"
    assert worker.exitcode is None
    assert worker not in multiprocessing.active_children()
    with pytest.raises(errors.PicklingError, match=r"target is .* top level of a module, or use get_context\('fork'\)"):
        context.Process(target=lambda: None).start()
    with pytest.raises(errors.PicklingError, match=r"args\[0\] is <queue.Queue .* a procession.Queue\(\)$"):
        context.Process(target=double, args=(queue.Queue(),)).start()  # nor by fork: the child would have a copy


def test_the_result_of_a_call_is_no_target(process_context: Any) -> None:
    with pytest.raises(TypeError, match=r"not 2: pass target=f, not its result, target=f\(\)"):
        process_context.Process(target=double(1))


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_argument_that_cannot_be_rebuilt(method: str, capfd: Any) -> None:
    worker = procession.get_context(method).Process(target=double, args=(RefusesToUnpickle(),))
    worker.start()
    with pytest.raises(errors.RemoteError, match="ValueError"):
        worker.result()
    assert worker.exitcode == 1
    finish(worker)


@pytest.mark.slow
def test_a_name_that_the_childs_main_module_lacks(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("""
import procession

if __name__ == "__main__":
    def work(): pass
    process = procession.get_context("spawn").Process(target=work)
    process.start()
    process.join()
    try:
        process.result()
    except procession.errors.RemoteError as error:
        print(error)
""")
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=20)
    advice = "this process was started before that was defined, or imported the main module without it: define it at"
    assert done.stdout.count(advice) == 1, done.stdout
    assert done.stderr.count(advice) == 1, done.stderr
    assert done.stderr.count("Can't get attribute 'work'") == 1


def use_standard_queue(queue: Any) -> None:
    queue.put(b"x" * 100_000)  # left in the feeder thread: only the exit function of multiprocessing.util sends it


def test_standard_primitives_travel_and_flush(process_context: Any) -> None:
    standard = multiprocessing.get_context(process_context.get_start_method())
    queue, lock = standard.Queue(), standard.Lock()
    worker = process_context.Process(target=use_standard_queue, args=(queue,), kwargs={})
    worker.start()
    assert queue.get(timeout=30) == b"x" * 100_000
    assert worker.result() is None
    finish(worker)
    queue.close()
    queue.join_thread()
    del lock


def test_fork_server_is_started_again_after_its_death() -> None:
    from procession._engines import forkserver

    context = procession.get_context("forkserver")
    assert run(context, double, 1) == 2
    worker = context.Process(target=time.sleep, args=(600,))
    worker.start()
    pid, server_pid = worker.pid, forkserver.server.pid
    os.kill(server_pid, signal.SIGKILL)
    with pytest.raises(errors.TimeoutError):
        worker.result(0.05)  # it lives
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(errors.WorkerDied):
        worker.result()
    assert worker.exitcode == 255
    finish(worker)
    assert run(context, double, 2) == 4
    assert forkserver.server.pid != server_pid


def test_without_pidfd(process_context: Any, monkeypatch: Any) -> None:
    from procession import _bootstrap

    monkeypatch.setattr(_bootstrap, "pidfd_open", lambda pid: None)
    sentinel = _bootstrap._OwnSentinel()
    monkeypatch.setattr(_bootstrap, "_own_sentinel", sentinel)
    assert run(process_context, double, 4) == 8
    with pytest.raises(errors.WorkerDied):
        run(process_context, kill_self, signal.SIGKILL)
    for fd in (sentinel.fd, sentinel.kept_open):
        os.close(fd)


# Names of the standard module


def test_names_of_the_standard_module() -> None:
    from multiprocessing import process as standard

    for name in ("_children", "_cleanup", "_current_process", "_dangling", "_process_counter", "AuthenticationString"):
        assert getattr(procession.process, name) is getattr(standard, name)
    assert [name for name in dir(standard) if not hasattr(procession.process, name)] == []
    with pytest.raises(AttributeError, match=r"'procession.process' has no attribute 'nonsense'"):
        procession.process.nonsense  # noqa: B018


def test_process_object_is_the_standard_one() -> None:
    worker: Any = procession.Process(name="me", daemon=True)
    current: Any = procession.current_process()
    assert worker in procession.process._dangling
    assert (worker._parent_pid, worker._parent_name, worker._popen) == (os.getpid(), current.name, None)
    assert worker._identity[:-1] == current._identity
    assert worker._config == {**current._config, "daemon": True}
    assert worker.authkey == current.authkey
    with pytest.raises(ValueError, match="not started"):
        worker.sentinel  # noqa: B018


def wait_for_interrupt(ready: Any) -> str:
    try:
        ready.set()
        time.sleep(600)
    except KeyboardInterrupt:
        return "interrupted"
    return "slept"


def test_interrupt(process_context: Any) -> None:
    ready = process_context.Event()
    worker = process_context.Process(target=wait_for_interrupt, args=(ready,))
    worker.start()
    assert ready.wait(30)
    worker.interrupt()
    assert worker.result() == "interrupted"
    worker.interrupt()  # nothing is left to interrupt
    finish(worker)


# Children of daemonic processes


def report_and_sleep(end: Any, name: str) -> None:
    end.send((name, os.getpid()))
    time.sleep(600)


def have_children(method: str, end: Any, depth: int) -> None:
    context = procession.get_context(method)
    context.Process(target=report_and_sleep, args=(end, "daemonic")).start()
    context.Process(target=report_and_sleep, args=(end, "not daemonic"), daemon=False).start()
    if depth:
        context.Process(target=have_children, args=(method, end, depth - 1), daemon=False).start()
    report_and_sleep(end, "parent")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_children_of_a_daemon_end_with_it(process_context: Any, number: signal.Signals) -> None:
    here, there = process_context.Pipe(duplex=False)
    method = process_context.get_start_method()
    worker = process_context.Process(target=have_children, args=(method, there, 1), daemon=True)
    worker.start()
    family = [here.recv() for _ in range(6)]
    assert sorted(name for name, _ in family) == ["daemonic"] * 2 + ["not daemonic"] * 2 + ["parent"] * 2
    os.kill(worker.pid, number)
    there.close()
    with pytest.raises(EOFError):  # when the last of those who hold the other end is gone
        here.recv()
    finish(worker)
    here.close()


def wait_for_children() -> list[int | None]:
    context = procession.get_context("fork")
    workers = [context.Process(target=sys.exit, args=(code,), daemon=code == 2) for code in (1, 2)]
    for worker in workers:
        worker.start()
        with pytest.raises(AssertionError, match="twice"):
            worker.start()
    for worker in workers:
        worker.join()
    return [worker.exitcode for worker in workers]


def test_daemon_can_wait_for_its_children(process_context: Any) -> None:
    worker = process_context.Process(target=wait_for_children, daemon=True)
    worker.start()
    assert worker.result() == [1, 2]
    finish(worker)
