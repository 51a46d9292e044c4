"""Clusters: how they are named and opened, how functions travel to workers, what an executor offers as one."""

import importlib
import pickle
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle
import everywhere_tasks as tasks
import pytest

import procession
from procession._clusters import PATIENCE_VARIABLE, open_cluster, patience
from procession._clusters.shipping import Shipping, dumps_back, has_module, loads
from procession.errors import ClusterError, ClusterLost, EngineMissing, NotSupported, PicklingError

WAIT_S = 20.0


@pytest.fixture
def threads() -> Iterator[Any]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.fixture
def context(threads: Any) -> Iterator[Any]:
    with procession.get_context(threads) as context:
        yield context


# Names and addresses


@pytest.mark.parametrize(
    ("what", "error", "says"),
    [
        ("tcp://10.0.0.1:8786", ValueError, "'dask://10.0.0.1:8786' here"),
        ("flock://herd", ValueError, "'ray://host:port'"),
        ("dask://", ValueError, "scheme://host:port"),
        ("subinterpreters://1", ValueError, "have no address"),
        ("nonsense", ValueError, "there are fork, spawn, forkserver, thread"),
        (5, TypeError, "cannot run work on 5"),
        (open_cluster, TypeError, r"concurrent\.futures\.Executor"),
    ],
)
def test_what_is_no_cluster(what: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        procession.get_context(what)


def test_a_cluster_is_no_start_method(threads: Any) -> None:
    for what in ("dask", "ray://somewhere:1", threads):
        with pytest.raises(ValueError, match="is no start method"):
            procession.set_start_method(what)
    assert "dask" not in procession.get_all_start_methods()


@pytest.mark.parametrize("said", ["soon", "-1", "nan", "inf"])
def test_a_timeout_that_is_none_is_named(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PATIENCE_VARIABLE, said)
    with pytest.raises(ValueError, match=f"{PATIENCE_VARIABLE} must be a number of seconds above 0, not '{said}'"):
        patience()
    monkeypatch.setenv(PATIENCE_VARIABLE, "0.5")
    assert patience() == 0.5


def test_a_missing_package_says_what_to_install(tmp_path: Path) -> None:
    program = """
        import sys
        sys.modules["ray"] = None  # as if it were not installed
        import procession
        try:
            procession.get_context("ray")
        except ImportError as error:
            print(type(error).__name__, error)
    """
    if importlib.util.find_spec("procession._clusters.ray") is None:
        pytest.skip("Ray is not built")
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("EngineMissing")
    assert "pip install 'procession[ray]'" in run.stdout


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="this Python has them")
def test_subinterpreters_need_a_later_python() -> None:
    with pytest.raises(EngineMissing, match=r"needs Python 3\.14.*'thread'.*'forkserver'"):
        procession.get_context("subinterpreters")


@pytest.mark.skipif(sys.version_info < (3, 14), reason="this Python has none")
def test_subinterpreters() -> None:
    with procession.get_context("subinterpreters") as context, context.Pool(2) as pool:
        assert pool.map(tasks.square, range(10)) == [number * number for number in range(10)]


# Contexts


def test_a_context_is_closed_once(threads: Any) -> None:
    context = procession.get_context(threads)
    assert context.get_start_method() == "ThreadPoolExecutor"
    assert context.cpu_count() == 2
    with context:
        pass
    context.close()
    assert repr(context) == "<FarContext ThreadPoolExecutor (closed)>"
    for use in (context.Pool, context.Executor, context.Queue, context.cpu_count):
        with pytest.raises(ClusterError, match="was closed: call get_context again"):
            use()
    assert threads.submit(abs, -1).result() == 1  # it is its user's


def test_a_context_on_an_object_does_not_travel(context: Any, fork: Any) -> None:
    with pytest.raises(NotSupported, match="an object of this process"):
        pickle.dumps(context)
    child = fork.Process(target=context.cpu_count)
    child.start()
    with pytest.raises(ClusterError, match="a parent of this one"):
        child.result(WAIT_S)


def test_what_no_cluster_has_names_the_alternative(context: Any) -> None:
    for kind, says in [("Process", "apply_async"), ("Pipe", "two of ctx.Queue"), ("Manager", "actor")]:
        with pytest.raises(NotSupported, match=says):
            getattr(context, kind)()
    with pytest.raises(NotSupported, match=r"Queue: max_bytes= is for what lies in one machine's memory"):
        context.Queue(max_bytes=5)
    with pytest.raises(NotSupported, match=r"Lock\(name=…\) needs a cluster that keeps names"):
        context.Lock(name="ledger")
    with pytest.raises(NotSupported, match="let the cluster restart its workers"):
        context.Pool(maxtasksperchild=1)
    for limits, says in [({"timeout": 1.0}, "not its own"), ({"memory_limit": "1G"}, "not its own")]:
        with pytest.raises(NotSupported, match=says):
            context.Pool(**limits)
    with pytest.raises(NotSupported, match="stays there"):
        context.Pool(forward_output=True)
    with context.Pool(forward_output=False) as pool:
        assert pool.apply(abs, (-1,)) == 1


def test_threads_share_the_primitives_of_threads(context: Any) -> None:
    queue = context.Queue(1)
    queue.put(context)
    assert queue.get() is context
    value = context.Value("i", 3, lock=True)
    with context.Lock(), context.Semaphore(value=2):
        assert value.value == 3
    with pytest.raises(NotSupported, match=r"\(path=…\).*get_context\('dask'\)"):
        open_cluster(Elsewhere()).primitive("Queue")


class Elsewhere(ThreadPoolExecutor.__mro__[1]):  # type: ignore[misc]
    """An executor of nobody's that procession knows, whose workers have their own memory: it runs a call when asked."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        from concurrent.futures import Future

        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


# An executor as a cluster


def test_spread_parts_stay_apart_until_they_are_wanted(threads: Any) -> None:
    cluster = open_cluster(threads)
    may_go_on = threading.Event()

    def late(number: int) -> tuple[int, int]:
        may_go_on.wait(WAIT_S)
        return number, number + 1

    left, right = cluster.spread(2, late, 5)
    both = cluster.submit(lambda *given: given, right, "between", left)
    assert not both.done()
    may_go_on.set()
    assert both.result(WAIT_S) == (6, "between", 5)
    (failed,) = cluster.spread(1, tasks.withdraw, 9)
    with pytest.raises(tasks.Insolvent):
        cluster.submit(abs, failed).result(WAIT_S)


def test_the_fate_of_an_executor() -> None:
    executor = ThreadPoolExecutor(1)
    cluster = open_cluster(executor)
    executor.shutdown()
    with pytest.raises(RuntimeError) as caught:
        cluster.submit(abs, 1)
    fate = cluster.fate(caught.value)
    assert isinstance(fate, ClusterLost)
    assert fate.cluster == "ThreadPoolExecutor"
    assert cluster.fate(ValueError("of the task")) is None
    assert cluster.fate(CancelledError()) is None


# Shipping


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A module that only this process can import."""
    (tmp_path / "only_here.py").write_text(
        textwrap.dedent(
            """
            FACTOR, SET = 3, None

            class Pair:
                def __init__(self, left, right):
                    self.left, self.right = left, right

            def triple(number):
                return FACTOR * number

            def set_it(value):
                global SET
                SET = value

            def set_to():
                return SET

            def pair(number):
                return Pair(number, triple(number))
            """
        )
    )
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("only_here")
    yield module
    if module.__name__ in cloudpickle.list_registry_pickle_by_value():
        cloudpickle.unregister_pickle_by_value(module)
    del sys.modules["only_here"]


class Lonely:
    """A cluster of one worker elsewhere: a fresh interpreter, which lacks this program's modules."""

    name, is_near, has_main, asked = "lonely", False, False, 0

    def submit(self, function: Any, *arguments: Any) -> Any:
        self.asked += 1
        from concurrent.futures import Future

        future: Future[Any] = Future()
        future.set_result(loads(elsewhere(pickle.dumps((function, arguments)))))
        return future


def elsewhere(packed: bytes) -> bytes:
    """In a fresh interpreter: call a function with its arguments; what it returned, packed."""
    program = """
        import sys
        from procession._clusters.shipping import dumps_back, loads
        function, arguments = loads(sys.stdin.buffer.read())
        sys.stdout.buffer.write(dumps_back(function(*arguments)))
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    return subprocess.run(command, input=packed, capture_output=True, check=True, cwd="/").stdout


@pytest.mark.slow
def test_a_module_that_workers_lack_goes_by_value(own_module: ModuleType) -> None:
    cluster: Any = Lonely()
    shipping = Shipping(cluster)
    assert loads(elsewhere(shipping.dumps((own_module.triple, (5,))))) == 15
    pair = loads(elsewhere(shipping.dumps((own_module.pair, (5,)))))
    assert type(pair) is own_module.Pair  # not a copy of it
    assert (pair.left, pair.right) == (5, 15)
    assert cluster.asked == 1  # for both


def test_functions_by_value_share_their_globals(own_module: ModuleType) -> None:
    cluster: Any = Lonely()
    cluster.submit = lambda *_: None  # it does not even answer
    shipping = Shipping(cluster)
    set_it, set_to = loads(shipping.dumps(own_module.set_it)), loads(shipping.dumps(own_module.set_to))
    set_it(5)
    assert set_to() == loads(shipping.dumps(own_module.set_to))() == 5
    assert loads(Shipping(cluster).dumps(own_module.set_to))() is own_module.set_to() is None


@pytest.mark.slow
def test_what_is_defined_in_a_script_reaches_the_workers(tmp_path: Path) -> None:
    """Here processes play the workers that lack the script: what they have in `__main__` is another thing."""
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            from concurrent.futures import ProcessPoolExecutor
            import procession

            class Seen:
                def __init__(self, limit):
                    self.limit = limit

            def set_limit(limit):
                global LIMIT
                LIMIT = limit

            def look(_):
                return Seen(LIMIT)

            LIMIT = None
            if __name__ == "__main__":
                with ProcessPoolExecutor(1) as executor, procession.get_context(executor) as context:
                    executor.submit(exec, "import __main__; del __main__.Seen, __main__.look").result()
                    context.cluster.has_main = False
                    with context.Pool(1, set_limit, (7,)) as pool:
                        (seen,) = pool.map(look, [0])
                        print(isinstance(seen, Seen), seen.limit, LIMIT)
                        print(pool.map(lambda _: LIMIT, [0]))
            """
        )
    )
    run = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert run.stdout.splitlines() == ["True 7 None", "[7]"], run.stderr


def test_a_module_that_workers_have_goes_by_name(own_module: ModuleType) -> None:
    with ProcessPoolExecutor(1) as executor:  # forked since: it has the path
        cluster: Any = open_cluster(executor)
        cluster.has_main = False  # as if it were elsewhere
        assert b"FACTOR" not in Shipping(cluster).dumps(own_module.triple)
        own_module.__file__ = __file__  # here it is another one now
        assert b"FACTOR" in Shipping(cluster).dumps(own_module.triple)
    assert not has_module("nowhere", "")


def test_what_is_installed_goes_by_name() -> None:
    cluster: Any = Lonely()
    packed = Shipping(cluster).dumps((textwrap.dedent, pytest.raises, procession.get_context))
    assert loads(packed) == (textwrap.dedent, pytest.raises, procession.get_context)
    assert cluster.asked == 0


def test_what_cannot_be_packed_is_named() -> None:
    cluster: Any = Lonely()
    lock = procession.get_context("thread").Queue()
    with pytest.raises(PicklingError, match=r"at \[0\]\['here'\]"):
        Shipping(cluster).dumps([{"here": sys._getframe()}, lock])
    with pytest.raises(TypeError):
        dumps_back(sys._getframe())
    with open(__file__) as file, pytest.raises(PicklingError, match=r"TextIOWrapper.* at \[0\]"):
        Shipping(cluster).dumps([file])
