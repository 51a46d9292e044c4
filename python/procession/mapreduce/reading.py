"""Reading one span of a file as text, in the worker that took it.

The file is checked against what it was when the work was divided, before and after it is read: a span that was cut for
one version and read from another would count lines twice or not at all.
"""

from __future__ import annotations

import codecs
import os

from procession.mapreduce.errors import InputChanged, InputNotText, InputUnreadable
from procession.mapreduce.jobs import Text
from procession.mapreduce.plan import Span, stamp_of

__all__ = ["read_text"]


def read_text(span: Span, encoding: str, errors: str) -> Text:
    """The text of a span. `errors` is as for `bytes.decode`.

    Raises InputChanged, InputUnreadable, or InputNotText with the offset of the first bad byte in the file.
    """
    data = read_bytes(span)
    if span.offset and codecs.lookup(encoding).name == "utf-8-sig":
        encoding = "utf-8"  # the mark is only one at the very start of the file
    try:
        text = data.decode(encoding, errors)
    except UnicodeDecodeError as error:
        raise InputNotText(span.shown, span.offset + error.start, encoding, error.reason) from None
    return Text(text, span.shown, span.offset)


def read_bytes(span: Span) -> bytes:
    """The bytes of a span. Raises InputChanged or InputUnreadable."""
    try:
        descriptor = os.open(span.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if stamp_of(os.fstat(descriptor)) != span.stamp:
                raise InputChanged(span.shown)
            data = read_fully(descriptor, span.offset, span.length)
            if len(data) != span.length or stamp_of(os.fstat(descriptor)) != span.stamp:
                raise InputChanged(span.shown)
        finally:
            os.close(descriptor)
    except InputChanged:
        raise
    except FileNotFoundError:
        raise InputChanged(span.shown) from None  # it was there when the work was divided
    except OSError as error:
        raise InputUnreadable(error.errno, error.strerror, span.shown) from error
    return data


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
