"""Where records of CSV begin and end: a newline inside quotes ends none.

The format is what Python's `csv.reader` reads with its usual settings. A quote opens a quoted field only where a field
starts, and is a plain character elsewhere; so counting quotes is not enough. Inside, two quotes are one, and a single
one closes; what follows it up to the delimiter belongs to the field. LF, CR and CRLF end a record.

A file is looked at in chunks that are cut behind newlines. Such a chunk begins either with a record or inside quotes,
and which of the two is known when all before it was looked at: the native scanner says what each hypothesis leads to,
and `Chain` puts the chunks together.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from itertools import count

from procession import _native
from procession.mapreduce.errors import InputBroken
from procession.mapreduce.form import Form

__all__ = ["Chain", "last_border", "record_end", "split_header"]

HEADER_BYTES = 64 << 10  # read at first to find the names of the fields
MOST_HEADER_BYTES = 16 << 20  # a first record that does not end within so many is a mistake
CHUNK_BYTES = 128 << 10  # stays in a core's cache

CLOSING = re.compile(rb'[^"]*+(?:""[^"]*+)*+"')  # the rest of a quoted field, from inside it


def behind_newline(data: bytes, start: int, end: int) -> int:
    """Just behind the first end of a line between the two; -1 if there is none."""
    newline = data.find(b"\n", start, end)
    lone = data.find(b"\r", start, end if newline < 0 else newline)
    if lone >= 0 and lone + 1 != newline:
        return lone + 1
    return newline + 1 if newline >= 0 else -1


class Chain:
    """Chunks of a file, one after another."""

    def __init__(self, delimiter: bytes) -> None:
        self._delimiter = delimiter.decode()
        self.inside: bool = False  # the next chunk begins inside quotes

    def add(self, chunk: bytes) -> int:
        """Where the first record begins in the next chunk; its length if none does.

        A chunk begins right behind a newline byte, or where the file does, and ends behind one or where the file does.
        """
        outcomes = _native.csv_borders(chunk, self._delimiter)
        self.inside, first = outcomes[self.inside]
        return len(chunk) if first is None else first


def last_border(data: bytes, delimiter: bytes) -> int:
    """The end of the last of the whole records that data begins with, or of one near it; 0 if not one ends in it."""
    chain, at, border = Chain(delimiter), 0, 0
    step = min(CHUNK_BYTES, len(data) // 8 + 1)  # several: the first may end inside quotes and have no other border
    while at < len(data):
        end = data.rfind(b"\n", at, at + step) + 1 or data.find(b"\n", at) + 1
        if not end:
            return border
        first = chain.add(data[at:end])
        if first < end - at:
            border = at + first
        if not chain.inside:
            border = end
        at = end
    return border


def record_end(data: bytes, at: int, delimiter: bytes) -> int:
    """Just behind the record that begins at `at`; -1 if it does not end in the data."""
    starts = b"\r\n" + delimiter
    begin = at
    while True:
        quote = data.find(b'"', at)
        end = behind_newline(data, at, len(data) if quote < 0 else quote)
        if end >= 0:
            return end
        if quote < 0:
            return -1
        at = quote + 1
        if quote == begin or data[quote - 1] in starts:
            closing = CLOSING.match(data, at)
            if closing is None:
                return -1
            at = closing.end()


def split_header(read: Callable[[int], bytes], form: Form, shown: str) -> tuple[tuple[str, ...] | None, int]:
    """The names of the fields of CSV, and how many bytes there are before the first record behind them.

    `read` gives the first so many bytes of a file, fewer only if it has no more. Empty lines before the names, and a
    byte order mark, are passed over. Raises InputBroken if the record with the names does not end, or is no record.
    """
    for size in (HEADER_BYTES << doublings for doublings in count()):
        data = read(size)
        begin = form.mark_bytes(data)
        if not form.header:
            return None, begin
        while data[begin : begin + 1] in (b"\n", b"\r"):
            begin += 1
        end = record_end(data, begin, form.delimiter_byte)
        is_whole = len(data) < size
        if is_whole or 0 <= end < len(data):  # at the very end, the LF of a CRLF may be missing
            stop = end if end >= 0 else len(data)
            return names_in(data[begin:stop], form, shown), stop
        if size >= MOST_HEADER_BYTES:
            raise InputBroken(shown, f"the first record does not end within {size} bytes: is a quote not closed?")
    raise AssertionError("not reached")


def names_in(data: bytes, form: Form, shown: str) -> tuple[str, ...]:
    """The fields of one record."""
    try:
        rows = csv.reader(io.StringIO(form.decode(data, 1), newline=""), delimiter=form.delimiter)
        return tuple(next(rows, ()))
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputBroken(shown, f"the first record does not name the fields ({error})") from error
