"""Polars, two threads, its streaming engine: the cheapest query found for each workload. The answer is a frame.

Polars has no reader for a folder of whole files, so Python reads them; that is a small part of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.mapreduce.model import WORKERS, Answer, Function
from benchmarks.mapreduce.pieces import all_files, read_file

assert pl.thread_pool_size() == WORKERS, "POLARS_MAX_THREADS must be set before polars is imported"

LETTERS = r"\p{Alphabetic}+"
Words = Callable[[pl.Expr], pl.Expr]


def split_on_blanks(text: pl.Expr) -> pl.Expr:
    return text.str.split(" ")


def letter_words(text: pl.Expr) -> pl.Expr:
    return text.str.extract_all(LETTERS)


class Frame:
    """An answer with the columns key and value."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self.frame = frame

    def get(self, key: str) -> Any:
        found = self.frame.lazy().filter(pl.col("key") == key).collect()
        return found["value"][0] if len(found) else None

    def __len__(self) -> int:
        return len(self.frame)

    def top(self, n: int) -> list[tuple[str, Any]]:
        return self.frame.top_k(n, by="value").rows()

    def items(self) -> Iterator[tuple[str, Any]]:
        for part in self.frame.iter_slices(50_000):
            yield from part.iter_rows()


class FileFrame(Frame):
    """The values are sorted lists of file numbers."""

    def __init__(self, frame: pl.DataFrame, names: list[str]) -> None:
        super().__init__(frame)
        self.names = names

    def top(self, n: int) -> list[tuple[str, Any]]:
        return self.frame.top_k(n, by=pl.col("value").list.len()).rows()

    def items(self) -> Iterator[tuple[str, list[str]]]:
        for key, numbers in super().items():
            yield key, [self.names[number] for number in numbers]


def counting(words: Words, lower: bool = False) -> Function:
    @contextmanager
    def count(path: Path) -> Iterator[Answer]:
        lines = pl.scan_lines(path, name="line")
        found = lines.select(words(pl.col("line")).alias("key").explode()).filter(pl.col("key") != "")
        counts = found.group_by("key").agg(pl.len().alias("value"))
        if lower:  # once for each different word, which is cheaper than the whole text
            counts = counts.group_by(pl.col("key").str.to_lowercase()).agg(pl.col("value").sum())
        yield Frame(counts.collect(engine="streaming"))

    return count


def indexing(words: Words, lower: bool = False) -> Function:
    @contextmanager
    def index(path: Path) -> Iterator[Answer]:
        names = all_files(path)
        texts = (read_file(f"{path}/{name}") for name in names)
        frame = pl.DataFrame({"text": texts}, schema={"text": pl.String}).with_row_index("number")
        each = words(pl.col("text").str.replace_all("\n", " ", literal=True))
        if lower:
            each = each.list.unique().list.eval(pl.element().str.to_lowercase())
        each = each.list.unique()
        found = frame.lazy().select("number", each.alias("key")).explode("key").filter(pl.col("key") != "")
        answer = found.group_by("key").agg(pl.col("number").sort().alias("value")).collect(engine="streaming")
        yield FileFrame(answer, names)

    return index


@contextmanager
def groupby(path: Path) -> Iterator[Answer]:
    means = pl.scan_csv(path, try_parse_dates=False).group_by("city").agg(pl.col("price").mean())
    yield Frame(means.rename({"city": "key", "price": "value"}).collect(engine="streaming"))


FUNCTIONS: dict[str, Function] = {
    "words": counting(split_on_blanks),
    "letters": counting(letter_words, lower=True),
    "index": indexing(split_on_blanks),
    "index-letters": indexing(letter_words, lower=True),
    "groupby": groupby,
}
