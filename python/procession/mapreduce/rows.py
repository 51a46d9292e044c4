"""An answer as rows, and rows as a table, JSON or CSV."""

from __future__ import annotations

import csv
import heapq
import json
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, TextIO

from procession.mapreduce.jobs import Job, blamed

__all__ = ["FORMATS", "columns_of", "rows_of", "write_rows"]

Row = Sequence[Any]

WIDEST_CELL = 60  # characters; a longer one ends in an ellipsis, in a table only


def rows_of(job: Job[Any], total: Any, top: int | None = None) -> Iterator[Row]:
    """The rows of an answer, the first `top` of them (None: all).

    They come from the job's `finish`, if it has one; else a mapping gives one row per key, the largest number first
    and equal ones by key; a list or tuple of answers one row per element; and anything else a single row.
    """
    finish = getattr(job, "finish", None)
    if finish is not None:
        with blamed(type(job).__qualname__):
            total = finish(total)
            if isinstance(total, Iterator):
                total = list(islice(total, top))
    if isinstance(total, Mapping):
        found: Iterable[Any] = mapping_rows(total, top)
    elif isinstance(total, (tuple, str, bytes)) or not isinstance(total, Iterable):
        found = [total]
    else:
        found = total
    return (row if isinstance(row, (tuple, list)) else (row,) for row in islice(found, top))


def columns_of(job: Job[Any], width: int) -> list[str]:
    """The names of `width` columns: the job's own as far as they go."""
    own = [str(name) for name in getattr(job, "columns", ())][:width]
    return own + [f"column {number}" for number in range(len(own) + 1, width + 1)]


def mapping_rows(total: Mapping[Any, Any], top: int | None) -> list[tuple[Any, Any]]:
    """The items, largest value first if the values are numbers, by key otherwise or where equal."""
    items: Iterable[tuple[Any, Any]] = total.items()
    numbers = all(isinstance(value, (int, float)) for value in total.values())
    if numbers and top is not None and 0 < top < len(total):
        least = heapq.nlargest(top, total.values())[-1]
        items = [item for item in items if item[1] >= least]  # sorts a handful instead of millions
    try:
        return sorted(items, key=(lambda item: (-item[1], item[0])) if numbers else (lambda item: item[0]))
    except TypeError:  # keys that do not compare
        return sorted(items, key=(lambda item: (-item[1], repr(item[0]))) if numbers else (lambda item: repr(item[0])))


def write_rows(rows: Iterable[Row], job: Job[Any], out: TextIO, form: str) -> None:
    """Writes rows in one of FORMATS."""
    rows = iter(rows)
    first = next(rows, None)
    named = getattr(job, "columns", ())
    columns = columns_of(job, len(named) if first is None else len(first))
    FORMATS[form](rows if first is None else chain([first], rows), columns, out)


def write_table(rows: Iterable[Row], columns: list[str], out: TextIO) -> None:
    """Columns aligned by what is in them, numbers to the right. Holds all rows until the last is known."""
    cells = [[cell(value) for value in row] for row in rows]
    right = [bool(cells) for _ in columns]
    widths = [display_width(name) for name in columns]
    for row in cells:
        for index, (text, is_number) in enumerate(row[: len(columns)]):
            widths[index] = max(widths[index], display_width(text))
            right[index] &= is_number
    print(line([(name, False) for name in columns], widths, right), file=out)
    print("  ".join("─" * width for width in widths), file=out)
    for row in cells:
        print(line(row, widths, right), file=out)


def line(row: Iterable[tuple[str, bool]], widths: list[int], right: list[bool]) -> str:
    """One line of a table."""
    parts = []
    for (text, _), width, to_right in zip(row, widths, right, strict=False):
        blanks = " " * (width - display_width(text))
        parts.append(blanks + text if to_right else text + blanks)
    return "  ".join(parts).rstrip()


def cell(value: Any) -> tuple[str, bool]:
    """A value as it stands in a table, and whether it is a number. What a terminal would obey is shown escaped."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}", True
    if isinstance(value, float):
        return f"{value:,.6g}", True
    text = str(value)
    if not text.isprintable():
        text = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return (text if len(text) <= WIDEST_CELL else text[: WIDEST_CELL - 1] + "…"), False


def display_width(text: str) -> int:
    """Columns a text takes on a terminal: two for a wide character, none for one that joins the one before."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.combining(char) != 0 for char in text)


def write_csv(rows: Iterable[Row], columns: list[str], out: TextIO) -> None:
    """A header and one record per row."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)


def write_json(rows: Iterable[Row], columns: list[str], out: TextIO) -> None:
    """An array of objects, one to a line. What JSON has no form for is written as a string."""
    start = "["
    for row in rows:
        record = dict(zip(columns, row, strict=False))
        print(start, json.dumps(record, ensure_ascii=False, default=str), sep="\n", end="", file=out)
        start = ","
    print("[]" if start == "[" else "\n]", file=out)


FORMATS: dict[str, Callable[[Iterable[Row], list[str], TextIO], None]] = {
    "table": write_table,
    "json": write_json,
    "csv": write_csv,
}
