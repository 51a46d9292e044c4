"""What the tests of map_reduce_by_key map, and how: functions that a worker can import."""

from __future__ import annotations

from typing import Any

SMALL = 1  # bytes of budget: tables are as small as they get, and everything goes to disk
NUMBERS = 300
SUMS = {key: sum(range(key, NUMBERS, 7)) for key in range(7)}  # of what `sevens` gives for NUMBERS numbers


def words(text: str) -> list[str]:
    return text.split()


def as_given(item: Any) -> Any:
    return item


def parity(number: int) -> list[tuple[int, int]]:
    return [(number % 2, number)]


def sevens(number: int) -> list[tuple[int, int]]:
    return [(number % 7, number)]
