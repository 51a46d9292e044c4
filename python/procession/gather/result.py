"""The answer of a keyed map-reduce: a Mapping that lies in a file, in memory or on disk, and is read in place.

The workers have written the entries, packed and sorted by hash; the caller maps the file and makes objects only of what
it asks for. A look-up costs about as much as in a dict, and the dict, which takes several times the memory and seconds
to build, is made only by `to_dict`. The format is open (docs/reference/memory.md) and the same in memory and in a
saved file.

What differs from a dict:

* Keys of different types are different keys: 1, 1.0 and True are three.
* Iteration is in storage order, which is arbitrary but the same for keys, values, items and columns of one result;
  `sorted=True` gives ascending keys.
* A value is made anew each time it is asked for: changing one changes nothing here. Sets come as frozensets.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import ItemsView, KeysView, Mapping, ValuesView
from multiprocessing import context as _mp_context
from multiprocessing import reduction as _mp_reduction

from .. import _native
from .._outcome import anonymous_file
from ..errors import ObjectGone
from .reducers import LIST, SCALAR, SET

TYPE_CHECKING = False  # `typing` is slow to import, and workers should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Self

    from .reducers import Reducer
    from .spool import Spool

    _Mapping = Mapping[Any, Any]
    _Keys = KeysView[Any]
    _Values = ValuesView[Any]
    _Items = ItemsView[Any, Any]
else:
    _Mapping, _Keys, _Values, _Items = Mapping, KeysView, ValuesView, ItemsView

__all__ = ["KeyedResult"]

CHUNK = 1024  # entries made at a time by an iteration; few enough to stay in a processor's cache
_MISSING = object()


class KeyedResult(_native.Answer, _Mapping):
    """A read-only mapping from key to reduced value, in shared memory or in a saved file.

    `Pool.map_reduce_by_key` returns one; `open` and `from_dict` make others. `[]`, `in`, `get` and `len` are native.
    Reading blocks on nothing but, for a file on disk, the disk; several threads and processes may read at once. What
    other libraries compute on comes in columns: `to_arrow`, `keys_array`, `values_array`. Everything raises ValueError
    after `close`, which `with` and forgetting the object do as well.

    It can be sent to any relative of this process, which maps the same memory; nothing is copied. The sender keeps its
    own until the other side has it (else ObjectGone there). The memory is given back when every holder has closed its
    result or ended, however it ended.
    """

    statistics: Any = None  # of the call that made it; None for one that was opened

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """A result saved before, mapped. Takes no longer for a large one, and memory only for what is read of it.

        Raises: OSError; ValueError saying what is wrong with the file. Replace such a file by another `save`: one that
        is overwritten or cut short in place while mapped gives wrong values, or SIGBUS.
        """
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return cls(fd)
        except ValueError as error:
            raise ValueError(f"{os.fspath(path)}: {error}") from None
        finally:
            os.close(fd)

    @classmethod
    def from_dict(cls, mapping: Mapping[Any, Any]) -> Self:
        """A result with the entries of any mapping, in memory: to be saved for other programs, or sent around cheaply.

        Lists stay lists and sets become frozensets if all values are such. Raises: TypeError for what cannot be a key;
        PicklingError for a value that cannot be stored; OSError.
        """
        fd = anonymous_file("procession-result")
        try:
            meta = json.dumps({"reducer": None}).encode()
            _native.build_answer(fd, _shape_of(mapping), meta, mapping.items())
            return cls(fd)
        finally:
            os.close(fd)

    def __repr__(self) -> str:
        name = type(self).__name__
        if self.closed:
            return f"<{name}, closed>"
        how = f" of {self.reducer}" if self.reducer else ""
        return f"<{name}{how}: {len(self):,} keys, {self.nbytes:,} bytes>"

    # Asking

    @property
    def reducer(self) -> str | None:
        """How the values were made: "count", "top(3)"; None if nobody knows."""
        try:
            described = json.loads(self._meta)
        except ValueError:  # another program's description
            return None
        name = described.get("reducer") if isinstance(described, dict) else None
        return name if isinstance(name, str) else None

    def __eq__(self, other: object) -> bool:
        """Equal as mappings are: the same keys with equal values, whatever `other` is made of."""
        if other is self:
            return True
        if not isinstance(other, Mapping):
            return NotImplemented
        if len(self) != len(other):
            return False
        return all(_same(other.get(key, _MISSING), value) for key, value in self.items())

    __hash__ = None  # type: ignore[assignment]

    # Iterating

    def __iter__(self) -> Iterator[Any]:
        return self._chunks(self._keys, None)

    def keys(self, *, sorted: bool = False) -> KeysView[Any]:
        """The keys, in storage order or ascending. Raises (with `sorted`): TypeError for keys without an order."""
        return _KeysOf(self, self._order() if sorted else None)

    def values(self, *, sorted: bool = False) -> ValuesView[Any]:
        """The values, in the order of `keys`. Raises: as `keys`."""
        return _ValuesOf(self, self._order() if sorted else None)

    def items(self, *, sorted: bool = False) -> ItemsView[Any, Any]:
        """Pairs of both. Raises: as `keys`."""
        return _ItemsOf(self, self._order() if sorted else None)

    def top(self, n: int) -> list[tuple[Any, Any]]:
        """The `n` entries with the largest values, the largest first; of equal ones those with the smaller keys.

        Lists and sets count by how many members they have; a NaN comes last. One pass over the values, without the
        interpreter lock. Raises: ValueError for a negative `n`; TypeError when a value is none of these.
        """
        if n < 0:
            raise ValueError(f"top({n}): how many entries cannot be negative")
        return self._items(0, min(n, len(self)), self._top(min(n, len(self))))

    def _chunks(self, take: Callable[..., list[Any]], order: _native.Order | None) -> Iterator[Any]:
        for start in range(0, len(self), CHUNK):
            yield from take(start, start + CHUNK, order)

    # Handing over

    def keys_array(self) -> Any:
        """The keys as a numpy array, in storage order: int64 or float64 if all are int or all float, else objects.

        Raises: ImportError without numpy.
        """
        numpy = _optional("numpy", "keys_array()")
        return _to_numpy(numpy, self._keys_array(), self.keys())

    def values_array(self) -> Any:
        """The values as a numpy array, in storage order: int64, float64 or objects, as for the keys.

        Raises: ImportError without numpy.
        """
        numpy = _optional("numpy", "values_array()")
        return _to_numpy(numpy, self._values_array(), self.values())

    def to_arrow(self) -> Any:
        """A pyarrow Table with the columns "key" and "value", in storage order.

        Columns of str, bytes, int and float are made natively; others object by object; sets become lists.
        Raises: ImportError without pyarrow; ValueError or pyarrow's own for what Arrow has no type for, such as keys of
        several types or text with lone surrogates.
        """
        arrow = _optional("pyarrow", "to_arrow()")
        keys, values = _to_arrow(arrow, self._keys_array()), _to_arrow(arrow, self._values_array())
        if keys is None:
            keys = arrow.array(list(self.keys()))
        if values is None and self._shape == SET:
            values = arrow.array([list(members) for members in self.values()])
        elif values is None:
            values = arrow.array(list(self.values()))
        return arrow.table({"key": keys, "value": values})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a copy to `path`, for `KeyedResult.open` and for other programs (the format is in
        docs/reference/memory.md).

        It is written beside, under another name, brought to the disk and renamed: `path` is the older file or the whole
        new one at any moment, after a kill or a power cut too, and readers of the older one are not disturbed. A kill
        half-way leaves `.NAME.PID-N.draft`, which can be removed. Raises: OSError, also when a device or a pipe has
        that name; nothing is left of a copy that failed.
        """
        path = os.fspath(path)
        if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
            raise OSError(errno.EINVAL, "not a file, and saving would put one in its place", path)
        self._save(path)

    # The end, and travelling

    def __enter__(self) -> Self:
        if self.closed:
            raise ValueError("the result is closed")
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        fd = self._fd
        if _mp_context.get_spawning_popen() is not None:
            return _attach_inherited, (type(self), _mp_reduction.DupFd(fd))
        return _attach_relative, (type(self), os.getpid(), fd, _identity(fd))


class _InOrder:
    """What the three views have: the result, and an order of its keys (None: as they are stored)."""

    __slots__ = ()

    if TYPE_CHECKING:
        _order: _native.Order | None

    def __init__(self, result: KeyedResult, order: _native.Order | None) -> None:
        super().__init__(result)  # type: ignore[call-arg]  # that of the standard view
        self._order = order  # type: ignore[misc]  # a slot of each class: two bases with slots do not go together

    @property
    def _result(self) -> KeyedResult:
        return self._mapping  # type: ignore[attr-defined,no-any-return]


class _KeysOf(_InOrder, _Keys):
    """The keys of a result in an order of their own."""

    __slots__ = ("_order",)

    def __iter__(self) -> Iterator[Any]:
        return self._result._chunks(self._result._keys, self._order)


class _ValuesOf(_InOrder, _Values):
    """The values of a result, in the order of its keys."""

    __slots__ = ("_order",)

    def __iter__(self) -> Iterator[Any]:
        return self._result._chunks(self._result._values, self._order)

    def __contains__(self, value: object) -> bool:
        return any(_same(value, found) for found in self)


class _ItemsOf(_InOrder, _Items):
    """The items of a result, in the order of its keys."""

    __slots__ = ("_order",)

    def __iter__(self) -> Iterator[Any]:
        return self._result._chunks(self._result._items, self._order)


def seal(answer: Spool, reducer: Reducer, entries: list[bytes], members: list[bytes]) -> KeyedResult:
    """The result whose segments lie in a spool: where they are, `merge` returned. Raises: SpillFull, OSError."""
    meta = json.dumps({"reducer": reducer.label}).encode()
    answer.fill(_native.seal_answer, answer.fd, reducer.shape, meta, entries, members)
    return KeyedResult(answer.fd)


def _same(one: object, other: object) -> bool:
    return one is other or bool(one == other)


def _shape_of(mapping: Mapping[Any, Any]) -> int:
    """How to store the values: as lists or sets only if all are such."""
    types = {type(value) for value in mapping.values()}
    if types == {list}:
        return LIST
    return SET if types and types <= {set, frozenset} else SCALAR


def _optional(name: str, caller: str) -> Any:
    """Import a library that users install themselves."""
    try:
        return __import__(name)
    except ImportError as error:
        raise ImportError(f"{caller} needs {name}, which is not installed: pip install {name}", name=name) from error


def _to_numpy(numpy: Any, column: tuple[Any, ...] | None, objects: Any) -> Any:
    if column is not None and column[0] in ("int", "float"):
        return numpy.frombuffer(column[1], dtype="<i8" if column[0] == "int" else "<f8")
    array = numpy.empty(len(objects), dtype=object)
    for index, found in enumerate(objects):  # by index: numpy would make rows of tuples and lists
        array[index] = found
    return array


def _to_arrow(arrow: Any, column: tuple[Any, ...] | None) -> Any:
    """An Arrow array over the bytes of a column, without a copy; None if there is no such column."""
    if column is None:
        return None
    kinds = {"int": arrow.int64, "float": arrow.float64, "str": arrow.large_utf8, "bytes": arrow.large_binary}
    kind = kinds[column[0]]()
    length = len(column[1]) // 8 - (column[0] in ("str", "bytes"))
    buffers = [None, *(arrow.py_buffer(part) for part in column[1:] if part is not None)]
    array = arrow.Array.from_buffers(kind, length, buffers)
    if column[0] == "str":
        try:
            array.validate(full=True)
        except arrow.ArrowInvalid as error:
            raise ValueError(f"a key is no valid UTF-8, as Arrow needs it (a lone surrogate): {error}") from error
    return array


def _identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def _attach_inherited(cls: type[KeyedResult], duplicate: Any) -> KeyedResult:
    descriptor = duplicate.detach()
    try:
        return cls(descriptor)
    finally:
        os.close(descriptor)


def _attach_relative(cls: type[KeyedResult], pid: int, fd: int, identity: tuple[int, int]) -> KeyedResult:
    """Raises: ObjectGone when the process that sent it has ended, or has closed it."""
    try:
        descriptor = os.open(f"/proc/{pid}/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise ObjectGone(
            f"cannot reach a result of process {pid} ({error.strerror}): it has ended, closed the result, or belongs "
            "to another user"
        ) from error
    try:
        if _identity(descriptor) != tuple(identity):
            raise ObjectGone(f"a result was closed by process {pid} before it was received")
        return cls(descriptor)
    finally:
        os.close(descriptor)
