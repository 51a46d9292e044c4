"""When a Dask worker dies, or the scheduler, or none is there; and when they are not what this program is."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import dask_tasks as tasks
import pytest
from dask_cluster import PORT, STARTING_S, can_make_networks, commands, networks, workers_come

import procession
from procession.errors import ClusterLost, ClusterUnreachable, PoolBroken, VersionMismatch, WorkerDied
from procession.testing import wait_until

WAIT_S = 30.0
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True, name="dask")
def _late(distributed: Any) -> None:
    """Behind all others, for the threads that Dask leaves; see `homes.is_late`."""


def test_ctrl_c_at_a_terminal_leaves_the_workers(dask_context: Any) -> None:
    with dask_context.Pool() as pool:
        workers = dask_context.cluster.client.run(os.getpid)
        for pid in workers.values():
            os.kill(pid, signal.SIGINT)  # as a terminal does, to all of the group
        assert pool.map(abs, range(-8, 0), chunksize=1) == list(range(8, 0, -1))
        assert dask_context.cluster.client.run(os.getpid) == workers


def test_a_worker_dies_in_another_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scheduler and workers have networks of their own, where this machine lets them; the job is done all the same."""
    monkeypatch.setenv("PROCESSION_CLUSTER_TIMEOUT", str(STARTING_S))
    with commands(tmp_path / "far") as started:
        if not can_make_networks():
            address = started.scheduler()
            run_a_job_that_loses_a_worker(started, address, address, None)
            return
        with networks() as (first, seen_from_here, second, seen_from_there):
            started.start("scheduler", "--host", "0.0.0.0", "--port", str(PORT), "--no-dashboard", inside=first)
            run_a_job_that_loses_a_worker(started, f"{seen_from_here}:{PORT}", f"{seen_from_there}:{PORT}", second)
            started.end()


def run_a_job_that_loses_a_worker(started: Any, from_here: str, from_there: str, network: str | None) -> None:
    workers = [started.worker(from_there, inside=network) for _ in range(2)]
    with procession.get_context(f"dask://{from_here}") as context:
        workers_come(context, 2)
        with context.Pool() as pool:
            results = pool.imap(tasks.slow_square, range(60), chunksize=1)
            squares, pids = zip(*[next(results) for _ in range(8)], strict=True)
            victim = pids[-1]
            os.kill(victim, signal.SIGKILL)
            rest = list(results)
        assert [*squares, *(square for square, _ in rest)] == [number * number for number in range(60)]
        assert {pid for _, pid in rest[-5:]} == {worker.pid for worker in workers} - {victim}
        workers_come(context, 1)


def test_a_task_that_kills_its_worker_and_a_scheduler_that_is_killed(tmp_path: Path) -> None:
    with commands(tmp_path / "doomed", allowed_failures=0) as started:
        started.environment["DASK_DISTRIBUTED__SCHEDULER__LOCKS__LEASE_VALIDATION_INTERVAL"] = "100ms"
        address = started.scheduler()
        worker = started.worker(address)
        with procession.get_context(f"dask://{address}") as context:
            with context.Pool(1) as pool:
                import dask

                with dask.config.set({"distributed.scheduler.locks.lease-timeout": "1s"}):
                    lock = context.Lock()
                with pytest.raises(WorkerDied, match=r"tcp://127.0.0.1:\d+\b.*die_holding\("):
                    pool.map(tasks.die_holding, [lock])
                worker.wait(WAIT_S)
                started.worker(address)
                assert pool.map(tasks.withdraw, [1, 2]) == [1, 2]
                assert lock.acquire(timeout=WAIT_S)  # the dead worker's lease has ended

                waiting = pool.map_async(tasks.wait_for_ever, range(3), chunksize=1)
                queue, failures = context.Queue(), list[BaseException]()
                getter = threading.Thread(target=lambda: failures.append(failure_of(queue.get)))
                getter.start()
                wait_until(lambda: len(context.cluster._bringing) == 3)
                os.kill(started.processes[0].pid, signal.SIGKILL)
                with pytest.raises((ClusterLost, PoolBroken)) as caught:
                    waiting.get(WAIT_S)
                assert address in str(caught.value)
                getter.join(WAIT_S)
                assert isinstance(failures[0], ClusterLost)
                with pytest.raises(ClusterLost):
                    context.Value("i")
            began = time.monotonic()
            context.close()
            assert time.monotonic() - began < WAIT_S


def failure_of(function: Any) -> BaseException:
    try:
        function()
    except Exception as error:
        return error
    raise AssertionError("it did not fail")


# Not there, or not the same


def test_nobody_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROCESSION_CLUSTER_TIMEOUT", "0.3")
    with pytest.raises(ClusterUnreachable, match=r"127.0.0.1:1 within 0.3 s: start one with `dask scheduler") as caught:
        procession.get_context("dask://127.0.0.1:1")
    assert caught.value.cluster == "dask://127.0.0.1:1"


def test_a_missing_main_guard_is_told_once(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("import procession\nprocession.get_context('dask')\n")
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, timeout=2 * WAIT_S)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("procession.get_context('dask')") == 1, "its workers told it as well"
    assert "nanny - ERROR" not in done.stderr
    assert 'must stand below `if __name__ == "__main__":`' in done.stderr.splitlines()[-1]


OTHER = """
import importlib.metadata, sys
true = importlib.metadata.version
def version(name):
    if name == "procession":
        {0}
    return true(name)
import distributed.versions
distributed.versions.version = version
"""


def test_versions_differ(tmp_path: Path, distributed: Any) -> None:
    """Workers that say of themselves that they have another procession, or none; and one that lost it later."""
    (tmp_path / "old.py").write_text(OTHER.format("return '0.0.7'"))
    (tmp_path / "none.py").write_text(
        OTHER.format("raise importlib.metadata.PackageNotFoundError(name)") + "sys.modules['procession'] = None\n"
    )
    with commands(tmp_path / "mixed") as started:
        address = started.scheduler()
        started.worker(address, "--preload", str(tmp_path / "old.py"))
        with distributed.Client(f"tcp://{address}", set_as_default=False) as client:
            client.wait_for_workers(1, timeout=WAIT_S)
            with pytest.raises(
                VersionMismatch, match=r"procession 0\.0\.7.*this program.*have to be the same"
            ) as caught:
                procession.get_context(client)
            assert caught.value.there is not None
            assert "0.0.7" in caught.value.there
            started.processes[-1].kill()
            wait_until(lambda: not client.nthreads(), WAIT_S)
            with procession.get_context(client) as context, context.Pool(1) as pool:
                started.worker(address, "--preload", str(tmp_path / "none.py"))  # after we looked
                with pytest.raises(VersionMismatch, match=r"not installed.*pip install procession=="):
                    pool.apply(abs, (-1,))
            with pytest.raises(VersionMismatch, match=r"not installed in tcp://.*pip install procession=="):
                procession.get_context(client)
