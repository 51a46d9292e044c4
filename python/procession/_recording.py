"""What the recorder wrote: a directory of files that outlive the processes which they are about.

The writer's side, with the meaning of each kind of record and the layout, is `crates/core/src/recorder.rs`. Here the
files are made and read. A reader may come while the program runs, or after it was killed at whatever instruction: a
record that is not finished has kind 0 and is passed over, a label without its end is unknown.

Records come in one of three orders. In a file they stand in the order in which their threads took places, so those of
one thread are in order. By time they are sorted by the machine's clock. By ticket they agree with cause and effect
across processes: a record without a ticket keeps its place in its thread.
"""

from __future__ import annotations

import heapq
import mmap
import os
import struct
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from ._sizes import parse_size
from ._variables import parsed
from .errors import NotARecording

__all__ = ["LIMIT_VARIABLE", "PRIVATE", "VARIABLE", "ProcessFile", "Record", "Recording", "begin", "limit", "read"]

VARIABLE = "PROCESSION_RECORD"  # the directory, for every process that inherits it
LIMIT_VARIABLE = "PROCESSION_RECORD_LIMIT"  # bytes of records that the whole family may write

TRACE, CHECK = 1, 2  # what is recorded

# Kinds, as in crates/core/src/recorder.rs
PROCESS, NAME, EXIT, STARTED, ENDED = 1, 2, 3, 4, 5
TASK, TASK_DONE, SUBMITTED, WORKER = 16, 17, 18, 19
WAIT, WAIT_DONE = 32, 33
# What a thread waits to do, as in crates/core/src/waits.rs
ACTIONS = ("", "acquire", "get", "put", "wait", "poll", "finish", "join", "result", "any", "serve", "hold")

PRIVATE = 1 << 15  # flag: the object lies in its process's own memory

_VERSION = 1
_MAGIC = b"PROCREC\n"
_LIMIT_REACHED = (1 << 32) - 1  # in the place of an errno
_HEADER = struct.Struct("<8sIIQQQI")
_COUNTERS = struct.Struct("<QQII")  # from byte 128 on
_RECORD = struct.Struct("<QQIHHQQQIIII")

Order = Literal["time", "ticket", "file"]


class Record(NamedTuple):
    """One record. Times are nanoseconds of the machine's monotonic clock; what is not known is 0 or empty."""

    time: int
    ticket: int
    pid: int
    thread: int  # the kernel's id
    kind: int
    flags: int
    arena: int
    object: int
    a: int
    b: int
    site: str
    stack: tuple[str, ...]  # innermost first
    extra: int


def begin(directory: str | os.PathLike[str], what: int, limit_bytes: int | None = None) -> None:
    """Record into `directory`, which exists, from now on: this process, and all that it starts.

    `what`: TRACE, CHECK or both; `limit_bytes`: bytes of records of all processes (a gigabyte, or what
    PROCESSION_RECORD_LIMIT says).

    Raises: OSError when it cannot be written to, ValueError for a limit that is no number.
    """
    from . import _native

    path = os.path.abspath(directory)
    _native.record_into(path, what, limit() if limit_bytes is None else limit_bytes)
    os.environ[VARIABLE] = path


def limit() -> int:
    """Bytes that the variable allows; 0 for what the core thinks right. Raises: ValueError for nonsense."""
    return parsed(LIMIT_VARIABLE, parse_size, "a size such as 2G or 512M") or 0


def signed(number: int) -> int:
    """A number that was written with a sign."""
    return number - (1 << 64) if number >> 63 else number


class ProcessFile:
    """The records of one process."""

    def __init__(self, path: Path) -> None:
        """The file `<pid>-<time>.records`; its labels lie beside it."""
        self.path = path
        pid, _, began = path.stem.partition("-")
        self.pid: int = int(pid)
        self.began: int = int(began)
        self._labels: list[str | tuple[int, ...]] = []
        self._read = 0  # bytes of labels

    def label(self, number: int) -> str:
        """The text with this number, empty for none."""
        found = self._label(number)
        return found if isinstance(found, str) else ""

    def stack(self, number: int) -> tuple[str, ...]:
        """The stack with this number, innermost frame first."""
        found = self._label(number)
        return tuple(map(self.label, found)) if isinstance(found, tuple) else ()

    def _label(self, number: int) -> str | tuple[int, ...]:
        if number > len(self._labels):
            self._load()
        return self._labels[number - 1] if 0 < number <= len(self._labels) else ""

    def _load(self) -> None:
        """What was added since the last time. A line without its end is left for the next."""
        try:
            with open(self.path.with_suffix(".labels"), "rb") as file:
                file.seek(self._read)
                data = file.read()
        except OSError:
            return
        data = data[: data.rfind(b"\n") + 1]
        self._read += len(data)
        self._labels.extend(map(_parsed, data.split(b"\n")[:-1]))

    def raw(self) -> Iterator[tuple[int, ...]]:
        """The finished records as tuples, as they stand in the file."""
        with self._contents() as contents:
            for fields in _RECORD.iter_unpack(contents[_RECORD.size :]):
                if fields[3]:
                    yield fields

    def records(self, order: Order = "file") -> Iterator[Record]:
        """The finished records."""
        if order == "file":
            return map(self._record, self.raw())
        return (record for _, record in self.keyed(order))

    def keyed(self, order: Order) -> Iterator[tuple[int, Record]]:
        """The same, each with what it is sorted by."""
        with self._contents() as contents:
            keys = array("Q", _times(contents) if order == "time" else _tickets(contents))
            for place in sorted(range(1, len(keys)), key=keys.__getitem__):
                fields = _RECORD.unpack_from(contents, place * _RECORD.size)
                if fields[3]:
                    yield keys[place], self._record(fields)

    def _record(self, fields: tuple[int, ...]) -> Record:
        time, ticket, thread, kind, flags, object_, a, b, site, arena, stack, extra = fields
        frames = self.stack(stack) if stack else ()
        return Record(
            time, ticket, self.pid, thread, kind, flags, arena, object_, a, b, self.label(site), frames, extra
        )

    def _contents(self) -> memoryview:
        """The file, without a part of a record at its end."""
        with open(self.path, "rb") as file:
            length = os.fstat(file.fileno()).st_size // _RECORD.size * _RECORD.size
            if length < _RECORD.size:
                return memoryview(bytes(_RECORD.size))
            return memoryview(mmap.mmap(file.fileno(), length, access=mmap.ACCESS_READ))


def _parsed(line: bytes) -> str | tuple[int, ...]:
    text = line.decode(errors="replace")
    if text.startswith("@"):
        return tuple(int(number) for number in text[1:].split() if number.isdigit())
    text = text[1:]
    if "\\" not in text:
        return text
    parts = [part.replace("\\n", "\n").replace("\\r", "\r") for part in text.split("\\\\")]
    return "\\".join(parts)


def _times(contents: memoryview) -> Iterator[int]:
    return (fields[0] for fields in _RECORD.iter_unpack(contents))


def _tickets(contents: memoryview) -> Iterator[int]:
    """A record's own, or that of the last one of its thread that has one: it stays behind that, and before the next."""
    last: dict[int, int] = {}
    for fields in _RECORD.iter_unpack(contents):
        ticket, thread = fields[1], fields[2]
        if ticket:
            last[thread] = ticket
        yield ticket or last.get(thread, 0)


class Recording:
    """A directory that the recorder wrote into, or still does."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        """Raises: NotARecording when there is none that this version can read."""
        self.directory: Path = Path(directory)
        try:
            header = (self.directory / "header").read_bytes()
        except OSError as error:
            raise NotARecording(f"{directory}: no recording of procession's ({error.strerror})") from None
        if len(header) < 192 or header[:8] != _MAGIC:
            raise NotARecording(f"{directory}: its header is damaged, or not procession's")
        self.what: int
        self.created: int
        self.created_1970: int
        self.limit: int
        self.creator: int
        _magic, version, self.what, self.created, self.created_1970, self.limit, self.creator = _HEADER.unpack_from(
            header
        )
        if version != _VERSION:
            raise NotARecording(
                f"{directory}: recorded by a procession with format {version}; this one reads format {_VERSION}"
            )
        self.reserved: int
        self.dropped: int
        self.stopped: int
        self.stopped_pid: int
        self.reserved, self.dropped, self.stopped, self.stopped_pid = _COUNTERS.unpack_from(header, 128)

    def files(self) -> list[ProcessFile]:
        """One for each process, oldest first. What else lies there is left out."""
        found = []
        for path in self.directory.glob("*-*.records"):
            try:
                found.append(ProcessFile(path))
            except ValueError:
                continue
        return sorted(found, key=lambda file: file.began)

    def read(self, order: Order = "time") -> Iterator[Record]:
        """All finished records of all processes, in one of the orders that the module tells of.

        In the order of "file", one process after the other, nothing is held in memory; the others take some 40 bytes
        for each record.
        """
        if order == "file":
            for file in self.files():
                yield from file.records()
            return
        streams = [file.keyed(order) for file in self.files()]
        for _, record in heapq.merge(*streams, key=lambda keyed: keyed[0]):
            yield record

    def shortfall(self) -> str:
        """What is missing in a sentence; empty when nothing is."""
        if not self.dropped:
            return ""
        limit = f"its limit of {self.limit} bytes was reached ({LIMIT_VARIABLE} raises it)"
        why = limit if self.stopped == _LIMIT_REACHED else os.strerror(self.stopped)
        return f"{self.dropped} records had no place and are missing: {why}"


def read(directory: str | os.PathLike[str], order: Order = "time") -> Iterator[Record]:
    """All records in a directory; see `Recording.read`. Raises: NotARecording."""
    return Recording(directory).read(order)
