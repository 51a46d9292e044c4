"""What the methods of a pool return: handles on results that are still to come.

A handle is a native `Job` (results in their places, a count of what is out) with a way to wait for it. Whoever waits
reads answers for everybody; see `supervisor`. Failures are kept as they came and made into exceptions when asked for.
"""

from __future__ import annotations

import pickle
import types

from .. import _native
from .._blame import shorten
from .._prompt import main_is_typed_in
from .._waits import is_watching, wait_for_result
from ..errors import RemoteTraceback, TaskErrors, TimeoutError, UnpicklingError
from .limits import Limits
from .state import UNSENDABLE

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Any, ClassVar

    from .supervisor import Supervisor

__all__ = ["AsyncResult", "MapResult"]

# What a task does with its object; see crates/python/src/pool
CALL, ONE, STAR, MANY = 0, 1, 2, 4
STREAM = 8  # with MANY: each item has an outcome of its own

NO_LIMITS = Limits()

AHEAD = 64 << 20  # bytes of tasks and of answers on their way; more only for a task in each worker and one to come

new_job: Any = _native.Job.__new__  # skips the constructors below, which are for programs that know the standard ones


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

    __slots__ = ("__weakref__", "_callbacks", "_core", "_function", "_given", "_limits", "_outcome", "_tries")

    _limits: Limits
    _tries: dict[int, int] | None  # by item: how often it took a worker along
    _is_divisible = False  # whether items can be done again one by one
    _callbacks: tuple[Callable[..., Any] | None, Callable[..., Any] | None] | None
    _core: Supervisor
    _function: Any
    _given: Any
    _outcome: tuple[bool, Any] | None

    __class_getitem__: ClassVar[Any] = classmethod(types.GenericAlias)

    def __new__(cls, pool: Any, callback: Any = None, error_callback: Any = None) -> AsyncResult:
        """One to be filled by a task that the caller puts into the pool's `_taskqueue`; see `inherited`."""
        self: AsyncResult = new_job(cls, -1)
        self._prepare(pool._core, None, None, callback, error_callback)
        return self

    def _prepare(self, core: Supervisor, function: Any, given: Any, callback: Any, on_error: Any) -> None:
        self._core, self._function, self._given, self._outcome, self._callbacks = core, function, given, None, None
        self._limits, self._tries = NO_LIMITS, None
        self.call_back(callback, on_error)

    def call_back(self, callback: Any, on_error: Any) -> None:
        """Before it is submitted: have one of these called with what comes of it."""
        if callback is not None or on_error is not None:
            self._callbacks = (callback, on_error)
            self._core.expect_callbacks()

    def again(self, core: Supervisor, index: int, items: int) -> None:
        """Submit what a dead worker took along. Raises: as the pool's `submit`."""
        core.submit(self, self._function, CALL | self._limits.kind, index, (self._given,))

    def __repr__(self) -> str:
        state = "ready" if self._is_ready() else f"{self.outstanding} tasks out"
        return f"<{type(self).__name__} of {name_of(self._function)} ({state})>"

    def _is_ready(self) -> bool:
        return self.done and self._callbacks is None

    def ready(self) -> bool:
        """Whether the result is there, and its callback has run. Takes in what answers there are; never blocks."""
        if not self._is_ready():
            self._core.look()  # or nobody might, and asking again and again would not come to an end
        return self._is_ready()

    def successful(self) -> bool:
        """Whether the call ended without an exception. Raises: ValueError when it is not ready."""
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        return self.settled()[0]

    def wait(self, timeout: float | None = None) -> None:
        """Block until the result is there, or for `timeout` seconds. The death of a worker ends the waiting too."""
        if not self._is_ready():
            self._wait(timeout)

    def get(self, timeout: float | None = None) -> Any:
        """Return what the call returned, or raise what it raised, with the worker's traceback as `__cause__`.

        Blocks until it is there, or for `timeout` seconds. Raises: TimeoutError when it is not; WorkerDied when its
        worker ended without an answer; PoolBroken, PoolTerminated when the pool did.
        """
        if not (self.done and self._callbacks is None) and not self._wait(timeout):
            raise TimeoutError(f"{self!r} gave nothing within {timeout} seconds")
        success, value = self._outcome or self.settled()
        if success:
            return value
        raise value

    def _wait(self, timeout: float | None) -> bool:
        if is_watching():
            return wait_for_result(self._core, self._is_ready, timeout)
        return self._core.wait(self._is_ready, timeout)

    def cancel(self) -> bool:
        """End the call: if no worker has taken it, it is not made; a worker that is at it is ended and replaced.

        `get` then raises `concurrent.futures.CancelledError`. False: there was nothing to cancel, it is done. A thread
        cannot be ended: it finishes what it is at, and nobody hears of that.
        """
        return self._core.cancel(self)

    def end_early(self, error: BaseException) -> None:
        """The call that would have returned it ends early, by `error`, so nobody can ask for it.

        What no worker has taken is not done. What is running ends at Ctrl-C, as if cancelled; else it is finished.
        """
        if isinstance(error, KeyboardInterrupt):
            self._core.cancel(self)
        else:
            self._core.drop(self)

    def __await__(self) -> Generator[Any, Any, Any]:
        """In asyncio: as `get`, without blocking the loop. Cancelling ends the wait, not the call."""
        from .._waiting import pool_result

        return pool_result(self).__await__()

    def settled(self) -> tuple[bool, Any]:
        """Success, and the value or the exception. Only when everything has been answered."""
        if self._outcome is None:
            if self._core.catch_up is not None:
                self._core.catch_up()
            self._outcome = self._failed() if self.has_arrived else (True, self._returned())
            self._given = None
        return self._outcome

    def _failed(self) -> tuple[bool, Any]:
        index, items, status, told = min(self.take(), key=lambda arrival: arrival[0])
        return False, failure(status, told, self.describe(index, items))

    def _returned(self) -> Any:
        return self.value

    # What programs read of a standard result

    @property
    def _job(self) -> AsyncResult:
        """The name of the job in `Pool._cache`: itself."""
        return self

    @property
    def _success(self) -> bool:
        return self.ready() and self.settled()[0]

    @property
    def _value(self) -> Any:
        return self.settled()[1] if self.ready() else self._returned()

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

    __slots__ = ("_chunksize", "_kind", "_on_error")

    _chunksize: int
    _kind: int  # what a task does with an item
    _on_error: str  # "first", "group" or "return"

    def __new__(
        cls, pool: Any, chunksize: int, length: int, callback: Any = None, error_callback: Any = None
    ) -> MapResult:
        """As `AsyncResult`."""
        self: MapResult = new_job(cls, length)
        self._chunksize, self._kind, self._on_error = chunksize, ONE, "first"
        self._prepare(pool._core, None, None, callback, error_callback)
        return self

    @property
    def _is_divisible(self) -> bool:  # type: ignore[override]
        return self._given is not None

    def again(self, core: Supervisor, index: int, items: int) -> None:
        """As `AsyncResult`."""
        kind = self._kind | self._limits.kind
        if items:
            core.submit(self, self._function, kind | MANY | STREAM, index, (list(self._given[index : index + items]),))
        else:
            core.submit(self, self._function, kind, index, (self._given[index],))

    @property
    def _number_left(self) -> int:
        """Tasks without an answer: what programs show as progress."""
        return 0 if self.ready() else self.outstanding

    def _returned(self) -> Any:
        return self.values

    def _failed(self) -> tuple[bool, Any]:
        if self._on_error == "first":
            return super()._failed()
        results: list[Any] = self.values  # type: ignore[assignment]  # a map's job keeps them
        errors = []
        for index, items, status, told in sorted(self.take(), key=lambda arrival: arrival[0]):
            error = failure(status, told, self.describe(index, items))
            results[index : index + max(items, 1)] = [error] * max(items, 1)
            errors.append(error)
        if self._on_error == "return":
            return True, results
        of = f"{len(errors)} of {len(results)} calls of {name_of(self._function)} failed"
        return False, TaskErrors(of, errors, results=results)

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
