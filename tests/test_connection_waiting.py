"""Waiting for connections: several at once, in event loops, beside handles and after deaths."""

import contextlib
import gc
import os
import random
import selectors
import socket
import sys
import threading
from collections.abc import Iterator
from multiprocessing.reduction import ForkingPickler, recv_handle, send_handle
from typing import Any

import pytest

import procession
from procession import _pipe, connection


@pytest.fixture
def pair() -> Iterator[Any]:
    a, b = procession.Pipe()
    yield a, b
    a.close()
    b.close()


def test_waiting_for_several(pair: Any) -> None:
    a, b = pair
    c, d = procession.Pipe()
    assert connection.wait([a, c], timeout=0) == []
    b.send(1)
    assert connection.wait([a, c]) == [a]
    d.send(2)
    d.send(3)
    assert set(connection.wait([a, c])) == {a, c}
    assert (a.recv(), c.recv()) == (1, 2)
    assert connection.wait([a, c]) == [c]
    assert c.recv() == 3
    assert connection.wait([a, c], timeout=0) == []
    d.close()
    assert connection.wait([a, c]) == [c]
    with pytest.raises(EOFError):
        c.recv()
    c.close()


def test_messages_sent_before_the_first_wait_count(pair: Any) -> None:
    a, b = pair
    for number in range(5):
        b.send(number)
    with selectors.DefaultSelector() as selector:
        selector.register(a, selectors.EVENT_READ)
        for number in range(10):  # one event, one message, as an event loop would
            assert selector.select(timeout=10)
            assert a.recv() == number
            if number < 5:
                b.send(number + 5)
        assert not selector.select(timeout=0)


def send_in_bursts(end: Any, count: int) -> None:
    dice = random.Random(7)
    number = 0
    while number < count:
        for _ in range(min(dice.choice([1, 1, 2, 50, 300]), count - number)):
            end.send(number)
            number += 1
        for _ in range(dice.choice([0, 0, 100, 10_000])):  # now and then the receiver finds the pipe empty
            pass
    end.recv()


@pytest.mark.parametrize("duplex", [True, False])
def test_an_event_loop_misses_no_message(fork: Any, duplex: bool) -> None:
    a, b = fork.Pipe(duplex)
    answer, ask = fork.Pipe(False) if not duplex else (b, a)

    def run() -> None:
        end = b if duplex else Both(b, answer)
        send_in_bursts(end, 5000)

    worker = fork.Process(target=run)
    worker.start()
    taken = 0
    with selectors.DefaultSelector() as selector:
        selector.register(a, selectors.EVENT_READ)
        while taken < 5000:
            assert selector.select(timeout=20), f"nothing to read after {taken} messages"
            assert a.recv() == taken
            taken += 1
    ask.send("done")
    assert worker.result() is None
    worker.close()
    for end in {a, b, answer, ask}:
        end.close()


class Both:
    """Two ends as one."""

    def __init__(self, outbound: Any, inbound: Any) -> None:
        self.send, self.recv = outbound.send, inbound.recv


def test_a_message_taken_by_another_wakes_nobody(pair: Any) -> None:
    a, b = pair
    twin = ForkingPickler.loads(ForkingPickler.dumps(a))
    assert connection.wait([a, twin], 0) == []
    b.send(1)
    assert connection.wait([a, twin], 30) == [a, twin]
    assert twin.recv() == 1
    assert connection.wait([a, twin], 0) == []
    b.send(2)
    assert connection.wait([a], 30) == [a]
    assert a.recv() == 2
    twin.close()


def test_wait_finds_a_message_that_nobody_rang_for(pair: Any) -> None:
    a, b = pair
    assert connection.wait([a], 0) == []
    a._inbound.flags[_pipe._ARMED] = 0  # as after a sender killed between disarming the bell and ringing
    sender = threading.Thread(target=b.send, args=("unheard",))
    sender.start()
    assert connection.wait([a], 30) == [a]
    assert a.recv() == "unheard"
    sender.join()
    b.send("heard")
    with selectors.DefaultSelector() as selector:
        selector.register(a, selectors.EVENT_READ)
        assert selector.select(timeout=20)


def test_handles_and_bells_share_the_channel(pair: Any) -> None:
    a, b = pair
    reading, writing = os.pipe()
    assert connection.wait([a], 0) == []
    b.send("before")
    assert a.recv() == "before"
    send_handle(b, writing, os.getpid())
    assert connection.wait([a], 30) == [a]
    assert a.fileno() >= 0  # looks at the bells, and leaves the handle
    received = recv_handle(a)
    b.send("after")
    assert connection.wait([a], 30) == [a]
    assert a.recv() == "after"
    assert connection.wait([a], 0) == []
    os.write(received, b"x")
    assert os.read(reading, 10) == b"x"
    for fd in (reading, writing, received):
        os.close(fd)


def test_a_handle_can_be_received_while_older_messages_are_watched(pair: Any) -> None:
    a, b = pair
    b.send("unread")
    watched = a.fileno()
    assert watched != a._handle  # a descriptor of its own, for messages that nobody rang for
    reading, writing = os.pipe()
    send_handle(b, writing, os.getpid())
    os.close(recv_handle(a))
    assert a.recv() == "unread"
    assert a.fileno() == watched  # an event loop has registered it
    for fd in (reading, writing):
        os.close(fd)


def test_one_descriptor_for_each_end() -> None:
    before = len(os.listdir("/proc/self/fd"))
    pairs = [procession.Pipe(duplex) for duplex in (True, False)]
    assert len(os.listdir("/proc/self/fd")) == before + 4
    for a, b in pairs:
        b.send(1)
        assert connection.wait([a], 30) == [a]
        a.close()
        b.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_watched_connections_may_become_garbage(recwarn: Any) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        a, b = procession.Pipe()
        assert connection.wait([a, b], 0) == []
        a.itself, b.itself = a, b
    del a, b
    with collecting_unraisable() as unraisable:
        gc.collect()
    assert unraisable == []
    assert len(os.listdir("/proc/self/fd")) == before


@contextlib.contextmanager
def collecting_unraisable() -> Iterator[list[Any]]:
    """What is raised where nobody can catch it."""
    seen: list[Any] = []
    before, sys.unraisablehook = sys.unraisablehook, lambda args: seen.append(repr(args.exc_value))
    try:
        yield seen
    finally:
        sys.unraisablehook = before


def test_default_timeout_of_sockets_does_not_count() -> None:
    socket.setdefaulttimeout(0.001)
    try:
        a, b = procession.Pipe()
        assert connection.wait([a], 0.01) == []
        sender = threading.Timer(0.05, b.send, ["late"])
        sender.start()
        assert a.recv() == "late"
        sender.join()
    finally:
        socket.setdefaulttimeout(None)
        a.close()
        b.close()
