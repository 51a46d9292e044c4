"""How unrelated programs find each other at a file: who comes, goes and dies in whichever order."""

import fcntl
import os
import shutil
import signal
import struct
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from strangers import Stranger

import procession
from procession import _native, errors
from procession._disk import header, meeting
from procession.testing import wait_until


def lock_byte(file: int, byte: int, kind: int = fcntl.F_WRLCK) -> None:
    fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", kind, os.SEEK_SET, byte, 1, 0))


def state_of(lock: Any) -> tuple[bytes, tuple[int, int]]:
    return lock.arena.token, lock.address


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "home")


def test_programs_that_come_one_after_another_share_one_state(path: str) -> None:
    lock = procession.Lock(path=path)
    with Stranger() as other:
        other.do(f"lock = procession.Lock(path={path!r})")
        assert other.do("lock.arena.token, lock.address") == state_of(lock)
        other.do("lock.acquire()")
        assert lock.owner is not None
        assert (lock.owner.pid, lock.owner.name) == (other.pid, "python -c")
        assert not lock.acquire(block=False)
        other.do("lock.release()")
        assert lock.acquire(timeout=0)
        lock.release()


def test_the_others_go_on_when_the_first_dies_and_a_third_finds_them(path: str) -> None:
    with Stranger() as first, Stranger() as second:
        first.do(f"lock = procession.Lock(path={path!r})")
        assert first.do("lock._home.meeting.is_first")
        second.do(f"lock = procession.Lock(path={path!r})")
        first.kill()
        lock = procession.Lock(path=path)
        assert not lock._home.meeting.is_first  # type: ignore[attr-defined]
        assert second.do("lock.arena.token, lock.address") == state_of(lock)


def test_the_child_of_a_fork_keeps_the_state_alone(path: str) -> None:
    with Stranger() as first:
        first.do(f"lock = procession.Lock(path={path!r})")
        first.do("ours, theirs = os.pipe()")
        child = first.do("child = os.fork()\nif child == 0:\n    os.read(ours, 1)\n    os._exit(0)") or first.do(
            "child"
        )
        token = first.do("lock.arena.token, lock.address")
        first.kill()  # the child, which stands nowhere in the file, goes on
        try:
            assert state_of(procession.Lock(path=path)) == token
        finally:
            os.kill(child, signal.SIGKILL)


def test_when_all_are_gone_the_next_is_first(path: str) -> None:
    with Stranger() as other:
        other.do(f"lock = procession.Lock(path={path!r})")
        other.do("lock.acquire()")
        other.kill()
    lock = procession.Lock(path=path)
    assert lock._home.meeting.is_first  # type: ignore[attr-defined]
    assert lock.acquire(block=False)
    lock.release()


def test_two_threads_open_at_once(path: str) -> None:
    barrier, found = threading.Barrier(8), []

    def come() -> None:
        barrier.wait()
        found.append(procession.Lock(path=path))

    threads = [threading.Thread(target=come) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({state_of(lock) for lock in found}) == 1
    assert sum(lock._home.meeting.is_first for lock in found) == 1


def test_who_cannot_be_reached_is_an_error(path: str) -> None:
    """A process with a /proc of its own does not see this one, which has the file open."""
    unshare = shutil.which("unshare")
    apart = [unshare or "", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
    if unshare is None or subprocess.run([*apart, "true"], capture_output=True).returncode:
        pytest.skip("needs namespaces of process ids (unshare --pid)")
    lock = procession.Lock(path=path)
    with Stranger(*apart, "--kill-child") as other:
        other.do("from procession._disk import meeting; meeting.REACH_TIMEOUT = 0.1")
        other.tell(f"procession.Lock(path={path!r})")
        kind, text = other.answer()
        assert kind == "HomeUnreachable"
        assert path in text
        assert str(os.getpid()) in text
        lock.close()
        other.do(f"lock = procession.Lock(path={path!r})")
    del lock


def test_nor_is_who_can_be_reached_by_a_process_that_he_cannot_see(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    unshare = shutil.which("unshare")
    apart = [unshare or "", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
    if unshare is None or subprocess.run([*apart, "true"], capture_output=True).returncode:
        pytest.skip("needs namespaces of process ids (unshare --pid)")
    monkeypatch.setattr(meeting, "REACH_TIMEOUT", 0.1)
    with Stranger(*apart, "--kill-child") as other:
        other.do(f"lock = procession.Lock(path={path!r})")
        with pytest.raises(errors.HomeUnreachable, match="another container"):
            procession.Lock(path=path)


def test_somebody_present_without_a_state_is_an_error(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As another machine's process is, which locks the file and stands in no /proc of this one."""
    monkeypatch.setattr(meeting, "REACH_TIMEOUT", 0.1)
    procession.Lock(path=path).close()
    file = os.open(path, os.O_RDWR)
    lock_byte(file, 1, fcntl.F_RDLCK)
    with pytest.raises(errors.HomeUnreachable, match="cannot be reached") as caught:
        procession.Lock(path=path)
    assert caught.value.path == path
    os.close(file)
    assert procession.Lock(path=path)._home.meeting.is_first  # type: ignore[attr-defined]


def test_coming_in_takes_no_longer_than_its_timeout(path: str) -> None:
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    lock_byte(file, 0)
    with pytest.raises(errors.TimeoutError, match="another process is opening it"):
        meeting.Meeting.join(file, lambda arena: _native.Lock(arena), path=path, timeout=0.05)
    os.close(file)


def test_a_child_forked_while_another_thread_comes_in_keeps_nobody_out(path: str) -> None:
    with Stranger() as other:
        other.do(
            "import threading\n"
            "from procession import _native\n"
            "from procession._disk import meeting\n"
            "inside = threading.Event()\n"
            f"file = os.open({path!r}, os.O_RDWR | os.O_CREAT)\n"
            "def make(arena):\n"
            "    inside.set()\n"
            "    threading.Event().wait()\n"
            "def come():\n"
            f"    meeting.Meeting.join(file, make, path={path!r})\n"
            "threading.Thread(target=come, daemon=True).start()"
        )
        child = other.do(
            "inside.wait()\nours, theirs = os.pipe()\nchild = os.fork()\n"
            "if child == 0:\n    os.read(ours, 1)\n    os._exit(0)"
        ) or other.do("child")
        other.kill()
        try:
            assert procession.Lock(path=path)._home.meeting.is_first  # type: ignore[attr-defined]
        finally:
            os.kill(child, signal.SIGKILL)


def test_who_waits_at_the_gate_of_a_file_that_is_removed_makes_a_new_one(path: str) -> None:
    procession.Lock(path=path).close()
    file = os.open(path, os.O_RDWR)
    lock_byte(file, 0)
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(procession.Lock(path=path)))
    thread.start()
    wait_until(lambda: len(meeting._unshared) == 1)
    os.unlink(path)
    os.close(file)
    thread.join()
    assert os.path.exists(path)
    assert found[0]._home.is_new


def dies(step: int, fn: Callable[[], object]) -> bool:
    """Let a child do something and be killed before its `step`-th system call on files; False when it needs fewer."""
    child = os.fork()
    if child == 0:
        left = step

        def killing(call: Callable[..., Any]) -> Callable[..., Any]:
            def called(*args: Any, **options: Any) -> Any:
                nonlocal left
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return call(*args, **options)

            return called

        for module, names in (os, ["open", "close", "pwrite", "ftruncate", "posix_fallocate"]), (fcntl, ["fcntl"]):
            for name in names:
                setattr(module, name, killing(getattr(module, name)))
        fn()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0


def test_whoever_is_killed_while_he_makes_one_leaves_nothing_that_matters(path: str) -> None:
    step = 1
    while dies(step, lambda: procession.Array("i", [1, 2, 3], path=path)):
        array = procession.Array("i", [4, 5, 6], path=path)
        assert array[:] in ([1, 2, 3], [4, 5, 6])
        array.unlink()
        array.close()
        step += 1
    assert step > 10


def test_whoever_is_killed_while_he_comes_in_leaves_the_others_alone(path: str) -> None:
    lock = procession.Lock(path=path)
    step = 1
    while dies(step, lambda: procession.Lock(path=path)):
        again = procession.Lock(path=path)
        assert state_of(again) == state_of(lock)
        step += 1
    assert step > 5


def test_a_thousand_openings_leave_nothing(path: str) -> None:
    def held() -> tuple[int, int, int]:
        maps = Path("/proc/self/maps").read_text()
        return len(os.listdir("/proc/self/fd")), maps.count(path), meeting.disk_arena().statistics()["objects"]

    before = held()
    for _ in range(500):
        procession.Lock(path=path).close()
        array = procession.Array("i", 1000, path=path + "s")
        array[3] = 1
        array.close()
    del array
    assert held() == before


def test_more_may_be_present_than_the_page_has_room_for(path: str) -> None:
    locks = [procession.Lock(path=path)]
    file = os.open(path, os.O_RDWR)
    token, address, present = meeting._entries(file)
    many = [(os.getpid(), -1, present[0][2])] * 500
    area = meeting._PLACE.pack(500, meeting._namespace(), token, *address)
    area = (area + b"".join(meeting._PRESENT.pack(*one) for one in many[: meeting._MOST])).ljust(3068, b"\0")[:3068]
    os.pwrite(file, header.crc32(area).to_bytes(4, "little") + area, 1024)
    os.close(file)
    locks.append(procession.Lock(path=path))
    assert len({state_of(lock) for lock in locks}) == 1
