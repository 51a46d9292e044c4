"""joblib and mpire: pools of tasks with interfaces of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from benchmarks.rivals import Base, TaskPool

WORKERS = 2


class JoblibPool:
    def __init__(self) -> None:
        import joblib  # type: ignore[import-not-found, import-untyped, unused-ignore]

        self._joblib = joblib

    def _run(self, calls: Iterable[Any], batch_size: int | str) -> list[int]:
        results: list[int] = self._joblib.Parallel(n_jobs=WORKERS, batch_size=batch_size)(calls)
        return results

    def map(self, function: Callable[[Any], Any], items: Sequence[Any], chunksize: int | None) -> Iterable[Any]:
        delayed = self._joblib.delayed(function)
        return self._run((delayed(item) for item in items), chunksize or "auto")

    def call(self, function: Callable[[int], int], item: int) -> int:
        return self._run([self._joblib.delayed(function)(item)], 1)[0]

    def submit_all(self, function: Callable[[int], int], items: range) -> Iterable[int]:
        return self.map(function, items, 1)

    def close(self) -> None:
        from joblib.externals.loky import get_reusable_executor  # type: ignore[import-not-found, import-untyped, unused-ignore]

        get_reusable_executor().shutdown(wait=True)


class MpirePool:
    def __init__(self) -> None:
        import mpire.pool  # type: ignore[import-not-found, import-untyped, unused-ignore]

        self._pool = mpire.pool.WorkerPool(n_jobs=WORKERS, start_method="fork", keep_alive=True)

    def map(self, function: Callable[[Any], Any], items: Sequence[Any], chunksize: int | None) -> Iterable[Any]:
        results: list[int] = self._pool.map(function, items, chunk_size=chunksize)
        return results

    def call(self, function: Callable[[int], int], item: int) -> int:
        result: int = self._pool.apply(function, (item,))
        return result

    def submit_all(self, function: Callable[[int], int], items: range) -> Iterable[int]:
        pending = [self._pool.apply_async(function, (item,)) for item in items]
        return [answer.get() for answer in pending]

    def close(self) -> None:
        self._pool.stop_and_join()


class Joblib(Base):
    def pool(self, method: str = "fork") -> TaskPool:
        return JoblibPool()


class Mpire(Base):
    def pool(self, method: str = "fork") -> TaskPool:
        return MpirePool()


def make(name: str) -> Base:
    __import__(name)  # so that a missing package is reported now, as missing
    return Joblib(name) if name == "joblib" else Mpire(name)
