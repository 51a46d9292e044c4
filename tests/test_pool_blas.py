"""Pools: numeric libraries in workers use their share of the CPUs."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest

import procession
from procession.pool import blas

pytestmark = pytest.mark.watchdog(30)


@pytest.fixture(autouse=True)
def _unset(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if the user had set nothing, and no library were loaded."""
    for name in (*blas.variables(1), "PROCESSION_WORKER_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for name in (*blas._USERS, "threadpoolctl"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield
    blas._surveyed = None


@pytest.mark.parametrize(
    ("workers", "environment", "threads"),
    [
        (2, {}, 4),
        (3, {}, 2),
        (16, {}, 1),
        (2, {"OMP_NUM_THREADS": "8"}, 0),
        (2, {"MKL_NUM_THREADS": "1"}, 0),
        (2, {"MKL_NUM_THREADS": "", "PROCESSION_WORKER_THREADS": ""}, 4),
        (2, {"PROCESSION_WORKER_THREADS": "0"}, 0),
        (2, {"PROCESSION_WORKER_THREADS": "3", "OMP_NUM_THREADS": "8"}, 3),
    ],
)
def test_the_share(workers: int, environment: dict[str, str], threads: int) -> None:
    assert blas.threads_each(workers, 8, environment) == threads


def test_a_setting_that_is_no_number() -> None:
    with pytest.raises(ValueError, match="PROCESSION_WORKER_THREADS must be a number, 0 for no limit, not 'many'"):
        blas.threads_each(2, 8, {"PROCESSION_WORKER_THREADS": "many"})


def settings(_: object) -> tuple[dict[str, str | None], bool]:
    return {name: os.environ.get(name) for name in blas.variables(1)}, "threadpoolctl" in sys.modules


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_libraries_loaded_later_read_their_share(method: str) -> None:
    share = str(max(1, procession.cpu_count() // 2))
    with procession.get_context(method).Pool(2) as pool:
        seen, looked = pool.apply(settings, (0,))
    pool.join()
    assert set(seen.values()) == {share}
    assert not looked, "a worker without numbers paid for them"
    assert "OMP_NUM_THREADS" not in os.environ


def test_who_sets_a_variable_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    with procession.get_context("fork").Pool(2) as pool:
        seen, _ = pool.apply(settings, (0,))
    pool.join()
    assert seen["OPENBLAS_NUM_THREADS"] == "7"
    assert seen["OMP_NUM_THREADS"] is None


class Library:
    """What threadpoolctl gives for each."""

    internal_api = "mkl"

    def __init__(self, user_api: str, threads: int) -> None:
        self.user_api, self.threads = user_api, threads

    def get_num_threads(self) -> int:
        return self.threads

    def set_num_threads(self, threads: int) -> None:
        self.threads = threads


LIBRARIES = [Library("blas", 64), Library("openmp", 64), Library("blas", 1)]


def threads_of_libraries(_: object) -> list[int]:
    return [library.threads for library in LIBRARIES]


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Any:
    """As if numpy were loaded, and threadpoolctl there."""
    control: Any = types.ModuleType("threadpoolctl")
    control.surveys = 0

    class ThreadpoolController:
        def __init__(self) -> None:
            control.surveys += 1
            self.lib_controllers = LIBRARIES

    control.ThreadpoolController = ThreadpoolController
    monkeypatch.setitem(sys.modules, "threadpoolctl", control)
    monkeypatch.setitem(sys.modules, "numpy", types.ModuleType("numpy"))
    return control


def test_libraries_loaded_before_the_fork_are_told(loaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROCESSION_WORKER_THREADS", "2")
    with procession.get_context("fork").Pool(2) as pool:
        # Not raised where it is less; and none of OpenMP's, whose threads did not come along
        assert pool.apply(threads_of_libraries, (0,)) == [2, 1, 1]
    pool.join()
    assert threads_of_libraries(0) == [64, 64, 1], "the parent's are its own"
    assert loaded.surveys == 1


def test_turned_off(loaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROCESSION_WORKER_THREADS", "0")
    with procession.get_context("fork").Pool(2) as pool:
        assert pool.apply(threads_of_libraries, (0,)) == [64, 64, 1]
        assert set(pool.apply(settings, (0,))[0].values()) == {None}
    pool.join()
    assert loaded.surveys == 0


def test_without_threadpoolctl_nothing_happens(monkeypatch: pytest.MonkeyPatch, loaded: Any) -> None:
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    assert blas.loaded_libraries() == []
    with procession.get_context("fork").Pool(1) as pool:
        assert pool.apply(threads_of_libraries, (0,)) == [64, 64, 1]
    pool.join()


def real_threads(_: object) -> list[int]:
    import threadpoolctl

    return [library["num_threads"] for library in threadpoolctl.threadpool_info()]


def test_a_real_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # numpy is what it is
    pytest.importorskip("numpy")
    pytest.importorskip("threadpoolctl")
    for name in blas.variables(1):
        monkeypatch.delenv(name, raising=False)
    with procession.get_context("fork").Pool(procession.cpu_count()) as pool:
        assert set(pool.apply(real_threads, (0,))) <= {1}
    pool.join()


def threads_of_this_process(_: object) -> int:
    return len(os.listdir("/proc/self/task"))


def product_with_threads(threads: int) -> tuple[int, bool]:
    import numpy
    import threadpoolctl

    size = 300
    ones = numpy.ones((size, size))
    with threadpoolctl.threadpool_limits(threads):
        return max(real_threads(0)), bool((ones @ ones == size).all())


@pytest.fixture
def openblas(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Numpy's own, with two threads in this process."""
    monkeypatch.undo()
    pytest.importorskip("numpy")
    control = pytest.importorskip("threadpoolctl")
    if {library.internal_api for library in control.ThreadpoolController().lib_controllers} != {"openblas"}:
        pytest.skip("numpy here calculates with another library")
    for name in blas.variables(1):
        monkeypatch.delenv(name, raising=False)
    with control.threadpool_limits(2):
        yield


@pytest.mark.usefixtures("openblas")
def test_telling_a_forked_openblas_starts_none_of_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = []
    for setting in ("0", "1"):
        monkeypatch.setenv("PROCESSION_WORKER_THREADS", setting)
        with procession.get_context("fork").Pool(1) as pool:
            counts.append(pool.apply(threads_of_this_process, (0,)))
        pool.join()
    assert counts[0] == counts[1]


@pytest.mark.usefixtures("openblas")
def test_a_task_may_ask_for_more_threads_than_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROCESSION_WORKER_THREADS", "1")
    with procession.get_context("fork").Pool(1) as pool:
        assert pool.map(product_with_threads, [1, 3, 1, 2], chunksize=1) == [(n, True) for n in (1, 3, 1, 2)]
    pool.join()
