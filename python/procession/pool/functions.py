"""Functions travel once: the parent puts each into a shared block, tasks name the block, workers read what they meet.

A function is identified by its pickle, so calling `map` with the same function (or an equal closure) again ships
nothing. A function found by its name in a module is recognised without pickling; for all others, which may have
changed since, the pickle is made anew and compared. Lambdas, closures and functions typed at a prompt need cloudpickle.

Arrays and other large buffers in it (of a `partial` over a data frame, say) lie in the block as they are. Workers see
them there, read-only and without a copy of their own; to know them again the parent keeps their hash.
"""

from __future__ import annotations

import pickle
import sys
import types

from .. import _native
from .._prompt import ByValue, has_cloudpickle, is_typed_in, main_is_typed_in

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from .registration import Registration

__all__ = ["FunctionTable", "load"]

MOST = 256  # functions kept; when more are known and no task is out, all are forgotten


def _is_found_by_name(function: Any) -> bool:
    """Whether pickle would write nothing but the function's name, and find this very function by it."""
    if not isinstance(function, types.FunctionType | types.BuiltinFunctionType):
        return False
    module = sys.modules.get(function.__module__ or "")
    return module is not None and getattr(module, function.__qualname__, None) is function and not is_typed_in(function)


def _message(function: Any, known: Iterable[Any]) -> tuple[bytes, list[Any]]:
    """The function's encoded form. Raises: PicklingError naming what cannot be pickled."""
    if (main_is_typed_in() or is_typed_in(function)) and not _is_found_by_name(function) and has_cloudpickle():
        function = ByValue(function, known)
    data, buffers = _native.encode(function, True)
    return data, buffers


_ALIGNED = 64  # bytes; what numpy and Arrow like
_LENGTH = 8  # bytes at the beginning of a block: how long the pickle is that follows


def _places(start: int, sizes: list[int]) -> Iterator[slice]:
    """Where buffers of these sizes lie, one behind the other, when what is before them ends at `start`."""
    for size in sizes:
        start = -(-start // _ALIGNED) * _ALIGNED
        yield slice(start, start + size)
        start += size


def _identity(head: bytes, buffers: list[memoryview]) -> bytes:
    """What two messages have in common if they are equal, and else have not."""
    if not buffers:
        return head
    from hashlib import blake2b

    digest = blake2b(head)
    for buffer in buffers:
        digest.update(buffer)
    return digest.digest()


def _store(arena: _native.Arena, head: bytes, buffers: list[memoryview]) -> _native.Block:
    """A block with a message: length of the head, head, buffers; see `load`."""
    places = list(_places(_LENGTH + len(head), [buffer.nbytes for buffer in buffers]))
    block = _native.Block(arena, places[-1].stop if places else _LENGTH + len(head))
    room = memoryview(block)
    room[: _LENGTH + len(head)] = len(head).to_bytes(_LENGTH, "little") + head
    for place, buffer in zip(places, buffers, strict=True):
        room[place] = buffer
    return block


class FunctionTable:
    """What the parent has shipped. `address` is called under no lock: at worst two threads ship the same twice."""

    def __init__(self, arena: _native.Arena, outstanding: Callable[[], int], known: Iterable[Any] = ()) -> None:
        """`known`: classes of the main module that all workers have; see `_prompt`."""
        from .. import _codec  # noqa: F401  (not in some thread later: whoever forks during an import keeps its lock)

        self._arena = arena
        self._outstanding = outstanding
        self._known = known
        self._by_identity: dict[int, tuple[Any, tuple[int, int]]] = {}
        self._by_content: dict[bytes, tuple[Any, _native.Block]] = {}
        self.registration: Registration | None = None  # of the pool, once there is one

    def __len__(self) -> int:
        return len(self._by_content)

    def address(self, function: Any) -> tuple[int, int]:
        """Where workers find `function`. Raises: TypeError if it cannot be called; PicklingError."""
        known = self._by_identity.get(id(function))
        if known is not None and known[0] is function:
            return known[1]
        return self._ship(function)

    check = address

    def _ship(self, function: Any) -> tuple[int, int]:
        if not callable(function):
            raise TypeError(f"a pool calls functions, and {function!r} cannot be called")
        if self.registration is not None:
            self.registration.entitle(function)
        if len(self._by_content) >= MOST and self._outstanding() == 0:
            self._by_identity.clear()
            self._by_content.clear()
        data, buffers = _message(function, self._known)
        raw = [memoryview(buffer).cast("B") for buffer in buffers]
        head = pickle.dumps((data, [buffer.nbytes for buffer in raw]), 5)
        content = _identity(head, raw)
        known = self._by_content.get(content)
        if known is None:
            block = _store(self._arena, head, raw)
            if self.registration is not None:
                self.registration.take_in(block)
            # The function is kept too: shared objects that its pickle mentions live as long as it does.
            known = self._by_content[content] = (function, block)
        address: tuple[int, int] = known[1].address
        if _is_found_by_name(function):
            self._by_identity[id(function)] = (function, address)
        return address


def load(arena: _native.Arena, offset: int, serial: int) -> Any:
    """In a worker: the function at an address. Raises: UnpicklingError when this process cannot make it."""
    room = memoryview(_native.Block(arena, address=(offset, serial))).toreadonly()  # what lies in it is all workers'
    end = _LENGTH + int.from_bytes(room[:_LENGTH], "little")
    data, sizes = pickle.loads(room[_LENGTH:end])
    return _native.decode(data, [room[place] for place in _places(end, sizes)])
