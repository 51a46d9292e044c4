"""Contexts: how one is chosen, what they are to other libraries, and the CPU count."""

import concurrent.futures
import multiprocessing
import multiprocessing.context
import os
import pickle
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest

import procession
from procession import _cpu
from procession import context as contexts


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_is_what_other_libraries_look_for(method: str) -> None:
    context = procession.get_context(method)
    theirs: Any = multiprocessing.get_context(method)
    assert isinstance(context, multiprocessing.context.BaseContext)
    assert isinstance(context, type(theirs))
    assert type(context).__name__ == type(theirs).__name__
    assert context.Process.__name__ == theirs.Process.__name__
    assert issubclass(context.Process, theirs.Process)
    assert context.get_start_method() == method
    assert context.get_context() is context
    assert context.get_context("spawn") is procession.get_context("spawn")
    with pytest.raises(ValueError, match="concrete context"):
        context.set_start_method("fork")


def test_has_every_name_of_the_standard_contexts() -> None:
    for name in dir(multiprocessing.context.BaseContext):
        if not name.startswith("_"):
            for method in ("fork", "thread", None):
                assert hasattr(procession.get_context(method), name), name


def test_methods_are_listed_and_unknown_ones_refused() -> None:
    assert procession.get_all_start_methods() == ["fork", "spawn", "forkserver"]
    with pytest.raises(ValueError, match="cannot find context for 'teleport'"):
        procession.get_context("teleport")
    assert procession.get_context("thread").get_start_method() == "thread"


def test_default_follows_the_standard_library_without_deciding_for_it() -> None:
    text = textwrap.dedent(
        """
        import multiprocessing, procession
        assert procession.get_start_method(allow_none=True) is None
        before = procession.get_start_method()
        worker = procession.get_context("spawn").Process(target=len, args=([1],))
        worker.start()
        assert worker.result() == 1
        assert multiprocessing.get_start_method(allow_none=True) is None
        multiprocessing.set_start_method("spawn")
        assert before == multiprocessing.context._default_context._default_context._name
        assert procession.get_start_method() == "spawn"
        procession.set_start_method("forkserver")
        assert procession.get_start_method() == "forkserver" and multiprocessing.get_start_method() == "spawn"
        try:
            procession.set_start_method("fork")
        except RuntimeError:
            procession.set_start_method("thread", force=True)
        assert procession.get_start_method() == "thread"
        procession.set_start_method(None, force=True)
        assert procession.get_start_method() == "spawn"
        """
    )
    ended = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=50)
    assert ended.returncode == 0, ended.stderr


def current_method() -> tuple[str | None, str | None]:
    return procession.get_start_method(), multiprocessing.get_start_method()


def test_child_continues_with_its_own_method(process_context: Any) -> None:
    worker = process_context.Process(target=current_method)
    worker.start()
    method = process_context.get_start_method()
    assert worker.result() == (method, method)
    worker.close()


def test_default_process_uses_the_default_method() -> None:
    worker = procession.Process(target=current_method)
    worker.start()
    assert worker.result()[0] == procession.get_start_method()
    worker.close()


def test_thread_context() -> None:
    context = procession.get_context("thread")
    worker = context.Process(target=context.current_process)
    worker.start()
    assert worker.result() is worker
    assert worker.name.startswith("ThreadProcess-")
    assert worker.pid == os.getpid()
    release = threading.Event()
    worker = context.Process(target=release.wait, daemon=True)
    worker.start()
    assert worker in context.active_children()
    assert context.parent_process() is None
    release.set()
    worker.join()
    assert worker not in context.active_children()


FACTORIES: dict[str, tuple[Any, ...]] = {
    "Lock": (),
    "RLock": (),
    "Condition": (),
    "Semaphore": (2,),
    "BoundedSemaphore": (2,),
    "Event": (),
    "Barrier": (2,),
    "Queue": (3,),
    "JoinableQueue": (3,),
    "SimpleQueue": (),
    "Pipe": (),
    "Value": ("i", 3),
    "Array": ("i", 3),
    "RawValue": ("i", 3),
    "RawArray": ("i", 3),
}


@pytest.mark.parametrize("name", sorted(FACTORIES))
def test_factories_make_their_kind(context: Any, name: str) -> None:
    made = getattr(context, name)(*FACTORIES[name])
    for end in made if name == "Pipe" else ():
        end.close()


def add_to(shared: Any) -> None:
    shared["sum"] = shared["a"] + 1


def test_manager(process_context: Any) -> None:
    with process_context.Manager() as manager:
        shared = manager.dict(a=1)
        worker = process_context.Process(target=add_to, args=(shared,))
        worker.start()
        assert worker.result() is None
        assert shared["sum"] == 2
        worker.close()


# The CPU count


def lay_out(root: Path, files: dict[str, str]) -> str:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return str(root)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, 8),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "300000 100000\n"}, 3),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "150000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/cpu.max": "5000 100000\n"}, 1),
        ({"proc/self/cgroup": "0::/gone\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "garbage\n"}, 8),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/docker/x\n1:name=systemd:/\n",
                "sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_quota_us": "400000\n",
                "sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_period_us": "100000\n",
            },
            4,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            8,
        ),
    ],
)
def test_cpu_count_respects_quotas(tmp_path: Path, monkeypatch: Any, files: dict[str, str], expected: int) -> None:
    monkeypatch.setattr(_cpu, "_affinity", lambda: 8)
    assert _cpu._cpu_count(lay_out(tmp_path, files)) == expected


def test_cpu_count_respects_affinity() -> None:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert procession.cpu_count() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert 1 <= procession.cpu_count() <= (os.cpu_count() or 1)


def test_default_context_is_behind_the_package() -> None:
    assert procession.Process is contexts.Process
    assert procession.get_context() is procession.get_context(procession.get_start_method())


def test_module_has_every_name_of_the_standard_one() -> None:
    theirs = [name for name in dir(multiprocessing.context) if not name.startswith("__") and name not in ("os", "sys")]
    assert [name for name in theirs if not hasattr(contexts, name)] == []
    assert contexts._default_context is contexts.default
    assert contexts.reduction is multiprocessing.context.reduction
    for name in ("assert_spawning", "get_spawning_popen", "set_spawning_popen"):
        assert getattr(contexts, name) is getattr(multiprocessing.context, name)


def test_contexts_travel(process_context: Any) -> None:
    sent = [process_context, contexts.default, procession.get_context("thread")]
    assert pickle.loads(pickle.dumps(sent)) == sent
    worker = process_context.Process(target=same_contexts, args=(*sent,))
    worker.start()
    assert worker.result() == (True, True, True)
    worker.close()


def same_contexts(one: Any, default: Any, thread: Any) -> tuple[bool, bool, bool]:
    return (
        one is procession.get_context(one.get_start_method()),
        default is contexts.default,
        thread is procession.get_context("thread"),
    )


class Derived(contexts.ForkContext):
    """As a library makes one."""


def test_a_derived_context_keeps_its_class() -> None:
    assert type(pickle.loads(pickle.dumps(Derived()))) is Derived


def test_a_context_is_left_as_a_clusters_is(context: Any) -> None:
    with context as same, same.Pool(1) as pool:
        assert same is context
        assert pool.map(abs, [-1]) == [1]
    pool.join()
    context.close()
    assert context.Value("i", 7).value == 7


def test_executor_of_a_context(context: Any) -> None:
    with context.Executor(1) as executor:
        assert isinstance(executor, procession.Executor)
        assert executor.submit(abs, -3).result(timeout=20) == 3


def test_standard_executor_takes_our_contexts(process_context: Any) -> None:
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=process_context) as executor:
        assert executor.submit(abs, -3).result(timeout=20) == 3


def test_modules_are_there_without_an_import() -> None:
    text = "import procession as p; print(p.util.__name__, p.pool.Pool.__name__, p.managers.__name__)"
    ended = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=50, check=True)
    assert ended.stdout == "multiprocessing.util Pool procession.managers\n"
