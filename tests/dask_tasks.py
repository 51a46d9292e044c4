"""What the tests of Dask have called in its workers, which cannot import this."""

import os
import signal
import time
from importlib.util import find_spec
from typing import Any


def knows_this_module(_: object) -> bool:
    return find_spec("dask_tasks") is not None


class Overdrawn(Exception):
    """An exception of this module's own."""


def withdraw(amount: int) -> int:
    if amount > 5:
        raise Overdrawn(f"{amount} is too much")
    return amount


def slow_square(number: int) -> tuple[int, int]:
    time.sleep(0.02)
    return number * number, os.getpid()


def die(_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def wait_for_ever(_: object) -> None:
    while True:
        time.sleep(1)


def length(table: bytes, number: int) -> int:
    return len(table) + number


def produce(queue: Any, items: list[Any]) -> None:
    for item in items:
        queue.put(item)


def consume(queue: Any, count: int) -> list[Any]:
    return [queue.get(timeout=20) for _ in range(count)]


def add(value: Any, times: int) -> None:
    for _ in range(times):
        with value.get_lock():
            value.value += 1


def answer(event: Any, back: Any) -> bool:
    came = event.wait(20)
    back.set()
    return bool(came)


def try_to_take(lock: Any) -> bool:
    return bool(lock.acquire(timeout=0))


def die_holding(lock: Any) -> None:
    lock.acquire()
    die(None)


def made_by(context: Any) -> int:
    """A context of a worker's own, on the cluster that it is part of."""
    queue = context.Queue(name="of a worker")
    queue.put(5)
    got: int = queue.get()
    context.close()
    return got
