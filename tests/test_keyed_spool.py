"""Spools: files without a name, reached by relatives for as long as their maker keeps them."""

from __future__ import annotations

import errno
import os
import pickle
import signal
from pathlib import Path
from typing import Any

import pytest

from procession import _native
from procession.errors import ObjectGone
from procession.gather import spool as module
from procession.gather.spool import Spool, spill_directory


@pytest.fixture(params=["memory", "disk"])
def spool(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    made = Spool.in_memory("procession-test") if request.param == "memory" else Spool.on_disk(str(tmp_path))
    yield made
    made.close()


def test_it_has_a_page_of_its_own_and_no_name(spool: Spool, tmp_path: Path) -> None:
    assert os.fstat(spool.fd).st_size == 4096
    assert os.listdir(tmp_path) == []
    assert not os.get_inheritable(spool.fd)
    assert repr(spool) == f"<Spool in {spool.directory}>" if spool.directory else "<Spool in memory>"


def test_a_file_system_without_nameless_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "O_TMPFILE", 0)
    spool = Spool.on_disk(str(tmp_path))
    assert os.fstat(spool.fd).st_nlink == 0
    assert os.listdir(tmp_path) == []
    assert spool.directory == str(tmp_path)
    spool.close()


def test_a_relative_gets_a_descriptor_of_its_own(spool: Spool) -> None:
    again = pickle.loads(pickle.dumps(spool))
    assert again.fd != spool.fd
    assert again.directory == spool.directory
    os.pwrite(again.fd, b"hello", 5000)
    assert os.pread(spool.fd, 5, 5000) == b"hello"
    again.release()
    assert again.fd == -1
    spool.release()  # as a thread does, which has the caller's own
    assert spool.fd >= 0


def test_a_spool_that_was_closed_is_gone(spool: Spool) -> None:
    data = pickle.dumps(spool)
    number = spool.fd
    spool.close()
    spool.close()
    with pytest.raises(ObjectGone, match="the call is over"):
        pickle.loads(data)
    other = os.memfd_create("another")
    try:
        assert other == number  # the number was taken again, by another file
        with pytest.raises(ObjectGone, match="was closed"):
            pickle.loads(data)
    finally:
        os.close(other)


def test_a_forked_child_holds_none(spool: Spool) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            os.fstat(spool.fd if spool.fd >= 0 else 10_000)
        except OSError:
            os._exit(0 if spool.fd == -1 and not list(module._open) else 2)
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert os.fstat(spool.fd).st_size == 4096


def test_a_forgotten_one_is_closed(spool: Spool) -> None:
    again = pickle.loads(pickle.dumps(spool))
    number = again.fd
    del again
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


def test_detached(spool: Spool) -> None:
    fd = spool.detach()
    assert "closed" in repr(spool)
    spool.close()
    assert os.fstat(fd).st_size == 4096
    os.close(fd)


def test_where_to_spill(tmp_path: Path) -> None:
    assert spill_directory(tmp_path) == spill_directory(str(tmp_path)) == str(tmp_path)
    assert spill_directory(os.fsencode(tmp_path)) == str(tmp_path)
    assert os.path.isdir(spill_directory(None))
    with pytest.raises(TypeError):
        spill_directory(3)
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(NotADirectoryError, match="spill_dir is to be a directory"):
        spill_directory(file)


@pytest.mark.parametrize(
    "use",
    [
        _native.spool_init,
        lambda fd: _native.Combiner("count", 0, None, fd, 1 << 20),
        lambda fd: _native.pack_runs(fd, [], [0, 256]),
        lambda fd: _native.build_answer(fd, 0, b"", []),
        lambda fd: _native.seal_answer(fd, 0, b"", [], []),
    ],
)
def test_what_the_kernel_refuses_has_its_number(use: Any, tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(IsADirectoryError, match=rf"\[Errno {errno.EISDIR}\] Is a directory$") as caught:
            use(fd)
    finally:
        os.close(fd)
    assert caught.value.errno == errno.EISDIR


@pytest.mark.parametrize("write", [_native.spool_init, lambda fd: _native.build_answer(fd, 0, b"", [(1, 2)])])
def test_a_full_disk_has_its_number(write: Any) -> None:
    fd = os.open("/dev/full", os.O_RDWR)
    try:
        with pytest.raises(OSError, match=r"No space left on device$") as caught:
            write(fd)
    finally:
        os.close(fd)
    assert caught.value.errno == errno.ENOSPC


def test_what_we_say_ourselves_keeps_its_class() -> None:
    with pytest.raises(FileNotFoundError, match="needs /proc mounted") as caught:
        _native.spool_init(100_000_000)
    assert caught.value.errno is None
