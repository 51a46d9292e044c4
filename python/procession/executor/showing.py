"""`map` of an executor with `progress=`: what is shown is what workers have done, whatever was taken of it.

Futures are counted where they stand: calls are taken in the order in which they were submitted, so those that are done
lie in front, between few that are not. Nobody has to be told of each, which would cost more than a short call does.
"""

from __future__ import annotations

import threading
from collections import deque

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

    def __init__(self, total: int | None, workers: int) -> None:
        self.total = total
        self.submitted = 0
        self._done = self._failed = 0
        self._most_open = 2 * workers + 16  # not done, before those behind are looked at; arbitrary
        self._open: deque[tuple[Any, int]] = deque()
        self._lock = threading.Lock()

    def add(self, future: Any, items: int) -> None:
        """One that stands for so many items."""
        self._open.append((future, items))
        self.submitted += items

    def __call__(self) -> tuple[int, int, int | None]:
        with self._lock:
            still: list[tuple[Any, int]] = []
            while self._open and len(still) < self._most_open:
                future, items = self._open.popleft()
                if not future.done():
                    still.append((future, items))
                    continue
                self._done += items
                if future.cancelled() or future.exception() is not None:
                    self._failed += items
            self._open.extendleft(reversed(still))
            return self._done, self._failed, self.total


class _Shown:
    """The iterator."""

    def __init__(self, results: Iterator[Any], meter: Meter) -> None:
        self._results: Any = results
        self._meter = meter

    def __iter__(self) -> _Shown:
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
        if not self._meter.display.own:
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
    count = _Count(min(lengths, default=None), executor._max_workers)

    def watched(alive: Any, call: Any) -> Any:
        future = submit(alive, call)
        count.add(future, 1 if chunksize == 1 else len(call))
        return future

    meter = Meter(display, title, count)
    try:
        results = mapping.start(watched, executor, iterables, timeout, chunksize, buffersize)
    except BaseException:
        meter.stop()
        raise
    if buffersize is None:
        count.total = count.submitted
    if display.own:
        drive(meter, lambda: _look(meter, count))
    return _Shown(results, meter)


def _look(meter: Meter, count: _Count) -> bool:
    """In the thread: end with the last call, for who takes the results may not come to it."""
    done, _, total = count()
    if done == total:
        meter.end()
    return True
