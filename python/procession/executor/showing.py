"""`map` of an executor with `progress=`: what is shown is what workers have done, whatever was taken of it.

Futures are counted where they stand: calls are taken in the order in which they were submitted, so those that are done
lie in front, between few that are not. Nobody has to be told of each, which would cost more than a short call does.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from functools import partial

from .._native import Job
from ..pool.progressing import length_of
from ..progress.displays import display_for
from ..progress.meters import Meter
from ..progress.ticking import drive
from . import mapping

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

__all__ = ["start_shown"]


class _Count:
    """Counts futures. One that is done is counted once, and not kept."""

    def __init__(self, total: int | None, workers: int, chunksize: int) -> None:
        self.total = total
        self.submitted = 0
        self._chunksize = chunksize
        self._short: tuple[Any, int] = (None, 0)  # the last one, with how many items it stands for
        self._done = self._failed = 0
        self._most_open = 2 * workers + 16  # not done, before those behind are looked at; arbitrary
        self._open: deque[Any] = deque()
        self._lock = threading.Lock()

    def add(self, future: Any, items: int) -> None:
        """One that stands for so many items."""
        if items != self._chunksize:
            self._short = future, items
        self._open.append(future)
        self.submitted += items

    def __call__(self) -> tuple[int, int, int | None]:
        with self._lock:
            still: list[Any] = []
            while self._open and len(still) < self._most_open:
                future = self._open.popleft()
                done, failed = future.tally if isinstance(future, Job) else (0, 0)
                if not done:  # a subclass's own, or one that nobody will answer
                    done = future.done()
                    failed = done and (future.cancelled() or future.exception() is not None)
                if not done:
                    still.append(future)
                    continue
                items = self._short[1] if future is self._short[0] else self._chunksize
                self._done += items
                if failed:
                    self._failed += items
            self._open.extendleft(reversed(still))
            return self._done, self._failed, self.total


class _Told:
    """The iterator, with what is told in the thread that takes the results."""

    def __init__(self, results: Iterator[Any], meter: Meter) -> None:
        self._results: Any = results
        self._meter = meter

    def __iter__(self) -> _Told:
        return self

    def __next__(self) -> Any:
        try:
            result = next(self._results)
        except StopIteration:
            self._meter.end()
            raise
        except BaseException:
            self._meter.stop()
            raise
        try:
            self._meter.tell()
        except BaseException:
            self._results.close()
            raise
        return result

    def close(self) -> None:
        """Cancel what no worker has taken."""
        self._results.close()
        self._meter.stop()

    def __del__(self) -> None:
        self._meter.stop()


def start_shown(
    progress: Any,
    title: str,
    submit: Callable[[Any, Any], Any],
    executor: Any,
    iterables: tuple[Iterable[Any], ...],
    timeout: float | None,
    chunksize: int,
    buffersize: int | None,
) -> Iterator[Any]:
    """As `mapping.start`, shown as `progress` says. Raises: TypeError for what that cannot be."""
    display = display_for(progress)
    if display is None:
        return mapping.start(submit, executor, iterables, timeout, chunksize, buffersize)
    lengths = [length for items in iterables if (length := length_of(items)) is not None]
    count = _Count(min(lengths, default=None), executor._max_workers, chunksize)

    def watched(alive: Any, call: Any) -> Any:
        future = submit(alive, call)
        count.add(future, 1 if chunksize == 1 else len(call))
        return future

    meter = Meter(display, title, count)
    over = meter.end if display.own else lambda: None
    try:
        results = mapping.start(watched, executor, iterables, timeout, chunksize, buffersize, over)
    except BaseException:
        meter.stop()
        raise
    if buffersize is None:
        count.total = count.submitted
    if not display.own:
        return _Told(results, meter)
    drive(meter, partial(_look, meter, count, weakref.ref(results)))
    return results


def _look(meter: Meter, count: _Count, results: weakref.ref[Any]) -> bool:
    """In the thread: end with the last call, for who takes the results may not come to it, and with the iterator."""
    done, _, total = count()
    if done == total:
        meter.end()
    return results() is not None
