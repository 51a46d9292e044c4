"""Large arrays on the backend "procession": copied once, read in place, given back."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

joblib = pytest.importorskip("joblib", reason="joblib is not installed: pip install procession[joblib]")
numpy = pytest.importorskip("numpy", reason="numpy is not installed")

from client_tasks import mapped_at  # noqa: E402
from joblib import Parallel, delayed  # noqa: E402

from procession.joblib import inputs, workers  # noqa: E402

LARGE = 200_000  # items of 8 bytes: above joblib's limit of 1 MB


def test_a_large_array_is_copied_once_for_all_tasks(config: Any) -> None:
    array = numpy.arange(LARGE, dtype=float)
    found = Parallel(batch_size=1)(delayed(mapped_at)(array) for _ in range(20))
    assert {total for _, _, total in found} == {float(array.sum())}
    assert {writable for _, writable, _ in found} == {False}
    assert len({place for place, _, _ in found}) == 1, "the tasks saw different copies"


def test_small_arrays_are_the_tasks_own(forked: Any) -> None:
    array = numpy.arange(100.0)
    assert {writable for _, writable, _ in Parallel()(delayed(mapped_at)(array) for _ in range(4))} == {True}


@pytest.mark.parametrize(
    "change",
    [
        lambda array: array,
        lambda array: array.reshape(400, 500),
        lambda array: array.reshape(400, 500).T,
        lambda array: array.reshape(400, 500)[::2, ::-1],
        lambda array: numpy.asfortranarray(array.reshape(50, 80, 50)),
        lambda array: array.astype("f4")[10:].astype("c16"),
        lambda array: array.astype("M8[s]"),
        lambda array: array.view([("left", "i4"), ("right", "u4")]),
        lambda array: array.astype(object),
    ],
    ids=["flat", "square", "transposed", "strided", "fortran", "complex", "dates", "records", "objects"],
)
def test_arrays_of_all_forms_arrive_equal(forked: Any, change: Callable[[Any], Any]) -> None:
    array = change(numpy.arange(LARGE, dtype=float))
    with joblib.parallel_config(max_nbytes=1000):
        for found in Parallel()(delayed(numpy.copy)(array, order="K") for _ in range(2)):
            assert found.dtype == array.dtype
            assert found.shape == array.shape
            assert (found == array).all()


@pytest.mark.parametrize(("mode", "writable"), [("r", False), ("r+", True), ("c", True), (None, True)])
def test_mmap_mode(forked: Any, mode: str | None, writable: bool) -> None:
    array = numpy.ones(LARGE)
    found = Parallel(batch_size=1, mmap_mode=mode)(delayed(mapped_at)(array) for _ in range(4))
    assert {flag for _, flag, _ in found} == {writable}


def test_writable_views_are_shared_and_copies_are_not(forked: Any) -> None:
    def increase(array: Any) -> float:
        array[0] += 1
        return float(array[0])

    for mode, expected in [("r+", [1, 2, 3, 4]), ("c", [1, 1, 1, 1])]:
        array = numpy.zeros(LARGE)
        parallel = Parallel(batch_size=1, pre_dispatch=1, mmap_mode=mode)  # one at a time
        assert parallel(delayed(increase)(array) for _ in range(4)) == expected
        assert array[0] == 0


def test_an_array_filled_anew_between_tasks_is_sent_anew() -> None:
    shelf = inputs.Shelf(1 << 20, "r")
    array = numpy.zeros(LARGE)
    blocks: list[Any] = []
    for number in (0, 0, 1):
        array[:] = number
        workers.pack(array, shelf.reducers(blocks))
    assert blocks[0] is blocks[1]
    assert blocks[0] is not blocks[2]


def test_an_array_changed_between_calls_is_sent_anew(forked: Any) -> None:
    array = numpy.zeros(LARGE)
    with Parallel() as parallel:
        assert parallel(delayed(numpy.max)(array) for _ in range(2)) == [0, 0]
        array[12_345] = 7
        assert parallel(delayed(numpy.max)(array) for _ in range(2)) == [7, 7]


def test_arrays_that_come_and_go_are_not_kept() -> None:
    shelf = inputs.Shelf(1 << 20, "r")
    for number in range(4):
        held: list[Any] = []
        workers.pack([numpy.full((LARGE, 2), number).T], shelf.reducers(held))
        assert len(held) == 1
        assert len(shelf) == 1, "kept although the array is gone"


def test_the_shelf_forgets_what_was_not_used_for_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "_KEPT", 5 * LARGE * 8)
    shelf = inputs.Shelf(1 << 20, "r")
    arrays = [numpy.full(2 * LARGE, number, dtype=float) for number in range(4)]
    blocks: list[list[Any]] = [[] for _ in range(6)]
    for held, number in zip(blocks, [0, 1, 0, 2, 0, 1], strict=True):
        workers.pack(arrays[number], shelf.reducers(held))
    assert blocks[0][0] is blocks[2][0] is blocks[4][0], "used again and again, and still forgotten"
    assert blocks[1][0] is not blocks[5][0], "kept in spite of the bound"


def test_arrays_in_files_travel_as_the_files_name(forked: Any, tmp_path: Any) -> None:
    path = tmp_path / "array"
    array = numpy.memmap(path, float, "w+", shape=(400, 500))
    array[:] = numpy.arange(LARGE, dtype=float).reshape(400, 500)
    array.flush()
    views = [array, array[10:300], array.T, array[::2, ::-3], numpy.asarray(array)[5:, 5:]]
    for view in views:
        with joblib.parallel_config(max_nbytes=1000):
            held: list[Any] = []
            message, buffers = workers.pack(view, inputs.Shelf(1000, "r").reducers(held))
            assert (len(message) < 1000, held, buffers) == (True, [], [])
            for total in Parallel()(delayed(numpy.sum)(view) for _ in range(2)):
                assert total == view.sum()


def test_large_results_are_the_callers_to_write(forked: Any) -> None:
    found = Parallel()(delayed(numpy.ones)(LARGE) for _ in range(3))
    for array in found:
        array[0] = 2
        assert array.sum() == LARGE + 1


@pytest.mark.slow
def test_shared_memory_is_given_back_even_by_workers_that_are_killed(program: Callable[..., str]) -> None:
    """Five arrays of 40 MB, where there is room for three."""
    text = """
import os, numpy, joblib, procession.joblib
os.environ["PROCESSION_ARENA_LIMIT"] = str(150_000_000)
from joblib import Parallel, delayed
from procession.errors import WorkerDied
def end(array, number):
    if number == 1:
        os.kill(os.getpid(), 9)
    return array[-1]
for number in range(5):
    array = numpy.full(5_000_000, number, dtype=float)
    try:
        Parallel(n_jobs=2, backend="procession", batch_size=1)(delayed(end)(array, i) for i in range(2 + number % 2))
    except WorkerDied:
        print("died", end=" ")
    assert Parallel(n_jobs=2, backend="procession")(delayed(end)(array, 0) for _ in range(4)) == [number] * 4
"""
    assert program(text).split() == ["died"] * 5


@pytest.mark.slow
def test_nothing_is_left_behind_when_the_program_is_killed(program: Callable[..., str]) -> None:
    text = """
import os, numpy, joblib, procession.joblib
from joblib import Parallel, delayed
def end(array, i):
    if i == 5:
        os.kill(int(os.environ["VICTIM"]), 9)
    return i
child = os.fork()
if child == 0:
    os.environ["VICTIM"] = str(os.getpid())
    Parallel(n_jobs=2, backend="procession", batch_size=1)(
        delayed(end)(numpy.ones(1_000_000), i) for i in range(10))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    places = ["/dev/shm", "/tmp"]
    before = {name for place in places for name in os.listdir(place)}
    assert program(text) == "-9\n"
    left = {name for place in places for name in os.listdir(place)} - before
    assert not [name for name in left if "joblib" in name or "procession" in name]
