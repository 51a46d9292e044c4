"""The words of this suite: corpus, answer, workload, run."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from statistics import median
from typing import Any, Protocol

WORKERS = 2
TOP = 20


class Answer(Protocol):
    """What must be available when the clock stops."""

    def get(self, key: str) -> Any: ...
    def __len__(self) -> int: ...
    def top(self, n: int) -> list[tuple[str, Any]]:
        """The keys with the largest values; of an index, the words in the most files."""

    def items(self) -> Iterator[tuple[str, Any]]:
        """Every key with its value: a count, a mean, or the sorted names of files. Not timed."""


# A rival's function for one workload: gets the input's path, yields the answer. Workers may live until it is closed:
# the clock stops as soon as the answer has been looked at, and nobody's clean-up is timed.
Function = Callable[[Path], AbstractContextManager[Answer]]


@dataclass
class DictAnswer:
    """The answer of whoever ends up with a dict."""

    values: dict[str, Any]
    measure: Callable[[Any], Any] | None = None  # what `top` compares; the value itself if None

    def get(self, key: str) -> Any:
        return self.values.get(key)

    def __len__(self) -> int:
        return len(self.values)

    def top(self, n: int) -> list[tuple[str, Any]]:
        if self.measure is None:
            return heapq.nlargest(n, self.values.items(), key=itemgetter(1))
        sized = zip(map(self.measure, self.values.values()), self.values, strict=True)
        return [(key, self.values[key]) for _, key in heapq.nlargest(n, sized)]

    def items(self) -> Iterator[tuple[str, Any]]:
        return iter(self.values.items())


@dataclass(frozen=True)
class Workload:
    name: str
    about: str
    source: str  # which input: "text", "files" or "table"
    looked_up: tuple[str, ...]  # keys asked for while the clock runs

    def input(self, corpus: Path, times: int) -> Path:
        """Where the input `times` times the smallest lies."""
        return (
            corpus
            / {"text": f"text-{times}x.txt", "files": f"files-{times}x", "table": f"table-{times}x.csv"}[self.source]
        )


COMMON = ("the", "of", "and", "function", "never-seen-nowhere")
WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("words", "how often each word occurs, words being what blanks separate", "text", COMMON),
        Workload("letters", "the same for runs of letters in lower case: the command's wordcount", "text", COMMON),
        Workload("index", "word -> sorted names of the files it is in, words as in `words`", "files", COMMON),
        Workload("index-letters", "the same for words as in `letters`: the command's index", "files", COMMON),
        Workload("groupby", "mean price for each city of the table", "table", ("Nowhere",)),
    )
}


@dataclass
class Run:
    """All rounds of one workload at one size with one rival."""

    workload: str
    times: int
    rival: str
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    memory_mib: float | None = None  # peak of the family, from a run of its own
    entries: int | None = None
    digest: str = ""
    problems: list[str] = field(default_factory=list)


def fastest(runs: Sequence[Run]) -> Run | None:
    """The one with the least median among those that have one."""
    return min((run for run in runs if run.seconds), key=lambda run: median(run.seconds), default=None)
