"""How input is divided: from the arguments to a list of pieces, each a few MiB of whole lines.

Only descriptions are made here. A piece is a tuple of spans, a span names a stretch of one file, and the worker that
takes the piece opens and reads it: the text itself never travels. Large files are cut at line borders, found by reading
a few KiB at each cut; small files are put together until they fill a piece. Pieces are ordered largest first, so that
the last ones to end are small. The size, time and identity of each file are noted, so that a worker can tell when it
reads another version than the one that was divided.

Considered and dropped: letting workers find the borders themselves (arithmetic only, but each cut is then read twice
and a file that changes is noticed later); mapping files into memory (a file that shrinks while mapped is a SIGBUS).
"""

from __future__ import annotations

import codecs
import errno
import glob
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import BinaryIO, NamedTuple

from procession.mapreduce.errors import InputChanged, InputUnreadable, NoInput

__all__ = ["Piece", "Plan", "Span", "divide"]

PIECE_BYTES = 4 << 20  # below 1 MiB the handing out shows in a profile, above 16 MiB the last pieces leave workers idle
SMALLEST_PIECE_BYTES = 64 << 10  # arbitrary; not measured
PIECES_PER_WORKER = 8  # at least so many, while they stay above the smallest size
BINARY_PROBE_BYTES = 8 << 10  # a NUL among the first bytes of a file makes it binary, as git and grep have it
BORDER_PROBE_BYTES = 64 << 10  # read at a time when looking for the end of a line

# Encodings whose meaning depends on what came before: a cut could fall inside a shifted stretch.
STATEFUL_ENCODINGS = ("utf-7", "hz", "iso2022")


class Span(NamedTuple):
    """A stretch of a file: `length` bytes from `offset`, and what the file was when it was divided."""

    path: str
    shown: str  # how messages and jobs name it: `path`, or where a copied stream came from
    offset: int
    length: int
    stamp: tuple[int, int, int]  # size in bytes, time of last change in nanoseconds, inode

    @property
    def place(self) -> str:
        """Where it is, for a message."""
        return f"{self.shown}, bytes {self.offset}–{self.offset + self.length}"

    def cut(self, offset: int, length: int) -> Span:
        """Another stretch of the same file."""
        return self._replace(offset=offset, length=length)


Piece = tuple[Span, ...]


@dataclass
class Plan:
    """The pieces of all the input, largest first, and what was found on the way. A context manager: leaving it
    removes the copies made of streams."""

    pieces: list[Piece] = field(default_factory=list)
    files: int = 0
    size_bytes: int = 0
    binary_files: int = 0  # met in directories, and left out
    copies: list[str] = field(default_factory=list)

    def __enter__(self) -> Plan:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Removes the copies of streams. May be called again."""
        while self.copies:
            os.unlink(self.copies.pop())


def divide(inputs: Sequence[str], *, workers: int = 1, encoding: str = "utf-8") -> Plan:
    """Finds every file that `inputs` name and divides them into pieces for `workers`.

    Each input is a file, a directory (taken with everything below it in sorted order, except symbolic links and binary
    files), a glob pattern (`**` included), or `-` for standard input, which is copied to a temporary file first, as is
    anything else that is not a regular file. Naming a file twice counts it twice.

    Raises NoInput if an input names nothing, InputUnreadable if something cannot be opened or listed, LookupError if
    there is no such encoding.
    """
    splittable = cuts_at_newlines(encoding)
    plan = Plan()
    try:
        whole = list(find(inputs, plan, skip_binary=splittable))
        plan.files = len(whole)
        plan.size_bytes = sum(span.length for span in whole)
        goal = plan.size_bytes // (PIECES_PER_WORKER * max(1, workers))
        goal = min(PIECE_BYTES, max(SMALLEST_PIECE_BYTES, goal))
        plan.pieces = list(pack(split_large(whole, goal) if splittable else whole, goal))
        plan.pieces.sort(key=lambda piece: -sum(span.length for span in piece))
    except BaseException:
        plan.close()
        raise
    return plan


def cuts_at_newlines(encoding: str) -> bool:
    """Whether the byte 10 always ends a line in this encoding, and never stands inside another character."""
    name = codecs.lookup(encoding).name.replace("_", "-")
    return "\n".encode(encoding) in (b"\n", codecs.BOM_UTF8 + b"\n") and not name.startswith(STATEFUL_ENCODINGS)


def find(inputs: Iterable[str], plan: Plan, *, skip_binary: bool) -> Iterator[Span]:
    """A span for each whole file that the inputs name, in order."""
    for given in inputs:
        if given == "-":
            yield copy_stream(sys.stdin.buffer, "<stdin>", plan)
        elif os.path.isdir(given):
            yield from find_below(given, plan, skip_binary=skip_binary)
        elif os.path.lexists(given):
            yield named_file(given, plan)
        elif glob.has_magic(given):
            matches = sorted(glob.glob(given, recursive=True))
            if not matches:
                raise NoInput(errno.ENOENT, "no file matches this pattern", given)
            for path in matches:
                if not os.path.isdir(path):
                    yield named_file(path, plan)
        else:
            raise NoInput(errno.ENOENT, "no such file or directory", given)


def find_below(directory: str, plan: Plan, *, skip_binary: bool) -> Iterator[Span]:
    """The text files in a directory and below it. Raises NoInput if there are none."""
    count = 0
    for path in walk(directory):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # a third cheaper than open(), and there are many
            try:
                if skip_binary and b"\0" in os.read(descriptor, BINARY_PROBE_BYTES):
                    plan.binary_files += 1
                    continue
                span = whole_file(path, os.fstat(descriptor))
            finally:
                os.close(descriptor)
        except OSError as error:
            raise unreadable(error, path) from error
        count += 1
        yield span
    if not count:
        raise NoInput(errno.ENOENT, "no text file in this directory", directory)


def walk(directory: str) -> Iterator[str]:
    """Regular files below a directory, in sorted order, not following symbolic links."""
    try:
        with os.scandir(directory) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        raise unreadable(error, directory) from error
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from walk(entry.path)
        elif entry.is_file(follow_symlinks=False):
            yield entry.path


def named_file(path: str, plan: Plan) -> Span:
    """The span of a file that was named itself: taken whatever it holds; a pipe or device is copied first."""
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if stat.S_ISREG(status.st_mode) and (status.st_size or not file.peek(1)):
                return whole_file(path, status)
            return copy_stream(file, path, plan)  # also files of the system itself, which hold more than their size
    except InputUnreadable:
        raise
    except OSError as error:
        raise unreadable(error, path) from error


def copy_stream(stream: BinaryIO, shown: str, plan: Plan) -> Span:
    """Copies a stream to its end into a temporary file, which lives as long as the plan. Blocks until then."""
    with tempfile.NamedTemporaryFile(prefix="procession-", delete=False) as copy:
        plan.copies.append(copy.name)
        shutil.copyfileobj(stream, copy, PIECE_BYTES)
        copy.flush()
        return whole_file(copy.name, os.fstat(copy.fileno()))._replace(shown=shown)


def whole_file(path: str, status: os.stat_result) -> Span:
    return Span(path, path, 0, status.st_size, stamp_of(status))


def stamp_of(status: os.stat_result) -> tuple[int, int, int]:
    """What tells one version of a file from another."""
    return status.st_size, status.st_mtime_ns, status.st_ino


def unreadable(error: OSError, path: str) -> InputUnreadable:
    return InputUnreadable(error.errno, error.strerror or str(error), path)


def split_large(spans: Iterable[Span], goal_bytes: int) -> Iterator[Span]:
    """The same bytes in spans of about `goal_bytes`, every cut just behind a line's end."""
    for span in spans:
        if span.length <= goal_bytes + goal_bytes // 2:
            yield span
            continue
        try:
            with open(span.path, "rb", buffering=0) as file:
                if stamp_of(os.fstat(file.fileno())) != span.stamp:
                    raise InputChanged(span.shown)
                borders = [0, *line_borders(file, span.length, goal_bytes), span.length]
        except InputChanged:
            raise
        except OSError as error:
            raise unreadable(error, span.shown) from error
        for start, end in pairwise(borders):
            yield span.cut(start, end - start)


def line_borders(file: BinaryIO, size: int, goal_bytes: int) -> Iterator[int]:
    """Offsets at which a line starts, about `goal_bytes` apart, the first and last excluded."""
    parts = -(-size // goal_bytes)
    border = 0
    for part in range(1, parts):
        wanted = size * part // parts
        if wanted <= border:
            continue  # a line longer than a piece
        border = next_line(file, wanted, size)
        if border >= size:
            return
        yield border


def next_line(file: BinaryIO, offset: int, size: int) -> int:
    """Where the first line at or after `offset` starts; `size` if none does."""
    position = offset - 1  # a line end just before counts
    file.seek(position)
    while position < size:
        block = file.read(BORDER_PROBE_BYTES)
        if not block:
            return size
        found = block.find(b"\n")
        if found >= 0:
            return position + found + 1
        position += len(block)
    return size


def pack(spans: Iterable[Span], goal_bytes: int) -> Iterator[Piece]:
    """Pieces of about `goal_bytes`: neighbours are put together until they fill one. Empty spans are dropped."""
    batch: list[Span] = []
    size = 0
    for span in spans:
        if not span.length:
            continue
        if batch and size + span.length > goal_bytes + goal_bytes // 2:
            yield tuple(batch)
            batch, size = [], 0
        batch.append(span)
        size += span.length
        if size >= goal_bytes:
            yield tuple(batch)
            batch, size = [], 0
    if batch:
        yield tuple(batch)
