"""Rows as an Arrow file (IPC, also called Feather), which pandas, Polars and DuckDB read without parsing.

pyarrow does the writing. It is not needed for anything else, so it is an extra of the package, `procession[arrow]`.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from typing import Any, TextIO

__all__ = ["check", "write"]

BATCH_ROWS = 1 << 16  # rows held at a time


def check(out: TextIO) -> None:
    """Raises ValueError if nothing can be written there: pyarrow is missing, or it is a terminal."""
    load()
    if out.isatty():
        raise ValueError("--format arrow is not for reading on a terminal: give --output FILE, or a pipe")


def load() -> Any:
    """pyarrow. Raises ValueError if it is not installed."""
    try:
        pyarrow = importlib.import_module("pyarrow")  # by name: mypy need not know it
    except ImportError:
        raise ValueError("--format arrow needs pyarrow: pip install 'procession[arrow]'") from None
    return pyarrow


def write(rows: Iterable[Sequence[Any]], columns: list[str], out: TextIO) -> None:
    """Writes rows as record batches. Their types are those of the first batch.

    Raises ValueError, as pyarrow does, for a column with values of several kinds.
    """
    pyarrow = load()
    out.flush()
    rows = iter(rows)
    first = list(islice(rows, BATCH_ROWS))
    schema = batch(pyarrow, first, columns, None).schema
    with pyarrow.ipc.new_file(out.buffer, schema) as file:
        for some in chain([first], iter(lambda: list(islice(rows, BATCH_ROWS)), [])):
            file.write_batch(batch(pyarrow, some, columns, schema))


def batch(pyarrow: Any, rows: list[Sequence[Any]], columns: list[str], schema: Any) -> Any:
    """Rows as a record batch."""
    turned = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    types = [None] * len(columns) if schema is None else schema.types
    arrays = []
    for name, values, kind in zip(columns, turned, types, strict=True):
        try:
            arrays.append(pyarrow.array([plain(value) for value in values], type=kind))
        except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError) as error:
            raise ValueError(f"--format arrow: the values of {name!r} are of several kinds: {error}") from error
    return pyarrow.record_batch(arrays, names=columns)


def plain(value: Any) -> Any:
    """A value that Arrow can hold: sets as lists, and file names that are no text with their bytes escaped."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, set | frozenset | list | tuple):
        return [plain(inner) for inner in value]
    return value
