"""The errors of an executor: ours, and those that programs written for `concurrent.futures` catch, at once.

A file of its own because the standard executor is slow to import and these are seldom needed.
"""

from __future__ import annotations

from concurrent.futures.process import BrokenProcessPool, _RemoteTraceback
from concurrent.futures.thread import BrokenThreadPool

from ..errors import PoolBroken, UnpicklingError, WorkerDied

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from typing import Any

__all__ = ["ExecutorBroken", "NotRead", "ThreadsBroken", "WorkerLost", "remote_traceback"]


class WorkerLost(WorkerDied, BrokenProcessPool):
    """The worker that ran this call died. Only this call failed; the executor goes on."""


class NotRead(UnpicklingError, BrokenProcessPool):
    """A call's arguments could not be made again in the worker, or its result not here. Only this call failed."""


class ExecutorBroken(PoolBroken, BrokenProcessPool):
    """The executor's workers cannot do their work, or it was ended: nothing can be submitted any more."""


class ThreadsBroken(PoolBroken, BrokenThreadPool):
    """The same for threads."""


def remote_traceback(text: str) -> Any:
    """The `__cause__` of an exception that came from a worker, of the standard executor's own type."""
    return _RemoteTraceback(f'\n"""\n{text}"""')  # type: ignore[arg-type]  # it is text, whatever typeshed says
