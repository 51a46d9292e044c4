"""What a process or thread gives its parent: its value, its exception, or how it died."""

import gc
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
from multiprocessing.util import Finalize
from typing import Any

import pytest

import procession
from procession import errors, process

LARGE = 64 << 20  # bytes; far more than any pipe holds


def double(number: int) -> int:
    return 2 * number


def nothing() -> None:
    pass


def fail() -> None:
    raise ValueError("the target failed", 7)


def leave(code: Any) -> None:
    sys.exit(code)


def drop_dead(code: int) -> None:
    os._exit(code)


def kill_self(number: int) -> None:
    os.kill(os.getpid(), number)


def return_lambda() -> Any:
    return {"deep": [1, lambda: None]}


def return_large() -> bytes:
    return b"x" * LARGE


class Unpicklable(Exception):
    def __init__(self, reason: str, callback: Any) -> None:
        super().__init__(reason)
        self.callback = callback


class LosesItsArguments(Exception):
    """Pickles, but cannot be made again: the constructor wants more than `args` holds."""

    def __init__(self, left: int, right: int) -> None:
        super().__init__(f"{left} and {right}")

    def __reduce__(self) -> Any:  # as it would be anyway; but tblib, which Dask loads, mends those that do not say so
        return type(self), self.args


def raise_unpicklable() -> None:
    raise Unpicklable("no way home", lambda: None)


def raise_lossy() -> None:
    raise LosesItsArguments(1, 2)


class RefusesToUnpickle:
    def __reduce__(self) -> Any:
        return fail, ()


def return_poison() -> Any:
    return RefusesToUnpickle()


def finish(worker: Any) -> None:
    worker.join()
    worker.close()


# The result


def run(context: Any, target: Any, *args: Any) -> Any:
    worker = context.Process(target=target, args=args)
    worker.start()
    try:
        return worker.result()
    finally:
        finish(worker)


@pytest.mark.parametrize(("value", "expected"), [(21, 42), (0, 0), ("ab", "abab"), ([1], [1, 1]), (1.5, 3.0)])
def test_result_is_the_targets_value(context: Any, value: Any, expected: Any) -> None:
    assert run(context, double, value) == expected


def test_result_of_a_target_without_one(context: Any) -> None:
    assert run(context, nothing) is None


def test_large_result_does_not_block_the_child(process_context: Any) -> None:
    worker = process_context.Process(target=return_large)
    worker.start()
    worker.join()
    assert worker.exitcode == 0
    assert worker.result() == b"x" * LARGE
    assert worker.result() is worker.result()
    worker.close()


def test_exception_comes_back_with_its_traceback(process_context: Any, capfd: Any) -> None:
    worker = process_context.Process(target=fail)
    worker.start()
    with pytest.raises(ValueError, match="the target failed") as caught:
        worker.result()
    assert caught.value.args == ("the target failed", 7)
    assert isinstance(caught.value.__cause__, errors.RemoteTraceback)
    assert "in fail\n" in str(caught.value.__cause__)
    assert worker.exitcode == 1
    if process_context.get_start_method() != "forkserver":  # the server's standard error is not the test's
        assert "the target failed" in capfd.readouterr().err  # the standard library's print stays
    finish(worker)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_exception_of_a_thread(capfd: Any) -> None:
    worker = procession.Thread(target=fail)
    worker.start()
    with pytest.raises(ValueError, match="the target failed"):
        worker.result()
    assert worker.exitcode == 1
    finish(worker)


@pytest.mark.parametrize("code", [None, 0])
def test_clean_exit_gives_none(context: Any, code: Any) -> None:
    worker = context.Process(target=leave, args=(code,))
    worker.start()
    assert worker.result() is None
    assert worker.exitcode == 0
    finish(worker)


@pytest.mark.parametrize(("code", "exitcode"), [(3, 3), ("a reason", 1)])
def test_exit_with_a_code(context: Any, code: Any, exitcode: int, capfd: Any) -> None:
    worker = context.Process(target=leave, args=(code,), name="leaver")
    worker.start()
    with pytest.raises(errors.WorkerDied, match=f"leaver .* exited with code {exitcode}") as caught:
        worker.result()
    assert (caught.value.exitcode, caught.value.signal) == (exitcode, None)
    finish(worker)


@pytest.mark.parametrize("code", [0, 5])
def test_exit_without_farewell(process_context: Any, code: int) -> None:
    worker = process_context.Process(target=drop_dead, args=(code,))
    worker.start()
    with pytest.raises(errors.WorkerDied) as caught:
        worker.result()
    assert caught.value.exitcode == code
    finish(worker)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP, signal.SIGTERM])
def test_killed(process_context: Any, number: signal.Signals) -> None:
    worker = process_context.Process(target=kill_self, args=(number,), name="victim")
    worker.start()
    pid = worker.pid
    with pytest.raises(errors.WorkerDied, match=rf"victim \(pid {pid}\) was killed by {number.name}") as caught:
        worker.result()
    assert (caught.value.name, caught.value.pid, caught.value.signal) == ("victim", pid, number.name)
    assert isinstance(caught.value, ChildProcessError)
    assert worker.exitcode == -number
    finish(worker)


def answer_and_die() -> str:
    Finalize(None, os.kill, (os.getpid(), signal.SIGKILL), exitpriority=1)
    return "answered"


def test_killed_after_its_answer(process_context: Any) -> None:
    worker = process_context.Process(target=answer_and_die)
    worker.start()
    assert worker.result() == "answered"
    assert worker.exitcode == -signal.SIGKILL
    finish(worker)


def test_unpicklable_result_names_the_path(process_context: Any) -> None:
    worker = process_context.Process(target=return_lambda)
    worker.start()
    with pytest.raises(errors.ResultUnpicklable, match=r"result\['deep'\]\[1\]") as caught:
        worker.result()
    assert caught.value.path == "result['deep'][1]"
    assert isinstance(caught.value, pickle.PicklingError)
    assert worker.exitcode == 0  # who never asks for the result is not disturbed
    finish(worker)


@pytest.mark.parametrize("target", [raise_unpicklable, raise_lossy])
def test_unpicklable_exception(process_context: Any, target: Any, capfd: Any) -> None:
    worker = process_context.Process(target=target)
    worker.start()
    with pytest.raises(errors.ResultUnpicklable, match="the exception of") as caught:
        worker.result()
    assert f"in {target.__name__}" in str(caught.value.__cause__)
    finish(worker)


def test_result_that_cannot_be_rebuilt(process_context: Any) -> None:
    worker = process_context.Process(target=return_poison)
    worker.start()
    with pytest.raises(errors.UnpicklingError, match="ValueError"):
        worker.result()
    finish(worker)


def test_result_times_out(process_context: Any) -> None:
    worker = process_context.Process(target=time.sleep, args=(600,))
    worker.start()
    for catch in (multiprocessing.TimeoutError, TimeoutError, procession.TimeoutError):
        with pytest.raises(catch):
            worker.result(timeout=0.01)
    assert worker.is_alive()
    worker.kill()
    with pytest.raises(errors.WorkerDied, match="SIGKILL"):
        worker.result()
    finish(worker)


def test_result_of_a_thread_times_out() -> None:
    release = threading.Event()
    worker = procession.get_context("thread").Process(target=release.wait)
    worker.start()
    with pytest.raises(procession.TimeoutError):
        worker.result(timeout=0.01)
    with pytest.raises(errors.NotSupported, match="Event"):
        worker.terminate()
    with pytest.raises(ValueError, match="still running"):
        worker.close()
    release.set()
    assert worker.result() is True
    worker.kill()  # nothing is left to end
    finish(worker)


def test_result_costs_no_descriptor_once_it_is_known(process_context: Any) -> None:
    worker = process_context.Process(target=nothing)
    worker.start()
    worker.join()
    assert worker._popen.outcome.fd == -1
    assert worker.result() is None
    finish(worker)


class Overridden(process.ForkProcess):
    def run(self) -> str:
        return f"from {self.name}"


def test_overridden_run_gives_the_result() -> None:
    worker = Overridden(name="here")
    worker.start()
    assert worker.result() == "from here"
    finish(worker)


def test_result_before_start_and_after_close(process_context: Any) -> None:
    worker = process_context.Process(target=nothing)
    with pytest.raises(AssertionError, match="was never started: call start"):
        worker.result()
    worker.start()
    worker.join()
    worker.close()
    with pytest.raises(ValueError, match="closed"):
        worker.result()


def test_descriptors_are_freed_without_close(process_context: Any) -> None:
    worker = process_context.Process(target=double, args=(4,))
    worker.start()
    worker.join()
    del worker
    gc.collect()  # the leak check after the test looks at the rest
