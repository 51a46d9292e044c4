"""What the standard library's queues have inside, for programs that reach in.

`multiprocessing.Queue` is a pipe, two locks, a semaphore, a buffer and a thread; libraries and subclasses wait for
`_reader`, call `_reader.recv()`, take `_rlock`, append to `_buffer`. Ours is one ring, and these are views of it. Each
is made when first asked for and holds a handle of its own on the ring, not the queue: no cycle keeps a queue alive.

What the views guard or count is done by the ring itself. So `_rlock` and `_wlock` are ordinary locks that nothing of
ours takes, `_sem.acquire` waits for room without reserving it, and an item appended to `_buffer` is put at once.
"""

from __future__ import annotations

import os
import select
from multiprocessing.reduction import ForkingPickler
from time import monotonic

from . import _native
from ._store import Shared
from .errors import ShutDown

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["QueueReader", "QueueWriter", "make"]

_RECHECK_S = 0.1  # a putter may have been killed between its commit and its wake-up
_UNBOUNDED = 2**31 - 1  # what the standard library has in place of 0


class _View(_native.Ring, Shared):
    """A handle of its own on a queue's ring."""

    __slots__ = ()

    def __new__(cls, *, arena: _native.Arena, address: tuple[int, int]) -> Any:
        return super().__new__(cls, arena, address=address)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}({'closed' if self.closed else f'{self.qsize()} items'})>"

    def _check_open(self) -> None:
        if self.closed:
            raise OSError("handle is closed")

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class QueueReader(_View):
    """A queue's `_reader`: the receiving end, as far as one end of a pipe can be seen in a queue.

    `multiprocessing.connection.wait`, select and asyncio take it: its descriptor is readable while there are items.
    """

    __slots__ = ()
    readable, writable = True, False

    def fileno(self) -> int:
        """A descriptor of this process that is readable while the queue has items; nothing is to be read from it.

        Raises: TooManyWaiters when 32 other processes wait in this way, OSError when closed.
        """
        self._check_open()
        return self.watch()

    def _is_ready(self, woken: bool) -> bool:
        """For `connection.wait`: whether `recv` would not wait. Brings the descriptor in line with the ring."""
        self._check_open()
        self.watch()
        return not self.empty() or self.is_shutdown

    def poll(self, timeout: float | None = 0.0) -> bool:
        """Whether `recv` would not wait, within `timeout` seconds (None: for ever). Raises: OSError when closed."""
        self._check_open()
        return super().poll(timeout)

    def recv(self) -> Any:
        """Wait for an item and take it. Raises: EOFError when the queue was shut down and is empty, OSError."""
        self._check_open()
        try:
            return self.get()
        except ShutDown:
            raise EOFError from None

    def recv_bytes(self, maxlength: int | None = None) -> bytes:
        """The same as a pickle. Raises: OSError for one longer than `maxlength` bytes; the item is lost then."""
        pickled = bytes(ForkingPickler.dumps(self.recv()))
        if maxlength is not None and len(pickled) > maxlength:
            raise OSError("bad message length")
        return pickled


class QueueWriter(_View):
    """A queue's `_writer`: the sending end."""

    __slots__ = ()
    readable, writable = False, True

    def send(self, obj: Any) -> None:
        """Put an object; waits for room. Raises: as `put`, OSError when closed."""
        self._check_open()
        self.put(obj)

    def send_bytes(self, buf: Any, offset: int = 0, size: int | None = None) -> None:
        """Put the object whose pickle this is (or a part of it): what `get` returns. Raises: as `send`."""
        self._check_open()
        view = memoryview(buf).cast("B")[offset:]
        self.send(ForkingPickler.loads(view if size is None else view[:size]))


class _Room(_View):
    """`_sem`, whose value is the room that is left. Acquiring waits for room and reserves none."""

    __slots__ = ()

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Wait until an item can be put. False: `timeout` seconds have passed."""
        end = None if timeout is None else monotonic() + timeout
        while self.full() and not self.is_shutdown:
            left = _RECHECK_S if end is None else end - monotonic()
            if not block or left <= 0:
                return False
            select.select([self.watch_room()], [], [], min(left, _RECHECK_S))
        return True

    def release(self) -> None:
        """Nothing: the room comes back with the item taken."""

    @property
    def _semlock(self) -> Any:
        return self

    def _get_value(self) -> int:
        return max((self.max_items or _UNBOUNDED) - self.qsize(), 0)

    get_value = _get_value

    def _is_zero(self) -> bool:
        return self.full()


class _Unfinished(_View):
    """`_unfinished_tasks`, whose value is the number of items that are not done with."""

    __slots__ = ()

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """One is done with. False: none was left. Never waits."""
        return bool(self.task_done())

    def release(self) -> None:
        """Nothing: an item is counted when it is put."""

    @property
    def _semlock(self) -> Any:
        return self

    def _get_value(self) -> int:
        return self.unfinished()

    get_value = _get_value

    def _is_zero(self) -> bool:
        return not self.unfinished()


class _Buffer(_View):
    """`_buffer`: always empty, because what is appended is put."""

    __slots__ = ()

    def append(self, obj: Any) -> None:
        """Put an object; waits for room."""
        self.put(obj)

    def popleft(self) -> Any:
        """Raises: IndexError: nothing waits to be sent."""
        raise IndexError("nothing waits to be sent: put has delivered when it returns")

    def clear(self) -> None:
        """Nothing to clear."""

    def __len__(self) -> int:
        return 0


def _view(cls: type[_View]) -> Callable[[Any], Any]:
    return lambda queue: cls(arena=queue.arena, address=queue.address)


def _private_condition(queue: Any) -> Any:
    import threading

    return threading.Condition(threading.Lock())


def _creator(queue: Any) -> int:
    """The process that made the queue."""
    offset, serial = queue.address
    for found, _kind, number, _size, pid in queue.arena.objects():
        if (found, number) == (offset, serial):
            return int(pid)
    return os.getpid()


_MAKERS: dict[str, Callable[[Any], Any]] = {
    "_reader": _view(QueueReader),
    "_writer": _view(QueueWriter),
    "_sem": _view(_Room),
    "_buffer": _view(_Buffer),
    "_unfinished_tasks": _view(_Unfinished),
    "_notempty": _private_condition,
    "_opid": _creator,
    "_maxsize": lambda queue: queue.max_items or _UNBOUNDED,
    "_poll": lambda queue: queue._reader.poll,
    "_recv_bytes": lambda queue: queue._reader.recv_bytes,
    "_send_bytes": lambda queue: queue._writer.send_bytes,
    "_ignore_epipe": lambda queue: False,
    "_joincancelled": lambda queue: False,
    "_thread": lambda queue: None,
    "_jointhread": lambda queue: None,
    "_close": lambda queue: None,
}


def make(queue: Any, name: str) -> Any:
    """The attribute of that name, for a queue that has not got it yet. (Its locks are made by the queue.)"""
    return _MAKERS[name](queue)
