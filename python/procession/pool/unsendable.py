"""The error for a result or an exception that could not be sent: ours, and the standard library's pool's at once.

A file of its own because the standard library's pool is slow to import and this is seldom needed.
"""

from __future__ import annotations

from ..errors import ResultUnpicklable

TYPE_CHECKING = False
if TYPE_CHECKING:

    class MaybeEncodingError(Exception):
        """The standard library's, which typeshed does not know."""
else:
    from multiprocessing.pool import MaybeEncodingError

__all__ = ["ResultNotSent", "unsendable_exception", "unsendable_result"]


class ResultNotSent(ResultUnpicklable, MaybeEncodingError):
    """A task ended, but what it returned or raised cannot be pickled. `exc` says why, `value` shows what it was."""

    exc: str = ""
    value: str = ""

    def __init__(self, message: str, **facts: object) -> None:
        Exception.__init__(self, message)
        self.__dict__.update(facts)

    def __str__(self) -> str:
        return str(self.args[0])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


def unsendable_result(reason: str, path: str | None, what: str) -> ResultNotSent:
    """A task returned something that cannot be pickled, for `reason`, at `path` in it."""
    where = f"result{path}" if path else "result"
    return ResultNotSent(f"the result of {what} cannot be sent back: {reason}", path=where, item=what, exc=reason)


def unsendable_exception(reason: str, shown: str, what: str) -> ResultNotSent:
    """A task raised an exception, `shown`, that cannot be pickled, or not be made again from its pickle."""
    message = f"{what} raised {shown}, which cannot be pickled and unpickled: {reason}"
    return ResultNotSent(message, path="exception", item=what, exc=reason, value=shown)
