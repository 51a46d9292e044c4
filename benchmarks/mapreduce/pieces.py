"""Dividing input by hand, as whoever writes a pool version must: lines, CSV records, batches of files."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

PIECE = 8 << 20  # bytes; measured: 2 to 32 MiB make no difference beyond noise
Span = tuple[str, int, int]  # path, first byte, byte after the last


def line_spans(path: Path, size: int = PIECE) -> list[Span]:
    """The file in spans of whole lines."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        borders = [0]
        while borders[-1] < len(data):
            end = data.find(b"\n", min(borders[-1] + size, len(data) - 1))
            borders.append(len(data) if end < 0 else end + 1)
    return [(str(path), first, last) for first, last in pairwise(borders)]


def record_spans(path: Path, size: int = PIECE) -> Iterator[Span]:
    """A CSV file in spans of whole records: a line end is a border where the quotes before it are even in number.
    Reads it all, so workers are better given the first spans while it still looks for the next."""
    with open(path, "rb") as file:
        start = 0
        while data := file.read(size):
            quotes = data.count(b'"')
            while quotes % 2 or not data.endswith(b"\n"):
                line = file.readline()
                if not line:
                    break
                quotes += line.count(b'"')
                data += line
            yield str(path), start, start + len(data)
            start += len(data)


def read_span(span: Span) -> str:
    path, first, last = span
    with open(path, "rb") as file:
        file.seek(first)
        return file.read(last - first).decode()


def texts(path: Path, size: int = PIECE) -> Iterator[str]:
    """The whole file in pieces of whole lines, one after another."""
    for span in line_spans(path, size):
        yield read_span(span)


def all_files(folder: Path) -> list[str]:
    """Names of all files below the folder, relative to it, sorted."""
    start = len(str(folder)) + 1
    return sorted(os.path.join(place, name)[start:] for place, _, names in os.walk(folder) for name in names)


def file_batches(folder: Path, names: list[str], size: int = PIECE) -> list[list[tuple[int, str]]]:
    """(number, path) of the named files in batches of about `size` bytes."""
    batches: list[list[tuple[int, str]]] = [[]]
    filled = 0
    for number, name in enumerate(names):
        path = os.path.join(folder, name)
        if filled >= size:
            batches.append([])
            filled = 0
        batches[-1].append((number, path))
        filled += os.path.getsize(path)
    return batches


def read_file(path: str) -> str:
    with open(path, "rb") as file:
        return file.read().decode()
