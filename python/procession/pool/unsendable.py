"""The error for a result or an exception that could not be sent: ours, and the standard library's pool's at once.

A file of its own because the standard library's pool is slow to import and this is seldom needed.
"""

from __future__ import annotations

from .. import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    class MaybeEncodingError(Exception):
        """The standard library's, which typeshed does not know."""
else:
    from multiprocessing.pool import MaybeEncodingError

__all__ = ["ResultUnpicklable", "unsendable_exception", "unsendable_result"]


class ResultUnpicklable(errors.ResultUnpicklable, MaybeEncodingError):
    """A task ended, but what it returned or raised cannot be pickled. `exc` says why, `value` shows what it was."""

    __module__ = errors.__name__  # tracebacks show the name that users import and read about

    exc: str = ""
    value: str = ""

    def __init__(self, message: str, **facts: object) -> None:
        Exception.__init__(self, message)
        self.__dict__.update(facts)

    def __str__(self) -> str:
        return str(self.args[0])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (str(self), self.__dict__.copy())


def _rebuild(message: str, facts: dict[str, Any]) -> ResultUnpicklable:
    return ResultUnpicklable(message, **facts)


def unsendable_result(reason: str, path: str | None, what: str) -> ResultUnpicklable:
    """A task returned something that cannot be pickled, for `reason`, at `path` in it."""
    where = f"result{path}" if path else "result"
    return ResultUnpicklable(f"the result of {what} cannot be sent back: {reason}", path=where, item=what, exc=reason)


def unsendable_exception(reason: str, shown: str, what: str) -> ResultUnpicklable:
    """A task raised an exception, `shown`, that cannot be pickled, or not be made again from its pickle."""
    message = f"{what} raised {shown}, which cannot be pickled and unpickled: {reason}"
    return ResultUnpicklable(message, path="exception", item=what, exc=reason, value=shown)
