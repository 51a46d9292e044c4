"""Queues on disk: their bounds, and who waits for an item or for room."""

import asyncio
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from strangers import output, program

import procession
from procession.errors import Empty, Full, ItemTooLarge
from procession.testing import wait_until, wait_until_blocked

SOON = 5  # seconds


def test_a_full_queue_refuses_then_waits(tmp_path: Path) -> None:
    queue = procession.Queue(2, path=tmp_path / "queue")
    queue.put(1)
    queue.put(2)
    assert queue.full()
    with pytest.raises(Full):
        queue.put_nowait(3)
    with pytest.raises(Full):
        queue.put(3, timeout=0.02)
    thread = threading.Thread(target=queue.put, args=(3,))
    thread.start()
    wait_until_blocked(queue, 1)
    assert queue.get() == 1
    thread.join()
    assert [queue.get(), queue.get()] == [2, 3]


def test_bytes_are_bounded(tmp_path: Path) -> None:
    queue = procession.Queue(max_bytes=10_000, path=tmp_path / "queue")
    with pytest.raises(ItemTooLarge, match="max_bytes"):
        queue.put(bytes(20_000))
    queue.put(bytes(6000))
    with pytest.raises(Full):
        queue.put(bytes(6000), timeout=0.01)
    assert queue.nbytes() > 6000


@pytest.mark.slow
def test_a_getter_is_woken_by_an_unrelated_putter(tmp_path: Path) -> None:
    queue = procession.Queue(path=tmp_path / "queue")
    with pytest.raises(Empty):
        queue.get(timeout=0.02)
    with pytest.raises(Empty):
        queue.get_nowait()
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(queue.get()))
    thread.start()
    wait_until_blocked(queue, 1)
    output(program(tmp_path / "queue", "queue.put('there')"))
    thread.join()
    assert got == ["there"]


@pytest.mark.parametrize("call", ["get", "put", "join"])
def test_a_signal_ends_a_wait(tmp_path: Path, call: str) -> None:
    queue = procession.JoinableQueue(1, path=tmp_path / "queue")
    if call != "get":
        queue.put("item")
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        wait_until(lambda: any(queue.sleepers()))
        signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        {"get": queue.get, "put": lambda: queue.put(2), "join": queue.join}[call]()
    thread.join()
    assert queue.qsize() == (call != "get")


def test_in_asyncio(tmp_path: Path) -> None:
    queue = procession.Queue(1, path=tmp_path / "queue")

    async def both() -> list[Any]:
        getter = asyncio.create_task(queue.get_async(SOON))
        await asyncio.sleep(0)
        await queue.put_async("first")
        got = [await getter]
        queue.put("second")
        putter = asyncio.create_task(queue.put_async("third", SOON))
        await asyncio.sleep(0)
        got.append(queue.get())
        await putter
        with pytest.raises(Full):
            await queue.put_async("fourth", 0.01)
        return [*got, queue.get()]

    assert asyncio.run(both()) == ["first", "second", "third"]
