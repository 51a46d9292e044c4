"""A synchronous map: tasks are made as answers come in, on the caller's thread.

So the ring stays short (its messages in the cache, memory bounded however long the input), and the size of a chunk can
follow the measured time of a task. Large arguments are copied when a worker will soon want them, into the blocks that
were read just now: those are warm, and few.
"""

from __future__ import annotations

from .. import _native
from ..errors import PicklingError
from .chunks import MOST_ITEMS, guided, next_size
from .results import AHEAD, MANY, STREAM, MapResult
from .supervisor import ANY

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from .supervisor import Supervisor

    Encode = Callable[[Any], object]

__all__ = ["feed", "path_of", "renamed", "submit_all"]

MOST_OUT = 4096  # items in tasks of given size that are out at a time, at least two for each worker
CHUNK_BYTES = 1 << 20  # arguments and results of a chunk; joining larger ones gains nothing, and holds up what is done


def name_culprit(
    error: PicklingError, payloads: Sequence[Any], name: str, first: int = 0, encode: Encode = _native.encode
) -> PicklingError:
    """The error again, with the path to the culprit beginning at the caller's argument."""
    for place, payload in enumerate(payloads):
        path = path_of(payload, encode)
        if path is not None:
            return renamed(error, f"{name}[{first + place}]{path}")
    return error


def path_of(obj: Any, encode: Encode = _native.encode) -> str | None:
    """The path inside `obj` to what cannot be pickled; None when it can."""
    try:
        encode(obj)
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


def _slices(items: Sequence[Any], first: int, sizes: Sequence[int]) -> list[list[Any]]:
    chunks = []
    for size in sizes:
        chunks.append(list(items[first : first + size]))
        first += size
    return chunks


def _submit(
    core: Supervisor,
    job: Any,
    kind: int,
    function: Any,
    items: Sequence[Any],
    first: int,
    sizes: Sequence[int],
    most_bytes: int = ANY,
) -> int:
    """Submit items from `first` on: in chunks of these sizes; with no MANY in `kind` one by one, sum(sizes) of them.

    Returns how many tasks went out: no further one is begun once `most_bytes` are reached.
    """
    payloads: Sequence[Any] = _slices(items, first, sizes) if kind & MANY else items[first : first + sum(sizes)]
    try:
        return core.submit(job, function, kind, first, payloads, most_bytes)
    except PicklingError as error:
        raise name_culprit(
            error, items[first : first + sum(sizes)], "items", first, core.engine.encode
        ) from error.__cause__


def submit_all(core: Supervisor, job: MapResult, function: Any, items: Sequence[Any], chunksize: int | None) -> None:
    """Submit everything now; nothing is known of the tasks' time, so default chunks only get smaller to the end."""
    total, kind = len(items), job._kind | job._limits.kind
    if chunksize == 1:
        _submit(core, job, kind, function, items, 0, [total])
        return
    sizes = list(guided(total, core.size)) if chunksize is None else _equal(total, chunksize)
    _submit(core, job, kind | MANY | STREAM, function, items, 0, sizes)


def _equal(total: int, size: int) -> list[int]:
    return [min(size, total - at) for at in range(0, total, size)]


def feed(
    core: Supervisor, job: MapResult, function: Any, items: Sequence[Any], chunksize: int | None, wait: Any = None
) -> None:
    """Submit everything bit by bit and return when the last task is out. Raises: PicklingError naming the item.

    `wait` takes the place of the supervisor's.
    """
    wait = wait or core.wait
    plan = _Adaptive(core, job) if chunksize is None else _Fixed(core, job, chunksize)
    kind = job._kind | job._limits.kind | (0 if chunksize == 1 else MANY | STREAM)
    at = out = 0
    total, registration, is_told = len(items), core.engine.registration, False
    try:
        while at < total:
            sizes = plan(total - at)
            tasks = _submit(core, job, kind, function, items, at, sizes, plan.most_bytes)
            at += sum(sizes[:tasks]) if kind & MANY else tasks
            out += tasks
            plan.submitted(tasks, at)
            if at < total:
                registration.expect(-(-(total - at) * out // max(at, 1)))
                is_told = True
                wait(plan.wants_more)
    finally:
        if is_told:
            registration.expect(0)


class _Plan:
    """How many tasks may go out now."""

    def __init__(self, core: Supervisor, job: MapResult) -> None:
        self._size, self._job = core.size, job
        self._tasks = self._items = 0  # submitted

    @property
    def most_bytes(self) -> int:
        """For the next tasks together; the one that exceeds it goes out too."""
        return max(1, AHEAD - self._job.bytes[0])

    def submitted(self, tasks: int, items: int) -> None:
        """So many tasks went out, so many items in all."""
        self._tasks += tasks
        self._items = items

    def _room(self, most: int) -> int:
        """Tasks of the bytes seen so far that may go out, at most `most`."""
        out, sent, _ = self._job.bytes
        if sent <= AHEAD:
            return most
        return max(self._size + 1 - self._job.outstanding, min(most, (AHEAD - out) * self._tasks // sent))


class _Fixed(_Plan):
    """Chunks of one size, some thousand items out at a time."""

    def __init__(self, core: Supervisor, job: MapResult, size: int) -> None:
        super().__init__(core, job)
        self._items_each = size
        self._window = max(2 * core.size, MOST_OUT // size)

    def wants_more(self) -> bool:
        outstanding = self._job.outstanding
        return outstanding <= self._size or (outstanding * 2 <= self._window and self._room(self._window) > 0)

    def __call__(self, left: int) -> list[int]:
        room = min(left, self._room(self._window - self._job.outstanding) * self._items_each)
        return [room] if self._items_each == 1 else _equal(room, self._items_each)


class _Adaptive(_Plan):
    """Chunks whose size follows the measured time; two or three for each worker out at a time."""

    def __init__(self, core: Supervisor, job: MapResult) -> None:
        super().__init__(core, job)
        self._pace = core.engine.pace
        self._seen = (0, 0)  # items and nanoseconds measured when sizes were last chosen
        self._recent = (0, 0)  # the same, of the time between the last two choices
        self._largest = 1  # chunk planned in the round before: it has been tried when this one is planned

    def wants_more(self) -> bool:
        return self._job.outstanding <= (self._pace.ahead - 1) * self._size

    def __call__(self, left: int) -> list[int]:
        items, nanos = self._job.measured
        if items > self._seen[0]:
            self._recent = items - self._seen[0], nanos - self._seen[1]
            self._seen = items, nanos
        most = self._most_items(items)
        sizes: list[int] = []
        for _ in range(self._room(self._pace.ahead * self._size - self._job.outstanding)):
            size = next_size(left, self._size, self._largest, *self._recent, most, self._pace)
            sizes.append(size)
            left -= size
            if left == 0:
                break
        self._largest = max(sizes)
        return sizes

    def _most_items(self, answered: int) -> int:
        """Items of the bytes seen so far that a chunk may have."""
        _, sent, come = self._job.bytes
        each = sent // max(1, self._items) + come // max(1, answered)
        return max(1, min(MOST_ITEMS, CHUNK_BYTES // max(1, each)))
