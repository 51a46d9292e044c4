"""The pool's two engines, as an executor wants them: workers that skip what was withdrawn.

A process has the pool's marks for that; a thread asks the future itself. And calls come in two forms: functions
that lie in a module or were written as such go through the pool's table of functions and are sent once; whatever else
can be called (methods, partials, objects) travels with its arguments, so that it lives no longer than the call.
"""

from __future__ import annotations

import types

from .. import _native
from ..pool.engine import ProcessEngine
from ..pool.local import LocalEngine
from ..pool.results import CALL, MANY, STAR
from . import worker

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..pool.worker import Surroundings
    from .future import CallFuture

__all__ = ["NUDGE", "Processes", "Threads"]

NUDGE = 18  # news of nobody, which only ends a wait for answers; the pool's own are 16 and 17


def _lies_in_module(function: Any) -> bool:
    return type(function) is types.BuiltinFunctionType and type(function.__self__) is types.ModuleType


def _make(context: Any, target: Any, args: tuple[Any, ...]) -> Any:
    return context.Process(target=target, args=args)


class Processes(ProcessEngine):
    """Workers in processes of a context."""

    def __init__(self, context: Any, size: int, initializer: Any, initargs: tuple[Any, ...], most_tasks: int) -> None:
        super().__init__(context, _make, size, initializer, initargs, most_tasks)

    def _process(self, given: Surroundings) -> Any:
        return self._make(self._context, target=worker.main, args=(given,))

    def put(self, future: CallFuture, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Put one call. Raises: PicklingError, TypeError for what cannot be called, ShutDown, ArenaFull."""
        payload: Any = (args, kwargs)
        if type(function) is not types.FunctionType and not _lies_in_module(function):
            if not callable(function):
                raise TypeError(f"{function!r} cannot be called")
            self.registration.entitle(function)
            payload, function = ((function, *args), kwargs), worker.invoke
        if self.wrap is not None:
            payload = self.wrap(payload)
        self._put(future, function, CALL | future._limits.kind, payload)

    def _put(self, future: CallFuture, function: Any, kind: int, payload: Any) -> None:
        number = self.dispatcher.submit_one(future, self.functions.address(function), kind, payload)
        future._number = self.tasks.position[1] - 1 if number is None else number

    def put_chunk(self, future: CallFuture, function: Any, chunk: list[tuple[Any, ...]]) -> None:
        """Put the calls of a chunk, whose results come as a list."""
        if self.wrap is None and (type(function) is types.FunctionType or _lies_in_module(function)):
            self._put(future, function, STAR | MANY | future._limits.kind, chunk)
        else:
            self.put(future, worker.call_chunk, (function, chunk), {})

    def take_back(self, futures: list[CallFuture]) -> list[CallFuture]:
        """Take back those of these calls that no worker has taken, and return them."""
        numbers = self.withdraw([future._number for future in futures])
        self.dispatcher.forget(numbers)
        free = set(numbers)
        return [future for future in futures if future._number in free]

    def nudge(self) -> None:
        """End the wait of whoever waits for answers."""
        _native.put_news(self.answers, 0, NUDGE, None)


class _ThreadCall:
    """A call as a thread makes it: unless it was withdrawn."""

    __slots__ = ("_function", "_future", "_lock")

    def __init__(self, function: Callable[..., Any], future: CallFuture, lock: Any) -> None:
        self._function, self._future, self._lock = function, future, lock

    @property
    def __wrapped__(self) -> Callable[..., Any]:
        return self._function

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        with self._lock:
            if not self._future.begin():
                return None
        try:
            return self._function(*args, **kwargs)
        except Exception as error:
            trace = error.__traceback__
            error.__traceback__ = None if trace is None else trace.tb_next
            raise
        except BaseException as error:
            raise worker.Raised(error) from None
        finally:
            del self


class Threads(LocalEngine):
    """Workers in threads of this process."""

    def __init__(self, size: int, initializer: Any, initargs: tuple[Any, ...], most_tasks: int, lock: Any) -> None:
        super().__init__(size, initializer, initargs, most_tasks)
        self._lock = lock

    def put(self, future: CallFuture, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Put one call."""
        self.functions.note(function)
        self.dispatcher.submit_one(future, _ThreadCall(function, future, self._lock), CALL, (args, kwargs))

    def put_chunk(self, future: CallFuture, function: Any, chunk: list[tuple[Any, ...]]) -> None:
        """Put the calls of a chunk, whose results come as a list."""
        self.functions.note(function)
        self.put(future, worker.call_chunk, (function, chunk), {})

    def has_taken(self, number: int) -> bool:
        """Never: a thread says so to the future."""
        return False

    def take_back(self, futures: list[CallFuture]) -> list[CallFuture]:
        """Those of these calls that no worker has taken; the rest is `CallFuture.begin`'s. Under the lock."""
        return [future for future in futures if future.is_untaken]

    def nudge(self) -> None:
        """End the wait of whoever waits for answers."""
        self.dispatcher.answers.put((0, NUDGE, None, 0))
