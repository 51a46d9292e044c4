"""Ray as a cluster: calls and their ends, and how one is started, reached and left.

What tasks share is in test_clusters_ray_shared.py, what pools do on every cluster in test_pool_far.py. One Ray serves
all of them, `homes.cluster("ray")`.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from concurrent.futures import wait as wait_for_futures
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import ray_cluster
import ray_tasks as tasks

import procession
from procession.errors import ClusterLost, ClusterUnreachable, PicklingError, WorkerDied
from procession.testing import wait_until

ray = pytest.importorskip("ray", reason="needs ray: pip install 'procession[ray]'")

from procession._clusters.ray import keeper as rules  # noqa: E402
from procession._clusters.ray import starting  # noqa: E402
from procession._clusters.ray.fates import fate_of, own_error, versions_differ  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.watchdog(120)]
WAIT_S = 30.0
# What Ray says when the process that it starts for a client ends at once: seen in long runs only, and not explained
SERVERS_OWN = "Initialization failure from server"


@pytest.fixture
def cluster(ray_context: Any) -> Iterator[Any]:
    """What pools stand on. They pack functions themselves; here Ray has to, and its workers do not have the tests."""
    for module in (tasks, sys.modules[__name__]):
        ray.cloudpickle.register_pickle_by_value(module)
    yield ray_context.cluster
    for module in (tasks, sys.modules[__name__]):
        ray.cloudpickle.unregister_pickle_by_value(module)


def run(program: str, *arguments: str, place: Path, **environment: str) -> str:
    """What a program printed."""
    script = place / "program.py"
    script.write_text(textwrap.dedent(program))
    done = subprocess.run(
        [sys.executable, "-W", "error", script, *arguments],
        capture_output=True,
        text=True,
        timeout=90,
        env={**os.environ, **ray_cluster.QUIET, **environment},
    )
    if SERVERS_OWN in done.stderr:
        pytest.skip(f"Ray's server for clients could not start: {done.stderr.strip().splitlines()[-2]}")
    assert done.returncode == 0, done.stderr
    return done.stdout


# Pools


def test_a_pool_on_ray(ray_context: Any) -> None:
    with ray_context.Pool(2) as pool:
        assert pool.map(tasks.square, range(100)) == [number * number for number in range(100)]
        assert list(pool.imap(tasks.square, range(20), chunksize=3)) == [number * number for number in range(20)]
        assert sorted(pool.imap_unordered(tasks.square, range(9))) == [number * number for number in range(9)]
        assert pool.starmap(tasks.power, [(2, 3), (3, 2)]) == [8, 9]
        assert pool.apply(tasks.power, (2,), {"exponent": 5}) == 32
        assert pool.map_reduce(tasks.square, range(10), tasks.add) == 285
        told: list[int] = []
        pool.apply_async(tasks.square, (7,), callback=told.append).wait(WAIT_S)
        wait_until(lambda: told == [49])
        offset = len(told)
        assert pool.map(lambda number: number + offset, [1, 2]) == [2, 3]


def test_an_exception_comes_with_its_traceback(ray_context: Any) -> None:
    with ray_context.Pool(2) as pool, pytest.raises(LookupError, match="no 0") as caught:
        pool.map(tasks.fail, range(3))
    assert "in fail" in str(caught.value.__cause__)


def test_a_task_whose_worker_is_killed_is_done_by_another(ray_context: Any, tmp_path: Path) -> None:
    marks = [str(tmp_path / name) for name in ("one", "two")]
    with ray_context.Pool(2) as pool:
        assert pool.map(tasks.die_once, marks, chunksize=1) == ["done", "done"]


def test_what_cannot_be_shipped_is_named(ray_context: Any) -> None:
    with ray_context.Pool(2) as pool:
        with pytest.raises(PicklingError, match=r"\[1\].*lock"):
            pool.map(tasks.square, [1, threading.Lock()])
        lock = threading.Lock()
        with pytest.raises(PicklingError, match="lock"):
            pool.map(lambda number: (lock, number), [1])
        assert pool.apply(tasks.square, (2,)) == 4


def test_an_executor_on_ray(ray_context: Any) -> None:
    with ray_context.Executor(2) as executor:
        assert executor.submit(tasks.square, 3).result(WAIT_S) == 9
        assert list(executor.map(tasks.power, [2, 3], [3, 2], timeout=WAIT_S)) == [8, 9]


# The seam


def test_values_that_stay_there(cluster: Any) -> None:
    kept = cluster.keep(5)
    parts = cluster.spread(3, tasks.three, kept)
    (single,) = cluster.spread(1, _one, kept)
    assert cluster.submit(tasks.add, kept, *parts, single).result(WAIT_S) == 5 + (5 + 6 + 7) + 5


def _one(value: int) -> tuple[int]:
    return (value,)


def test_a_call_that_raises_says_where(cluster: Any) -> None:
    with pytest.raises(LookupError, match="no 4") as caught:
        cluster.submit(tasks.fail, 4).result(WAIT_S)
    assert "in fail" in str(caught.value.__cause__)
    assert cluster.fate(caught.value) is None


def test_a_call_that_depends_on_one_that_raises(cluster: Any) -> None:
    parts = cluster.spread(2, tasks.fail, 4)
    with pytest.raises(LookupError, match="no 4"):
        cluster.submit(tasks.add, *parts).result(WAIT_S)


def test_a_call_that_kills_every_worker(cluster: Any) -> None:
    with pytest.raises(ray.exceptions.WorkerCrashedError) as caught:
        cluster.submit(tasks.die).result(WAIT_S)
    fate = cluster.fate(caught.value)
    assert isinstance(fate, WorkerDied)
    assert "a worker of ray died" in str(fate)


def test_cancelling(ray_context: Any, cluster: Any) -> None:
    event = ray_context.Event()
    ended: list[Any] = []
    calls = [cluster.submit(tasks.wait_for, event) for _ in range(6)]
    for call in calls:
        call.add_done_callback(ended.append)
    assert calls[-1].cancel()
    assert ended == [calls[-1]]
    with pytest.raises(CancelledError):
        calls[-1].result(0)
    event.set()
    assert not wait_for_futures(calls, WAIT_S).not_done
    assert all(call.result(0) for call in calls[:-1])
    assert not calls[0].cancel()


def test_the_size_is_that_of_the_cluster(ray_context: Any, cluster: Any) -> None:
    assert ray_context.cpu_count() == cluster.size() == int(ray.cluster_resources()["CPU"])


def test_who_is_connected_already_uses_that(ray_context: Any) -> None:
    with procession.get_context("ray://auto") as other, other.Pool(1) as pool:
        assert pool.apply(tasks.square, (3,)) == 9
    assert ray.is_initialized()
    with pytest.raises(procession.errors.ClusterError, match="connected to a Ray already"):
        procession.get_context("ray://127.0.0.1:10001")
    with pytest.raises(ClusterLost, match="was closed"):
        other._cluster.submit(tasks.square, 3)


def test_workers_open_the_same_ray(ray_context: Any) -> None:
    with ray_context.Pool(1) as pool:
        assert pool.apply(_squares_within, (ray_context,)) == [1, 4]


def _squares_within(context: Any) -> Any:
    with context.Pool(1) as pool:
        return pool.map(tasks.square, [1, 2])


# Starting, reaching and leaving one


def test_directories_of_the_dead_are_removed() -> None:
    child = subprocess.Popen(["sleep", "0"])
    child.wait()
    mine = Path(starting._directory())
    left = Path(tempfile.mkdtemp(prefix=f"{starting.PREFIX}{child.pid}-", dir=mine.parent))
    other = Path(starting._directory())
    assert mine.is_dir()
    assert len(str(mine)) < 107 - 62  # what Ray puts behind it, for sockets
    assert not left.exists()
    for own in (mine, other):
        own.rmdir()


def test_what_rays_errors_mean() -> None:
    assert isinstance(fate_of(ray.exceptions.WorkerCrashedError(), "ray"), WorkerDied)
    assert isinstance(fate_of(ray.exceptions.OutOfMemoryError("much"), "ray"), procession.errors.MemoryLimitExceeded)
    assert isinstance(fate_of(ray.exceptions.LocalRayletDiedError(), "ray"), ClusterLost)
    assert isinstance(fate_of(ConnectionError("reset"), "ray"), ClusterLost)
    assert fate_of(LookupError("no"), "ray") is None
    assert own_error(LookupError("no")).__cause__ is None
    assert versions_differ("no such thing") is None


REACHED = """
    import sys
    import procession
    import beside

    def cube(number):
        return number ** 3

    if __name__ == "__main__":
        with procession.get_context(sys.argv[1]) as context, context.Pool(2) as pool:
            queue = context.Queue()
            pool.apply(beside.put, (queue, "item"))
            print(context.cpu_count(), pool.map(cube, range(4)), pool.map(beside.double, [1, 2]), queue.get(timeout=20))
            lock = context.Lock()
            with lock:
                print(lock.locked())
            try:
                pool.apply(beside.fail)
            except KeyError as error:
                print(repr(error))
        try:
            pool.map(cube, [1])
        except Exception as error:
            print(type(error).__name__)
"""
BESIDE = """
    def double(number):
        return 2 * number

    def put(queue, item):
        queue.put(item)

    def fail():
        raise KeyError("missing")
"""
DIFFERS = """
    import sys
    import ray
    ray.__version__ = "2.1.0"
    import procession
    for address in sys.argv[1:]:
        try:
            procession.get_context(address)
        except procession.errors.VersionMismatch as error:
            print(error.here, error.there, error)
"""


def test_ray_from_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text(textwrap.dedent(BESIDE))
    with ray_cluster.head() as address:
        told = run(REACHED, address, place=tmp_path)
        assert told.splitlines() == [
            "2 [0, 1, 8, 27] [2, 4] item",
            "True",
            "KeyError('missing')",
            "ValueError",
        ]
        said = run(DIFFERS, address, place=tmp_path)
        assert said.startswith("Ray 2.1.0 on Python 3.")
        assert f"Ray {ray.__version__} on Python 3." in said


@pytest.mark.parametrize("failures", [1, 2])
def test_a_server_that_starts_too_late_is_asked_again(failures: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As happens on a busy machine; Ray is told what to say, for nothing makes a real one late just once."""
    tried: list[str] = []

    def init(*, address: str, **_: Any) -> None:
        tried.append(address)
        if len(tried) <= failures:
            raise ConnectionAbortedError("RuntimeError: Starting Ray client server failed. See its log")

    monkeypatch.setattr(ray, "init", init)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with nullcontext() if failures == 1 else pytest.raises(ClusterUnreachable, match="client server failed"):
            starting.connect(address, f"ray://{address}")
    assert tried == [f"ray://{address}"] * 2


def test_nobody_there(tmp_path: Path) -> None:
    program = """
        import procession
        try:
            procession.get_context("ray://127.0.0.1:1")
        except ConnectionError as error:
            print(type(error).__name__, error.cluster, error)
        try:
            procession.get_context("ray://127.0.0.1")
        except ValueError as error:
            print(error)
    """
    told = run(program, place=tmp_path)
    assert told.startswith("ClusterUnreachable ray://127.0.0.1:1 nobody answers")
    assert "`ray start --head --ray-client-server-port=1`" in told
    assert "'ray://host:port'" in told


def test_a_killed_program_takes_its_ray_along(tmp_path: Path) -> None:
    program = """
        import os, signal, threading
        import procession
        from procession.testing import descendants

        def name_of(pid):
            with open(f"/proc/{pid}/cmdline") as file:
                return file.read()

        def open_one():
            procession.get_context("ray").__enter__()

        signal.signal(signal.SIGTERM, lambda *_: print("mine"))
        opener = threading.Thread(target=open_one)  # which ends, and Ray does not with it
        opener.start()
        opener.join()
        context = procession.get_context("ray")
        print(context.Pool(1).apply(abs, (-3,)))
        # (Its two agents take up to a minute to notice)
        print(*(pid for pid in descendants(os.getpid()) if "Agent" not in name_of(pid)), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    script = tmp_path / "program.py"
    script.write_text(textwrap.dedent(program))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr
    answer, pids = done.stdout.splitlines()
    assert answer == "3"
    wait_until(lambda: not any(rules.started(int(pid)) for pid in pids.split()), 20)
