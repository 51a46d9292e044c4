"""The messages that queues carry: how to make the i-th of producer p, how to know it again, how to add it up.

Every message has a key, producer * STRIDE + index. A checked pass returns the messages themselves, compared here one by
one and in order; a timed pass adds up something cheap from every message, so that checking does not become what is
measured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle, islice, repeat
from typing import Any

STRIDE = 1 << 24
DISTINCT = 1000  # messages a producer makes beforehand and sends in turn

Get = Callable[[], Any]


@dataclass(frozen=True)
class Payload:
    make: Callable[[int], Any]  # key → message
    key: Callable[[Any], int]  # message → key
    weigh: Callable[[Any], int]  # what `drain` adds up for one message
    drain: Callable[[Get, int], int]  # get n messages, return the sum of their weights
    drain_batches: Callable[[Callable[[int], Any], int, int], int] | None = None  # the same, in batches
    size: int = 0  # bytes, where that matters
    distinct: int = DISTINCT

    def prepared(self, producer: int) -> list[Any]:
        return [self.make(producer * STRIDE + index) for index in range(self.distinct)]

    def weight(self, producer: int, n: int) -> int:
        """The sum `drain` must find for the first n messages of a producer that sends its prepared ones in turn."""
        weights = [self.weigh(message) for message in self.prepared(producer)]
        return sum(islice(cycle(weights), n))

    def check(self, received: Sequence[Sequence[Any]], producers: int, each: int) -> None:
        """`received`, a list per consumer, is all that was sent, once, whole, and in order of each producer."""
        keys: list[int] = []
        for messages in received:
            last = [-1] * producers
            for message in messages:
                key = self.key(message)
                producer = key // STRIDE
                assert _same(message, self.make(key)), f"message {key} arrived changed"
                assert key > last[producer], f"message {key} arrived out of order"
                last[producer] = key
                keys.append(key)
        expected = [producer * STRIDE + index for producer in range(producers) for index in range(each)]
        assert sorted(keys) == expected, "lost or repeated messages"


def _same(left: Any, right: Any) -> bool:
    equal = left == right
    return equal if isinstance(equal, bool) else bool(equal.all())


def drain_ints(get: Get, n: int) -> int:
    total = 0
    for _ in repeat(None, n):
        total += get()
    return total


def drain_ints_batched(get: Callable[[int], Any], n: int, most: int) -> int:
    total = taken = 0
    while taken < n:
        items = get(most)
        total += sum(items)
        taken += len(items)
    return total


def drain_texts(get: Get, n: int) -> int:
    total = 0
    for _ in repeat(None, n):
        total += hash(get())  # the same in all processes, since they are forked
    return total


def drain_dicts(get: Get, n: int) -> int:
    total = 0
    for _ in repeat(None, n):
        total += get()["id"]
    return total


def drain_dicts_batched(get: Callable[[int], Any], n: int, most: int) -> int:
    total = taken = 0
    while taken < n:
        items = get(most)
        total += sum([item["id"] for item in items])
        taken += len(items)
    return total


def drain_bytes(get: Get, n: int) -> int:
    total = 0
    for _ in repeat(None, n):
        total += get()[-1]
    return total


def drain_arrays(get: Get, n: int) -> int:
    total = 0
    for _ in repeat(None, n):
        array = get()
        total += int(array[0]) + int(array[-1])
    return total


def make_dict(key: int) -> dict[str, Any]:
    return {"id": key, "name": "sensor 7", "value": key * 0.5}


def bytes_of(size: int) -> Payload:
    def make(key: int) -> bytes:
        return key.to_bytes(8, "little") + bytes([key % 251]) * (size - 8)

    return Payload(
        make,
        key=lambda message: int.from_bytes(message[:8], "little"),
        weigh=lambda message: int(message[-1]),
        drain=drain_bytes,
        size=size,
        distinct=100,
    )


def make_array(key: int) -> Any:
    import numpy

    array = numpy.full(ARRAY_BYTES // 8, key % 251, dtype=numpy.int64)
    array[0] = key
    return array


ARRAY_BYTES = 8 << 20

INTS = Payload(int, int, int, drain_ints, drain_ints_batched)
TEXTS = Payload(lambda key: f"message {key:09d}", lambda text: int(text[8:]), hash, drain_texts)
DICTS = Payload(make_dict, lambda item: int(item["id"]), lambda item: int(item["id"]), drain_dicts, drain_dicts_batched)
KIBIBYTES = bytes_of(1 << 10)
SIXTY_FOUR = bytes_of(64 << 10)
ARRAYS = Payload(
    make_array,
    key=lambda array: int(array[0]),
    weigh=lambda array: int(array[0]) + int(array[-1]),
    drain=drain_arrays,
    size=ARRAY_BYTES,
    distinct=4,
)
