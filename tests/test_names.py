"""Names and arguments that programs and libraries take from multiprocessing's modules, undocumented ones included."""

import importlib
import multiprocessing
import os
import re
import threading
import weakref
from collections.abc import Iterator
from multiprocessing import connection as standard_connection
from multiprocessing import sharedctypes as standard_sharedctypes
from multiprocessing import synchronize as standard_synchronize
from typing import Any

import pytest

import procession
from procession import connection, sharedctypes, synchronize

CONTEXTS = {
    "ours": procession.get_context("fork"),
    "standard": multiprocessing.get_context("fork"),
    "thread": procession.get_context("thread"),
}
MAKERS: dict[str, tuple[Any, ...]] = {
    "Lock": (),
    "RLock": (),
    "Semaphore": (3,),
    "BoundedSemaphore": (3,),
    "Condition": (),
    "Event": (),
    "Barrier": (2,),
}
# What those standard objects consist of, and modules that the standard modules import
INSIDES = {"_cleanup", "_is_fork_ctx", "_make_methods", "_make_name", "_rand", "_cond", "_flag", "_array", "_wrapper"}
INSIDES |= {"__slotnames__", "_count", "_parties", "_state", "__setstate__", "_rebuild", "_after_fork", "SEM_VALUE_MAX"}
MODULES = {"_multiprocessing", "context", "process", "sem_unlink", "sys", "tempfile", "util"}
MODULES |= {"_ForkingPickler", "assert_spawning", "get_context", "heap", "reduction"}


@pytest.fixture(scope="module", autouse=True)
def _kept_by_the_standard_library() -> Iterator[None]:
    """Its first barrier maps a file for all that come; not for the leak check to see."""
    keep = multiprocessing.Barrier(1)
    yield
    del keep


@pytest.mark.parametrize("name", ["connection", "process", "sharedctypes", "synchronize"])
def test_every_name_of_the_module(name: str) -> None:
    standard, ours = (importlib.import_module(f"{package}.{name}") for package in ("multiprocessing", "procession"))
    missing = {key for key in dir(standard) if not hasattr(ours, key)}
    assert missing <= MODULES
    with pytest.raises(AttributeError, match="nonsense"):
        ours.nonsense  # noqa: B018


@pytest.mark.parametrize("kind", MAKERS)
def test_every_name_of_the_primitive(kind: str) -> None:
    standard, ours = (getattr(CONTEXTS[which], kind)(*MAKERS[kind]) for which in ("standard", "ours"))
    assert {name for name in dir(standard) if not hasattr(ours, name)} <= INSIDES
    if hasattr(standard, "_semlock"):
        missing = {name for name in dir(standard._semlock) if not hasattr(ours._semlock, name)}
        assert missing <= INSIDES | ({"_is_mine"} if "Semaphore" in kind else set())  # permits are nobody's
        assert (ours._semlock.kind, ours._semlock.maxvalue) == (standard._semlock.kind, standard._semlock.maxvalue)
    assert re.sub(r"\w+\.| at \w+", "", repr(ours)) == re.sub(r"\w+\.| at \w+", "", repr(standard))


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("kind", MAKERS)
def test_primitives_take_a_context(kind: str, context: str) -> None:
    made = getattr(synchronize, kind)(*MAKERS[kind], ctx=CONTEXTS[context])
    assert type(made) is getattr(synchronize, kind)
    assert made.arena.shared is (context != "thread")
    made.remark = "objects take attributes"
    assert weakref.ref(made)() is made


def test_condition_on_a_lock_and_barrier_with_everything() -> None:
    lock = synchronize.Lock(ctx=CONTEXTS["ours"])
    condition = synchronize.Condition(lock, ctx=CONTEXTS["ours"])
    assert condition._lock is lock
    counts = condition._sleeping_count, condition._woken_count, condition._wait_semaphore
    assert [count.get_value() for count in counts] == [0, 0, 0]
    barrier = synchronize.Barrier(1, None, 5, ctx=CONTEXTS["ours"])
    assert isinstance(barrier, threading.Barrier)
    assert (barrier.parties, barrier.n_waiting, barrier.broken, barrier.wait()) == (1, 0, False, 0)


def test_semlock_tells_what_futures_and_standard_queues_ask() -> None:
    for lock in (procession.Lock(), procession.RLock()):
        assert (lock._semlock._get_value(), lock._semlock._is_zero(), lock._semlock._count()) == (1, False, 0)
        with lock:
            assert (lock._semlock._get_value(), lock._semlock._is_zero(), lock._semlock._count()) == (0, True, 1)
            assert lock._semlock._is_mine()
    semaphore = procession.BoundedSemaphore(1)
    assert (semaphore.locked(), semaphore._semlock._is_zero(), semaphore._semlock.maxvalue) == (False, False, 1)
    semaphore.acquire()
    assert (semaphore.locked(), semaphore._semlock._is_zero(), semaphore._semlock._get_value()) == (True, True, 0)
    assert synchronize.SEM_VALUE_MAX == standard_synchronize.SEM_VALUE_MAX  # type: ignore[attr-defined]
    assert isinstance(semaphore, synchronize.SemLock)


class NamedLock(synchronize.Lock):
    """As one derives from the standard class."""

    def __init__(self, ctx: Any = None) -> None:
        super().__init__(ctx=ctx)
        self.label = "mine"


class Three(synchronize.Semaphore):
    def __init__(self) -> None:
        super().__init__(3)


def test_subclasses_with_a_constructor() -> None:
    for lock in (NamedLock(), NamedLock(ctx=CONTEXTS["ours"]), NamedLock(ctx=CONTEXTS["standard"])):
        assert lock.label == "mine"
        assert lock.acquire(False)
    with pytest.raises(TypeError, match=r"Three.__new__ has to be given the value as well, 3"):
        Three()


# C data


@pytest.mark.parametrize("context", CONTEXTS)
def test_values_take_a_context(context: str) -> None:
    ctx = CONTEXTS[context]
    value = sharedctypes.Value("i", 3, ctx=ctx)
    array = sharedctypes.Array("i", [1, 2], lock=True, ctx=ctx)
    assert (value.value, array[:]) == (3, [1, 2])
    for made in (value, array, value.get_lock()):
        assert made.arena.shared is (context != "thread")
    wrapped = sharedctypes.synchronized(sharedctypes.RawValue("d", 1.5), ctx=ctx)
    assert wrapped.value == 1.5
    assert type(wrapped.get_lock()) is type(ctx.RLock())


def test_values_are_of_the_standard_classes() -> None:
    wanted = {"i": "Synchronized", "c": "SynchronizedString"}
    value, array, text = procession.Value("i"), procession.Array("i", 2), procession.Array("c", b"abc")
    for made, name in ((value, wanted["i"]), (array, "SynchronizedArray"), (text, wanted["c"])):
        for module in (standard_sharedctypes, sharedctypes):
            assert isinstance(made, getattr(module, name))
            assert isinstance(made, module.SynchronizedBase)
        assert made._lock is made.get_lock()
        with pytest.raises(AssertionError, match="already synchronized"):
            sharedctypes.synchronized(made)
    assert not isinstance(array, standard_sharedctypes.SynchronizedString)
    assert (text.value, text.raw, text[:2]) == (b"abc", b"abc", b"ab")
    assert value._obj.value == 0


# Connections


def test_connection_of_a_descriptor() -> None:
    reading, writing = os.pipe()
    with (
        connection.Connection(reading, writable=False) as here,
        connection.Connection(writing, readable=False) as there,
    ):
        assert isinstance(here, standard_connection.Connection)
        there.send([1, 2])
        assert connection.wait([here], 30) == [here]
        assert here.recv() == [1, 2]
        rebuild, arguments = connection.reduce_connection(procession.Pipe()[0])
        assert rebuild(*arguments[:-1], arguments[-1]).recv is not None
    with pytest.raises(ValueError, match="invalid handle"):
        connection.Connection(-1)
    a, _b = procession.Pipe()
    assert isinstance(a, connection.Connection)


@pytest.mark.parametrize("family", ["AF_INET", "AF_UNIX"])
def test_listener_and_client(family: str) -> None:
    with connection.Listener(family=family, authkey=b"key") as listener:
        assert connection.address_type(listener.address) == family
        made: list[Any] = []
        thread = threading.Thread(target=lambda: made.append(connection.Client(listener.address, authkey=b"key")))
        thread.start()
        with listener.accept() as there:
            thread.join()
            with made[0] as here:
                here.send("through a socket")
                assert connection.wait([there], 30) == [there]
                assert there.recv() == "through a socket"


def test_wait_refuses_what_has_no_descriptor() -> None:
    for thing in (object(), None, "x", -1):
        with pytest.raises(ValueError, match="cannot wait for"):
            connection.wait([thing], 0)
    a, b = procession.Pipe()
    a.close()
    with pytest.raises(OSError, match="closed"):
        connection.wait([a, b], 0)
    assert connection.wait([b], -1) == [b]  # its other end is gone
    b.close()
    assert connection.wait([], 0) == []
