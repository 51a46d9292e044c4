"""Queues between processes: what is put stays, deaths, payloads, memory, pickling."""

import gc
import os
import pickle
import signal
import threading
from typing import Any

import pytest

import procession
from procession import _native, _store
from procession.errors import Full, ItemTooLarge, ObjectGone, PicklingError


def put_all(target: Any, items: list[Any]) -> None:
    for item in items:
        target.put(item)


def put_and_die(target: Any, count: int) -> None:
    for number in range(count):
        target.put(number)
    os.kill(os.getpid(), signal.SIGKILL)


def send_a_queue_and_forget_it(outbox: Any, context_name: str) -> None:
    inner = procession.get_context(context_name).Queue()
    inner.put("inside")
    outbox.put(inner)
    del inner
    gc.collect()
    outbox.put("sent")


# --- between processes -----------------------------------------------------------------------------------------------


def test_what_was_put_stays_when_the_producer_is_killed(process_context: Any) -> None:
    numbers = process_context.Queue()
    producer = process_context.Process(target=put_and_die, args=(numbers, 1000))
    producer.start()
    producer.join()
    assert producer.exitcode == -signal.SIGKILL
    assert [numbers.get(timeout=5) for _ in range(1000)] == list(range(1000))


def test_join_before_drain_does_not_deadlock(process_context: Any) -> None:
    results = process_context.Queue()
    producer = process_context.Process(target=put_all, args=(results, [b"x" * 1000] * 2000))
    producer.start()
    producer.join(20)
    assert producer.exitcode == 0
    assert sum(len(results.get()) for _ in range(2000)) == 2_000_000


def test_a_queue_outlives_the_sender_that_forgot_it(process_context: Any) -> None:
    outbox = process_context.Queue()
    sender = process_context.Process(
        target=send_a_queue_and_forget_it, args=(outbox, process_context.get_start_method())
    )
    sender.start()
    received = outbox.get(timeout=20)
    assert outbox.get(timeout=20) == "sent"
    sender.join()
    assert received.get(timeout=5) == "inside"


def test_a_mutation_after_put_does_not_travel() -> None:
    snapshots = procession.Queue()
    items = [1]
    snapshots.put(items)
    items.append(2)
    assert snapshots.get() == [1]


def test_an_unpicklable_object_is_named_in_the_caller() -> None:
    items = procession.Queue()
    with pytest.raises(PicklingError, match="lock"):
        items.put({"jobs": [1, threading.Lock()]})
    with pytest.raises(pickle.PicklingError):
        items.put_many([1, threading.Lock()])
    assert items.qsize() == 0


def test_an_item_that_never_fits_is_refused_at_once() -> None:
    small = procession.get_context("fork").Queue(max_bytes=1000)
    with pytest.raises(ItemTooLarge, match="max_bytes"):
        small.put(b"x" * 5000)
    small.put(b"x" * 500)
    with pytest.raises(Full):
        small.put(b"x" * 500, timeout=0.01)
    with pytest.raises(ValueError, match="max_bytes"):
        procession.get_context("fork").Queue(max_bytes=-1)


def test_a_closed_queue_refuses_here_and_goes_on_elsewhere() -> None:
    mine = procession.Queue()
    other = pickle.loads(pickle.dumps(mine))
    mine.close()
    mine.join_thread()
    with pytest.raises(ValueError, match="closed"):
        mine.put(1)
    with pytest.raises(ValueError, match="closed"):
        mine.get(False)
    other.put(1)
    assert other.get() == 1


def test_large_arrays_arrive_as_views_and_their_memory_comes_back() -> None:
    numpy = pytest.importorskip("numpy")
    arrays = procession.Queue()
    arrays.put(0)
    assert arrays.get() == 0  # the ring has its storage from here on
    before = _store.shared_arena().statistics()["used"]
    sent = numpy.arange(1 << 20)
    arrays.put(sent)
    received = arrays.get()
    assert received.flags.writeable
    assert not received.flags.owndata
    received[0] = 7
    assert (received[1:] == sent[1:]).all()
    del received
    arrays.put(memoryview(b"v" * 100_000))
    view = arrays.get()
    assert bytes(view) == b"v" * 100_000
    del view
    gc.collect()
    assert _store.shared_arena().statistics()["used"] == before


def test_memory_of_dropped_queues_comes_back_with_what_is_in_them() -> None:
    arena = _store.shared_arena()
    gc.collect()
    before = arena.statistics()
    for _ in range(200):
        dropped = procession.Queue()
        dropped.put(b"x" * 100_000)
        dropped.put(procession.Queue())
    del dropped
    gc.collect()
    after = arena.statistics()
    assert (after["used"], after["objects"]) == (before["used"], before["objects"])


def test_memory_of_a_killed_process_comes_back() -> None:
    arena = _store.shared_arena()
    shared = procession.Queue()
    before = arena.statistics()
    pid = os.fork()
    if pid == 0:
        kept = [procession.Queue() for _ in range(50)]
        kept[0].put(b"x" * 1_000_000)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert arena.statistics()["used"] > before["used"]
    assert _native.reap(pid)
    after = arena.statistics()
    assert (after["used"], after["objects"]) == (before["used"], before["objects"])
    shared.put(1)
    assert shared.get() == 1


def test_a_pickle_of_a_queue_that_is_gone_says_so() -> None:
    text = pickle.dumps(procession.Queue())
    gc.collect()
    with pytest.raises(ObjectGone, match="gone"):
        pickle.loads(text)


def test_a_full_arena_is_an_error_and_the_queue_goes_on() -> None:
    arena = _native.Arena.create(8 << 20)
    small = procession.queues.Queue(arena=arena)
    with pytest.raises(MemoryError, match="PROCESSION_ARENA_LIMIT"):
        small.put(b"x" * (9 << 20))
    with pytest.raises(MemoryError):
        put_all(small, [b"x" * (1 << 20)] * 100)
    taken = 0
    while not small.empty():
        assert len(small.get()) == 1 << 20
        taken += 1
    assert taken >= 4
    small.put("goes on")
    assert small.get() == "goes on"


def test_a_signal_handler_runs_while_get_waits() -> None:
    items = procession.Queue()
    previous = signal.signal(signal.SIGALRM, lambda *_: items.put("from the handler"))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        assert items.get(timeout=20) == "from the handler"
    finally:
        signal.signal(signal.SIGALRM, previous)


def test_a_forked_child_has_its_own_hold() -> None:
    items = procession.Queue()
    answers = procession.Queue()
    ready_out, ready_in = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.read(ready_out, 1)  # the parent has dropped its handle
        items.put("still here")
        answers.put(items.get(timeout=5))
        os._exit(0)
    del items
    gc.collect()
    os.write(ready_in, b"x")
    assert answers.get(timeout=20) == "still here"
    os.waitpid(pid, 0)
    os.close(ready_in)
    os.close(ready_out)


def test_ten_thousand_queues_cost_no_descriptor() -> None:
    procession.Queue()
    before = len(os.listdir("/proc/self/fd"))
    many = [procession.Queue() for _ in range(10_000)]
    many[-1].put(1)
    assert many[-1].get() == 1
    assert len(os.listdir("/proc/self/fd")) == before


def test_repr_and_statistics_tell_the_state() -> None:
    items = procession.Queue(5)
    items.put(1)
    items.put(2)
    items.get()
    assert repr(items) == "<Queue(1 items, 5)>"
    statistics = items.statistics()
    assert (statistics.depth, statistics.put, statistics.taken, statistics.waiters) == (1, 2, 1, 0)
