"""Workers for joblib: kept between calls, with their share of the cores; and what travels to them and back.

One crew at a time is kept when nobody uses it. A call that wants other workers ends that crew and hires its own; calls
that run at the same time share a crew or have one each. `shutdown`, or the end of the program, ends them.
"""

from __future__ import annotations

import atexit
import io
import os
import pickle
import threading
import traceback
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from typing import Any

try:
    import cloudpickle  # type: ignore[import-not-found, import-untyped, unused-ignore]
except ImportError:  # before joblib 1.6 it came with one of its own
    from joblib.externals import cloudpickle  # type: ignore[import-not-found, import-untyped, no-redef, unused-ignore]

from .. import _native
from .._blame import shorten
from .._bootstrap import at_fork_in_child
from ..errors import PicklingError, RemoteTraceback
from ..pool import Pool
from ..pool.blas import variables

__all__ = ["Crew", "Packed", "Wishes", "hire", "pack", "run", "shutdown", "unpack"]

_PROTOCOL = 5  # of pickle
_SHOWN = 2  # calls of a batch that a message names


# Messages


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """cloudpickle's, with the reducers registered for multiprocessing and some of our own."""

    def __init__(self, file: io.BytesIO, buffers: list[pickle.PickleBuffer], reducers: dict[type, Any]) -> None:
        own = {**cloudpickle.Pickler.dispatch_table, **reducers}
        # Before the constructor, which looks for it once: the class has one, so it cannot be set later.
        self.dispatch_table = _native.DispatchTable(own, ForkingPickler._extra_reducers, {})  # type: ignore[attr-defined]
        super().__init__(file, _PROTOCOL, buffer_callback=buffers.append)


def pack(value: Any, reducers: dict[type, Any]) -> tuple[bytes, list[pickle.PickleBuffer]]:
    """A value, pickled as joblib's users expect: functions and classes of the main module by value."""
    file = io.BytesIO()
    buffers: list[pickle.PickleBuffer] = []
    _Pickler(file, buffers, reducers).dump(value)
    return file.getvalue(), buffers


class Packed:
    """A batch of tasks on its way to a worker."""

    __slots__ = ("_batch", "buffers", "message")

    def __init__(self, batch: Any, message: bytes, buffers: list[Any]) -> None:
        """`batch` is what was packed, for messages; it stays here."""
        self._batch = batch
        self.message: bytes = message
        self.buffers: list[Any] = buffers

    def __repr__(self) -> str:
        """The calls, as far as they fit in a message."""
        items = getattr(self._batch, "items", [])
        calls = [_shown(*item) for item in items[:_SHOWN]]
        return ", ".join([*calls, *([f"{len(items) - _SHOWN} more"] if len(items) > _SHOWN else [])])

    def __reduce__(self) -> tuple[Any, ...]:
        return Packed, (None, self.message, self.buffers)


def _shown(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    name = getattr(function, "__qualname__", None) or shorten(function)
    given = [shorten(value) for value in args] + [f"{key}={shorten(value)}" for key, value in kwargs.items()]
    return f"{name}({', '.join(given)})"


def run(batch: Packed) -> tuple[bool, bytes, list[pickle.PickleBuffer]]:
    """In a worker: make the calls of a batch. Returns success, and the packed values or the packed exception."""
    try:
        values = pickle.loads(batch.message, buffers=batch.buffers)()
        return True, *pack(values, {})
    except Exception as error:
        return False, *_pack_error(error)


def _pack_error(error: Exception) -> tuple[bytes, list[pickle.PickleBuffer]]:
    text = "".join(traceback.format_exception(error))
    try:
        packed = pack((error, text), {})
        pickle.loads(packed[0], buffers=packed[1])  # many exceptions cannot be made again
        return packed
    except Exception as why:
        told = PicklingError(f"{type(error).__name__}: {error} (it cannot be sent itself: {why})")
        return pack((told, text), {})


def unpack(answer: Any) -> Any:
    """What `run` gave. Raises: what the call raised; what the pool says instead of an answer."""
    if isinstance(answer, BaseException):
        raise answer
    success, message, buffers = answer
    value = pickle.loads(message, buffers=buffers)
    if success:
        return value
    error, text = value
    raise error from RemoteTraceback(text)


# Crews


class Wishes:
    """What workers should be like."""

    def __init__(
        self,
        context: Any,
        count: int,
        threads: int | None,
        initializer: Callable[..., object] | None,
        initargs: tuple[Any, ...],
    ) -> None:
        """`threads`: of numeric libraries in each; None: an equal share of the cores."""
        self.context: Any = context
        self.count: int = count
        self.threads: int | None = threads
        self.initializer: Callable[..., object] | None = initializer
        self.initargs: tuple[Any, ...] = initargs

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Wishes) or self.initializer is not None or other.initializer is not None:
            return self is other
        mine, its = (wish.context.get_start_method() for wish in (self, other))
        return (mine, self.count, self.threads) == (its, other.count, other.threads)

    __hash__: None = None  # type: ignore[assignment]


class Crew:
    """A pool, and how many calls use it."""

    def __init__(self, wishes: Wishes) -> None:
        self.wishes = wishes
        self.users: int = 0
        forked = wishes.context.get_start_method() == "fork"
        initargs = (wishes.threads, forked, wishes.initializer, wishes.initargs)
        self.pool: Pool = Pool(wishes.count, _begin, initargs, context=wishes.context)

    def leave(self, abort: bool = False) -> None:
        """One user less. With `abort` its work is dropped: workers that nobody else uses are ended."""
        with _lock:
            self.users -= 1
            if self.users == 0 and (abort or self not in _crews):
                self._end()

    def _end(self) -> None:
        """Under the lock."""
        if self in _crews:
            _crews.remove(self)
        self.pool.terminate()
        self.pool.join()


_crews: list[Crew] = []
_lock = threading.RLock()


def hire(wishes: Wishes) -> Crew:
    """Workers as wished for, which the caller is to `leave`."""
    with _lock:
        for crew in list(_crews):
            if crew.pool._state != "RUN":  # it broke
                _crews.remove(crew)
            elif crew.wishes == wishes:
                crew.users += 1
                return crew
        _end_idle()
        crew = Crew(wishes)
        crew.users += 1
        _crews.append(crew)
        return crew


def _end_idle() -> None:
    for crew in list(_crews):
        if crew.users == 0:
            crew._end()


def shutdown() -> None:
    """End the workers that are kept for later calls of Parallel. Those in use stay until they are left."""
    with _lock:
        _end_idle()
        _crews.clear()


# The crew that is kept is nobody's mistake: without this, the interpreter's end would warn of a pool left unclosed.
atexit.register(shutdown)


def _forget_after_fork() -> None:
    """Workers are their parent's, not its forked children's."""
    global _lock
    _lock = threading.RLock()
    _crews.clear()


at_fork_in_child(_forget_after_fork)


def _begin(
    threads: int | None, forked: bool, initializer: Callable[..., object] | None, initargs: tuple[Any, ...]
) -> None:
    """The first thing a worker does, after its pool has limited numeric threads to the worker's share of the CPUs."""
    if threads is not None:
        os.environ.update(variables(threads))
        _tell_loaded(threads, forked)
    if initializer is not None:
        initializer(*initargs)


def _tell_loaded(threads: int, forked: bool) -> None:
    """Let the libraries that are loaded already use so many threads."""
    try:
        from threadpoolctl import ThreadpoolController  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError:
        return
    for library in ThreadpoolController().lib_controllers:
        # GNU's OpenMP waits for ever for the threads that its process had before it was forked
        library.set_num_threads(1 if forked and library.user_api == "openmp" else threads)
