"""Objects that live in a process of their own, and proxies of them: the standard library's managers.

Sound as they are, and slow by nature (each call is a message there and back), they are built upon: the managers here
derive from the standard ones, start their server as a process of ours, give out pools of ours, and have on every
Python what came later: `SyncManager.set` (3.14). Types registered with the standard classes are known here as well.

A server that was not given an address listens at one in the kernel's abstract namespace: a file would be left behind by
`kill -9`. Files have permissions and this has none, so the server asks the kernel who connects, and hangs up on others
than its own user and root, before it asks for the key.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import ChainMap
from collections.abc import MutableSet
from multiprocessing import managers as _standard
from multiprocessing.managers import (  # type: ignore[attr-defined]  # most are public only in fact
    AcquirerProxy,
    ArrayProxy,
    AutoProxy,
    BarrierProxy,
    ConditionProxy,
    EventProxy,
    IteratorProxy,
    MakeProxyType,
    NamespaceProxy,
    PoolProxy,
)

from . import pool, process

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, ClassVar

__all__ = [
    "AcquirerProxy",
    "ArrayProxy",
    "AutoProxy",
    "BarrierProxy",
    "BaseManager",
    "BaseProxy",
    "ConditionProxy",
    "DictProxy",
    "EventProxy",
    "IteratorProxy",
    "ListProxy",
    "MakeProxyType",
    "Namespace",
    "NamespaceProxy",
    "PoolProxy",
    "RemoteError",
    "Server",
    "SetProxy",
    "SharedMemoryManager",
    "SyncManager",
    "Token",
    "ValueProxy",
]

# The standard library's own, as are those above
BaseProxy = _standard.BaseProxy
Namespace = _standard.Namespace
RemoteError = _standard.RemoteError
Token = _standard.Token
DictProxy = _standard.DictProxy
ListProxy = _standard.ListProxy
ValueProxy = _standard.ValueProxy

_PROCESSES: dict[str, Any] = {
    "fork": process.ForkProcess,
    "spawn": process.SpawnProcess,
    "forkserver": process.ForkServerProcess,
}


class _Starter:
    """All that a manager asks of a context, where the one in use is the standard library's."""

    def __init__(self, method: str) -> None:
        self.Process = _PROCESSES[method]


def _default_context() -> Any:
    """The context in use, or what stands for one of ours with the same start method."""
    context = multiprocessing.get_context()
    ours = issubclass(context.Process, process.ProcessWithResult)
    return context if ours else _Starter(context.get_start_method())


class _Nameless:
    """For a server: without an address to listen at, take one that leaves nothing behind."""

    def __init__(self, registry: Any, address: Any, authkey: bytes, serializer: str) -> None:
        self._guarded = address is None
        if self._guarded:
            address = f"\0procession-{os.getpid()}-{os.urandom(8).hex()}"
        super().__init__(registry, address, authkey, serializer)  # type: ignore[call-arg]

    def handle_request(self, conn: Any) -> None:
        """In a thread for each who connects."""
        if self._guarded and not _is_own(conn.fileno()):
            conn.close()
        else:
            super().handle_request(conn)  # type: ignore[misc]


def _is_own(fd: int) -> bool:
    """Whether the other end of a socket belongs to this process's user, or to root."""
    import socket
    import struct

    credentials = struct.Struct("3i")  # pid, user, group
    with socket.socket(fileno=os.dup(fd)) as end:
        _, user, _ = credentials.unpack(end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, credentials.size))
    return user in (0, os.geteuid())


class Server(_Nameless, _standard.Server):
    """What runs in a manager's process."""


class _SharedMemoryServer(_Nameless, _standard.SharedMemoryServer):
    """The same for named blocks of shared memory."""


class BaseManager(_standard.BaseManager):
    """A server process for objects of registered types, or (`connect`) a link to one that runs elsewhere.

    Its process is one of `ctx`, by default of the start method in use. When it dies, calls of the proxies raise
    EOFError or ConnectionError.
    """

    _Server = Server

    def __init__(
        self,
        address: Any = None,
        authkey: bytes | None = None,
        serializer: str = "pickle",
        ctx: Any = None,
        *,
        shutdown_timeout: float = 1.0,
    ) -> None:
        ctx = ctx or _default_context()
        super().__init__(address, authkey, serializer, ctx, shutdown_timeout=shutdown_timeout)


class SyncManager(BaseManager, _standard.SyncManager):
    """A manager of lists, dictionaries, sets, queues, locks, pools and the like: what `Manager()` starts."""

    # What is registered with the standard class later is found behind our own entries.
    _registry: ClassVar[Any] = ChainMap({}, _standard.SyncManager._registry)  # type: ignore[attr-defined]


class SharedMemoryManager(BaseManager, _standard.SharedMemoryManager):
    """Makes named blocks of shared memory, and unlinks all of them when it is shut down."""

    _Server = _SharedMemoryServer  # type: ignore[assignment]


class _SetMethods(BaseProxy):
    """What differs between a set and its proxy: the operators that change a set return the proxy itself."""

    def __iter__(self) -> Iterator[Any]:
        """Over a copy, fetched in one message."""
        copy: Any = self._callmethod("copy")  # type: ignore[func-returns-value]
        return iter(set(copy))

    def __ior__(self, other: Any) -> Any:
        self._callmethod("__ior__", (other,))
        return self

    def __iand__(self, other: Any) -> Any:
        self._callmethod("__iand__", (other,))
        return self

    def __isub__(self, other: Any) -> Any:
        self._callmethod("__isub__", (other,))
        return self

    def __ixor__(self, other: Any) -> Any:
        self._callmethod("__ixor__", (other,))
        return self


_IN_PLACE = ("__iand__", "__ior__", "__isub__", "__ixor__")
_OPERATORS = ("and", "contains", "ge", "gt", "le", "len", "lt", "or", "rand", "ror", "rsub", "rxor", "sub", "xor")
_SET = (
    *(f"__{name}__" for name in _OPERATORS),
    *(name for name in dir(set) if not name.startswith("_")),
)


if TYPE_CHECKING:
    _SetCalls = BaseProxy
else:
    _SetCalls = MakeProxyType("_SetCalls", _SET)


class SetProxy(_SetMethods, _SetCalls):
    """The proxy of a set: every method and operator of a set but equality."""

    _exposed_ = (*_SET, *_IN_PLACE)


MutableSet.register(SetProxy)

SyncManager._registry["Pool"] = (pool.Pool, *SyncManager._registry["Pool"][1:])
if "set" in SyncManager._registry:
    SetProxy = _standard.SetProxy  # type: ignore[attr-defined,misc]
else:
    SyncManager.register("set", set, SetProxy)
