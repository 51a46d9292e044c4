"""The tools for tests: do they find what they look for?"""

import os
import threading
import time
from typing import Any

import pytest

import procession
from procession.testing import Leak, Sequencer, check_leaks, descendants, wait_until, wait_until_blocked


def test_leaked_descriptor_is_named() -> None:
    with pytest.raises(Leak, match=r"descriptor \d+: pipe"), check_leaks(settle_s=0):
        ends = os.pipe()
    for end in ends:
        os.close(end)


def test_leaked_child_is_named() -> None:
    worker = procession.Process(target=time.sleep, args=(600,))
    with pytest.raises(Leak, match=r"child \d+"), check_leaks(settle_s=0):
        worker.start()
    assert worker.pid in descendants(os.getpid())
    worker.kill()
    worker.join()
    worker.close()


def test_nothing_leaked(context: Any) -> None:
    with check_leaks():
        worker = context.Process(target=len, args=("abc",))
        worker.start()
        assert worker.result() == 3
        worker.close()


def take_turn(sequencer: Any, order: Any, turn: int) -> None:
    with sequencer(turn):
        order.put(turn)


def test_sequencer_forces_the_order(context: Any) -> None:
    sequencer, order = Sequencer(context), context.Queue()
    turns = [2, 0, 1]
    workers = [context.Process(target=take_turn, args=(sequencer, order, turn)) for turn in turns]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        worker.close()
    assert [order.get() for _ in turns] == [0, 1, 2]
    assert sequencer.position == 3


def test_wait_until_gives_up() -> None:
    with pytest.raises(TimeoutError, match="still not true"):
        wait_until(lambda: False, timeout=0.01)


def test_wait_until_blocked(context: Any) -> None:
    lock = context.Lock()
    lock.acquire()
    waiter = threading.Thread(target=lock.acquire)
    waiter.start()
    wait_until_blocked(lock)
    lock.release()
    waiter.join()
    lock.release()
