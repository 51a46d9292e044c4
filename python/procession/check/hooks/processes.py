"""A process's start comes before what it does, and that before whatever follows the news of its end."""

from __future__ import annotations

import os
from multiprocessing import process as _standard
from threading import get_ident

from ... import _wait, connection, process
from ..._engines.fork import BasePopen
from . import objects, tokens
from .replacing import replace

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["watch"]

_TOKEN = "_check_token"  # an attribute of process objects, which travels with them

# Threads that are starting a process. That looks after children that have ended, and what it learns there is nothing
# the program knows of: if it counted, two children would be in order whenever the first happens to be quick.
_starting: set[int] = set()
_reaped: dict[int, int] = {}  # by sentinel, the pids of those whose end was learnt so


def watch() -> None:
    """Follow processes that are started through us, forked by `os.fork`, and waited for in whatever way."""
    cls: Any = process.ProcessWithResult
    replace(cls, start=_around_start(cls.start), _bootstrap=_around_bootstrap(cls._bootstrap))
    _watch_popen(BasePopen)
    os.waitpid = _around_waitpid(os.waitpid)
    os.wait = lambda: os.waitpid(-1, 0)
    os.wait3, os.wait4 = _around_wait_with_usage(os.wait3), _around_wait_with_usage(os.wait4)
    os.waitid = _around_waitid(os.waitid)
    standard: Any = _standard
    standard._cleanup = _around_cleanup(standard._cleanup)
    modules: tuple[Any, ...] = (_wait, connection)
    modules[0].wait = modules[1].wait = _around_wait(_wait.wait)
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork)
    tokens.named(_standard.current_process().name, thread=False)


def _watch_popen(cls: Any) -> None:
    """Once for each class that has a `poll` of its own."""
    if "poll" in vars(cls) and not hasattr(cls.poll, "_is_recorded"):
        cls.poll = _around_poll(cls.poll)
        cls.poll._is_recorded = True


def _around_start(start: Callable[[Any], None]) -> Callable[[Any], None]:
    def recorded_start(self: Any) -> None:
        objects.watch_managers()
        token = self.__dict__[_TOKEN] = tokens.new()
        tokens.releasing(token)
        thread = get_ident()
        _starting.add(thread)
        try:
            start(self)
        finally:
            _starting.discard(thread)
        _watch_popen(type(self._popen))

    return recorded_start


def _around_bootstrap(bootstrap: Callable[..., int]) -> Callable[..., int]:
    def recorded_bootstrap(self: Any, *arguments: Any, **keywords: Any) -> int:
        token = self.__dict__.pop(_TOKEN, None)
        if token is not None:
            tokens.acquired(token)
        tokens.named(self.name, thread=False)
        objects.watch_managers()
        return bootstrap(self, *arguments, **keywords)

    return recorded_bootstrap


def _around_poll(poll: Callable[..., int | None]) -> Callable[..., int | None]:
    def recorded_poll(self: Any, *flag: int) -> int | None:
        code = poll(self, *flag)
        if code is None:
            return code
        if get_ident() in _starting:
            _reaped[self.sentinel] = self.pid
        elif self.method == "thread":  # of this process, which has not ended
            self._thread.join()
        else:
            tokens.joined(self.pid)
        return code

    return recorded_poll


def _around_waitpid(waitpid: Callable[[int, int], tuple[int, int]]) -> Callable[[int, int], tuple[int, int]]:
    def recorded_waitpid(pid: int, options: int, /) -> tuple[int, int]:
        found, status = waitpid(pid, options)
        if found > 0 and get_ident() not in _starting:
            tokens.joined(found)
        return found, status

    return recorded_waitpid


def _around_wait_with_usage(wait: Callable[..., tuple[int, int, Any]]) -> Callable[..., tuple[int, int, Any]]:
    def recorded_wait(*arguments: int, **keywords: int) -> tuple[int, int, Any]:
        found = wait(*arguments, **keywords)
        if found[0] > 0:
            tokens.joined(found[0])
        return found

    return recorded_wait


def _around_waitid(waitid: Callable[..., Any]) -> Callable[..., Any]:
    def recorded_waitid(*arguments: int) -> Any:
        found = waitid(*arguments)
        if found is not None and found.si_code in (os.CLD_EXITED, os.CLD_KILLED, os.CLD_DUMPED):
            tokens.joined(found.si_pid)
        return found

    return recorded_waitid


def _around_cleanup(cleanup: Callable[[], None]) -> Callable[[], None]:
    """Of what `active_children` and each start do first: who asks who is left learns who is not."""

    def recorded_cleanup() -> None:
        cleanup()
        if get_ident() not in _starting:
            while _reaped:
                tokens.joined(_reaped.popitem()[1])

    return recorded_cleanup


def _around_wait(wait: Callable[..., Any]) -> Callable[..., Any]:
    """Of `connection.wait`, which also waits for the ends of processes, by their sentinels."""

    def recorded_wait(object_list: Any, timeout: float | None = None) -> Any:
        ready = wait(object_list, timeout)
        numbers = {item for item in ready if isinstance(item, int)}
        if numbers:
            for sentinel in numbers & _reaped.keys():
                tokens.joined(_reaped.pop(sentinel))
            for child in list(_standard._children):  # type: ignore[attr-defined]
                popen = child._popen
                if popen is not None and popen.sentinel in numbers:
                    tokens.joined(popen.pid)
        return ready

    return recorded_wait


_forking: list[int] = []


def _before_fork() -> None:
    _forking[:] = [tokens.new()]
    tokens.releasing(_forking[0])


def _after_fork() -> None:
    _starting.clear()
    _reaped.clear()
    for token in _forking:
        tokens.acquired(token)
