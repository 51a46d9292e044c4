"""A queue among other things to wait for: its descriptor is readable while there are items, whoever dies."""

import asyncio
import gc
import os
import select
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import connection
from typing import Any

import pytest

import procession
from procession.errors import Closed, Empty, TooManyWaiters

LONG_S = 20


def readable(fd: int, timeout: float = 0) -> bool:
    return bool(select.select([fd], [], [], timeout)[0])


def put_some(target: Any, count: int) -> None:
    for number in range(count):
        target.put(number)


def put_when_told(target: Any, told: Any) -> None:
    told.wait()
    target.put("told")


def watch_and_die(watched: Any) -> None:
    watched._reader.fileno()
    os.kill(os.getpid(), signal.SIGKILL)


def double(number: int) -> int:
    return 2 * number


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("kind", ["Queue", "SimpleQueue", "JoinableQueue"])
def test_the_reader_is_readable_while_there_are_items(fork: Any, kind: str) -> None:
    queue = getattr(fork, kind)()
    queue.put("early")
    reader = queue._reader
    fd = reader.fileno()
    assert readable(fd)
    queue.put("late")
    assert (queue.get(), readable(fd)) == ("early", True)
    assert (reader.recv(), readable(fd)) == ("late", False)
    assert reader.fileno() == fd
    queue.shutdown()
    assert readable(fd)
    with pytest.raises(EOFError):
        reader.recv()


def test_wait_returns_the_readers_that_have_something(process_context: Any) -> None:
    quiet, loud, told = process_context.Queue(), process_context.Queue(), process_context.Event()
    process = process_context.Process(target=put_when_told, args=(loud, told))
    process.start()
    assert connection.wait([quiet._reader, loud._reader], 0) == []
    told.set()
    assert connection.wait([quiet._reader, loud._reader], LONG_S) == [loud._reader]
    assert loud._reader.recv() == "told"
    process.join()
    assert connection.wait([quiet._reader, loud._reader, process.sentinel], LONG_S) == [process.sentinel]


def test_nothing_is_missed_and_nothing_rings_in_vain(process_context: Any) -> None:
    queue = process_context.Queue()
    fd = queue._reader.fileno()
    producer = process_context.Process(target=put_some, args=(queue, 3000))
    producer.start()
    for number in range(3000):
        assert readable(fd, LONG_S)
        assert queue.get(False) == number  # the only consumer: what its descriptor promises is there
    assert not readable(fd)
    producer.join()


def test_asyncio_takes_the_descriptor(fork: Any) -> None:
    queue = fork.Queue()

    async def take(count: int) -> list[int]:
        loop, taken, done = asyncio.get_running_loop(), [], asyncio.Event()

        def some() -> None:
            taken.append(queue.get(False))
            if len(taken) == count:
                done.set()

        loop.add_reader(queue._reader.fileno(), some)
        await asyncio.wait_for(done.wait(), LONG_S)
        loop.remove_reader(queue._reader.fileno())
        return taken

    producer = fork.Process(target=put_some, args=(queue, 100))
    producer.start()
    assert asyncio.run(take(100)) == list(range(100))
    producer.join()


def test_room_can_be_watched_too(fork: Any) -> None:
    bounded = fork.Queue(2)
    fd = bounded.watch_room()
    bounded.put(1)
    assert readable(fd)
    bounded.put(2)
    assert not readable(fd)
    consumer = fork.Process(target=bounded.get)
    consumer.start()
    assert readable(fd, LONG_S)
    consumer.join()
    assert bounded._sem.acquire(False)
    bounded.unwatch_room()


def test_killed_watchers_leave_their_places(fork: Any) -> None:
    queue = fork.Queue()
    for _ in range(40):
        watcher = fork.Process(target=watch_and_die, args=(queue,))
        watcher.start()
        watcher.join()
    fd = queue._reader.fileno()
    queue.put(1)
    assert readable(fd)


def test_places_run_out_with_an_error_that_says_so(fork: Any) -> None:
    queue, there, done = fork.Queue(), fork.Semaphore(0), fork.Event()

    def watch() -> None:
        queue._reader.fileno()
        there.release()
        done.wait()

    watchers = [fork.Process(target=watch) for _ in range(32)]
    for watcher in watchers:
        watcher.start()
    for _ in watchers:
        assert there.acquire(timeout=LONG_S)
    with pytest.raises(TooManyWaiters, match="32 other processes"):
        queue._reader.fileno()
    done.set()
    for watcher in watchers:
        watcher.join()
    assert not readable(queue._reader.fileno())


def test_a_putter_that_cannot_reach_the_watcher_is_found_by_looking_again(fork: Any) -> None:
    """As another user it may not open what stands under /proc/<pid>/fd."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    queue = fork.Queue()
    fd = queue._reader.fileno()

    def put_as_nobody() -> None:
        os.setgid(65534)
        os.setuid(65534)
        queue.put("from nobody")

    stranger = fork.Process(target=put_as_nobody)
    stranger.start()
    stranger.join()
    assert stranger.exitcode == 0
    assert not readable(fd)
    assert queue._reader.fileno() == fd
    assert readable(fd)
    assert queue.get() == "from nobody"


def test_a_forked_child_has_a_descriptor_of_its_own(fork: Any) -> None:
    queue, answers = fork.Queue(), fork.Queue()
    fd = queue._reader.fileno()

    def child() -> None:
        own = queue._reader.fileno()
        queue.put(1)
        answers.put((readable(own), queue.get(), readable(own)))

    process = fork.Process(target=child)
    process.start()
    assert answers.get(timeout=LONG_S) == (True, 1, False)
    process.join()
    assert queue.empty()
    assert not readable(fd)
    queue.put(2)
    assert readable(fd)


def test_descriptors_come_back(fork: Any) -> None:
    queue = fork.Queue()
    queue.put(1)
    before = descriptors()
    other = queue._reader
    assert queue.watch() == other.fileno()
    assert descriptors() == before + 2  # one bell for all handles of the process
    queue.unwatch()
    assert readable(other.fileno())
    other.close()
    assert descriptors() == before
    with pytest.raises(OSError, match="closed"):
        other.fileno()
    queue.watch()
    queue.close()
    assert descriptors() == before
    with pytest.raises(Closed):
        queue.watch()
    dropped = fork.Queue()
    dropped.watch()
    del dropped
    gc.collect()
    assert descriptors() == before


def test_threads_may_wait_side_by_side(fork: Any) -> None:
    queue, taken = fork.Queue(), []

    def take() -> None:
        while True:
            select.select([queue._reader], [], [], LONG_S)
            try:
                item = queue.get(False)
            except Empty:
                continue
            if item is None:
                return
            taken.append(item)

    threads = [threading.Thread(target=take) for _ in range(3)]
    for thread in threads:
        thread.start()
    put_some(queue, 300)
    for _ in threads:
        queue.put(None)
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(300))


def test_the_standard_executor_takes_our_contexts(process_context: Any) -> None:
    with ProcessPoolExecutor(2, mp_context=process_context) as executor:
        assert list(executor.map(double, range(20), chunksize=3)) == [2 * number for number in range(20)]


def test_watching_is_for_shared_and_private_queues_alike() -> None:
    queue = procession.queues.Queue(ctx=procession.get_context("thread"))
    fd = queue.watch()
    waker = threading.Thread(target=queue.put, args=("from a thread",))
    waker.start()
    assert readable(fd, LONG_S)
    waker.join()
    assert queue.get() == "from a thread"
    assert not readable(fd)
