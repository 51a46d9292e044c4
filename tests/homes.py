"""Engines and homes: where the shared programs run, and where their state lives.

An engine is what `get_context` takes, or makes it; a home makes the primitives of a program. Clusters are opened once a
session, before the first test that wants them, and are the last to be tested: Dask and Ray have threads and open
descriptors as they please, which would be in the way of all others.
"""

import importlib.util
import inspect
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import procession
from procession.testing import Snapshot, wait_until

LOCAL = ["thread", "fork", "spawn", "forkserver"]
EXECUTORS = {"threads": ThreadPoolExecutor, "processes": ProcessPoolExecutor}
CLUSTERS = {"dask": "distributed", "ray": "ray"}  # and the packages that they need
ENGINES = [*LOCAL, *EXECUTORS, *CLUSTERS]
HOMES = ["memory", "disk"]
SETTLE_S = 10.0  # for the processes of a cluster to be gone


def params() -> list[Any]:
    """The engines as parameters of a fixture; those whose workers take long to be there are slow."""
    slow = {"spawn", *CLUSTERS}
    return [pytest.param(name, marks=[pytest.mark.slow] if name in slow else []) for name in ENGINES]


@contextmanager
def engine(name: str) -> Iterator[Any]:
    """The context of an engine that costs little to have."""
    if name in EXECUTORS:
        with EXECUTORS[name](2) as executor:
            assert list(executor.map(abs, [-1, 2])) == [1, 2]  # its workers are there then
            yield procession.get_context(executor)
    else:
        yield procession.get_context(name)


@contextmanager
def cluster(name: str) -> Iterator[Any]:
    """The context of a cluster on this machine; no process of it is left afterwards. (Ray leaves descriptors.)"""
    if importlib.util.find_spec(CLUSTERS[name]) is None:
        pytest.skip(f"needs {CLUSTERS[name]}: pip install 'procession[{name}]'")
    if importlib.util.find_spec(f"procession._clusters.{name}") is None:
        pytest.skip(f"{name} is not built")
    before = Snapshot.take()
    with procession.get_context(name) as context:
        yield context
    wait_until(lambda: not any("child" in one for one in Snapshot.take().leaked_since(before)), SETTLE_S)


def is_late(item: pytest.Item) -> tuple[bool, ...]:
    """A key that puts the tests that use clusters behind all others, one cluster after the other."""
    given = getattr(item, "callspec", None)
    names = [*getattr(item, "fixturenames", ()), *([] if given is None else map(str, given.params.values()))]
    return tuple(any(name in (cluster, f"{cluster}_context") for name in names) for cluster in reversed(CLUSTERS))


class Memory:
    """Whatever the engine has of its own."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def __getattr__(self, kind: str) -> Any:
        return getattr(self._context, kind)


class Disk:
    """Files, the same for every engine on this machine."""

    def __init__(self, context: Any, place: Path) -> None:
        self._context, self._place = context, place

    def __getattr__(self, kind: str) -> Any:
        if "path" not in inspect.signature(getattr(procession.get_context("fork"), kind)).parameters:
            pytest.skip(f"no {kind} lives on disk")

        def make(*arguments: Any) -> Any:
            number = sum(1 for _ in self._place.iterdir())
            return getattr(self._context, kind)(*arguments, path=self._place / f"{kind}-{number}")

        return make


def home(name: str, context: Any, place: Path) -> Any:
    """What makes a program's primitives."""
    return Memory(context) if name == "memory" else Disk(context, place)
