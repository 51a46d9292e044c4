"""A pool's answers: one thread reads them for all that wait, so each has to say for itself that it learnt of a result.

What is seen is more than the result's own task: all that the workers had answered by then. That leads to silence.
"""

from __future__ import annotations

from functools import wraps

from ... import _native
from ...executor.future import CallFuture
from ...pool.iterators import IMapIterator
from ...pool.results import AsyncResult
from ...pool.supervisor import Supervisor
from . import tokens
from .threads import RecordedSimpleQueue

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["watch"]


def watch() -> None:
    """Follow who learns of results from now on."""
    for cls, names in _LEARNING.items():
        for name in names:
            setattr(cls, name, _around(getattr(cls, name)))


# What returns when there is a result, or says whether there is
_LEARNING: dict[Any, tuple[str, ...]] = {
    Supervisor: ("wait",),
    AsyncResult: ("ready", "settled"),
    IMapIterator: ("next_nowait",),
    CallFuture: ("done", "_await"),
}


def _around(plain: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(plain)
    def learning(self: Any, *arguments: Any, **keywords: Any) -> Any:
        result = plain(self, *arguments, **keywords)
        core = self if isinstance(self, Supervisor) else self._core
        answers = core.engine.answers
        if isinstance(answers, _native.Ring):
            tokens.acquired(answers)
        elif isinstance(answers, RecordedSimpleQueue):
            tokens.acquired(answers.name())
        return result

    return learning
