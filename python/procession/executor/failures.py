"""The exceptions that futures get, made of what came back from a worker, or of what could not be sent."""

from __future__ import annotations

from concurrent.futures import Future

from ..errors import PicklingError
from ..pool import mapping
from ..pool.results import failure
from ..pool.state import RAISED, UNREADABLE, UNSENDABLE
from .worker import Raised

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from typing import Any

    from .future import CallFuture

__all__ = ["of_answer", "unsent"]


def of_answer(future: CallFuture, status: int, told: Any) -> BaseException:
    """The exception for a call that gave no value."""
    try:
        return _of_answer(future, status, told)
    except (Exception, SystemExit) as error:  # what it raised could not be unpickled
        return _not_read(f"what {future.describe()} raised cannot be rebuilt here: {error}", error)


def _of_answer(future: CallFuture, status: int, told: Any) -> BaseException:
    if isinstance(told, Raised):
        return told.error
    if status == UNREADABLE:
        return _not_read(f"the result of {future.describe()} cannot be read here: {told}", told)
    if isinstance(told, BaseException):
        return told
    from .broken import remote_traceback

    if status == UNSENDABLE and told[0] is not None:  # pickling the result raised what would end a process
        status = RAISED
    error = failure(status, told, future.describe())
    error.__cause__ = remote_traceback(told[3])
    return error


def _not_read(message: str, cause: BaseException) -> BaseException:
    from .broken import NotRead

    error = NotRead(message, path=getattr(cause, "path", None))
    error.__cause__ = cause
    return error


def unsent(error: Exception, args: tuple[Any, ...], kwargs: dict[str, Any], encode: Any) -> Future[Any]:
    """A future for a call that could not be sent; the error names the argument."""
    if isinstance(error, PicklingError):
        error = _named(error, args, kwargs, encode)
    future: Future[Any] = Future()
    future.set_exception(error)
    return future


def _named(error: PicklingError, args: tuple[Any, ...], kwargs: dict[str, Any], encode: Any) -> PicklingError:
    for values, name in ((enumerate(args), "args"), (kwargs.items(), "kwargs")):
        for key, value in values:
            path = mapping.path_of(value, encode)
            if path is not None:
                return mapping.renamed(error, f"{name}[{key!r}]{path}")
    return error
