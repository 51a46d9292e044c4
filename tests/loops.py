"""What the tests of waiting in event loops share."""

import asyncio
import contextlib
import gc
import logging
import os
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from procession._waiting import alarm
from procession.testing import wait_until


class _Kept(logging.Handler):
    """Keeps what asyncio complains of."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.records: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record.getMessage())


@contextlib.contextmanager
def no_complaints() -> Iterator[None]:
    """Loops log nothing, not even in debug mode."""
    kept, logger = _Kept(), logging.getLogger("asyncio")
    logger.addHandler(kept)
    try:
        yield
    finally:
        logger.removeHandler(kept)
    assert not kept.records


def run(main: Coroutine[Any, Any, Any], watchdog_s: float = 30) -> Any:
    """Run it in a fresh loop in debug mode; a hang ends with a TimeoutError."""

    async def watched() -> Any:
        asyncio.get_running_loop().slow_callback_duration = 30  # the machine may be busy
        return await asyncio.wait_for(main, watchdog_s)

    with no_complaints():
        return asyncio.run(watched(), debug=True)


async def until(condition: Callable[[], object]) -> None:
    """Let the loop run until the condition holds."""
    while not condition():
        await asyncio.sleep(0.001)


async def turns(count: int) -> None:
    """Let the loop go round so many times."""
    for _ in range(count):
        await asyncio.sleep(0)


def in_line(thing: Any) -> int:
    """How many tasks wait for it, in all loops."""
    return sum(len(line.places) for line in list(alarm._alarms.values()) if line.thing is thing)


async def waiting(thing: Any, count: int = 1) -> None:
    """Return once so many tasks wait for it."""
    await until(lambda: in_line(thing) == count)


def waiting_from_outside(thing: Any, count: int = 1) -> None:
    """The same for another thread than the loop's."""
    wait_until(lambda: in_line(thing) == count)


def descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


async def ticking(counts: list[int]) -> None:
    """Counts how often the loop goes round."""
    while True:
        counts[0] += 1
        await asyncio.sleep(0)


def put_when(event: Any, queue: Any, items: list[Any]) -> None:
    """A producer."""
    event.wait()
    for item in items:
        queue.put(item)
