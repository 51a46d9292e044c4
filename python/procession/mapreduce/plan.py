"""How input is divided: from the arguments to a list of pieces, each about a MiB of whole lines or records.

Only descriptions are made here. A piece names stretches of files, and the worker that takes the piece opens and reads
them: the text itself never travels. Large files are cut at line borders, found by reading a few KiB at each cut, or at
record borders, found by looking at every quote before them. Small files are put together until they fill a piece. A
compressed file cannot be cut; it is read as a stream by one worker.

Pieces become smaller towards the end, so that no worker is busy with a large one when the others have none left. The
size, time and identity of each file are noted, so that a worker can tell when it reads another version than the one
that was divided.

Considered and dropped: letting workers find the borders themselves (arithmetic only, but each cut is then read twice
and a file that changes is noticed later); mapping files into memory (see docs/design.md).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO

from procession.mapreduce.errors import InputChanged
from procession.mapreduce.finding import Finder, unreadable
from procession.mapreduce.form import Form, cuts_at_newlines
from procession.mapreduce.records import CHUNK_BYTES, Chain
from procession.mapreduce.spans import Piece, Source, Span, stamp_of

__all__ = ["Piece", "Plan", "Span", "cuts_at_newlines", "divide"]

# Word count of 300 MiB in Python, CPU seconds by piece: 256 KiB 3.0, 1 MiB 3.1, 4 MiB 3.6, 8 MiB 4.1, 16 MiB 4.9. The
# words of a small piece stay in the cache, and one character beyond U+FFFF makes all of its piece four times as wide.
PIECE_BYTES = 1 << 20
MOST_PIECES = 1 << 14  # about; larger pieces rather than more
SMALLEST_PIECE_BYTES = 64 << 10  # opening and reading one takes 20 µs; the bound itself is arbitrary
PIECES_PER_WORKER = 8  # at least so many of what is left, while they stay above the smallest size
BORDER_PROBE_BYTES = 64 << 10  # read at a time when looking for the end of a line


@dataclass
class Plan:
    """The pieces of all the input, largest first, and what was found on the way. A context manager: leaving it
    removes the copies made of streams, and the pieces can no longer be read."""

    pieces: list[Piece] = field(default_factory=list)
    files: int = 0
    size_bytes: int = 0  # of the files themselves, compressed as they are
    binary_files: int = 0  # met in directories, and left out
    copies: list[IO[bytes]] = field(default_factory=list)

    def __enter__(self) -> Plan:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the copies of streams, which removes them. May be called again."""
        while self.copies:
            self.copies.pop().close()


def divide(inputs: Sequence[str], *, workers: int = 1, form: Form | None = None) -> Plan:
    """Finds every file that `inputs` name and divides them into pieces for `workers`.

    Each input is a file, a directory (taken with everything below it in sorted order, except symbolic links and binary
    files), a glob pattern (`**` included), or `-` for standard input, which is copied to a temporary file first, as is
    anything else that is not a regular file. Naming a file twice counts it twice. Blocks while the files are looked at:
    30 µs each, and for CSV until all of it was read once.

    Raises NoInput if an input names nothing, InputUnreadable if something cannot be opened or listed, InputChanged if a
    file changes meanwhile, InputBroken if the first bytes of compressed data or the header of CSV make no sense.
    """
    form = form or Form()
    finder = Finder(form)
    try:
        sources = list(finder.find(inputs))
        guide = Guide(sum(whole(source).weight for source in sources), workers)
        pieces = list(pack((span for source in sources for span in cut(source, guide, form)), guide))
        pieces.sort(key=lambda piece: -piece.weight)
    except BaseException:
        Plan(copies=finder.copies).close()
        raise
    size_bytes = sum(source.size for source in sources)
    return Plan(pieces, len(sources), size_bytes, finder.binary_files, finder.copies)


class Guide:
    """How large the next piece should be: a fixed part of what is left for each worker, within bounds."""

    def __init__(self, total_bytes: int, workers: int) -> None:
        self._left, self._shares = total_bytes, PIECES_PER_WORKER * max(1, workers)
        self._most = max(PIECE_BYTES, total_bytes // MOST_PIECES)

    def goal(self) -> int:
        """In bytes, at least 1."""
        return min(self._most, max(SMALLEST_PIECE_BYTES, self._left // self._shares))

    def took(self, size_bytes: int) -> None:
        """A piece was made."""
        self._left -= size_bytes


def whole(source: Source) -> Span:
    """Of a plain file: all but the header."""
    return Span(source, 0, source.size) if source.packing else Span(source, source.body, source.size - source.body)


def cut(source: Source, guide: Guide, form: Form) -> Iterator[Span]:
    """The same bytes in spans of about the size that the guide wants, every cut just behind a line or a record."""
    span = whole(source)
    if source.packing or not form.is_cut or span.length <= roomy(guide.goal()):
        yield span
        return
    try:
        descriptor = os.open(source.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if stamp_of(os.fstat(descriptor)) != source.stamp:
                raise InputChanged(source.shown)
            start = span.offset
            borders = Borders(descriptor, source, form)
            while source.size - start > roomy(guide.goal()):
                end = borders.after(start + guide.goal())
                yield span._replace(offset=start, length=end - start)
                start = end
        finally:
            os.close(descriptor)
    except OSError as error:
        raise unreadable(error, source.shown) from error
    if start < source.size:
        yield span._replace(offset=start, length=source.size - start)


def roomy(goal_bytes: int) -> int:
    """As much as one piece may take, rather than leave a small rest."""
    return goal_bytes + goal_bytes // 2


class Borders:
    """Finds where lines or records begin in an open file, from left to right."""

    def __init__(self, descriptor: int, source: Source, form: Form) -> None:
        self._descriptor, self._size, self._shown = descriptor, source.size, source.shown
        self._chain = Chain(form.delimiter_byte) if form.is_csv else None
        self._at = source.body  # all before it is in the chain

    def after(self, offset: int) -> int:
        """Where a line or record begins, at `offset` or behind it; the file's size if none does."""
        if self._chain is None:
            return self._next_line(offset)
        while self._at < self._size:
            chunk = self._chunk(offset - self._at)
            first = self._chain.add(chunk)
            at, self._at = self._at, self._at + len(chunk)
            if at >= offset and first < len(chunk):
                return at + first
        return self._size

    def _next_line(self, offset: int) -> int:
        position = offset - 1  # a line end just before counts
        while position < self._size:
            block = self._read(BORDER_PROBE_BYTES, position)
            found = block.find(b"\n")
            if found >= 0:
                return position + found + 1
            position += len(block)
        return self._size

    def _chunk(self, wanted: int) -> bytes:
        """From where the chain is, whole lines: as many bytes as wanted or in the cache, at least one line."""
        size = min(wanted, CHUNK_BYTES) if wanted > 0 else CHUNK_BYTES
        while True:
            chunk = self._read(size, self._at)
            end = chunk.rfind(b"\n") + 1
            if self._at + len(chunk) >= self._size:
                return chunk
            if end:
                return chunk[:end]
            size *= 2

    def _read(self, size: int, offset: int) -> bytes:
        """Never beyond the size that the file had. Raises InputChanged if there is less."""
        data = os.pread(self._descriptor, min(size, self._size - offset), offset)
        if not data:
            raise InputChanged(self._shown)
        return data


def pack(spans: Iterable[Span], guide: Guide) -> Iterator[Piece]:
    """Pieces of about the size that the guide wants: neighbours are put together until they fill one. Empty spans are
    dropped."""
    batch: list[Span] = []
    weight = order = 0
    for span in spans:
        if not span.length:
            continue
        if batch and weight + span.weight > roomy(guide.goal()):
            yield Piece(tuple(batch), order)
            guide.took(weight)
            batch, weight, order = [], 0, order + 1
        batch.append(span)
        weight += span.weight
        if weight >= guide.goal():
            yield Piece(tuple(batch), order)
            guide.took(weight)
            batch, weight, order = [], 0, order + 1
    if batch:
        yield Piece(tuple(batch), order)
