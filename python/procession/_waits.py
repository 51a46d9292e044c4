"""Waits that are done in Python, entered where the native ones are: in the arena's table of who waits for what.

Anybody may read that table: `procession ps`, and who looks for deadlocks. A process without an arena has nothing that
another could wait for, and enters nothing.
"""

from __future__ import annotations

import os
import sys

from ._variables import switched

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from typing import Any

    from . import _native

__all__ = [
    "IN_PROCESS",
    "VARIABLE",
    "blocking_here",
    "is_wanted",
    "is_watching",
    "join_process",
    "join_thread",
    "wait_for_result",
    "wait_here",
    "waiting",
]

IN_PROCESS = 1  # the detail of a wait for an object that is not in an arena: the object is its `id`
blocking_here: dict[int, Any] = {}  # those objects, by that

VARIABLE = "PROCESSION_DETECT_DEADLOCKS"  # 1: look for deadlocks; inherited by children

_SLICE_S = 0.02  # between two looks for deadlocks


class _Nothing:
    """What stands for an entry where there is no table."""

    def __enter__(self) -> None: ...

    def __exit__(self, *_error: object) -> None: ...


def _store() -> Any:
    """The module of that name, if this process has an arena. It stands above this one."""
    store: Any = sys.modules.get("procession._store")
    return store if store is not None and (store._shared or store._private) else None


def waiting(action: str, object_: int, detail: int = 0, *, timed: bool) -> AbstractContextManager[Any]:
    """For `with`, around a wait of this thread. `timed`: it ends by itself. Gives None or a `_native.Waiting`."""
    store = _store()
    if store is None:
        return _Nothing()
    entered: _native.Waiting = store._native.Waiting(
        store._shared or store._private, action, object_, detail, timed=timed
    )
    return entered


def _join(
    join: Callable[[float | None], object],
    is_over: Callable[[], bool],
    timeout: float | None,
    pid: int,
    thread: int = 0,
    ident: int = 0,
) -> None:
    with waiting("join", pid, thread, timed=timeout is not None) as entered:
        if entered is None or not entered.looks:
            join(timeout)
        else:
            slices = 0
            while join(_SLICE_S) or not is_over():
                slices += 1
                entered.look(slices)
    if descent is not _unknown and _store() is not None and is_over():
        _store()._native.joined(pid, ident)


def wait_here(condition: Any, timeout: float | None, action: str, owner: Any) -> None:
    """`condition.wait(timeout)` for something that threads of this process wait for. Raises: DeadlockError."""
    with waiting(action, id(owner), IN_PROCESS, timed=timeout is not None) as entered:
        if entered is None or not entered.looks:
            condition.wait(timeout)
            return
        blocking_here[id(owner)] = owner
        slices = 0
        while not condition.wait(_SLICE_S):
            slices += 1
            entered.look(slices)


def is_watching() -> bool:
    """Whether this process looks for deadlocks."""
    return descent is not _unknown


def wait_for_result(core: Any, ready: Callable[[], bool], timeout: float | None) -> bool:
    """`core.wait(ready, timeout)` of a pool. Raises: DeadlockError."""
    address = getattr(core.engine.answers, "address", None)
    if address is None:  # threads: nobody knows which of them is at the task
        return bool(core.wait(ready, timeout))
    with waiting("result", address[0], timed=timeout is not None) as entered:
        if entered is None or not entered.looks:
            return bool(core.wait(ready, timeout))
        asked = 0

        def is_ready() -> bool:
            nonlocal asked
            if ready():
                return True
            asked += 1
            if asked > 1:
                entered.look(asked)
            return False

        return bool(core.wait(is_ready, timeout))


def join_process(join: Callable[[float | None], object], popen: Any, timeout: float | None) -> None:
    """Call `join(timeout)`, which waits for the process of `popen`. Raises: DeadlockError, if looked for."""
    if popen.pid == os.getpid():  # a thread that stands for a process: joined as one
        join(timeout)
        return
    _join(join, lambda: popen.returncode is not None, timeout, popen.pid)


def join_thread(join: Callable[[float | None], object], thread: Any, timeout: float | None) -> None:
    """Call `join(timeout)`, which waits for a thread. Raises: DeadlockError, if looked for."""
    _join(join, lambda: not thread.is_alive(), timeout, os.getpid(), thread.native_id or 0, thread.ident)


def is_wanted() -> bool:
    """Whether the environment says that deadlocks are to be looked for."""
    return bool(switched(VARIABLE))


def _unknown(_thread: Any) -> tuple[int, tuple[tuple[int, int], ...]]:
    return 0, ()


descent = _unknown
"""When a thread began, and who came before it; see `_descent`, which is put here where deadlocks are looked for."""
