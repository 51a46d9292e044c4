"""`multiprocessing.Pool` by hand, shuffled: each worker folds its share, writes a file per partition, and merges one.

Two phases. First each task takes half of the input, folds it into one dict and writes that divided by the hash of the
key, with marshal (faster than pickle for such dicts), to files in shared memory. Then each task merges one partition
from all files and returns it; the parent only puts dicts without common keys together. Forked workers agree about the
hash of a string.
"""

from __future__ import annotations

import marshal
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.mapreduce.maps import letter_words, split_words
from benchmarks.mapreduce.model import WORKERS, Answer, DictAnswer, Function
from benchmarks.mapreduce.pieces import Span, all_files, file_batches, line_spans, read_span
from benchmarks.mapreduce.rivals.by_hand import NumberedFiles, index_batch, merge_counts, merge_lists

Words = Callable[[str], list[str]]
Task = tuple[str, int, Any]  # folder for the partitions, number of the share, the share


def count_share(words: Words, task: Task) -> None:
    folder, number, spans = task
    counts: Counter[str] = Counter()
    for span in spans:
        counts.update(words(read_span(span)))
    write_partitions(folder, number, counts)


def index_share(words: Words, task: Task) -> None:
    folder, number, files = task
    write_partitions(folder, number, index_batch(words, files))


def write_partitions(folder: str, number: int, values: dict[str, Any]) -> None:
    partitions: list[dict[str, Any]] = [{} for _ in range(WORKERS)]
    for word, value in values.items():
        partitions[hash(word) % WORKERS][word] = value
    for partition, part in enumerate(partitions):
        with open(f"{folder}/{partition}-{number}", "wb") as file:
            marshal.dump(part, file)


def merge_partition(merge: Callable[[Iterator[Any]], Any], task: tuple[str, int, int]) -> bytes:
    folder, partition, shares = task
    return marshal.dumps(merge(read_partition(folder, partition, number) for number in range(shares)))


def read_partition(folder: str, partition: int, number: int) -> Any:
    with open(f"{folder}/{partition}-{number}", "rb") as file:
        return marshal.load(file)


def shuffled(fold: Callable[[Task], None], merge: Callable[[Any], Any], shares: list[Any]) -> dict[str, Any]:
    folder = tempfile.mkdtemp(dir=os.environ.get("BENCH_SCRATCH", "/dev/shm"))
    try:
        with get_context("fork").Pool(WORKERS) as pool:
            pool.map(fold, [(folder, number, share) for number, share in enumerate(shares)], chunksize=1)
            tasks = [(folder, partition, len(shares)) for partition in range(WORKERS)]
            merged: dict[str, Any] = {}
            for part in pool.imap_unordered(partial(merge_partition, merge), tasks):
                merged |= marshal.loads(part)
            return merged
    finally:
        shutil.rmtree(folder)


def counting(words: Words) -> Function:
    @contextmanager
    def count(path: Path) -> Iterator[Answer]:
        spans: list[Span] = line_spans(path)
        shares = [spans[worker::WORKERS] for worker in range(WORKERS)]
        yield DictAnswer(shuffled(partial(count_share, words), merge_counts, shares))

    return count


def indexing(words: Words) -> Function:
    @contextmanager
    def index(path: Path) -> Iterator[Answer]:
        names = all_files(path)
        batches = file_batches(path, names)
        half = (len(batches) + 1) // WORKERS  # halves in order, so that lists of numbers stay sorted
        shares = [list(chain(*batches[start : start + half])) for start in range(0, len(batches), half)]
        yield NumberedFiles(shuffled(partial(index_share, words), merge_lists, shares), names)

    return index


FUNCTIONS: dict[str, Function] = {
    "words": counting(split_words),
    "letters": counting(letter_words),
    "index": indexing(split_words),
    "index-letters": indexing(letter_words),
}
