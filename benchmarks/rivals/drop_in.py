"""multiprocessing itself, and procession, which has the same names: one adapter serves both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import Any

from benchmarks.model import STANDARD, Missing
from benchmarks.rivals import Base, Batches, TaskPool

WORKERS = 2


class OneMessage:
    """multiprocessing has no batches: the best a user can do is to put a list as one message."""

    def __init__(self, queue: Any) -> None:
        self._queue = queue

    def put(self, items: Sequence[Any]) -> None:
        self._queue.put(items)

    def get(self, most: int) -> Any:
        return self._queue.get()


class Many:
    """put_many and get_many, bound once."""

    def __init__(self, queue: Any) -> None:
        if not hasattr(queue, "put_many"):
            raise Missing("Queue.put_many")
        self.put = queue.put_many
        self.get = queue.get_many


class MappingPool:
    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self.call_async = pool.apply_async

    def map(self, function: Callable[[Any], Any], items: Sequence[Any], chunksize: int | None) -> Iterable[Any]:
        results: Iterable[Any] = self._pool.map(function, items, chunksize=chunksize)
        return results

    def call(self, function: Callable[[int], int], item: int) -> int:
        result: int = self._pool.apply(function, (item,))
        return result

    def submit_all(self, function: Callable[[int], int], items: range) -> Iterable[int]:
        pending = [self.call_async(function, (item,)) for item in items]
        return [answer.get() for answer in pending]

    def close(self) -> None:
        self._pool.close()
        self._pool.join()


class DropIn(Base):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        module = import_module(name)
        self._module = module
        self._context = module.get_context("fork") if hasattr(module, "get_context") else module

    def primitive(self, kind: str, *args: Any) -> Any:
        maker = getattr(self._context, kind, None)
        if maker is None:
            raise Missing(kind)
        try:
            return maker(*args)
        except ModuleNotFoundError as error:  # imported on first use, not there yet
            raise Missing(f"{kind} ({error})") from error

    def queue(self, maxsize: int = 0, item_bytes: int = 0) -> Any:
        return self.primitive("Queue", maxsize)

    def batches(self, queue: Any) -> Batches:
        return OneMessage(queue) if self.name == STANDARD else Many(queue)

    def process(self, target: Callable[..., object], *args: Any) -> Any:
        maker = getattr(self._context, "Process", None)
        return maker(target=target, args=args) if maker else super().process(target, *args)

    def pool(self, method: str = "fork") -> TaskPool:
        if method != "fork":
            return MappingPool(self._module.get_context(method).Pool(WORKERS))
        return MappingPool(self.primitive("Pool", WORKERS))


def make(name: str) -> DropIn:
    return DropIn(name)
