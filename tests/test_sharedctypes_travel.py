"""Values and arrays on their way to other processes, and what is left when nobody has them any more."""

import ctypes
import gc
import multiprocessing
import multiprocessing.sharedctypes
import pickle
import threading
from typing import Any

import numpy as np
import pytest

from procession import _native, _store
from procession.errors import AbandonedLockWarning, NotShared
from procession.sharedctypes import Array, RawArray, RawValue, Value
from procession.synchronize import Lock

fork = multiprocessing.get_context("fork")
spawn = multiprocessing.get_context("spawn")

INTEGERS = "bBhHiIlLqQ"

# Made here because the standard library keeps the file of its first shared object open for good.
STANDARD_STRING = multiprocessing.Array("c", 10)


def run(context: Any, target: Any, *args: Any) -> None:
    process = context.Process(target=target, args=args)
    process.start()
    process.join(20)
    if process.exitcode is None:
        process.kill()
        process.join()
    assert process.exitcode == 0


class Point(ctypes.Structure):
    _fields_ = [("x", ctypes.c_double), ("y", ctypes.c_double)]


class Point3(Point):
    _fields_ = [("z", ctypes.c_int)]


# Travelling


def _change(things: dict[str, Any]) -> None:
    with things["value"].get_lock():
        things["value"].value += 1
    things["array"][1] = 7
    things["text"].value = b"from child"
    things["raw"].value = 5
    things["raw_array"][:] = [3, 2, 1]
    with things["point"]:
        things["point"].x *= 2
    things["points"][1].y = 1.0
    things["obj"][0] = 4


@pytest.mark.parametrize("context", [fork, spawn], ids=["fork", "spawn"])
def test_a_child_changes_what_it_was_given(context: Any) -> None:
    things = {
        "value": Value("i", 1),
        "array": Array("d", 3),
        "text": Array("c", 20),
        "raw": RawValue("h"),
        "raw_array": RawArray("i", 3),
        "point": Value(Point, 1.5, 0),
        "points": RawArray(Point, 2),
        "obj": Array("i", 2).get_obj(),
    }
    run(context, _change, things)
    assert things["value"].value == 2
    assert things["array"][:] == [0.0, 7.0, 0.0]
    assert things["text"].value == b"from child"
    assert things["raw"].value == 5
    assert things["raw_array"][:] == [3, 2, 1]
    assert things["point"].x == 3.0
    assert things["points"][1].y == 1.0
    assert things["obj"][:] == [4, 0]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Value("i", 1),
        lambda: Value("i", 1, lock=Lock(arena=_store.shared_arena())),
        lambda: RawValue("i", 1),
        lambda: Value(Point, 1, 1).get_obj(),
    ],
    ids=["value", "with a lock", "raw", "structure"],
)
def test_pickling_is_by_address_at_any_time(make: Any) -> None:
    original = make()
    for twin in (pickle.loads(_dumps(original)), _native.decode(*_native.encode([original]))[0]):
        field = "x" if isinstance(original, Point) else "value"
        setattr(original, field, 77)
        assert getattr(twin, field) == 77
        setattr(twin, field, 78)
        assert getattr(original, field) == 78
        if hasattr(original, "get_lock"):
            assert type(twin.get_lock()) is type(original.get_lock())
            with original.get_lock():
                _is_locked_elsewhere(twin)


def _dumps(obj: Any) -> bytes:
    from multiprocessing.reduction import ForkingPickler

    return bytes(ForkingPickler.dumps(obj))


def _is_locked_elsewhere(value: Any) -> None:
    taken: list[bool] = []
    thread = threading.Thread(target=lambda: taken.append(value.get_lock().acquire(block=False)))
    thread.start()
    thread.join()
    assert taken == [False]


def test_ordinary_ctypes_objects_are_pickled_as_ever() -> None:
    RawValue("i", 1)  # registers a reducer for c_int
    assert pickle.loads(_dumps(ctypes.c_int(5))).value == 5
    with pytest.raises(RuntimeError):  # the standard library's own, which only travels while spawning
        _dumps(multiprocessing.RawValue("i", 3))
    value = RawValue("i", 4)
    twin = pickle.loads(_dumps(value))  # after the standard library registered its reducer for the type
    assert twin.value == 4


def test_private_values_stay_in_their_process() -> None:
    arena = _store.private_arena()
    for thing in (Value("i", arena=arena), Array("i", 2, arena=arena), RawValue("i", arena=arena)):
        with pytest.raises(NotShared):
            _dumps(thing)


def test_memory_is_given_back() -> None:
    arena = _store.shared_arena()

    def objects() -> int:
        gc.collect()
        return arena.statistics()["objects"]

    before = objects()
    kept = [[Value("i"), Array("d", 1000), RawArray("c", 10), Value(Point)] for _ in range(50)]
    assert objects() > before
    for value, array, raw, point in kept:
        value.get_obj()
        np.asarray(array)
        pickle.loads(_dumps(raw))
        point.get_obj()
    del kept, value, array, raw, point
    assert objects() == before


def test_repr() -> None:
    assert repr(Value("i", 5)) == "<Value('i', 5)>"
    assert repr(Array("d", 3)) == "<Array('d', 3)>"


# Death


def _hold_and_report(value: Any, array: Any, ready: Any) -> None:
    value.get_lock().acquire()
    array.get_lock().acquire()
    value.value = 1
    ready.send(True)
    ready.recv()


def test_the_death_of_a_lock_holder_ends_the_wait() -> None:
    value, array = Value("i"), Array("i", [1, 2])
    here, there = fork.Pipe()
    process = fork.Process(target=_hold_and_report, args=(value, array, there))
    process.start()
    assert here.recv()
    process.kill()
    with pytest.warns(AbandonedLockWarning):
        assert value.value == 1
    with pytest.warns(AbandonedLockWarning):
        array[0] = 5
    assert (value.value, array[:]) == (1, [5, 2])
    process.join()
    process.close()
    here.close()
    there.close()
