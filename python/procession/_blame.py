"""Which part of an object cannot be pickled, and where it is.

A pickling error names the type that failed, seldom the place. The search runs only after a failure, so it may be slow:
it pickles the children of the object one by one and descends into the one that fails. Children are what pickle itself
would write: items of containers, then the state that `__reduce_ex__` gives. It stops at the deepest object all of whose
visible children can be pickled, or after `_MAX_DEPTH` steps.
"""

from __future__ import annotations

import sys
from multiprocessing.process import AuthenticationString  # type: ignore[attr-defined]

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

__all__ = ["advice", "advice_on_missing", "find_unpicklable", "is_for_threads", "shorten"]

_MAX_DEPTH = 50  # steps; arbitrary, deeper nesting is named up to here
_MAX_REPR = 120  # characters of an object's repr in a message

# What only threads can share, by the module and name of its type: what people call it, and what processes share instead
_FOR_THREADS = {
    ("queue", "Queue"): ("queue.Queue", "Queue"),
    ("queue", "LifoQueue"): ("queue.LifoQueue", "Queue"),
    ("queue", "PriorityQueue"): ("queue.PriorityQueue", "Queue"),
    ("_queue", "SimpleQueue"): ("queue.SimpleQueue", "SimpleQueue"),
    ("_thread", "lock"): ("threading.Lock", "Lock"),
    ("_thread", "RLock"): ("threading.RLock", "RLock"),
    ("threading", "Semaphore"): ("threading.Semaphore", "Semaphore"),
    ("threading", "BoundedSemaphore"): ("threading.BoundedSemaphore", "BoundedSemaphore"),
    ("threading", "Condition"): ("threading.Condition", "Condition"),
    ("threading", "Event"): ("threading.Event", "Event"),
    ("threading", "Barrier"): ("threading.Barrier", "Barrier"),
}


_MISSING_IN_MAIN = """this process was started before that was defined, or imported the main module without it: \
define it at the top level, above what starts processes, and outside of `if __name__ == "__main__"`"""


def find_unpicklable(obj: object, dumps: Callable[[object], object], path: str = "") -> tuple[str, object, Exception]:
    """Return the path to the part of `obj` that `dumps` refuses, the part itself, and the error it gives.

    `path` is how the caller names `obj` ("args[0]"). To be called only when `dumps(obj)` has failed; if it succeeds
    this time, the object itself is blamed.
    """
    error: Exception = ValueError("it could be pickled the second time")
    try:
        dumps(obj)
    except Exception as failure:
        error = failure
    for _ in range(_MAX_DEPTH):
        if is_for_threads(obj):
            break  # deeper is its lock, which says nothing to who gave a queue
        for step, child in _children(obj):
            failure_of_child = _failure(child, dumps)
            if failure_of_child is not None and child is not obj:
                path, obj, error = path + step, child, failure_of_child
                break
        else:
            break
    return path, obj, error


def advice(part: object, or_else: str = "") -> str:
    """What to send in place of a part that cannot be pickled; empty where nothing better is known than the error.

    `or_else`: what would do for a function, besides.
    """
    if is_for_threads(part):
        theirs, ours = _FOR_THREADS[_kind(part)]
        return f"only the threads of one process can share a {theirs}: give processes a procession.{ours}()"
    if "<" in getattr(part, "__qualname__", "") and callable(part) and not isinstance(part, type):  # no generator
        return f"functions and classes travel by name: define it at the top level of a module{or_else}"
    return ""


def advice_on_missing(error: Exception) -> str:
    """What to do about a name that this process's main module should have and has not; empty for other errors."""
    if str(error).endswith(f" on {sys.modules.get('__main__')!r}"):
        return _MISSING_IN_MAIN
    return ""


def is_for_threads(obj: object) -> bool:
    """Whether it is a queue or lock of threads: a forked child has a copy of it that nobody else sees."""
    return _kind(obj) in _FOR_THREADS


def _kind(obj: object) -> tuple[str, str]:
    return type(obj).__module__, type(obj).__qualname__


def shorten(obj: object) -> str:
    """A repr that fits on a line; of a secret and of an object whose repr fails, its type."""
    if isinstance(obj, AuthenticationString):
        return f"<{type(obj).__name__}>"
    try:
        text = repr(obj)
    except Exception:
        text = f"<{type(obj).__name__} object>"
    return text if len(text) <= _MAX_REPR else text[: _MAX_REPR - 1] + "…"


def _failure(obj: object, dumps: Callable[[object], object]) -> Exception | None:
    try:
        dumps(obj)
    except Exception as error:
        return error
    return None


def _children(obj: Any) -> Iterator[tuple[str, object]]:
    """The parts of an object with the text that leads to each."""
    if isinstance(obj, dict):
        for key, value in obj.items():
            yield f".key({shorten(key)})", key
            yield f"[{shorten(key)}]", value
    elif isinstance(obj, list | tuple):
        for index, value in enumerate(obj):
            yield f"[{index}]", value
    elif isinstance(obj, set | frozenset):
        for value in obj:
            yield f".item({shorten(value)})", value
    elif hasattr(obj, "__func__") and hasattr(obj, "__self__"):
        yield ".__self__", obj.__self__
    elif not isinstance(obj, type) and not hasattr(obj, "__qualname__"):
        yield from _state(obj)


def _state(obj: Any) -> Iterator[tuple[str, object]]:
    """The parts that pickle would take from an instance: its arguments, its state, its items."""
    try:
        reduced = obj.__reduce_ex__(2)
    except Exception:
        reduced = None
    if not isinstance(reduced, tuple):
        state: Any = getattr(obj, "__dict__", None)
        arguments: Any = ()
    else:
        arguments, state = reduced[1], reduced[2] if len(reduced) > 2 else None
    parts = state if isinstance(state, tuple) else (state,)
    for part in parts:
        if isinstance(part, dict):
            for name, value in part.items():
                yield f".{name}", value
        elif part is not None:
            yield ".__state__", part
    for index, value in enumerate(arguments if isinstance(arguments, tuple) else ()):
        if not isinstance(value, type):
            yield f".__args__[{index}]", value
