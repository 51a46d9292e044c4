"""The fork server's own side: the loop that runs in its process. See `forkserver` for what travels."""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import select
import signal
import socket
import sys

from .._bootstrap import adopt_tracker, end_with_parent, prepare, run_child
from .._outcome import Outcome
from .fork import _forget_exit_handlers, exit_forked
from .forkserver import MAX_DESCRIPTORS, NUMBER, inherited, server

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from typing import Any

__all__ = ["serve"]

_OURS = 5  # descriptors in front: the memory file, answers, the client's sentinel, its lifeline, the socket


def serve(control_fd: int, wishes_fd: int, lifeline: int) -> None:
    """Import what was wished for, then fork a child for each request until the last client is gone."""
    end_with_parent(lifeline)  # importing may take long
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # Ctrl-C is the clients' business
    _prepare(Outcome(wishes_fd))
    for fd in (control_fd, lifeline):
        os.set_inheritable(fd, False)
    with socket.socket(fileno=control_fd) as control:
        _Server(control).run()
    os._exit(0)


def _prepare(wishes: Outcome) -> None:
    """Imports that fail are left for the children to fail at, where someone learns of it."""
    from multiprocessing import process, util

    with wishes.open("rb") as file:
        data = pickle.load(file)
    wishes.close()
    preload = data.pop("preload")
    main = {key: data.pop(key) for key in list(data) if key.startswith("init_main")}
    current: Any = process.current_process()
    current._inheriting = True  # a main module without its guard must not start processes from here
    try:
        prepare(data)
        with contextlib.suppress(Exception, SystemExit):
            prepare(main)
        for name in ["procession.process", *preload]:
            with contextlib.suppress(Exception, SystemExit):
                __import__(name)
    finally:
        del current._inheriting
    util._close_stdin()  # type: ignore[attr-defined]
    util._flush_std_streams()  # type: ignore[attr-defined]
    _freeze()


def _freeze() -> None:
    """Keep the collector off everything imported so far: touching it would copy the pages in every child."""
    import gc

    gc.collect()
    gc.freeze()


class _Server:
    """The loop: requests on one side, deaths of children on the other."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.answers: dict[int, int] = {}  # pid of a running child: the pipe its exit code goes to
        self.wake_r, self.wake_w = os.pipe()
        os.set_blocking(self.wake_r, False)
        os.set_blocking(self.wake_w, False)
        self.on_child = signal.signal(signal.SIGCHLD, lambda *_: None)  # only so that it is not blocked
        # Meant for the family: the server ends with that. Held back and not ignored, for a child may be sent one before
        # its first step, and what is ignored at that moment is lost.
        self.mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        signal.set_wakeup_fd(self.wake_w)

    def run(self) -> None:
        poller = select.poll()
        poller.register(self.control, select.POLLIN)
        poller.register(self.wake_r, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poller.poll()}
            if self.wake_r in ready:
                self._collect()
            if self.control.fileno() in ready and not self._accept():
                return

    def _collect(self) -> None:
        """Report the children that have ended."""
        os.read(self.wake_r, 65536)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            answer = self.answers.pop(pid, None)
            if answer is not None:
                _write_number(answer, os.waitstatus_to_exitcode(status))
                os.close(answer)

    def _accept(self) -> bool:
        """Fork a child for one request; False when there are no clients left."""
        message, fds, flags, _ = socket.recv_fds(self.control, 1, MAX_DESCRIPTORS + _OURS + 1)
        if not message:
            return False
        if flags & socket.MSG_CTRUNC:
            self._refuse(fds, errno.EMFILE)  # there was no room for all of them here
            return True
        try:
            pid = os.fork()
        except OSError as error:
            self._refuse(fds, error.errno or errno.EAGAIN)
            return True
        if pid == 0:
            self._become_child(message == b"1", fds)
        answer = fds[1]
        _write_number(answer, pid)
        self.answers[pid] = answer
        for fd in fds:
            if fd != answer:
                os.close(fd)
        return True

    def _refuse(self, fds: list[int], why: int) -> None:
        """Tell the client that there is no child. Without the pipe for answers the end of that tells it."""
        if len(fds) > 1:
            _write_number(fds[1], -why)
        for fd in fds:
            os.close(fd)

    def _become_child(self, has_tracker: bool, fds: list[int]) -> None:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, self.on_child)
            signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)
            outcome_fd, answer, parent_sentinel, lifeline, client, *rest = fds
            end_with_parent(lifeline)
            for fd in (answer, self.wake_r, self.wake_w, *self.answers.values()):
                os.close(fd)
            self.control.close()
            server.adopt(client)
            adopt_tracker(rest.pop(0) if has_tracker else None)
            inherited[:] = rest
            _forget_exit_handlers()
            code = run_child(Outcome(outcome_fd), parent_sentinel)
        except Exception:
            sys.excepthook(*sys.exc_info())
            sys.stderr.flush()
        finally:
            exit_forked(code)


def _write_number(fd: int, number: int) -> None:
    with contextlib.suppress(BrokenPipeError):  # nobody is waiting for the answer
        os.write(fd, NUMBER.pack(number))  # 8 bytes always fit: at most two are ever written to this pipe
