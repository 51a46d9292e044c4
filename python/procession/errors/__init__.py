"""Every exception of the package.

Each class also derives from what users of `multiprocessing`, `queue` and `threading` already catch, so an old
`except queue.Full` still works. An error carries its facts as fields (the path inside the object, the pid, the exit
code) besides a message that names the culprit and the mend, and survives pickling with its fields, because many of
these travel from a child to its parent.

The facts of a class are its annotated attributes with a default; the constructor takes a message and any of them by
keyword. Both sides raise these: the Rust module looks them up here by name. This package imports nothing of ours.
"""

from __future__ import annotations

import builtins
import multiprocessing
import pickle
import queue
import sys
import threading

from .base import ProcessionError
from .disk import (
    HomeDamaged,
    HomeError,
    HomeFailed,
    HomeFull,
    HomeMismatch,
    HomeTooNew,
    HomeUnreachable,
    NotAHome,
    NotDurable,
)
from .far import ClusterError, ClusterLost, ClusterUnreachable, EngineMissing, VersionMismatch

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Self

__all__ = [
    "AbandonedLockWarning",
    "ArenaFull",
    "Corrupted",
    "BrokenBarrierError",
    "CheckpointError",
    "CheckpointFull",
    "CheckpointInUse",
    "CheckpointMismatch",
    "Closed",
    "ClusterError",
    "ClusterLost",
    "ClusterUnreachable",
    "DeadlockError",
    "DeliveredTooOften",
    "Empty",
    "EngineMissing",
    "Full",
    "HomeDamaged",
    "HomeError",
    "HomeFailed",
    "HomeFull",
    "HomeMismatch",
    "HomeTooNew",
    "HomeUnreachable",
    "InputError",
    "InvalidSize",
    "ItemTooLarge",
    "JobError",
    "LockAbandoned",
    "LockOrderWarning",
    "MainNotImportable",
    "MemoryLimitExceeded",
    "NoSuchProgram",
    "NotACheckpoint",
    "NotAHome",
    "NotARecording",
    "NotATrace",
    "NotDurable",
    "NotGuarded",
    "NotOwner",
    "NotShared",
    "NotSupported",
    "ObjectGone",
    "PicklingAttributeError",
    "PicklingError",
    "PicklingRuntimeError",
    "PicklingTypeError",
    "PicklingValueError",
    "PoolBroken",
    "PoolTerminated",
    "ProcessionError",
    "ReleaseError",
    "RemoteError",
    "RemoteTraceback",
    "ResultUnpicklable",
    "ShutDown",
    "SpillFull",
    "TaskErrors",
    "TaskTimeout",
    "TimeoutError",
    "TooManyProcesses",
    "TooManyWaiters",
    "UnpicklingAttributeError",
    "UnpicklingConnectionError",
    "UnpicklingEOFError",
    "UnpicklingError",
    "UnpicklingImportError",
    "UnpicklingTypeError",
    "VersionMismatch",
    "WorkerDied",
    "WrongTypecode",
    "describe_exit",
    "signal_name",
]


# Queues and rings


class Full(ProcessionError, queue.Full):
    """A bounded queue had no room before the deadline."""


class Empty(ProcessionError, queue.Empty):
    """A queue had no item before the deadline."""


if sys.version_info >= (3, 13):
    from queue import ShutDown as _StandardShutDown
else:
    _StandardShutDown = ValueError


class ShutDown(ProcessionError, _StandardShutDown):
    """The queue was shut down: nothing can be put, and nothing is left to get."""


class Closed(ProcessionError, ValueError, OSError):
    """The object was closed by this process and cannot be used any more. Both, as queues and connections raise both."""


class ItemTooLarge(Full, ValueError):
    """An item that no amount of waiting would make fit under the queue's bound."""

    size_bytes: int | None = None
    limit_bytes: int | None = None


class DeliveredTooOften(ProcessionError, RuntimeError):
    """An item of a JoinableQueue that more consumers took, and did not finish, than `max_deliveries` allows.

    It was not decoded, and is this process's until `task_done`.
    """

    deliveries: int = 0


class WrongTypecode(ProcessionError, TypeError, ValueError):
    """No such typecode. A TypeError as in multiprocessing, and a ValueError, which it is."""


class InvalidSize(ProcessionError, ValueError):
    """A size, bound or number of workers that cannot be: negative, zero where there must be one, or beyond counting."""


# The arena


class ArenaFull(ProcessionError, MemoryError):
    """Shared memory is exhausted: the arena's limit, or the machine's."""

    wanted_bytes: int | None = None
    limit_bytes: int | None = None


class ObjectGone(ProcessionError, LookupError):
    """The shared object at this address was freed; its last holder is gone."""

    address: tuple[int, int] | None = None


class Corrupted(ProcessionError, RuntimeError):
    """Something in shared memory cannot be as it stands there: a process that shares the arena has written over it.

    What is damaged stays as it is found, and is met again by whoever comes to it; the rest can be used.
    """

    what: str | None = None
    offset: int | None = None
    """In the arena, or what was taken for a place in it."""


class TooManyProcesses(ProcessionError, OSError):
    """The arena's table of processes is full."""

    limit: int | None = None


class NoSuchProgram(ProcessionError, LookupError):
    """There is no program to look at with that process id."""

    pid: int = 0
    reason: str = ""
    """"gone", "another user's", "not procession's" or "closed" (it has no descriptor of its memory any more)."""


class NotShared(ProcessionError, RuntimeError):
    """An object living in one process's own memory was about to be sent to another process."""


# Pickling


class PicklingError(ProcessionError, pickle.PicklingError):
    """An object cannot be sent. `path` leads from the object given to the part that cannot be pickled."""

    path: str | None = None


class UnpicklingError(ProcessionError, pickle.UnpicklingError):
    """What arrived cannot be made into an object again in this process."""

    path: str | None = None


class PicklingTypeError(PicklingError, TypeError):
    """Pickle raised a TypeError: the object's type cannot be pickled."""


class PicklingAttributeError(PicklingError, AttributeError):
    """Pickle raised an AttributeError: a function or class that cannot be found by its name."""


class PicklingRuntimeError(PicklingError, RuntimeError):
    """Pickle raised a RuntimeError: the object may only be inherited, or it is nested too deep."""


class PicklingValueError(PicklingError, ValueError):
    """Pickle raised a ValueError."""


class UnpicklingAttributeError(UnpicklingError, AttributeError):
    """A module of this process lacks the function or class that the message names."""


class UnpicklingConnectionError(UnpicklingError, ConnectionError):
    """What the message refers to lies with a process that is going or gone."""


class UnpicklingEOFError(UnpicklingError, EOFError):
    """As UnpicklingConnectionError, or the pickle within the message ends too early."""


class UnpicklingImportError(UnpicklingError, ModuleNotFoundError):
    """This process cannot import a module that the message names."""


class UnpicklingTypeError(UnpicklingError, TypeError):
    """A class refused the arguments that it was pickled with."""


# Locks


class ReleaseError(ProcessionError, ValueError):
    """A lock or semaphore was released more often than it was acquired."""


class NotOwner(ProcessionError, AssertionError, RuntimeError):
    """Someone released or waited on a lock that belongs to another thread or process."""

    owner: tuple[int, int] | None = None


class TooManyWaiters(ProcessionError, RuntimeError):
    """As many threads wait on one Condition as it has places for."""


class BrokenBarrierError(ProcessionError, threading.BrokenBarrierError):
    """The barrier was aborted, reset while someone waited, or timed out, its action failed, or a party died there.

    Of a death it has the process's `pid` and `name`, where they are known.
    """

    pid: int | None = None
    """Of the party whose death broke it."""
    name: str | None = None

    @classmethod
    def of(cls, pid: int, name: str | None) -> BrokenBarrierError:
        """Build the error for a party that died; its pid is 0 where nobody knows it."""
        who = f"process {pid}" if pid else "a process"
        called = "" if name is None else f" (named {name})"
        return cls(f"the barrier is broken: {who} ended while it was there{called}", pid=pid or None, name=name)


def _describe_abandoned(kind: str, pid: int, name: str | None, since: float | None) -> str:
    what = "a permit of this Semaphore" if kind == "Semaphore" else f"this {kind}"
    known = [] if name is None else [f"named {name}"]
    if since is not None:
        import time

        known.append(f"holding it since {time.strftime('%H:%M:%S', time.localtime(since))}")
    aside = f" ({', '.join(known)})" if known else ""
    return f"process {pid} ended while it held {what}{aside}: what the {kind} guards may be half-done"


class AbandonedLockWarning(RuntimeWarning):
    """The last owner of a lock died holding it; the data the lock guards may be half-changed."""

    describe: Callable[[str, int, str | None, float | None], str] = staticmethod(_describe_abandoned)
    """The text: of the kind of object, the pid and name of its holder, and since when that had it (`time.time()`)."""


class DeadlockError(ProcessionError, RuntimeError):
    """Threads wait for each other and for nobody else, so none of them would ever go on.

    Raised in one of them, the one whose wait began last, whose wait thereby ends; nothing was acquired. When it gives
    back what it holds, the others go on. Only where deadlocks are looked for, see `procession.detect_deadlocks`.
    """

    participants: tuple[Any, ...] = ()
    """Each has `pid`, `process`, `thread`, `holds` and `waits`; the one that this was raised in comes first."""


class LockOrderWarning(RuntimeWarning):
    """Two locks are taken in one order here and in the other elsewhere: on another day a deadlock."""


class LockAbandoned(ProcessionError, RuntimeError):
    """The holder of a lock or permit made with `on_abandoned="raise"` died, and nobody has repaired what it guards.

    Nothing was acquired (except by `Condition.wait`, which always ends with the lock held), and every acquisition
    raises this until a block `with lock.repair():` has ended without an exception.
    """

    kind: str | None = None
    """"Lock", "RLock", "Semaphore" or "Condition"."""
    pid: int | None = None
    """Of the process that died."""
    name: str | None = None
    since: float | None = None
    """When it had acquired the lock: `time.time()` rounded down to a second."""

    @classmethod
    def of(cls, kind: str, pid: int, name: str | None, since: float | None) -> LockAbandoned:
        """Build the error with a message made of its facts."""
        message = f"{_describe_abandoned(kind, pid, name, since)}; repair that in a block `with lock.repair():`"
        return cls(message, kind=kind, pid=pid, name=name, since=since)


# Other processes


_QUOTES = '\n"""\n'


class RemoteTraceback(Exception):
    """The formatted traceback of another process; the `__cause__` of the exception that came from there."""

    def __init__(self, text: str) -> None:
        """Of the bare text, or as the standard pool gives it: between triple quotes."""
        if text.startswith(_QUOTES):
            text = text.removeprefix(_QUOTES).removesuffix('"""')
        super().__init__(text)
        self.text = text

    @property
    def tb(self) -> str:
        """The text between triple quotes, which is what is printed; the standard pool's name for it."""
        return f'{_QUOTES}{self.text}"""'

    def __str__(self) -> str:
        return self.tb


class RemoteError(ProcessionError):
    """Something went wrong in another process, and this is all that is known here. `item` is what it worked on."""

    item: object = None
    name: str | None = None
    pid: int | None = None
    exitcode: int | None = None


_SHOWN_LINES = 10  # of a dead worker's last ones, in a message
_SHOWN_CHARACTERS = 200  # of each


class WorkerDied(RemoteError, ChildProcessError):
    """A process ended without answering. An Executor raises it as `WorkerLost`, which is a `BrokenProcessPool` as well.

    `exitcode` is its exit status, or minus the number of the signal that ended it (None if nobody could learn it).
    `memory_bytes` is the memory of its own, without what a fork shares with its parent, that it had when somebody last
    looked; `line` the innermost Python line that it was in, where it could still tell (it crashed, or was ended for
    what its task did); its stack is the `__cause__` then. Both are None where they are not known. `output` has the last
    200 lines that it printed and logged, of standard output and error together, the last of which the message shows:
    with `forward_output=True`, else nothing of that is known here.
    """

    memory_bytes: int | None = None
    line: str | None = None
    output: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        name: str | None,
        pid: int | None,
        exitcode: int | None,
        *,
        item: object = None,
        ended: str | None = None,
        remark: str = "",
        output: tuple[str, ...] = (),
        **facts: object,
    ) -> Self:
        """Build the error with a message made of its facts. `ended` says in words how, `remark` what else is known."""
        if output:
            shown = [f"    {line[:_SHOWN_CHARACTERS]}" for line in output[-_SHOWN_LINES:]]
            remark = "\n".join([f"{remark}; the last it printed:", *shown])
            facts["output"] = output
        while_doing = "" if item is None else f" while working on {item}"
        ended = ended or describe_exit(exitcode)
        message = f"{name or 'process'} (pid {pid}) {ended}{while_doing} before it gave a result{remark}"
        return cls(message, name=name, pid=pid, exitcode=exitcode, item=item, **facts)

    @property
    def signal(self) -> str | None:
        """Name of the signal that ended the process, as "SIGKILL"; None if it was not a signal."""
        return signal_name(self.exitcode)


def signal_name(exitcode: int | None) -> str | None:
    """Name of the signal in an exit code, which is minus its number; None if it is not one."""
    if exitcode is None or exitcode >= 0:
        return None
    import signal

    try:
        return signal.Signals(-exitcode).name
    except ValueError:
        return f"signal {-exitcode}"


def describe_exit(exitcode: int | None) -> str:
    """Say in words how a process ended: "was killed by SIGKILL", "exited with code 3"."""
    name = signal_name(exitcode)
    if name is not None:
        return f"was killed by {name}"
    if exitcode is None:
        return "vanished, exit code unknown,"
    return f"exited with code {exitcode}"


class TaskTimeout(WorkerDied):
    """An item took longer than its `timeout=`, so its worker was ended.

    No TimeoutError: that is what `get(timeout=…)` raises when the result is not there *yet*, and who asks again upon
    that would ask for ever.
    """

    timeout_s: float | None = None


class MemoryLimitExceeded(WorkerDied, MemoryError):
    """A worker had more memory of its own than its `memory_limit=`, so it was ended. `memory_bytes` says how much."""

    limit_bytes: int | None = None


class TaskErrors(ProcessionError, ExceptionGroup):
    """Every failure of a map with `on_error="group"`.

    `results` is the list of all results, with an exception in the place of each item that failed.
    """

    results: list[Any] | None = None

    def __new__(cls, *args: Any, **facts: object) -> TaskErrors:
        return ExceptionGroup.__new__(cls, *args)

    def derive(self, excs: Sequence[Exception]) -> TaskErrors:  # type: ignore[override]
        """A group of some of these, for `split` and `except*`, with all results."""
        return TaskErrors(self.message, excs, results=self.results)


class ResultUnpicklable(RemoteError, PicklingError):
    """The call ended, but its result (or its exception) cannot be pickled, so only this error came back."""


class PoolBroken(ProcessionError, RuntimeError):
    """A pool's workers cannot do their work: the initializer raised (see `__cause__`), or none gets to serve."""


class PoolTerminated(ProcessionError, RuntimeError):
    """The pool was terminated before the task was done."""


class TimeoutError(ProcessionError, multiprocessing.TimeoutError, builtins.TimeoutError):
    """The deadline passed before the awaited thing happened. Nothing was cancelled."""


# Gathering by key


class SpillFull(ProcessionError, OSError):
    """The disk (or memory) in which a map_reduce_by_key keeps what it gathered is full. Nothing was left behind."""

    directory: str | None = None
    """None for memory."""
    written_bytes: int | None = None
    """What was there when it was full."""


# Checkpoints


class CheckpointError(ProcessionError, OSError):
    """A checkpoint's journal cannot be read or written. What was committed before is in it, whole."""

    path: str | None = None


class CheckpointFull(CheckpointError):
    """There is no room for more in a journal. What was committed before is in it: free some space and run again."""


class CheckpointInUse(CheckpointError, BlockingIOError):
    """Another call holds the checkpoint. `pid` is its process, None if that could not be learnt."""

    pid: int | None = None


class NotACheckpoint(CheckpointError, ValueError):
    """The file given as a checkpoint is something else, or was written by another version. It was left as it is."""


class CheckpointMismatch(CheckpointError, ValueError):
    """The checkpoint is that of another function or of other items; nothing was taken from it.

    `part` says what differs: "function", "code", an option's name, or "item", of which `item` is the number.
    """

    part: str | None = None
    item: int | None = None


class NotATrace(ProcessionError, ValueError):
    """A file is not a trace that `procession run --trace` wrote, or not all of it."""


class NotARecording(ProcessionError, ValueError):
    """A directory holds no recording of procession's, or that of another version, or one that is damaged."""


# Starting processes


class NotGuarded(ProcessionError, RuntimeError):
    """A process was started while the main module was still being imported by a new child."""

    def __init__(self, *args: object, **facts: object) -> None:
        super().__init__(*(args or (_GUARD_ADVICE,)), **facts)


_GUARD_ADVICE = """\
this new process was importing the main module of its parent, and that module starts a process as soon as it is \
imported. Put what starts processes under a guard, in the file that you run:

    def main():
        ...            # everything that creates a Process, a Pool or a Manager

    if __name__ == "__main__":
        main()

(Or use get_context("fork"), whose children do not import the main module.)"""


class MainNotImportable(ProcessionError, RuntimeError):
    """A new interpreter would have to import the main module, which came from standard input or a prompt."""


class NotSupported(ProcessionError, NotImplementedError):
    """This context cannot do what was asked; the message says which can."""


# The command line


class JobError(ProcessionError, ValueError):
    """A job could not be loaded or has not the methods a job needs."""


class InputError(ProcessionError, OSError):
    """An input of a job cannot be read, is not text, or changed while it was being read."""

    path: str | None = None
