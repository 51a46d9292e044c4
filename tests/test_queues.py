"""Queues: order, bounds, blocking, batches, payloads, ends of life; in every context."""

import os
import queue
import threading
from typing import Any

import pytest

from procession.errors import Empty, Full, ShutDown
from procession.testing import wait_until_blocked

KINDS = ["Queue", "SimpleQueue", "JoinableQueue"]


def echo(inbox: Any, outbox: Any) -> None:
    """Send everything back until None comes."""
    while (item := inbox.get()) is not None:
        outbox.put(item)


def put_all(target: Any, items: list[Any]) -> None:
    for item in items:
        target.put(item)


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
