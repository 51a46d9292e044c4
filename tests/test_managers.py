"""Managers on our processes: proxies, registered types, remote managers, named shared memory."""

import gc
import multiprocessing
import multiprocessing.managers
import os
import queue
import signal
from collections.abc import Iterator, MutableSet
from pathlib import Path
from typing import Any

import pytest

import procession
from procession import managers
from procession.managers import BaseManager, SharedMemoryManager, SyncManager
from procession.testing import wait_until


class Counter:
    """What the tests register."""

    def __init__(self, start: int = 0) -> None:
        self.value = start

    def add(self, number: int) -> int:
        self.value += number
        return self.value

    def fail(self) -> None:
        raise KeyError("on purpose")

    def pid(self) -> int:
        return os.getpid()


class Manager(BaseManager):
    pass


Manager.register("Counter", Counter)
_jobs: "queue.Queue[Any]" = queue.Queue()


def jobs() -> "queue.Queue[Any]":
    return _jobs


class Serving(BaseManager):
    """What serves `jobs`: registered under the same name by those who connect."""


Serving.register("jobs", callable=jobs)


class Connecting(BaseManager):
    pass


Connecting.register("jobs")


@pytest.fixture
def sync(fork: Any) -> Iterator[Any]:
    with SyncManager(ctx=fork) as manager:
        yield manager
    manager.join()


def kind_of_process(_: Any) -> str:
    return type(multiprocessing.current_process()).__module__


def double(numbers: Any, lock: Any) -> None:
    with lock:
        for at, number in enumerate(numbers):
            numbers[at] = 2 * number


# Sync managers


@pytest.mark.slow
def test_proxies_work_in_children_of_every_method(process_context: Any) -> None:
    with SyncManager(ctx=process_context) as manager:
        numbers, lock = manager.list([1, 2]), manager.Lock()
        worker = process_context.Process(target=double, args=(numbers, lock))
        worker.start()
        assert worker.result() is None
        worker.close()
        assert list(numbers) == [2, 4]
        assert isinstance(manager, multiprocessing.managers.SyncManager)
        assert isinstance(manager._process, process_context.Process)  # type: ignore[attr-defined]
    manager.join()


@pytest.mark.slow
def test_the_context_makes_ours(process_context: Any) -> None:
    with process_context.Manager() as manager:
        assert type(manager) is SyncManager
        assert manager.set([1]) | {2} == {1, 2}
    manager.join()


def test_without_a_context_the_process_is_ours() -> None:
    with SyncManager() as manager:
        process = manager._process  # type: ignore[attr-defined]
        assert isinstance(process, procession.process.ProcessWithResult)
        assert type(process).__name__.lower().startswith(multiprocessing.get_start_method())
    manager.join()


def test_pools_are_ours(sync: Any) -> None:
    pool = sync.Pool(1)
    assert pool.map(abs, [-1, 2]) == [1, 2]
    assert pool.apply_async(abs, (-3,)).get() == 3
    assert list(pool.imap(abs, [-4])) == [4]
    (worker,) = pool.map(kind_of_process, [None])
    assert worker == "procession.process"
    pool.terminate()
    pool.join()


def test_types_registered_with_the_standard_class_are_known(sync: Any, fork: Any) -> None:
    multiprocessing.managers.SyncManager.register("Counter", Counter)
    try:
        with SyncManager(ctx=fork) as manager:
            assert manager.Counter(3).add(4) == 7  # type: ignore[attr-defined]
        manager.join()
    finally:
        del multiprocessing.managers.SyncManager._registry["Counter"]  # type: ignore[attr-defined]
        del multiprocessing.managers.SyncManager.Counter  # type: ignore[attr-defined]


def test_ours_registers_nothing_with_the_standard_class() -> None:
    assert set(multiprocessing.managers.SyncManager._registry) <= set(SyncManager._registry)  # type: ignore[attr-defined]
    assert "Counter" not in SyncManager._registry
    assert multiprocessing.managers.BaseManager._registry == {}  # type: ignore[attr-defined]


# Sets, which the standard library has from 3.14 on


def test_a_set_does_what_sets_do(sync: Any) -> None:
    numbers, others = sync.set([1, 2]), {2, 3}
    assert numbers & others == {2}
    assert others & numbers._getvalue() == {2}
    assert numbers | others == others | numbers == {1, 2, 3}
    assert numbers - others == {1}
    assert others - numbers == {3}
    assert numbers ^ others == others ^ numbers == {1, 3}
    assert numbers >= {1}
    assert not numbers > {1, 2}
    assert numbers <= {1, 2, 3}
    assert numbers < {1, 2, 3}
    assert 1 in numbers
    assert sorted(numbers) == [1, 2]
    assert len(numbers) == 2
    assert numbers.union([7]) == {1, 2, 7}
    assert numbers.isdisjoint([5])
    assert str(numbers) == "{1, 2}"


def test_a_set_is_changed_in_its_home(sync: Any) -> None:
    numbers = same = sync.set()
    numbers.add(1)
    numbers |= {2, 3, 4}
    numbers &= {1, 2, 3}
    numbers -= {3}
    numbers ^= {2, 9}
    assert numbers is same
    assert same._getvalue() == {1, 9}
    numbers.discard(5)
    with pytest.raises(KeyError):
        numbers.remove(5)
    numbers.clear()
    assert len(same) == 0


def test_a_set_is_known_by_its_kind(sync: Any) -> None:
    assert isinstance(sync.set(), MutableSet)
    assert isinstance(sync.set(), managers.SetProxy)
    nested = sync.dict(inner=sync.set([5]))
    assert 5 in nested["inner"]


# Registered types


def test_a_registered_type_lives_in_the_server(fork: Any) -> None:
    with Manager(ctx=fork) as manager:
        counter = manager.Counter(3)  # type: ignore[attr-defined]
        assert counter.add(4) == 7
        assert counter.pid() != os.getpid()
        with pytest.raises(KeyError, match="on purpose"):
            counter.fail()
        del counter
        gc.collect()
        assert manager._number_of_objects() == 0
    manager.join()


def test_a_dead_server_is_an_error(fork: Any) -> None:
    manager = Manager(ctx=fork)
    manager.start()
    counter = manager.Counter()  # type: ignore[attr-defined]
    process = manager._process  # type: ignore[attr-defined]
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with pytest.raises((EOFError, ConnectionError)):
        counter.add(1)
    with pytest.raises((EOFError, ConnectionError)):
        manager.Counter()  # type: ignore[attr-defined]
    manager.shutdown()


# Remote managers


def take(address: Any, authkey: bytes) -> Any:
    """In another process: one job from whoever serves at that address."""
    manager = Connecting(address=address, authkey=authkey)
    manager.connect()
    return manager.jobs().get(timeout=20)  # type: ignore[attr-defined]


@pytest.mark.slow
@pytest.mark.parametrize("family", ["tcp", "unix"])
def test_a_remote_manager_serves_whoever_has_the_key(family: str, process_context: Any, tmp_path: Path) -> None:
    address: Any = ("127.0.0.1", 0) if family == "tcp" else str(tmp_path / "socket")
    with Serving(address=address, authkey=b"secret", ctx=process_context) as server:
        here = Connecting(address=server.address, authkey=b"secret")
        here.connect()
        here.jobs().put({"job": 1})  # type: ignore[attr-defined]
        worker = process_context.Process(target=take, args=(server.address, b"secret"))
        worker.start()
        assert worker.result() == {"job": 1}
        worker.close()
        with pytest.raises(procession.AuthenticationError):
            Connecting(address=server.address, authkey=b"wrong").connect()
    server.join()


def test_a_server_in_this_process(fork: Any) -> None:
    manager = Serving(address=("127.0.0.1", 0), authkey=b"secret", ctx=fork)
    server = manager.get_server()
    assert server.address[1] > 0
    server.listener.close()  # type: ignore[attr-defined]


# Named shared memory


def fill(block: Any) -> None:
    block.buf[:3] = b"abc"
    block.close()


@pytest.mark.slow
def test_blocks_go_with_their_manager(process_context: Any) -> None:
    with SharedMemoryManager(ctx=process_context) as manager:
        block = manager.SharedMemory(size=8)
        worker = process_context.Process(target=fill, args=(block,))
        worker.start()
        assert worker.result() is None
        worker.close()
        assert bytes(block.buf[:3]) == b"abc"
        row = manager.ShareableList([1, "two"])
        assert list(row) == [1, "two"]
        name = block.name
        block.close()
        row.shm.close()
    manager.join()
    wait_until(lambda: not os.path.exists(f"/dev/shm/{name}"))
