"""What is remembered of the accesses to one shared object: for each place in memory, the last of each kind.

Of each thread, place in the program, kind of access and set of locks the latest access is kept: whoever is ordered
after that is ordered after the earlier ones too. Memory is bounded by forgetting, which leads to silence:
`MOST_IN_CELL` accesses for eight bytes, `MOST_CELLS` times eight bytes and `MOST_SLICES` slices of one object.
"""

from __future__ import annotations

from . import events

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .clocks import Clock, Thread
    from .events import Key

__all__ = ["Access", "Memory"]

MOST_IN_CELL = 48
MOST_CELLS = 1 << 16
MOST_SLICES = 128
CELL = 3  # bits: eight bytes


class Access:
    """One access; of a value that is read and written back the writing, with `read`, the reading."""

    __slots__ = (
        "end",
        "epoch",
        "full",
        "guard",
        "kind",
        "locks",
        "raw",
        "read",
        "site",
        "sites_of_locks",
        "slice",
        "stack",
        "start",
        "strict",
        "thread",
    )

    def __init__(
        self,
        thread: Thread,
        kind: int,
        flags: int,
        span: tuple[int, int],
        guard: Key | None,
        site: str,
        stack: tuple[str, ...],
    ) -> None:
        self.thread: Thread = thread
        self.kind: int = kind
        self.site: str = site
        self.stack: tuple[str, ...] = stack
        self.start: int
        self.end: int
        self.start, self.end = span
        self.epoch: int = thread.epoch
        self.full: Clock = thread.full
        self.strict: Clock = thread.strict
        self.locks: tuple[tuple[Key, int], ...] = thread.locks
        self.sites_of_locks: tuple[str, ...] = thread.sites_of_locks
        """Where each of the locks was acquired."""
        self.raw: bool = bool(flags & events.RAW)
        self.slice: bool = bool(flags & events.SLICE)
        self.guard: Key | None = guard
        self.read: Access | None = None

    @property
    def writes(self) -> bool:
        """Whether it changes the memory."""
        return self.kind != events.READ

    @property
    def identity(self) -> tuple[object, ...]:
        """What a later access has in common with one that it replaces."""
        held = tuple(key for key, _ in self.locks)
        from_site = self.read.site if self.read is not None else ""
        return self.thread.index, self.kind, self.site, self.start, self.end, held, self.raw, from_site

    def overlaps(self, other: Access) -> bool:
        """Whether they have a byte in common."""
        return self.start < other.end and other.start < self.end

    def held(self) -> frozenset[Key]:
        """The locks held, the object's own included where the access takes it."""
        keys = frozenset(key for key, _ in self.locks)
        return keys if self.guard is None else keys | {self.guard}

    def before(self, other: Access, strictly: bool = False) -> bool:
        """Whether this one happens before the other."""
        clock = other.strict if strictly else other.full
        return self.epoch <= clock.get(self.thread.index, 0)


class Memory:
    """The accesses to one object."""

    def __init__(self) -> None:
        self.writers: set[Thread] = set()
        self._cells: dict[int, dict[object, Access]] = {}
        self._slices: dict[object, Access] = {}

    def others(self, access: Access) -> Iterator[Access]:
        """What other threads did to the same bytes."""
        first, last = access.start >> CELL, (access.end - 1) >> CELL
        if last - first < len(self._cells):
            cells = [self._cells[place] for place in range(first, last + 1) if place in self._cells]
        else:
            cells = [cell for place, cell in self._cells.items() if first <= place <= last]
        for cell in cells:
            yield from self._of_others(cell, access)
        yield from self._of_others(self._slices, access)

    @staticmethod
    def _of_others(cell: dict[object, Access], access: Access) -> Iterator[Access]:
        thread, start, end = access.thread, access.start, access.end
        for known in cell.values():
            if known.thread is not thread and known.start < end and start < known.end:
                yield known

    def own_reads(self, access: Access) -> list[Access]:
        """What the same thread has read of the same bytes, the latest last."""
        cell = self._cells.get(access.start >> CELL, {})
        return [
            known
            for known in cell.values()
            if known.kind == events.READ and known.thread is access.thread and known.overlaps(access)
        ]

    def forget_reads(self, thread: Thread, span: tuple[int, int]) -> None:
        """The thread has read these bytes again, we do not know how: no write is based on what it read before."""
        cell = self._cells.get(span[0] >> CELL, {})
        for identity, known in list(cell.items()):
            if known.kind == events.READ and known.thread is thread and known.start < span[1] and span[0] < known.end:
                del cell[identity]

    def remember(self, access: Access) -> None:
        """Keep an access, in the place of the one before it of its kind."""
        if access.writes:
            self.writers.add(access.thread)
        if access.end - access.start > 1 << CELL:
            cell, most = self._slices, MOST_SLICES
        else:
            place = access.start >> CELL
            if place not in self._cells and len(self._cells) >= MOST_CELLS:
                del self._cells[next(iter(self._cells))]
            cell, most = self._cells.setdefault(place, {}), MOST_IN_CELL
        identity = access.identity
        cell.pop(identity, None)
        if len(cell) >= most:
            del cell[next(iter(cell))]
        cell[identity] = access
