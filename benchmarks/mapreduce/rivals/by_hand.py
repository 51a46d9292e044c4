"""`multiprocessing.Pool` by hand, dicts returned: the workers map pieces, the parent merges what they return.

Merging goes on while the workers map, so it costs time only where it is the slower of the two, which it is.
`joblib_pool` uses the same functions.
"""

from __future__ import annotations

import io
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from benchmarks.mapreduce.maps import city_prices, letter_words, split_words
from benchmarks.mapreduce.model import WORKERS, Answer, DictAnswer, Function
from benchmarks.mapreduce.pieces import (
    Span,
    all_files,
    file_batches,
    line_spans,
    read_file,
    read_span,
    record_spans,
)

Words = Callable[[str], list[str]]
Groups = dict[str, tuple[float, int]]


# -- what a worker does with a piece


def count_span(words: Words, span: Span) -> dict[str, int]:
    return dict(Counter(words(read_span(span))))  # a plain dict travels in half the time of a Counter


def index_batch(words: Words, batch: list[tuple[int, str]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for number, path in batch:
        for word in set(words(read_file(path))):
            found[word].append(number)
    return dict(found)


def sum_span(span: Span) -> Groups:
    groups: dict[str, list[float]] = defaultdict(lambda: [0.0, 0])
    for city, price in city_prices(io.StringIO(read_span(span), newline="")):
        group = groups[city]
        group[0] += price
        group[1] += 1
    return {city: (total, int(count)) for city, (total, count) in groups.items()}


# -- what the parent does with what comes back


def merge_counts(parts: Iterable[dict[str, int]]) -> dict[str, int]:
    merged: dict[str, int] = {}
    get = merged.get
    for part in parts:
        for word, count in part.items():
            merged[word] = get(word, 0) + count
    return merged


def merge_lists(parts: Iterable[dict[str, list[int]]]) -> dict[str, list[int]]:
    """The parts in the order of the batches, so that lists of numbers stay sorted."""
    merged: dict[str, list[int]] = {}
    for part in parts:
        for word, numbers in part.items():
            if word in merged:
                merged[word] += numbers
            else:
                merged[word] = numbers
    return merged


def merge_groups(parts: Iterable[Groups]) -> dict[str, float]:
    totals: dict[str, list[float]] = defaultdict(lambda: [0.0, 0])
    for part in parts:
        for city, (total, count) in part.items():
            group = totals[city]
            group[0] += total
            group[1] += count
    return {city: total / count for city, (total, count) in totals.items()}


class NumberedFiles(DictAnswer):
    """An index whose values are numbers of files; names are looked up when asked for."""

    def __init__(self, values: dict[str, list[int]], names: list[str]) -> None:
        super().__init__(values, len)
        self.names = names

    def get(self, key: str) -> list[str] | None:
        numbers = self.values.get(key)
        return None if numbers is None else [self.names[number] for number in numbers]

    def items(self) -> Iterator[tuple[str, list[str]]]:
        for word, numbers in self.values.items():
            yield word, [self.names[number] for number in numbers]


# -- the workloads


def counting(words: Words) -> Function:
    @contextmanager
    def count(path: Path) -> Iterator[Answer]:
        with get_context("fork").Pool(WORKERS) as pool:
            yield DictAnswer(merge_counts(pool.imap_unordered(partial(count_span, words), line_spans(path))))

    return count


def indexing(words: Words) -> Function:
    @contextmanager
    def index(path: Path) -> Iterator[Answer]:
        names = all_files(path)
        with get_context("fork").Pool(WORKERS) as pool:
            parts = pool.imap(partial(index_batch, words), file_batches(path, names))
            yield NumberedFiles(merge_lists(parts), names)

    return index


@contextmanager
def groupby(path: Path) -> Iterator[Answer]:
    with get_context("fork").Pool(WORKERS) as pool:
        yield DictAnswer(merge_groups(pool.imap_unordered(sum_span, record_spans(path))))


FUNCTIONS: dict[str, Function] = {
    "words": counting(split_words),
    "letters": counting(letter_words),
    "index": indexing(split_words),
    "index-letters": indexing(letter_words),
    "groupby": groupby,
}
