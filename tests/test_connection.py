"""Pipes: messages, liveness, waiting on several, travelling."""

import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal
import threading
import time
from collections.abc import Iterator
from multiprocessing.reduction import ForkingPickler
from typing import Any

import pytest

import procession
from procession import _pipe, errors
from procession.testing import wait_until

MESSAGES = [None, 0, "text", b"bytes", (), (1,), [1, [2]], {"a": 1}, 1.5, b"x" * (1 << 20), (b"y",)]


@pytest.fixture
def ends(context: Any) -> Iterator[Any]:
    a, b = context.Pipe()
    yield a, b
    a.close()
    b.close()


@pytest.fixture
def pair() -> Iterator[Any]:
    a, b = procession.Pipe()
    yield a, b
    a.close()
    b.close()


def echo(end: Any, count: int) -> None:
    for _ in range(count):
        end.send(end.recv())


def test_messages_arrive_as_sent(context: Any, ends: Any) -> None:
    a, b = ends
    worker = context.Process(target=echo, args=(b, len(MESSAGES)))
    worker.start()
    for message in MESSAGES:
        a.send(message)
        received = a.recv()
        assert received == message
        assert type(received) is type(message)
    assert worker.result() is None
    worker.close()


def test_is_a_standard_connection(pair: Any) -> None:
    a, _b = pair
    assert isinstance(a, multiprocessing.connection.Connection)
    assert (a.readable, a.writable, a.closed) == (True, True, False)
    reader, writer = procession.Pipe(duplex=False)
    with reader, writer:
        assert (reader.readable, reader.writable, writer.readable, writer.writable) == (True, False, False, True)
        with pytest.raises(OSError, match="read-only"):
            reader.send(1)
        with pytest.raises(OSError, match="write-only"):
            writer.recv()
        writer.send(1)
        assert reader.recv() == 1
    assert reader.closed
    for use in (reader.recv, reader.fileno, reader.poll, lambda: writer.send(1), lambda: pickle.dumps(reader)):
        with pytest.raises(OSError, match="closed"):
            use()
    reader.close()


def test_bytes(pair: Any) -> None:
    a, b = pair
    b.send_bytes(b"0123456789", 2, 5)
    assert a.recv_bytes() == b"23456"
    b.send_bytes(memoryview(bytearray(1 << 17)))
    assert a.recv_bytes() == bytes(1 << 17)
    b.send_bytes(b"")
    assert a.recv_bytes() == b""
    for arguments in ((-1,), (11,), (0, -1), (5, 6)):
        with pytest.raises(ValueError, match=r"negative|buffer length"):
            b.send_bytes(b"0123456789", *arguments)
    buffer = bytearray(b"." * 8)
    b.send_bytes(b"abc")
    assert a.recv_bytes_into(buffer, 2) == 3
    assert buffer == b"..abc..."
    b.send_bytes(b"too long for it")
    with pytest.raises(multiprocessing.BufferTooShort) as caught:
        a.recv_bytes_into(buffer)
    assert caught.value.args == (b"too long for it",)
    b.send_bytes(b"12345")
    with pytest.raises(OSError, match="bad message length"):
        a.recv_bytes(maxlength=4)


def test_objects_and_bytes_mix_as_in_the_standard_library(pair: Any) -> None:
    a, b = pair
    b.send({"a": [1]})
    assert pickle.loads(a.recv_bytes()) == {"a": [1]}
    b.send_bytes(ForkingPickler.dumps({"b": 2}))
    assert a.recv() == {"b": 2}


def test_unpicklable_object_leaves_the_pipe_intact(pair: Any) -> None:
    a, b = pair
    with pytest.raises(errors.PicklingError):
        b.send([threading.Lock()])
    b.send("next")
    assert a.recv() == "next"


def test_poll(pair: Any) -> None:
    a, b = pair
    assert a.poll() is False
    assert a.poll(0.01) is False
    b.send(1)
    assert a.poll() is True
    assert a.poll(None) is True
    assert a.recv() == 1
    b.close()
    assert a.poll() is True  # the end can be read
    with pytest.raises(EOFError):
        a.recv()


def test_closed_end_is_noticed_after_the_last_message(pair: Any) -> None:
    a, b = pair
    for number in range(3):
        b.send(number)
    b.close()
    assert [a.recv() for _ in range(3)] == [0, 1, 2]
    with pytest.raises(EOFError):
        a.recv()
    with pytest.raises(BrokenPipeError):
        a.send(1)


def hold(end: Any, ready: Any) -> None:
    ready.send("ready")
    time.sleep(600)


def test_killed_peer_wakes_a_blocked_receiver(process_context: Any) -> None:
    (a, b), (ready, tell) = process_context.Pipe(), process_context.Pipe(duplex=False)
    worker = process_context.Process(target=hold, args=(b, tell))
    worker.start()
    b.close()
    tell.close()
    assert ready.recv() == "ready"
    killer = threading.Thread(target=os.kill, args=(worker.pid, signal.SIGKILL))
    killer.start()
    with pytest.raises(EOFError):
        a.recv()
    with pytest.raises(BrokenPipeError):
        send_for_ever(a)
    killer.join()
    worker.join()
    worker.close()
    for end in (a, ready):
        end.close()


def send_for_ever(end: Any) -> None:
    while True:
        end.send(b"x" * 1000)


def test_sender_waits_when_nobody_reads() -> None:
    context = procession.get_context("thread")
    a, b = context.Pipe()
    sent = 0

    def send() -> None:
        nonlocal sent
        for number in range(2000):
            b.send(b"x" * 1000)
            sent = number + 1

    worker = context.Process(target=send)
    worker.start()
    wait_until(lambda: a._inbound.ring.sleepers()[1])
    assert 64 <= sent < 1000
    for _ in range(2000):
        assert a.recv() == b"x" * 1000
    assert worker.result() is None
    a.close()
    b.close()


def relay(end: Any) -> None:
    inner, outer = procession.get_context("fork").Pipe()
    end.send(outer)
    outer.close()
    inner.send("through the connection that came through the connection")
    end.recv()
    inner.close()


def test_connection_travels_through_a_connection(process_context: Any) -> None:
    a, b = process_context.Pipe()
    worker = process_context.Process(target=relay, args=(b,))
    worker.start()
    b.close()
    with a.recv() as received:
        assert received.recv().startswith("through")
        a.send("done")
        with pytest.raises(EOFError):
            received.recv()
    assert worker.result() is None
    worker.close()
    a.close()


def test_both_ends_in_one_thread_under_load(pair: Any) -> None:
    a, b = pair
    for number in range(20_000):
        a.send(number)
        assert b.recv() == number


def test_a_quick_sender_of_large_messages_waits(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Waits(Exception):
        pass

    def sleep(_: float) -> None:
        raise Waits

    a, b = pair
    megabyte = bytes(1 << 20)
    monkeypatch.setattr(_pipe, "sleep", sleep)
    for _ in range(8):  # with the little around each, more than 8 MiB are unread then
        a.send(megabyte)
    for send in (a.send, a.send_bytes):
        with pytest.raises(Waits):
            send(b"whatever")
    assert b.recv() == megabyte
    a.send(bytes(1 << 25))  # of any size
    with pytest.raises(Waits):
        a.send(0)
    assert [len(b.recv()) for _ in range(8)] == [1 << 20] * 7 + [1 << 25]
    a.send(0)
    assert b.recv() == 0


def send_large(end: Any) -> None:
    for number in range(40):
        end.send((number, bytes(1 << 20)))


def test_many_large_messages_arrive_in_order(process_context: Any) -> None:
    a, b = process_context.Pipe()
    worker = process_context.Process(target=send_large, args=(b,))
    worker.start()
    b.close()
    assert [a.recv()[0] for _ in range(40)] == list(range(40))
    with pytest.raises(EOFError):
        a.recv()
    worker.join()
    worker.close()
    a.close()


def test_a_sender_that_waits_learns_of_the_others_end(pair: Any) -> None:
    a, b = pair
    for _ in range(8):
        a.send(bytes(1 << 20))
    b.close()
    with pytest.raises(BrokenPipeError):
        a.send(0)
