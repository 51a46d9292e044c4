"""C data in shared memory: Value, Array, RawValue, RawArray.

Two kinds of object stand behind `Value` and `Array`:

* simple C types (all typecodes, and the ctypes types they stand for) with one of our locks: the native `SharedValue`
  and `SharedArray`, which read and write shared memory themselves and look at their lock without calling it;
* everything else, structures for example, or a lock from elsewhere: the standard library's wrappers around a ctypes
  object that lies in a shared block.

All are pickled by address, at any time. ctypes objects are too: a reducer for their type is registered, as the standard
library does, which leaves those that do not lie in shared memory as they were.

An access through `.value` or `[i]` waits while another thread or process holds the lock, as in multiprocessing; the
lock's owner dying ends the wait. What `get_obj`, a buffer or numpy shows is the bare memory: there the lock is the
caller's.
"""

from __future__ import annotations

import ctypes
import pickle
import weakref
from collections.abc import Sequence
from multiprocessing import sharedctypes as _standard
from multiprocessing.reduction import ForkingPickler

from . import _native
from ._store import INSIDE, Shared, keep_in_flight, on_disk, shared_arena
from .errors import InvalidSize, WrongTypecode
from .synchronize import Lock, RLock, arena_of

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "Array",
    "RawArray",
    "RawValue",
    "SharedArray",
    "SharedString",
    "SharedValue",
    "Synchronized",
    "SynchronizedArray",
    "SynchronizedBase",
    "SynchronizedString",
    "Value",
    "copy",
    "rebuild_ctype",
    "reduce_ctype",
    "synchronized",
]

typecode_to_type: dict[str, type[Any]] = {**_standard.typecode_to_type, "?": ctypes.c_bool}  # type: ignore[attr-defined]

class_cache: weakref.WeakKeyDictionary[type[Any], type[Any]] = weakref.WeakKeyDictionary()  # see `_wrapper_of`
make_property: Any = _standard.make_property  # type: ignore[attr-defined]
prop_cache: Any = _standard.prop_cache  # type: ignore[attr-defined]
template: Any = _standard.template  # type: ignore[attr-defined]

# The simple types that the native classes know; a subclass of one is not one (it may have methods of its own).
_type_to_typecode: dict[type[Any], str] = {type_: code for code, type_ in reversed(typecode_to_type.items())}


def _type_of(typecode_or_type: Any) -> type[Any]:
    """The ctypes type meant. Raises: WrongTypecode for an unknown typecode, TypeError for what is no C type."""
    if isinstance(typecode_or_type, str):
        try:
            return typecode_to_type[typecode_or_type]
        except KeyError:
            raise WrongTypecode(f"no typecode {typecode_or_type!r}; there are {' '.join(typecode_to_type)}") from None
    if not isinstance(typecode_or_type, type) or not _is_c_type(typecode_or_type):
        raise TypeError(f"expected a typecode or a ctypes type, not {typecode_or_type!r}")
    return typecode_or_type


def _is_c_type(type_: type[Any]) -> bool:
    try:
        ctypes.sizeof(type_)
    except TypeError:
        return False
    return True


# ctypes objects in shared memory


class _Block(_native.Block, Shared):
    """The memory under a ctypes object."""

    def create_memoryview(self) -> memoryview:
        """What the standard library's reducer asks of the memory under an object."""
        return memoryview(self)


def _new_value(type_: type[Any], arena: _native.Arena | None = None) -> Any:
    """A ctypes object over fresh shared memory, all zero."""
    size = ctypes.sizeof(type_)
    return rebuild_ctype(type_, _Block(arena or shared_arena(), max(size, 1)), None)


def rebuild_ctype(type_: type[Any], memory: Any, length: int | None) -> Any:
    """A ctypes object over `memory`, which it keeps alive; `length` makes it an array."""
    if length is not None:
        type_ = type_ * length
    # Asked of the table each time: the standard library registers a reducer of its own for the types it shares.
    if ForkingPickler._extra_reducers.get(type_) is not reduce_ctype:  # type: ignore[attr-defined]
        ForkingPickler.register(type_, reduce_ctype)
    obj = type_.from_buffer(memory)
    obj._wrapper = memory
    return obj


def reduce_ctype(obj: Any) -> Any:
    """Reduce a ctypes object to its address; one that does not lie in our memory as it would be without us."""
    memory = getattr(obj, "_wrapper", None)
    if memory is None:
        return obj.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
    if not isinstance(memory, Shared):
        return _standard.reduce_ctype(obj)  # type: ignore[attr-defined]
    if isinstance(obj, ctypes.Array):
        return rebuild_ctype, (obj._type_, memory, obj._length_)
    return rebuild_ctype, (type(obj), memory, None)


def RawValue(typecode_or_type: Any, *args: Any, arena: _native.Arena | None = None) -> Any:
    """A ctypes object in shared memory, without a lock; `args` initialise it.

    Raises: WrongTypecode for an unknown typecode; TypeError for what is no C type, or as its constructor does.
    """
    obj = _new_value(_type_of(typecode_or_type), arena)
    obj.__init__(*args)
    return obj


def RawArray(typecode_or_type: Any, size_or_initializer: Any, *, arena: _native.Arena | None = None) -> Any:
    """A ctypes array in shared memory, without a lock: of so many zeroes, or of the items of a sequence.

    Raises: WrongTypecode for an unknown typecode or a negative size; TypeError for what is no C type.
    """
    type_ = _type_of(typecode_or_type)
    if isinstance(size_or_initializer, int):
        return _new_value(type_ * _checked(size_or_initializer), arena)
    items = _items(size_or_initializer)
    obj = _new_value(type_ * len(items), arena)
    obj.__init__(*items)
    return obj


def _checked(size: int) -> int:
    if size < 0:
        raise InvalidSize(f"the size of an array cannot be negative, and {size} is")
    return size


def _items(initializer: Any) -> Sequence[Any]:
    """The items to begin with; an iterator's are collected."""
    return initializer if hasattr(initializer, "__len__") else list(initializer)


def copy(obj: Any) -> Any:
    """A copy of a ctypes object in shared memory, in the arena of the original if it has one (a file has none)."""
    memory = getattr(obj, "_wrapper", None)
    new = _new_value(type(obj), memory.arena if isinstance(memory, Shared) and not hasattr(memory, "path") else None)
    # Of the original's type: in check mode what lies in shared memory is of a subclass
    ctypes.cast(ctypes.pointer(new), ctypes.POINTER(type(obj)))[0] = obj
    return new


# The wrapped kind


if TYPE_CHECKING:  # in typeshed they are generic, at run time they are not
    _Base = _standard.SynchronizedBase[Any]
    _OfValue = _standard.Synchronized[Any]
    _OfArray = _standard.SynchronizedArray[Any]
else:
    _Base, _OfValue, _OfArray = _standard.SynchronizedBase, _standard.Synchronized, _standard.SynchronizedArray


class SynchronizedBase(_Base):
    """The standard wrapper, pickled at any time."""

    def __init__(self, obj: Any, lock: Any = None, ctx: Any = None) -> None:
        """With `lock`, or an RLock of the context's (None: in the arena of `obj`)."""
        super().__init__(obj, lock or _lock_beside(obj, ctx))

    @property
    def name(self) -> str | None:
        """The name it was given, for people; None when it has none, or lies in memory that is not ours."""
        return getattr(getattr(self.get_obj(), "_wrapper", None), "name", None)

    @name.setter
    def name(self, name: str | None) -> None:
        self.get_obj()._wrapper.name = name

    def __reduce__(self) -> tuple[Any, ...]:
        return synchronized, (self.get_obj(), self.get_lock())


class Synchronized(SynchronizedBase, _OfValue):
    """The standard wrapper of a simple value."""


class SynchronizedArray(SynchronizedBase, _OfArray):
    """The standard wrapper of an array."""


class SynchronizedString(SynchronizedArray, _standard.SynchronizedString):
    """The standard wrapper of an array of characters."""


def _lock_beside(obj: Any, ctx: Any) -> Any:
    """A lock for a ctypes object: the context's, or one in the arena of the object."""
    if ctx is not None:
        return ctx.RLock()
    memory = getattr(obj, "_wrapper", None)
    return RLock(arena=memory.arena if isinstance(memory, Shared) else shared_arena())


def _wrapper_of(cls: type[Any]) -> type[Any]:
    """The wrapper class for a structure: a property for each of its fields, those of its bases included."""
    if cls not in class_cache:
        names = [field[0] for base in reversed(cls.__mro__) for field in vars(base).get("_fields_", ())]
        properties = {name: make_property(name) for name in names}
        class_cache[cls] = type("Synchronized" + cls.__name__, (SynchronizedBase,), properties)
    return class_cache[cls]


def synchronized(obj: Any, lock: Any = None, ctx: Any = None) -> Any:
    """Wrap a ctypes object, so that each access takes `lock` (None: a new RLock of `ctx`, or beside the object).

    Raises: AssertionError if it is wrapped already.
    """
    assert not isinstance(obj, _standard.SynchronizedBase), "object already synchronized"
    if isinstance(obj, ctypes._SimpleCData):
        return Synchronized(obj, lock, ctx)
    if isinstance(obj, ctypes.Array):
        return SynchronizedString(obj, lock, ctx) if obj._type_ is ctypes.c_char else SynchronizedArray(obj, lock, ctx)
    return _wrapper_of(type(obj))(obj, lock, ctx)


# The native kind


class _Guarded(Shared):
    """What native values and arrays have in common: they travel together with their lock."""

    __slots__ = ()

    __init__: Any = object.__init__  # not the wrappers', of which only the names are inherited

    _obj = property(lambda self: self.get_obj())
    _lock = property(lambda self: self.get_lock())

    def __reduce__(self) -> tuple[Any, ...]:
        keep_in_flight(self)
        return _reopen, (type(self), self.arena, self.address, self.get_lock())  # type: ignore[attr-defined]


def _reopen(cls: Any, arena: _native.Arena, address: tuple[int, int], lock: Any) -> Any:
    """The value or array at an address. Raises ObjectGone when every holder had dropped it."""
    return cls(arena, lock=lock, address=address)


class SharedValue(_native.Value, _Guarded, Synchronized):  # type: ignore[override]
    """A number or character in shared memory, with a lock; made by `Value`."""

    def get_obj(self) -> Any:
        """A ctypes object over the same memory. Its accesses do not look at the lock."""
        return rebuild_ctype(typecode_to_type[self.typecode], self, None)


class SharedArray(_native.Array, _Guarded, SynchronizedArray):  # type: ignore[misc, override]
    """Numbers or characters in shared memory, with a lock; made by `Array`."""

    def get_obj(self) -> Any:
        """A ctypes array over the same memory. Its accesses do not look at the lock."""
        return rebuild_ctype(typecode_to_type[self.typecode], self, len(self))


class SharedString(SharedArray, SynchronizedString):  # type: ignore[misc, override]
    """Characters of one byte in shared memory, with a lock; made by `Array`."""


# The factories


def _native_code(typecode_or_type: Any, lock: Any) -> str | None:
    """The typecode for the native classes, None when the type or the lock is not theirs. Raises: as `_type_of`."""
    type_ = _type_of(typecode_or_type)
    if lock is False or not (lock in (True, None) or isinstance(lock, Lock | RLock)):
        return None
    return typecode_or_type if isinstance(typecode_or_type, str) else _type_to_typecode.get(type_)


def Value(
    typecode_or_type: Any,
    *args: Any,
    lock: Any = True,
    path: Any = None,
    name: str | None = None,
    ctx: Any = None,
    arena: _native.Arena | None = None,
) -> Any:
    """A C value in shared memory; `args` initialise it.

    `lock` is True for a new RLock, False for none (the result is a `RawValue`), or a lock to use. `ctx` is the context
    whose memory it lies in. Integers also have `add`, `exchange` and `compare_exchange`, each one step. With `path` or
    `name` it lives in a file, and `args` are for when that is not there yet: see docs/guides/disk.md.

    Raises: WrongTypecode for an unknown typecode; TypeError for what is no C type or a value of another kind;
    AttributeError for a lock that has no `acquire`.
    """
    if path is not None or name is not None:
        return on_disk("values").open_value(typecode_or_type, args, path, name, lock)
    arena = arena_of(ctx, arena)
    code = _native_code(typecode_or_type, lock)
    if code is None:
        return _wrapped(RawValue(typecode_or_type, *args, arena=arena), lock, arena)
    if len(args) > 1:
        raise TypeError(f"a Value takes one initial value, not {len(args)}")
    own = lock in (True, None)
    value = SharedValue(arena, code, lock := RLock(arena=arena) if own else lock)
    if own:
        _native.serve_as(lock, INSIDE, value.address[0])
    if args:
        value.value = args[0]
    return value


def Array(
    typecode_or_type: Any,
    size_or_initializer: Any,
    *,
    lock: Any = True,
    path: Any = None,
    name: str | None = None,
    ctx: Any = None,
    arena: _native.Arena | None = None,
) -> Any:
    """A C array in shared memory: of so many zeroes, or of the items of a sequence; `lock` as for `Value`.

    With `path` or `name` it lives in a file; then a size of None is whatever it has.

    Its buffer is writable, so `numpy.asarray(array)` is a view of it.

    Raises: as `Value`; InvalidSize for a negative size.
    """
    if path is not None or name is not None:
        return on_disk("values").open_array(typecode_or_type, size_or_initializer, path, name, lock)
    arena = arena_of(ctx, arena)
    code = _native_code(typecode_or_type, lock)
    if code is None:
        return _wrapped(RawArray(typecode_or_type, size_or_initializer, arena=arena), lock, arena)
    own = lock in (True, None)
    lock = RLock(arena=arena) if own else lock
    cls = SharedString if code == "c" else SharedArray
    items = None if isinstance(size_or_initializer, int) else _items(size_or_initializer)
    array = cls(arena, code, _checked(size_or_initializer) if items is None else len(items), lock)
    if own:
        _native.serve_as(lock, INSIDE, array.address[0])
    if items is not None:
        array[:] = items
    return array


def _wrapped(obj: Any, lock: Any, arena: _native.Arena) -> Any:
    if lock is False:
        return obj
    if lock in (True, None):
        lock = RLock(arena=arena)
    if not hasattr(lock, "acquire"):
        raise AttributeError(f"{lock!r} has no method 'acquire'")
    return synchronized(obj, lock)
