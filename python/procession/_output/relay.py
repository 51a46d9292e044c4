"""The one thread of a program that reads what its children print and log.

It starts with the first child whose output is forwarded and ends when there is no more to come from any. Whoever wants
to be sure that everything written so far has been passed on (`drain`: a result is about to be handed over; `finish`: a
child has ended) asks the thread, and waits for it, unless there is plainly nothing: no pipe has something to read, and
the thread is not in the middle of passing on. In this order: what was read before the first look is being passed on at
the second.

Only the thread reads and passes on. So no signal's exception can get lines lost, and who asks while it waits itself for
something that only the asker can do (a lock that a `forward_output` function wants) is held up for a few seconds only.

While a child is forked there is no such thread (`paused`): it may be in the middle of anything that the program gave,
a function or a logging handler, whose locks would never be released in the child; and Python 3.12 warns of forks in a
process of several threads.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from contextlib import suppress
from multiprocessing import util

from .._bootstrap import at_fork_in_child
from .._forking import Resting, rest_while_forking
from .outlets import report

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from typing import Any

    from .channels import Channel
    from .source import Source

__all__ = ["Relay", "relay"]

PATIENCE_S = 5.0  # how long a result waits for the lines before it at most; arbitrary
AT_EXIT = -200  # after multiprocessing has ended this process's children


class Relay(Resting):
    """Of one process. A forked child begins without."""

    _name: str = "procession-output"

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        super()._begin()
        self._poller: Any = None
        self._sources: set[Source] = set()
        self._by_fd: dict[int, Source] = {}
        self._starting: set[Source] = set()  # their children may not have been started yet
        self._asked: deque[tuple[Source | None, threading.Lock]] = deque()
        self._more = False  # something was read that is not passed on yet
        self._busy = False  # something may have been read that is not passed on yet
        self._at_exit: Any = None

    # For who starts children

    def prepare(self, source: Source) -> None:
        """A child is about to be started; forks from here on know that its ends are not theirs."""
        with self._lock:
            self._starting.add(source)

    def abandon(self, source: Source) -> None:
        """It was not started, or could not be begun with."""
        with self._lock:
            self._starting.discard(source)
            self._sources.discard(source)
            for channel in source.channels:
                self._close_channel(channel)
            source.close()
            if self._poller is not None and self._thread is None and not self._sources:
                self._close()

    def begin(self, source: Source) -> None:
        """It was started: read what it writes. Raises: OSError, RuntimeError when there is no room for a thread."""
        with self._lock:
            self._starting.discard(source)
            source.wires.close()
            if self._poller is None:
                self._open()
            for channel in source.channels:
                self._by_fd[channel.fd] = source
                self._poller.register(channel.fd, select.EPOLLIN)
            self._sources.add(source)
            self._run_again()

    def _open(self) -> None:
        self._poller = select.epoll()
        try:
            self.bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            self._poller.register(self.bell, select.EPOLLIN)
        except BaseException:
            self._close()
            raise
        if self._at_exit is None:
            self._at_exit = util.Finalize(None, self.drain, exitpriority=AT_EXIT)

    def _is_wanted(self) -> bool:
        return bool(self._sources)

    def _close(self) -> None:
        self._poller.close()
        bell, self.bell = self.bell, -1
        if bell >= 0:
            os.close(bell)
        self._poller = None

    # For who waits

    def drain(self) -> None:
        """Return when what was written up to now has been passed on, or after PATIENCE_S."""
        with self._lock:
            if self._poller is None or not (self._poller.poll(0) or self._more or self._busy):
                return
        self._ask(None)

    def finish(self, source: Source) -> None:
        """The child has ended: return when all of it has been passed on, or after PATIENCE_S."""
        self._ask(source)

    def _ask(self, source: Source | None) -> None:
        done = threading.Lock()
        done.acquire()
        with self._lock:
            if self._poller is None or self._thread is threading.current_thread():
                return
            if source is not None and source not in self._sources:
                return
            self._asked.append((source, done))
            os.eventfd_write(self.bell, 1)
            self._run_again()
        done.acquire(timeout=PATIENCE_S)

    # The thread

    def _run(self) -> None:
        while True:
            ready = self._poller.poll(0 if self._more else None)
            self._busy = True
            with self._lock:
                asked = [self._asked.popleft() for _ in range(len(self._asked))]
                with suppress(BlockingIOError):  # it has not been rung
                    os.eventfd_read(self.bell)
                sources = {self._by_fd[fd] for fd, _ in ready if fd in self._by_fd}
                sources.update(source for source in self._sources if asked or source.has_more)
            for source in sources:
                self._pump(source, any(source is ended for ended, _ in asked))
            with self._lock:
                self._more = any(source.has_more for source in self._sources)
            self._busy = False
            for _, done in asked:
                done.release()
            with self._lock:
                if not self._sources and not self._asked:
                    self._close()
                    self._thread = None
                    return
                if self._pauses:
                    self._thread = None
                    return

    def _pump(self, source: Source, has_ended: bool) -> None:
        try:
            source.finish() if has_ended else source.pump()
        except Exception:  # it must go on for the others
            report()
        with self._lock:
            for channel in source.channels:
                if not channel.is_open:
                    self._close_channel(channel)
            if source.is_over:
                self._sources.discard(source)

    def _close_channel(self, channel: Channel) -> None:
        """Under the lock. By itself the registration would stay, where the child has the same pipe."""
        if self._by_fd.pop(channel.fd, None) is not None:
            with suppress(FileNotFoundError):  # its registration failed
                self._poller.unregister(channel.fd)
            channel.close()

    # Forks

    def after_fork(self) -> None:
        """In a forked child: all of this is its parent's, but for the ends of the child itself."""
        for source in self._sources:
            source.close()
        for source in self._starting:
            if source.wires.starter != threading.get_ident():
                source.close()
        if self._poller is not None:
            self._close()
        self._begin()


relay = Relay()
rest_while_forking(relay.paused)
at_fork_in_child(relay.after_fork)
