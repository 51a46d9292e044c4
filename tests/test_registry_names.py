"""Names of shared objects, and the line that made them: seen by everybody who has the object."""

import ctypes
import inspect
import multiprocessing
import sys
from typing import Any

import pytest

import procession
from procession import _native

THIS = __file__


def line() -> int:
    caller = inspect.stack()[1]
    return caller.lineno


class Structure(ctypes.Structure):
    _fields_ = [("x", ctypes.c_int)]


MAKERS = {
    "Lock": procession.Lock,
    "RLock": procession.RLock,
    "Semaphore": procession.Semaphore,
    "BoundedSemaphore": procession.BoundedSemaphore,
    "Condition": procession.Condition,
    "Event": procession.Event,
    "Barrier": lambda: procession.Barrier(2),
    "Queue": procession.Queue,
    "JoinableQueue": procession.JoinableQueue,
    "SimpleQueue": procession.SimpleQueue,
    "Value": lambda: procession.Value("i"),
    "Array": lambda: procession.Array("i", 3),
    "wrapped": lambda: procession.Value(Structure),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_every_object_can_be_named(kind: str) -> None:
    thing: Any = MAKERS[kind]()
    assert thing.name is None
    thing.name = "the accounts 日本"
    assert thing.name == "the accounts 日本"
    thing.name = None
    assert thing.name is None


def test_a_name_is_text() -> None:
    with pytest.raises(TypeError):
        procession.Lock().name = 5  # type: ignore[assignment]


def test_both_ends_of_a_pipe_have_its_name() -> None:
    a, b = procession.Pipe()
    with a, b:
        assert a.name is None
        a.name = "orders"
        assert b.name == "orders"


def test_a_new_object_has_nothing_of_the_one_before_it() -> None:
    lock = procession.Lock()
    lock.name = "old"
    address = lock.address
    del lock
    event = procession.Event()
    assert event.address[0] == address[0], "the block is used again"
    assert event.name is None


def test_the_line_that_made_it() -> None:
    lock, made = procession.Lock(), line()
    assert _native.site_of(lock) == f"{THIS}:{made} in test_the_line_that_made_it"


def made_in_here() -> Any:
    return procession.get_context("thread").Lock()


def test_a_line_is_told_apart_from_its_neighbours_and_from_its_callers() -> None:
    one, first = procession.Event(), line()
    other, second = procession.Event(), line()
    assert first != second
    assert (_native.site_of(one) or "").startswith(f"{THIS}:{first} in ")
    assert (_native.site_of(other) or "").startswith(f"{THIS}:{second} in ")
    assert (_native.site_of(made_in_here()) or "").endswith(" in made_in_here")


def test_what_is_no_object_of_ours_has_no_line() -> None:
    assert _native.site_of(multiprocessing.Lock()) is None
    assert _native.site_of(5) is None


def test_code_that_is_gone_is_not_mistaken_for_new_code() -> None:
    seen = set()
    for number in range(300):  # each compiled code takes the place of the one before
        space: dict[str, Any] = {"procession": procession}
        exec(compile("lock = procession.Lock()", f"/nowhere/{number}.py", "exec"), space)
        seen.add(_native.site_of(space["lock"]))
    assert seen == {f"/nowhere/{number}.py:1 in <module>" for number in range(300)}


def test_an_exception_under_way_is_left_alone() -> None:
    try:
        raise KeyError("first")
    except KeyError:
        lock = procession.Lock()
        assert isinstance(sys.exc_info()[1], KeyError)
    assert _native.site_of(lock) is not None


def tell(lock: Any, queue: Any) -> None:
    event = procession.Event()
    event.name = "made by a child"
    queue.put((lock.name, _native.site_of(event), event))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_names_and_lines_are_the_same_everywhere(method: str) -> None:
    context = procession.get_context(method)
    lock, queue = context.Lock(), context.Queue()
    lock.name = "accounts"
    child = context.Process(target=tell, args=(lock, queue))
    child.start()
    name, site, event = queue.get(timeout=20)
    assert name == "accounts"
    assert site.startswith(THIS)
    assert site.endswith(" in tell")
    assert (event.name, _native.site_of(event)) == ("made by a child", site)
    child.join()
