"""Value and Array: what multiprocessing's do, in shared memory, and one step each for what it cannot do in one."""

import ctypes
import gc
import multiprocessing
import multiprocessing.sharedctypes
import threading
from typing import Any

import numpy as np
import pytest

from procession import _native, _store, sharedctypes
from procession.sharedctypes import Array, RawArray, RawValue, Value, copy, synchronized
from procession.synchronize import Lock, RLock

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


# Value


@pytest.mark.parametrize("code", INTEGERS)
def test_integers_have_the_range_of_their_type_and_wrap_around(code: str) -> None:
    type_ = sharedctypes.typecode_to_type[code]
    for number in (0, 1, -1, 127, 128, 255, 256, 2**15, 2**31, 2**32, 2**63, 2**64 - 1, 2**64, -(2**63), 10**30):
        assert Value(code, number).value == type_(number).value
        value = Value(type_)
        value.value = number
        assert value.value == type_(number).value
        assert value.get_obj().value == type_(number).value
    with pytest.raises(TypeError):
        Value(code, 1.5)
    with pytest.raises(TypeError):
        Value(code, "1")
    with pytest.raises(TypeError):
        Value(code).value = None
    assert Value(code, np.int32(3)).value == 3
    assert Value(code, True).value == 1


@pytest.mark.parametrize("code", "fd")
def test_floats(code: str) -> None:
    type_ = sharedctypes.typecode_to_type[code]
    for number in (0.0, -0.0, 1.1, float("inf"), 1e300 if code == "d" else 1e30, 3, True):
        assert repr(Value(code, number).value) == repr(type_(number).value)
    with pytest.raises(TypeError):
        Value(code, "1")


def test_bool_and_characters() -> None:
    flag = Value("?", True)
    assert flag.value is True
    flag.value = []
    assert flag.value is False
    char = Value("c", b"x")
    assert char.value == b"x"
    char.value = 65
    assert char.value == b"A"
    char.value = bytearray(b"z")
    assert char.value == b"z"
    wide = Value("u", "é")
    wide.value = "😀"
    assert wide.value == "😀"
    for value, bad in ((char, b"ab"), (char, "a"), (char, 256), (wide, "ab"), (wide, b"a"), (wide, "")):
        with pytest.raises(TypeError):
            value.value = bad


def test_ctypes_types_are_the_typecodes_they_stand_for() -> None:
    assert isinstance(Value(ctypes.c_int32, 3), _native.Value)
    assert isinstance(Value(ctypes.c_size_t, 3), _native.Value)
    assert isinstance(Value(ctypes.c_bool), _native.Value)
    assert type(Value(ctypes.c_int).get_obj()) is ctypes.c_int
    assert type(Value(ctypes.c_longlong).get_obj()) is ctypes.c_longlong


def test_wrong_types_and_typecodes() -> None:
    for make in (Value, RawValue):
        with pytest.raises(ValueError, match=r"no typecode 'z'.*'?c'?.*d"):
            make("z")
        with pytest.raises(TypeError):
            make(int)
        with pytest.raises(TypeError):
            make(None)
        with pytest.raises(TypeError):
            make("i", 1, 2)
    with pytest.raises(ValueError, match="no typecode"):
        Array("ii", 3)
    with pytest.raises(ValueError, match="negative"):
        Array("i", -1)
    with pytest.raises(ValueError, match="negative"):
        RawArray("i", -1)
    with pytest.raises(AttributeError, match="acquire"):
        Value("i", lock="no lock")
    with pytest.raises(AttributeError):
        del Value("i").value


@pytest.mark.parametrize("code", INTEGERS)
def test_one_step_changes_return_what_was_there(code: str) -> None:
    value = Value(code, 5)
    assert value.add(3) == 5
    assert value.exchange(20) == 8
    assert not value.compare_exchange(8, 1)
    assert value.compare_exchange(20, 1)
    assert value.value == 1
    assert value.add(-1) == 1
    old = value.add(-1)
    assert old == 0
    assert value.value == sharedctypes.typecode_to_type[code](-1).value
    with pytest.raises(TypeError):
        value.add(1.5)


def test_one_step_changes_are_for_integers() -> None:
    for code in "fdcu?":
        with pytest.raises(TypeError, match="integer"):
            Value(code).add(1)


def _add(value: Any, times: int) -> None:
    for i in range(times):
        if i % 2:
            value.add(1)
        else:
            with value.get_lock():
                value.value += 1


def test_no_addition_is_lost_among_processes_and_threads() -> None:
    value = Value("q")
    processes = [fork.Process(target=_add, args=(value, 3000)) for _ in range(2)]
    threads = [threading.Thread(target=_add, args=(value, 3000)) for _ in range(2)]
    for worker in processes + threads:
        worker.start()
    for worker in processes + threads:
        worker.join()
    assert value.value == 4 * 3000


# The lock


def test_the_lock_is_recursive_by_default_and_may_be_given() -> None:
    value = Value("i", 1)
    assert isinstance(value.get_lock(), RLock)
    assert value.get_lock() is value.get_lock()
    with value, value.get_lock():
        value.value += 1
        assert value.acquire(timeout=0)
        value.release()
    assert value.value == 2
    arena = _store.shared_arena()
    for lock in (Lock(arena=arena), RLock(arena=arena)):
        assert Value("i", lock=lock).get_lock() is lock
        assert Array("i", 3, lock=lock).get_lock() is lock
        assert Value(Point, lock=lock).get_lock() is lock
    with Value("i", lock=Lock(arena=arena)) as held:
        assert held is True
    assert isinstance(Value("i", 3, lock=False), ctypes.c_int)
    assert isinstance(Array("i", 3, lock=False), ctypes.Array)
    foreign = threading.RLock()
    assert Value("i", 7, lock=foreign).get_lock() is foreign


def _waits_for_the_lock(access: Any, lock: Any) -> None:
    """Check that `access` waits while another thread holds the lock, and only then."""
    done = threading.Event()

    def other() -> None:
        access()
        done.set()

    thread = threading.Thread(target=other)
    with lock:
        thread.start()
        assert not done.wait(0.05)
    thread.join()
    assert done.is_set()


def test_every_access_waits_while_another_holds_the_lock() -> None:
    value, array, text = Value("i"), Array("i", 3), Array("c", b"abc")
    for access in (lambda: value.value, lambda: setattr(value, "value", 3), lambda: value.add(1)):
        _waits_for_the_lock(access, value.get_lock())
    for access in (lambda: array[0], lambda: array[:], lambda: array.__setitem__(0, 3), lambda: list(array)):
        _waits_for_the_lock(access, array.get_lock())
    for access in (lambda: text.value, lambda: text.raw, lambda: setattr(text, "value", b"x")):
        _waits_for_the_lock(access, text.get_lock())
    assert (value.value, array[:]) == (4, [3, 0, 0])


# Array


@pytest.mark.parametrize("code", [*INTEGERS, *"fd?"])
def test_arrays_are_lists_of_fixed_length(code: str) -> None:
    zero = Value(code).value
    array = Array(code, 5)
    assert len(array) == 5
    assert array[:] == [zero] * 5
    array = Array(code, [1, 0, 1, 1])
    model = [Value(code, number).value for number in (1, 0, 1, 1)]
    assert list(array) == array[:] == model
    assert type(array[0]) is type(zero)
    for index in (slice(None), slice(1, 3), slice(None, None, -1), slice(-3, None, 2), slice(2, 2), slice(10, 0, -2)):
        assert array[index] == model[index]
    assert array[-1] == model[-1]
    array[1:3] = [1, 0]
    array[-1] = 0
    assert array[:] == [Value(code, number).value for number in (1, 1, 0, 0)]
    array[::-2] = (1, 0)
    assert [bool(x) for x in array] == [True, False, False, True]


def test_array_errors() -> None:
    array = Array("i", range(3))
    for index in (3, -4, 10**30):
        with pytest.raises(IndexError):
            array[index]
        with pytest.raises(IndexError):
            array[index] = 1
    for bad in ("0", 1.0, None):
        with pytest.raises(TypeError):
            array[bad]
    with pytest.raises(ValueError, match="same size"):
        array[:] = [1]
    with pytest.raises(TypeError):
        array[:] = [1, 2, "three"]
    assert array[:] == [0, 1, 2]  # converted before anything is stored
    with pytest.raises(TypeError):
        array[0] = 1.5
    with pytest.raises(TypeError):
        del array[0]
    assert not hasattr(array, "value")
    assert Array("i", 0)[:] == []
    assert Array("d", (x / 2 for x in range(3)))[:] == [0.0, 0.5, 1.0]
    assert 2 in array
    assert 5 not in array


def test_arrays_of_characters_are_strings() -> None:
    array = Array("c", b"hello\0world")
    assert array.value == b"hello"
    assert array.raw == b"hello\0world"
    assert array[1] == b"e"
    assert array[:5] == b"hello"
    assert list(array)[:2] == [b"h", b"e"]
    array.value = b"bye"
    assert (array.value, array.raw) == (b"bye", b"bye\0o\0world")
    array.raw = b"HELLO WORLD"
    array[0] = b"J"
    array[1:3] = b"EL"
    assert array.value == b"JELLO WORLD"
    for bad in (b"x" * 12, "text"):
        with pytest.raises((ValueError, TypeError)):
            array.value = bad
    with pytest.raises(ValueError, match="too long"):
        array.raw = b"x" * 12
    assert array.value == b"JELLO WORLD"
    model, ours = STANDARD_STRING, Array("c", 10)
    for text in (b"0123456789", b"abc", b""):
        model.value = ours.value = text
        assert (ours.value, ours.raw) == (model.value, model.raw)


def test_arrays_of_wide_characters() -> None:
    array = Array("u", "héllo😀")
    assert array[:] == "héllo😀"
    assert array[::-1] == "héllo😀"[::-1]
    assert array[1] == "é"
    array[0] = "j"
    assert array.get_obj().value == "jéllo😀"


@pytest.mark.parametrize("code", [*INTEGERS, *"fd?"])
def test_numpy_sees_the_array_in_place(code: str) -> None:
    array = Array(code, [1, 0, 1])
    view = np.asarray(array)
    assert view.dtype == np.dtype(sharedctypes.typecode_to_type[code])
    assert view.shape == (3,)
    view[1] = 1
    assert array[:] == [Value(code, 1).value] * 3
    exported = memoryview(array)
    assert (exported.format, exported.itemsize, exported.readonly) == (code, view.itemsize, False)
    del array
    gc.collect()
    assert view[0] == 1  # the view keeps the memory


def test_get_obj_is_the_same_memory() -> None:
    value, array, text = Value("d", 1.5), Array("h", [1, 2]), Array("c", 5)
    value.get_obj().value = 2.5
    array.get_obj()[1] = 7
    text.get_obj().value = b"abc"
    assert (value.value, array[:], text.value) == (2.5, [1, 7], b"abc")
    assert isinstance(array.get_obj(), ctypes.c_short * 2)


# Raw and structured


def test_raw_values_and_arrays_are_ctypes_objects() -> None:
    value = RawValue("i", 7)
    assert (type(value), value.value) == (ctypes.c_int, 7)
    array = RawArray("d", [1, 2])
    assert (type(array), array[:]) == (ctypes.c_double * 2, [1.0, 2.0])
    assert RawArray("i", 3)[:] == [0, 0, 0]
    point = RawValue(Point, 1, 2)
    assert (point.x, point.y) == (1, 2)
    assert RawArray(Point, [(1, 2), (3, 4)])[1].y == 4


def test_structures_have_a_wrapper_with_their_fields() -> None:
    point = Value(Point3, 1.5, 2.5)
    point.x, point.z = 9, 3
    assert (point.x, point.y, point.z) == (9, 2.5, 3)
    assert isinstance(point, multiprocessing.sharedctypes.SynchronizedBase)
    points = Array(Point, [(1, 2), (3, 4)])
    assert (len(points), points[1].x) == (2, 3)
    points[0] = Point(7, 8)
    assert [(p.x, p.y) for p in points] == [(7, 8), (3, 4)]


def test_copy_and_synchronized() -> None:
    original = RawArray("i", [1, 2, 3])
    duplicate = copy(original)
    original[0] = 9
    assert duplicate[:] == [1, 2, 3]
    assert copy(ctypes.c_int(4)).value == 4
    wrapped = synchronized(original)
    assert isinstance(wrapped, multiprocessing.sharedctypes.SynchronizedArray)
    assert wrapped[:] == [9, 2, 3]
    with pytest.raises(AssertionError):
        synchronized(wrapped)
    with pytest.raises(AssertionError):
        synchronized(Value("i"))
    text = synchronized(RawArray("c", b"abc"))
    text.value = b"xy"
    assert text.value == b"xy"
    foreign = synchronized(ctypes.c_int(3), threading.RLock())
    assert foreign.value == 3
