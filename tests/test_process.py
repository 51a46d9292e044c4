"""Processes: what they know of themselves, how they start and how they end."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from multiprocessing.connection import wait
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
    with pytest.raises(errors.PicklingError, match="target is "):
        context.Process(target=lambda: None).start()


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_argument_that_cannot_be_rebuilt(method: str, capfd: Any) -> None:
    worker = procession.get_context(method).Process(target=double, args=(RefusesToUnpickle(),))
    worker.start()
    with pytest.raises(errors.RemoteError, match="ValueError"):
        worker.result()
    assert worker.exitcode == 1
    finish(worker)


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
    with pytest.raises(errors.WorkerDied):
        worker.result()
    assert worker.exitcode == 255
    os.kill(pid, signal.SIGKILL)
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
