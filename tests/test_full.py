"""Where memory, disks or whole file systems are missing: an arena that is full, no /dev/shm, no /proc, a full disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import pytest
from commands import procession

pytestmark = [pytest.mark.watchdog(30), pytest.mark.slow]

MIB = 1 << 20


def run(code: str, *before: str, limit: int = 0, arguments: Sequence[str] = ()) -> str:
    """Run a program; `before` are commands of a shell with file systems of its own. Returns what it printed."""
    environment = {**os.environ, "PROCESSION_ARENA_LIMIT": str(limit)}
    command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
    if before:
        command = ["unshare", "-m", "sh", "-ec", "\n".join([*before, 'exec "$@"']), "sh", *command]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=25, env=environment)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture
def _namespaces() -> None:
    if (
        shutil.which("unshare") is None
        or subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/dev/shm"], capture_output=True).returncode
    ):
        pytest.skip("needs the right to mount file systems")


# The arena

FULL = """
import os, sys
import procession
from procession.errors import ArenaFull, ResultUnpicklable
from procession._store import shared_arena

def big(size): return bytes(size)
def quick(number): return number

def full(make, error=ArenaFull):
    try:
        make()
    except error as raised:
        assert "the arena is full" in str(raised) and "PROCESSION_ARENA_LIMIT" in str(raised), raised
    else:
        raise AssertionError("there was room")

fork = procession.get_context("fork")
pool, executor = fork.Pool(2), procession.Executor(2, mp_context=fork)
assert pool.map(quick, range(8)) == list(executor.map(quick, range(8))) == list(range(8))
queue, others = fork.Queue(), []

def fill():
    for size in (1 << 20, 1000):
        full(lambda: [queue.put(bytes(size)) for _ in range(10**6)])
"""


def test_a_full_arena_costs_the_call_that_found_it_so() -> None:
    run(
        FULL
        + """
full(lambda: queue.put(bytes(9 << 20)))
fill()
pids = [worker.pid for worker in pool._pool]
full(lambda: fork.Array("d", 200_000))
full(lambda: [others.append(fork.Lock()) for _ in range(10**5)])
others.clear()
assert pool.apply(quick, (3,)) == executor.submit(quick, 3).result(9) == 3
full(lambda: pool.apply(quick, (bytes(1 << 20),)))
full(lambda: executor.submit(quick, bytes(1 << 20)).result(9))
full(lambda: pool.apply(big, (1 << 20,)), ResultUnpicklable)
full(lambda: pool.map(big, [1 << 20] * 4), ResultUnpicklable)
full(lambda: executor.submit(big, 1 << 20).result(9), ResultUnpicklable)
child = fork.Process(target=queue.put, args=(bytes(1 << 20),))
child.start()
full(lambda: child.result(9))
iterator = pool.imap(big, [1 << 20, 8])
full(lambda: next(iterator), ResultUnpicklable)
assert next(iterator) == bytes(8)
iterator = pool.imap(len, [bytes(1 << 20), b"123"])
full(lambda: next(iterator))
assert list(iterator) == [3]
full(lambda: pool.map(quick, range(200_000), chunksize=1))
assert pool.map(quick, range(1000)) == list(range(1000))
assert [worker.pid for worker in pool._pool] == pids
while not queue.empty():
    queue.get()
assert pool.map(quick, range(200_000), chunksize=1) == list(range(200_000))
assert sum(map(len, pool.imap(big, [1 << 20] * 50))) == 50 << 20
assert sum(map(len, pool.map(big, [1 << 20] * 20))) == 20 << 20
assert [worker.pid for worker in pool._pool] == pids
pool.terminate(); pool.join(); executor.shutdown()
""",
        limit=8 * MIB,
    )


def test_answers_wait_for_room_and_none_is_lost() -> None:
    """Nobody reads while they are made, and the ring that they lie in cannot grow."""
    run(
        FULL
        + """
from procession.testing import wait_until
event = fork.Event()

def wait_and_repeat(number):
    event.wait()
    return str(number) * 100

fresh = fork.Pool(2)
fresh.map(quick, range(8))
pids = [worker.pid for worker in fresh._pool]
result = fresh.map_async(wait_and_repeat, range(3000), chunksize=10)
fill()
event.set()
wait_until(lambda: fresh._outqueue.qsize() > 1)
assert result.get(20) == [str(number) * 100 for number in range(3000)]
assert [worker.pid for worker in fresh._pool] == pids
fresh.terminate(); fresh.join(); pool.terminate(); pool.join(); executor.shutdown()
""",
        limit=2 * MIB,
    )


# File systems

ALL = """
import os, sys
import procession
from operator import methodcaller

if __name__ == "__main__":
    for method in sys.argv[1:]:
        context = procession.get_context(method)
        queue, lock, left, right = context.Queue(), context.Lock(), *context.Pipe()
        child = context.Process(target=lock.acquire)
        child.start()
        child.join()
        assert child.result() and lock.acquire(timeout=10)
        child = context.Process(target=queue.put, args=(bytes(1 << 22),))
        child.start()
        assert len(queue.get(timeout=10)) == 1 << 22 and child.result(10) is None
        right.send([queue])
        left.recv()[0].put("through a pipe")
        assert queue.get(timeout=10) == "through a pipe"
        with context.Pool(2) as pool:
            assert sum(pool.map(abs, range(1000))) == 499_500
            assert len(pool.apply(bytes, (1 << 22,))) == 1 << 22
            assert len(procession.connection.wait([queue._reader], 0)) == 0
            try:
                pool.apply(os._exit, (3,))
            except procession.errors.WorkerDied as error:
                assert error.exitcode == 3
            try:
                print(pool.map_reduce_by_key(str.split, ["a b", "b"], "count")["b"])
            except OSError as error:
                print(error)
        pool.join()
        with procession.Executor(1, mp_context=context) as executor:
            assert executor.submit(abs, -3).result(10) == 3
"""


@pytest.mark.usefixtures("_namespaces")
def test_no_shared_memory_file_system_and_no_temporary_directory() -> None:
    mounts = [f"! test -d {place} || mount -o ro,bind {place} {place}" for place in ("/tmp", "/var/tmp", "/usr/tmp")]
    mounts += ["mount -t tmpfs -o size=4k none /dev/shm", "export TMPDIR=/nowhere", "cd /proc"]
    assert run(ALL, *mounts, arguments=["fork", "spawn", "forkserver"]) == "2\n" * 3


@pytest.mark.usefixtures("_namespaces")
def test_no_proc() -> None:
    needs = "is not there: what is gathered by key needs /proc mounted"
    assert needs in run(ALL, "mount -t tmpfs none /proc", arguments=["fork"])


@pytest.mark.usefixtures("_namespaces")
def test_standard_input_that_does_not_fit_on_the_disk(tmp_path: Path) -> None:
    script = f"""
        mkdir {tmp_path}/disk
        mount -t tmpfs -o size=1m none {tmp_path}/disk
        export TMPDIR={tmp_path}/disk
        head -c 2000000 /dev/zero | tr '\\0' 'a' | {sys.executable} -m procession mapreduce wordcount - || echo code $?
        ls {tmp_path}/disk
    """
    ended = subprocess.run(["unshare", "-m", "sh", "-ec", script], capture_output=True, text=True, timeout=25)
    assert ended.stdout == "code 1\n"
    assert "No space left on device: <stdin> has to be copied before it is divided" in ended.stderr
    assert "set TMPDIR to a place with more" in ended.stderr
    assert f"does not fit into {tmp_path}/disk" in ended.stderr


def test_an_output_that_is_full(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("a b a\n" * 10_000)
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "procession", "mapreduce", "wordcount", "words.txt"],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=25,
        )
    assert ended.returncode == 1
    assert "No space left on device" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert procession("mapreduce", "wordcount", "words.txt", cwd=tmp_path).returncode == 0
