"""Every exception: what it also is, what it carries, and that it survives pickling."""

import builtins
import inspect
import multiprocessing
import pickle
import queue
import threading

import pytest

from procession import errors

ALSO = {
    "Full": queue.Full,
    "Empty": queue.Empty,
    "ShutDown": getattr(queue, "ShutDown", ValueError),
    "Closed": (ValueError, OSError),
    "ItemTooLarge": (queue.Full, ValueError),
    "ArenaFull": MemoryError,
    "ObjectGone": LookupError,
    "TooManyProcesses": OSError,
    "NotShared": RuntimeError,
    "PicklingError": pickle.PicklingError,
    "UnpicklingError": pickle.UnpicklingError,
    "ReleaseError": ValueError,
    "NotOwner": (AssertionError, RuntimeError),
    "BrokenBarrierError": threading.BrokenBarrierError,
    "WorkerDied": ChildProcessError,
    "ResultUnpicklable": pickle.PicklingError,
    "TimeoutError": (builtins.TimeoutError, multiprocessing.TimeoutError, multiprocessing.ProcessError),
    "NotGuarded": RuntimeError,
    "MainNotImportable": RuntimeError,
    "NotSupported": NotImplementedError,
    "JobError": ValueError,
    "InputError": OSError,
}
OURS = [
    name
    for name in errors.__all__
    if isinstance(getattr(errors, name), type) and issubclass(getattr(errors, name), errors.ProcessionError)
]


@pytest.mark.parametrize("name", sorted(ALSO))
def test_derives_from_what_users_catch(name: str) -> None:
    kinds = ALSO[name] if isinstance(ALSO[name], tuple) else (ALSO[name],)
    for kind in kinds:
        assert issubclass(getattr(errors, name), kind)


@pytest.mark.parametrize("name", [name for name in OURS if name != "TaskErrors"])
def test_pickles_with_its_fields(name: str) -> None:
    cls = getattr(errors, name)
    facts = {
        field: index
        for index, base in enumerate(cls.__mro__)
        if issubclass(base, errors.ProcessionError)
        for field in inspect.get_annotations(base)
    }
    error = cls("what happened", **facts)
    error.add_note("and why")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is cls
    assert again.args == ("what happened",)
    assert str(again) == "what happened"
    assert again.__notes__ == ["and why"]
    assert {field: getattr(again, field) for field in facts} == facts


def test_a_group_pickles_with_its_results() -> None:
    error = errors.TaskErrors("two failed", [ValueError(1), TypeError(2)], results=[0, ValueError(1), TypeError(2)])
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is errors.TaskErrors
    assert again.message == "two failed"
    assert [type(one) for one in again.exceptions] == [ValueError, TypeError]
    assert [type(one) for one in again.results] == [int, ValueError, TypeError]
    some = again.subgroup(ValueError)
    assert type(some) is errors.TaskErrors
    assert some.results is again.results


def test_unknown_fact_is_refused() -> None:
    with pytest.raises(TypeError, match="Full has no field 'color'"):
        errors.Full("full", color=1)


@pytest.mark.parametrize(
    ("exitcode", "words", "signal"),
    [(-9, "was killed by SIGKILL", "SIGKILL"), (3, "exited with code 3", None), (-99, "by signal 99", "signal 99")],
)
def test_worker_died_says_how(exitcode: int, words: str, signal: str | None) -> None:
    error = errors.WorkerDied.of("worker-3", 4121, exitcode, item="task 7")
    assert str(error).startswith("worker-3 (pid 4121)")
    assert words in str(error)
    assert "task 7" in str(error)
    assert (error.name, error.pid, error.exitcode, error.item, error.signal) == (
        "worker-3",
        4121,
        exitcode,
        "task 7",
        signal,
    )
    assert "exit code unknown" in str(errors.WorkerDied.of(None, 1, None))


def test_remote_traceback_is_that_of_the_standard_pool() -> None:
    error = errors.RemoteTraceback("ValueError: what happened\n")
    assert (error.text, error.tb) == ("ValueError: what happened\n", '\n"""\nValueError: what happened\n"""')
    again = errors.RemoteTraceback(error.tb)
    assert (again.text, str(again)) == (error.text, error.tb)
    assert pickle.loads(pickle.dumps(again)).tb == error.tb


@pytest.mark.parametrize("cause", [TypeError, AttributeError, RuntimeError, ValueError])
def test_errors_of_pickling_are_also_what_pickle_raised(cause: type[Exception]) -> None:
    from procession._codec import encoding_failed

    error = encoding_failed(object(), cause("why"), False)
    assert isinstance(error, cause)
    assert type(error).__name__ in errors.__all__  # what a traceback shows can be imported and caught
    assert type(pickle.loads(pickle.dumps(error))) is type(error)


@pytest.mark.parametrize("cause", [TypeError, AttributeError, ModuleNotFoundError, EOFError, ConnectionResetError])
def test_errors_of_unpickling_are_also_what_was_raised(cause: type[Exception]) -> None:
    from procession._codec import decoding_failed

    error = decoding_failed("", cause("why"))
    assert isinstance(error, (cause, ConnectionError))
    assert isinstance(error, errors.UnpicklingError)
    assert type(error).__name__ in errors.__all__


def test_not_guarded_shows_the_lines() -> None:
    assert 'if __name__ == "__main__":' in str(errors.NotGuarded())


def test_a_broken_barrier_names_only_whom_it_knows() -> None:
    known, unknown = errors.BrokenBarrierError.of(17, "worker-3"), errors.BrokenBarrierError.of(0, None)
    assert str(known) == "the barrier is broken: process 17 ended while it was there (named worker-3)"
    assert str(unknown) == "the barrier is broken: a process ended while it was there"
    assert (known.pid, unknown.pid) == (17, None)
