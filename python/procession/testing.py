"""Tools for tests of programs that run in several processes; this package's own tests stand on them.

* `check_leaks`: nothing may be left behind: no descriptor, no child.
* `Sequencer`: forces an order between threads and processes, instead of sleeping and hoping.
* `wait_until_blocked`: returns once someone really waits, instead of sleeping and hoping.
* `chaos`: processes die or dawdle at any step of the shared memory, as a seed says.
* `steps`: counts the steps of an operation, or dies at one of them.

docs/guides/testing.md shows each in use.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from . import _bootstrap, _chaos, _native, _store

__all__ = [
    "Leak",
    "Sequencer",
    "Snapshot",
    "Steps",
    "chaos",
    "check_leaks",
    "descendants",
    "steps",
    "wait_until",
    "wait_until_blocked",
]

_SETTLE_S = 5.0  # how long leftovers may take to vanish; arbitrary, dead processes need milliseconds
_POLL_S = 0.001  # between two looks
_LASTING = ("/memfd:procession-arena", "/dev/urandom")  # descriptors that are meant to live as long as the process


class Leak(AssertionError):
    """Something was left behind; the message lists it."""


@dataclass(frozen=True)
class Snapshot:
    """What this process held at one moment."""

    descriptors: dict[int, str]
    """Number, and what it refers to."""
    children: dict[int, str]
    """Pid, and command line."""

    @classmethod
    def take(cls) -> Snapshot:
        """Look at the process as it is now."""
        return cls(_descriptors(), {pid: _command(pid) for pid in _children(os.getpid())})

    def leaked_since(self, before: Snapshot) -> list[str]:
        """Describe what is here and was not there, apart from what lasts as long as the program by design."""
        lasting_fds, lasting_pids = _lasting()
        found = [
            f"descriptor {fd}: {target}"
            for fd, target in self.descriptors.items()
            if before.descriptors.get(fd) != target and fd not in lasting_fds and not target.startswith(_LASTING)
        ]
        found += [
            f"child {pid}: {command}"
            for pid, command in self.children.items()
            if pid not in before.children and pid not in lasting_pids
        ]
        return found


@contextlib.contextmanager
def check_leaks(settle_s: float = _SETTLE_S) -> Iterator[None]:
    """For `with`: fail if the block leaves a descriptor or a child behind that is still there after `settle_s` seconds.

    The fork server, the resource tracker and the descriptors the package keeps for good do not count.

    Raises: Leak.
    """
    before = Snapshot.take()
    yield
    gc.collect()
    deadline = time.monotonic() + settle_s
    while found := Snapshot.take().leaked_since(before):
        if time.monotonic() > deadline:
            raise Leak("left behind: " + "; ".join(found))
        _collect_dead()
        time.sleep(_POLL_S)


def descendants(pid: int) -> list[int]:
    """Pids of the children of `pid`, their children, and so on; the nearest first."""
    found = list(_children(pid))
    for child in found:
        found.extend(_children(child))
    return found


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{thread}/children") as file:
                found += [int(word) for word in file.read().split()]
    return found


def _command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode(errors="replace").strip() or "dead, not yet collected"
    except OSError:
        return "gone"


def _descriptors() -> dict[int, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
    return {fd: target for fd, target in found.items() if f"/proc/{os.getpid()}/fd" not in target}


def _lasting() -> tuple[set[int], set[int]]:
    """Descriptors and pids that last as long as the program."""
    fds, pids = {_bootstrap._own_sentinel.fd, _bootstrap._own_sentinel.kept_open}, set()
    native: Any = sys.modules.get("procession._native")
    if native is not None:
        fds.update(native.lifeline_ends())
    engine: Any = sys.modules.get("procession._engines.forkserver")
    if engine is not None and engine.server.socket is not None:
        fds.add(engine.server.socket.fileno())
        pids.add(engine.server.pid)
    guard: Any = sys.modules.get("procession.pool.guard")
    if guard is not None:
        fds.add(guard.guard.bell)  # for as long as the pools that it looks after
    tracker: Any = sys.modules.get("multiprocessing.resource_tracker")
    if tracker is not None:
        fds.add(tracker._resource_tracker._fd)
        pids.add(tracker._resource_tracker._pid)
    sharer: Any = sys.modules.get("multiprocessing.resource_sharer")
    if sharer is not None and sharer._resource_sharer._listener is not None:
        fds.add(sharer._resource_sharer._listener._listener._socket.fileno())
    return fds, pids


def _collect_dead() -> None:
    from multiprocessing import active_children

    active_children()


def wait_until(condition: Callable[[], object], timeout: float = 10) -> None:
    """Return as soon as `condition()` is true; looks a thousand times a second.

    Raises: TimeoutError after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{condition} was still not true after {timeout} seconds")
        time.sleep(_POLL_S)


def wait_until_blocked(obj: Any, count: int = 1, timeout: float = 10) -> None:
    """Return once at least `count` threads or processes are blocked on `obj`, as its `statistics()` say.

    Raises: TimeoutError after `timeout` seconds.
    """
    wait_until(lambda: _waiters(obj) >= count, timeout)


def _waiters(obj: Any) -> int:
    statistics = obj.statistics()
    waiters = statistics["waiters"] if isinstance(statistics, dict) else statistics.waiters
    return int(waiters)


class Sequencer:
    """Forces an order: the block `with sequencer(n)` is entered only when the block n - 1 has been left.

    Made by a context, passed to its processes or threads like any primitive. If a participant dies in its block, the
    others wait for ever: use it under a watchdog.
    """

    def __init__(self, context: Any) -> None:
        self._turn = context.Condition()
        self._next = context.Value("i", 0, lock=False)

    @property
    def position(self) -> int:
        """Number of the block that may be entered now, or is being executed."""
        return int(self._next.value)

    @contextlib.contextmanager
    def __call__(self, position: int) -> Iterator[None]:
        """Wait for the turn `position`, run the block, pass the turn on (also after an exception)."""
        with self._turn:
            self._turn.wait_for(lambda: self._next.value == position)
        try:
            yield
        finally:
            with self._turn:
                self._next.value = position + 1
                self._turn.notify_all()


@contextlib.contextmanager
def chaos(seed: int, rate: float, deeds: str = "both", log: str | os.PathLike[str] | None = None) -> Iterator[None]:
    """For `with`: let processes started in the block die (SIGKILL) or dawdle (up to 5 ms) at steps of shared memory.

    `rate` is the share of steps, 0 to 1, at which something happens; `deeds` is "kill", "delay" or "both". The calling
    process is spared. The n-th step of the r-th process to join the arena in the block always draws the same for a
    seed, so a run can be repeated as far as processes start and take their steps in the same order. Each deed appends
    a line to the file `log`: pid, deed, number of the step, file and line of it. What was started in the block goes on
    as it was started after it.

    The same as PROCESSION_CHAOS=seed:rate:deeds in the environment, for a block of a test.

    Raises: ValueError for a seed, rate or deeds that there are not.
    """
    # Who is forked before there is an arena has no place in it, and no part in this.
    first = _store.shared_arena().statistics()["entered"]
    path = None if log is None else os.fspath(log)
    changed = {_chaos.VARIABLE: _chaos.text(seed, rate, deeds, first), _chaos.LOG_VARIABLE: path}
    before = {name: os.environ.get(name) for name in changed}
    _unleash(changed)
    try:
        yield
    finally:
        _unleash(before)


def _unleash(variables: dict[str, str | None]) -> None:
    """Set the variables, for children that are not forked, and do as they say here, for those that are."""
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    orders, first = _chaos.orders(os.environ) or ((0, 0.0, _chaos.DEEDS["both"], None), 0)
    _native.unleash(*orders, first or 0)


@dataclass
class Steps:
    """How many steps a block of `steps` took; known when it has been left."""

    count: int = 0
    """How many; 0 until then."""


@contextlib.contextmanager
def steps(die_at: int = 0) -> Iterator[Steps]:
    """For `with`: count the calling thread's steps in the block; at step `die_at` (from 1; 0: never) SIGKILL ends it.

    A step is a moment between two stores into shared memory that a death may separate. Count those of an operation
    once, then let a child die at each: afterwards the others must be able to go on.
    """
    counted = Steps()
    _native.arm(die_at)
    try:
        yield counted
    finally:
        counted.count = _native.disarm()
