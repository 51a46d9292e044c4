"""Whole programs that forget to end what they made: they say so, end at once, and leave nothing."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from commands import left_behind, shared_names
from pool_tasks import double

from procession.pool import Pool
from procession.testing import descendants, wait_until

pytestmark = pytest.mark.watchdog(30)

BEFORE = """
import gc, os, sys, threading, time
import procession

class Cycle: pass

def double(number): return 2 * number
def keys(number): return [number % 7]
def put(queue): queue.put(1)
def use_a_pool():
    global pool
    pool = fork.Pool(1)
    pool.map(double, [1])

if __name__ == "__main__":
    fork, threads, sleep = procession.get_context(METHOD), procession.get_context("thread"), time.sleep
    Pool, Process = fork.Pool, fork.Process
"""

# Each would go on for a minute if anything waited for what nobody wants any more.
PROGRAMS = {
    "a pool with tasks": "pool = Pool(2); result = pool.map_async(sleep, [60] * 4, 1)",
    "a pool whose result nobody kept": "pool = Pool(2); pool.map_async(sleep, [60] * 4)",
    "a pool with callbacks": "pool = Pool(2); pool.apply_async(sleep, (60,), callback=print)",
    "a pool whose workers retire": "pool = fork.Pool(2, maxtasksperchild=1); r = pool.map_async(sleep, [60] * 4, 1)",
    "an imap half taken": "pool = Pool(2); iterator = pool.imap(double, range(10**6)); next(iterator)",
    "a pool in a cycle": "cycle = Cycle(); cycle.pool, cycle.me = Pool(2), cycle; cycle.pool.map(double, [1])",
    "a pool of threads": "pool = threads.Pool(2); result = pool.map_async(sleep, [0.1] * 4)",
    "a pool made at the end": "import atexit; atexit.register(lambda: Pool(2).map(double, [1]))",
    "a result by key": "pool = Pool(2); result = pool.map_reduce_by_key(keys, range(100), 'count')",
}
QUIET = {
    "a pool that a waiting thread keeps": """
        pool = Pool(2); result = pool.map_async(sleep, [60] * 4)
        threading.Thread(target=lambda: result.get(), daemon=True).start()""",
    "a pool that was closed": "pool = Pool(2); result = pool.map_async(double, range(100)); pool.close()",
    "a pool in a child": "child = Process(target=use_a_pool); child.start(); child.join(); assert child.exitcode == 0",
    "an executor": "executor = procession.Executor(2, mp_context=fork); future = executor.submit(double, 3)",
    "an executor in a cycle": """
        cycle = Cycle(); cycle.executor, cycle.me = procession.Executor(2, mp_context=fork), cycle
        cycle.executor.submit(double, 3); del cycle""",
    "a process never started": "child = Process(target=double, args=(1,))",
    "a process never joined": "Process(target=double, args=(1,)).start()",
    "a daemon": "Process(target=sleep, args=(60,), daemon=True).start()",
    "unread gigabytes": "queue = fork.Queue(); block = bytes(1 << 27); [queue.put(block) for _ in range(2)]",
    "what a child put": "queue = fork.Queue(); child = Process(target=put, args=(queue,)); child.start(); child.join()",
    "a queue never joined": "queue = fork.JoinableQueue(); queue.put(1)",
    "threads that wait": """
        lock, event, queue = fork.Lock(), fork.Event(), fork.Queue()
        barrier, condition = fork.Barrier(2), fork.Condition()
        lock.acquire()
        def wait():
            with condition: condition.wait()
        for target in (lock.acquire, event.wait, queue.get, barrier.wait, wait):
            threading.Thread(target=target, daemon=True).start()""",
    "all in a cycle": """
        cycle = Cycle(); cycle.all = fork.Queue(), fork.Lock(), fork.Pipe(), fork.Value("i"), fork.Array("d", 9), cycle
        del cycle; gc.collect()""",
    "a manager": "manager = fork.Manager(); shared = manager.dict(a=1); assert shared['a'] == 1",
}


def run(body: str, folder: Path, method: str = "fork", code: int = 0) -> str:
    """Run a program in development mode and return what it wrote to stderr."""
    (folder / "temporary").mkdir()
    script = folder / "program.py"
    script.write_text(BEFORE.replace("METHOD", repr(method)) + textwrap.indent(textwrap.dedent(body), "    "))
    memory = shared_names()
    environment = {**os.environ, "TMPDIR": str(folder / "temporary")}
    ended = subprocess.run(
        [sys.executable, "-X", "dev", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=20
    )
    assert ended.returncode == code, ended.stderr
    wait_until(lambda: not left_behind(folder))
    assert os.listdir(folder / "temporary") == []
    assert shared_names() <= memory
    return ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_that_forgets_a_pool(name: str, tmp_path: Path) -> None:
    errors = run(PROGRAMS[name], tmp_path)
    assert "ResourceWarning: unclosed running multiprocessing pool <procession.pool." in errors
    assert "pool_size=2>: use it in a `with`, or call close() and join()" in errors
    assert "Traceback" not in errors


@pytest.mark.slow
@pytest.mark.parametrize("name", QUIET)
def test_a_program_that_forgets_what_ends_by_itself(name: str, tmp_path: Path) -> None:
    assert run(QUIET[name], tmp_path) == ""


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_the_same_under_other_start_methods(method: str, tmp_path: Path) -> None:
    body = """
        pool = fork.Pool(2); result = pool.map_async(time.sleep, [60] * 4, 1)
        executor = procession.Executor(1, mp_context=fork); future = executor.submit(double, 3)
        child = fork.Process(target=time.sleep, args=(60,), daemon=True); child.start()
        queue = fork.Queue(); queue.put(bytes(1 << 20))
        pool.apply_async(double, (1,))
        future.result()
    """
    assert run(body, tmp_path, method).count("ResourceWarning") == 1


@pytest.mark.parametrize(("end", "code"), [("raise ValueError", 1), ("sys.exit(3)", 3), ("os._exit(4)", 4)])
def test_an_end_in_the_middle_keeps_its_code(end: str, code: int, tmp_path: Path) -> None:
    run(f"pool = fork.Pool(2); result = pool.map_async(time.sleep, [60] * 4, 1); {end}", tmp_path, code=code)


# Work that a dropped pool was given


def made_and_lost(context: Any, what: str, *arguments: Any) -> Any:
    return getattr(context.Pool(2), what)(*arguments)


def pool_threads_are_gone() -> bool:
    import threading

    return not [thread for thread in threading.enumerate() if thread.name == "procession-pool-forgotten"]


@pytest.mark.parametrize("what", ["map_async", "imap", "imap_unordered"])
def test_results_come_although_their_pool_was_dropped(what: str, quick_process_context: Any) -> None:
    with pytest.warns(ResourceWarning, match="unclosed running"):
        results = made_and_lost(quick_process_context, what, double, range(1000))
    results = results.get(20) if what == "map_async" else results
    assert sorted(results) == [2 * number for number in range(1000)]
    del results
    wait_until(pool_threads_are_gone)


def test_an_iterator_that_is_dropped_lets_its_pool_go(fork: Any) -> None:
    before = set(descendants(os.getpid()))
    with pytest.warns(ResourceWarning, match="unclosed running"):
        numbers = made_and_lost(fork, "imap", double, iter(int, 1))
    assert next(numbers) == 0
    assert set(descendants(os.getpid())) > before
    del numbers
    gc.collect()
    wait_until(lambda: set(descendants(os.getpid())) <= before)
    wait_until(pool_threads_are_gone)


def test_a_pool_in_a_cycle_warns(fork: Any) -> None:
    def lose() -> None:
        pool: Any = fork.Pool(1)
        pool.cycle = pool

    lose()
    with pytest.warns(ResourceWarning, match="unclosed running"):
        gc.collect()


def test_a_warning_that_is_an_error_loses_no_work(fork: Any, recwarn: Any) -> None:
    import warnings

    unraisable: list[Any] = []
    previous, sys.unraisablehook = sys.unraisablehook, unraisable.append
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = made_and_lost(fork, "apply_async", double, (4,))
    finally:
        sys.unraisablehook = previous
    assert len(unraisable) == 1
    unraisable.clear()
    assert result.get(20) == 8
    wait_until(pool_threads_are_gone)


def test_a_pool_that_was_ended_does_not_warn(fork: Any) -> None:
    ended: list[Pool] = [fork.Pool(1), fork.Pool(1), fork.Pool(1)]
    ended[0].close()
    ended[1].terminate()
    with ended[2]:
        pass
    for pool in ended:
        pool.join()
    del pool
    ended.clear()
