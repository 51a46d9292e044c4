"""The pool's engine on a cluster, as an executor wants it."""

from __future__ import annotations

from ..pool.direct import MANY
from ..pool.far import FarEngine
from ..pool.results import CALL, STAR
from .engines import NUDGE

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .future import CallFuture

__all__ = ["Far"]


class Far(FarEngine):
    """Workers of a cluster."""

    def put(self, future: CallFuture, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Put one call. Raises: PicklingError, TypeError for what cannot be called."""
        self._put(future, function, CALL, (args, kwargs))

    def put_chunk(self, future: CallFuture, function: Callable[..., Any], chunk: list[tuple[Any, ...]]) -> None:
        """Put the calls of a chunk, whose results come as a list."""
        self._put(future, function, STAR | MANY, chunk)

    def _put(self, future: CallFuture, function: Any, kind: int, payload: Any) -> None:
        future._number = self.dispatcher.submit_numbered(future, self.functions.address(function), kind, 0, [payload])[
            0
        ]

    def has_taken(self, number: int) -> bool:
        """Whether a worker has taken this task, where the cluster's calls tell that they run."""
        call = self.dispatcher.call(number)
        return call is not None and hasattr(call, "running") and bool(call.running())

    def take_back(self, futures: list[CallFuture]) -> list[CallFuture]:
        """Take back those of these calls that no worker has taken, and return them."""
        free = set(self.withdraw([future._number for future in futures]))
        self.dispatcher.forget(list(free))
        return [future for future in futures if future._number in free]

    def nudge(self) -> None:
        """End the wait of whoever waits for answers."""
        self.dispatcher.answers.put((0, NUDGE, None, 0))
