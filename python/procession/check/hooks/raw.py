"""Bare shared memory as ctypes objects (`RawValue`, `RawArray`, structures, `get_obj()`): classes that record.

For each ctypes type there is a subclass whose `value`, items and simple fields record the access and do what the
base's do. What ctypes hands out of such an object's inside, a structure in an array for example, is a plain object,
whose accesses are not seen.
"""

from __future__ import annotations

import ctypes
from multiprocessing.reduction import ForkingPickler

from ... import _native, sharedctypes
from ..events import RAW, READ, SLICE, WRITE

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from typing import Any

__all__ = ["watch"]

_record = _native.record_access
_classes: dict[type[Any], type[Any]] = {}
_array: Any = ctypes.Array
_plain_reduce = sharedctypes.reduce_ctype


def watch() -> None:
    """Make ctypes objects over shared memory of recording classes from now on."""
    module: Any = sharedctypes
    module.rebuild_ctype, module.reduce_ctype = rebuild_ctype, reduce_ctype


def rebuild_ctype(type_: type[Any], memory: Any, length: int | None) -> Any:
    """As the plain one, of a recording class."""
    type_ = getattr(type_, "_check_plain", type_)
    if length is not None:
        type_ = type_ * length
    cls = _recording(type_)
    if ForkingPickler._extra_reducers.get(cls) is not reduce_ctype:  # type: ignore[attr-defined]
        ForkingPickler.register(cls, reduce_ctype)
    obj = cls.from_buffer(memory)
    obj._wrapper = memory
    return obj


def reduce_ctype(obj: Any) -> Any:
    """As the plain one, of the plain type."""
    reduced = _plain_reduce(obj)
    if reduced[0] is not rebuild_ctype:
        return reduced
    type_, memory, length = reduced[1]
    return rebuild_ctype, (getattr(type_, "_check_plain", type_), memory, length)


def _recording(type_: type[Any]) -> type[Any]:
    cls = _classes.get(type_)
    if cls is None:
        own: dict[str, Any] = {}
        if issubclass(type_, ctypes.Array):
            own |= _items(type_)
        elif issubclass(type_, ctypes.Structure | ctypes.Union):
            own |= _fields(type_)
        elif hasattr(type_, "value"):
            own["value"] = _attribute(type_.value, 0, ctypes.sizeof(type_))
        cls = type(type_.__name__, (type_,), {"_check_plain": type_, "__module__": type_.__module__})
        for name, value in own.items():  # afterwards: a new class of character arrays gets a `value` of its own
            setattr(cls, name, value)
        if "_check_size" in own:
            _native.record_items(cls, ctypes.Array)
        _classes[type_] = cls
    return cls


def _attribute(plain: Any, start: int, size: int) -> property:
    """A property that does what the descriptor `plain` does, and records."""
    plain_get, plain_set, end = plain.__get__, plain.__set__, start + size

    def get(self: Any) -> Any:
        value = plain_get(self)
        _record(READ, self._wrapper, start, end, RAW)
        return value

    def put(self: Any, value: Any) -> None:
        _record(WRITE, self._wrapper, start, end, RAW)
        plain_set(self, value)

    return property(get, put)


def _fields(type_: type[Any]) -> dict[str, property]:
    found = {}
    for base in reversed(type_.__mro__):
        for name, field_type, *bits in vars(base).get("_fields_", ()):
            plain: Any = getattr(type_, name)
            if not bits and issubclass(field_type, ctypes._SimpleCData):
                found[name] = _attribute(plain, plain.offset, plain.size)
    return found


def _items(type_: Any) -> dict[str, Any]:
    size, length = ctypes.sizeof(type_._type_), type_._length_
    plain_get, plain_set = type_.__getitem__, type_.__setitem__
    is_simple = issubclass(type_._type_, ctypes._SimpleCData)

    def note(self: Any, kind: int, index: Any) -> None:
        if isinstance(index, slice):
            covered = range(length)[index]
            if covered:
                first, last = min(covered[0], covered[-1]), max(covered[0], covered[-1])
                end = last if abs(covered.step) == 1 else first  # gaps are not blamed
                _record(kind, self._wrapper, first * size, (end + 1) * size, RAW | SLICE)
        elif isinstance(index, int) and is_simple:
            place = index + length if index < 0 else index
            if 0 <= place < length:
                _record(kind, self._wrapper, place * size, (place + 1) * size, RAW)

    def getitem(self: Any, index: Any) -> Any:
        value = plain_get(self, index)
        note(self, READ, index)
        return value

    def setitem(self: Any, index: Any, value: Any) -> None:
        plain_set(self, index, value)
        note(self, WRITE, index)

    own: dict[str, Any] = {"__getitem__": getitem, "__setitem__": setitem}
    if is_simple and (plain_get, plain_set) == (_array.__getitem__, _array.__setitem__):  # usual indices natively, then
        own = {"_check_getitem": getitem, "_check_setitem": setitem, "_check_size": size}
    for name in ("value", "raw"):
        if hasattr(type_, name):
            own[name] = _attribute(getattr(type_, name), 0, size * length)
    return own
