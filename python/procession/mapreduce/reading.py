"""Reading a piece, in the worker that took it: stretches of whole lines or records, decoded or as they are.

The file is checked against what it was when the work was divided, before and after it is read: a span that was cut for
one version and read from another would count lines twice or not at all.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator

from procession.mapreduce.compressed import Unpacked
from procession.mapreduce.errors import InputBroken, InputChanged, InputNotText, InputUnreadable
from procession.mapreduce.finding import unreadable
from procession.mapreduce.form import Form
from procession.mapreduce.records import last_border, split_header
from procession.mapreduce.spans import Piece, Span, stamp_of
from procession.mapreduce.stretches import MAKERS, CsvRaw, CsvText, Place, Stretch

__all__ = ["read_bytes", "read_piece", "read_span"]

WINDOW_BYTES = 1 << 20  # of what a compressed file unpacks to, at a time; as `plan.PIECE_BYTES`


def read_piece(piece: Piece, form: Form) -> Iterator[Stretch]:
    """The stretches of a piece, each read when it is asked for. What is empty is left out.

    Raises InputChanged, InputUnreadable, InputBroken, or InputNotText with the offset of the first bad byte.
    """
    for span in piece.spans:
        yield from read_span(span, form)


def read_span(span: Span, form: Form) -> Iterator[Stretch]:
    """The stretches of one span: one if it is plain, one per window if it is compressed."""
    if span.source.packing:
        yield from unpack(span, form)
    else:
        data = read_bytes(span)
        yield from made(data, span, Place(span.shown, span.offset, span.length, span.length), form)


def made(data: bytes, span: Span, place: Place, form: Form) -> Iterator[Stretch]:
    """What `map` is handed for these bytes. Raises InputNotText."""
    header = span.source.header
    content: bytes | str = data
    if form.is_decoded:
        try:
            content = form.decode(data, place.offset)
        except UnicodeDecodeError as error:
            at = place.offset + error.start
            raise InputNotText(span.shown, at, form.encoding, error.reason, place.unpacked) from None
    if form.is_csv and not form.is_cut:
        header, content = without_header(str(content), form, span.shown)
    if not content:
        return
    stretch: Stretch = MAKERS[form.takes](content, place=place)
    if isinstance(stretch, CsvText | CsvRaw):
        stretch.header = None if header is None else list(header)
        stretch.delimiter = form.delimiter
    yield stretch


def without_header(text: str, form: Form, shown: str) -> tuple[tuple[str, ...] | None, str]:
    """The header and the rest of a whole file of CSV, in an encoding whose bytes do not show where records end."""
    data = text.encode("utf-8", "surrogatepass")
    utf8 = Form("csv", "utf-8", "surrogatepass", form.delimiter, form.header)
    header, body = split_header(lambda size: data[:size], utf8, shown)
    return header, data[body:].decode("utf-8", "surrogatepass")


def read_bytes(span: Span) -> bytes:
    """The bytes of a span of a plain file. Raises InputChanged or InputUnreadable."""
    try:
        descriptor = os.open(span.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            check(descriptor, span)
            data = read_fully(descriptor, span.offset, span.length)
            if len(data) != span.length:
                raise InputChanged(span.shown)
            check(descriptor, span)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise InputChanged(span.shown) from None  # it was there when the work was divided
    except OSError as error:
        raise unreadable(error, span.shown) from error
    return data


def check(descriptor: int, span: Span) -> None:
    """Raises InputChanged if an open file is not the one that was divided."""
    if stamp_of(os.fstat(descriptor)) != span.source.stamp:
        raise InputChanged(span.shown)


def read_fully(descriptor: int, offset: int, length: int) -> bytes:
    """Up to `length` bytes, fewer only at the end of the file: one call of the system reads at most 2 GiB."""
    data = os.pread(descriptor, length, offset)
    if len(data) == length or not data:
        return data
    parts = [data]
    done = len(data)
    while done < length and (data := os.pread(descriptor, length - done, offset + done)):
        parts.append(data)
        done += len(data)
    return b"".join(parts)


def unpack(span: Span, form: Form) -> Iterator[Stretch]:
    """What a compressed file unpacks to, in windows of whole lines or records. Keeps the file open meanwhile."""
    try:
        file = io.FileIO(span.path)
    except FileNotFoundError:
        raise InputChanged(span.shown) from None
    except OSError as error:
        raise unreadable(error, span.shown) from error
    with file:
        check(file.fileno(), span)
        offset = span.source.body
        taken = 0
        for data in windows(Window(file, span), form, offset):
            at = file.tell()
            yield from made(data, span, Place(span.shown, offset, len(data), at - taken, unpacked=True), form)
            offset += len(data)
            taken = at
        check(file.fileno(), span)


class Window:
    """The file that `unpack` reads, with its errors in the right order: damage in a file that changed is no damage."""

    def __init__(self, file: io.FileIO, span: Span) -> None:
        self._file, self._span = file, span
        self._stream = Unpacked(file, span.source.packing, span.shown)

    def read(self, size: int) -> bytes:
        """The next so many bytes, fewer only at the end."""
        try:
            return self._stream.read(size)
        except InputBroken:
            check(self._file.fileno(), self._span)
            raise
        except OSError as error:
            raise InputUnreadable(error.errno, error.strerror, self._span.shown) from error


def windows(stream: Window, form: Form, skip: int) -> Iterator[bytes]:
    """What a stream gives, without the first bytes, in parts of whole lines or records. One longer than a window is
    a window of its own."""
    border = border_in(form)
    skipped = 0
    while skipped < skip and (data := stream.read(min(WINDOW_BYTES, skip - skipped))):
        skipped += len(data)
    held = b""
    while more := stream.read(max(WINDOW_BYTES, len(held))):  # twice as much at a time: long lines stay linear
        held = held + more if held else more
        end = border(held)
        if end:
            yield held[:end]
            held = held[end:]
    if held:
        yield held


def border_in(form: Form) -> Callable[[bytes], int]:
    """What finds the last place in some bytes where they can be cut; it finds 0 if there is none."""
    if not form.is_cut:
        return lambda data: 0
    if form.is_csv:
        return lambda data: last_border(data, form.delimiter_byte)
    return lambda data: data.rfind(b"\n") + 1
