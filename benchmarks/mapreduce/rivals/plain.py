"""Plain Python, one process: the fastest loops one would write without a library."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.mapreduce.maps import city_prices, letter_words, split_words
from benchmarks.mapreduce.model import Answer, DictAnswer, Function
from benchmarks.mapreduce.pieces import all_files, read_file, texts

Words = Callable[[str], list[str]]


def counting(words: Words) -> Function:
    @contextmanager
    def count(path: Path) -> Iterator[Answer]:
        counts: Counter[str] = Counter()
        for text in texts(path):
            counts.update(words(text))
        yield DictAnswer(counts)

    return count


def indexing(words: Words) -> Function:
    @contextmanager
    def index(path: Path) -> Iterator[Answer]:
        found: dict[str, list[str]] = defaultdict(list)
        for name in all_files(path):  # in order, so that the lists are sorted
            for word in set(words(read_file(f"{path}/{name}"))):
                found[word].append(name)
        yield DictAnswer(found, len)

    return index


@contextmanager
def groupby(path: Path) -> Iterator[Answer]:
    groups: dict[str, list[float]] = defaultdict(lambda: [0.0, 0])
    with open(path, encoding="utf-8", newline="") as file:
        for city, price in city_prices(file):
            group = groups[city]
            group[0] += price
            group[1] += 1
    yield DictAnswer({city: total / count for city, (total, count) in groups.items()})


FUNCTIONS: dict[str, Function] = {
    "words": counting(split_words),
    "letters": counting(letter_words),
    "index": indexing(split_words),
    "index-letters": indexing(letter_words),
    "groupby": groupby,
}
