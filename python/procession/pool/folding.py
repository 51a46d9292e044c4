"""map_reduce: map and fold in the workers, fold what they give here.

Each task maps a chunk of neighbouring items and folds their values, so one partial result travels for a chunk, not one
for an item. The caller folds partials of equal rank pairwise, as they come and in the order of the items, like a binary
counter: a value takes part in about log2(chunks) folds instead of one that grows with every chunk.
"""

from __future__ import annotations

from functools import reduce
from itertools import islice

from .iterators import IMapIterator

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from .limits import Limits
    from .supervisor import Supervisor

__all__ = ["NOTHING", "map_reduce"]

NOTHING: Any = type("Nothing", (), {"__repr__": lambda self: "<nothing>"})()


class FoldChunk:
    """What a worker calls: maps the items of a chunk and folds the values."""

    def __init__(self, map_function: Callable[[Any], Any], reduce_function: Callable[[Any, Any], Any]) -> None:
        self.map_function: Callable[[Any], Any] = map_function
        self.reduce_function: Callable[[Any, Any], Any] = reduce_function
        self.__qualname__ = f"map_reduce of {getattr(map_function, '__qualname__', map_function)}"

    def __call__(self, items: list[Any]) -> tuple[int, Any]:
        return len(items), reduce(self.reduce_function, map(self.map_function, items))


class Counter:
    """Folds partials in order: places[k] holds a fold of 2**k neighbours or nothing."""

    def __init__(self, function: Callable[[Any, Any], Any]) -> None:
        self._function = function
        self._places: list[Any] = []

    def add(self, partial: Any) -> None:
        """Take the next partial."""
        for place, earlier in enumerate(self._places):
            if earlier is NOTHING:
                self._places[place] = partial
                return
            partial = self._function(earlier, partial)
            self._places[place] = NOTHING
        self._places.append(partial)

    def total(self) -> Any:
        """The fold of all; NOTHING for none."""
        total = NOTHING
        for earlier in self._places:
            if earlier is not NOTHING:
                total = earlier if total is NOTHING else self._function(earlier, total)
        return total


def map_reduce(
    core: Supervisor,
    map_function: Callable[[Any], Any],
    items: Iterable[Any],
    reduce_function: Callable[[Any, Any], Any],
    chunksize: int | None,
    initial: Any,
    progress: Any,
    limits: Limits,
) -> Any:
    """See `Pool.map_reduce`."""
    tally = meter = None
    if progress is not None:
        from .progressing import Tally, length_of

        tally = Tally(length_of(items))
        meter = tally.meter(progress, map_function)
    chunks = _Chunks(items, core.size, chunksize)
    answers = IMapIterator().begin(core, FoldChunk(map_function, reduce_function), chunks, 1, limits)
    folded = Counter(reduce_function)
    try:
        for count, partial in answers:
            folded.add(partial)
            chunks.measure(*answers.measured)
            if tally is not None and meter is not None:
                tally.done += count
                meter.tell()
        if meter is not None:
            meter.end()
    except BaseException:
        answers.abandon()
        if meter is not None:
            meter.stop()
        raise
    total = folded.total()
    if total is NOTHING:
        if initial is NOTHING:
            raise TypeError("map_reduce() of an empty iterable with no initial value")
        return initial
    return total if initial is NOTHING else reduce_function(initial, total)


class _Chunks:
    """Lists of neighbouring items; their length follows the measured time of a chunk."""

    def __init__(self, items: Iterable[Any], workers: int, chunksize: int | None) -> None:
        self._items = iter(items)
        self._fixed = chunksize is not None
        self._size = chunksize or 1
        try:
            self._most = max(1, len(items) // (4 * workers))  # type: ignore[arg-type]
        except TypeError:
            self._most = 2**31
        self._read = 0
        self._seen = (0, 0)

    def __iter__(self) -> _Chunks:
        return self

    def __next__(self) -> list[Any]:
        chunk = list(islice(self._items, self._size))
        if not chunk:
            raise StopIteration
        return chunk

    def measure(self, chunks: int, nanos: int) -> None:
        """So many chunks took so long, all in all."""
        new, time = chunks - self._seen[0], nanos - self._seen[1]
        if self._fixed or new < 4:
            return
        self._seen = chunks, nanos
        mean = time // new
        if mean < TARGET_NS // 2:
            self._size = min(2 * self._size, self._most)
        elif mean > 2 * TARGET_NS:
            self._size = max(1, self._size // 2)


TARGET_NS = 50_000_000  # work in a chunk: a partial may be large, and folding it here costs the caller
