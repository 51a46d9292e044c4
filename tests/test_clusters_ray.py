"""Ray as a cluster: calls and their ends, what tasks share, and how one is started, reached and left.

What pools do on every cluster is in test_pool_far.py. One Ray serves all tests here, `homes.cluster("ray")`.
"""

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from concurrent.futures import wait as wait_for_futures
from pathlib import Path
from typing import Any

import pytest
import ray_cluster
import ray_tasks as tasks

import procession
from procession.errors import ClusterLost, NotOwner, NotSupported, PicklingError, ReleaseError, WorkerDied
from procession.testing import wait_until

ray = pytest.importorskip("ray", reason="needs ray: pip install 'procession[ray]'")

from procession._clusters.ray import keeper as rules  # noqa: E402
from procession._clusters.ray import starting  # noqa: E402
from procession._clusters.ray.fates import fate_of, own_error, versions_differ  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.watchdog(120)]
WAIT_S = 30.0


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


# What tasks share


def test_a_value_that_workers_count_up(ray_context: Any) -> None:
    value = ray_context.Value("i", 5)
    with ray_context.Pool(2) as pool:
        pool.starmap(tasks.count_up, [(value, 20)] * 2, chunksize=1)
    assert value.value == 45
    with pytest.raises(TypeError):
        value.value = "many"
    with pytest.raises(TypeError, match="simple type"):
        ray_context.Value(dict)


def test_a_queue_between_workers(ray_context: Any) -> None:
    first, second = ray_context.Queue(), ray_context.Queue(3)
    with ray_context.Pool(2) as pool:
        pool.apply(tasks.put_coins, (first, 3))
        pool.starmap(tasks.pass_on, [(first, second)] * 3, chunksize=1)
    assert second.full()
    with pytest.raises(procession.errors.Full):
        second.put(4, timeout=0.05)
    coins = [second.get() for _ in range(3)]
    assert all(type(coin) is tasks.Coin for coin in coins)
    assert sorted(coin.worth for coin in coins) == [0, 1, 2]
    assert second.empty()
    with pytest.raises(procession.errors.Empty):
        second.get_nowait()


def test_who_is_interrupted_while_he_waits_takes_nothing(ray_context: Any) -> None:
    queue = ray_context.Queue()
    queue.put("for the first")
    assert queue.get(timeout=WAIT_S) == "for the first"
    interrupt = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    interrupt.start()
    with pytest.raises(KeyboardInterrupt):
        queue.get(timeout=WAIT_S)
    interrupt.join()
    queue.put("for the next")
    assert queue.get(timeout=WAIT_S) == "for the next"


def test_a_lock_is_freed_by_the_death_of_its_holder(ray_context: Any) -> None:
    lock, held = ray_context.Lock(), ray_context.Queue()
    with ray_context.Executor(2) as executor:
        holding = executor.submit(tasks.hold, lock, held)
        pid = held.get(timeout=WAIT_S)
        assert lock.locked()
        assert not lock.acquire(timeout=0.01)
        taking = executor.submit(tasks.take_over, lock)
        holding.cancel()
        os.kill(pid, signal.SIGKILL)
        (warning,) = taking.result(WAIT_S)
        assert f"process {pid} ended while it held this Lock" in warning
    assert not lock.locked()


def test_an_item_of_the_dead_comes_back(ray_context: Any) -> None:
    queue, taken = ray_context.JoinableQueue(), ray_context.Queue()
    for item in "ab":
        queue.put(item)
    with ray_context.Executor(1) as executor:
        taking = executor.submit(tasks.take_and_hold, queue, taken)
        pid, item = taken.get(timeout=WAIT_S)
        assert item == "a"
        taking.cancel()
        os.kill(pid, signal.SIGKILL)
        assert queue.get(timeout=WAIT_S) == "b"  # which the dead had not; "a" comes back when somebody has to wait
        assert queue.get(timeout=WAIT_S) == "a"
    with pytest.raises(procession.errors.TimeoutError):
        queue.join(timeout=0.01)
    queue.task_done()
    queue.task_done()
    queue.join(timeout=WAIT_S)
    with pytest.raises(ValueError, match="too many times"):
        queue.task_done()


def test_semaphores_and_recursive_locks(ray_context: Any) -> None:
    permits = ray_context.BoundedSemaphore(2)
    with permits:
        assert permits.acquire()
        assert not permits.acquire(False)
        permits.release()
    with pytest.raises(ReleaseError):
        permits.release()
    lock = ray_context.RLock()
    with lock, lock:
        answer: list[bool] = []
        other = threading.Thread(target=lambda: answer.append(lock.acquire(timeout=0.01)))
        other.start()
        other.join(WAIT_S)
        assert answer == [False]
    with pytest.raises(NotOwner):
        lock.release()


def test_what_has_a_name_is_shared_by_it(ray_context: Any) -> None:
    ray_context.Queue(name="ledger").put("entry")
    assert ray_context.Queue(name="ledger").get(timeout=WAIT_S) == "entry"
    ray_context.Value("i", 3, name="balance")
    with pytest.raises(TypeError, match="made with"):
        _ = ray_context.Value("d", name="balance").value, ray_context.Value("i", name="balance").value


@pytest.mark.parametrize("kind", ["Condition", "Barrier", "Array", "Process", "Manager", "Pipe"])
def test_what_ray_has_not(ray_context: Any, kind: str) -> None:
    with pytest.raises(NotSupported, match=f"has no {kind}: use "):
        getattr(ray_context, kind)()


# The rules of what tasks share, without Ray

ANN, BOB = ("node", 1, "10", 1), ("node", 2, "20", 1)


def test_the_rules_of_a_lock() -> None:
    lock = rules.Semaphore(1, 1)
    assert lock.acquire(ANN) == (True, None)
    assert lock.acquire(BOB) is rules.WAIT
    lock.bury(ANN)
    assert list(lock.holders()) == []
    assert lock.acquire(BOB) == (True, ANN)
    lock.release(ANN)  # anybody may
    assert lock.acquire(ANN) == (True, None)
    with pytest.raises(ReleaseError):
        rules.Semaphore(1, 1).release(ANN)


def test_the_rules_of_a_permit_that_is_nobodys() -> None:
    permits = rules.Semaphore(2)
    assert permits.acquire(None) == permits.acquire(ANN) == (True, None)
    assert list(permits.holders()) == [ANN]
    permits.release(BOB, 3)
    assert permits.get_value() == 3
    assert list(permits.holders()) == [ANN]  # Bob gave none of hers
    permits.bury(ANN)
    assert permits.acquire(BOB) == (True, ANN)
    assert permits.get_value() == 3


def test_the_rules_of_a_queue_with_leases() -> None:
    queue = rules.Queue(0, has_leases=True)
    for item in (b"1", b"2", b"3"):
        queue.put(item)
    assert [queue.get(ANN), queue.get(BOB), queue.get(ANN)] == [b"1", b"2", b"3"]
    queue.task_done(ANN)
    queue.bury(ANN)
    queue.put(b"4")
    assert [queue.get(BOB), queue.get(BOB), queue.get(BOB)] == [b"3", b"4", rules.WAIT]
    assert queue.join() is rules.WAIT
    for _ in range(3):
        queue.task_done(BOB)
    assert queue.join() is None


def test_a_process_is_known_by_its_start() -> None:
    child = subprocess.Popen(["sleep", "60"])
    began = rules.started(child.pid)
    assert began.isdigit()
    child.kill()
    wait_until(lambda: not rules.started(child.pid))  # also while nobody has collected it
    child.wait()
    assert not rules.started(child.pid)


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


# Starting, reaching and leaving one


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
