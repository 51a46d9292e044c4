"""What a pool does with `progress=`: nothing of this is loaded by calls without it.

A job counts, natively, the items that are answered and those of them that failed, part by part of a chunk; here these
counts get to a meter. A map tells it while it waits, in the caller's thread. An iterator tells it when it is asked for
a result; a bar of ours is told by a thread meanwhile, so it moves with the workers however slow the consumer is. What
is shown is what the workers have done, not what was taken of it.
"""

from __future__ import annotations

import weakref
from contextlib import closing
from functools import partial
from time import monotonic

from ..errors import TimeoutError
from ..progress.displays import display_for
from ..progress.meters import Meter
from ..progress.ticking import drive
from . import mapping
from .iterators import IMapIterator, IMapUnorderedIterator
from .limits import PARTS, Limits
from .results import NO_LIMITS, ONE, MapResult, name_of

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any

    from ..progress.displays import Display
    from .supervisor import Supervisor

__all__ = ["ShownMapResult", "Tally", "length_of", "map_shown", "shown_imap", "title_of"]


def title_of(progress: Any, function: Any) -> str:
    """The title that the caller gave, or the name of the function; nothing for a lambda."""
    if isinstance(progress, str):
        return progress
    name = name_of(function).rpartition(".")[2]
    return "" if name == "<lambda>" else name


def length_of(items: Any) -> int | None:
    """How many, where that is known without reading them."""
    try:
        return len(items)
    except TypeError:
        return None


class Tally:
    """Counts of a call whose answers are counted here, where they are taken."""

    def __init__(self, total: int | None) -> None:
        self.done = self.failed = 0
        self.worked: int = 0  # of those done: by workers, in this run
        self.total = total

    def __call__(self) -> tuple[int, int, int | None]:
        return self.done, self.failed, self.total

    def counted(self, outcomes: Iterator[Any]) -> Iterator[Any]:
        """The same outcomes, of workers."""
        with closing(outcomes):  # type: ignore[type-var]  # a generator
            for outcome in outcomes:
                self.worked += 1
                yield outcome

    def meter(self, progress: Any, function: Any, *, resumes: bool = False) -> Meter | None:
        """What shows it, and must be told; None where nothing is to be shown. Raises: TypeError."""
        display = display_for(progress)
        if display is None:
            return None
        known = (lambda: self.done - self.worked) if resumes else (lambda: 0)
        meter = Meter(display, title_of(progress, function), self, known)
        if display.own:
            drive(meter)
        return meter


_PENDING = object()

# Whoever waits


def map_shown(
    core: Supervisor,
    job: MapResult,
    function: Any,
    items: Sequence[Any],
    chunksize: int | None,
    display: Any,
    title: str,
) -> Any:
    """What `map` does, and shows how far it is. Blocks until all results are there."""
    job._limits = _in_parts(job._limits, core)
    count = (0, 0)

    def read() -> tuple[int, int, int]:
        nonlocal count
        if core.error is None:  # what is lost with the pool was not done
            count = job.tally
        return (*count, len(items))

    with Meter(display, title, read) as meter:
        wait = partial(_wait, core, meter)
        mapping.feed(core, job, function, items, chunksize, wait)
        job.seal()
        wait(job._is_ready)
        meter.end()
        return job.get()


def _in_parts(limits: Limits, core: Supervisor) -> Limits:
    """Have threads, too, answer a chunk that takes long part by part. (Processes always do.)"""
    return Limits(limits.retries, limits.timeout, limits.kind | PARTS) if core.engine.method == "thread" else limits


def _wait(core: Supervisor, meter: Meter, ready: Callable[[], bool]) -> None:
    while not core.wait(ready, meter.due_in()):
        meter.tell()
    meter.tell()


# Nobody waits


class ShownMapResult(MapResult):
    """The result of a `map_async` that is shown. What shows it is told by a thread, up to the end.

    What a function given by the caller raises is what the call ends with; items that no worker has taken are not done.
    """

    __slots__ = ("_meter",)

    _meter: Meter

    def show(self, display: Display, progress: Any, total: int) -> None:
        """Begin to, before it is submitted."""
        this = weakref.ref(self)
        count = (0, 0)

        def read() -> tuple[int, int, int]:
            nonlocal count
            job = this()
            if job is not None and job._core.error is None:  # what is lost with the pool was not done
                count = job.tally
            return (*count, total)

        self._meter = Meter(display, title_of(progress, self._function), read)
        self._limits = _in_parts(self._limits, self._core)

    def submitted(self) -> None:
        """From now on: before, with nothing on its way, it would pass for done."""
        drive(self._meter, partial(_look_at_result, weakref.ref(self)))

    def stop_showing(self) -> None:
        """It could not be submitted."""
        self._meter.stop()

    def settled(self) -> tuple[bool, Any]:
        """As `AsyncResult`. The end is shown before anybody has the result."""
        if self._outcome is None:
            try:
                self._meter.end()
            except Exception as error:
                self._outcome = (False, error)
        return super().settled()

    def fail(self, error: Exception) -> None:
        """End now, with this error."""
        core, self._outcome = self._core, (False, error)
        numbers = core.dispatcher.numbers(self)
        core.engine.withdraw(numbers)
        for number in numbers:
            core.settle(number, error)
        core._wake_followers()


def _look_at_result(this: weakref.ref[ShownMapResult]) -> bool:
    """In the thread: take in what answers there are."""
    job = this()
    if job is None:
        return False  # nobody has it any more
    meter = job._meter
    if not job.done:
        job._core.look()
    try:
        meter.tell()
        if job.done:
            meter.end()
    except Exception as error:
        if job.done:
            job._outcome = (False, error)
        else:
            job.fail(error)
    return True


# Iterators


class _Shown:
    """A part of the iterators below."""

    __slots__ = ()

    _meter: Meter

    if TYPE_CHECKING:
        tally: tuple[int, int]
        done: bool
        has_arrived: bool
        _core: Supervisor
        _at: int
        _ready: dict[int, Any]

        def abandon(self) -> None: ...
        def _may_go_on(self) -> bool: ...

    def show(self, display: Display, progress: Any, function: Any, iterable: Iterable[Any]) -> None:
        """Begin to, before anything is submitted."""
        this, given = weakref.ref(self), length_of(iterable)
        count: tuple[int, int, int | None] = (0, 0, given)

        def read() -> tuple[int, int, int | None]:
            nonlocal count
            job = this()
            if job is not None and getattr(getattr(job, "_core", None), "error", None) is None:
                exhausted = getattr(job, "_input", iterable) is None
                count = (*job.tally, job._at if exhausted else given)
            return count

        self._meter = Meter(display, title_of(progress, function), read)  # type: ignore[misc]  # the slot is below
        if display.own:
            drive(self._meter, partial(_look_at_iterator, this))

    def begin(
        self,
        core: Supervisor,
        function: Any,
        iterable: Any,
        chunksize: int,
        limits: Limits = NO_LIMITS,
        kind: int = ONE,
    ) -> Any:
        """As `IMapIterator`."""
        limits = _in_parts(limits, core)
        try:
            return super().begin(core, function, iterable, chunksize, limits, kind)  # type: ignore[misc]
        except BaseException:
            self._meter.stop()
            raise


class _Drawn(_Shown):
    """With a bar of ours: the thread draws it, and taking a result costs what it costs without.

    The thread also sees when nobody has the iterator any more. (A `__del__` could run in the middle of a drawing.)
    """

    __slots__ = ()

    def _choose(self) -> int:
        """As `IMapIterator`; when there is nothing to choose any more the bar ends, before the loop does."""
        if self.done and not self._ready and not self.has_arrived:
            self._meter.end()
        chosen: int = super()._choose()  # type: ignore[misc]
        return chosen


class _Told(_Shown):
    """With what is told in the consumer's thread."""

    __slots__ = ()

    def next_nowait(self, pending: Any) -> Any:
        """As `IMapIterator`. Raises also what a function given as `progress=` raises: then this is the end."""
        try:
            result = super().next_nowait(pending)  # type: ignore[misc]
        except StopIteration:
            self._meter.end()
            raise
        if monotonic() >= self._meter.due:
            self._tell()
        return result

    def next(self, timeout: float | None = None) -> Any:
        """As `IMapIterator`, and as `next_nowait`."""
        end = None if timeout is None else monotonic() + timeout
        try:
            while (result := self.next_nowait(_PENDING)) is _PENDING:
                due = self._meter.due_in()
                if not self._core.wait(self._may_go_on, due if end is None else min(due, end - monotonic())):
                    if end is not None and monotonic() >= end:
                        raise TimeoutError(f"{self!r} gave nothing within {timeout} seconds")
                    self._tell()
            return result
        except (KeyboardInterrupt, SystemExit):
            self._meter.stop()  # now: a traceback may be printed while it keeps this iterator
            raise

    __next__ = next

    def _tell(self) -> None:
        try:
            self._meter.tell()
        except BaseException:
            self.abandon()
            raise

    def __del__(self) -> None:
        meter = getattr(self, "_meter", None)
        if meter is not None:
            meter.stop()


class _DrawnInOrder(_Drawn, IMapIterator):
    __slots__ = ("_meter",)


class _DrawnUnordered(_Drawn, IMapUnorderedIterator):
    __slots__ = ("_meter",)


class _ToldInOrder(_Told, IMapIterator):
    __slots__ = ("_meter",)


class _ToldUnordered(_Told, IMapUnorderedIterator):
    __slots__ = ("_meter",)


def shown_imap(pool: Any, in_order: bool, display: Display) -> Any:
    """The iterator of an `imap` that is shown; `show` comes next, then `begin`."""
    if display.own:
        return (_DrawnInOrder if in_order else _DrawnUnordered)(pool)
    return (_ToldInOrder if in_order else _ToldUnordered)(pool)


def _look_at_iterator(this: weakref.ref[Any]) -> bool:
    """In the thread: take in what answers there are."""
    job = this()
    if job is None:
        return False
    core = getattr(job, "_core", None)
    if core is not None:  # it has begun
        core.look()
    if job.done:
        job._meter.end()
    return True
