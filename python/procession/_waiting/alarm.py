"""An alarm rings in one event loop: when a descriptor becomes readable, and every so often anyway.

It outlives the last who waits until its next tick, since the next wait often comes soon. Only the loop holds it then
(by its reader and its tick), so it goes with the loop, and its descriptor with it.

After a fork in a program whose loop runs, the child must not touch that loop: they share one epoll. So an alarm knows
its process.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from weakref import WeakValueDictionary

from ..errors import NotSupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Alarm", "alarm_for", "breathe", "existing_alarm", "is_time_to_breathe", "running_loop"]

RECHECK_S = 0.1  # a wake-up that was lost is made up for within this time
FIRST_PAUSE_S = 0.001  # between two looks, where nothing wakes the loop; doubles
LONGEST_PAUSE_S = 0.05
AT_ONCE = 64  # waits that need not wait before one lets the rest of the loop run: quick producers must not starve it

_alarms: WeakValueDictionary[tuple[int, int, type], Any] = WeakValueDictionary()  # by loop, thing and kind
_calls = itertools.count(1)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The loop that runs in this thread."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def existing_alarm(kind: type[Any], thing: Any) -> Any:
    """The alarm for something in the running loop, if there is one. Raises: RuntimeError when no loop runs."""
    return _alarms.get((id(asyncio.get_running_loop()), id(thing), kind))


def alarm_for(kind: type[Any], thing: Any) -> Any:
    """The same, made if need be. Those who wait must hold it."""
    alarm = existing_alarm(kind, thing)
    if alarm is None:
        loop = asyncio.get_running_loop()
        alarm = _alarms[id(loop), id(thing), kind] = kind(loop, thing)
    return alarm


def is_time_to_breathe() -> bool:
    """Whether the rest of the loop must run before the next wait that need not wait."""
    return next(_calls) % AT_ONCE == 0


async def breathe() -> None:
    """Let the rest of the loop run, now and then."""
    if is_time_to_breathe():
        await asyncio.sleep(0)


class Alarm:
    """Calls `ring` in its loop. All its methods are for that loop's thread."""

    period_s: float | None = RECHECK_S  # between ticks while there is a descriptor; None: none are needed

    def __init__(self, loop: asyncio.AbstractEventLoop, thing: Any) -> None:
        self.loop, self.thing = loop, thing
        self._pid = os.getpid()
        self._fd = self._original = -1  # our duplicate, and of what
        self._reading = self._ticking = False
        self._delay_s: float | None = None  # until the next tick
        self._round = 0  # of ticks; those of an earlier one are void

    def __del__(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    def descriptor(self) -> int | None:
        """What is readable when there may be something, and is not right now unless there is.

        None: somebody calls `ring`. -1: there is no such thing, so look now and then.
        """
        return -1

    def is_wanted(self) -> bool:
        """Whether anybody waits."""
        raise NotImplementedError

    def ring(self) -> None:
        """There may be something."""
        raise NotImplementedError

    @property
    def is_ours(self) -> bool:
        """Whether this is the process of the loop, not one forked from it."""
        return self._pid == os.getpid()

    def arm(self, afresh: bool = False) -> None:
        """Ring from now on when there is something. `afresh`: things have just changed, so look soon.

        Raises: NotSupported for a loop that cannot watch descriptors; OSError when descriptors run out.
        """
        fd = self.descriptor()
        if fd == -1:
            self.ignore()
            if afresh or self._delay_s is None:
                self._delay_s = FIRST_PAUSE_S
        else:
            if fd is not None:
                self._listen(fd)
            self._delay_s = self.period_s
        if (afresh and fd == -1) or not self._ticking:
            self._schedule()

    def ignore(self) -> None:
        """Do not listen to the descriptor until `arm`."""
        if self._reading and self.is_ours and not self.loop.is_closed():
            self.loop.remove_reader(self._fd)
        self._reading = False

    def stop(self) -> None:
        """Nobody waits any more: give back the descriptor."""
        self._round += 1
        self._ticking = False
        self._close()

    def _close(self) -> None:
        self.ignore()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = self._original = -1

    def _listen(self, fd: int) -> None:
        if fd != self._original:
            self._close()
            self._fd, self._original = os.dup(fd), fd
        if self._reading:
            return
        try:
            self.loop.add_reader(self._fd, self._on_readable)
        except NotImplementedError:
            raise NotSupported(
                f"{type(self.loop).__name__} cannot watch descriptors (it has no add_reader): use a selector event "
                "loop or uvloop, or the blocking call in a thread (asyncio.to_thread)"
            ) from None
        self._reading = True

    def _on_readable(self) -> None:
        if self.is_wanted():
            self.ring()
        else:
            self.ignore()

    def _schedule(self) -> None:
        self._ticking = self._delay_s is not None
        if self._delay_s is not None:
            self._round += 1
            self.loop.call_later(self._delay_s, self._tick, self._round)

    def _tick(self, of_round: int) -> None:
        if of_round != self._round:
            return
        if not self.is_wanted():
            self.stop()
            return
        if not self._reading and self._delay_s is not None and self._delay_s < LONGEST_PAUSE_S:
            self._delay_s = min(2 * self._delay_s, LONGEST_PAUSE_S)
        self._schedule()
        self.ring()
