"""An answer as rows, and rows as a table, JSON, CSV or Arrow."""

from __future__ import annotations

import contextlib
import csv
import heapq
import json
import math
import reprlib
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, TextIO

from procession.gather.result import KeyedResult
from procession.mapreduce import arrow
from procession.mapreduce.jobs import Job, blamed

__all__ = ["FORMATS", "can_show", "check_format", "columns_of", "rows_of", "write_rows"]

Row = Sequence[Any]

MANY = (list, tuple, set, frozenset)  # a value of one of these types is several
CHUNK_ITEMS = 4096  # made into objects at a time
MEASURED_ROWS = 5000  # of a table; arbitrary
WIDEST_CELL = 60  # characters; a longer one ends in an ellipsis, in a table only


def rows_of(job: Job[Any], total: Any, top: int | None = None) -> Iterator[Row]:
    """The rows of an answer, the first `top` of them (None: all).

    They come from the job's `finish`, if it has one; else a mapping gives one row per key (or what the job's `rows`
    makes of it), the largest number first and equal ones by key; a list or tuple of answers one row per element; and
    anything else a single row. Of a large answer they are made as they are taken.
    """
    finish = getattr(job, "finish", None)
    if finish is not None:
        with blamed(type(job).__qualname__):
            total = finish(total)
            if isinstance(total, Iterator):
                total = list(islice(total, top))
    if isinstance(total, Mapping):
        rows = getattr(job, "rows", None)
        found: Iterable[Any] = mapping_rows(total, top)
        if rows is not None:
            found = rows_made(job, found)
    elif isinstance(total, (tuple, str, bytes)) or not isinstance(total, Iterable):
        found = [total]
    else:
        found = total
    return (row if isinstance(row, (tuple, list)) else (row,) for row in islice(found, top))


def rows_made(job: Job[Any], items: Iterable[tuple[Any, Any]]) -> Iterator[Row]:
    """What the job's own `rows` makes of these. Raises JobFailed, while it is taken from."""
    for key, value in items:
        with blamed(type(job).__qualname__, f"the rows of {reprlib.repr(key)}"):
            made = list(job.rows(key, value))  # type: ignore[attr-defined]
        yield from made


def result_rows(total: KeyedResult, top: int | None) -> Iterator[tuple[Any, Any]]:
    """The same of an answer that lies in shared memory; never more than some thousand of its items as objects.

    The first `top` of what has several values are those with the most of them.
    """
    first = next(iter(total.values()), None)
    order = None
    if top is not None or isinstance(first, (int, float)):
        with contextlib.suppress(TypeError):  # not to be ranked
            order = total._top(len(total) if top is None else min(top, len(total)))
    if order is None:
        with contextlib.suppress(TypeError):  # keys that do not compare
            order = total._order()
    count = len(total) if order is None else len(order)
    for start in range(0, count, CHUNK_ITEMS):
        yield from total._items(start, start + CHUNK_ITEMS, order)


def columns_of(job: Job[Any], width: int) -> list[str]:
    """The names of `width` columns: the job's own as far as they go."""
    own = [str(name) for name in getattr(job, "columns", ())][:width]
    return own + [f"column {number}" for number in range(len(own) + 1, width + 1)]


def mapping_rows(total: Mapping[Any, Any], top: int | None) -> Iterable[tuple[Any, Any]]:
    """The items, largest value first if the values are numbers, by key otherwise or where equal."""
    if isinstance(total, KeyedResult):
        return result_rows(total, top)
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
    """Writes rows in one of FORMATS. Raises ValueError for what `check_format` finds."""
    check_format(form, out)
    rows = iter(rows)
    first = next(rows, None)
    named = getattr(job, "columns", ())
    columns = columns_of(job, len(named) if first is None else len(first))
    FORMATS[form](rows if first is None else chain([first], rows), columns, out)


def check_format(form: str, out: TextIO) -> None:
    """Raises ValueError if rows cannot be written to `out` in this format: before the work begins."""
    if form == "arrow":
        arrow.check(out)


def write_table(rows: Iterable[Row], columns: list[str], out: TextIO) -> None:
    """Columns aligned by what is in them, numbers to the right. Widths are those of the first rows, a few thousand;
    what comes behind is only wider where it has to be."""
    rows = iter(rows)
    dots = "…" if can_show("…", out) else "..."
    cells = [[cell(value, dots) for value in row] for row in islice(rows, MEASURED_ROWS)]
    right = [bool(cells) for _ in columns]
    widths = [display_width(name) for name in columns]
    for row in cells:
        for index, (text, is_number) in enumerate(row[: len(columns)]):
            widths[index] = max(widths[index], display_width(text))
            right[index] &= is_number
    print(line([(name, False) for name in columns], widths, right), file=out)
    rule = "─" if can_show("─", out) else "-"
    print("  ".join(rule * width for width in widths), file=out)
    for row in chain(cells, ([cell(value, dots) for value in row] for row in rows)):
        print(line(row, widths, right), file=out)


def can_show(text: str, out: TextIO) -> bool:
    """Whether a file has these characters in its encoding."""
    try:
        text.encode(getattr(out, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def line(row: Iterable[tuple[str, bool]], widths: list[int], right: list[bool]) -> str:
    """One line of a table."""
    parts = []
    for (text, _), width, to_right in zip(row, widths, right, strict=False):
        blanks = " " * (width - display_width(text))
        parts.append(blanks + text if to_right else text + blanks)
    return "  ".join(parts).rstrip()


def cell(value: Any, dots: str = "…") -> tuple[str, bool]:
    """A value as it stands in a table, and whether it is a number. What a terminal would obey is shown escaped."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}", True
    if isinstance(value, float):
        return f"{value:,.6g}", True
    text = ", ".join(map(str, ordered(value))) if isinstance(value, MANY) else str(value)
    if not text.isprintable():
        text = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return (text if len(text) <= WIDEST_CELL else text[: WIDEST_CELL - len(dots)] + dots), False


def display_width(text: str) -> int:
    """Columns a text takes on a terminal: two for a wide character, none for one that joins the one before."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.combining(char) != 0 for char in text)


def ordered(many: Iterable[Any]) -> list[Any]:
    """The elements of a list as they are, of a set in order."""
    if not isinstance(many, set | frozenset):
        return list(many)
    try:
        return sorted(many)
    except TypeError:
        return sorted(many, key=repr)


def write_csv(rows: Iterable[Row], columns: list[str], out: TextIO) -> None:
    """A header and one record per row. A field that has several values is written as a list of JSON."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([as_json(ordered(value)) if isinstance(value, MANY) else value for value in row] for row in rows)


def write_json(rows: Iterable[Row], columns: list[str], out: TextIO) -> None:
    """An array of objects, one to a line. What JSON has no form for is written as a string; a number that is none
    (nan, inf) as null."""
    start = "["
    for row in rows:
        print(start, as_json(dict(zip(columns, row, strict=False))), sep="\n", end="", file=out)
        start = ","
    print("[]" if start == "[" else "\n]", file=out)


def as_json(value: Any) -> str:
    """A value as a line of JSON; what is no number becomes null."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=as_plain)
    except ValueError:
        return json.dumps(without_nan(value), ensure_ascii=False, default=as_plain)


def as_plain(value: Any) -> Any:
    """What JSON can write in place of something it cannot."""
    return ordered(value) if isinstance(value, set | frozenset) else str(value)


def without_nan(value: Any) -> Any:
    """A value with None in the place of every float that JSON cannot write."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: without_nan(inner) for key, inner in value.items()}
    return [without_nan(inner) for inner in ordered(value)] if isinstance(value, MANY) else value


FORMATS: dict[str, Callable[[Iterable[Row], list[str], TextIO], None]] = {
    "table": write_table,
    "json": write_json,
    "csv": write_csv,
    "arrow": arrow.write,
}
