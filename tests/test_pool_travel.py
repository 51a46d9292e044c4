"""Pools: functions, arguments, results and exceptions that travel, and those that cannot."""

from __future__ import annotations

import functools
import itertools
import multiprocessing
import multiprocessing.pool
import os
import pickle
import threading
import traceback
from typing import Any

import pytest

from procession import _native, get_context
from procession.errors import (
    PicklingError,
    RemoteTraceback,
    ResultUnpicklable,
    UnpicklingError,
)
from procession.pool import Pool

try:
    import cloudpickle
except ImportError:
    cloudpickle = None

from pool_tasks import add, double, identity, raise_for

pytestmark = pytest.mark.watchdog(30)


@pytest.mark.skipif(cloudpickle is None, reason="lambdas need cloudpickle")
def test_lambdas_and_closures(process_pool: Pool) -> None:
    for factor in range(3):
        assert process_pool.map(lambda n, factor=factor: n * factor, [1, 2]) == [factor, 2 * factor]
    counter = itertools.count()

    class Adder:
        def __init__(self) -> None:
            self.amount = 1

        def __call__(self, number: int) -> int:
            return number + self.amount

    adder = Adder()
    assert process_pool.map(adder, [1]) == [2]
    adder.amount = 10
    assert process_pool.map(adder, [1]) == [11]
    assert next(counter) == 0


def test_a_function_is_shipped_once(fork_pool: Pool) -> None:
    for _ in range(10):
        fork_pool.map(double, range(10), 1)
        fork_pool.apply(add, (1, 2))
    assert fork_pool.statistics().functions == 2


def look_at(arrays: list[Any], number: int) -> tuple[list[float], bool, int]:
    """What arrived, whether the first can be written to, and how much memory the worker has of its own."""
    sums = [float(array[number:].sum()) for array in arrays]
    return sums, arrays[0].flags.writeable, _native.own_memory(os.getpid()) or 0


def test_arrays_of_a_function_are_shared(fork_pool: Pool) -> None:
    numpy = pytest.importorskip("numpy")
    arrays = [numpy.ones(size, dtype="u1") for size in (65_537, 70_001, 10)]  # of lengths that end anywhere
    look = functools.partial(look_at, arrays)
    for first in (1, 5):
        arrays[1][0] = first  # another function, by what it holds
        for sums, writeable, _ in fork_pool.map(look, [0, 0]):
            assert sums == [65_537, 70_000 + first, 10]
            assert not writeable
    before = fork_pool.statistics().functions
    fork_pool.map(look, [0, 0])
    assert fork_pool.statistics().functions == before


@pytest.mark.slow
def test_workers_have_no_copy_of_a_function_s_arrays() -> None:
    numpy = pytest.importorskip("numpy")
    large = numpy.ones(8 << 20)  # 64 MiB
    with get_context("spawn").Pool(1) as pool:
        ((_, _, before),) = pool.map(functools.partial(look_at, [large[:10]]), [0])
        ((_, _, after),) = pool.map(functools.partial(look_at, [large]), [0])
    assert after - before < large.nbytes / 2


def test_what_is_no_function(pool: Pool) -> None:
    with pytest.raises(TypeError, match="cannot be called"):
        pool.map(3, [1])  # type: ignore[arg-type]
    assert pool.apply(double, (1,)) == 2


# Objects that cannot travel


class Unpicklable:
    def __reduce__(self) -> Any:
        raise TypeError("made of stone")


class FailsToUnpickle:
    def __reduce__(self) -> Any:
        return raise_for, (-7,)


class AwkwardError(Exception):
    """Its pickle has one argument, its constructor wants two."""

    def __init__(self, left: object, right: object) -> None:
        super().__init__(f"{left} {right}")

    def __reduce__(self) -> Any:  # as it would be anyway; but tblib, which Dask loads, mends those that do not say so
        return type(self), self.args


def make(kind: str) -> Any:
    return {"unpicklable": Unpicklable, "fails": FailsToUnpickle}[kind]() if kind != "plain" else 1


def raise_awkward(kind: str) -> None:
    if kind == "awkward":
        raise AwkwardError(1, 2)
    raise ValueError(Unpicklable())


def test_arguments_that_cannot_be_pickled(process_pool: Pool) -> None:
    with pytest.raises(PicklingError, match=r" at args\[1\]\[0\]: .*made of stone") as caught:
        process_pool.apply_async(add, (1, [Unpicklable()]))
    assert caught.value.path == "args[1][0]"
    with pytest.raises(PicklingError, match=r"kwds\['right'\]"):
        process_pool.apply(add, (1,), {"right": Unpicklable()})
    for chunksize in (None, 1, 3):
        with pytest.raises(PicklingError, match=r"items\[5\]") as caught:
            process_pool.map(identity, [1, 2, 3, 4, 5, Unpicklable()], chunksize)
        with pytest.raises(PicklingError, match=r"items\[5\]"):
            process_pool.map_async(identity, [1, 2, 3, 4, 5, Unpicklable()], chunksize)
    results = process_pool.imap(identity, [1, Unpicklable(), 3])
    assert next(results) == 1
    with pytest.raises(PicklingError):
        next(results)
    assert next(results) == 3
    assert process_pool.apply(double, (1,)) == 2
    assert process_pool.statistics().outstanding == 0


def test_the_path_to_an_argument_is_said_once(fork_pool: Pool) -> None:
    for chunksize in (None, 1, 2):
        with pytest.raises(PicklingError) as caught:
            fork_pool.map(identity, [1, {"k": threading.Lock()}], chunksize)
        assert " at items[1]['k']: " in str(caught.value)
        assert str(caught.value).count("['k']") == 1
        assert caught.value.path == "items[1]['k']"


def test_an_argument_that_fails_to_unpickle_fails_its_task(process_pool: Pool) -> None:
    bad, good = process_pool.apply_async(identity, (FailsToUnpickle(),)), process_pool.apply_async(double, (1,))
    with pytest.raises(UnpicklingError, match="-7 is negative"):
        bad.get()
    assert good.get() == 2
    results = process_pool.imap(identity, [1, FailsToUnpickle(), 3])
    assert next(results) == 1
    with pytest.raises(UnpicklingError):
        next(results)
    assert next(results) == 3


def test_results_that_cannot_be_pickled(process_pool: Pool) -> None:
    with pytest.raises(multiprocessing.pool.MaybeEncodingError, match="made of stone") as caught:
        process_pool.apply(make, ("unpicklable",))
    assert isinstance(caught.value, PicklingError)
    assert "make('unpicklable')" in str(caught.value) or "make" in str(caught.value)
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    with pytest.raises(multiprocessing.pool.MaybeEncodingError):
        process_pool.map(make, ["plain", "unpicklable"])
    assert process_pool.apply(double, (1,)) == 2


def test_the_error_for_a_result_that_cannot_be_sent_has_its_public_name(fork_pool: Pool) -> None:
    with pytest.raises(ResultUnpicklable) as caught:
        fork_pool.apply(make, ("unpicklable",))
    error = caught.value
    assert traceback.format_exception_only(error)[0].startswith("procession.errors.ResultUnpicklable: the result of ")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), again.__dict__) == (str(error), error.__dict__)


def test_results_that_fail_to_unpickle_fail_their_task(process_pool: Pool) -> None:
    kinds = ["plain", "fails"] * 5
    results = process_pool.imap(make, kinds)
    for kind in kinds:
        if kind == "plain":
            assert next(results) == 1
        else:
            with pytest.raises(UnpicklingError, match="-7 is negative"):
                next(results)


@pytest.mark.parametrize(("kind", "name"), [("awkward", "AwkwardError"), ("unpicklable", "ValueError")])
def test_exceptions_that_cannot_travel(fork_pool: Pool, kind: str, name: str) -> None:
    with pytest.raises(multiprocessing.pool.MaybeEncodingError, match=name) as caught:
        fork_pool.apply(raise_awkward, (kind,))
    assert "in raise_awkward" in str(caught.value.__cause__)


def test_exceptions_bring_the_remote_traceback(process_pool: Pool) -> None:
    with pytest.raises(ValueError, match="-1 is negative") as caught:
        process_pool.map(raise_for, [1, 2, -1, 4])
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    assert "in raise_for" in str(caught.value.__cause__)
