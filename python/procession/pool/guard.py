"""The one thread of a program that looks after its pools' workers while nobody waits for a result.

It sleeps until a worker ends (a descriptor tells, there is no period), and then has the pool's supervisor do what
whoever waits would do: the dead worker's task fails or is tried again, another worker takes its place. Where somebody
is reading answers, that is left to him. It begins with the first call that need not be waited for (`apply_async`,
`map_async`, `imap`) of a pool of processes, and ends with the last such pool.

While procession forks a child there is no such thread: Python 3.12 warns of forks in a process of several threads. Only
where this thread itself starts a worker by fork are there others, as with the standard pool.
"""

from __future__ import annotations

import os
import select
import threading
from contextlib import nullcontext, suppress

from .._bootstrap import at_fork_in_child
from .._forking import Resting, await_end, rest_while_forking
from .._waits import waiting
from ..errors import PoolBroken, PoolTerminated
from .lead import CHECK_S

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from typing import Any

    from .supervisor import Supervisor

__all__ = ["Guard", "guard"]

PATIENCE_S = 1.0  # how long the end of a pool waits for the thread; arbitrary, it is quick


class Guard(Resting):
    """Of one process. A forked child begins without."""

    _name: str = "procession-pool-guard"
    bell: int

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        super()._begin()
        self._cores: dict[Supervisor, None] = {}
        self._last_thread: threading.Thread | None = None  # the same, also when it is about to end
        self._visited: Supervisor | None = None
        self._visit = threading.Lock()  # held by the thread while it is at that one

    # For supervisors

    def attend(self, core: Supervisor) -> None:
        """Look after this one's workers from now on. Raises: OSError, RuntimeError when there is no room for it."""
        with self._lock:
            self._cores[core] = None
            try:
                if self.bell < 0:
                    self.bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
                self._run_again()
            except BaseException:
                del self._cores[core]
                self._give_back()
                raise
            self._ring()

    def tell(self, core: Supervisor) -> None:
        """It has another worker, or lacks one."""
        with self._lock:
            if core in self._cores:
                with suppress(RuntimeError):  # no room for a thread now
                    self._run_again()
                self._ring()

    def leave(self, core: Supervisor) -> None:
        """Do not look after this one any more. Returns when the thread is not in the middle of that."""
        with self._lock:
            self._cores.pop(core, None)
            was_last, is_there, thread = not self._cores, self._visited is core, self._last_thread
            self._ring()
        if thread is None or thread is threading.current_thread():
            return
        if was_last:
            await_end(thread, PATIENCE_S)
        elif is_there and self._visit.acquire(timeout=PATIENCE_S):
            self._visit.release()

    def _is_wanted(self) -> bool:
        return bool(self._cores)

    def _run_again(self) -> None:
        super()._run_again()
        self._last_thread = self._thread or self._last_thread

    def _give_back(self) -> None:
        if self.bell >= 0 and not self._cores:
            os.close(self.bell)
            self.bell = -1

    # The thread

    def _run(self) -> None:
        while True:
            with self._lock:
                for core in [core for core in self._cores if not core.needs_guard]:
                    del self._cores[core]
                if self._pauses or not self._cores:
                    self._thread = None
                    self._give_back()
                    return
                uneasy = [core for core in self._cores if core.is_uneasy]
                watched = {fd: (core, worker) for core in self._cores for fd, worker in _sentinels(core)}
                served = next(iter(self._cores)).engine.tasks.address[0]
            readable = self._sleep(watched, CHECK_S) if uneasy else self._sleep(watched, None, served)
            ended = [watched[fd] for fd in readable if fd in watched]
            for core in dict.fromkeys([core for core, _ in ended] + uneasy):
                self._look_after(core)
            if any(worker in list(core.engine.workers.values()) for core, worker in ended):
                self._sleep((), CHECK_S)  # somebody else is at it, or the exit code is still to come

    def _sleep(self, fds: Any, timeout: float | None, served: int | None = None) -> list[int]:
        """Until one of these is readable, or the bell rings; which are. `served`: the address of a pool's tasks."""
        poller = select.poll()
        for fd in (self.bell, *fds):
            poller.register(fd, select.POLLIN)
        # For who looks for deadlocks it is one more worker without a task: while none ends it helps nobody.
        with nullcontext() if served is None else waiting("serve", served, timed=False):
            readable = [fd for fd, _ in poller.poll(None if timeout is None else timeout * 1000)]
        with suppress(BlockingIOError):  # it has not been rung
            os.eventfd_read(self.bell)
        return readable

    def _look_after(self, core: Supervisor) -> None:
        with self._lock:
            if core not in self._cores:
                return
            self._visited = core
            self._visit.acquire()
        try:
            with suppress(PoolBroken, PoolTerminated):  # who asks for a result is told
                core.replenish()
        except BaseException as error:  # who waits for a result will meet the same; the thread serves other pools, too
            with self._lock:
                self._cores.pop(core, None)
            threading.excepthook(threading.ExceptHookArgs((type(error), error, error.__traceback__, self._thread)))
        finally:
            self._visited = None
            self._visit.release()

    # A fork

    def after_fork(self) -> None:
        """In a forked child: all of this is its parent's."""
        if self.bell >= 0:
            os.close(self.bell)
        self._begin()


def _sentinels(core: Supervisor) -> list[tuple[int, Any]]:
    """The descriptors that tell of its workers' ends. (Programs bring processes of their own, and close them.)"""
    found = []
    for worker in list(core.engine.workers.values()):
        with suppress(ValueError, AttributeError):
            found.append((worker.sentinel, worker))
    return found


guard: Guard = Guard()
rest_while_forking(guard.paused)
at_fork_in_child(guard.after_fork)
