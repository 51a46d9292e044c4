"""The description of a piece of work: which bytes of which files, and what those files were when they were divided.

All of it is small and travels to the worker that reads; the bytes themselves never do.
"""

from __future__ import annotations

import os
from typing import NamedTuple

__all__ = ["Piece", "Source", "Span", "stamp_of"]

UNPACKED_RATIO = 4  # a guess at how much larger text is than its compressed file, only to do the largest first


class Source(NamedTuple):
    """A file."""

    path: str
    shown: str  # how messages and jobs name it: `path`, or where a copied stream came from
    size: int  # bytes, of the file itself
    stamp: tuple[int, int, int]  # size in bytes, time of last change in nanoseconds, inode
    packing: str = ""  # how it is compressed: a name in `compressed.PACKINGS`, or not
    header: tuple[str, ...] | None = None  # the names of the fields of CSV, if it has them and they could be read
    body: int = 0  # bytes before the first record of CSV, in what it unpacks to if it is compressed


class Span(NamedTuple):
    """A stretch of a file: `length` bytes from `offset`. Of a compressed one always the whole."""

    source: Source
    offset: int
    length: int

    @property
    def path(self) -> str:
        """Of the file."""
        return self.source.path

    @property
    def shown(self) -> str:
        """The file, for a message."""
        return self.source.shown

    @property
    def place(self) -> str:
        """Where it is, for a message."""
        if self.source.packing:
            return self.shown
        return f"{self.shown}, bytes {self.offset}–{self.offset + self.length}"

    @property
    def weight(self) -> int:
        """About how many bytes of text there are to be read."""
        return self.length * (UNPACKED_RATIO if self.source.packing else 1)


class Piece(NamedTuple):
    """What a worker takes at a time: stretches that follow each other in the input."""

    spans: tuple[Span, ...]
    order: int  # its place among all pieces, in the order of the input

    @property
    def size_bytes(self) -> int:
        """Bytes of the files themselves."""
        return sum(span.length for span in self.spans)

    @property
    def weight(self) -> int:
        """About how many bytes of text there are to be read."""
        return sum(span.weight for span in self.spans)

    @property
    def place(self) -> str:
        """Where it is, for a message."""
        first = self.spans[0].place
        return first if len(self.spans) == 1 else f"{first}, and {len(self.spans) - 1} more files"


def stamp_of(status: os.stat_result) -> tuple[int, int, int]:
    """What tells one version of a file from another."""
    return status.st_size, status.st_mtime_ns, status.st_ino
