"""Value and Array whose data are in a file, mapped by all who have it open.

A file holds C data behind a page that says what they are. They are read and written in place, at memory's speed once
they are mapped; the system writes them to the disk when it likes, or when `flush` tells it to. A process that dies
leaves what it had written; a power cut, what was flushed.

Beside the data each home has an RLock, in the memory of those who have it open (`meeting`), also where an opener does
not want it (`lock=False`) or brings his own.
"""

from __future__ import annotations

import ctypes
from binascii import crc32

from .. import _native
from .._store import Shared
from ..errors import InvalidSize, NotSupported
from ..sharedctypes import (
    SharedArray,
    SharedString,
    SharedValue,
    _checked,
    _items,
    _native_code,
    _type_of,
    rebuild_ctype,
    synchronized,
)
from ..synchronize import RLock
from .header import Header
from .homes import Home, OnDisk, place
from .meeting import disk_arena

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from typing import Any

__all__ = ["open_array", "open_value"]


# What stands in the header

_ADDRESSES = "PzZOX"  # `_type_` of the simple types that are addresses


def _told(type_: Any) -> str:
    """A C type for the header; a long one by its beginning and its checksum."""
    text = described(type_)
    return text if len(text.encode()) <= 472 else f"{text[:100]}... (CRC-32 {crc32(text.encode()):08x})"


def described(type_: Any) -> str:
    """A C type in words, the same where it has the same fields. Raises: NotSupported for one with pointers."""
    if issubclass(type_, ctypes._SimpleCData) and type_._type_ not in _ADDRESSES:
        return str(type_._type_)
    if issubclass(type_, ctypes.Array):
        return f"{described(type_._type_)}[{type_._length_}]"
    if issubclass(type_, ctypes.Structure | ctypes.Union):
        fields = [field for base in reversed(type_.__mro__) for field in vars(base).get("_fields_", ())]
        kind = "union" if issubclass(type_, ctypes.Union) else "struct"
        return f"{kind} {type_.__name__} {{{', '.join(_field(type_, *field) for field in fields)}}}"
    raise NotSupported(
        f"a {type_.__name__} cannot live in a file, for it is an address in one process's memory: store what is there"
    )


def _field(owner: type[Any], name: str, type_: type[Any], *bits: int) -> str:
    width = "".join(f":{count}" for count in bits)
    return f"{name} {described(type_)}{width} @{getattr(owner, name).offset}"


# What an opener gets


class _Kept(OnDisk):
    """What an opener has in hand: data in a file."""

    __slots__ = ()

    _again: tuple[Any, ...]

    def flush(self) -> None:
        """Return when the data are on the disk, whoever wrote them: they survive a power cut. Raises: OSError."""
        self._home.flush()

    def __reduce__(self) -> tuple[Any, ...]:
        return self._again


class DiskValue(_Kept, SharedValue):  # type: ignore[override]
    """A number or character in a file, with a lock; made by `Value`."""


class DiskArray(_Kept, SharedArray):  # type: ignore[misc, override]
    """Numbers or characters in a file, with a lock; made by `Array`."""


class DiskString(_Kept, SharedString):  # type: ignore[misc, override]
    """Characters of one byte in a file, with a lock; made by `Array`."""


class _Memory(_Kept, _native.Mapping, Shared):
    """The memory under a ctypes object that lives in a file. It is known to others by the lock beside it."""

    @property
    def arena(self) -> _native.Arena:
        """Of the lock."""
        return self._home.meeting.arena

    @property
    def address(self) -> tuple[int, int]:
        """Of the lock."""
        return self._home.meeting.address


class _Lock(RLock):
    """The lock beside data in a file. It is pickled as what it belongs to."""

    __slots__ = ()

    _again: tuple[Any, ...]

    def __reduce__(self) -> tuple[Any, ...]:
        return _lock_of, (self._again,)


def _lock_of(again: tuple[Any, ...]) -> Any:
    open_, arguments = again
    return open_(*arguments).get_lock()


_wrappers: dict[type[Any], type[Any]] = {}


def _wrapped(obj: Any, lock: Any) -> Any:
    """A ctypes object in the standard wrapper, of a class that knows that it is on disk."""
    if not hasattr(lock, "acquire"):
        raise AttributeError(f"{lock!r} has no method 'acquire'")
    cls = type(synchronized(obj, lock))
    if cls not in _wrappers:
        _wrappers[cls] = type(f"Disk{cls.__name__}", (_Kept, cls), {})
    return _wrappers[cls](obj, lock)


def _hand_out(type_: Any, home: Home, lock: Any, again: tuple[Any, ...], array: bool) -> Any:
    """What stands for the data in this process, under the lock asked for."""
    memory: Any = home.memory
    home.memory = None  # the memory keeps the home, and must go when it is dropped
    memory._home, memory._again = home, again
    if lock in (True, None):
        lock = _Lock(arena=home.meeting.arena, address=home.meeting.address)
        lock._again = again
    code = _native_code(type_, lock)
    if code is not None:
        cls = (DiskString if code == "c" else DiskArray) if array else DiskValue
        found: Any = cls(home.meeting.arena, code, lock=lock, memory=memory)
    else:
        found = rebuild_ctype(type_, memory, home.header.length if array else None)
        if lock is False:
            for name in ("path", "flush", "close", "unlink"):
                if not hasattr(found, name):
                    setattr(found, name, getattr(memory, name))
            return found
        found = _wrapped(found, lock)
    found._home, found._again = home, again
    return found


# Opening


def open_value(type_: Any, args: tuple[Any, ...], path: Any, name: str | None, lock: Any, create: bool = True) -> Any:
    """The Value at a path; made with `args` if it is not there. Blocks while another process opens it.

    Raises: as `Home`, and as `Value` for wrong arguments; NotSupported for a type with pointers.
    """
    type_ = _type_of(type_)
    where = place("value", path, name)
    code = _native_code(type_, True)
    if code is not None and len(args) > 1:
        raise TypeError(f"a Value takes one initial value, not {len(args)}")

    def fill(memory: _native.Mapping) -> None:
        if code is None:
            type_.from_buffer(memory).__init__(*args)
        elif args:
            arena = disk_arena()
            SharedValue(arena, code, RLock(arena=arena), memory=memory).value = args[0]

    asked = Header("value", _told(type_), ctypes.sizeof(type_), 1)
    home = Home(where, asked, _maker(name or where), fill=fill, create=create, memory=_Memory)
    again = open_value, (type_, (), where, None, lock, False)
    return _hand_out(type_, home, lock, again, array=False)


def open_array(
    type_: Any, size_or_initializer: Any, path: Any, name: str | None, lock: Any, create: bool = True
) -> Any:
    """The Array at a path; made with so many zeroes or these items if it is not there. None: as long as it is.

    Blocks while another process opens it. Raises: as `open_value`; InvalidSize.
    """
    type_ = _type_of(type_)
    where = place("array", path, name)
    items = None
    length = size_or_initializer
    if length is None:
        length, create = -1, False
    elif isinstance(length, int):
        length = _checked(length)
    else:
        items = _items(length)
        length = len(items)
    if length * ctypes.sizeof(type_) >= 1 << 62:
        raise InvalidSize(f"an array of {length} items of {ctypes.sizeof(type_)} bytes is larger than a file can be")
    code = _native_code(type_, True)

    def fill(memory: _native.Mapping) -> None:
        if items is None:
            return
        if code is None:
            (type_ * length).from_buffer(memory).__init__(*items)
        else:
            arena = disk_arena()
            SharedArray(arena, code, lock=RLock(arena=arena), memory=memory)[:] = items

    asked = Header("array", _told(type_), ctypes.sizeof(type_), length)
    home = Home(where, asked, _maker(name or where), fill=fill, create=create, memory=_Memory)
    again = open_array, (type_, None, where, None, lock, False)
    return _hand_out(type_, home, lock, again, array=True)


def _maker(name: str) -> Any:
    """Makes the lock beside the data, which people are shown by the name of these."""

    def make(arena: _native.Arena) -> RLock:
        lock = RLock(arena=arena)
        lock.name = name
        return lock

    return make
