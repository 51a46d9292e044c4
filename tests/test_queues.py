"""Queues: order, bounds, blocking, batches, payloads, ends of life; in every context."""

import gc
import os
import pickle
import queue
import signal
import threading
from typing import Any

import pytest

import procession
from procession import _native, _store
from procession.errors import Empty, Full, ItemTooLarge, ObjectGone, PicklingError, ShutDown
from procession.testing import wait_until_blocked

KINDS = ["Queue", "SimpleQueue", "JoinableQueue"]


def echo(inbox: Any, outbox: Any) -> None:
    """Send everything back until None comes."""
    while (item := inbox.get()) is not None:
        outbox.put(item)


def put_all(target: Any, items: list[Any]) -> None:
    for item in items:
        target.put(item)


def put_and_die(target: Any, count: int) -> None:
    for number in range(count):
        target.put(number)
    os.kill(os.getpid(), signal.SIGKILL)


def send_numbered(target: Any, who: int, count: int) -> None:
    for number in range(count):
        target.put((who, number))


def take_many(source: Any, answers: Any) -> None:
    taken = []
    while (item := source.get()) is not None:
        taken.append(item)
    answers.put(taken)


def finish_all(jobs: Any) -> None:
    for _ in range(jobs.qsize()):
        jobs.get()
        jobs.task_done()


def send_a_queue_and_forget_it(outbox: Any, context_name: str) -> None:
    inner = procession.get_context(context_name).Queue()
    inner.put("inside")
    outbox.put(inner)
    del inner
    gc.collect()
    outbox.put("sent")


# --- the same in every context ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_items_come_out_in_order(context: Any, kind: str) -> None:
    inbox, outbox = getattr(context, kind)(), getattr(context, kind)()
    items = [0, -1, 2**70, 1.5, "text", "ü" * 300, b"bytes", False, (1, [2, {"k": 3}]), {4, 5}, b"x" * 200_000]
    worker = context.Process(target=echo, args=(inbox, outbox))
    worker.start()
    put_all(inbox, items)
    assert [outbox.get() for _ in items] == items
    inbox.put(None)
    worker.join()


def test_many_producers_and_consumers_lose_and_repeat_nothing(context: Any) -> None:
    numbers, answers = context.Queue(), context.Queue()
    producers = [context.Process(target=send_numbered, args=(numbers, who, 500)) for who in range(3)]
    consumers = [context.Process(target=take_many, args=(numbers, answers)) for _ in range(2)]
    for process in producers + consumers:
        process.start()
    for process in producers:
        process.join()
    for _ in consumers:
        numbers.put(None)
    taken = [answers.get(timeout=20) for _ in consumers]
    for process in consumers:
        process.join()
    assert sorted(item for part in taken for item in part) == [(w, n) for w in range(3) for n in range(500)]
    for part in taken:  # what one producer sent, every consumer sees in its order
        for who in range(3):
            mine = [number for sender, number in part if sender == who]
            assert mine == sorted(mine)


def test_a_full_queue_refuses_then_waits(context: Any) -> None:
    bounded = context.Queue(2)
    bounded.put(1)
    bounded.put_nowait(2)
    assert bounded.full()
    assert bounded.qsize() == 2
    with pytest.raises(Full):
        bounded.put_nowait(3)
    with pytest.raises(queue.Full):
        bounded.put(3, timeout=0.01)
    waiting = threading.Thread(target=bounded.put, args=(3,))
    waiting.start()
    wait_until_blocked(bounded, 1)
    assert bounded.get() == 1
    waiting.join()
    assert [bounded.get(), bounded.get()] == [2, 3]


def test_an_empty_queue_raises_after_its_timeout_and_not_before(context: Any) -> None:
    empty = context.Queue()
    with pytest.raises(Empty):
        empty.get_nowait()
    start = os.times().elapsed
    with pytest.raises(queue.Empty):
        empty.get(timeout=0.1)
    assert os.times().elapsed - start >= 0.08  # the clock of os.times ticks in hundredths
    with pytest.raises(Empty):
        empty.get(True, -1)


def test_batches(context: Any) -> None:
    batched = context.Queue()
    assert batched.put_many(range(1000)) == 1000
    assert batched.put_many([]) == 0
    first = batched.get_many(10)
    assert first == list(range(10))
    rest: list[int] = []
    while len(rest) < 990:
        rest += batched.get_many(400)
    assert rest == list(range(10, 1000))
    assert batched.get_many(0) == []
    with pytest.raises(Empty):
        batched.get_many(5, False)


def test_a_batch_larger_than_the_bound_is_put_as_far_as_there_is_room(context: Any) -> None:
    bounded = context.Queue(3)
    assert bounded.put_many(range(5), timeout=0.01) == 3
    with pytest.raises(Full):
        bounded.put_many([9], block=False)
    assert bounded.get_many() == [0, 1, 2]


def test_shutdown_lets_the_rest_be_taken(context: Any) -> None:
    closing = context.Queue()
    closing.put(1)
    closing.shutdown()
    with pytest.raises(ShutDown):
        closing.put(2)
    assert closing.get() == 1
    with pytest.raises(ShutDown):
        closing.get()
    assert closing.is_shutdown


def test_shutdown_wakes_those_who_wait(context: Any) -> None:
    closing = context.Queue()
    caught: list[BaseException] = []

    def wait() -> None:
        try:
            closing.get()
        except ShutDown as error:
            caught.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    wait_until_blocked(closing, 1)
    closing.shutdown()
    waiting.join()
    assert len(caught) == 1


def test_immediate_shutdown_drops_what_is_there(context: Any) -> None:
    jobs = context.JoinableQueue()
    jobs.put_many(range(10))
    jobs.shutdown(immediate=True)
    jobs.join(timeout=5)
    with pytest.raises(ShutDown):
        jobs.get()


def test_join_waits_for_every_task_done(context: Any) -> None:
    jobs = context.JoinableQueue()
    jobs.put_many(range(20))
    with pytest.raises(TimeoutError, match="20 items"):
        jobs.join(timeout=0.01)
    worker = context.Process(target=finish_all, args=(jobs,))
    worker.start()
    jobs.join(timeout=20)
    worker.join()
    with pytest.raises(ValueError, match="too many times"):
        jobs.task_done()


def test_a_queue_travels_through_a_queue(context: Any) -> None:
    outer, inner = context.Queue(), context.Queue()
    outer.put(("here", inner))
    name, received = outer.get()
    received.put(name)
    assert inner.get(timeout=20) == "here"


@pytest.mark.parametrize("maxsize", ["3", 1.5, None])
def test_a_bound_that_is_no_number_is_refused(context: Any, maxsize: Any) -> None:
    with pytest.raises(TypeError, match="maxsize must be an int"):
        context.Queue(maxsize)


def test_a_bound_beyond_counting_is_refused(context: Any) -> None:
    with pytest.raises(ValueError, match="at most"):
        context.Queue(2**31)


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
