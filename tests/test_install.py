"""`install` and `uninstall`: what becomes ours, what stays, what comes back; each in a program of its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import procession

METHODS = ["fork", "spawn", "forkserver"]
TIMEOUT_S = 50


def run(directory: Path, text: str, *arguments: str) -> str:
    """What a program prints; it must end well and say nothing on standard error."""
    path = directory / "program.py"
    path.write_text(textwrap.dedent(text))
    ended = subprocess.run(
        [sys.executable, path.name, *arguments], cwd=directory, capture_output=True, text=True, timeout=TIMEOUT_S
    )
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout + ended.stderr
    return ended.stdout


def test_names_are_ours_then_theirs_again(tmp_path: Path) -> None:
    text = """
        import multiprocessing, sys, procession
        import multiprocessing.pool, multiprocessing.synchronize, multiprocessing.connection  # before
        def all_names():
            modules = [sys.modules[n] for n in sorted(sys.modules) if n.split(".")[0] == "multiprocessing"]
            names = {(m.__name__, n): v for m in modules for n, v in vars(m).items() if not n.startswith("__")}
            for cls in (multiprocessing.pool.Pool, multiprocessing.pool.ThreadPool):
                names |= {(cls, n): v for n, v in vars(cls).items()}
            return names
        import multiprocessing.dummy, multiprocessing.spawn, multiprocessing.popen_fork, multiprocessing.queues
        before = all_names()
        procession.install()
        procession.install()
        from multiprocessing import Process, Queue, get_context
        import multiprocessing.sharedctypes, multiprocessing.managers  # while installed
        from multiprocessing.managers import SyncManager
        assert type(Queue()) is procession.queues.Queue
        assert Process is procession.Process
        assert get_context("spawn") is procession.get_context("spawn")
        assert get_context("spawn").Process is procession.context.SpawnProcess
        assert multiprocessing.get_context("thread").get_start_method() == "thread"
        assert multiprocessing.pool.Pool is procession.pool.Pool
        assert multiprocessing.pool.ThreadPool is procession.pool.ThreadPool
        assert multiprocessing.synchronize.Lock is procession.synchronize.Lock
        assert multiprocessing.connection.Pipe is procession.connection.Pipe
        assert multiprocessing.sharedctypes.Value is procession.sharedctypes.Value
        assert multiprocessing.context._default_context is procession.context.default
        assert multiprocessing.managers.get_context() is procession.get_context()
        assert SyncManager._registry["Pool"][0].__self__ is procession.context.default
        procession.uninstall()
        procession.uninstall()
        after = all_names()
        changed = [name for name in before if after.get(name, after) is not before[name]]
        assert changed == [], changed
        def is_ours(value):
            return "procession" in f"{getattr(value, '__module__', '')}{type(value)}{getattr(value, '__self__', '')}"
        ours = [name for name, value in after.items() if is_ours(value)]
        assert ours == [], ours
        reducers = multiprocessing.reducer.ForkingPickler._extra_reducers.values()
        assert not [one for one in reducers if type(one).__module__ == "procession.installing"]
        assert type(multiprocessing.Queue()).__module__ == "multiprocessing.queues"
    """
    assert run(tmp_path, text) == ""


@pytest.mark.parametrize(
    "imports",
    [
        "import multiprocessing.pool; procession.install()",
        "procession.install(); import multiprocessing.pool",
        "procession.install(); import procession.pool, multiprocessing.pool",
        "import procession.pool; procession.install(); import multiprocessing.pool",
        "procession.install(); import multiprocessing.pool, importlib; importlib.reload(multiprocessing.pool)",
        "procession.install(); import multiprocessing.pool; procession.uninstall(); procession.install()",
        "procession.install(); procession.uninstall(); import multiprocessing.pool; procession.install()",
    ],
)
def test_any_order_of_imports(tmp_path: Path, imports: str) -> None:
    text = f"""
        import multiprocessing, procession
        {imports}
        assert multiprocessing.pool.Pool is procession.pool.Pool
        assert multiprocessing.pool.__loader__.get_source("multiprocessing.pool")
        procession.uninstall()
        assert multiprocessing.pool.Pool.__module__ == "multiprocessing.pool"
    """
    run(tmp_path, text)


@pytest.mark.slow
def test_threads_may_import_and_install_at_once(tmp_path: Path) -> None:
    text = """
        import importlib, multiprocessing, sys, threading
        import procession
        start = threading.Barrier(6)
        sys.setswitchinterval(1e-5)
        names = [f"{p}.{m}" for m in ("pool", "synchronize", "sharedctypes") for p in ("multiprocessing", "procession")]
        def work(name):
            start.wait()
            procession.install()
            importlib.import_module(name)
        threads = [threading.Thread(target=work, args=(name,)) for name in names]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        assert multiprocessing.pool.Pool is procession.pool.Pool
        assert multiprocessing.synchronize.Lock is procession.synchronize.Lock
        assert multiprocessing.sharedctypes.Value is procession.sharedctypes.Value
        def flip():
            start.wait()
            for _ in range(50):
                procession.install()
                procession.uninstall()
        threads = [threading.Thread(target=flip) for _ in range(6)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        assert multiprocessing.Process.__module__ == "multiprocessing.context"
        assert multiprocessing.pool.Pool.__module__ == "multiprocessing.pool"
    """
    for _ in range(3):
        run(tmp_path, text)


def test_the_start_method_chosen_before_holds(tmp_path: Path) -> None:
    text = """
        import multiprocessing, procession
        multiprocessing.set_start_method("spawn")
        procession.install()
        assert multiprocessing.get_start_method() == procession.get_start_method() == "spawn"
        multiprocessing.set_start_method("forkserver", force=True)
        assert multiprocessing.get_context() is procession.get_context("forkserver")
        procession.uninstall()
        assert multiprocessing.get_start_method() == "spawn"
    """
    run(tmp_path, text)


def test_a_program_may_choose_its_start_method_after_install_chose_one(tmp_path: Path) -> None:
    text = """
        import multiprocessing, procession, pytest
        for first in ("thread", "spawn"):
            procession.install(first)
            multiprocessing.set_start_method("spawn")
            assert multiprocessing.get_start_method() == "spawn"
            with pytest.raises(RuntimeError, match="already been set"):
                multiprocessing.set_start_method("fork")
            procession.uninstall()
            assert procession.get_start_method() == "spawn"
            procession.set_start_method(None, force=True)
    """
    run(tmp_path, text)


def test_a_start_method_may_be_chosen(tmp_path: Path) -> None:
    text = """
        import multiprocessing, procession
        for wanted in ("spawn", multiprocessing.get_context("spawn"), procession.get_context("spawn")):
            procession.install(wanted)
            assert multiprocessing.get_start_method() == "spawn"
            procession.install("thread")
            assert multiprocessing.get_start_method() == "thread"
            procession.uninstall()
            assert procession.get_start_method(allow_none=True) is None
        try:
            procession.install("teleport")
        except ValueError as error:
            assert "teleport" in str(error)
            assert multiprocessing.Process.__module__ == "multiprocessing.context"
        else:
            raise SystemExit("no error")
    """
    run(tmp_path, text)


def test_installing_loads_next_to_nothing(tmp_path: Path) -> None:
    text = """
        import sys, multiprocessing
        before = set(sys.modules)
        import procession
        procession.install()
        new = set(sys.modules) - before
        print(*sorted(name for name in new if not name.startswith("procession")), "procession._native" in new)
    """
    assert run(tmp_path, text).split() == ["__future__", "False"]


# Children


CHILDREN = """
    import multiprocessing, sys
    from multiprocessing import Process as Taken
    import procession

    def names():
        import multiprocessing.pool
        return (multiprocessing.Process.__module__, type(multiprocessing.Lock()).__module__,
                multiprocessing.pool.Pool.__module__, multiprocessing.get_start_method())

    def look(queue):
        with multiprocessing.Pool(1) as pool:
            queue.put((names(), pool.apply(names)))

    def main(method):
        queue = multiprocessing.get_context(method).Queue()
        def started(cls):
            child = cls(target=look, args=(queue,))
            child.start(); child.join()
            assert child.exitcode == 0
            return queue.get(timeout=20)
        procession.install(method)
        ours = ("procession.context", "procession.synchronize", "procession.pool", method)
        assert started(multiprocessing.Process) == (ours, ours)
        assert started(Taken) == (ours, ours)
        procession.uninstall()
        theirs = ("multiprocessing.context", "multiprocessing.synchronize", "multiprocessing.pool", method)
        multiprocessing.set_start_method(method)
        assert started(procession.get_context(method).Process) == (theirs, theirs)
        assert started(multiprocessing.Process) == (theirs, theirs)

    if __name__ == "__main__":
        main(sys.argv[1])
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_children_are_installed_as_their_parent_is(tmp_path: Path, method: str) -> None:
    run(tmp_path, CHILDREN, method)


MIXED = """
    import ctypes, multiprocessing, multiprocessing.pool, sys
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import Pool, Process, get_context
    from multiprocessing.pool import Pool as PoolClass, ThreadPool

    class Pair(ctypes.Structure):
        _fields_ = [("a", ctypes.c_int)]

    class Old(Process):
        def __init__(self, *things):
            super().__init__()
            self.things = things
        def run(self):
            use(*self.things)

    def use(lock, rlock, semaphore, bounded, event, condition, barrier, queue, simple, joinable, value, array, raw,
            pair, writer):
        with lock, rlock, value.get_lock():
            value.value += 1
        array[0], raw.value, pair.a = 5, 7, 9
        queue.put(1), simple.put(2), joinable.put(3), writer.send(4)
        with condition:
            condition.notify()
        semaphore.release(), bounded.acquire(), event.set(), barrier.wait(20)

    def make(context):
        reader, writer = context.Pipe(False)
        return reader, (
            context.Lock(), context.RLock(), context.Semaphore(0), context.BoundedSemaphore(3), context.Event(),
            context.Condition(), context.Barrier(2), context.Queue(), context.SimpleQueue(), context.JoinableQueue(),
            context.Value("i"), context.Array("d", 3), context.RawValue("i"), context.Value(Pair), writer,
        )

    def check(reader, things, process):
        _, _, semaphore, bounded, event, _, barrier, queue, simple, joinable, value, array, raw, pair, _ = things
        value.value = array[0] = 0
        process.start()
        barrier.wait(20), process.join(20)
        assert (process.exitcode, value.value, array[0], raw.value, pair.a) == (0, 1, 5, 7, 9)
        assert (queue.get(timeout=9), simple.get(), joinable.get(timeout=9), reader.recv()) == (1, 2, 3, 4)
        assert event.is_set() and semaphore.acquire(timeout=9)
        joinable.task_done(), joinable.join(), bounded.release(), event.clear()

    def main(method):
        import procession
        standard = get_context(method)
        made = [make(standard)]
        procession.install(method)
        made += [make(standard), make(multiprocessing.get_context(method))]
        for reader, things in made:
            ours = multiprocessing.get_context(method)
            for cls in (Process, multiprocessing.Process, ours.Process, standard.Process):
                check(reader, things, cls(target=use, args=things))
            check(reader, things, Old(*things))
        for pool in (ThreadPool(2), PoolClass(2), Pool(2), standard.Pool(2), multiprocessing.pool.ThreadPool(2)):
            with pool:
                assert pool.map(abs, [-1, 2]) == [1, 2]
            pool.join()
        with ProcessPoolExecutor(2) as executor:
            assert list(executor.map(abs, [-1, 2])) == [1, 2]

    if __name__ == "__main__":
        main(sys.argv[1])
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_what_was_taken_or_made_before_goes_on_working(tmp_path: Path, method: str) -> None:
    run(tmp_path, MIXED, method)


def test_what_was_made_stays_usable_after(tmp_path: Path) -> None:
    text = """
        import multiprocessing, procession
        procession.install()
        queue, pool = multiprocessing.Queue(), multiprocessing.Pool(1)
        procession.uninstall()
        process = multiprocessing.get_context("fork").Process(target=queue.put, args=(1,))  # a standard one
        process.start()
        assert queue.get(timeout=20) == 1 and pool.apply(abs, (-1,)) == 1
        process.join(), pool.terminate(), pool.join()
    """
    run(tmp_path, text)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.parametrize(
    "way", ["multiprocessing.Process(target=print).start()", "multiprocessing.Pool(2).map(abs, [1])",
            "multiprocessing.Manager()", "procession.Executor(2).submit(abs, 1).result()",
            "concurrent.futures.ProcessPoolExecutor(2).submit(abs, 1).result()"],
)  # fmt: skip
def test_a_missing_guard_is_no_storm(tmp_path: Path, method: str, way: str) -> None:
    text = f"""\
        import concurrent.futures, multiprocessing, procession
        print("main", flush=True)
        procession.install({method!r})
        {way}
    """
    path = tmp_path / "unguarded.py"
    path.write_text(textwrap.dedent(text))
    ended = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=TIMEOUT_S)
    assert 'if __name__ == "__main__":' in ended.stderr
    assert ended.stdout.count("main") <= 12


# Threads for processes


def test_process_makes_threads_if_that_is_the_method(tmp_path: Path) -> None:
    text = """
        import multiprocessing, multiprocessing.connection, os, sys
        class Taken(multiprocessing.Process):  # of the standard class
            def run(self):
                self.seen = True
        import procession
        procession.install("thread")
        class Worker(multiprocessing.Process):
            def run(self):
                self.seen = True
                return multiprocessing.current_process().name, os.getpid()
        worker = Worker(name="first")
        assert worker.exitcode is None and not worker.is_alive() and isinstance(worker, multiprocessing.Process)
        worker.start()
        assert worker.result(timeout=20) == ("first", os.getpid())
        assert (worker.exitcode, worker.is_alive(), hasattr(worker, "seen")) == (0, False, False)
        assert multiprocessing.connection.wait([worker.sentinel], 0) == [worker.sentinel]
        worker.close()
        taken = Taken()
        taken.start(), taken.join()
        assert taken.exitcode == 0
        queue, go = multiprocessing.Queue(), multiprocessing.Event()
        unpicklable = lambda: 5
        daemon = multiprocessing.Process(target=go.wait, daemon=True)
        daemon.start()
        assert [thread.name for thread in multiprocessing.active_children()] == [daemon.name]
        try:
            daemon.terminate()
        except NotImplementedError as error:
            assert "is a thread" in str(error)
        other = multiprocessing.Process(target=queue.put, args=(unpicklable,))
        other.start()
        assert queue.get(timeout=20) is unpicklable
        leaving = multiprocessing.Process(target=sys.exit, args=(3,))
        leaving.start(), leaving.join()
        assert leaving.exitcode == 3
        try:
            leaving.result()
        except ChildProcessError as error:
            assert "exited with code 3" in str(error)
        with multiprocessing.Pool(2) as pool:
            assert pool.map(lambda x: x + 1, [1, 2]) == [2, 3]
        # the daemon still runs: it must not keep the program from ending
    """
    run(tmp_path, text)


def test_public_names() -> None:
    assert procession.install.__module__ == procession.uninstall.__module__ == "procession.installing"
