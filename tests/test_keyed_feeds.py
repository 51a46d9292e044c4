"""Chunks of what a keyed map-reduce is given, and the queue that they go through. No process anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from procession.pool.feeding import WINDOW, Feeder
from procession.pool.feeds import PIECE_ORDERS, Pieces, Sequenced, Streamed, items_of, weigh


def test_chunks_of_a_sequence() -> None:
    source = items_of(range(10))
    assert isinstance(source, Sequenced)
    assert [source.make(4), source.left, source.make(4), source.make(4), source.make(4)] == [0, 6, 1, 2, None]
    assert source.exhausted
    assert source.chunk(1) == (1, 4, [4, 5, 6, 7])
    assert source.chunk(2) == (2, 8, [8, 9])
    assert source.describe(2, 1) == "9), item 9"
    assert items_of([]).exhausted


def test_chunks_of_an_iterator_are_kept_until_they_are_committed() -> None:
    read: list[int] = []

    def numbers() -> Iterator[str]:
        for number in range(5):
            read.append(number)
            yield str(number)

    source = items_of(numbers())
    assert isinstance(source, Streamed)
    assert source.make(2) == 0
    assert read == [0, 1]
    assert source.make(2) == 1
    assert source.chunk(0) == (0, 0, ["0", "1"])
    before = source.kept_bytes
    source.committed([0])
    assert 0 < source.kept_bytes < before
    assert source.chunk(1) == (1, 2, ["2", "3"])
    assert [source.make(2), source.exhausted, source.make(2)] == [2, True, None]
    source.committed([1, 2])
    assert source.kept_bytes == 0
    with pytest.raises(TypeError, match="not iterable"):
        items_of(7)


def test_pieces_have_the_order_of_the_input() -> None:
    class Piece:
        def __init__(self, order: int) -> None:
            self.order, self.place = order, f"part {order}"

    source = Pieces([Piece(5), Piece(0)], 99)
    assert [source.make(1000), source.make(1), source.make(1), source.input_bytes] == [0, 1, None, 99]
    assert source.chunk(0)[1] == 5 * PIECE_ORDERS
    assert source.chunk(1)[1] == 0
    assert source.describe(0, 2) == "part 5), text 2 of piece 0"
    plain = Pieces(["a", "b"], None)
    plain.make(1)
    plain.make(1)
    assert plain.chunk(1) == (1, PIECE_ORDERS, ["b"])


def test_weights() -> None:
    assert weigh(["x" * 1000] * 100) == 100 * 1064
    assert weigh([bytearray(10)]) == 74
    assert weigh([None, 3, ()]) == 3 * 64
    assert weigh([]) == 0


def feeder(items: Any, chunksize: int | None = None) -> Feeder:
    return Feeder(items_of(items), 2, chunksize, 1 << 20, shared=False)


def test_an_endless_input_is_read_a_little_ahead() -> None:
    full = feeder(iter(int, 1), 10)
    assert full.fill() == list(range(WINDOW))
    assert full.fill() == []
    full.queue.get()
    assert full.fill() == [WINDOW]
    assert not full.complete


def test_large_items_are_read_less_far_ahead() -> None:
    full = feeder((bytes(1 << 18) for _ in range(100)), 1)
    assert 4 <= len(full.fill()) <= 8


def test_chunks_grow_with_the_measured_time() -> None:
    growing = feeder(range(100_000))
    assert growing.fill() == list(range(WINDOW))
    sizes = []
    items = 0
    for _ in range(6):
        while growing.waiting:
            items += len(growing.queue.get()[2])
        growing.measure(items, 1000 * items)
        growing.fill()
        sizes.append(growing._largest)
    assert sizes == [2, 4, 8, 16, 32, 64]


def test_another_round_has_a_queue_of_its_own() -> None:
    first = feeder(range(4), 1)
    first.fill()
    assert first.complete
    assert first.queue.is_shutdown
    first.again([3, 1])
    assert first.waiting == 0
    assert not first.complete
    assert first.fill() == [1, 3]
    assert first.queue.get() == (1, 1, [1])
    assert first.complete
