"""joblib with its own processes: the functions of `by_hand`, results merged as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from joblib import Parallel, delayed

from benchmarks.mapreduce.maps import split_words
from benchmarks.mapreduce.model import WORKERS, Answer, DictAnswer, Function
from benchmarks.mapreduce.pieces import all_files, file_batches, line_spans, record_spans
from benchmarks.mapreduce.rivals.by_hand import (
    NumberedFiles,
    count_span,
    index_batch,
    merge_counts,
    merge_groups,
    merge_lists,
    sum_span,
)

Words = Callable[[str], list[str]]


def parallel(ordered: bool = False) -> Parallel:
    return Parallel(n_jobs=WORKERS, return_as="generator" if ordered else "generator_unordered")


@contextmanager
def words(path: Path) -> Iterator[Answer]:
    tasks = (delayed(count_span)(split_words, span) for span in line_spans(path))
    yield DictAnswer(merge_counts(parallel()(tasks)))


@contextmanager
def index(path: Path) -> Iterator[Answer]:
    names = all_files(path)
    tasks = (delayed(index_batch)(split_words, batch) for batch in file_batches(path, names))
    yield NumberedFiles(merge_lists(parallel(ordered=True)(tasks)), names)


@contextmanager
def groupby(path: Path) -> Iterator[Answer]:
    yield DictAnswer(merge_groups(parallel()(delayed(sum_span)(span) for span in record_spans(path))))


FUNCTIONS: dict[str, Function] = {"words": words, "index": index, "groupby": groupby}
