"""Files read by workers on other machines.

A piece names files by their paths, made absolute, because a worker elsewhere has another current directory. It must see
the same files there: on a file system that the machines share, or as copies of the same size and time. What is no file
(standard input, a pipe) was copied to a nameless file here, which no other machine can open; those bytes travel with
the piece.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from typing import Any

from procession._outcome import anonymous_file
from procession.mapreduce.errors import InputOutOfReach
from procession.mapreduce.form import Form
from procession.mapreduce.plan import Plan
from procession.mapreduce.reading import read_fully, read_span
from procession.mapreduce.spans import Piece, Source, Span, stamp_of
from procession.mapreduce.stretches import Stretch

__all__ = ["Carried", "Reader", "afar"]

NAMELESS = "/proc/"  # where the paths of copies begin; see `finding.Finder.copied`


def afar(plan: Plan) -> list[Piece | Carried]:
    """The pieces of a plan as they are sent to other machines."""
    return [_sent(piece) for piece in plan.pieces]


def _sent(piece: Piece) -> Piece | Carried:
    if any(span.path.startswith(NAMELESS) for span in piece.spans):
        return Carried(piece)
    sources: dict[Source, Source] = {}
    spans = []
    for span in piece.spans:
        source = sources.setdefault(span.source, span.source._replace(path=os.path.abspath(span.path)))
        spans.append(span._replace(source=source))
    return Piece(tuple(spans), piece.order)


class Carried:
    """A piece whose bytes are read when it is pickled, and travel with it."""

    def __init__(self, piece: Piece, data: Sequence[bytes] | None = None) -> None:
        """`data`: of each of its spans; None where the piece has not travelled."""
        self.piece: Piece = piece
        self.data: Sequence[bytes] | None = data
        self.order: int = piece.order
        self.size_bytes: int = piece.size_bytes
        self.place: str = piece.place

    def read(self, form: Form) -> Iterator[Stretch]:
        """As `read_piece`."""
        for number, span in enumerate(self.piece.spans):
            if self.data is None:
                yield from read_span(span, form)
                continue
            descriptor = anonymous_file("procession-piece")
            try:
                # With a hole before it, so that offsets are those of the whole
                os.pwrite(descriptor, self.data[number], span.offset)
                path, stamp = f"/proc/self/fd/{descriptor}", stamp_of(os.fstat(descriptor))
                yield from read_span(span._replace(source=span.source._replace(path=path, stamp=stamp)), form)
            finally:
                os.close(descriptor)

    def __reduce__(self) -> tuple[Any, ...]:
        data = self.data if self.data is not None else [_bytes_of(span) for span in self.piece.spans]
        return Carried, (self.piece, data)


def _bytes_of(span: Span) -> bytes:
    descriptor = os.open(span.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return read_fully(descriptor, span.offset, span.length)
    finally:
        os.close(descriptor)


class Reader:
    """Reads such pieces, in a worker."""

    def __init__(self, form: Form) -> None:
        self.form = form

    def read(self, piece: Piece | Carried) -> Iterator[Stretch]:
        """As `Files.read`. Raises also: InputOutOfReach for a file that is not there, or is another one."""
        if isinstance(piece, Carried):
            yield from piece.read(self.form)
            return
        for span in piece.spans:
            yield from read_span(span._replace(source=_reached(span.source)), self.form)


def _reached(source: Source) -> Source:
    """The same file as it is known here: a copy, or the same over a network, may have another number."""
    try:
        stamp = stamp_of(os.stat(source.path))
    except OSError as error:
        raise InputOutOfReach(source.shown, socket.gethostname(), error.strerror or str(error)) from error
    if stamp[:2] != source.stamp[:2]:
        raise InputOutOfReach(source.shown, socket.gethostname(), "another version of it is there")
    return source._replace(stamp=stamp)
