"""What is a name at Dask's scheduler: how such an object comes to a connection, asks, waits, and is sent elsewhere.

In the program that makes it the connection is the cluster's client. Elsewhere it is looked for: in a task it is the
worker's own client, and an object that went to a worker and back finds the cluster by the name that it left with.
"""

# mypy: disallow-untyped-calls=false
# (much of Dask has no types)

from __future__ import annotations

import contextlib
import math
import threading
import time

import distributed

from ...errors import ClusterLost, ObjectGone
from ..shipping import dumps_back
from .joining import client_of

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["Named", "within"]

SLICE_S = 1.0  # the longest that the scheduler waits for somebody who has not asked again

_opening = threading.Lock()  # of one object by two threads


class Named:
    """A name that the scheduler knows."""

    _opened: Any = None  # the client
    _dumps: Callable[[Any], bytes] = staticmethod(dumps_back)

    def __init__(self, name: str, home: str) -> None:
        """`home`: the cluster's name in the program that makes this."""
        self.name, self._home = name, home

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} on dask>"

    def _begin(self, client: Any) -> Callable[[], object]:
        """In the program that makes it. What will end it."""
        raise NotImplementedError

    def _open(self, client: Any) -> None:
        self._opened = client

    @property
    def _client(self) -> Any:
        """Who made this brought one, in a task it is the worker's."""
        if self._opened is None:
            client = _client_here(self._home)
            with _opening:
                if self._opened is None:
                    self._open(client)
        return self._opened

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self.name, self._home, *self._facts())

    def _facts(self) -> tuple[Any, ...]:
        return ()

    def _ask(self, question: Callable[..., Any] | str, *details: Any, **named: Any) -> Any:
        """What the scheduler answers: one of its handlers, or a function of ours that runs there.

        Raises: ClusterLost; ObjectGone when it does not know the name.
        """
        client = self._client
        if client.status != "running":
            raise self._lost()
        try:
            if callable(question):
                return client.run_on_scheduler(question, self.name, *details)
            return client.sync(getattr(client.scheduler, question), name=self.name, **named)
        except OSError as error:
            raise self._lost(error) from error
        except KeyError as error:
            raise ObjectGone(f"the scheduler knows no {type(self).__name__} {self.name!r} any more") from error

    def _lost(self, error: BaseException | None = None) -> ClusterLost:
        why = f": {error}" if error is not None else ""
        return ClusterLost(
            f"{self!r} is out of reach, the connection to {self._home} has ended{why}", cluster=self._home
        )


def _again(cls: Any, name: str, home: str, *facts: Any) -> Named:
    """Where one is unpickled: in a task, whose worker is known then, or elsewhere, where that may come to be known."""
    made: Named = cls(name, home, *facts)
    with contextlib.suppress(ClusterLost):
        made._client  # noqa: B018
    return made


def _client_here(home: str) -> Any:
    try:
        distributed.get_worker()
    except ValueError:
        return client_of(home)
    return distributed.get_client()


def within(attempt: Callable[[float], Any], block: bool, timeout: float | None) -> Any:
    """Attempt again and again, for as many seconds each time as it is told; what it says at last, true if it has it."""
    wait = (math.inf if timeout is None else max(0.0, timeout)) if block else 0.0
    deadline = time.monotonic() + wait
    while True:
        left = max(0.0, min(SLICE_S, deadline - time.monotonic()))
        got = attempt(left)
        if got or time.monotonic() >= deadline:
            return got
