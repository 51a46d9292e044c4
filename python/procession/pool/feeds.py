"""What a keyed map-reduce reads its items from, and the chunks it makes of them.

A chunk is a number, the order number of its first item, and its items. The caller's process makes chunks as workers
take them, a little ahead, and can make each again until it is committed: a sequence is kept by reference, the items of
an iterator are kept. Of an input that divides itself (`divide`, `read`: files, see `mapreduce`) each piece is a chunk,
and what a worker maps are the texts that reading the piece gives.

The order number of an item says where it stands among all: values of a key are put in that order, whoever made them.
"""

from __future__ import annotations

from collections.abc import Sequence as _Sequence
from itertools import islice
from time import perf_counter

from .._blame import shorten
from .results import describe_item

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    Chunk = tuple[int, int, Sequence[Any]]

__all__ = ["PIECE_ORDERS", "Items", "Pieces", "Sequenced", "Streamed", "items_of"]

PIECE_ORDERS = 1 << 32  # texts that a piece may give: their order numbers lie between its own and the next one's
PLAIN_BYTES = 64  # what an item of unknown size counts with; arbitrary
READ_S = 0.005  # after so long of reading an iterator a chunk is what was read: items that come slowly go on singly
SAMPLE = 8  # items of a chunk that are weighed


class Items:
    """Chunks of plain items."""

    total: int | None = None  # items, when known
    input_bytes: int | None = None  # the same of bytes
    exhausted: bool = False  # all chunks were made

    def make(self, size: int) -> int | None:
        """Make the next chunk, of up to `size` items, and return its number; None when there is none.

        Raises: what the caller's iterator raises.
        """
        raise NotImplementedError

    def chunk(self, number: int) -> Chunk:
        """A chunk that was made and is not committed."""
        raise NotImplementedError

    def committed(self, numbers: Iterable[int]) -> None:
        """These are not asked for again."""

    @property
    def left(self) -> int:
        """Items of which no chunk was made; a large number when nobody knows."""
        return 2**62

    @property
    def kept_bytes(self) -> int:
        """About what it costs to be able to make the chunks again."""
        return 0

    def describe(self, number: int, item: int) -> str:
        """Name an item of a chunk for a message: its repr, shortened, and which it is."""
        _, first, items = self.chunk(number)
        return f"{describe_item(items, item)}), item {first + item}"


class Sequenced(Items):
    """Of a sequence, which is kept by reference: it must not change meanwhile."""

    exhausted: bool

    def __init__(self, items: Sequence[Any]) -> None:
        self._items = items
        self.total: int = len(items)
        self._starts = [0]  # item at which each chunk begins, and where the next one will
        self.exhausted = self.total == 0

    @property
    def left(self) -> int:
        """See `Items`."""
        return len(self._items) - self._starts[-1]

    def make(self, size: int) -> int | None:
        """See `Items`."""
        if self.exhausted:
            return None
        self._starts.append(min(self._starts[-1] + size, len(self._items)))
        self.exhausted = self._starts[-1] == len(self._items)
        return len(self._starts) - 2

    def chunk(self, number: int) -> Chunk:
        """See `Items`."""
        first = self._starts[number]
        return number, first, list(self._items[first : self._starts[number + 1]])


class Streamed(Items):
    """Of an iterator: chunks are kept until they are committed."""

    exhausted: bool

    def __init__(self, items: Iterable[Any]) -> None:
        """Raises: TypeError for what cannot be iterated over."""
        self._items = iter(items)
        self._kept: dict[int, tuple[int, list[Any], int]] = {}  # by number: first item, items, bytes
        self._made = self._read = self._kept_bytes = 0

    @property
    def kept_bytes(self) -> int:
        """See `Items`."""
        return self._kept_bytes

    def make(self, size: int) -> int | None:
        """See `Items`."""
        if self.exhausted:
            return None
        items: list[Any] = []
        end = perf_counter() + READ_S
        for item in islice(self._items, size):
            items.append(item)
            if perf_counter() > end:
                break
        else:
            self.exhausted = len(items) < size
        if not items:
            return None
        weight = weigh(items)
        number, self._made = self._made, self._made + 1
        self._kept[number] = self._read, items, weight
        self._read += len(items)
        self._kept_bytes += weight
        return number

    def chunk(self, number: int) -> Chunk:
        """See `Items`."""
        first, items, _ = self._kept[number]
        return number, first, items

    def committed(self, numbers: Iterable[int]) -> None:
        """See `Items`."""
        for number in numbers:
            self._kept_bytes -= self._kept.pop(number)[2]


class Pieces(Items):
    """Of an input that was divided: each piece is a chunk by itself, in the order it came in."""

    def __init__(self, pieces: Iterable[Any], input_bytes: int | None) -> None:
        self._pieces = list(pieces)
        self._to_make = list(range(len(self._pieces) - 1, -1, -1))
        self.input_bytes = input_bytes

    def skip(self, numbers: Iterable[int]) -> int:
        """These are done already; their size in bytes. Before the first is made."""
        done = set(numbers)
        self._to_make = [number for number in self._to_make if number not in done]
        return sum(getattr(self._pieces[number], "size_bytes", 0) for number in done)

    @property
    def exhausted(self) -> bool:  # type: ignore[override]  # it follows from the rest
        """See `Items`."""
        return not self._to_make

    @property
    def left(self) -> int:
        """See `Items`."""
        return len(self._to_make)

    def make(self, size: int) -> int | None:
        """See `Items`."""
        return self._to_make.pop() if self._to_make else None

    def chunk(self, number: int) -> Chunk:
        """See `Items`. A piece that knows its place in the input (`order`) has it, whenever it is handed out."""
        piece = self._pieces[number]
        return number, getattr(piece, "order", number) * PIECE_ORDERS, [piece]

    def describe(self, number: int, item: int) -> str:
        """Name a piece for a message."""
        piece = self._pieces[number]
        return f"{getattr(piece, 'place', None) or shorten(piece)}), text {item} of piece {number}"


def items_of(items: Any) -> Items:
    """The chunks of what the caller gave. Raises: TypeError for what cannot be iterated over."""
    return Sequenced(items) if isinstance(items, _Sequence) else Streamed(items)


def weigh(items: Sequence[Any]) -> int:
    """About how many bytes these are: from the sizes of some."""
    step = max(1, -(-len(items) // SAMPLE))
    sample = items[::step]
    return sum(map(_bytes_of, sample)) * len(items) // max(1, len(sample))


def _bytes_of(item: Any) -> int:
    if isinstance(item, str | bytes | bytearray):
        return len(item) + PLAIN_BYTES
    size = getattr(item, "nbytes", 0)  # arrays
    return size + PLAIN_BYTES if isinstance(size, int) else PLAIN_BYTES
