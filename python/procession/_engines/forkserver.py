"""Start a child by asking a small server process to fork: quick like fork, clean like spawn.

The server is a fresh interpreter that has imported what the program's children will need: the main module, the modules
the main module refers to, the target's module, and this package. (The standard library means to preload the main
module too, but in 3.11 looks for it under a key that nobody sets, so every child imports it anew.) It has no threads.

Its clients hold one end of a socket pair; there is no name in the file system that a stranger could connect to, and
when the last client is gone, kill -9 included, the server reads end-of-file and leaves. Clients are the program that
started it and its fork-server children, who start grandchildren through it; children made by a plain fork give their
copy up.

A request is one message of descriptors: the memory file with the pickle, the pipe for answers, the client's sentinel
and lifeline, the socket itself, then whatever the pickle refers to. The answers are the child's pid, or minus the errno
if there was none, and later its exit code, 8 bytes each. A server that dies is started again by the next request. Its
children go on, and only their exit codes are lost (255)."""

from __future__ import annotations

import os
import pickle
import socket
import struct
import sys
import threading
from multiprocessing import util
from time import monotonic

from .._bootstrap import (
    at_fork_in_child,
    fallback_path,
    lifeline,
    own_sentinel,
    pidfd_open,
    preparation_data,
    tracker_fd,
)
from .._outcome import Outcome
from .fork import BasePopen, readable
from .spawn import interpreter_flags, pickle_process, run_interpreter

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from typing import Any

__all__ = ["MAX_DESCRIPTORS", "NUMBER", "Popen", "inherited", "server", "set_preload"]

MAX_DESCRIPTORS = 240  # that one pickled process may refer to; the kernel passes 253 in a message, some are ours
NUMBER = struct.Struct("<q")  # a pid or an exit code
_STOP_TIMEOUT = 1.0  # seconds the program waits at its end for the server to leave
_UNKNOWN_EXIT = 255

inherited: list[int] = []  # in a child of the server: the descriptors its pickle refers to


class _DupFd:
    """A descriptor on its way into the child: an index into what the server hands over."""

    def __init__(self, index: int) -> None:
        self.index = index

    def detach(self) -> int:
        """Return the descriptor in the child."""
        return inherited[self.index]


class Popen(BasePopen):
    """A child of the fork server: its pid and exit code come through a pipe."""

    method = "forkserver"
    DupFd = _DupFd
    is_orphan = False  # its server died before it

    def __init__(self, process_obj: Any) -> None:
        self._fds: list[int] = []
        super().__init__(process_obj)

    def duplicate_for_child(self, fd: int) -> int:
        """Called while pickling: send `fd` along."""
        self._fds.append(fd)
        if len(self._fds) > MAX_DESCRIPTORS:
            raise ValueError(f"more than {MAX_DESCRIPTORS} descriptors in the arguments of one process")
        return len(self._fds) - 1

    def _launch(self, process_obj: Any) -> None:
        pickle_process(process_obj, self)
        target = getattr(process_obj._target, "__module__", None) or type(process_obj).__module__
        for attempt in (1, 2):
            channel = server.connect(target)
            status, answer = os.pipe()
            try:
                with lifeline() as end:
                    _send(channel, [self.outcome.fd, answer, own_sentinel(), end], self._fds)
                os.close(answer)
                answer = -1
                self.pid = _read_pid(status)
                break
            except (EOFError, OSError) as error:
                os.close(status)
                if not isinstance(error, EOFError | ConnectionError) and channel.fileno() >= 0:
                    raise
                server.discard(channel)  # the next attempt starts another
                if attempt == 2:
                    raise
            except BaseException:
                os.close(status)
                raise
            finally:
                if answer >= 0:
                    os.close(answer)
        self.sentinel = status
        self.finalizer = util.Finalize(self, util.close_fds, (status,))  # type: ignore[attr-defined]

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        """As the base class."""
        code = super().poll(flag)
        while code is None and flag != os.WNOHANG:  # what was waited for was the server's death, not the child's
            code = super().poll(flag)
        return code

    def wait(self, timeout: float | None = None) -> int | None:
        """As the base class."""
        if timeout is None:
            return self.poll(0)
        deadline = monotonic() + timeout
        while (code := self.poll()) is None and readable(self.sentinel, deadline - monotonic()):
            pass
        return code

    def _block(self) -> None:
        readable(self.sentinel, None)

    def _collect(self, flag: int) -> int | None:
        if not readable(self.sentinel, 0):
            return None
        try:
            return _UNKNOWN_EXIT if self.is_orphan else _read_number(self.sentinel)
        except (EOFError, OSError):  # the server died, and with it the only one who would have known
            return None if self._watch_orphan() else _UNKNOWN_EXIT

    def _watch_orphan(self) -> bool:
        """The child may well go on: from now on the sentinel tells of its own end. False: it has ended."""
        try:
            fd = pidfd_open(self.pid)
        except OSError:
            return False
        if fd is None:
            return False
        os.dup2(fd, self.sentinel, inheritable=False)
        os.close(fd)
        self.is_orphan = True
        return not readable(self.sentinel, 0)


def _send(channel: socket.socket, ours: list[int], theirs: list[int]) -> None:
    """Ask the server for a child. Raises: ConnectionError when it has died."""
    tracker = tracker_fd()
    fds = [*ours, channel.fileno(), *([] if tracker is None else [tracker]), *theirs]
    socket.send_fds(channel, [b"0" if tracker is None else b"1"], fds)


def _read_pid(fd: int) -> int:
    pid = _read_number(fd)
    if pid < 0:
        raise OSError(-pid, f"{os.strerror(-pid)} (says the fork server)")
    return pid


def _read_number(fd: int) -> int:
    data = b""
    while len(data) < NUMBER.size:
        part = os.read(fd, NUMBER.size - len(data))
        if not part:
            raise EOFError("the fork server died before it answered")
        data += part
    return int(NUMBER.unpack(data)[0])


class Server:
    """This process's way to the fork server: starts it when needed, sends requests, stops it at the end."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.socket: socket.socket | None = None
        self.pid: int | None = None  # of the server if this process started it
        self.preload: list[str] = []  # modules asked for by `set_forkserver_preload`
        self._stop_at_exit: Any = None

    def connect(self, target_module: str) -> socket.socket:
        """The socket that takes requests; starts the server if there is none."""
        with self.lock:
            return self.socket or self._start(target_module)

    def discard(self, channel: socket.socket) -> None:
        """The server behind `channel` has died: make way for another, unless another thread has done so."""
        with self.lock:
            if self.socket is channel:
                self._forget(_STOP_TIMEOUT)

    def adopt(self, fd: int) -> None:
        """In a child of the server: use the same server from here."""
        self._after_fork()
        self.socket = socket.socket(fileno=fd)

    def stop(self, timeout: float = _STOP_TIMEOUT) -> None:
        """Let the server go and wait until it has left; it lives on while children of it do."""
        with self.lock:
            self._forget(timeout)

    def _forget(self, timeout: float) -> None:
        if self._stop_at_exit is not None:
            self._stop_at_exit.cancel()
            self._stop_at_exit = None
        if self.socket is not None:
            self.socket.close()
            self.socket = None
        pid, self.pid = self.pid, None
        if pid is None:
            return
        try:
            death = pidfd_open(pid)
            if death is not None:
                readable(death, timeout)
                os.close(death)
            os.waitpid(pid, os.WNOHANG)
        except OSError:
            pass  # somebody else collected it

    def _start(self, target_module: str) -> socket.socket:
        from multiprocessing import spawn

        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        wishes = Outcome.create()
        try:
            with wishes.open("wb") as file:
                pickle.dump(_preparation(self.preload, target_module), file)
            with lifeline() as end:
                command = (
                    f"import sys; sys.path.append({fallback_path()!r}); from procession._engines._server import serve; "
                    f"serve({theirs.fileno()}, {wishes.fd}, {end})"
                )
                executable = spawn.get_executable()
                arguments = [executable, *interpreter_flags(), "-c", command]
                self.pid = run_interpreter(executable, arguments, [theirs.fileno(), wishes.fd, end])
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
            wishes.close()
        self.socket = ours
        self._stop_at_exit = util.Finalize(self, self.stop, exitpriority=-100)
        return ours

    def _after_fork(self) -> None:
        """A forked child is no client: the server must not outlive the program for its sake."""
        self.lock = threading.Lock()
        self._stop_at_exit = None
        if self.socket is not None:
            self.socket.close()
        self.socket = self.pid = None


def _preparation(preload: list[str], target_module: str) -> dict[str, Any]:
    """What the server should do before its first child: where the main module is, which modules to import."""
    data = preparation_data("forkserver", "forkserver")
    data["preload"] = list(dict.fromkeys([*preload, *_modules_of_main(), target_module]))
    data.pop("authkey")
    return data


def _modules_of_main() -> list[str]:
    """Names of the modules that the main module's globals are, or come from."""
    names = []
    for value in list(vars(sys.modules["__main__"]).values()):
        name = getattr(value, "__name__" if type(value) is type(sys) else "__module__", None)
        if isinstance(name, str) and name in sys.modules and name not in ("__main__", "__mp_main__", "builtins"):
            names.append(name)
    return names


def set_preload(module_names: list[str]) -> None:
    """Modules the next server shall import; only a hint. Raises: TypeError unless it is a list of str."""
    if not all(type(name) is str for name in module_names):
        raise TypeError("module_names must be a list of strings")
    server.preload = [name for name in module_names if name != "__main__"]


server = Server()
at_fork_in_child(server._after_fork)
