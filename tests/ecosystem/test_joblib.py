"""joblib on the backend "procession"."""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

joblib = pytest.importorskip("joblib", reason="joblib is not installed: pip install procession[joblib]")
numpy = pytest.importorskip("numpy", reason="numpy is not installed")

from client_tasks import Picky, die, pid, refuse, set_variable, sleep, square  # noqa: E402
from joblib import Parallel, delayed  # noqa: E402

import procession  # noqa: E402
import procession.joblib as backend  # noqa: E402
from procession.errors import RemoteTraceback, WorkerDied  # noqa: E402
from procession.joblib import workers  # noqa: E402
from procession.testing import wait_until  # noqa: E402


def test_results_come_in_order(config: Any) -> None:
    assert Parallel()(delayed(square)(i) for i in range(1000)) == [i * i for i in range(1000)]


def test_backend_as_an_argument() -> None:
    assert Parallel(n_jobs=2, backend="procession")(delayed(square)(i) for i in range(10)) == [i * i for i in range(10)]


@pytest.mark.slow
def test_spawned_workers() -> None:
    parallel = Parallel(n_jobs=2, backend="procession", start_method="spawn")
    assert parallel(delayed(square)(i) for i in range(10)) == [i * i for i in range(10)]


def test_lambdas_closures_and_local_classes_travel_both_ways(config: Any) -> None:
    class Local:
        def __init__(self, value: int) -> None:
            self.value = value

    offset = 10
    found = Parallel()(delayed(lambda i: Local(i + offset))(i) for i in range(4))
    assert [type(value) for value in found] == [Local] * 4
    assert [value.value for value in found] == [10, 11, 12, 13]


def test_calls_run_in_several_processes_which_are_kept(forked: Any) -> None:
    first = set(Parallel(batch_size=1)(delayed(sleep_and_pid)(0.02) for _ in range(8)))
    second = set(Parallel(batch_size=1)(delayed(sleep_and_pid)(0.02) for _ in range(8)))
    assert os.getpid() not in first
    assert len(first) == 2
    assert first == second


def sleep_and_pid(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def test_another_number_of_workers_replaces_those_kept(forked: Any) -> None:
    before = set(Parallel(n_jobs=2)(delayed(pid)() for _ in range(8)))
    Parallel(n_jobs=3)(delayed(pid)() for _ in range(8))
    assert len(workers._crews) == 1
    wait_until(lambda: not any(os.path.exists(f"/proc/{old}") for old in before))


def test_effective_n_jobs(forked: Any) -> None:
    chosen = backend.ProcessionBackend(nesting_level=0)
    assert chosen.effective_n_jobs(3) == 3
    assert chosen.effective_n_jobs(None) == 1
    assert chosen.effective_n_jobs(-1) == joblib.cpu_count()
    assert chosen.effective_n_jobs(-1000) == 1
    assert joblib.effective_n_jobs(2) == 2
    with pytest.raises(ValueError, match="n_jobs == 0"):
        chosen.effective_n_jobs(0)


def test_one_job_runs_here(forked: Any) -> None:
    assert Parallel(n_jobs=1)(delayed(pid)() for _ in range(2)) == [os.getpid()] * 2


def test_unknown_options_are_named() -> None:
    with pytest.raises(TypeError, match="no option start_metod"):
        Parallel(n_jobs=2, backend="procession", start_metod="fork")([])


@pytest.mark.parametrize("return_as", ["generator", "generator_unordered"])
def test_generators(forked: Any, return_as: str) -> None:
    found = Parallel(return_as=return_as)(delayed(square)(i) for i in range(100))
    assert sorted(found) == [i * i for i in range(100)]


@pytest.mark.filterwarnings("ignore:.*tasks.*:UserWarning")  # joblib tells that work was dropped
def test_a_generator_given_up_ends_its_work(forked: Any) -> None:
    found = Parallel(return_as="generator", batch_size=1)(delayed(square)(i) for i in range(100))
    assert next(found) == 0
    del found
    gc.collect()
    assert Parallel()(delayed(square)(i) for i in range(3)) == [0, 1, 4]


def test_a_managed_parallel_makes_several_calls(forked: Any) -> None:
    with Parallel() as parallel:
        assert parallel(delayed(square)(i) for i in range(3)) == [0, 1, 4]
        with pytest.raises(Picky):
            parallel(delayed(refuse)(i) for i in range(5))
        assert parallel(delayed(square)(i) for i in range(3)) == [0, 1, 4]


def test_an_exception_comes_with_its_traceback(config: Any) -> None:
    with pytest.raises(Picky) as caught:
        Parallel()(delayed(refuse)(i) for i in range(5))
    assert (caught.value.left, caught.value.right) == (3, 4)
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    assert "in refuse" in str(caught.value.__cause__)


def test_an_unpicklable_argument_of_a_later_batch_raises_in_the_caller(forked: Any) -> None:
    """Batches after the first few are packed in a thread of the pool's."""
    with pytest.raises(TypeError, match="cannot pickle"):
        Parallel(batch_size=1)(delayed(pid)(threading.Lock() if i == 50 else i) for i in range(60))


def test_an_unpicklable_result_raises_in_the_caller(forked: Any) -> None:
    with pytest.raises(TypeError, match="cannot pickle"):
        Parallel()(delayed(threading.Lock)() for _ in range(3))


def test_a_killed_worker_fails_the_call_and_not_the_next(forked: Any) -> None:
    with pytest.raises(WorkerDied, match=r"was killed by SIGKILL while working on run\(die\(3\)\)"):
        Parallel(batch_size=1)(delayed(die)(i) for i in range(5))
    assert Parallel()(delayed(square)(i) for i in range(3)) == [0, 1, 4]


def test_a_timeout_ends_what_runs(forked: Any) -> None:
    started = time.monotonic()
    with pytest.raises(multiprocessing.TimeoutError):
        Parallel(timeout=0.1)(delayed(sleep)(30) for _ in range(2))
    assert time.monotonic() - started < 10
    assert not workers._crews


def test_nested_calls_run_in_threads_of_the_worker(forked: Any) -> None:
    def inner(count: int) -> set[int]:
        return set(Parallel(n_jobs=2)(delayed(pid)() for _ in range(count))) | {os.getpid()}

    found = Parallel()(delayed(inner)(4) for _ in range(4))
    assert all(len(pids) == 1 for pids in found)
    assert os.getpid() not in set().union(*found)


def test_nested_calls_may_have_workers_of_their_own(forked: Any) -> None:
    def inner(count: int) -> set[int]:
        with joblib.parallel_config(backend="procession", start_method="fork"):
            return set(Parallel(n_jobs=2)(delayed(pid)() for _ in range(count))) - {os.getpid()}

    found = Parallel(batch_size=1)(delayed(inner)(4) for _ in range(3))
    assert all(found)


def test_a_call_in_a_forked_child_has_workers_of_its_own(forked: Any) -> None:
    Parallel()(delayed(pid)() for _ in range(2))

    def child() -> list[int]:
        return list(Parallel()(delayed(square)(i) for i in range(3)))

    process = procession.get_context("fork").Process(target=child)
    process.start()
    assert process.result(20) == [0, 1, 4]
    process.join()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_joblibs_own_pool_on_our_context(method: str, program: Callable[..., str]) -> None:
    """In a program of its own: it starts a tracker that stays."""
    text = """
import sys, procession
from joblib import Parallel, delayed
if __name__ == "__main__":
    print(Parallel(n_jobs=2, backend=procession.get_context(sys.argv[1]))(delayed(pow)(i, 2) for i in range(5)))
"""
    assert program(text, method) == "[0, 1, 4, 9, 16]\n"


@pytest.mark.slow
def test_joblibs_own_backends_stand_on_procession(program: Callable[..., str]) -> None:
    text = """
import os, procession
procession.install()
from joblib import Parallel, delayed
def die(number):
    if number == 3:
        os.kill(os.getpid(), 9)
if __name__ == "__main__":
    for backend in ("loky", "multiprocessing"):
        print(Parallel(n_jobs=2, backend=backend)(delayed(pow)(i, 2) for i in range(5)))
    try:
        Parallel(n_jobs=2)(delayed(die)(i) for i in range(5))
    except Exception as error:
        print(type(error).__name__)
    print(Parallel(n_jobs=2)(delayed(pow)(i, 2) for i in range(5)))
"""
    squares = "[0, 1, 4, 9, 16]"
    assert program(text).splitlines() == [squares, squares, "TerminatedWorkerError", squares]


def test_the_thread_context_means_threads() -> None:
    parallel = Parallel(n_jobs=2, backend="procession", start_method="thread")
    assert set(parallel(delayed(pid)() for _ in range(4))) == {os.getpid()}


# Numeric libraries


def threads_of(_: int) -> tuple[int, int]:
    """Threads of BLAS, and what OpenMP is told."""
    import threadpoolctl

    pools = [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    return max(pools, default=0), int(os.environ["OMP_NUM_THREADS"])


@pytest.mark.parametrize(("method", "inner"), [("fork", None), ("fork", 3), ("forkserver", None), ("forkserver", 3)])
def test_workers_limit_numeric_threads(method: str, inner: int | None) -> None:
    pytest.importorskip("threadpoolctl", reason="threadpoolctl is not installed")
    numpy.ones((2, 2)) @ numpy.ones((2, 2))
    config = {"backend": "procession", "n_jobs": 2, "start_method": method, "inner_max_num_threads": inner}
    with joblib.parallel_config(**config):
        blas, told = Parallel()(delayed(threads_of)(i) for i in range(2))[0]
    expected = inner or max(procession.cpu_count() // 2, 1)
    assert told == expected
    assert blas in (0, expected)


def test_initializer() -> None:
    parallel = Parallel(n_jobs=2, backend="procession", initializer=set_variable, initargs=["SET_FIRST", "yes"])
    assert parallel(delayed(os.getenv)("SET_FIRST") for _ in range(4)) == ["yes"] * 4


def test_without_joblib_the_import_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "joblib", None)
    for name in [name for name in sys.modules if name.startswith("procession.joblib")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(procession, "joblib", raising=False)
    with pytest.raises(ImportError, match=r"pip install procession\[joblib\]"):
        __import__("procession.joblib")
