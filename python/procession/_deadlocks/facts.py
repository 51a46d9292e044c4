"""What is seen of a family of processes: its tables of waits, the objects they name, and /proc.

Nothing here blocks, and nothing is asked of the others. What is seen is not of one moment; who acts on it looks twice
(see `look`).
"""

from __future__ import annotations

import os
import signal

from .. import _native, _store, _waits
from .._stat import state_of
from .graph import Facts, Hold, Key, Thing, Thread, Wait

TYPE_CHECKING = False  # as everywhere in the package
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["arenas", "gather", "label_text", "process_names"]


def _mask(*numbers: int) -> int:
    """As the kernel tells of signals."""
    return sum(1 << (number - 1) for number in numbers)


_OWN_SIGNALS = _mask(
    signal.SIGINT,  # Python's
    *(signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT),  # faulthandler's
    *(signal.SIGCHLD, signal.SIGCONT, signal.SIGRTMAX),  # the fork server's; who ends with its parent; a worker's stack
    *range(32, signal.SIGRTMIN),  # the C library's, for threads
)
_SERVERS = (b"procession._engines._server", b"multiprocessing.forkserver")  # in command lines of fork servers


def arenas() -> list[_native.Arena]:
    """Those of this process: the shared one first, then its own, then those that it shares with other programs."""
    return [arena for arena in (_store._shared, _store._private, *_store.met) if arena is not None]


def process_names() -> dict[int, str]:
    """What the processes of the family are called, by pid."""
    names: dict[int, str] = {}
    for arena in reversed(arenas()):
        names |= {pid: name or f"process {pid}" for pid, name in _native.process_names(arena).items()}
    return names


def label_text(arena: _native.Arena, label: int) -> str:
    """The line that a label stands for, "" when it is not known."""
    return _native.label_text(arena, label) or ""


def gather() -> Facts:
    """Look at everything."""
    waits: dict[Thread, Wait] = {}
    holds: list[Hold] = []
    things: dict[Key, Thing] = {}
    names: dict[int, str | None] = {}
    for number, arena in enumerate(arenas()):
        names |= _native.process_names(arena)
        for entry in _native.waits(arena):
            (slot, sequence), pid, (native, ident), (action, obj, detail), since, site, timed, looks = entry
            here = detail == _waits.IN_PROCESS and action in ("get", "put", "finish")
            key: Key = ("here" if here else number, obj)
            text = label_text(arena, site)
            if action == "hold":
                holds.append(Hold((pid, ident), key, since, text))
                continue
            name = (number, slot, sequence)
            waits[pid, ident] = Wait(name, (pid, ident), native, action, key, detail, since, text, timed, looks)
            if here and pid == os.getpid():
                things[key] = _thing_here(obj)
            elif key not in things and action != "join" and not here:
                thing = _thing(arena, obj)
                if thing is not None:
                    things[key] = thing
    tasks = {pid: _tasks(pid) for pid in names}
    has_ended, is_starting = _children_of(set(names))
    signalled = [pid for pid, name in names.items() if _handles_signals(pid, name)]
    return Facts(waits, holds, things, tasks, has_ended, is_starting, signalled)


def _thing(arena: _native.Arena, offset: int) -> Thing | None:
    told = _native.obstacle(arena, offset)
    if told is None:
        return None
    kind, serial, *state = told
    if kind in ("a Lock", "an RLock"):
        return Thing(kind, serial, holder=state[0], is_signal=state[1])
    if kind == "a Semaphore":
        return Thing(kind, serial, value=state[0], is_signal=state[1])
    if len(state) == 4:
        return Thing(kind, serial, is_empty=state[0], is_full=state[1], is_closed=state[2], unfinished=state[3])
    return Thing(kind, serial)


def _thing_here(ident: int) -> Thing:
    """A queue of threads of this process. Its own lock need not be held: a wrong look is one of two."""
    queue = _waits.blocking_here.get(ident)
    if queue is None:
        return Thing("a queue")
    count = queue._qsize()
    is_full = 0 < queue.maxsize <= count
    closed = queue.is_shutdown
    return Thing("a queue", 0, is_empty=not count, is_full=is_full, is_closed=closed, unfinished=queue.unfinished_tasks)


def _tasks(pid: int) -> tuple[int, ...]:
    try:
        return tuple(int(name) for name in os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return ()


def _handles_signals(pid: int, name: str | None) -> bool:
    """Whether a process has a handler of its own of some signal; whether of SIGINT, only this process knows of itself.

    Those that Python and this package have themselves do not count: a pool's worker has one of SIGTERM, for instance.
    """
    try:
        with open(f"/proc/{pid}/status") as file:
            line = next((line for line in file if line.startswith("SigCgt:")), ": 0")
    except OSError:
        return False
    caught = int(line.split()[1], 16) & ~_OWN_SIGNALS
    if "PoolWorker" in (name or ""):
        caught &= ~_mask(signal.SIGTERM)
    if pid == os.getpid() and _is_programs(signal.getsignal(signal.SIGINT)):
        return True
    return caught != 0


def _is_programs(handler: object) -> bool:
    return callable(handler) and not getattr(handler, "__module__", "procession").startswith(("_signal", "procession"))


def _children(pid: int) -> Iterable[int]:
    for task in _tasks(pid):
        try:
            with open(f"/proc/{pid}/task/{task}/children") as file:
                yield from map(int, file.read().split())
        except OSError:
            continue


def _children_of(pids: set[int]) -> tuple[bool, bool]:
    """Whether there is a child, or a child's child, that has ended; and one that lives and has no place in an arena.

    The second may still come, and open what it was given. Helpers of this package and the standard library do not.
    """
    has_ended = is_starting = False
    todo, seen = list(pids), set(pids)
    while todo:
        parent = todo.pop()
        for child in _children(parent):
            if child in seen:
                continue
            seen.add(child)
            todo.append(child)
            if child not in pids:
                is_dead = state_of(child) in "ZX"
                has_ended |= is_dead
                is_starting |= not is_dead and not _is_helper(child, parent)
    return has_ended, is_starting


def _is_helper(pid: int, parent: int) -> bool:
    """What a fork server forks has its command line, and is none."""
    command = _command(pid)
    is_server = any(name in command for name in _SERVERS) and command != _command(parent)
    return is_server or b"resource_tracker" in command


def _command(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b""
