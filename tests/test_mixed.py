"""The standard library's objects in our processes, and ours in the standard library's, under every start method."""

import multiprocessing
import os
import queue as plain_queue
import socket
from collections.abc import Callable, Iterator
from multiprocessing import reduction
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np
import pytest

import procession
from procession import connection
from procession.testing import wait_until_blocked

METHODS = ["fork", "spawn", "forkserver"]


@pytest.fixture(scope="module", autouse=True)
def _kept_by_the_standard_library() -> Iterator[None]:
    """What it starts once and keeps, for all tests of this file, so that the leak check does not see it come."""
    from multiprocessing import forkserver, heap, resource_sharer, resource_tracker

    keep = heap.BufferWrapper(1)
    resource_tracker.ensure_running()
    forkserver.ensure_running()
    resource_sharer.DupFd(0).detach()
    yield
    resource_sharer.stop(30)
    forkserver._forkserver._stop()  # type: ignore[attr-defined]
    del keep


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def standard(method: str) -> Any:
    return multiprocessing.get_context(method)


def ours(method: str) -> Any:
    return procession.get_context(method)


# What to share, what a child does with it, and what the parent must find then


def fill(queue: Any) -> None:
    queue.put(("from the child", queue.get(timeout=30)))


def check_queue(queue: Any) -> None:
    assert queue.get(timeout=30) == ("from the child", "from the parent")


def queue_of(context: Any) -> Any:
    queue = context.Queue()
    queue.put("from the parent")
    return queue


def simple_queue_of(context: Any) -> Any:
    queue = context.SimpleQueue()
    queue.put("from the parent")
    return queue


def simple_fill(queue: Any) -> None:
    queue.put(("from the child", queue.get()))


def check_simple_queue(queue: Any) -> None:
    assert queue.get() == ("from the child", "from the parent")


def do_tasks(queue: Any) -> None:
    for _ in range(3):
        queue.get(timeout=30)
        queue.task_done()


def joinable_queue_of(context: Any) -> Any:
    queue = context.JoinableQueue()
    for number in range(3):
        queue.put(number)
    return queue


def check_joined(queue: Any) -> None:
    queue.join()
    with pytest.raises(plain_queue.Empty):
        queue.get(False)


def add(value: Any) -> None:
    with value.get_lock():
        value.value += 1


def check_value(value: Any) -> None:
    assert value.value == 42


def double(array: Any) -> None:
    with array:
        array[:] = [2 * item for item in array]


def check_array(array: Any) -> None:
    assert list(array) == [2, 4, 6]
    assert np.frombuffer(array.get_obj(), np.int32).tolist() == [2, 4, 6]


def raw_double(array: Any) -> None:
    for index, item in enumerate(array):
        array[index] = 2 * item


def check_raw_array(array: Any) -> None:
    assert list(array) == [2, 4, 6]


def fail_to_acquire(lock: Any) -> None:
    assert lock.acquire(False) is False
    assert lock.acquire(True, 0.01) is False


def held_lock(context: Any) -> Any:
    lock = context.Lock()
    lock.acquire()
    return lock


def check_held(lock: Any) -> None:
    lock.release()
    assert lock.acquire(False) is True
    lock.release()


def held_rlock(context: Any) -> Any:
    lock = context.RLock()
    lock.acquire()
    return lock


def give_back(semaphore: Any) -> None:
    assert semaphore.acquire(timeout=30)
    for _ in range(3):
        semaphore.release()


def check_semaphore(semaphore: Any) -> None:
    assert semaphore.get_value() == 3


def set_it(event: Any) -> None:
    event.set()


def check_event(event: Any) -> None:
    assert event.wait(30)


CASES: dict[str, tuple[Callable[[Any], Any], Callable[[Any], None], Callable[[Any], None]]] = {
    "Queue": (queue_of, fill, check_queue),
    "SimpleQueue": (simple_queue_of, simple_fill, check_simple_queue),
    "JoinableQueue": (joinable_queue_of, do_tasks, check_joined),
    "Value": (lambda context: context.Value("i", 41), add, check_value),
    "Array": (lambda context: context.Array("i", [1, 2, 3]), double, check_array),
    "RawArray": (lambda context: context.RawArray("i", [1, 2, 3]), raw_double, check_raw_array),
    "Lock": (held_lock, fail_to_acquire, check_held),
    "RLock": (held_rlock, fail_to_acquire, check_held),
    "Semaphore": (lambda context: context.Semaphore(1), give_back, check_semaphore),
    "Event": (lambda context: context.Event(), set_it, check_event),
}


def run(context: Any, target: Callable[..., Any], *args: Any) -> None:
    worker = context.Process(target=target, args=args)
    worker.start()
    worker.join()
    assert worker.exitcode == 0
    worker.close()


@pytest.mark.parametrize("kind", CASES)
def test_standard_object_in_our_process(kind: str, method: str) -> None:
    make, use, check = CASES[kind]
    shared = make(standard(method))
    run(ours(method), use, shared)
    check(shared)
    close(shared)


@pytest.mark.parametrize("kind", CASES)
def test_our_object_in_standard_process(kind: str, method: str) -> None:
    make, use, check = CASES[kind]
    shared = make(ours(method))
    run(standard(method), use, shared)
    check(shared)
    close(shared)


def close(shared: Any) -> None:
    for name in ("close", "join_thread"):
        getattr(shared, name, lambda: None)()


# Pipes


def answer(end: Any) -> None:
    end.send(("answer", end.recv()))
    end.send_bytes(end.recv_bytes())
    end.close()


@pytest.fixture(params=["standard pipe in our process", "our pipe in a standard process"])
def pipe_and_process(request: pytest.FixtureRequest, method: str) -> Iterator[Any]:
    contexts = standard(method), ours(method)
    pipes, processes = contexts if request.param.startswith("standard") else reversed(contexts)
    here, there = pipes.Pipe()
    yield here, there, processes
    here.close()
    there.close()


def test_pipe(pipe_and_process: Any) -> None:
    here, there, context = pipe_and_process
    worker = context.Process(target=answer, args=(there,))
    worker.start()
    there.close()
    here.send([1, 2])
    assert connection.wait([here, worker.sentinel], 30)[0] is here
    assert here.recv() == ("answer", [1, 2])
    here.send_bytes(b"bytes")
    assert here.recv_bytes() == b"bytes"
    with pytest.raises(EOFError):
        here.recv()
    worker.join()
    assert worker.exitcode == 0
    worker.close()


def test_each_pipe_travels_through_the_other() -> None:
    (a, b), (c, d) = procession.Pipe(), multiprocessing.Pipe()
    b.send(c)
    d.send("through the standard pipe that came through ours")
    with a.recv() as received:
        assert received.recv().startswith("through the standard")
    e, f = procession.Pipe()
    d.send(e)
    f.send("and back")
    with c.recv() as received:
        assert received.recv() == "and back"
    for end in (a, b, c, d, e, f):
        end.close()


def write_into(end: Any) -> None:
    fd = reduction.recv_handle(end)
    os.write(fd, b"written by the child")
    os.close(fd)


def test_handles_travel(pipe_and_process: Any) -> None:
    here, there, context = pipe_and_process
    worker = context.Process(target=write_into, args=(there,))
    worker.start()
    reading, writing = os.pipe()
    reduction.send_handle(here, writing, worker.pid)
    os.close(writing)
    worker.join()
    assert os.read(reading, 100) == b"written by the child"
    os.close(reading)
    worker.close()


# Mixtures within one process


def test_wait_for_everything(team: Any) -> None:
    pipes: list[Any] = [procession.Pipe(), multiprocessing.Pipe(), socket.socketpair()]
    reading, writing = os.pipe()
    queue = procession.Queue()
    things = [here for here, _ in pipes] + [reading]
    if hasattr(type(queue), "_reader"):
        things.append(queue._reader)
    assert connection.wait(things, 0) == []
    wake: list[Callable[[], object]] = [
        lambda: pipes[0][1].send(1),
        lambda: pipes[1][1].send(1),
        lambda: pipes[2][1].send(b"1"),
        lambda: os.write(writing, b"1"),
        lambda: queue.put(1),
    ]
    for number, make_ready in enumerate(wake[: len(things)]):
        make_ready()
        assert connection.wait(things, 30) == things[: number + 1]
    for here, there in pipes:
        here.close()
        there.close()
    os.close(reading)
    os.close(writing)


def test_standard_queue_on_our_locks_and_pipes(method: str) -> None:
    from multiprocessing.queues import JoinableQueue, Queue

    for kind, cls in (("Queue", Queue), ("JoinableQueue", JoinableQueue)):
        make, use, check = CASES[kind]

        class Context:
            """What makes the standard class of our parts; its other attributes are the context's."""

            Queue = JoinableQueue = staticmethod(lambda cls=cls: cls(ctx=ours(method)))

        shared = make(Context())
        assert type(shared) is cls
        run(ours(method), use, shared)
        check(shared)
        close(shared)


def test_standard_condition_on_our_locks() -> None:
    from multiprocessing.synchronize import Condition

    condition: Any = Condition(ctx=ours("fork"))
    found = []

    def wait_for_it() -> None:
        with condition:
            found.append(condition.wait(30))

    worker = procession.Thread(target=wait_for_it)
    with condition:
        worker.start()
        wait_until_blocked(condition._lock)
    while not found:
        with condition:
            condition.notify()
        worker.join(0.01)
    assert found == [True]
    worker.join()


def test_our_condition_refuses_a_standard_lock() -> None:
    with pytest.raises(TypeError, match=r"needs a Lock or an RLock of procession"):
        procession.Condition(multiprocessing.Lock())


def test_value_with_a_standard_lock(method: str) -> None:
    lock = standard(method).RLock()
    value = ours(method).Value("i", 41, lock=lock)
    assert value.get_lock() is lock
    run(ours(method), add, value)
    check_value(value)


def test_reducers_of_the_standard_library_know_ours() -> None:
    here, there = procession.Pipe()
    copy = ForkingPickler.loads(ForkingPickler.dumps(there))
    copy.send(1)
    assert here.recv() == 1
    for end in (here, there, copy):
        end.close()
