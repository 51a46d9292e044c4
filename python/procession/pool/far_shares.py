"""What a cluster's workers are called with for a keyed map-reduce: a portion of the map, a range of the reduce.

Here a worker has nothing in common with the caller, neither memory nor files. A map task is handed its chunks, combines
them in the same native table as everywhere (`shares.Mapper`), spills into a spool of its own, and returns its runs cut
into ranges of the hashes: *parcels*, plain bytes, which stay with the engine until the reduce tasks, one a range, are
handed all of theirs. What those return is bytes again, the segments of an answer. Both depend on nothing but their
arguments, so an engine that lost a worker simply calls them again, elsewhere.
"""

from __future__ import annotations

import mmap
import os
import socket
from itertools import pairwise

from .. import _native
from .._cpu import cpu_count
from ..gather.budget import EXPANSION, budget_of
from ..gather.reducers import SET
from ..gather.spool import Spool, spill_directory
from .board import CHUNK, HEAD, ITEM, NANOS, SPILLED, WORDS
from .results import describe_item, name_of
from .shares import Mapper, MergeWork, merge

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from collections.abc import Sequence
    from dataclasses import dataclass
    from typing import Any

    from ..gather.budget import Budget
    from ..gather.reducers import Reducer
    from .feeds import Chunk
    from .shares import MapShare
else:
    from ._record import dataclass

__all__ = ["PAGE", "SLOTS", "MapPortion", "Means", "MergeParcels", "Merged", "Told", "borders_of", "told"]

SLOTS = 256  # of the space of hashes; see crates/gather/src/run.rs
PAGE = 4096  # where blocks of a spool begin; see crates/gather/src/spool.rs


@dataclass(frozen=True)
class Means:
    """What a worker may use."""

    memory: int | None  # bytes of this worker; None: its part of what is available where it runs
    directory: str | None  # where to spill; None: where temporary files go

    def budget(self) -> Budget:
        """In numbers. A worker for each CPU of its machine is assumed if nothing was said."""
        return budget_of(None, cpu_count()) if self.memory is None else budget_of(self.memory, 1)

    def spool(self, expected_bytes: int, budget: Budget) -> Spool:
        """One for so many bytes: in memory if they take no more than two of this worker's tables, else on disk."""
        if expected_bytes <= 2 * budget.table_bytes:
            return Spool.in_memory("procession-spool")
        return Spool.on_disk(spill_directory(self.directory))


@dataclass(frozen=True)
class Told:
    """What a map task tells the caller, apart from its parcels."""

    pid: int
    items: int
    bytes: int  # of input, as far as they are known
    pairs: int
    spilled_bytes: int  # written before its end, because the table was full
    nanos: int
    runs: int
    run_bytes: int
    disk_bytes: int  # the part of it that was on disk


@dataclass(frozen=True)
class Merged:
    """What a reduce task returns."""

    segments: list[bytes]  # of entries and, for sets, of members: references, as `merge` gives them
    data: bytes  # the segments; a spool's first page left out


class MapPortion:
    """What a worker calls for a portion. Sent once."""

    def __init__(self, share: MapShare, borders: list[int], means: Means) -> None:
        self._share, self._borders, self._means = share, borders, means
        self.__qualname__ = share.__qualname__

    def __call__(self, chunks: Sequence[Chunk], size_bytes: int) -> tuple[Any, ...]:
        """Map these chunks, about so many bytes of input: a `Told`, and a parcel for each range between the borders.

        Raises: what the map function and the reader raise, with a note of the item; SpillFull.
        """
        budget, line = self._means.budget(), [0] * WORDS
        spool = self._means.spool(size_bytes * EXPANSION, budget)
        try:
            mapper = Mapper(self._share, spool, budget.table_bytes, [0] * HEAD, line)
            for chunk in chunks:
                mapper.map(*chunk)
            mapped = mapper.finish()
            parcels = _native.pack_runs(spool.fd, mapped.runs, self._borders)
        except Exception as error:
            error.add_note(f"in worker {os.getpid()} on {socket.gethostname()}, at {self._doing(chunks, line)}")
            raise
        finally:
            spool.close()
        size = sum(map(len, parcels))
        on_disk = 0 if spool.directory is None else size
        counts = mapped.items, mapped.bytes, mapped.pairs, line[SPILLED], line[NANOS]
        return Told(os.getpid(), *counts, len(mapped.runs), size, on_disk), *parcels

    def _doing(self, chunks: Sequence[Chunk], line: list[int]) -> str:
        """What a task that failed was at."""
        name = name_of(self._share.function)
        at = next((chunk for chunk in chunks if chunk[0] == line[CHUNK] - 1), None)
        if at is None:
            return f"{name}, writing down what was gathered"
        number, first, items = at
        if self._share.reader is None:
            return f"{name}({describe_item(items, line[ITEM])}), item {first + line[ITEM]}"
        return f"{name}({getattr(items[0], 'place', number)}), text {line[ITEM]} of piece {number}"


def told(outcome: Any) -> Any:
    """Itself: what the caller asks for to learn how a map task ended, while its parcels stay where they are."""
    return outcome


class MergeParcels:
    """What a worker calls for a range. Sent once."""

    def __init__(self, reducer: Reducer, means: Means) -> None:
        self._reducer, self._means = reducer, means
        self.__qualname__ = f"reduce of {reducer.label}"

    def __call__(self, *parcels: bytes) -> Merged:
        """Merge the parcels that all map tasks made of it. Raises: what the user's function raises, SpillFull."""
        reducer, budget = self._reducer, self._means.budget()
        size = sum(map(len, parcels))
        spool, answer = self._means.spool(size, budget), self._means.spool(size, budget)
        try:
            runs: list[tuple[int, bytes]] = []
            for parcel in parcels:
                runs += [(0, run) for run in spool.fill(_native.unpack_runs, spool.fd, parcel)]
            segments = [
                merge(reducer, MergeWork(0, None, answer, [spool], runs, budget.table_bytes, 0, SLOTS, which))
                for which in range(2 if reducer.shape == SET else 1)
            ]
            with mmap.mmap(answer.fd, 0, prot=mmap.PROT_READ) as written:
                return Merged(segments, written[PAGE:])
        finally:
            spool.close()
            answer.close()


def borders_of(ranges: int) -> list[int]:
    """Where so many ranges of about the same number of slots begin, and the last one ends."""
    borders = [number * SLOTS // ranges for number in range(ranges + 1)]
    assert all(low < high for low, high in pairwise(borders))
    return borders
