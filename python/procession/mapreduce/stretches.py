"""What a map function is handed: a stretch of the input that also knows where it comes from.

Always in whole lines (or whole records of CSV): it starts where one starts, and ends where one ends or where the file
does. Line ends are as in the file. Offsets and lengths are bytes of the file, or, of a compressed file (`unpacked`), of
what it unpacks to; `size_bytes` is always what it takes of the file itself, to know how far a run has come.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Self

from procession import _native

__all__ = ["CsvRaw", "CsvText", "Place", "Raw", "Stretch", "Text"]


class Place(NamedTuple):
    """Where a stretch lies."""

    path: str = ""  # as the input named it
    offset: int = 0  # bytes before it
    length: int = 0  # bytes, before decoding
    size_bytes: int = 0  # of the file itself
    unpacked: bool = False  # offset and length are counted in what a compressed file unpacks to

    def __str__(self) -> str:
        of = "unpacked bytes" if self.unpacked else "bytes"
        return f"{self.path}, {of} {self.offset}–{self.offset + self.length}"


class _Placed:
    """What both kinds of stretches have, beside being a str or bytes."""

    path: str
    offset: int
    place: Place

    def __new__(cls, data: str | bytes, path: str = "", offset: int = 0, place: Place | None = None) -> Self:
        self = super().__new__(cls, data)  # type: ignore[call-arg]  # that of str or bytes
        self.place = Place(path, offset) if place is None else place
        self.path, self.offset = self.place[:2]
        return self

    @property
    def size_bytes(self) -> int:
        """What it takes of the file."""
        return self.place.size_bytes


class Text(_Placed, str):
    """A stretch of text: a string. See the module's text."""


class Raw(_Placed, bytes):
    """A stretch of bytes as they are in the file. See the module's text.

    It is `bytes`, not a view of a buffer that is filled again: so it can be kept, and what is split off it are keys.
    """


NO_LINE_ENDS = "\v\f\x1c\x1d\x1e\x85\u2028\u2029"  # str.splitlines cuts there as well; it is faster than StringIO


class CsvText(Text):
    """Whole records of CSV, without the one that names the fields.

    `header` has the names of the fields, from the file's first record; None if the input has no such record.
    """

    header: list[str] | None = None
    delimiter: str = ","

    def rows(self) -> Iterator[list[str]]:
        """The records, each a list of its fields; lines with nothing in them are no records. Raises csv.Error."""
        lines: Iterable[str] = self.splitlines(keepends=True)
        if any(mark in self for mark in NO_LINE_ENDS):
            lines = io.StringIO(self, newline="")
        return filter(None, csv.reader(lines, delimiter=self.delimiter))

    def column(self, name: str | int) -> list[str]:
        """One field of each record, by its name or its number from 0 on; "" where a record is too short. Half the cost
        of `rows`, for it makes no other field. Raises ValueError for a field that there is not."""
        return list(_native.Columns(self, name, delimiter=self.delimiter, header=self.header, skip_header=False))


class CsvRaw(Raw):
    """The same as bytes, for native code."""

    header: list[str] | None = None
    delimiter: str = ","


Stretch = Text | Raw
MAKERS: dict[str, Any] = {"text": Text, "bytes": Raw, "csv": CsvText, "csv-bytes": CsvRaw}
