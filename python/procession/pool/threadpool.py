"""The pool of threads, by its standard name and signature. `get_context("thread").Pool` is much the same."""

from __future__ import annotations

from .local import LocalEngine
from .pools import Pool

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from .engine import Engine

__all__ = ["ThreadPool"]


class ThreadPool(Pool):
    """A pool of threads of this process. Nothing is pickled; a task cannot be ended from outside."""

    _wrap_exception = False

    @staticmethod
    def Process(ctx: Any, *args: Any, **kwds: Any) -> Any:
        """As the standard one; threads here are started otherwise."""
        from multiprocessing.dummy import Process

        return Process(*args, **kwds)

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
    ) -> None:
        super().__init__(processes, initializer, initargs)

    def _engine(self) -> Engine:
        return LocalEngine(self._processes, self._initializer, self._initargs, 0)
