"""Who gets at shared memory: the owner's processes, and nobody else. What is trusted beyond that: SECURITY.md."""

import fcntl
import mmap
import multiprocessing.connection
import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import procession
from procession import KeyedResult, _native, _outcome, _store
from procession.gather.spool import Spool

NOBODY = 65534
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")


def as_nobody(work: Callable[[], object]) -> object:
    """What `work` does in a child that has become another user: True, or the error's name."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            try:
                work()
                answer = b"worked"
            except (OSError, EOFError) as error:
                answer = type(error).__name__.encode()
            os.write(writer, answer)
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    with os.fdopen(reader, "rb") as file:
        return file.read().decode()


def memory_files() -> list[Any]:
    """Everything of ours that another process could open: descriptors, each with what keeps it."""
    spool = Spool.in_memory("test")
    result = KeyedResult.from_dict({"a": 1})
    outcome = _outcome.Outcome.create()
    return [(_store.shared_arena().fd, None), (spool.fd, spool), (result._fd, result), (outcome.fd, outcome)]


def close(files: list[Any]) -> None:
    for _, keeper in files:
        if keeper is not None:
            keeper.close()


def test_memory_files_are_the_owners_and_closed_on_exec() -> None:
    files = memory_files()
    for fd, _ in files:
        status = os.fstat(fd)
        assert stat.S_IMODE(status.st_mode) == 0o600, os.readlink(f"/proc/self/fd/{fd}")
        assert status.st_uid == os.getuid()
        assert not os.get_inheritable(fd)
    close(files)


@needs_root
def test_another_user_cannot_open_them() -> None:
    files, owner = memory_files(), os.getpid()
    for fd, _ in files:
        assert as_nobody(lambda fd=fd: os.open(f"/proc/{owner}/fd/{fd}", os.O_RDONLY)) == "PermissionError"
        # Not even who has inherited the descriptor, and finds it in a directory of its own. (A spool is closed there.)
        assert as_nobody(lambda fd=fd: os.open(f"/proc/self/fd/{fd}", os.O_RDWR)) in (
            "PermissionError",
            "FileNotFoundError",
        )
    assert as_nobody(lambda: os.listdir(f"/proc/{owner}/fd")) == "PermissionError"
    close(files)


@needs_root
def test_another_user_is_told_so() -> None:
    token = b"\0" * 16
    owner, fd = os.getpid(), _store.shared_arena().fd
    assert as_nobody(lambda: _not_found(owner, fd, token)) == "worked"


def _not_found(owner: int, fd: int, token: bytes) -> None:
    with pytest.raises(procession.errors.ObjectGone, match="belongs to another user"):
        _store._attach_relative(owner, fd, token)


def test_an_arena_can_be_neither_cut_off_nor_extended() -> None:
    arena = _native.Arena.create(1 << 30)
    length = os.fstat(arena.fd).st_size
    for size in (0, length - 4096, length + 4096):
        with pytest.raises(PermissionError):
            os.ftruncate(arena.fd, size)
    with pytest.raises(PermissionError):
        fcntl.fcntl(arena.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
    assert os.fstat(arena.fd).st_size == length


def test_a_file_that_could_be_cut_off_is_no_arena() -> None:
    arena = _native.Arena.create(1 << 30)
    copy = os.memfd_create("forged", os.MFD_ALLOW_SEALING)
    os.ftruncate(copy, os.fstat(arena.fd).st_size)
    with mmap.mmap(arena.fd, 4096) as header:
        os.pwrite(copy, header[:], 0)
    forged = bytes(16)
    os.pwrite(copy, forged, 16)  # a token of its own, or the one that is known would be found
    with pytest.raises(ValueError, match="could be cut off"):
        _native.Arena.attach(copy, forged)
    os.close(copy)


def named_memory() -> set[str]:
    """Files in /dev/shm that this process has mapped."""
    return {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "/dev/shm" in line}


def test_nothing_has_a_name() -> None:
    before = named_memory()
    queue: Any = procession.Queue()
    queue.put(bytes(1 << 20))
    assert named_memory() == before


def test_a_saved_result_is_no_more_public_than_what_it_replaces(tmp_path: Path) -> None:
    secret, usual = tmp_path / "secret", tmp_path / "usual"
    secret.touch(0o600)
    mask = os.umask(0o022)
    try:
        with KeyedResult.from_dict({"a": 1}) as result:
            result.save(secret)
            result.save(usual)
    finally:
        os.umask(mask)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (secret, usual)] == [0o600, 0o644]
    with KeyedResult.open(secret) as result:
        assert dict(result) == {"a": 1}


@pytest.mark.slow
def test_a_manager_answers_only_who_has_its_key() -> None:
    with procession.Manager() as manager:
        address: Any = manager.address
        with pytest.raises(multiprocessing.AuthenticationError):
            multiprocessing.connection.Client(address, authkey=b"guessed")
        assert manager.list([1])[0] == 1, "and goes on"


@needs_root
@pytest.mark.slow
def test_a_manager_hangs_up_on_another_user_who_has_its_key() -> None:
    with procession.Manager() as manager:
        address: Any = manager.address
        key = bytes(multiprocessing.current_process().authkey)
        refusals = ("EOFError", "ConnectionResetError", "BrokenPipeError")
        assert as_nobody(lambda: multiprocessing.connection.Client(address, authkey=key)) in refusals
        assert manager.list([1])[0] == 1, "and goes on"


def test_a_listener_with_a_key_answers_only_who_has_it() -> None:
    from procession.connection import Client, Listener

    with Listener(authkey=b"key") as listener:
        pid = os.fork()
        if pid == 0:
            try:
                with pytest.raises(multiprocessing.AuthenticationError):
                    Client(listener.address, authkey=b"other")
                os._exit(0)
            finally:
                os._exit(1)
        with pytest.raises(multiprocessing.AuthenticationError):
            listener.accept()
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.slow
def test_the_fork_server_has_no_address() -> None:
    context = procession.get_context("forkserver")
    child = context.Process(target=signal.pause)
    child.start()
    from procession._engines.forkserver import server

    assert server.socket is not None
    assert server.socket.getsockname() == "", "one end of a pair: nobody can connect"
    child.kill()
    child.join()
    child.close()
