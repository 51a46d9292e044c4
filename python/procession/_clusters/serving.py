"""What runs in a cluster's workers: calls a function with a chunk of items, and packs what comes of it.

A worker is somebody else's process (or interpreter), so this loads nothing of ours but this folder, the errors and what
names a culprit: no native module, no arena. Everything that a task needs comes as its arguments; what is kept from one
to the next are functions that were unpacked, and which pools' initializers ran. Nothing that a task raises gets out of
`serve`, so whatever else a cluster reports is about its workers, not about the task.

What came of a task is (status, value, nanoseconds, errors): of a chunk the value is a list, and `errors` has, by place
in it, the status and what is told of each call that did not give one.
"""

from __future__ import annotations

import os
import threading
import time
import traceback
from functools import partial

from .._blame import find_unpicklable, shorten
from ..errors import UnpicklingAttributeError, UnpicklingError, UnpicklingImportError
from .shipping import dumps_back, loads

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Outcome = tuple[int, Any, int, dict[int, tuple[int, Any]]]

__all__ = ["serve", "serve_joined", "serve_near", "serve_parts"]

# Bits of a task's kind, and how a task ends: as in `pool.results` and `pool.state`, which stand above this
ONE, STAR, MANY, STREAM = 1, 2, 4, 8
VALUE, RAISED, UNSENDABLE, DIED, BROKEN, APART = 0, 1, 2, 4, 17, 19

MOST_FUNCTIONS = 64  # kept unpacked; arbitrary


def serve(function: bytes, kind: int, payload: bytes, prepare: bytes | None = None, token: str = "") -> bytes:
    """Do a task and give the pack of its outcome. Everything comes packed.

    `prepare` is an initializer with its arguments, as one function; it runs once in each process, before the first task
    of the pool that `token` names.
    """
    return _pack(_do(explain, lambda: _function(function), kind, lambda: _unpacked(payload), prepare, token))


def serve_near(function: Any, kind: int, payload: Any, prepare: Any = None, token: str = "") -> Outcome:
    """The same in a thread of the caller's own process: nothing is packed, exceptions are themselves.

    `prepare` runs once in each thread.
    """
    return _do(_itself, lambda: function, kind, lambda: payload, prepare, token)


def serve_parts(parts: int, function: Any, payload: Any, prepare: Any = None, token: str = "") -> tuple[Any, ...]:
    """Do a task that gives so many values, which stay with the cluster: its outcome, in which the first is the value,
    and then the others as they are; None each if it failed. `payload` is the arguments. Packed or not, as it comes.
    """
    is_packed = isinstance(function, bytes)
    given = (lambda: _unpacked(payload)) if is_packed else lambda: payload
    status, value, nanos, errors = _do(*_ways(function), STAR, given, prepare, token)
    first, *others = value if status == VALUE else (value, *[None] * (parts - 1))
    told = status, first, nanos, errors
    return (_pack(told) if is_packed else told, *others)


def serve_joined(function: Any, prepare: Any, token: str, *values: Any) -> Any:
    """Do a task whose arguments are values that stayed with the cluster: its outcome. Packed or not, as it comes."""
    outcome = _do(*_ways(function), STAR, lambda: values, prepare, token)
    return _pack(outcome) if isinstance(function, bytes) else outcome


def _ways(function: Any) -> tuple[Callable[[Exception], Any], Callable[[], Any]]:
    """How to tell of an exception, and how to get at a function that came packed, or did not."""
    if isinstance(function, bytes):
        return explain, lambda: _function(function)
    return _itself, lambda: function


def _do(
    tell: Callable[[Exception], Any],
    function: Callable[[], Any],
    kind: int,
    payload: Callable[[], Any],
    prepare: Any,
    token: str,
) -> Outcome:
    if prepare is not None:
        try:
            _prepare(prepare, token)
        except Exception as error:
            return BROKEN, tell(error), 0, {}
    errors: dict[int, tuple[int, Any]] = {}
    began, status, value = time.perf_counter_ns(), VALUE, None
    try:
        called = function()
        try:
            given = payload()
        except Exception as error:
            return APART if kind & STREAM else RAISED, tell(error), 0, errors
        value = _many(called, kind, given, tell, errors) if kind & STREAM else _call(called, kind, given)
    except BaseException as error:
        status, value = _failed(error, tell)
    return status, value, time.perf_counter_ns() - began, errors


# Calling


def _call(function: Any, kind: int, payload: Any) -> Any:
    """One call; of a chunk that stands or falls as a whole all of them."""
    if kind & MANY:
        return [_call(function, kind & (ONE | STAR), item) for item in payload]
    if kind & ONE:
        return function(payload)
    if kind & STAR:
        return function(*payload)
    return function(*payload[0], **payload[1])


def _many(
    function: Any, kind: int, items: list[Any], tell: Callable[[Exception], Any], errors: dict[int, tuple[int, Any]]
) -> list[Any]:
    """The values of items that stand for themselves, and None for those that failed, which `errors` gets."""
    called = function if kind & ONE else partial(_call, function, STAR)
    values = []
    for item in items:
        try:
            values.append(called(item))
        except BaseException as error:
            errors[len(values)] = _failed(error, tell)
            values.append(None)
    return values


def _failed(error: BaseException, tell: Callable[[Exception], Any]) -> tuple[int, Any]:
    """How a call ended that raised. What ends a process must not end somebody else's: it fails as if it had."""
    if isinstance(error, Exception):
        return RAISED, tell(error)
    code: object = error.code if isinstance(error, SystemExit) else 1
    exitcode = code if isinstance(code, int) else int(code is not None)
    return DIED, (threading.current_thread().name, os.getpid(), exitcode)


def _itself(error: Exception) -> Exception:
    return error


# Functions and initializers

_functions: dict[bytes, Any] = {}
_prepared: dict[Any, Any] = {}  # by pool: None, or what its initializer raised
_preparing = threading.Lock()
_of_thread = threading.local()


def _function(packed: bytes) -> Any:
    """The function of a task, unpacked once. (As its state is then: one that changes itself is not the sender's.)"""
    function = _functions.get(packed)
    if function is None:
        if len(_functions) >= MOST_FUNCTIONS:
            _functions.clear()
        function = _functions[packed] = _unpacked(packed)
    return function


def _unpacked(packed: bytes) -> Any:
    """Raises: UnpicklingError, of the kind that the failure was."""
    try:
        return loads(packed)
    except Exception as error:
        kinds = ((ImportError, UnpicklingImportError), (AttributeError, UnpicklingAttributeError))
        kind = next((ours for theirs, ours in kinds if isinstance(error, theirs)), UnpicklingError)
        raise kind(f"cannot rebuild the received object: {type(error).__name__}: {error}") from error


def _prepare(prepare: Any, token: str) -> None:
    """Run a pool's initializer if this process (of a near one: this thread) has not. Raises: what it raised, again."""
    if not isinstance(prepare, bytes):
        _once(_of_thread.__dict__, token, prepare)
    elif token not in _prepared or _prepared[token] is not None:
        with _preparing:
            _once(_prepared, token, lambda: loads(prepare)())


def _once(prepared: dict[Any, Any], token: str, initialize: Callable[[], object]) -> None:
    if token not in prepared:
        try:
            initialize()
        except BaseException as error:
            prepared[token] = error if isinstance(error, Exception) else RuntimeError(f"it ended with {error!r}")
        else:
            prepared[token] = None
    failure = prepared[token]
    if failure is not None:
        raise failure


# Packing


def _pack(outcome: Outcome) -> bytes:
    """An outcome's pack. What cannot be pickled is told of, item by item."""
    try:
        return dumps_back(outcome)
    except Exception as failure:
        status, value, nanos, errors = outcome
        if not isinstance(value, list):
            return dumps_back((UNSENDABLE, _culprit(value, failure), nanos, {}))
        for place, item in enumerate(value):
            try:
                dumps_back(item)
            except Exception as error:
                errors[place] = UNSENDABLE, _culprit(item, error)
                value[place] = None
        return dumps_back((status, value, nanos, errors))


def _culprit(value: Any, error: Exception) -> tuple[Any, ...]:
    path, part, cause = find_unpicklable(value, dumps_back)
    reason = f"cannot pickle {shorten(part)}: {type(cause).__name__}: {cause}"
    return None, reason, path, _formatted(error)


def explain(error: Exception) -> tuple[Any, ...]:
    """What is told of an exception, as `pool.worker` does: its pickle or None, why it has none, what it is, trace."""
    try:
        pickled = dumps_back(error)
        loads(pickled)  # many cannot be made again, because of their constructor's arguments
    except Exception as failure:
        return None, f"{type(failure).__name__}: {failure}", shorten(error), _formatted(error)
    return pickled, "", shorten(error), _formatted(error)


def _formatted(error: BaseException) -> str:
    return "".join(traceback.format_exception(type(error), error, error.__traceback__))
