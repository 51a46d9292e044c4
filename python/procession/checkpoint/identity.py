"""Whether a function and an item are what they were when a journal was written.

*An item* is its pickle: 16 bytes of a hash of it. Pickle writes the same object in different ways depending on which
of its parts are one object and on the order that a set happens to have in this process, so it is asked not to look for
the former (`fast`), and sets are sorted. Large buffers (numpy) are hashed where they lie.

*A function* is its name and its code: instructions, constants, names, default values and what it closed over, but
neither line numbers, nor comments, nor its docstring. Functions and classes of the same module that it names belong to
it, and what these name. So does not: what it imports, the values of global variables, C code. Whoever changes those
must begin anew. (Considered: values of global constants as well. But `STARTED = time.time()` is such a one too, and a
journal that is refused for no reason is worth nothing.)
"""

from __future__ import annotations

import functools
import hashlib
import io
import pickle
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["DIGEST_BYTES", "digest_of", "function_identity"]

DIGEST_BYTES = 16
_SET_MARKS = (pickle.EMPTY_SET, pickle.FROZENSET)


class _Sink:
    """A file of which only the hash is kept, and whether a set may be in it."""

    def __init__(self) -> None:
        self.hash = hashlib.blake2b(digest_size=DIGEST_BYTES)
        self.may_have_sets = False

    def write(self, data: Any) -> None:
        """For pickle."""
        self.hash.update(data)
        if type(data) is bytes and any(mark in data for mark in _SET_MARKS):
            self.may_have_sets = True


def digest_of(item: Any) -> bytes:
    """What stands for an item in a journal; equal for items that pickle alike. Raises: what pickling it raises."""
    try:
        return _digest(item, fast=True)
    except (ValueError, RecursionError):  # it contains itself
        return _digest(item, fast=False)


def _digest(item: Any, *, fast: bool) -> bytes:
    sink = _Sink()
    pickler = pickle.Pickler(sink, 5, buffer_callback=lambda buffer: sink.hash.update(buffer.raw()))
    pickler.fast = fast
    pickler.dump(item)
    if sink.may_have_sets:
        out = io.BytesIO()
        sorting = _SortingPickler(out, 5)
        sorting.fast = fast
        sorting.dump(item)
        return hashlib.blake2b(out.getvalue(), digest_size=DIGEST_BYTES).digest()
    return sink.hash.digest()


class _SortingPickler(pickle._Pickler):  # the one in Python: that in C does not ask for exact sets
    """Sets in the order of their members' digests. Slow, so only for what has sets."""

    def reducer_override(self, obj: Any) -> Any:
        """See pickle."""
        if type(obj) in (set, frozenset):
            return type(obj), (sorted(map(digest_of, obj)),)
        return NotImplemented


def function_identity(function: Callable[..., Any]) -> dict[str, str]:
    """Name and code of what is called, as a journal keeps them."""
    found = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in _parts(function, set()):
        found.update(len(part).to_bytes(8, "little"))
        found.update(part)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"  # each has instructions of its own
    return {"function": _name(function), "code": f"{version} {found.hexdigest()}"}


def _name(function: Any) -> str:
    if isinstance(function, functools.partial):
        return f"partial of {_name(function.func)}"
    if not hasattr(function, "__qualname__"):
        function = type(function)
    return f"{getattr(function, '__module__', None)}.{function.__qualname__}"


def _parts(function: Any, seen: set[int]) -> Iterator[bytes]:
    """Everything that makes a callable what it is."""
    if id(function) in seen:
        return
    seen.add(id(function))
    yield _name(function).encode()
    if isinstance(function, functools.partial):
        yield from _parts(function.func, seen)
        yield _value((function.args, function.keywords))
    elif isinstance(function, types.MethodType):
        yield from _parts(function.__func__, seen)
        yield _value(function.__self__)
    elif isinstance(function, types.FunctionType):
        yield from _function_parts(function, seen)
    elif isinstance(function, type):
        yield from _class_parts(function, seen)
    elif isinstance(function, types.BuiltinFunctionType | types.MethodDescriptorType | types.WrapperDescriptorType):
        owner = getattr(function, "__self__", None)
        if not isinstance(owner, types.ModuleType | type(None)):
            yield _value(owner)
    else:
        yield from _class_parts(type(function), seen)
        yield _value(function)


def _function_parts(function: types.FunctionType, seen: set[int]) -> Iterator[bytes]:
    yield from _code_parts(function.__code__, function.__doc__)
    yield _value((function.__defaults__, function.__kwdefaults__))
    for cell in function.__closure__ or ():
        try:
            held = cell.cell_contents
        except ValueError:  # empty
            continue
        yield from _parts(held, seen) if callable(held) else (_value(held),)
    for name in sorted(_names(function.__code__)):
        found = function.__globals__.get(name)
        is_code = isinstance(found, types.FunctionType | type)
        if is_code and getattr(found, "__module__", None) == function.__module__:
            yield from _parts(found, seen)


def _class_parts(cls: type, seen: set[int]) -> Iterator[bytes]:
    if cls.__module__ == "builtins":
        return
    for _, found in sorted(vars(cls).items()):
        found = getattr(found, "__func__", None) or getattr(found, "fget", None) or found
        if isinstance(found, types.FunctionType):
            yield from _parts(found, seen)
    for base in cls.__bases__:
        if base.__module__ == cls.__module__:
            yield from _parts(base, seen)


def _code_parts(code: types.CodeType, doc: str | None) -> Iterator[bytes]:
    yield code.co_code
    yield repr((code.co_names, code.co_freevars, code.co_argcount, code.co_kwonlyargcount, code.co_flags)).encode()
    for place, constant in enumerate(code.co_consts):
        if isinstance(constant, types.CodeType):
            yield from _code_parts(constant, None)
        elif place or doc is None or constant != doc:
            yield _value(constant)


def _names(code: types.CodeType) -> set[str]:
    """What a function, and those written inside of it, call by name."""
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found |= _names(constant)
    return found


def _value(value: Any) -> bytes:
    """A default, a constant, a bound object: its digest, or only its type where it cannot be pickled."""
    try:
        return digest_of(value)
    except Exception:
        return f"{type(value).__module__}.{type(value).__qualname__}".encode()
