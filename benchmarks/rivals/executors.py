"""concurrent.futures.ProcessPoolExecutor, and loky's, which has the same interface."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

from benchmarks.rivals import Base, TaskPool

WORKERS = 2


class ExecutorPool:
    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def map(self, function: Callable[[Any], Any], items: Sequence[Any], chunksize: int | None) -> Iterable[Any]:
        if chunksize is None:
            return list(self._executor.map(function, items))
        return list(self._executor.map(function, items, chunksize=chunksize))

    def call(self, function: Callable[[int], int], item: int) -> int:
        return self._executor.submit(function, item).result()

    def submit_all(self, function: Callable[[int], int], items: range) -> Iterable[int]:
        pending = [self._executor.submit(function, item) for item in items]
        return [future.result() for future in pending]

    def close(self) -> None:
        self._executor.shutdown(wait=True)


class Futures(Base):
    def pool(self, method: str = "fork") -> TaskPool:
        return ExecutorPool(ProcessPoolExecutor(WORKERS, mp_context=get_context("fork")))


class Loky(Base):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        import loky  # type: ignore[import-not-found, import-untyped, unused-ignore]

        self._make = loky.ProcessPoolExecutor

    def pool(self, method: str = "fork") -> TaskPool:
        return ExecutorPool(self._make(WORKERS))


def make(name: str) -> Base:
    return Loky(name) if name == "loky" else Futures(name)
