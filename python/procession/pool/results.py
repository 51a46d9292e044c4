"""What the methods of a pool return: handles on results that are still to come.

A handle is a native `Job` (results in their places, a count of what is out) with a way to wait for it. Whoever waits
reads answers for everybody; see `supervisor`. Failures are kept as they came and made into exceptions when asked for.
"""

from __future__ import annotations

import pickle
import threading
from itertools import islice

from .. import _native
from .._blame import shorten
from ..errors import PicklingError, RemoteTraceback, TimeoutError, UnpicklingError
from .functions import main_is_typed_in
from .state import DIED, UNSENDABLE, VALUE

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from .supervisor import Supervisor

__all__ = ["AsyncResult", "IMapIterator", "IMapUnorderedIterator", "MapResult"]

# What a task does with its object; see crates/python/src/pool.rs
CALL, ONE, STAR, MANY = 0, 1, 2, 4

READ_AHEAD = 64  # tasks of an imap on their way or waiting to be given; 8 for each worker if that is more
AHEAD = 64 << 20  # bytes of tasks and of answers likewise; more only for a task in each worker and one to come


def name_of(function: Any) -> str:
    """How messages call a function."""
    return getattr(function, "__qualname__", None) or shorten(function)


_MAIN_ADVICE = (
    "; it is defined in the main module, which was read from standard input or a prompt: a new interpreter cannot "
    "import it. Save the program in a file, use get_context('fork'), or (for functions) install cloudpickle"
)


def _advise(error: BaseException) -> None:
    """Say what to do where workers lack something of a main module that they cannot import."""
    if isinstance(error, UnpicklingError) and isinstance(error, AttributeError):
        message = str(error)
        if "module '__main__'" in message and main_is_typed_in():
            error.args = (message + _MAIN_ADVICE,)


def failure(status: int, told: Any, what: str) -> BaseException:
    """The exception for a task that did not return. `told` is what came back, `what` names the task."""
    if isinstance(told, BaseException):
        return told  # a thread's own, or made here
    pickled, reason, shown, text = told
    error: BaseException
    if status == UNSENDABLE:
        from .unsendable import unsendable_result

        error = unsendable_result(reason, shown, what)
    elif pickled is None:
        from .unsendable import unsendable_exception

        error = unsendable_exception(reason, shown, what)
    else:
        try:
            error = pickle.loads(pickled)
        except Exception as again:
            error = UnpicklingError(f"{what} raised {shown}, which cannot be rebuilt here: {again}")
        else:
            _advise(error)
    error.__cause__ = RemoteTraceback(text)
    return error


class AsyncResult(_native.Job):
    """The result of one call, perhaps still to come."""

    __slots__ = ("__weakref__", "_callbacks", "_core", "_function", "_given", "_outcome")

    _callbacks: tuple[Callable[..., Any] | None, Callable[..., Any] | None] | None
    _core: Supervisor
    _function: Any
    _given: Any
    _outcome: tuple[bool, Any] | None

    def __repr__(self) -> str:
        state = "ready" if self.ready() else f"{self.outstanding} tasks out"
        return f"<{type(self).__name__} of {name_of(self._function)} ({state})>"

    def ready(self) -> bool:
        """Whether the result is there, and its callback has run."""
        return self.done and self._callbacks is None

    def successful(self) -> bool:
        """Whether the call ended without an exception. Raises: ValueError when it is not ready."""
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        return self.settled()[0]

    def wait(self, timeout: float | None = None) -> None:
        """Block until the result is there, or for `timeout` seconds. The death of a worker ends the waiting too."""
        if not self.ready():
            self._core.wait(self.ready, timeout)

    def get(self, timeout: float | None = None) -> Any:
        """Return what the call returned, or raise what it raised, with the worker's traceback as `__cause__`.

        Blocks until it is there, or for `timeout` seconds. Raises: TimeoutError when it is not; WorkerDied when its
        worker ended without an answer; PoolBroken, PoolTerminated when the pool did.
        """
        if not (self.done and self._callbacks is None) and not self._core.wait(self.ready, timeout):
            raise TimeoutError(f"{self!r} gave nothing within {timeout} seconds")
        success, value = self._outcome or self.settled()
        if success:
            return value
        raise value

    def settled(self) -> tuple[bool, Any]:
        """Success, and the value or the exception. Only when everything has been answered."""
        if self._outcome is None:
            if self.has_arrived:
                index, items, status, told = min(self.take(), key=lambda arrival: arrival[0])
                self._outcome = False, failure(status, told, self.describe(index, items))
            else:
                self._outcome = True, self._value()
            self._given = None
        return self._outcome

    def _value(self) -> Any:
        return self.value

    def describe(self, index: int, items: int, offset: int = 0) -> str:
        """Name a task for a message."""
        given = self._given
        if given is None:
            return name_of(self._function)
        args, kwargs = given
        parts = [shorten(value) for value in args] + [f"{name}={shorten(value)}" for name, value in kwargs.items()]
        return f"{name_of(self._function)}({', '.join(parts)})"


class MapResult(AsyncResult):
    """The results of one function over many items, as a list in the order of the items."""

    __slots__ = ()

    def _value(self) -> Any:
        return self.values

    def describe(self, index: int, items: int, offset: int = 0) -> str:
        """Name a task, or an item of it, for a message."""
        item = describe_item(self._given, index + offset)
        return f"{name_of(self._function)}({item}), item {index + offset}"


def describe_item(items: Any, index: int) -> str:
    """An item's repr, shortened; dots when the items are not known any more."""
    try:
        return shorten(items[index])
    except (TypeError, LookupError):
        return "…"


class IMapIterator(_native.Job):
    """Results in the order of the input, which is read only so far ahead: 64 tasks, or 8 for each worker if more.

    Of large arguments and results fewer: about 64 MiB, but always a task for each worker and one in reserve.
    """

    __slots__ = (
        "__weakref__",
        "_at",
        "_callbacks",
        "_chunksize",
        "_core",
        "_current",
        "_function",
        "_input",
        "_kept",
        "_lock",
        "_next",
        "_ready",
        "_window",
    )

    def begin(self, core: Supervisor, function: Any, iterable: Any, chunksize: int) -> IMapIterator:
        """Submit the first tasks. Raises: TypeError for what is not iterable, PicklingError for the function."""
        core.engine.functions.address(function)
        self._core, self._function, self._chunksize = core, function, chunksize
        self._callbacks = None
        self._input: Iterator[Any] | None = iter(iterable)
        self._at = 0  # items read
        self._kept: dict[int, Any] = {}  # what was sent and is not answered, by the index of its first item
        self._ready: dict[int, Any] = {}  # answers not given yet, in the order they came
        self._current: Iterator[Any] = iter(())  # results of the chunk now being given
        self._next = 0
        self._window = max(READ_AHEAD, 8 * core.size)
        self._lock = threading.RLock()
        core.feeding.add(self)
        self._feed()
        return self

    def __iter__(self) -> IMapIterator:
        return self

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {name_of(self._function)} ({self._at} items read)>"

    def next(self, timeout: float | None = None) -> Any:
        """The next result. Blocks until it is there, or for `timeout` seconds.

        Raises: what the function raised for that item (the iteration may go on behind it); StopIteration at the end;
        TimeoutError, and then nothing is lost.
        """
        while True:
            with self._lock:
                for result in self._current:
                    return result
                for arrival in self.take():
                    self._ready[arrival[0]] = arrival
                self._feed()
                index = self._choose()
                if index in self._ready:
                    return self._give(*self._ready.pop(index))
                if self.done and not self.has_arrived and not self._ready:
                    raise StopIteration
            if not self._core.wait(self._may_go_on, timeout):
                raise TimeoutError(f"{self!r} gave nothing within {timeout} seconds")

    __next__ = next

    def describe(self, index: int, items: int, offset: int = 0) -> str:
        """Name a task, or an item of it, for a message."""
        kept = self._kept.get(index)
        item = describe_item(kept, offset) if items else shorten(kept)
        return f"{name_of(self._function)}({item}), item {index + offset}"

    def feed_all(self) -> None:
        """Submit all that is left: the pool is closed and joined."""
        with self._lock:
            while self._input is not None:
                self._submit(self._window)

    def abandon(self) -> None:
        """Nobody wants more of it."""
        with self._lock:
            self._input = None
            self._core.feeding.discard(self)
            self._core.dispatcher.forget(self._core.dispatcher.numbers(self))

    def _choose(self) -> int:
        """Which answer to give next."""
        return self._next

    def _may_go_on(self) -> bool:
        return self.has_arrived or self.done

    def _give(self, index: int, items: int, status: int, told: Any) -> Any:
        self._next = index + max(items, 1)
        if status != VALUE:
            what = self.describe(index, items)
            self._kept.pop(index, None)
            raise failure(status, told, what)
        self._kept.pop(index, None)
        if not items:
            return told
        self._current = iter(told)
        return next(self._current)

    def _feed(self) -> None:
        """Read on when less than half of the tasks allowed are on their way or wait to be given."""
        while self._input is not None:
            window = self._allowed()
            room = window - self.outstanding - len(self._ready)
            if 2 * room <= window:
                return
            self._submit(room)

    def _allowed(self) -> int:
        """Tasks that may be on their way or wait: few until it is known how large they are, and few large ones."""
        least = min(self._core.size + 1, self._window)
        tasks = -(-self._at // self._chunksize)
        if not tasks:
            return least
        _, sent, come = self.bytes
        each = (sent + come) // tasks
        return max(least, min(self._window, AHEAD // max(each, 1)))

    def _submit(self, tasks: int) -> None:
        items: list[Any] = []
        error: Exception | None = None
        wanted = tasks * self._chunksize
        try:
            items.extend(islice(self._input, wanted))  # type: ignore[arg-type]
        except Exception as raised:
            error = raised
        size = self._chunksize
        chunks = items if size == 1 else [items[at : at + size] for at in range(0, len(items), size)]
        first, self._at = self._at, self._at + len(items)
        for place, chunk in enumerate(chunks):
            self._kept[first + place * size] = chunk
        kind = ONE if size == 1 else ONE | MANY
        try:
            self._core.submit(self, self._function, kind, first, chunks)
        except PicklingError:
            self._submit_singly(kind, first, chunks)
        if error is not None:
            self._fail(self._at, 0, error)
        if error is not None or len(items) < wanted:
            self._input = None
            self._core.feeding.discard(self)
            self.seal()

    def _submit_singly(self, kind: int, first: int, chunks: list[Any]) -> None:
        """One of these cannot be pickled: that one fails, in its place."""
        for place, chunk in enumerate(chunks):
            index = first + place * self._chunksize
            try:
                self._core.submit(self, self._function, kind, index, [chunk])
            except PicklingError as error:
                self._fail(index, len(chunk) if kind & MANY else 0, error)

    def _fail(self, index: int, items: int, error: Exception) -> None:
        self.expect(1)
        self.arrive(index, items, DIED, error, 0)


class IMapUnorderedIterator(IMapIterator):
    """Results as they come. The input is read only so far ahead."""

    __slots__ = ()

    def _choose(self) -> int:
        return next(iter(self._ready), -1)
