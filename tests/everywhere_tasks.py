"""What the shared programs of test_everywhere.py run in their workers."""

import threading
from collections import Counter
from typing import Any


class Point:
    """An object that travels both ways."""

    def __init__(self, x: int) -> None:
        self.x = x

    def mirrored(self) -> "Point":
        return Point(-self.x)


class Insolvent(Exception):
    """Of our own, with a fact."""

    def __init__(self, message: str, missing: int = 0) -> None:
        super().__init__(message)
        self.missing = missing


prepared: list[int] = []


def square(number: int) -> int:
    return number * number


def words(line: str) -> Counter[str]:
    return Counter(line.split())


def mirror(point: Point) -> Point:
    return point.mirrored()


def withdraw(amount: int) -> int:
    if amount > 5:
        raise Insolvent(f"{amount} is too much", amount - 5)
    return amount


def not_to_be_sent(_: int) -> Any:
    return threading.Lock()


def prepare(number: int) -> None:
    prepared.append(number)


def what_was_prepared(_: int) -> list[int]:
    return list(dict.fromkeys(prepared))


def put_numbers(queue: Any, first: int, last: int) -> int:
    for number in range(first, last):
        queue.put(number)
    return last - first


def take_numbers(queue: Any, how_many: int) -> int:
    return sum(queue.get(timeout=20) for _ in range(how_many))


def deposit(lock: Any, account: Any, times: int) -> None:
    for _ in range(times):
        with lock:
            account.value += 1


def wait_for(event: Any) -> bool:
    return bool(event.wait(20))


def scaled(table: Any, factor: int) -> Any:
    return table * factor
