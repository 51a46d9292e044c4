"""Digests of globals: alike for what is alike, in other processes too; different for what differs."""

import array
import collections
import queue
import threading
from dataclasses import dataclass
from typing import Any

import pytest

from procession.check.sending import large_parts
from procession.check.snapshots import _Digest, attributes, describe


@dataclass
class Point:
    x: int
    y: Any = None


class Slotted:
    __slots__ = ("a",)


def digest(value: Any) -> int:
    return _Digest(1000).of(value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 2),
        (1, 1.0),
        ("a", b"a"),
        ([1, 2], [2, 1]),
        ([1, 2], (1, 2)),
        ([[1], 2], [[1, 2]]),
        ({"a": 1}, {"a": 2}),
        ({1, 2}, {1, 3}),
        (collections.deque([1]), collections.deque([2])),
        (bytearray(b"a"), bytearray(b"b")),
        (array.array("d", [1]), array.array("d", [2])),
        (Point(1), Point(2)),
        (Point(1, Point(2)), Point(1, Point(3))),
        (None, Point(1)),
        (collections.Counter("a"), collections.Counter("aa")),
        (list(range(5000)), list(range(5001))),
    ],
)
def test_what_differs(one: Any, other: Any) -> None:
    assert digest(one) != digest(other)


@pytest.mark.parametrize(
    "make",
    [
        lambda: [1, "a", {"b": (2.5, None, {3, 4})}],
        lambda: Point(1, [Point(2)]),
        threading.Lock,
        object,
        lambda: print,
        lambda: {"x": threading.Event},
    ],
)
def test_what_is_alike(make: Any) -> None:
    assert digest(make()) == digest(make())


def test_a_queue_by_its_contents() -> None:
    empty, full = queue.Queue[int](), queue.Queue[int]()
    full.put(1)
    assert digest(empty) != digest(full)


def test_what_is_in_itself() -> None:
    one: list[Any] = [1]
    one.append(one)
    assert digest(one) == digest(one)


def test_numpy_arrays_that_own_their_memory() -> None:
    numpy = pytest.importorskip("numpy")
    own = numpy.zeros(4)
    before = digest(own)
    own[0] = 1
    assert digest(own) != before
    view = numpy.frombuffer(bytearray(32))
    before = digest(view)
    view[0] = 1
    assert digest(view) == before  # it may be shared: a write is not lost


def test_attributes_of_the_programs_own_objects() -> None:
    slotted = Slotted()
    assert attributes(slotted) == {}
    slotted.a = 1
    assert attributes(slotted) == {"a": 1}
    assert attributes(Point(1, 2)) == {"x": 1, "y": 2}
    assert attributes(threading.Lock()) == {}


def test_values_in_words_run_nobodys_code() -> None:
    assert describe([1, "a", Point(1), [[[[2]]]]]) == "[1, 'a', <Point>, [[[...]]]]"
    assert describe(Point(1)) == "a Point"
    assert len(describe("x" * 1000)) <= 80


def test_sizes_of_what_is_sent() -> None:
    large = bytes(1 << 20)
    assert large_parts(large) == [(large, 1 << 20)]
    assert large_parts((1, {"a": [large]})) == [(large, 1 << 20)]
    assert large_parts(Point(1, large)) == [(large, 1 << 20)]
    assert large_parts([1, 2, "a" * 100]) == []
    numbers = list(range(1 << 20))
    [(part, size)] = large_parts((numbers,))
    assert part is numbers
    assert 1 << 20 < size < 4 << 20
