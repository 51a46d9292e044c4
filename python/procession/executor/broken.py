"""The errors of an executor: ours, and those that programs written for `concurrent.futures` catch, at once.

A file of its own because the standard executor is slow to import and these are seldom needed.
"""

from __future__ import annotations

import threading

try:
    from concurrent.futures.process import BrokenProcessPool, _RemoteTraceback
    from concurrent.futures.thread import BrokenThreadPool
except RuntimeError:  # the interpreter is ending, and these modules want to be told when it will
    _register = threading._register_atexit  # type: ignore[attr-defined]
    threading._register_atexit = lambda *_: None  # type: ignore[attr-defined]
    try:
        from concurrent.futures.process import BrokenProcessPool, _RemoteTraceback
        from concurrent.futures.thread import BrokenThreadPool
    finally:
        threading._register_atexit = _register  # type: ignore[attr-defined]

from ..errors import MemoryLimitExceeded, PoolBroken, TaskTimeout, UnpicklingError, WorkerDied

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from typing import Any

__all__ = ["ExecutorBroken", "NotRead", "ThreadsBroken", "WorkerLost", "lost", "remote_traceback"]


class WorkerLost(WorkerDied, BrokenProcessPool):
    """The worker that ran this call died: the `WorkerDied` of an executor, as `concurrent.futures` programs catch it.

    Only this call failed; the executor goes on.
    """


class CallTimeout(TaskTimeout, WorkerLost):
    """This call took longer than the executor's `timeout=`. Only this call failed."""


class CallTooLarge(MemoryLimitExceeded, WorkerLost):
    """The worker had more memory than the executor's `memory_limit=`. Only this call failed."""


_LOST = {WorkerDied: WorkerLost, TaskTimeout: CallTimeout, MemoryLimitExceeded: CallTooLarge}


def lost(error: BaseException) -> BaseException:
    """A pool's error for a worker that ended, as one that programs written for `concurrent.futures` catch too."""
    again = _LOST[type(error)](*error.args)  # type: ignore[index]  # a pool has no others
    again.__dict__.update(error.__dict__)
    again.__cause__ = error.__cause__
    return again


class NotRead(UnpicklingError, BrokenProcessPool):
    """A call's arguments could not be made again in the worker, or its result not here. Only this call failed."""


class ExecutorBroken(PoolBroken, BrokenProcessPool):
    """The executor's workers cannot do their work, or it was ended: nothing can be submitted any more."""


class ThreadsBroken(PoolBroken, BrokenThreadPool):
    """The same for threads."""


def remote_traceback(text: str) -> Any:
    """The `__cause__` of an exception that came from a worker, of the standard executor's own type."""
    return _RemoteTraceback(f'\n"""\n{text}"""')  # type: ignore[arg-type]  # it is text, whatever typeshed says
