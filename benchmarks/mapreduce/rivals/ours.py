"""procession with map functions in Python: `pool.map_reduce_by_key`, as a user would call it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

import procession
from benchmarks.mapreduce.maps import letter_words, split_words
from benchmarks.mapreduce.model import WORKERS, Answer, Function
from procession.mapreduce import Files


class Result:
    """A KeyedResult as an answer; names of files are made relative to the folder again."""

    def __init__(self, result: Any, folder: str = "") -> None:
        self.result = result
        self.folder = folder
        self.get = result.get
        self.top = result.top

    def __len__(self) -> int:
        return len(self.result)

    def items(self) -> Iterator[tuple[str, Any]]:
        if not self.folder:
            yield from self.result.items()
        start = len(self.folder) + 1
        for word, paths in self.result.items() if self.folder else ():
            yield word, sorted(path[start:] for path in paths)


def words_in(text: Any) -> tuple[Iterable[str], Iterable[str]]:
    """Each word of a file with the file's name: two columns."""
    return set(text.split()), repeat(text.path)


def letter_words_in(text: Any) -> tuple[Iterable[str], Iterable[str]]:
    return set(letter_words(text)), repeat(text.path)


def city_prices_in(text: Any) -> tuple[list[str], list[float]]:
    """City and price of each record, as two columns."""
    return text.column("city"), [float(price) for price in text.column("price")]


def reducing(function: Callable[[Any], Any], files: Callable[[str], Any], reduce: str, **options: Any) -> Function:
    """`map_reduce_by_key` over `files(path)` in a pool of its own, its start included in the time."""

    @contextmanager
    def run(path: Path) -> Iterator[Answer]:
        with procession.Pool(WORKERS) as pool:
            result = pool.map_reduce_by_key(function, files(str(path)), reduce=reduce, **options)
            with result:
                yield Result(result, str(path) if path.is_dir() else "")

    return run


def functions(**options: Any) -> dict[str, Function]:
    return {
        "words": reducing(split_words, Files, "count", **options),
        "letters": reducing(letter_words, Files, "count", **options),
        "index": reducing(words_in, Files, "set", **options),
        "index-letters": reducing(letter_words_in, Files, "set", **options),
        "groupby": reducing(city_prices_in, partial(Files, takes="csv"), "mean", **options),
    }


FUNCTIONS = functions()
