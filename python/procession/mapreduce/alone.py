"""The same answer as `run`, in this process and thread alone and in plain Python: what a run is compared with.

For jobs by key that is a dict of what `plain` (or `map`) gives, reduced as Python reduces; nothing of the native
gathering has a part in it. So it also needs the memory for all keys.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any

from procession.gather.reducers import Batches, Reducer
from procession.mapreduce.gathering import Folding
from procession.mapreduce.jobs import Job, JobSource, blamed, is_keyed, reducer_for
from procession.mapreduce.running import Answer, files_for
from procession.pool.board import KeyedProgress
from procession.progress.runs import keyed_reporter

__all__ = ["equal", "run_here"]


def run_here(
    job: str | Job[Any],
    inputs: Sequence[str],
    *,
    arguments: Mapping[str, Any] | None = None,
    encoding: str = "utf-8",
    errors: str = "strict",
    progress: Any = None,
) -> Answer:
    """Runs a job in this process alone. `progress`: as in `running.run`. Raises as that, but nothing of workers."""
    started = time.perf_counter()
    source = JobSource.of(job, arguments)
    loaded = source.load()
    files = files_for(loaded, inputs, encoding, errors, plain=hasattr(loaded, "plain"))
    folding = Grouping(source, files) if is_keyed(loaded) else Folding(source, files)
    done = 0
    with keyed_reporter(progress, source.name) as tell, files.divide() as plan:
        for piece in sorted(plan.pieces, key=lambda piece: piece.order):
            done += folding.add(piece)
            if tell is not None:
                now = time.perf_counter() - started
                tell(KeyedProgress("map", 0, None, done, plan.size_bytes, now, ()))
        mapped = time.perf_counter()
        total = folding.finish()
        ended = time.perf_counter()
        return Answer(
            total=total,
            job=loaded,
            files=plan.files,
            binary_files=plan.binary_files,
            size_bytes=plan.size_bytes,
            pieces=len(plan.pieces),
            workers=1,
            seconds=ended - started,
            gather_seconds=ended - mapped,
        )


class Grouping(Folding):
    """The values of each key: all of them, or where that is enough the one they make so far."""

    def __init__(self, source: JobSource, files: Any) -> None:
        super().__init__(source, files)
        self.reducer: Reducer = reducer_for(source.load())
        self.step: Callable[[Any, Any], Any] | None = STEPS.get(self.reducer.name) or self.reducer.combine
        self.values: dict[Any, Any] = {}

    def add(self, piece: Any) -> int:
        """See `Folding`."""
        job = self.source.load()
        give = getattr(job, "plain", job.map)
        counts = self.reducer.name == "count"
        for text in self.files.read(piece):
            with blamed(self.source.name, str(text.place)):
                for key, value in pairs_of(give(text), counts=counts):
                    self.take(key, value)
        return int(piece.size_bytes)

    def take(self, key: Any, value: Any) -> None:
        """One more value of a key. Keys of different types are different keys."""
        key = key if type(key) is str else (key, *kinds(key))
        if self.step is None:
            self.values.setdefault(key, []).append(value)
        else:
            self.values[key] = self.step(self.values[key], value) if key in self.values else value

    def finish(self) -> dict[Any, Any]:
        """See `Folding`."""
        end = ending(self.reducer)
        with blamed(self.source.name):
            found = {}
            for key, values in self.values.items():
                key = key if type(key) is str else key[0]
                found[key] = end(key, values)
            return found


def kinds(key: Any) -> Iterator[str]:
    """What tells 1, 1.0 and True apart."""
    yield type(key).__name__
    if isinstance(key, tuple):
        for part in key:
            yield from kinds(part)


STEPS: Mapping[str, Callable[[Any, Any], Any]] = {
    "count": lambda left, right: left + right,
    "min": min,
    "max": max,
    "first": lambda left, right: left,
}


def ending(reducer: Reducer) -> Callable[[Any, Any], Any]:
    """What makes the value of a key, of the key and what `Grouping` has of it."""
    if reducer.reduce is not None:
        return reducer.reduce
    ends: dict[str, Callable[[Any, Any], Any]] = {
        "sum": lambda key, values: added(values),
        "mean": lambda key, values: math.fsum(values) / len(values),
        "list": lambda key, values: values,
        "set": lambda key, values: set(values),
        "top": lambda key, values: sorted(values, reverse=True)[: reducer.n],
    }
    return ends.get(reducer.name, lambda key, value: value)


def added(values: Sequence[Any]) -> Any:
    """A sum: exact for ints, rounded once for floats."""
    return math.fsum(values) if any(isinstance(value, float) for value in values) else sum(values)


def pairs_of(produced: Any, *, counts: bool) -> Iterator[tuple[Any, Any]]:
    """Key and value of each pair that a map function gave, in any of the forms it may have."""
    if produced is None:
        return
    if isinstance(produced, Batches):
        for batch in produced:
            yield from pairs_of(batch, counts=counts)
    elif isinstance(produced, Mapping):
        yield from produced.items()
    elif counts:
        yield from zip(as_list(produced), repeat(1))
    elif isinstance(produced, tuple) and len(produced) == 2:
        yield from zip(as_list(produced[0]), as_list(produced[1]), strict=not isinstance(produced[1], repeat))
    else:
        yield from produced


def as_list(column: Any) -> Iterable[Any]:
    """A column with values of Python: a numpy array has its own."""
    for name in ("tolist", "to_pylist"):
        if hasattr(column, name):
            values: Iterable[Any] = getattr(column, name)()
            return values
    found: Iterable[Any] = column
    return found


def equal(left: Any, right: Any) -> bool:
    """Whether two answers are the same; sums of floats may differ in the last digits, as they met in another order."""
    if not isinstance(left, Mapping):
        return bool(left == right)
    if len(left) != len(right):
        return False
    absent = object()
    return all(same(value, right.get(key, absent)) for key, value in left.items())


def same(left: Any, right: Any) -> bool:
    """Whether two values of a key are the same."""
    if isinstance(left, float) and isinstance(right, int | float):
        return math.isclose(left, right, rel_tol=1e-9, abs_tol=1e-12) or (left != left and right != right)
    return bool(left == right)
