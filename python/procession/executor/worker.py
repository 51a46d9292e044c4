"""A worker's side: the pool's loop, with an ear for what ends a process.

In `concurrent.futures` a call may raise anything, `SystemExit` too, and its future gets it: so each function is called
inside a guard, which hands over what it raised. What comes to `explain` without a guard around it was raised while the
arguments (or the function) were being unpickled.
"""

from __future__ import annotations

import pickle
import traceback

from ..pool import worker as pool_worker
from ..pool.functions import load
from ..pool.state import RAISED

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

__all__ = ["Raised", "call_chunk", "guard", "initialize", "invoke", "main"]


class Raised(Exception):
    """Carries what a call raised out of its guard."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


def invoke(fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call what travels with its arguments: a method, a partial, an object."""
    return fn(*args, **kwargs)


def call_chunk(fn: Callable[..., Any], chunk: Iterable[tuple[Any, ...]]) -> list[Any]:
    """The same for a chunk of a map."""
    return [fn(*args) for args in chunk]


for _function in (invoke, call_chunk):
    _function.__dict__["_calls_its_argument"] = True  # on the timeline their tasks are called after that


def initialize(initializer: Callable[..., object], *initargs: Any) -> None:
    """Run the user's initializer; log what it raises, as `concurrent.futures` does, and let that break the executor."""
    try:
        initializer(*initargs)
    except BaseException as error:
        from concurrent.futures._base import LOGGER

        LOGGER.critical("Exception in initializer:", exc_info=True)
        raise Raised(error) from None


def guard(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as a worker calls it."""

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            trace = error.__traceback__
            error.__traceback__ = None if trace is None else trace.tb_next
            raise Raised(error) from None

    call.__dict__["__wrapped__"] = function
    return call


def main(given: pool_worker.Surroundings) -> None:
    """A worker's life; see `pool.worker.main`."""
    pool_worker.main(given, lambda arena, offset, serial: guard(load(arena, offset, serial)), explain)


def explain(error: BaseException, status: int) -> tuple[Any, ...]:
    """What is told of an exception, as `pool.worker.explain` does. Raises: what ends this worker."""
    if isinstance(error, Raised):
        return _told(error.error)
    if isinstance(error, Exception) and status != RAISED:
        return pool_worker.explain(error, status)
    if not isinstance(error, Exception):
        if status == RAISED:
            raise error  # from unpickling the arguments: as in the standard executor this is the worker's end
        return _told(error)
    from .broken import NotRead

    unread = NotRead(f"the call could not be unpickled in its worker: {error}", path=getattr(error, "path", None))
    return _told(unread.with_traceback(error.__traceback__))


def _told(error: BaseException) -> tuple[Any, ...]:
    """The same for an exception that becomes a future's, whatever its kind."""
    if isinstance(error, Exception):
        return pool_worker.explain(error, RAISED)
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    try:
        return pickle.dumps(error, 5), "", repr(error), text
    except Exception as failure:
        return None, f"{type(failure).__name__}: {failure}", repr(error), text
