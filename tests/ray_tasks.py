"""What the tests of Ray have done by its workers."""

import os
import signal
import warnings
from pathlib import Path
from typing import Any


class Coin:
    """A class of this module's own."""

    def __init__(self, worth: int) -> None:
        self.worth = worth


def square(number: int) -> int:
    return number * number


def power(base: int, exponent: int) -> int:
    return base**exponent


def fail(number: int) -> int:
    raise LookupError(f"no {number}")


def pid(*_: Any) -> int:
    return os.getpid()


def die_once(mark: str) -> str:
    """Die the first time, answer the second."""
    try:
        Path(mark).touch(exist_ok=False)
    except FileExistsError:
        return "done"
    os.kill(os.getpid(), signal.SIGKILL)
    return "not reached"


def die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def three(first: int) -> tuple[int, int, int]:
    return first, first + 1, first + 2


def add(*numbers: int) -> int:
    return sum(numbers)


def wait_for(event: Any) -> bool:
    return bool(event.wait(20))


def count_up(value: Any, times: int) -> None:
    for _ in range(times):
        with value.get_lock():
            value.value += 1


def put_coins(queue: Any, count: int) -> None:
    for worth in range(count):
        queue.put(Coin(worth))


def pass_on(source: Any, target: Any) -> None:
    target.put(source.get(timeout=20))


def hold(lock: Any, held: Any) -> None:
    """Take a lock, say so, and keep it."""
    lock.acquire()
    held.put(os.getpid())
    while True:
        signal.pause()


def take_and_hold(queue: Any, taken: Any) -> None:
    """Take an item, say so, and never be done."""
    taken.put((os.getpid(), queue.get()))
    while True:
        signal.pause()


def take_over(lock: Any) -> list[str]:
    """Take a lock; what was warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert lock.acquire(timeout=20)
        lock.release()
    return [str(warning.message) for warning in caught]
