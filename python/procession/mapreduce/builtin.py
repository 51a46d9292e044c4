"""The built-in jobs: each a class as anybody could write it, with one thing more.

What `map` gives is made by native code where there is some, and said again in plain Python in `plain`, which the
comparison with one process (`--compare`) and the tests use: an independent way to the same answer.
"""

from __future__ import annotations

import csv
import functools
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import filterfalse
from typing import TYPE_CHECKING, Any

from procession import _native
from procession.errors import InputError, JobError
from procession.mapreduce.errors import JobIncomplete

if TYPE_CHECKING:
    from procession.mapreduce.stretches import CsvText, Text

__all__ = ["BUILT_IN", "GroupBy", "Grep", "Index", "NoSuchColumn", "NotANumber", "WordCount", "words"]


class NoSuchColumn(JobError, LookupError):
    """A file of CSV has no column of that name; the message lists those it has."""

    path: str | None = None


class NotANumber(InputError, ValueError):
    """A field of CSV that should be a number is none."""


@functools.cache
def word_pattern() -> re.Pattern[str]:
    """A run of letters, of any script: of characters that Unicode calls alphabetic.

    Python has no name for these, so the native code is asked for each character there is, once; how words are cut,
    brought to lower case and counted in plain Python does not rest on it.
    """
    found = []

    def search(low: int, high: int) -> None:
        """Notes the letters from `low` to before `high`: what gives as many words as it has lines is all letters."""
        count = sum(1 for _ in _native.Words("\n".join(map(chr, range(low, high)))))
        if count == high - low:
            found.append(f"\\U{low:08x}-\\U{high - 1:08x}")
        elif count:
            middle = (low + high) // 2
            search(low, middle)
            search(middle, high)

    for start in range(0, sys.maxunicode, 0x800):
        search(start, start + 0x800)
    low, high = ("".join(some) for some in (filter(is_low, found), filterfalse(is_low, found)))
    # Only those below U+10000 become a table; the others are looked through one after another, so after a look ahead
    return re.compile(f"(?:[{low}]+|(?=[\U00010000-\U0010ffff])[{high}]+)+")


def is_low(letters: str) -> bool:
    """Whether a range of letters is below U+10000."""
    return letters.startswith("\\U0000")


def words(text: str) -> list[str]:
    """The words of a text: its runs of letters (of any script), in lower case. In plain Python.

    Some 50 capital letters younger than this Python's Unicode tables keep their case here; the native code knows them.
    """
    return [word.lower() for word in word_pattern().findall(text)]


class WordCount:
    """How often each word occurs, a word being a run of letters, in lower case."""

    columns: tuple[str, str] = ("word", "count")
    reduce = "count"
    takes = "bytes"
    utf8 = True
    errors = "strict"

    def map(self, text: Any) -> Any:
        """The words of a text, as keys to count."""
        return _native.Words(text, self.errors)

    def plain(self, text: Text) -> Any:
        """The same in Python, by which the native one is checked."""
        return words(text)


class Index:
    """In which files each word occurs: an inverted index."""

    columns: tuple[str, str] = ("word", "files")
    reduce = "set"
    takes = "bytes"
    utf8 = True
    errors = "strict"

    def map(self, text: Any) -> Any:
        """The words of a text, each with its file."""
        return _native.Words(text, self.errors, value=text.path, unique=True)

    def plain(self, text: Text) -> Any:
        """The same in Python, by which the native one is checked."""
        return [(word, text.path) for word in set(words(text))]

    def rows(self, word: str, files: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
        """A word, and its files in order."""
        yield word, sorted(files)


HOW = ("count", "sum", "mean", "min", "max")


class GroupBy:
    """A number for each group of records of CSV files that agree in the columns `by` (commas between their names).

    `how` is sum, mean, min or max, of the column `of`, and records in which that is empty are left out; or count, of
    the records. A record that is too short has empty fields.
    """

    takes = "csv-bytes"
    utf8 = True
    errors = "strict"

    def __init__(self, by: str, of: str = "", how: str = "") -> None:
        self.by: list[str] = next(csv.reader([by]), [])
        self.of = of
        self.how: str = how or ("mean" if of else "count")
        self.reduce: str = self.how
        if self.how not in HOW:
            raise JobIncomplete(f"groupby has no {how!r}; it has: {', '.join(HOW)}")
        if bool(of) == (self.how == "count"):
            needs = "counts records, and takes no column" if of else f"needs the column to take the {self.how} of"
            raise JobIncomplete(f"groupby {needs}: --of")
        self.columns: tuple[str, ...] = (*self.by, f"{self.how} of {of}" if of else "count")

    def map(self, text: Any) -> Any:
        """The columns of a piece of CSV, as keys and numbers."""
        keys, of = self.places(text)
        key = keys[0] if len(keys) == 1 else tuple(keys)
        return _native.Columns(text, key, of, text.delimiter, skip_header=False, errors=self.errors)

    def plain(self, text: CsvText) -> Any:
        """The same in Python, by which the native one is checked."""
        keys, of = self.places(text)
        csv.field_size_limit(sys.maxsize)
        for number, record in enumerate(text.rows(), 1):
            fields = [record[place] if place < len(record) else "" for place in keys]
            key = fields[0] if len(fields) == 1 else tuple(fields)
            if of is None:
                yield key
            elif of < len(record) and record[of].strip():
                yield key, self.number(record[of].strip(), text, number)

    def number(self, field: str, text: CsvText, record: int) -> int | float:
        """A field as a number. Raises NotANumber."""
        try:
            if "_" in field or not field.isascii():
                raise ValueError(field)
            whole = field.removeprefix("-").removeprefix("+").isdigit() and -(1 << 63) <= int(field) < 1 << 63
            return int(field) if whole else float(field)
        except ValueError:
            where = f"{text.path}: record {record} from byte {text.offset} on"
            raise NotANumber(f"{where}: {self.of} is no number: {field[:40]!r}", path=text.path) from None

    def culprit(self, text: Any, error: ValueError) -> Exception:
        """What to say of a text that the native code stumbled over."""
        if not hasattr(error, "offset") or not hasattr(error, "text"):
            return error
        where = f"{text.path}: record at byte {text.offset + error.offset}"
        return NotANumber(f"{where}: {self.of} is no number: {error.text[:40]!r}", path=text.path)

    def places(self, text: Any) -> tuple[list[int], int | None]:
        """At which places of a record the columns stand. Raises NoSuchColumn."""
        header: list[str] = text.header or []
        for name in (*self.by, *([self.of] if self.of else [])):
            if name not in header:
                raise NoSuchColumn(f"{text.path} has no column {name!r}; it has: {', '.join(header)}", path=text.path)
        return [header.index(name) for name in self.by], header.index(self.of) if self.of else None

    def rows(self, key: Any, value: Any) -> Iterator[tuple[Any, ...]]:
        """The fields of the key, and its number."""
        yield (*key, value) if isinstance(key, tuple) else (key, value)


class Grep:
    """The lines in which a pattern (of Python's `re`) is found, and how many there are in each file.

    `how` is "lines": a row for each line, in the order of the file, with the count of its file beside it; or "count":
    a row for each file.
    """

    def __init__(self, pattern: str, how: str = "lines", ignore_case: bool = False) -> None:
        try:
            self.pattern: re.Pattern[str] = re.compile(pattern, re.MULTILINE | (re.IGNORECASE if ignore_case else 0))
        except re.error as error:
            raise JobIncomplete(f"the pattern {pattern!r} is none: {error}") from None
        if how not in ("lines", "count"):
            raise JobIncomplete(f"grep has no {how!r}; it has: lines, count")
        self.how = how
        self.reduce = "list" if how == "lines" else "count"
        self.columns: tuple[str, ...] = ("file", "count", "line") if how == "lines" else ("file", "count")
        self.find: Callable[[re.Pattern[str], str], Iterator[str]] = (
            by_line if DIFFERS_IN_WHOLE.search(pattern) else in_whole
        )

    def map(self, text: Text) -> Any:
        """The lines found in a text, or how many, with its file."""
        return self.pairs(text, self.find(self.pattern, text))

    def plain(self, text: Text) -> Any:
        """The same line by line, by which the quicker way is checked."""
        return self.pairs(text, by_line(self.pattern, text))

    def pairs(self, text: Text, lines: Iterable[str]) -> Any:
        """What `map` gives for these lines of a text."""
        if self.how == "count":
            return {text.path: count} if (count := sum(1 for _ in lines)) else None
        # Where a line stands: pieces are done in any order
        return [(text.path, (text.offset, number, line)) for number, line in enumerate(lines)]

    def rows(self, key: str, value: Any) -> Iterator[tuple[Any, ...]]:
        """A file and its number of lines, or a row for each line in the order of the file."""
        if self.how == "count":
            yield key, value
            return
        for _, _, line in sorted(value):
            yield key, len(value), line


# Where searching all of a text is not the same as searching line after line: what looks around, anchors to the text,
# takes without giving back; and where it would be slow: what runs over the end of the line
DIFFERS_IN_WHOLE = re.compile(r"\[\^|\\[sSWDAZnrafvxuUN0-9]|\(\?(?!:)|[*+?}]\+|[\n\r]")


def by_line(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    """The lines in which the pattern is found, without their ends."""
    search = pattern.search
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return (line for line in lines if search(line))


def in_whole(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    """The same for most patterns, three times as fast where few lines match: from match to match, not line to line."""
    search, at, length = pattern.search, 0, len(text)
    while at < length and (found := search(text, at)):
        start = text.rfind("\n", 0, found.start()) + 1
        end = text.find("\n", found.start())
        end = end if end >= 0 else length
        if start < length and search(line := text[start:end]):
            yield line
        at = end + 1


BUILT_IN: Mapping[str, Callable[..., Any]] = {
    "wordcount": WordCount,
    "index": Index,
    "groupby": GroupBy,
    "grep": Grep,
}
