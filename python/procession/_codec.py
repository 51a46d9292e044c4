"""Objects into messages and back: the part that is pickle's.

The Rust side (`crates/python/src/codec`) writes plain values itself and calls this module for the rest: once for each
pickler it keeps, and after each failure. What a message may hold:

* everything pickle takes, protocol 5, with the reducers registered at `multiprocessing.reduction.ForkingPickler` and
  `copyreg` (the sooner wins), and memoryviews, which pickle alone refuses;
* buffers of 64 KiB and more (numpy arrays, `PickleBuffer`, memoryviews) travel beside the pickle and arrive as views on
  shared memory; smaller ones arrive as copies;
* functions by name. A lambda on a queue is an error, as in multiprocessing: whether a put succeeds should not depend on
  an optional package. The function of a pool's task may be anything cloudpickle takes, where that is installed.

Errors are of two kinds at once: ours, and the kind pickle raised (TypeError, AttributeError, ...), which is what
existing programs catch.
"""

from __future__ import annotations

import copyreg
import pickle
import time
from multiprocessing import reduction
from multiprocessing.reduction import ForkingPickler

from . import _native
from ._blame import advice, advice_on_missing, find_unpicklable, shorten
from .errors import (
    PicklingAttributeError,
    PicklingError,
    PicklingRuntimeError,
    PicklingTypeError,
    PicklingValueError,
    ProcessionError,
    UnpicklingAttributeError,
    UnpicklingConnectionError,
    UnpicklingEOFError,
    UnpicklingError,
    UnpicklingImportError,
    UnpicklingTypeError,
)

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["blame"]

_PROTOCOL = 5  # the first with out-of-band buffers
_STANDARD_PICKLER = ForkingPickler  # as it was at import; programs may put their own class in its place


# Memoryviews


def _rebuild_view(content: Any, format: str, shape: tuple[int, ...], readonly: bool) -> memoryview:
    """A memoryview on what arrived, in the form it had."""
    view = memoryview(content)
    if format != "B" or len(shape) != 1:
        view = view.cast("B").cast(format, shape) if 0 not in shape else view.cast("B").cast(format)  # type: ignore[call-overload]
    return view.toreadonly() if readonly and not view.readonly else view


def _reduce_view(view: memoryview) -> tuple[Any, ...]:
    """Reduce a memoryview to its content, out of band where large; one with gaps is copied.

    Raises: TypeError for items that are not single native numbers or characters: they could not be rebuilt.
    """
    format = view.format.removeprefix("@")
    if len(format) != 1 or format == "P":
        raise TypeError(f"cannot pickle a memoryview of format {view.format!r}")
    content: Any = pickle.PickleBuffer(view) if view.c_contiguous else view.tobytes()
    return _rebuild_view, (content, format, view.shape, view.readonly)


_OWN_REDUCERS = {memoryview: _reduce_view}

# Both registries are read at each pickling, so a reducer registered later counts.
_TABLE = _native.DispatchTable(ForkingPickler._extra_reducers, copyreg.dispatch_table, _OWN_REDUCERS)  # type: ignore[attr-defined]


# Picklers


def new_pickler(cls: Any, sink: Any) -> Any:
    """A pickler writing to `sink`; `cls` is the class now called `multiprocessing.reduction.ForkingPickler`."""
    if cls is not _STANDARD_PICKLER:
        return cls(sink, _PROTOCOL, True, sink.collect)
    pickler = pickle.Pickler(sink, _PROTOCOL, buffer_callback=sink.collect)
    pickler.dispatch_table = _TABLE  # type: ignore[assignment]  # all that is asked of it is an item
    return pickler


def new_pickler_by_value(sink: Any) -> Any:
    """A pickler that takes lambdas and closures, or None where cloudpickle is not installed."""
    global _by_value
    if _by_value is None:
        try:
            import cloudpickle  # type: ignore[import-untyped, unused-ignore]
        except ImportError:
            return None
        _by_value = _class_by_value(cloudpickle.Pickler)
    return _by_value(sink)


_by_value: Any = None  # the class, once cloudpickle was needed


def _class_by_value(base: Any) -> Any:
    # cloudpickle's own reducers (classes by value, code objects) come first, as it needs them
    table = _native.DispatchTable(dict(base.dispatch_table), ForkingPickler._extra_reducers, _OWN_REDUCERS)  # type: ignore[attr-defined]

    class ByValue(base):  # type: ignore[misc]
        def __init__(self, sink: Any) -> None:
            self.dispatch_table = table  # before the constructor, which looks at it; the class's own would win later
            super().__init__(sink, _PROTOCOL, buffer_callback=sink.collect)

    return ByValue


# Errors


_ENCODING: list[tuple[type[Exception], type[PicklingError]]] = [
    (TypeError, PicklingTypeError),
    (AttributeError, PicklingAttributeError),
    (RuntimeError, PicklingRuntimeError),
    (ValueError, PicklingValueError),
]
_DECODING: list[tuple[type[Exception], type[UnpicklingError]]] = [
    (AttributeError, UnpicklingAttributeError),
    (ConnectionError, UnpicklingConnectionError),
    (EOFError, UnpicklingEOFError),
    (ImportError, UnpicklingImportError),
    (TypeError, UnpicklingTypeError),
]


def encoding_failed(obj: object, error: Exception, by_value: bool) -> Exception:
    """The error to raise when `obj` could not be pickled because of `error`; see `blame`."""
    return blame(obj, error, _dumps_by_value if by_value else _dumps)


def blame(obj: object, error: Exception, dumps: Callable[[object], object]) -> Exception:
    """The error to raise when `dumps(obj)` raised `error`: it names the part and the path to it.

    Errors of this package (an object of this process's own memory sent to another) are raised as they are: they say
    more than that pickling failed.
    """
    if isinstance(error, ProcessionError) and not isinstance(error, PicklingError):
        return error
    path, part, cause = find_unpicklable(obj, dumps)
    where = f" at {path}" if path else ""
    or_else = (
        ", or install cloudpickle" if dumps is _dumps_by_value and new_pickler_by_value(_Nowhere()) is None else ""
    )
    told = advice(part, or_else)
    instead = f" ({told})" if told else ""
    kind = next((ours for theirs, ours in _ENCODING if isinstance(error, theirs)), PicklingError)
    failure = kind(f"cannot pickle {shorten(part)}{where}: {type(cause).__name__}: {cause}{instead}", path=path)
    failure.__cause__ = error
    cause.__traceback__ = None  # its frames hold the object and this error: without this, both live until the next gc
    return failure


def _dumps(obj: object) -> None:
    """Pickle `obj` for the sake of the error."""
    new_pickler(reduction.ForkingPickler, _Nowhere()).dump(obj)


def _dumps_by_value(obj: object) -> None:
    """The same, as for the function of a task."""
    try:
        _dumps(obj)
    except Exception:
        pickler = new_pickler_by_value(_Nowhere())
        if pickler is None:
            raise
        pickler.dump(obj)


def nowhere() -> Any:
    """A sink for a pickle that is made for its errors."""
    return _Nowhere()


def reducers() -> Any:
    """The reducers in force, as a pickler's `dispatch_table`."""
    return _TABLE


class _Nowhere:
    """A sink that keeps nothing."""

    def write(self, data: Any) -> int:
        return memoryview(data).nbytes

    def collect(self, buffer: object) -> bool:
        return False


# A dying process's sockets close before it can be seen to have ended, and whoever could not fetch something from it
# (PyTorch) asks next whether it lives. Measured: 5 of 15 times it still seemed to.
_DYING_S = 0.02


def decoding_failed(why: str, error: Exception | None) -> Exception:
    """The error to raise for a message that gave no object: `why` its bytes are wrong, or the `error` on the way."""
    if error is None:
        return UnpicklingError(f"cannot decode the message: {why}")
    if is_interruption(error):
        return error
    if isinstance(error, EOFError | ConnectionError):
        time.sleep(_DYING_S)
    kind = next((ours for theirs, ours in _DECODING if isinstance(error, theirs)), UnpicklingError)
    told = advice_on_missing(error)
    instead = f" ({told})" if told else ""
    failure = kind(f"cannot rebuild the received object: {type(error).__name__}: {error}{instead}")
    failure.__cause__ = error
    return failure


def is_interruption(error: BaseException) -> bool:
    """Whether a decoding failed because a signal's handler raised in it: such an error says nothing of the message.

    KeyboardInterrupt and its like count always, another exception if a handler that is installed now is among its
    frames.
    """
    if not isinstance(error, Exception):
        return True
    import signal

    handlers = {_code_of(signal.getsignal(number)) for number in signal.valid_signals()} - {None}
    frame = error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code in handlers:
            return True
        frame = frame.tb_next
    return False


def _code_of(handler: Any) -> Any:
    """The code that a signal's handler runs, if it is Python."""
    while hasattr(handler, "func"):  # functools.partial
        handler = handler.func
    handler = getattr(handler, "__func__", handler)
    if not hasattr(handler, "__code__") and callable(handler):
        handler = type(handler).__call__
    return getattr(handler, "__code__", None)
