"""One adapter per rival behind one protocol, so that a workload is written once.

A rival has whatever primitives it has, under multiprocessing's names; asking for one it lacks raises `Missing`, which
the table prints as such. Packages are imported only in the process that measures them: some change global state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import Any, Protocol

from benchmarks.model import Missing

# Rival → module of ours with `make(name) -> Rival`.
ADAPTERS = {
    "procession": "drop_in",
    "multiprocessing": "drop_in",
    "faster-fifo": "fifo",
    "futures": "executors",
    "loky": "executors",
    "joblib": "task_pools",
    "mpire": "task_pools",
    "memcpy": "memcpy",
}


class Batches(Protocol):
    """The rival's best way to move many small items at once through one of its queues."""

    def put(self, items: Sequence[Any], /) -> object: ...

    def get(self, most: int, /) -> Sequence[Any]: ...


class TaskPool(Protocol):
    """Two workers, started and warm."""

    def map(self, function: Callable[[Any], Any], items: Sequence[Any], chunksize: int | None) -> Iterable[Any]:
        """All results in order. `chunksize` None means the rival's own default."""

    def call(self, function: Callable[[int], int], item: int) -> int:
        """One task there and back."""

    def submit_all(self, function: Callable[[int], int], items: range) -> Iterable[int]:
        """Submit tasks one by one without waiting, then collect all results."""

    def close(self) -> None: ...


class Rival(Protocol):
    name: str

    def primitive(self, kind: str, *args: Any) -> Any:
        """Build a `Lock`, `Queue`, … by multiprocessing's name. Raises Missing."""

    def queue(self, maxsize: int = 0, item_bytes: int = 0) -> Any:
        """A queue with `put` and `get`; `item_bytes` is a hint for rivals that must size a buffer."""

    def batches(self, queue: Any) -> Batches: ...

    def process(self, target: Callable[..., object], *args: Any) -> Any:
        """A process by fork, not started."""

    def pool(self, method: str = "fork") -> TaskPool:
        """Two workers, started by `method` where that can be chosen."""


class Base:
    """A rival that has nothing; adapters override what theirs has."""

    def __init__(self, name: str) -> None:
        self.name = name

    def primitive(self, kind: str, *args: Any) -> Any:
        raise Missing(kind)

    def queue(self, maxsize: int = 0, item_bytes: int = 0) -> Any:
        raise Missing("Queue")

    def batches(self, queue: Any) -> Batches:
        raise Missing("batches")

    def process(self, target: Callable[..., object], *args: Any) -> Any:
        from multiprocessing import get_context

        return get_context("fork").Process(target=target, args=args)

    def pool(self, method: str = "fork") -> TaskPool:
        raise Missing("Pool")


def load(name: str) -> Rival:
    """The adapter for `name`. Raises Missing if its package is not installed."""
    try:
        rival: Rival = import_module(f"benchmarks.rivals.{ADAPTERS[name]}").make(name)
    except ImportError as error:
        raise Missing(f"{name} ({error})") from error
    return rival
