"""A get that a signal's handler cuts short, or whose item cannot be decoded, costs nobody else an item."""

import gc
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest

from procession import _store, queues
from procession.errors import UnpicklingError
from procession.queues import JoinableQueue, Queue

SOON = 5  # seconds
KINDS = ["Queue", "SimpleQueue", "JoinableQueue"]
BODY = b"x" * 100_000  # in a block beside the ring


class Alarm(Exception):
    """What the handlers here raise."""


def raise_alarm(*_: object) -> None:
    raise Alarm


class Handler:
    """A handler that is no function."""

    def __call__(self, *_: object) -> None:
        raise Alarm

    def method(self, *_: object) -> None:
        raise Alarm


@pytest.fixture(params=KINDS)
def queue(request: pytest.FixtureRequest) -> Any:
    return getattr(queues, request.param)(arena=_store.shared_arena())


@pytest.fixture
def handle() -> Iterator[Callable[[Any], None]]:
    """Sets the handler of SIGUSR1."""
    before = signal.getsignal(signal.SIGUSR1)
    yield lambda handler: signal.signal(signal.SIGUSR1, handler)  # type: ignore[func-returns-value]
    signal.signal(signal.SIGUSR1, before)


def rebuild(number: int, body: bytes) -> "Signals":
    if Signals.next_ones:
        Signals.next_ones.pop()()
    return Signals(number, body)


class Signals:
    """Something whose decoding is interrupted as `next_ones` say."""

    next_ones: ClassVar[list[Callable[[], object]]] = []

    def __init__(self, number: int, body: bytes = b"") -> None:
        self.number, self.body = number, body

    def __reduce__(self) -> Any:
        return rebuild, (self.number, self.body)


def hit_self() -> None:
    os.kill(os.getpid(), signal.SIGUSR1)
    for _ in range(100):  # the handler runs between two of these
        pass


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("handler", [raise_alarm, Handler(), Handler().method], ids=["function", "object", "method"])
@pytest.mark.parametrize("body", [b"", BODY], ids=["small", "large"])
def test_an_item_whose_decoding_is_interrupted_stays_the_next(
    queue: Any, handle: Callable[[Any], None], handler: Any, body: bytes
) -> None:
    handle(handler)
    queue.put(Signals(1, body))
    queue.put(2)
    Signals.next_ones = [hit_self, hit_self]
    for _ in range(2):
        with pytest.raises(Alarm):
            queue.get()
        assert queue.qsize() == 2
    assert queue.unfinished() == 2
    item = queue.get()
    assert (item.number, item.body, queue.delivery_count) == (1, body, 1)
    assert queue.get() == 2
    assert queue.empty()


@pytest.mark.parametrize("kind", KINDS)
def test_what_an_interrupted_process_had_taken_is_there_for_others(kind: str) -> None:
    queue = getattr(queues, kind)(arena=_store.shared_arena())
    queue.put(Signals(1, BODY))
    pid = os.fork()
    if pid == 0:
        Signals.next_ones = [interrupt]
        try:
            queue.get()
        except KeyboardInterrupt:
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert queue.get(timeout=SOON).number == 1


def test_an_interrupted_batch_goes_back_whole(queue: Any, handle: Callable[[Any], None]) -> None:
    handle(raise_alarm)
    queue.put_many([1, 2, Signals(3), 4])
    Signals.next_ones = [hit_self]
    with pytest.raises(Alarm):
        queue.get_many()
    assert [getattr(item, "number", item) for item in queue.get_many()] == [1, 2, 3, 4]


def fail() -> None:
    raise ValueError("cannot be rebuilt")


def test_an_item_that_cannot_be_decoded_costs_no_other(queue: Any) -> None:
    queue.put_many([1, Signals(2), 3])
    Signals.next_ones = [fail] * 3
    assert queue.get_many() == [1]
    with pytest.raises(UnpicklingError, match="cannot be rebuilt"):
        queue.get_many()
    assert queue.get_many() == [3]
    assert len(Signals.next_ones) == 1  # decoded twice: it was given back once
    Signals.next_ones = []


def test_an_item_that_cannot_be_decoded_is_still_to_be_done() -> None:
    jobs = JoinableQueue(arena=_store.shared_arena())
    jobs.put(Signals(1))
    pid = os.fork()
    if pid == 0:
        Signals.next_ones = [fail]
        try:
            jobs.get()
        except UnpicklingError:
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert jobs.get(timeout=SOON).number == 1
    assert jobs.delivery_count == 2


def test_a_handler_of_another_kind_does_not_hide_what_is_wrong(queue: Any) -> None:
    """An error of the item's own is one although a signal could have raised the same."""
    queue.put(Signals(1))
    Signals.next_ones = [lambda: raise_alarm()]
    with pytest.raises(UnpicklingError, match="Alarm"):
        queue.get()
    assert queue.empty()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Queue", "JoinableQueue"])
def test_signals_at_any_moment_lose_nothing(kind: str, handle: Callable[[Any], None]) -> None:
    """A handler that raises, hundreds of times, while another process puts: every item arrives once, in order."""
    queue: Any = {"Queue": Queue, "JoinableQueue": JoinableQueue}[kind](5, arena=_store.shared_arena())
    count = 10_000
    Signals.next_ones = []
    armed: list[bool] = []

    def raise_if_armed(*_: object) -> None:
        if armed:
            armed.clear()
            raise Alarm

    handle(raise_if_armed)
    target, pid = os.getpid(), os.fork()
    if pid == 0:
        for number in range(count):
            if number % 20 == 0:
                os.kill(target, signal.SIGUSR1)
            queue.put(Signals(number, BODY if number % 50 == 0 else b""))
        queue.put(None)
        os._exit(0)
    found: list[Signals] = []
    shots = 0
    finished = False
    gc.disable()  # who has a callback there (hypothesis has) would be the one that the alarm is raised in
    try:
        while not finished:
            try:
                armed.append(True)
                # Between get's return and the list there is no Python: an item is in the list or in the queue.
                found.extend(iter(queue.get, None))
                armed.clear()
                finished = True
            except Alarm:
                shots += 1
    finally:
        gc.enable()
    os.waitpid(pid, 0)
    assert shots > 50
    assert [item.number for item in found] == list(range(count))
