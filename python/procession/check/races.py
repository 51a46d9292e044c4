"""Races and lost updates, found in what a run recorded: whatever the order was in which things happened that day.

Two rules, over happens-before (`clocks`) and the locks that were held:

* **race**: two threads touch the same bytes, one of them writes, neither access happens before the other, and no lock
  is held at both. `Value.value` and items of an `Array` take the object's own lock for themselves, so single reads and
  writes through them are none; bare memory (`RawValue`, `RawArray`, `lock=False`, `get_obj()`) is looked at as it is.
  Slices that are written through the lock and overlap in part are a race as well: what remains is a mixture.
* **lost-update**: a thread reads a value and writes back what it made of it, and meanwhile another thread may write
  there: no lock was held from the read to the write that the other write holds too, and nothing else orders them. That
  the written depends on the read is taken from the program's text (`source.depends`).

The lock that an access takes for itself orders nothing. Otherwise two `x.value += 1` would be ordered by the chance of
one run, as in Eraser's (Savage and others 1997) and FastTrack's discussion of it, and no update would ever look lost.

Where these rules could blame a correct program they are silent. A read that waits for a change (`while not
flag.value`, see `source.is_polling`) sees all that the writers of the flag have done. A process that synchronises by
what is not followed (`UNSEEN`) is left out altogether.
"""

from __future__ import annotations

from . import events
from .accesses import Access, Memory
from .clocks import State
from .finding import Finding
from .source import depends, is_polling
from .wording import lost_update, race

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from .._recording import Record
    from .clocks import Thread
    from .events import Key

__all__ = ["Detector", "analyse", "find"]

_NAME, _IS_THREAD = 2, 1  # the recorder's record of a name, and its flag
_SYNCHRONISATION = range(events.RELEASE, events.JOINED + 1)
_ACCESSES = range(events.READ, events.UPDATE + 1)


class Pair:
    """Two accesses that are in conflict, the one that tells more first."""

    def __init__(self, one: Access, other: Access) -> None:
        self.one: Access = one
        self.other: Access = other

    @property
    def sites(self) -> frozenset[str]:
        """The places in the program that it concerns."""
        sites = {self.one.site, self.other.site}
        return frozenset(sites | {access.read.site for access in (self.one, self.other) if access.read is not None})


class Detector:
    """Takes the records in the order of tickets, and gives findings at the end."""

    def __init__(self) -> None:
        self.state: State = State()
        self.names: dict[tuple[int, int], str] = {}
        self._objects: dict[Key, Memory] = {}
        self._unseen: set[int] = set()
        self._races: dict[Key, dict[frozenset[str], Pair]] = {}
        self._lost: dict[Key, dict[frozenset[str], Pair]] = {}

    def feed(self, record: Record) -> None:
        """Take the next record."""
        kind = record.kind
        if kind in _ACCESSES:
            self._access(record)
        elif kind in _SYNCHRONISATION:
            self.state.synchronise(record, self.state.thread(record))
        elif kind == events.UNSEEN:
            self._unseen.add(record.pid)
        elif kind == _NAME:
            self.names[record.pid, record.thread if record.flags & _IS_THREAD else 0] = record.site

    def _memory(self, key: Key) -> Memory:
        memory = self._objects.get(key)
        if memory is None:
            memory = self._objects[key] = Memory()
        return memory

    def _access(self, record: Record) -> None:
        key = events.key_of(record)
        memory, thread = self._memory(key), self.state.thread(record)
        is_waiting = record.kind == events.READ and is_polling(record.site)
        if is_waiting:
            self.state.see(thread, memory.writers)
        span, guard = events.span_of(record), events.guard_of(record)
        if record.flags & events.AGAIN:
            memory.forget_reads(thread, span)
            return
        access = Access(thread, record.kind, record.flags, span, guard, record.site, record.stack)
        if is_waiting:
            memory.remember(access)
            return
        if access.kind == events.WRITE:
            self._pair_with_read(memory, access)
        for other in memory.others(access):
            self._compare(key, other, access)
        memory.remember(access)

    def _pair_with_read(self, memory: Memory, write: Access) -> None:
        """Make the write an update, if it writes back what the thread has read there."""
        for read in reversed(memory.own_reads(write)):
            if depends(read.site, write.site):
                write.read = read
                return

    def _compare(self, key: Key, earlier: Access, later: Access) -> None:
        if not (earlier.writes or later.writes):
            return
        for update, other in ((later, earlier), (earlier, later)):
            if update.read is not None and other.writes and _may_lose(update, other, other is earlier):
                self._note(self._lost, key, Pair(update, other))
                return
        if is_race(earlier, later):
            self._note(self._races, key, Pair(later, earlier) if later.writes else Pair(earlier, later))

    @staticmethod
    def _note(found: dict[Key, dict[frozenset[str], Pair]], key: Key, pair: Pair) -> None:
        found.setdefault(key, {}).setdefault(pair.sites, pair)

    def findings(self) -> list[Finding]:
        """What is wrong, each mistake once: that of several objects at the same places too."""
        result: dict[Any, Finding] = {}
        for key, pairs in self._lost.items():
            self._tell(result, "lost-update", [pair for pair in pairs.values() if self._is_seen(pair)], key)
        for key, pairs in self._races.items():
            lost = {site for sites in self._lost.get(key, ()) for site in sites}
            left = [pair for sites, pair in pairs.items() if not sites <= lost and self._is_seen(pair)]
            self._tell(result, "race", left, key)
        return list(result.values())

    def _is_seen(self, pair: Pair) -> bool:
        return not {pair.one.thread.pid, pair.other.thread.pid} & self._unseen

    def _tell(self, result: dict[Any, Finding], kind: str, pairs: list[Pair], key: Key) -> None:
        if pairs:
            word = lost_update if kind == "lost-update" else race
            finding = word([(pair.one, pair.other) for pair in pairs], self._who)
            result.setdefault((kind, frozenset(place.site for place in finding.places)), finding)

    def _who(self, thread: Thread) -> tuple[str, str]:
        """Process and thread, as findings name them."""
        name = self.names.get((thread.pid, 0), "")
        process = f"{name}, pid {thread.pid}" if name else f"pid {thread.pid}"
        return process, "" if thread.native == thread.pid else self.names.get(
            (thread.pid, thread.native), str(thread.native)
        )


def _may_lose(update: Access, other: Access, is_earlier: bool) -> bool:
    """Whether `other`'s write can fall between the update's read and write; `is_earlier`: it came first that day."""
    read = update.read
    assert read is not None
    at_write = set(update.locks)
    throughout = frozenset(key for key, number in read.locks if (key, number) in at_write)
    if throughout & other.held():
        return False
    # Let go and taken again between the two: then the order of critical sections is chance.
    again = ({key for key, _ in read.locks} & {key for key, _ in update.locks}) - throughout
    strictly = bool(again & other.held())
    if is_earlier:
        return not other.before(read, strictly)
    return not update.before(other, strictly)


def is_race(earlier: Access, later: Access) -> bool:
    """Whether nothing orders two accesses to the same bytes of which one writes."""
    if not (earlier.raw or later.raw) and not _is_mixture(earlier, later):
        return False
    if earlier.before(later):
        return False
    if earlier.raw or later.raw:
        return not earlier.held() & later.held()
    return not {key for key, _ in earlier.locks} & {key for key, _ in later.locks}


def _is_mixture(one: Access, other: Access) -> bool:
    """Two slices written in part over each other."""
    partly = (one.start, one.end) != (other.start, other.end)
    return one.slice and other.slice and one.kind == other.kind == events.WRITE and partly


def analyse(records: Iterable[Record]) -> list[Finding]:
    """The races and lost updates in records in the order of tickets."""
    detector = Detector()
    for record in records:
        detector.feed(record)
    return detector.findings()


def find(directory: str) -> list[Finding]:
    """The races and lost updates in a recorded run. Raises: NotARecording."""
    from .. import _recording

    return analyse(_recording.read(directory, "ticket"))
