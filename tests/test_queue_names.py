"""Queues in the place of the standard library's: constructors, subclasses, what these have inside."""

import logging
import logging.handlers
import multiprocessing.queues
import os
import pickle
import queue as plain
import subprocess
import sys
import threading
import weakref
from multiprocessing.reduction import ForkingPickler
from typing import Any

import pytest

import procession
from procession import queues
from procession.errors import PicklingError

KINDS = ["Queue", "SimpleQueue", "JoinableQueue"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_instance_passes_for_one_of_the_standard_class(fork: Any, kind: str) -> None:
    made = getattr(fork, kind)()
    assert isinstance(made, getattr(multiprocessing.queues, kind))
    assert isinstance(made, getattr(queues, kind))
    assert isinstance(made, multiprocessing.queues.SimpleQueue) == (kind == "SimpleQueue")
    assert not isinstance(made, int)
    assert made.__class__.__name__ == kind
    assert made.__class__ is made.__class__


def test_that_costs_no_import() -> None:
    text = "import procession, sys; procession.Queue().put(1); print('multiprocessing.queues' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=50, check=True)
    assert ended.stdout.split() == ["False"]


@pytest.mark.parametrize("ctx", [None, procession.get_context("spawn"), multiprocessing.get_context("fork")])
def test_the_constructors_take_any_context(ctx: Any) -> None:
    bounded = queues.Queue(2, ctx=ctx)
    bounded.put(1)
    bounded.put(2)
    assert bounded.full()
    assert bounded._maxsize == 2
    jobs = queues.JoinableQueue(maxsize=1, ctx=ctx)
    jobs.put(1)
    assert (jobs.full(), jobs.get(), jobs.task_done(), jobs.join()) == (True, 1, None, None)
    simple = queues.SimpleQueue(ctx=ctx)
    simple.put(3)
    assert simple.get() == 3


def test_the_names_of_the_module() -> None:
    assert issubclass(queues.Empty, plain.Empty)
    assert issubclass(queues.Full, plain.Full)
    assert queues.Queue[int].__origin__ is queues.Queue


# --- subclasses ------------------------------------------------------------------------------------------------------


class Safe(queues.Queue):
    """As the one in concurrent.futures: arguments of its own, and a handler for what cannot be pickled."""

    def __init__(self, max_size: int = 0, *, ctx: Any, pending: dict[str, Any], lock: Any) -> None:
        self.pending, self.lock = pending, lock
        super().__init__(max_size, ctx=ctx)

    def _on_queue_feeder_error(self, e: BaseException, obj: Any) -> None:
        self.pending["failed"] = (type(e), obj)


class Counting(queues.Queue):
    """Counts what is put, and takes its count along."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, ctx=procession.get_context(), **kwargs)
        self.count = 0

    def put(self, *args: Any, **kwargs: Any) -> None:
        super().put(*args, **kwargs)
        self.count += 1

    def __getstate__(self) -> Any:
        return (*super().__getstate__(), self.count)

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state[:-1])
        self.count = state[-1]


class Feeding(queues.Queue):
    """Overrides put in the words of the standard library's own."""

    def put(self, obj: Any, block: bool = True, timeout: float | None = None) -> None:
        if not self._sem.acquire(block, timeout):
            raise queues.Full
        with self._notempty:
            if self._thread is None:
                self._start_thread()
            self._buffer.append(obj)
            self._notempty.notify()


def report(target: Any) -> None:
    target.put((type(target).__name__, getattr(target, "count", None)))


def test_a_subclass_with_arguments_of_its_own(fork: Any) -> None:
    pending: dict[str, Any] = {}
    safe = Safe(1, ctx=fork, pending=pending, lock=threading.Lock())
    assert isinstance(safe, multiprocessing.queues.Queue)
    bad = threading.Lock()
    safe.put(bad)
    assert pending["failed"] == (TypeError, bad)
    assert safe.empty()
    safe.put(1)
    with pytest.raises(plain.Full):
        safe.put_nowait(2)


def test_a_handler_of_failures_is_for_failures_of_pickling_only(fork: Any) -> None:
    pending: dict[str, Any] = {}
    safe = Safe(ctx=fork, pending=pending, lock=None)
    safe.close()
    with pytest.raises(ValueError, match="closed"):
        safe.put(1)
    assert pending == {}
    with pytest.raises(PicklingError, match="lock"):
        fork.Queue().put(threading.Lock())


def test_a_subclass_travels_with_what_it_adds(process_context: Any) -> None:
    counting = Counting(5)
    counting.put("first")
    process = process_context.Process(target=report, args=(counting,))
    process.start()
    process.join()
    assert [counting.get(timeout=20) for _ in range(2)] == ["first", ("Counting", 1)]


def test_what_a_subclass_does_not_add_stays_behind(fork: Any) -> None:
    safe = Safe(ctx=fork, pending={}, lock=threading.Lock())  # the lock could not travel
    copy = pickle.loads(pickle.dumps(safe))
    copy.put(1)
    assert (type(copy), safe.get(), hasattr(copy, "lock")) == (Safe, 1, False)


def test_put_in_the_words_of_the_standard_library(process_context: Any) -> None:
    feeding = Feeding(2, ctx=process_context)
    process = process_context.Process(target=report, args=(feeding,))
    process.start()
    assert feeding.get(timeout=20) == ("Feeding", None)
    process.join()
    feeding.put(1)
    feeding.put(2)
    with pytest.raises(plain.Full):
        feeding.put(3, timeout=0.01)


def test_put_and_get_are_native_where_nobody_overrides_them() -> None:
    assert queues.Queue.put is queues.SimpleQueue.put is procession._native.Ring.put
    assert queues.JoinableQueue.get is procession._native.Ring.get


# --- inside ----------------------------------------------------------------------------------------------------------


def test_reader_and_writer_are_ends_of_the_queue(fork: Any) -> None:
    queue = fork.Queue()
    reader, writer = queue._reader, queue._writer
    assert not reader.poll()
    assert not reader.poll(0.01)
    writer.send({"a": 1})
    writer.send_bytes(ForkingPickler.dumps([1, 2]))
    queue.put("three")
    assert reader.poll(None)
    assert reader.recv() == {"a": 1}
    assert queue.get() == [1, 2]
    assert pickle.loads(reader.recv_bytes()) == "three"
    assert (reader.readable, reader.writable, writer.readable, writer.writable) == (True, False, False, True)
    with reader, writer:
        pass
    assert reader.closed
    for use in (reader.recv, reader.poll, reader.recv_bytes, lambda: writer.send(1), lambda: writer.send_bytes(b"")):
        with pytest.raises(OSError, match="closed"):
            use()
    queue.put(1)
    assert queue.get() == 1


def test_a_reader_travels(process_context: Any) -> None:
    queue = process_context.Queue()
    process = process_context.Process(target=queue._writer.send, args=("through the writer",))
    process.start()
    assert queue._reader.recv() == "through the writer"
    process.join()


def test_bounds_and_counts_as_semaphores(fork: Any) -> None:
    jobs = fork.JoinableQueue(2)
    assert jobs._sem._semlock._get_value() == 2
    jobs.put(1)
    jobs.put(2)
    assert (jobs._sem._semlock._is_zero(), jobs._sem.acquire(False), jobs._sem.acquire(True, 0.01)) == (True,) + (
        False,
    ) * 2
    assert jobs._unfinished_tasks._semlock._get_value() == 2
    jobs.get()
    assert jobs._sem.acquire()
    assert [jobs._unfinished_tasks.acquire(False) for _ in range(3)] == [True, True, False]
    assert jobs._unfinished_tasks._semlock._is_zero()
    assert fork.Queue()._sem._semlock._get_value() == fork.Queue()._maxsize == 2**31 - 1


@pytest.mark.parametrize("kind", KINDS)
def test_everything_that_a_standard_queue_has_inside(fork: Any, kind: str) -> None:
    standard, ours = getattr(multiprocessing, kind)(), getattr(fork, kind)()
    names = {*vars(standard), *dir(standard)} - {"_feed", "_finalize_close", "_finalize_join"}
    assert [name for name in sorted(names) if not hasattr(ours, name)] == []
    standard.close()
    assert ours._opid == os.getpid()
    assert ours._reader is ours._reader
    assert (ours._ignore_epipe, ours._thread, len(ours._buffer), ours._closed) == (False, None, 0, False)
    with ours._rlock, ours._wlock, ours._notempty, ours._cond:
        pass
    with pytest.raises(IndexError):
        ours._buffer.popleft()
    ours._ignore_epipe = True
    ours.note = "users hang things on queues"
    with pytest.raises(AttributeError, match="'_nonsense'"):
        ours._nonsense  # noqa: B018


def test_the_creator_stays_the_creator(process_context: Any) -> None:
    queue = process_context.Queue()
    process = process_context.Process(target=tell_creator, args=(queue,))
    process.start()
    assert queue.get(timeout=20) == os.getpid()
    process.join()


def tell_creator(queue: Any) -> None:
    queue.put(queue._opid)


def test_looking_inside_keeps_nothing_alive(fork: Any) -> None:
    queue = fork.Queue()
    for name in ("_reader", "_writer", "_sem", "_buffer", "_poll", "_cond"):
        getattr(queue, name)
    gone = weakref.ref(queue)
    del queue
    assert gone() is None


def test_a_closed_simple_queue_has_closed_ends(fork: Any) -> None:
    simple = fork.SimpleQueue()
    simple.close()
    simple.close()
    assert simple._reader.closed
    assert simple._writer.closed
    with pytest.raises(ValueError, match="closed"):
        simple.get()


def test_a_closed_queue_cannot_be_asked_whether_it_is_empty(fork: Any) -> None:
    unused, used, simple = fork.Queue(), fork.JoinableQueue(), fork.SimpleQueue()
    used.put(1)
    for queue in (unused, used, simple):
        queue.close()
    assert unused.empty()  # as in the standard library, where close does nothing to it
    for queue in (used, simple):
        with pytest.raises(OSError, match="is closed"):
            queue.empty()


def test_join_thread_needs_a_closed_queue(fork: Any) -> None:
    queue = fork.Queue()
    with pytest.raises(AssertionError, match="not closed"):
        queue.join_thread()
    queue.cancel_join_thread()
    queue.close()
    queue.join_thread()


# --- libraries -------------------------------------------------------------------------------------------------------


def log_something(queue: Any) -> None:
    logger = logging.getLogger("child")
    logger.addHandler(logging.handlers.QueueHandler(queue))
    logger.warning("from %s", "a child")


def test_logging_sends_records_through(process_context: Any) -> None:
    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            texts.append(record.getMessage())

    texts: list[str] = []
    queue = process_context.Queue()
    listener = logging.handlers.QueueListener(queue, Kept())
    listener.start()
    process = process_context.Process(target=log_something, args=(queue,))
    process.start()
    process.join()
    listener.stop()
    assert texts == ["from a child"]


def echo(source: Any, target: Any) -> None:
    target.put(source.get())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_standard_and_our_queues_in_each_others_processes(method: str) -> None:
    standard, ours = multiprocessing.get_context(method), procession.get_context(method)
    for context in (standard, ours):
        source, target = standard.Queue(), ours.Queue()
        process = context.Process(target=echo, args=(source, target))
        process.start()
        source.put("mixed")
        assert target.get(timeout=20) == "mixed"
        process.join()
        source.close()
        source.join_thread()
