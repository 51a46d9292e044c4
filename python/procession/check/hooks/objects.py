"""Event, Semaphore, Condition, Barrier, repairs and managers' proxies: what orders threads, and is called seldom."""

from __future__ import annotations

import sys
import zlib
from multiprocessing import connection

from ... import synchronize
from ..._owner import Repair
from . import tokens
from .replacing import replace

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from typing import Any

_ANY_CONNECTION = 1  # they have no name in common at both ends

__all__ = ["watch", "watch_managers"]


def watch() -> None:
    """Follow them from now on."""
    _watch_event(synchronize.Event)
    _watch_semaphore(synchronize.Semaphore)
    _watch_condition(synchronize.Condition)
    _watch_barrier(synchronize.Barrier)
    _watch_repair(Repair)
    _watch_connections(connection.Connection)
    watch_managers()


def _watch_connections(cls: Any) -> None:
    """Connections over sockets (Listener, Client, managers): whatever was sent is before whatever is received later."""
    plain_send, plain_receive = cls._send, cls._recv

    def send(self: Any, buf: Any, *more: Any) -> None:
        tokens.releasing(_ANY_CONNECTION)
        plain_send(self, buf, *more)

    def receive(self: Any, size: int, *more: Any) -> Any:
        received = plain_receive(self, size, *more)
        tokens.acquired(_ANY_CONNECTION)
        return received

    replace(cls, _send=send, _recv=receive)


def _watch_event(cls: Any) -> None:
    plain_set, plain_wait, plain_is_set = cls.set, cls.wait, cls.is_set

    def recorded_set(self: Any) -> None:
        tokens.releasing(self)
        plain_set(self)

    def wait(self: Any, timeout: float | None = None) -> bool:
        happened: bool = plain_wait(self, timeout)
        if happened:
            tokens.acquired(self)
        return happened

    def is_set(self: Any) -> bool:
        happened: bool = plain_is_set(self)
        if happened:
            tokens.acquired(self)
        return happened

    replace(cls, set=recorded_set, wait=wait, is_set=is_set)


def _watch_semaphore(cls: Any) -> None:
    plain_acquire, plain_release, plain_enter, plain_exit = cls.acquire, cls.release, cls.__enter__, cls.__exit__

    def acquire(self: Any, block: bool | None = None, timeout: float | None = None) -> bool:
        taken: bool = plain_acquire(self, block, timeout)
        if taken:
            tokens.acquired(self)
        return taken

    def release(self: Any, n: int = 1) -> None:
        tokens.releasing(self)
        plain_release(self, n)

    def enter(self: Any) -> bool:
        taken: bool = plain_enter(self)
        tokens.acquired(self)
        return taken

    def leave(self: Any, *exception: object) -> None:
        tokens.releasing(self)
        plain_exit(self, *exception)

    replace(cls, acquire=acquire, release=release, __enter__=enter, __exit__=leave)


def _watch_repair(cls: Any) -> None:
    """`with lock.repair()` holds the lock, or a permit, as `with lock` does."""
    plain_enter, plain_exit = cls.__enter__, cls.__exit__

    def enter(self: Any) -> Any:
        found = plain_enter(self)
        (tokens.acquired if _has_permits(self._lock) else tokens.locked)(self._lock)
        return found

    def leave(self: Any, *exception: object) -> None:
        (tokens.releasing if _has_permits(self._lock) else tokens.unlocking)(self._lock)
        plain_exit(self, *exception)

    replace(cls, __enter__=enter, __exit__=leave)


def _has_permits(lock: Any) -> bool:
    return isinstance(lock, synchronize.Semaphore)


def _watch_condition(cls: Any) -> None:
    plain = {name: getattr(cls, name) for name in ("acquire", "release", "__enter__", "__exit__", "wait")}
    notifying = {name: getattr(cls, name) for name in ("notify", "notify_all")}

    def acquire(self: Any, *arguments: Any, **keywords: Any) -> bool:
        taken: bool = plain["acquire"](self, *arguments, **keywords)
        if taken:
            tokens.locked(self.lock)
        return taken

    def release(self: Any) -> None:
        if self.lock._is_mine():
            tokens.unlocking(self.lock)
        plain["release"](self)

    def enter(self: Any) -> bool:
        taken: bool = plain["__enter__"](self)
        tokens.locked(self.lock)
        return taken

    def leave(self: Any, *exception: object) -> None:
        tokens.unlocking(self.lock)
        plain["__exit__"](self, *exception)

    def wait(self: Any, timeout: float | None = None) -> bool:
        depth = getattr(self.lock, "count", 1) if self.lock._is_mine() else 0
        if depth:
            tokens.unlocking(self.lock, depth)
        try:
            notified: bool = plain["wait"](self, timeout)
        finally:
            if depth:
                tokens.locked(self.lock, depth)
        if notified:
            tokens.acquired(self)
        return notified

    def around(notify: Any) -> Any:
        def recorded(self: Any, *arguments: Any, **keywords: Any) -> None:
            tokens.releasing(self)
            notify(self, *arguments, **keywords)

        return recorded

    replace(cls, acquire=acquire, release=release, __enter__=enter, __exit__=leave, wait=wait)
    replace(cls, **{name: around(notify) for name, notify in notifying.items()})


def _watch_barrier(cls: Any) -> None:
    def wait(self: Any, timeout: float | None = None) -> int:
        def action() -> None:
            tokens.acquired(self)  # all have arrived
            try:
                self._action()
            finally:
                tokens.releasing(self)

        tokens.releasing(self)
        timeout = self._timeout if timeout is None else timeout
        place: int = self.pass_through(None if self._action is None else action, timeout)
        tokens.acquired(self)
        return place

    replace(cls, wait=wait)


def watch_managers() -> None:
    """Follow calls of managers' proxies, if managers are loaded: all calls on one object are taken to be in order."""
    managers: Any = sys.modules.get("multiprocessing.managers")
    proxy = getattr(managers, "BaseProxy", None)
    if proxy is None or hasattr(proxy, "_check_plain"):
        return
    plain = proxy._check_plain = proxy._callmethod

    def call(self: Any, methodname: str, args: Any = (), kwds: Any = {}) -> Any:  # noqa: B006  # as the standard one
        name = zlib.crc32(repr((self._token.address, self._token.id)).encode()) + 2
        tokens.releasing(name)
        result = plain(self, methodname, args, kwds)
        tokens.acquired(name)
        return result

    proxy._callmethod = call
