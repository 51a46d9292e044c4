"""What the globals of the user's modules are at a moment, as digests that can be compared, in other processes too.

Plain values, containers, arrays and objects of the user's own classes go into a digest by their contents; everything
else, functions, connections, locks of this package, by its type alone: whether two of these are alike nobody can tell,
and a false alarm is worse than silence. What is too large counts by its beginning.
"""

from __future__ import annotations

import collections
import os
import queue
import reprlib
import sys
import zlib

from .journal import is_users

TYPE_CHECKING = False  # `typing` is slow to import, and every process of a checked program imports this
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    Snapshot = dict[tuple[str, str], tuple[int, dict[str, int]]]

__all__ = ["attributes", "describe", "modules", "snapshot"]

MOST_PARTS = 2_000  # of one global; arbitrary
MOST_IN_ALL = 50_000  # of all globals of a process: some 20 ms
MOST_BYTES = 1 << 20  # of one array or string

_PLAIN = (type(None), bool, int, float, complex)


def modules() -> dict[str, ModuleType]:
    """The user's modules that are loaded, by the path of their file ("<string>" for `python -c`)."""
    found = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file is None and name == "__main__" and not hasattr(sys, "ps1"):
            file = "<string>"
        if isinstance(file, str) and is_users(file) and type(module) is type(sys):
            found[file if file.startswith("<") else os.path.abspath(file)] = module
    return found


def snapshot() -> Snapshot:
    """By file and name: a global's digest, and those of its attributes if it is an object or class of the user's."""
    taken: Snapshot = {}
    budget = MOST_IN_ALL
    for file, module in modules().items():
        for name, value in list(vars(module).items()):
            if name.startswith("__"):
                continue
            digest = _Digest(min(MOST_PARTS, budget))
            try:
                if _is_code(value, module):
                    continue
                whole = digest.of(value)
                parts = {key: _Digest(MOST_PARTS).of(part) for key, part in attributes(value).items()}
            except Exception:  # it changes while we look, or is made to be looked at in no way
                continue
            budget -= digest.parts
            taken[file, name] = whole, parts
    return taken


def describe(value: Any) -> str:
    """A value in a few characters, if that means something; else its type. Runs no code of the user's."""
    if type(value) in (*_PLAIN, str, bytes, list, tuple, dict, set, frozenset):
        return _Short().repr(value)[:80]
    return f"a {type(value).__name__}"


class _Short(reprlib.Repr):
    """The beginning of a value; of objects of other classes their name."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring = 3, 40
        self.maxlist = self.maxdict = self.maxset = self.maxtuple = 4

    def repr1(self, x: Any, level: int) -> str:
        if type(x) in (*_PLAIN, bytes):
            return repr(x)[:40]
        if type(x) in (str, list, tuple, dict, set, frozenset):
            return super().repr1(x, level)
        return f"<{type(x).__name__}>"


def _is_code(value: Any, module: ModuleType) -> bool:
    """Modules, functions and classes; of classes the user's own in their module are looked into."""
    if isinstance(value, type):
        return value.__module__ not in (module.__name__, "__main__", "__mp_main__")
    return (callable(value) and not _is_of_user(type(value))) or type(value) is type(sys)


def _is_of_user(cls: type) -> bool:
    module = sys.modules.get(cls.__module__)
    file = getattr(module, "__file__", None)
    if file is None:
        return cls.__module__ == "__main__"
    return is_users(file)


def attributes(value: Any) -> dict[str, Any]:
    """The data of an object of a user's class, or of such a class."""
    if isinstance(value, type):
        return {
            name: part
            for name, part in list(vars(value).items())
            if not name.startswith("__")
            and not callable(part)
            and not hasattr(type(part), "__get__")
            and not isinstance(part, (staticmethod, classmethod, property))
        }
    if not _is_of_user(type(value)):
        return {}
    found = dict(getattr(value, "__dict__", None) or {})
    for cls in type(value).__mro__:
        names = cls.__dict__.get("__slots__", ())
        for name in (names,) if isinstance(names, str) else names:
            member: Any = cls.__dict__.get(name)
            if hasattr(member, "__objclass__") and name not in ("__dict__", "__weakref__"):
                try:
                    found[name] = member.__get__(value)
                except AttributeError:
                    continue
    return found


class _Digest:
    """A checksum over the parts of a value, up to a number of them."""

    def __init__(self, most: int) -> None:
        self.left = most
        self.parts = 0
        self._open: set[int] = set()

    def of(self, value: Any) -> int:
        """A number of 32 bits. Raises: whatever looking at the value raises."""
        self.parts += 1
        self.left -= 1
        cls = type(value)
        if isinstance(value, (*_PLAIN, str, bytes)):
            return _sum(cls.__name__, _text(value))
        if self.left <= 0 or id(value) in self._open:
            return _sum(cls.__name__, b"...")
        self._open.add(id(value))
        try:
            return self._inside(value, cls)
        finally:
            self._open.discard(id(value))

    def _inside(self, value: Any, cls: type) -> int:
        if isinstance(value, dict):
            inner = [x for key, part in list(dict.items(value)) if self.left > 0 for x in (self.of(key), self.of(part))]
        elif isinstance(value, (list, tuple, collections.deque)):
            inner = [self.of(part) for part in list(value) if self.left > 0]
        elif isinstance(value, (set, frozenset)):
            inner = sorted(self.of(part) for part in list(value) if self.left > 0)
        elif isinstance(value, queue.Queue):  # LIFO and priority queues too
            return _sum(cls.__name__, str(self.of(value.queue)).encode())
        elif isinstance(value, queue.SimpleQueue):
            return _sum(cls.__name__, str(value.qsize()).encode())
        elif (data := _private_bytes(value)) is not None:
            return _sum(cls.__name__, data)
        elif data_of := attributes(value):
            inner = [x for key, part in data_of.items() for x in (_sum("", key.encode()), self.of(part))]
        else:
            return _sum(cls.__name__, b"")
        size = len(value) if isinstance(value, (dict, list, tuple, set, frozenset, collections.deque)) else 0
        return _sum(cls.__name__, repr((size, inner)).encode())


def _text(value: Any) -> bytes:
    if isinstance(value, str):
        return f"{len(value)}:".encode() + value[:MOST_BYTES].encode("utf-8", "surrogatepass")
    if isinstance(value, bytes):
        return f"{len(value)}:".encode() + value[:MOST_BYTES]
    return repr(value).encode() if not isinstance(value, int) else hex(value).encode()


def _private_bytes(value: Any) -> bytes | None:
    """The contents of a bytearray, an array or a NumPy array that owns its memory; None for anything else.

    An array over shared memory does not own it: what a child writes there its parent sees.
    """
    import array

    if isinstance(value, bytearray | array.array):
        return bytes(memoryview(value).cast("B")[:MOST_BYTES])
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None and type(value) is numpy.ndarray and value.flags.owndata and not value.dtype.hasobject:
        return bytes(value.reshape(-1)[: MOST_BYTES // max(1, value.itemsize)].tobytes())
    return None


def _sum(name: str, data: bytes) -> int:
    return zlib.crc32(data, zlib.crc32(name.encode()))
