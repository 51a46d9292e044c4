"""Waiting until something can be received from one of several things: `connection.wait`.

Unlike the standard library's it knows things that stand on a ring in shared memory. Such a thing has, besides its
`fileno()`, a method `_is_ready(woken)`: whether receiving from it would not block. It is asked before the first sleep
and ten times a second (`woken` false: a look at the ring, without a system call), since a sender may have been killed
between putting a message and making the descriptor readable; and when its descriptor is readable (`woken` true), since
another process may have taken the message.
"""

from __future__ import annotations

import select
from time import monotonic

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

__all__ = ["wait"]

_SLICE_S = 0.1  # longest sleep while there is a thing on a ring


def wait(object_list: Iterable[Any], timeout: float | None = None) -> list[Any]:
    """Wait until something can be received from one of these, or for `timeout` seconds (None: for ever); return those.

    Takes connections of both kinds, sockets, queues' `_reader`, sentinels, descriptors and whatever has a `fileno()`.

    Raises: ValueError for what has no descriptor; OSError for a connection that is closed.
    """
    objects = list(object_list)
    descriptors = [_descriptor(obj) for obj in objects]
    on_rings = [getattr(obj, "_is_ready", None) for obj in objects]
    longest = _SLICE_S if any(on_rings) else None
    poller = select.poll()
    for fd in descriptors:
        poller.register(fd, select.POLLIN)
    deadline = None if timeout is None else monotonic() + timeout
    left = 0.0 if any(is_ready and is_ready(False) for is_ready in on_rings) else timeout
    while True:
        slice_s = longest if left is None else left if longest is None else min(left, longest)
        readable = {fd for fd, _ in poller.poll(None if slice_s is None else max(0.0, slice_s) * 1000)}
        ready = [
            obj
            for obj, fd, is_ready in zip(objects, descriptors, on_rings, strict=True)
            if (fd in readable if is_ready is None else is_ready(fd in readable))
        ]
        left = None if deadline is None else deadline - monotonic()
        if ready or (left is not None and left <= 0):
            return ready


def _descriptor(obj: Any) -> int:
    """The descriptor to wait for."""
    if isinstance(obj, int):
        fd = obj
    else:
        try:
            fd = int(obj.fileno())
        except (AttributeError, TypeError, ValueError):
            raise ValueError(f"cannot wait for {obj!r}: it has no descriptor") from None
    if fd < 0:
        raise ValueError(f"cannot wait for {obj!r}: its descriptor is {fd}")
    return fd
