"""Large arrays on their way to workers: copied into shared memory once, read in place by all.

An array above the limit gets a block of the arena when a task of a call first takes it; every further task of that
call mentions the block. The block has no name. It lives as long as a task that mentions it, a view on it in some
worker, or the entry on the shelf, which goes soon after the array or at the end of the call.
"""

from __future__ import annotations

import sys
import threading
import weakref
from typing import Any

from .. import _native
from .._store import Shared, shared_arena

__all__ = ["Shelf"]

_PROTOCOL = 5  # of pickle
_KEPT = 1 << 30  # bytes of arrays kept for tasks to come, beside those that tasks on their way use
_SAMPLE = 256  # items of an array that are compared to notice that it was filled anew


class _Block(_native.Block, Shared):
    """Shared memory that tasks, and views on it, keep."""

    __slots__ = ()


class Shelf:
    """The large arrays of one call of Parallel.

    An array is known by where its items lie. It is put anew when it, or some of its items, are not what they were: a
    sample is compared, so a change of a few items between two tasks of one call may go unnoticed (joblib notices none).
    """

    def __init__(self, most_bytes: int | None, mode: str | None) -> None:
        """Arrays above `most_bytes` are shared, with views as `numpy.memmap` names them in `mode`; None: none are."""
        self._most = None if mode is None else most_bytes
        self._mode = mode
        self._kept: dict[Any, tuple[weakref.ref[Any], bytes, _Block]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def clear(self) -> None:
        """Forget all arrays. What tasks on their way use is theirs."""
        with self._lock:
            self._kept.clear()

    def reducers(self, held: list[Any]) -> dict[type, Any]:
        """For a pickler: how arrays are pickled. `held` gets what must live until the task is done."""
        numpy = sys.modules.get("numpy")
        if numpy is None or self._most is None:
            return {}

        def reduce(array: Any) -> Any:
            return self._reduce(array, held)

        return {numpy.ndarray: reduce, numpy.memmap: reduce}

    def _reduce(self, array: Any, held: list[Any]) -> Any:
        if array.nbytes <= (self._most or 0) or array.dtype.hasobject:
            return array.__reduce_ex__(_PROTOCOL)
        mapped = _in_file(array)
        if mapped is not None:
            return mapped
        order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
        with self._lock:
            block = self._block(array, order)
        held.append(block)
        return _view, (block, array.dtype, array.shape, order, self._mode)

    def _block(self, array: Any, order: str) -> _Block:
        owner = _owner(array)
        key = (_start(array), array.shape, array.strides, array.dtype)
        sample = array.flat[:: max(1, array.size // _SAMPLE)].tobytes()
        known = self._kept.pop(key, None)
        if known is None or known[0]() is not owner or known[1] != sample:
            block = _Block(shared_arena(), array.nbytes)
            _items(block, array.dtype, array.shape, order)[...] = array
            known = weakref.ref(owner), sample, block
        self._kept[key] = known
        self._make_room()
        return known[2]

    def _make_room(self) -> None:
        """Forget those whose array is gone, and those not used for longest, but never the last."""
        kept = self._kept = {key: entry for key, entry in self._kept.items() if entry[0]() is not None}
        excess = sum(len(block) for _, _, block in kept.values()) - _KEPT
        for key in list(kept)[:-1]:
            if excess <= 0:
                break
            excess -= len(kept.pop(key)[2])


def _owner(array: Any) -> Any:
    """The array whose memory this one shows. As long as it lives, nothing else can lie there."""
    while isinstance(array.base, sys.modules["numpy"].ndarray):
        array = array.base
    return array


def _start(array: Any) -> int:
    return int(array.__array_interface__["data"][0])


def _items(block: _Block, dtype: Any, shape: tuple[int, ...], order: Any) -> Any:
    import numpy

    return numpy.ndarray(shape, dtype, memoryview(block), order=order)


def _view(block: _Block, dtype: Any, shape: tuple[int, ...], order: Any, mode: str) -> Any:
    """In a worker: the array in a block, which it keeps."""
    array = _items(block, dtype, shape, order)
    if mode == "c":
        return array.copy(order)
    array.flags.writeable = mode in ("r+", "w+")
    return array


# Arrays mapped from a file


def _in_file(array: Any) -> Any:
    """How an array is pickled that lies in a file mapped by numpy, wherever in it; None for any other."""
    owner = _owner(array)
    name = getattr(owner, "filename", None)
    if name is None or not isinstance(owner, sys.modules["numpy"].memmap):
        return None
    low, high = _bounds(array)
    mode = "r+" if owner.mode == "w+" else owner.mode
    place = str(name), mode, owner.offset + low - _start(owner), high - low
    return _map, (*place, _start(array) - low, array.dtype, array.shape, array.strides)


def _bounds(array: Any) -> tuple[int, int]:
    """Addresses of an array's lowest byte and of the one behind its highest."""
    low = high = _start(array)
    for length, stride in zip(array.shape, array.strides, strict=True):
        low += min(0, (length - 1) * stride)
        high += max(0, (length - 1) * stride)
    return low, high + array.itemsize


def _map(
    filename: str, mode: Any, offset: int, size: int, first: int, dtype: Any, shape: tuple[int, ...], strides: Any
) -> Any:
    """In a worker: the array in a file."""
    import numpy

    mapped = numpy.memmap(filename, "u1", mode, offset, (size,))
    return numpy.ndarray(shape, dtype, mapped, first, strides)
