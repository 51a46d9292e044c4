"""A synchronous map: tasks are made as answers come in, on the caller's thread.

So the ring stays short (its messages in the cache, memory bounded however long the input), and the size of a chunk can
follow the measured time of a task.
"""

from __future__ import annotations

from ..errors import PicklingError
from .chunks import guided, next_size
from .results import MANY, MapResult

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .supervisor import Supervisor

__all__ = ["drop", "feed", "path_of", "renamed", "submit_all"]

MOST_OUT = 4096  # items in tasks of given size that are out at a time, at least two for each worker


def name_culprit(error: PicklingError, payloads: Sequence[Any], name: str, first: int = 0) -> PicklingError:
    """The error again, with the path to the culprit beginning at the caller's argument."""
    for place, payload in enumerate(payloads):
        path = path_of(payload)
        if path is not None:
            return renamed(error, f"{name}[{first + place}]{path}")
    return error


def path_of(obj: Any) -> str | None:
    """The path inside `obj` to what cannot be pickled; None when it can."""
    from .. import _native

    try:
        _native.encode(obj)
    except PicklingError as error:
        return error.path or ""
    return None


def renamed(error: PicklingError, path: str) -> PicklingError:
    """The error again, saying that what it is about is at `path`."""
    message, before = str(error), f" at {error.path}: "
    if error.path and before in message:
        message = message.replace(before, f" at {path}: ", 1)
    else:
        message = f"{message} (in {path})"
    again = type(error)(message, path=path)
    again.__cause__ = error.__cause__
    return again


def drop(core: Supervisor, job: Any) -> None:
    """The caller left: nobody wants the answers."""
    core.dispatcher.forget(core.dispatcher.numbers(job))


def _slices(items: Sequence[Any], first: int, sizes: Sequence[int]) -> list[list[Any]]:
    chunks = []
    for size in sizes:
        chunks.append(list(items[first : first + size]))
        first += size
    return chunks


def _submit(
    core: Supervisor, job: Any, kind: int, function: Any, items: Sequence[Any], first: int, sizes: Sequence[int]
) -> None:
    """Submit items from `first` on: in chunks of these sizes; with no MANY in `kind` one by one, sum(sizes) of them."""
    payloads: Sequence[Any] = _slices(items, first, sizes) if kind & MANY else items[first : first + sum(sizes)]
    try:
        core.submit(job, function, kind, first, payloads)
    except PicklingError as error:
        raise name_culprit(error, items[first : first + sum(sizes)], "items", first) from error.__cause__


def submit_all(
    core: Supervisor, job: MapResult, kind: int, function: Any, items: Sequence[Any], chunksize: int | None
) -> None:
    """Submit everything now; nothing is known of the tasks' time, so default chunks only get smaller to the end."""
    total = len(items)
    if chunksize == 1:
        _submit(core, job, kind, function, items, 0, [total])
        return
    sizes = list(guided(total, core.size)) if chunksize is None else _equal(total, chunksize)
    _submit(core, job, kind | MANY, function, items, 0, sizes)


def _equal(total: int, size: int) -> list[int]:
    return [min(size, total - at) for at in range(0, total, size)]


def feed(
    core: Supervisor, job: MapResult, kind: int, function: Any, items: Sequence[Any], chunksize: int | None
) -> None:
    """Submit everything bit by bit and return when the last task is out. Raises: PicklingError naming the item."""
    plan: _Adaptive | _Fixed
    if chunksize is None:
        plan, kind = _Adaptive(core, job, len(items)), kind | MANY
    else:
        plan = _Fixed(core, job, chunksize)
        kind = kind if chunksize == 1 else kind | MANY
    at, total = 0, len(items)
    while at < total:
        sizes = plan(total - at)
        _submit(core, job, kind, function, items, at, sizes)
        at += sum(sizes)
        if at < total:
            core.wait(plan.wants_more)


class _Fixed:
    """Chunks of one size, some thousand items out at a time."""

    def __init__(self, core: Supervisor, job: MapResult, size: int) -> None:
        self._job, self._size = job, size
        self._window = max(2 * core.size, MOST_OUT // size)

    def wants_more(self) -> bool:
        return self._job.outstanding * 2 <= self._window

    def __call__(self, left: int) -> list[int]:
        room = min(left, (self._window - self._job.outstanding) * self._size)
        return [room] if self._size == 1 else _equal(room, self._size)


class _Adaptive:
    """Chunks whose size follows the measured time; two for each worker out at a time."""

    def __init__(self, core: Supervisor, job: MapResult, total: int) -> None:
        self._core, self._job = core, job
        self._seen = (0, 0)  # items and nanoseconds measured when sizes were last chosen
        self._recent = (0, 0)  # the same, of the time between the last two choices
        self._largest = 1  # chunk planned in the round before: it has been tried when this one is planned

    def wants_more(self) -> bool:
        return self._job.outstanding <= self._core.size

    def __call__(self, left: int) -> list[int]:
        items, nanos = self._job.measured
        if items > self._seen[0]:
            self._recent = items - self._seen[0], nanos - self._seen[1]
            self._seen = items, nanos
        sizes: list[int] = []
        for _ in range(2 * self._core.size - self._job.outstanding):
            size = next_size(left, self._core.size, self._largest, *self._recent)
            sizes.append(size)
            left -= size
            if left == 0:
                break
        self._largest = max(sizes)
        return sizes
