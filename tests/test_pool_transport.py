"""Pools whose subclass brings its own queues: the standard code, on our locks and processes."""

from __future__ import annotations

import multiprocessing.pool
import threading
from typing import Any

import pytest
from pool_tasks import add, double, raise_for

import procession
from procession._queue_insides import QueueReader
from procession.errors import WorkerDied
from procession.pool import Pool, worker

pytestmark = pytest.mark.watchdog(30)

made: list[str] = []


def other_worker(*arguments: Any) -> None:
    """As PyTorch's: something around the standard one."""
    worker(*arguments)


class WithQueues(Pool):
    """As joblib's and PyTorch's pools are made."""

    def __init__(self, *arguments: Any, label: str = "", **options: Any) -> None:
        self.label = label
        super().__init__(*arguments, **options)

    def _setup_queues(self) -> None:
        made.append(self.label)
        self._inqueue = self._ctx.SimpleQueue()
        self._outqueue = self._ctx.SimpleQueue()
        self._quick_put = self._inqueue.put
        self._quick_get = self._outqueue.get

    def _repopulate_pool(self) -> None:
        for _ in range(self._processes - len(self._pool)):
            given = self._inqueue, self._outqueue, self._initializer, self._initargs, self._maxtasksperchild, True
            process = self.Process(self._ctx, target=other_worker, args=given)
            self._pool.append(process)
            process.name = process.name.replace("Process", "PoolWorker")
            process.daemon = True
            process.start()


class Between(Pool):
    """Changes nothing of the transport."""

    def twice(self, *arguments: Any) -> Any:
        return self.apply(double, arguments)


class Further(Between):
    def _setup_queues(self) -> None:
        WithQueues._setup_queues(self)  # type: ignore[arg-type]

    label = "further"

    def __init__(self, processes: int) -> None:
        Pool.__init__(self, processes)  # by name, as older programs do


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_a_pool_with_its_own_queues(method: str) -> None:
    made.clear()
    with WithQueues(2, label="own", context=procession.get_context(method)) as pool:
        assert made == ["own"]
        assert isinstance(pool, Pool)
        assert pool.map(double, range(20)) == list(range(0, 40, 2))
        assert pool.apply(add, (1, 2)) == 3
        assert list(pool.imap_unordered(double, [3])) == [6]
        with pytest.raises(ValueError, match="-1 is negative"):
            pool.map(raise_for, [1, -1])
        assert pool.apply_async(double, (4,)).get(20) == 8
        assert type(pool._pool[0]).__module__.startswith("procession")
    pool.join()


def test_terminate_does_not_wait_for_what_a_worker_took(monkeypatch: pytest.MonkeyPatch) -> None:
    """The standard code looks for a task and then takes it; in between a worker may have been quicker."""
    queue = procession.get_context("fork").SimpleQueue()
    seen = QueueReader.poll

    def seen_and_gone(reader: QueueReader, timeout: float | None = 0.0) -> bool:
        there = seen(reader, timeout)
        while not queue.empty():
            queue.get()
        return there

    monkeypatch.setattr(QueueReader, "poll", seen_and_gone)
    for task in range(3):
        queue.put(task)
    WithQueues._help_stuff_finish(queue, threading.current_thread(), 2)  # type: ignore[attr-defined]
    assert queue.empty()


def test_only_such_a_class_is_a_standard_pool() -> None:
    assert Between.__bases__ == (Pool,)
    assert Pool._standard is None
    assert WithQueues.__bases__ != (Pool,)
    assert Further.__mro__.index(Between) < Further.__mro__.index(Pool)
    with Between(1) as pool:
        assert pool.twice(4) == 8
        assert pool.statistics().workers == 1
    pool.join()


def test_a_class_derived_from_a_class_of_ours() -> None:
    with Further(1) as pool:
        assert pool.twice(4) == 8
    pool.join()


def test_the_standard_pool_is_left_alone() -> None:
    assert multiprocessing.pool.Pool.__module__ == "multiprocessing.pool"
    assert WithQueues._standard is not multiprocessing.pool.Pool
    assert not issubclass(WorkerDied, multiprocessing.pool.MaybeEncodingError)  # type: ignore[attr-defined]
