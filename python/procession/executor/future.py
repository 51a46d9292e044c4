"""What `submit` returns: a `concurrent.futures.Future` that is also the pool's native job.

The answer is kept natively once somebody has read it. In a future that is only asked for its result it becomes the
state when somebody looks (`_state`), which costs neither a condition nor a notification. A future becomes *watched*
when its condition is first wanted: by `wait`, `as_completed`, `add_done_callback`. From then on its state changes only
under the condition, as theirs do (they look more than once and rely on it), and in the executor's helper thread, which
tells the waiters and runs the callbacks (`announce`). Somebody in `result` then waits on the condition as well.

Nothing is missed: whoever begins to watch says so first and looks for an answer then; whoever reads answers notes them
first and looks whether the future is watched then.
"""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError, Future
from concurrent.futures._base import CANCELLED, CANCELLED_AND_NOTIFIED, FINISHED, LOGGER, PENDING, RUNNING
from time import monotonic

from .. import _native
from .._blame import shorten
from .._bootstrap import at_fork_in_child
from ..errors import NotSupported, TimeoutError
from ..pool.results import NO_LIMITS, name_of
from ..pool.state import VALUE

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .crew import Crew

__all__ = ["CallFuture"]

_settling = threading.RLock()  # held while an answer becomes a state; unpickling an exception is the longest of it
_OPEN = (PENDING, RUNNING)
_new_job: Any = _native.Job.__new__  # a job whose answer is taken, not kept


def _settle_anew() -> None:
    """In a forked child: another thread of the parent may have held the lock."""
    global _settling
    _settling = threading.RLock()


at_fork_in_child(_settle_anew)


class _Lazily:
    """An attribute that an instance gets when it is first read; two threads at once get the same."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, future: Any, owner: type | None = None) -> Any:
        return future.__dict__.setdefault(self._name, self._make())


class _LazyCondition(_Lazily):
    """The condition, whose first reader begins to watch the future."""

    def __get__(self, future: Any, owner: type | None = None) -> Any:
        future._catch_up()
        with _settling:
            if not future._is_watched:  # else somebody may have looked at the state already, and waits to be told
                try:
                    future._is_watched = True
                    future._keep_answer()  # of one that nobody was told of
                except BaseException:
                    future._is_watched = False
                    raise
        return super().__get__(future, owner)


class CallFuture(Future["Any"], _native.Job):
    """The result of one call, perhaps still to come."""

    _condition = _LazyCondition(threading.Condition)
    _waiters = _Lazily(list)
    _done_callbacks = _Lazily(list)
    # As the pool's jobs have
    _callbacks = None
    _is_divisible = False
    _limits = NO_LIMITS
    _tries: dict[int, int] | None = None
    _result: Any = None
    _exception: BaseException | None = None
    _stored = PENDING
    _is_watched = False  # somebody may have to be told
    _arrived: list[Any] | None = None  # while the answer is made into a state
    _core: Crew
    _call: Any  # function, arguments and keywords, until there is an answer
    _number = 0  # of the task in the ring
    _is_chunk = False  # the call's argument is a chunk of a map

    @classmethod
    def of(cls, core: Crew, call: tuple[Any, tuple[Any, ...], dict[str, Any]], is_chunk: bool = False) -> CallFuture:
        """The future of a call that will be put next."""
        future: CallFuture = _new_job(cls)
        future._core, future._call, future._limits = core, call, core.limits
        if is_chunk:
            future._is_chunk = True
        future.seal()
        return future

    def again(self, core: Crew, index: int, items: int) -> None:
        """Put the call that a dead worker took along once more. Under the crew's lock."""
        function, args, kwargs = self._call
        if self._is_chunk:
            core.engine.put_chunk(self, function, *args)
        else:
            core.engine.put(self, function, args, kwargs)

    # State

    @property
    def _state(self) -> str:
        """One of the states of `concurrent.futures`, as things stand now."""
        stored = self._stored
        if stored in _OPEN:
            if not self._is_watched and self._has_answer():
                self._settle()
                return self._stored
            if stored is PENDING and self._core.has_taken(self._number):
                return RUNNING
        return stored

    @_state.setter
    def _state(self, state: str) -> None:
        self._stored = state

    def running(self) -> bool:
        """Whether a worker has taken the call, and has not answered."""
        return self._state == RUNNING

    def done(self) -> bool:  # type: ignore[override]  # the native job's is not seen from Python
        """Whether there is a result or an exception, or the call was cancelled."""
        return self._state not in _OPEN

    def cancelled(self) -> bool:
        """Whether `cancel` succeeded."""
        return self._stored in (CANCELLED, CANCELLED_AND_NOTIFIED)

    # Waiting

    def result(self, timeout: float | None = None) -> Any:
        """Return what the call returned, or raise what it raised, with the worker's traceback as `__cause__`.

        Blocks until it is there, or for `timeout` seconds. Raises: TimeoutError when it is not; CancelledError;
        BrokenProcessPool (a WorkerDied) when its worker ended without an answer, or the executor broke.
        """
        if self._stored is not FINISHED:
            self._await(timeout)
        if self._exception is None:
            return self._result
        try:
            raise self._exception
        finally:
            del self  # what is raised must not hold, through this frame, the future that holds it

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return what the call raised, None for nothing. Blocks and raises as `result`."""
        self._await(timeout)
        return self._exception

    def _await(self, timeout: float | None) -> None:
        end = None if timeout is None else monotonic() + timeout
        while self._stored in _OPEN:
            if not self._is_watched and self._has_answer():
                self._settle()
            elif not self._wait_once(None if end is None else max(0.0, end - monotonic())):
                raise TimeoutError(f"{self!r} gave nothing within {timeout} seconds")
        if self._stored is not FINISHED:
            raise CancelledError

    def _wait_once(self, timeout: float | None) -> bool:
        """Wait until it is worth another look. False: the time is over."""
        if self._is_watched and not self._core.is_foreign:
            with self._condition:
                done: bool = self._condition.wait_for(self._is_closed, timeout)
            return done
        return self._core.wait(self._is_answered, timeout)

    def _is_answered(self) -> bool:
        return self._has_answer() or self._stored not in _OPEN or self._is_watched

    def _is_closed(self) -> bool:
        return self._stored not in _OPEN

    def _has_answer(self) -> bool:
        return self.has_arrived or self._arrived is not None

    # Cancelling

    def cancel(self, *, running: bool = False) -> bool:
        """Have the call not be made, if no worker has taken it. Returns whether it is cancelled.

        With `running` a worker that is at it is ended, and another takes its place; a thread cannot be.
        """
        if self.cancelled():
            return True
        if self._state is PENDING and self._core.withdraw([self]):
            return True
        return (running and self._state is RUNNING and self._core.end_call(self)) or self.cancelled()

    # For the crew

    @property
    def is_untaken(self) -> bool:
        """Whether, for all that is known here, no worker has taken it."""
        return self._stored is PENDING and not self.has_arrived

    def begin(self) -> bool:
        """In a thread, under the crew's lock: the call is about to be made. False: it must not be."""
        if self._stored is PENDING:
            self._stored = RUNNING
        return self._stored is RUNNING

    def withdrawn(self) -> None:
        """Under the crew's lock: it will not be called."""
        self._stored = CANCELLED
        self._call = None

    def tell_withdrawn(self) -> None:
        """Tell those who wait for it. Runs their callbacks."""
        with self._condition:
            self._stored = CANCELLED_AND_NOTIFIED
            for waiter in self._waiters:
                waiter.add_cancelled(self)
            self._condition.notify_all()
        self._invoke_callbacks()  # type: ignore[attr-defined]

    def announce(self) -> None:
        """In the helper: make the answer of a watched future its state, tell those who wait, run their callbacks."""
        self._catch_up()
        with self._condition:
            with _settling:
                if not self._keep_answer():
                    return
            for waiter in self._waiters:
                (waiter.add_result if self._exception is None else waiter.add_exception)(self)
            self._condition.notify_all()
        try:
            self._invoke_callbacks()  # type: ignore[attr-defined]
        except BaseException:  # SystemExit, say: it must not end the thread that serves all futures
            LOGGER.critical("what a callback of %r raised ends no thread", self, exc_info=True)

    def describe(self, index: int = 0, items: int = 0, offset: int = 0) -> str:
        """Name the call for a message."""
        call = self._call
        if call is None:
            return "a call"
        function, args, kwargs = call
        parts = [shorten(value) for value in args] + [f"{name}={shorten(value)}" for name, value in kwargs.items()]
        return f"{name_of(function)}({', '.join(parts)})"

    def _catch_up(self) -> None:
        """Before the answer becomes known: what the call printed."""
        if self._core.catch_up is not None:
            self._core.catch_up()

    def _settle(self) -> None:
        """Make the answer of a future that is not watched its state."""
        self._catch_up()
        with _settling:
            if not self._is_watched:
                self._keep_answer()

    def _keep_answer(self) -> bool:
        """Under the lock: make an answer the state. False: there is none, or it has been done.

        A signal's handler may break it off; then it can be done again.
        """
        if self._stored not in _OPEN or not self._has_answer():
            return False
        arrived = self._arrived = self._arrived or []
        # In one call, for an answer taken and not yet kept would be lost by a KeyboardInterrupt in between
        arrived.extend(map(_native.Job.take, (self,)))
        _, _, status, told = arrived[0][0]
        if status == VALUE:
            self._result = told
        else:
            self._exception = self._core.failed(self, status, told)
        self._stored = FINISHED
        self._call = self._arrived = None
        return True

    def __reduce__(self) -> tuple[Any, ...]:
        raise NotSupported("a Future cannot be pickled or sent to another process: send its result")
