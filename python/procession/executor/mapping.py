"""`map` of an executor: futures in the order of the items, all at once or a bounded number ahead.

An iterator that ends early, or is dropped, cancels what is left. It keeps no result that it gave, and not the executor.
"""

from __future__ import annotations

import weakref
from collections import deque
from itertools import islice
from time import monotonic

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

__all__ = ["start"]


def start(
    submit: Callable[[Any, Any], Any],
    executor: Any,
    iterables: tuple[Iterable[Any], ...],
    timeout: float | None,
    chunksize: int,
    buffersize: int | None,
    over: Callable[[], object] = lambda: None,
) -> Iterator[Any]:
    """Submit the first calls (all, if there is no buffersize) and return the iterator over the results.

    `submit(executor, call)` gives a future; `call` is a tuple of arguments, or of more than one a list of such.
    `over` is called when the iterator has given its last result, or ends early.
    """
    deadline = None if timeout is None else monotonic() + timeout
    items = zip(*iterables, strict=False)
    calls: Iterator[Any] = items if chunksize == 1 else _chunks(items, chunksize)
    if buffersize is None:
        futures = deque(submit(executor, call) for call in calls)
        calls = iter(())
    else:
        futures = deque(submit(executor, call) for call in islice(calls, buffersize))
    more = lambda alive: [submit(alive, call) for call in islice(calls, 1)]
    results = _results(futures, deadline, more, weakref.ref(executor), over)
    return results if chunksize == 1 else _flat(results)


def _chunks(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while chunk := list(islice(items, size)):
        yield chunk


def _results(
    futures: deque[Any],
    deadline: float | None,
    more: Callable[[Any], list[Any]],
    executor: weakref.ref[Any],
    over: Callable[[], object],
) -> Iterator[Any]:
    try:
        while futures:
            if (alive := executor()) is not None:
                futures.extend(more(alive))
            del alive
            yield _result(futures.popleft(), deadline)
    finally:
        for future in futures:
            future.cancel()
        over()


def _result(future: Any, deadline: float | None) -> Any:
    """The result, and no reference to the future left; one whose result did not come in time is cancelled."""
    try:
        return future.result(None if deadline is None else deadline - monotonic())
    except BaseException:
        future.cancel()
        raise
    finally:
        del future


def _flat(chunks: Iterator[list[Any]]) -> Iterator[Any]:
    """The items of lists, of which none is kept."""
    for chunk in chunks:
        chunk.reverse()
        while chunk:
            yield chunk.pop()
