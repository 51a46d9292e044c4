"""Tasks of one loop that wait for one thing stand in a line and are served in the order they came.

Only the first is ever woken; it tries to take what it came for, without blocking. Failing that (somebody else was
quicker) it stays the first. When it leaves, served or not, the next one is woken if there may be something for it.
"""

from __future__ import annotations

from collections import deque

from .alarm import Alarm, alarm_for, existing_alarm, is_time_to_breathe, running_loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from typing import Any

__all__ = ["Line", "NotYet", "in_line"]


class NotYet(Exception):
    """What was waited for has not come."""


class _Place:
    """Somebody in a line."""

    __slots__ = ("expired", "future")

    def __init__(self, future: asyncio.Future[None]) -> None:
        self.future = future
        self.expired = False

    def call(self) -> None:
        if not self.future.done():
            self.future.set_result(None)

    def expire(self) -> None:
        self.expired = True
        self.call()


class Line(Alarm):
    """The tasks of one loop that wait for one thing."""

    def __init__(self, loop: asyncio.AbstractEventLoop, thing: Any) -> None:
        super().__init__(loop, thing)
        self.places: deque[_Place] = deque()

    def is_wanted(self) -> bool:
        """Whether anybody waits."""
        return bool(self.places)

    def ring(self) -> None:
        """Wake the first."""
        if self.places:
            self.places[0].call()

    def may_have_more(self) -> bool:
        """When one was served: whether there may be something for the next, too."""
        return True

    def deserted(self) -> None:
        """The last one has left. The line stays for a moment, for the next."""

    async def take(
        self, attempt: Callable[[], Any], unready: type[Exception], timeout: float | None, tried: bool
    ) -> Any:
        """Wait for one's turn and make `attempt` until it does not raise `unready`; `tried`: it has just done so."""
        place, timer = _Place(self.loop.create_future()), None
        self.places.append(place)
        try:
            if not tried:
                self.loop.call_soon(self.ring)
            elif len(self.places) == 1:
                self.arm(afresh=True)
            if timeout is not None:
                timer = self.loop.call_later(timeout, place.expire)
            while True:
                await place.future
                if self.places[0] is not place:
                    raise unready(f"nothing came within {timeout} seconds")
                try:
                    return attempt()
                except unready:
                    if place.expired:
                        raise
                place.future = self.loop.create_future()
                self.arm()
        finally:
            if timer is not None:
                timer.cancel()
            self._leave(place)

    def _leave(self, place: _Place) -> None:
        was_first = self.places[0] is place
        self.places.remove(place)
        if not was_first or not self.is_ours:
            return
        if not self.places:
            self.deserted()
        elif running_loop() is self.loop:  # if not, a coroutine was thrown away; the next tick makes up for it
            self._pass_on()

    def _pass_on(self) -> None:
        if not self.may_have_more():
            try:
                self.arm(afresh=True)
                return
            except Exception:  # no descriptor is left, say: for the next to meet, not for the one that was served
                pass
        self.ring()


async def in_line(
    kind: type[Line], thing: Any, attempt: Callable[[], Any], unready: type[Exception], timeout: float | None
) -> Any:
    """What `attempt` gives: at once if it does and nobody waits for the same, otherwise in turn.

    Raises: `unready` after `timeout` seconds, whatever else `attempt` raises.
    """
    line: Line | None = existing_alarm(kind, thing)
    tried = not is_time_to_breathe()  # if it is: by way of the line, lest others come first meanwhile
    if tried and (line is None or not line.places):
        try:
            return attempt()
        except unready:
            if timeout is not None and timeout <= 0:
                raise
    line = line or alarm_for(kind, thing)
    return await line.take(attempt, unready, timeout, tried)
