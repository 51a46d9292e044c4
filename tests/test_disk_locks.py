"""Lock and RLock that live at a path."""

import contextlib
import fcntl
import os
import pickle
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest
from parties import blocked
from strangers import Stranger
from test_disk_meeting import lock_byte

import procession
from procession import _registry, errors
from procession._disk.locks import ServerLock, ServerRLock, is_remote
from procession.testing import wait_until


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "home")


@pytest.fixture(params=["Lock", "RLock"])
def kind(request: pytest.FixtureRequest) -> str:
    assert isinstance(request.param, str)
    return request.param


def opened(kind: str, path: str, **options: Any) -> Any:
    return getattr(procession, kind)(path=path, **options)


def test_it_is_one_of_its_kind_with_a_path(kind: str, path: str) -> None:
    lock = opened(kind, path)
    assert isinstance(lock, getattr(procession.synchronize, kind))
    assert (lock.path, lock.name) == (path, path)
    with lock:
        assert lock.owner.pid == os.getpid()
    assert lock.statistics().acquired == 1
    assert getattr(procession.synchronize, kind)(path=path).address == lock.address


@pytest.mark.slow
def test_programs_count_exactly(path: str, tmp_path: Path) -> None:
    """Each reads, adds and writes; without the lock most of that is lost."""
    counter = tmp_path / "counter"
    counter.write_text("0")
    order = (
        f"from pathlib import Path\ncounter, lock = Path({str(counter)!r}), procession.Lock(path={path!r})\n"
        "for _ in range(200):\n"
        "    with lock:\n"
        "        counter.write_text(str(int(counter.read_text()) + 1))"
    )
    with Stranger() as one, Stranger() as two:
        one.tell(order)
        two.tell(order)
        assert one.answer() == two.answer() == (None, [])
    assert counter.read_text() == "400"


def test_who_waits_when_the_holder_is_killed_gets_it_and_is_told(kind: str, path: str) -> None:
    lock = opened(kind, path)
    with Stranger() as holder, Stranger() as waiter:
        holder.do(f"lock = procession.{kind}(path={path!r})\nlock.acquire()")
        waiter.do(f"lock = procession.{kind}(path={path!r})")
        waiter.tell("lock.acquire()")
        blocked(lock)
        holder.kill()
        taken, told = waiter.answer()
        assert taken is True
        assert f"process {holder.pid} ended while it held this {kind} (named python -c" in told[0]
        assert lock.owner.pid == waiter.pid


def test_made_to_raise_it_keeps_all_out_until_somebody_repairs(kind: str, path: str) -> None:
    lock = opened(kind, path, on_abandoned="raise")
    with Stranger() as holder, Stranger() as other:
        holder.do(f"lock = procession.{kind}(path={path!r}, on_abandoned='raise')\nlock.acquire()")
        other.do(f"lock = procession.{kind}(path={path!r}, on_abandoned='raise')")
        holder.kill()
        with pytest.raises(errors.LockAbandoned):
            lock.acquire()
        other.tell("lock.acquire()")
        assert other.answer()[0] == "LockAbandoned"
        other.do("with lock.repair() as error: pid = error.pid")
        assert other.do("pid") == holder.pid
    with lock:
        pass


def test_made_to_raise_it_is_not_forgotten_when_all_have_died(kind: str, path: str) -> None:
    with Stranger() as other:
        other.do(f"lock = procession.{kind}(path={path!r}, on_abandoned='raise')\nwith lock: pass\nlock.acquire()")
        other.kill()
    for _ in range(2):
        lock = opened(kind, path, on_abandoned="raise")
        with pytest.raises(errors.HomeMismatch):
            opened(kind, path)  # which does not make it forgotten
        with pytest.raises(errors.LockAbandoned, match=f"process {other.pid}") as caught:
            lock.acquire()
        assert caught.value.pid == other.pid
        with contextlib.suppress(ZeroDivisionError), lock.repair() as error:
            assert error is not None
            1 / 0  # noqa: B018
        lock.close()
    lock = opened(kind, path, on_abandoned="raise")
    with lock.repair() as error:
        assert error is not None
        assert error.pid == other.pid
    lock.close()
    with opened(kind, path, on_abandoned="raise"):
        pass


def test_who_wants_a_warning_gets_that_for_one_left_so(kind: str, path: str) -> None:
    with Stranger() as other:
        other.do(f"lock = procession.{kind}(path={path!r}, on_abandoned='raise')\nlock.acquire()")
        other.kill()
    lock = opened(kind, path)
    with pytest.warns(errors.AbandonedLockWarning, match=f"process {other.pid}"):
        lock.acquire()
    lock.release()
    lock.close()
    with opened(kind, path):
        pass


def test_all_who_open_it_agree_on_what_a_death_means(kind: str, path: str) -> None:
    lock = opened(kind, path)
    with pytest.raises(errors.HomeMismatch, match="on_abandoned='warn', and 'raise' was asked for"):
        opened(kind, path, on_abandoned="raise")
    lock.close()
    opened(kind, path, on_abandoned="raise").close()


def test_its_kind_is_checked(path: str) -> None:
    procession.Lock(path=path).close()
    with pytest.raises(errors.HomeMismatch, match="holds a Lock, and an RLock was asked for") as caught:
        procession.RLock(path=path)
    assert (caught.value.found, caught.value.asked) == ("a Lock", "an RLock")


def test_a_context_of_any_kind_makes_it(context: Any, path: str) -> None:
    lock = context.Lock(path=path)
    assert lock.address == procession.Lock(path=path).address
    assert context.RLock(path=path + "r").path == path + "r"


def _take(lock: Any, reply: Any) -> None:
    with warnings.catch_warnings(record=True):
        taken = lock.acquire(block=False)
        if taken:
            lock.release()
    reply.put((taken, lock.path))


def test_it_goes_to_processes_by_its_path(process_context: Any, path: str) -> None:
    lock, reply = procession.Lock(path=path), process_context.Queue()
    with lock:
        child = process_context.Process(target=_take, args=(lock, reply))
        child.start()
        assert reply.get(timeout=20) == (False, path)
    child.join()
    child.close()


def test_a_pickle_of_it_makes_no_file(kind: str, path: str) -> None:
    lock = opened(kind, path, on_abandoned="raise")
    pickled = pickle.dumps(lock)
    again = pickle.loads(pickled)
    assert (type(again), again.address, again.on_abandoned) == (type(lock), lock.address, "raise")
    lock.unlink()
    with pytest.raises(FileNotFoundError):
        pickle.loads(pickled)
    assert not os.path.exists(path)


def test_closed_it_refuses_everything_else(kind: str, path: str) -> None:
    lock = opened(kind, path)
    lock.close()
    lock.close()
    for use in lock.acquire, lock.release, lambda: lock.owner, lock.__enter__, lambda: pickle.dumps(lock), lock.repair:
        with pytest.raises(errors.Closed, match=path):
            use()
    assert lock.path == path
    assert "closed" in repr(lock)
    lock.unlink()
    lock.unlink()
    assert not os.path.exists(path)


def test_it_cannot_be_closed_while_this_process_holds_it(kind: str, path: str) -> None:
    lock = opened(kind, path)
    with lock, pytest.raises(errors.HomeError, match="release it before"):
        lock.close()
    lock.close()


def test_removed_it_goes_on_for_those_who_have_it(path: str) -> None:
    old = procession.Lock(path=path)
    old.unlink()
    new = procession.Lock(path=path)
    assert (old.arena.token, old.address) != (new.arena.token, new.address)
    with old, new:
        pass


# Names


def test_a_name_is_a_place_of_this_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PROCESSION_HOME", str(tmp_path))
    lock = procession.Lock(name="ledger")
    assert (lock.path, lock.name) == (str(tmp_path / "lock" / "ledger"), "ledger")
    with Stranger() as other:
        assert other.do("procession.Lock(name='ledger').address") == lock.address
    monkeypatch.delenv("PROCESSION_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert procession.RLock(name="ledger").path == str(tmp_path / "data" / "procession" / "rlock" / "ledger")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc/passwd", "a\0b"])
def test_a_name_is_no_path(name: str) -> None:
    with pytest.raises(ValueError, match="a name must be one that a file can have"):
        procession.Lock(name=name)


def test_a_path_and_a_name_are_one_too_many(path: str) -> None:
    with pytest.raises(TypeError, match="not both"):
        procession.Lock(path=path, name="ledger")
    with pytest.raises(TypeError, match="a name is a str"):
        procession.Lock(name=3)  # type: ignore[arg-type]


# Files that are no homes


def test_what_is_not_ours_is_left_as_it_is(path: str) -> None:
    Path(path).write_bytes(b"dear diary")
    with pytest.raises(errors.NotAHome, match="not a file of procession's"):
        procession.Lock(path=path)
    assert Path(path).read_bytes() == b"dear diary"
    with pytest.raises(errors.NotAHome):
        procession.Lock(path="/dev/null")


def test_a_later_format_is_refused(path: str) -> None:
    procession.Lock(path=path).close()
    with open(path, "r+b") as file:
        file.seek(8)
        file.write(b"\x07")
    with pytest.raises(errors.HomeTooNew, match="has format 7") as caught:
        procession.Lock(path=path)
    assert caught.value.version == 7


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_file_that_may_not_be_written_is_said(path: str) -> None:
    procession.Lock(path=path).close()
    os.chmod(path, 0o400)
    with pytest.raises(PermissionError, match=path):
        procession.Lock(path=path)


def test_a_folder_that_is_not_there_is_said(path: str) -> None:
    with pytest.raises(FileNotFoundError, match=path):
        procession.Lock(path=path + "/lock")


# On a file system of several machines


def test_the_file_systems_of_this_machine_are_its_own(tmp_path: Path) -> None:
    assert not is_remote(str(tmp_path / "new"))
    assert not is_remote("/proc/self/stat")


def test_there_the_servers_lock_is_taken_as_well(path: str) -> None:
    lock = ServerLock(path)
    server = os.open(path, os.O_RDWR)  # as another machine's process has it
    lock_byte(server, 2)
    assert not lock.acquire(block=False)
    assert not lock.acquire(timeout=0.02)
    assert lock.owner is None
    thread = threading.Thread(target=lock.acquire)
    thread.start()
    wait_until(lambda: lock.owner is not None)
    lock_byte(server, 2, fcntl.F_UNLCK)
    thread.join()
    with pytest.raises(BlockingIOError):
        lock_byte(server, 2)
    lock.release()
    with lock, pytest.raises(BlockingIOError):
        lock_byte(server, 2)
    lock_byte(server, 2)
    os.close(server)


def test_there_machines_that_do_not_see_each_other_exclude_each_other(path: str) -> None:
    """Two states, as two machines have them: the second is made while nobody can be reached."""
    here = ServerLock(path)
    with open(path, "r+b") as file:
        file.seek(1024)
        file.write(bytes(64))  # so that the next one does not find this one's
    there = ServerLock(path)
    assert here.address != there.address
    with here:
        assert not there.acquire(timeout=0.01)
    with there:
        assert not here.acquire(block=False)


def test_there_an_rlock_takes_it_once(path: str) -> None:
    lock = ServerRLock(path)
    server = os.open(path, os.O_RDWR)
    with lock, lock:
        pass
    with lock.repair() as error:
        assert error is None
        with pytest.raises(BlockingIOError):
            lock_byte(server, 2)
    lock_byte(server, 2)
    os.close(server)


def test_there_a_killed_holder_frees_both(path: str) -> None:
    lock = ServerLock(path)
    with Stranger() as other:
        other.do("from procession._disk.locks import ServerLock")
        other.do(f"lock = ServerLock({path!r})\nlock.acquire()")
        assert not lock.acquire(timeout=0.02)
        with pytest.raises(errors.NotOwner, match=f"process {other.pid} holds"):
            lock.release()
        other.kill()
    with pytest.warns(errors.AbandonedLockWarning):
        assert lock.acquire(timeout=20)
    lock.release()


# Seen from outside


def test_it_is_listed_under_its_path(path: str) -> None:
    with Stranger() as other:
        other.do(f"lock = procession.Lock(path={path!r})\nlock.acquire()")
        found = [one for one in _registry.program(other.pid).objects if one.name == path]
        assert [(one.kind, one.owner and one.owner.pid) for one in found] == [("Lock", other.pid)]


def test_programs_that_meet_are_listed_each_and_what_they_share_besides(path: str) -> None:
    with Stranger() as one, Stranger() as two:
        for other, name in (one, "ones"), (two, "twos"):
            other.do(f"lock = procession.Lock(path={path!r})\nown = procession.Lock()\nown.name = {name!r}")
        names = [{thing.name for thing in program.objects} for program in _registry.programs()]
        assert [{"ones"} in names, {"twos"} in names] == [True, True]
        assert sum(path in of_one for of_one in names) == 1
        (own,) = [thing for thing in _registry.program(two.pid).objects if thing.name != path]
        assert own.name == "twos"


def test_programs_that_wait_for_each_other_are_told(path: str) -> None:
    with Stranger() as one, Stranger() as two:
        for other, mine, yours in (one, "a", "b"), (two, "b", "a"):
            other.do("procession.detect_deadlocks()")
            other.do(f"mine, yours = [procession.Lock(path={path!r} + name) for name in {mine + yours!r}]")
            other.do("mine.acquire()")
        one.tell("yours.acquire()")
        blocked(procession.Lock(path=path + "b"))
        two.tell("yours.acquire()")
        kind, text = two.answer()  # whose wait began last
        assert kind == "DeadlockError"
        assert f"pid {one.pid}" in text
        two.do("mine.release()")
        assert one.answer() == (True, [])


def test_a_lock_on_disk_leaves_it_to_each_program_whether_to_look(path: str) -> None:
    with Stranger() as other:
        other.do("procession.detect_deadlocks()")
        other.do(f"lock = procession.Lock(path={path!r})\nlock.acquire()")
        lock = procession.Lock(path=path)
        assert not lock.acquire(timeout=0.01)
        assert not procession._native.detecting(lock.arena)
        assert other.do("procession._native.detecting(lock.arena)") is True
