"""Value and Array whose data are in a file."""

import ctypes
import os
import pickle
import struct
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import pytest
from strangers import Stranger

import procession
from procession import _native, _registry, errors, sharedctypes
from procession._disk import header, homes


class Point(ctypes.Structure):
    """With a hole between its fields."""

    _fields_ = (("x", ctypes.c_double), ("n", ctypes.c_short), ("flags", ctypes.c_int, 3))


class Link(ctypes.Structure):
    _fields_ = (("next", ctypes.c_void_p),)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "home")


# What is stored


@pytest.mark.parametrize("code", sorted(set(sharedctypes.typecode_to_type) - {"c", "u"}))
def test_a_value_lasts(code: str, path: str) -> None:
    value = procession.Value(code, 1, path=path)
    value.value = 0 if code == "?" else 7
    value.close()
    again = procession.Value(code, 3, path=path)
    assert again.value == (0 if code == "?" else 7)
    assert isinstance(again, sharedctypes.SharedValue)
    assert sharedctypes.Value(code, path=path).value == again.value


def test_an_array_lasts_and_lies_at_4096(path: str) -> None:
    procession.Array("i", [1, 2, 3], path=path).close()
    assert Path(path).read_bytes()[4096:] == struct.pack("3i", 1, 2, 3)
    array = procession.Array("i", 3, path=path)
    array[1] = 9
    assert array[:] == [1, 9, 3]
    assert procession.Array("i", None, path=path)[:] == [1, 9, 3]  # of whatever length it has
    assert sharedctypes.Array("i", None, path=path)[:] == [1, 9, 3]
    assert procession.Array(ctypes.c_int, [4, 4, 4], path=path)[:] == [1, 9, 3]  # the items are for a new one


def test_characters(path: str) -> None:
    text = procession.Array("c", b"hello", path=path)
    assert (text.value, text.raw) == (b"hello", b"hello")
    wide = procession.Array("u", "höh", path=path + "u")
    assert wide[:] == "höh"


def test_an_empty_array(path: str) -> None:
    assert procession.Array("d", 0, path=path)[:] == []
    assert len(procession.Array("d", None, path=path)) == 0


def test_structures(path: str) -> None:
    point = procession.Value(Point, 1.5, 2, path=path)
    assert (point.x, point.n, point.path) == (1.5, 2, path)
    point.n = 3
    point.flush()
    assert isinstance(point, sharedctypes.SynchronizedBase)
    raw = procession.Value(Point, path=path, lock=False)
    assert (raw.n, raw.path) == (3, path)
    points = procession.Array(Point, [(1, 2), (3, 4)], path=path + "s")
    assert [(one.x, one.n) for one in points] == [(1, 2), (3, 4)]
    point.close()
    for use in (lambda: point.x), point.get_lock, lambda: point.acquire, point.get_obj:
        with pytest.raises(errors.Closed):
            use()


def test_a_structure_with_other_fields_is_another_type(path: str) -> None:
    procession.Value(Point, path=path).close()

    class Other(ctypes.Structure):
        _fields_ = (("x", ctypes.c_double), ("m", ctypes.c_short), ("flags", ctypes.c_int, 3))

    Other.__name__ = "Point"
    with pytest.raises(errors.HomeMismatch, match=r"n h @8.*m h @8"):
        procession.Value(Other, path=path)


@pytest.mark.parametrize("type_", [ctypes.c_char_p, ctypes.c_void_p, ctypes.py_object, Link, ctypes.c_void_p * 2])
def test_addresses_cannot_be_stored(type_: Any, path: str) -> None:
    with pytest.raises(errors.NotSupported, match="address in one process's memory"):
        procession.Value(type_, path=path)
    assert not os.path.exists(path)


# Who uses it


def test_programs_count_exactly(path: str) -> None:
    order = (
        f"value = procession.Value('q', path={path!r})\n"
        "for _ in range(3000):\n"
        "    with value.get_lock():\n"
        "        value.value += 1"
    )
    with Stranger() as one, Stranger() as two:
        one.tell(order)
        two.tell(order)
        assert one.answer() == two.answer() == (None, [])
        one.kill()
        assert procession.Value("q", path=path).value == 6000


def test_a_store_outlives_everybody(path: str) -> None:
    with Stranger() as other:
        other.do(f"value = procession.Value('q', path={path!r})\nvalue.value = 7")
        other.kill()
    assert procession.Value("q", path=path).value == 7


def test_a_killed_holder_of_its_lock_frees_it(path: str) -> None:
    value = procession.Value("i", path=path)
    with Stranger() as other:
        other.do(f"value = procession.Value('i', path={path!r})\nvalue.get_lock().acquire()\nvalue.value = 5")
        assert not value.get_lock().acquire(block=False)
        other.kill()
    with pytest.warns(errors.AbandonedLockWarning, match=f"process {other.pid}"):
        assert value.get_lock().acquire(timeout=20)
    value.get_lock().release()
    assert value.value == 5


def _add(value: Any, array: Any) -> None:
    for _ in range(100):
        value.add(1)
    with array.get_lock():
        array[0] += 1


def test_they_go_to_processes_by_their_path(process_context: Any, path: str) -> None:
    value, array = process_context.Value("i", path=path), process_context.Array("i", 2, path=path + "s")
    children = [process_context.Process(target=_add, args=(value, array)) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join()
        child.close()
    assert (value.value, array[0]) == (200, 2)


def test_the_thread_context_has_them_too(path: str) -> None:
    context = procession.get_context("thread")
    assert context.Value("i", 3, path=path).value == procession.Value("i", path=path).value == 3


@pytest.mark.parametrize("lock", [True, False, None, "own"])
def test_pickles(lock: Any, path: str) -> None:
    own = procession.RLock()
    for made in (
        procession.Value("i", 3, path=path, lock=own if lock == "own" else lock),
        procession.Value(Point, path=path + "p", lock=own if lock == "own" else lock),
        procession.Array("i", [3], path=path + "a", lock=own if lock == "own" else lock),
    ):
        again = pickle.loads(ForkingPickler.dumps(made))
        assert type(again) is type(made)
        if lock is not False:
            assert again.get_lock().address == made.get_lock().address
        if lock is True:
            assert pickle.loads(pickle.dumps(made.get_lock())).address == made.get_lock().address
    value = procession.Value("i", path=path, lock=own if lock == "own" else lock)
    again = pickle.loads(ForkingPickler.dumps(value))
    again.value = 8
    assert value.value == 8


def test_a_lock_of_its_own_is_used(path: str) -> None:
    lock = procession.Lock()
    value = procession.Value("i", path=path, lock=lock)
    assert value.get_lock() is lock
    with pytest.raises(AttributeError, match="has no method 'acquire'"):
        procession.Value("i", path=path, lock=3)


def test_a_copy_of_it_is_in_memory(path: str) -> None:
    value = procession.Value("i", 3, path=path)
    for original in value.get_obj(), procession.Value(Point, path=path + "p", lock=False):
        copy = sharedctypes.copy(original)
        assert copy._wrapper.arena.token == procession.Lock().arena.token
    sharedctypes.copy(value.get_obj()).value = 4
    assert value.value == 3


def test_numpy_sees_it_in_place(path: str) -> None:
    numpy = pytest.importorskip("numpy")
    array = procession.Array("d", 4, path=path)
    view = numpy.asarray(array)
    view[2] = 2.5
    assert array[2] == 2.5
    array.flush()
    assert list(numpy.memmap(path, "d", offset=4096)) == [0, 0, 2.5, 0]
    array.close()
    del array
    view[3] = 1.0  # the memory stays for the view
    assert procession.Array("d", 4, path=path)[3] == 1.0


def test_it_is_listed_under_its_path(path: str) -> None:
    with Stranger() as other:
        other.do(f"value = procession.Value('i', path={path!r})")
        assert path in [one.name for one in _registry.program(other.pid).objects]


def test_its_label_is_everybodys(path: str) -> None:
    one, two = procession.Value("i", path=path), procession.Value("i", path=path)
    assert one.name == path
    one.name = "balance"
    assert two.name == "balance"


# What is refused


def test_another_type_or_length(path: str) -> None:
    procession.Array("i", 3, path=path).close()
    for ask, words in (
        (lambda: procession.Array("i", 4, path=path), "3 x 'i'.*4 x 'i'"),
        (lambda: procession.Array("f", 3, path=path), "3 x 'i'.*3 x 'f'"),
        (lambda: procession.Value("i", path=path), "an Array of .* and a Value of type 'i'"),
        (lambda: procession.Lock(path=path), "an Array .* and a Lock was asked for"),
    ):
        with pytest.raises(errors.HomeMismatch, match=words):
            ask()


def test_wrong_arguments_leave_no_file(path: str) -> None:
    wrong: list[tuple[type[Exception], Callable[[], object]]] = [
        (TypeError, lambda: procession.Value("i", "x", path=path)),
        (TypeError, lambda: procession.Value("i", 1, 2, path=path)),
        (TypeError, lambda: procession.Array("i", [1, "x"], path=path)),
        (errors.WrongTypecode, lambda: procession.Value("y", path=path)),
        (errors.InvalidSize, lambda: procession.Array("i", -1, path=path)),
        (errors.InvalidSize, lambda: procession.Array("i", 1 << 61, path=path)),
        (FileNotFoundError, lambda: procession.Array("i", None, path=path)),
        (OSError, lambda: procession.Array("i", 1 << 58, path=path)),
    ]
    for kind, make in wrong:
        with pytest.raises(kind):
            make()
        assert not os.path.exists(path)
    Path(path).touch()
    with pytest.raises(TypeError):
        procession.Value("i", "x", path=path)
    assert Path(path).read_bytes() == b""  # the user's own empty file stays
    with pytest.raises(errors.HomeError, match="no length was given"):
        procession.Array("i", None, path=path)


def test_cut_off_anywhere_it_is_an_error(path: str) -> None:
    procession.Array("i", 100, path=path).close()
    whole = Path(path).read_bytes()
    assert len(whole) == 4096 + 400
    for length in (1, 7, 8, 12, 24, 40, 511, 512, 1024, 4095, 4096, 4097, 4495):
        Path(path).write_bytes(whole[:length])
        with pytest.raises(errors.HomeDamaged, match=f"{length} bytes"):
            procession.Array("i", 100, path=path)
        assert Path(path).read_bytes() == whole[:length]
    Path(path).write_bytes(whole + b"more")
    assert len(procession.Array("i", None, path=path)) == 100


def test_any_bit_of_the_header_that_changes_is_noticed(path: str) -> None:
    procession.Array("i", 100, path=path).close()
    whole = bytearray(Path(path).read_bytes())
    for at in (*range(48), 511):
        for bit in (1, 128):
            whole[at] ^= bit
            Path(path).write_bytes(whole)
            with pytest.raises((errors.HomeDamaged, errors.HomeTooNew, errors.NotAHome)):
                procession.Array("i", 100, path=path)
            whole[at] ^= bit


def test_a_full_disk_is_said_when_it_is_made(small_disk: Path) -> None:
    path = str(small_disk / "array")
    with pytest.raises(OSError, match="No space left") as caught:
        procession.Array("d", 1 << 20, path=path)
    assert caught.value.filename == path
    assert os.listdir(small_disk) == []
    array = procession.Array("d", 1 << 15, path=path)
    array[:] = range(1 << 15)
    assert array[-1] == (1 << 15) - 1
    array.flush()
    array.close()
    del array  # and with it the mapping, so that the disk can go


def test_flush_says_so_when_it_is_closed(path: str) -> None:
    value = procession.Value("i", path=path)
    value.flush()
    value.flush()
    value.close()
    for use in value.flush, (lambda: value.value), value.get_lock, lambda: value.add(1):
        with pytest.raises(errors.Closed):
            use()


# The parts


def test_a_mapping_ends_where_the_file_does(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(5000))
    with open(path, "r+b") as file:
        mapping = _native.Mapping(file.fileno(), 4096, 904)
        for offset, length in (4096, 905), (1, 1):
            with pytest.raises(ValueError, match=r"file has 5000 bytes|multiple of 4096"):
                _native.Mapping(file.fileno(), offset, length)
    memoryview(mapping)[:3] = b"abc"
    assert path.read_bytes()[4096:4100] == b"abc\0"
    assert len(mapping) == 904


def test_a_header_says_what_it_was_given(tmp_path: Path) -> None:
    file = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    for kind in header.KINDS:
        new = header.Header(kind, "d", 8, 0)
        header.write(file, new, is_finished=False)
        assert header.read(file, "file") is None
        header.write(file, new, is_finished=True)
        os.truncate(file, 4096)
        assert header.read(file, "file") == new
    os.close(file)
    with pytest.raises(ValueError, match="no kind 'shelf'"):
        header.Header("shelf")
    with pytest.raises(ValueError, match="472 bytes"):
        header.Header("value", "x" * 500)


def test_a_type_of_many_fields_fits(path: str) -> None:
    class Wide(ctypes.Structure):
        _fields_ = tuple((f"a_long_name_{i}", ctypes.c_int) for i in range(100))

    procession.Value(Wide, path=path).close()
    procession.Value(Wide, path=path).close()

    class Other(ctypes.Structure):
        _fields_ = tuple((f"a_long_name_{i if i < 99 else 'x'}", ctypes.c_int) for i in range(100))

    Other.__name__ = "Wide"
    with pytest.raises(errors.HomeMismatch):
        procession.Value(Other, path=path)


def test_named_objects_lie_in_the_users_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PROCESSION_HOME", str(tmp_path))
    assert homes.folder() == str(tmp_path)
    assert procession.Value("i", name="x").path == str(tmp_path / "value" / "x")
    assert procession.Array("i", 3, name="x").path == str(tmp_path / "array" / "x")


# Where it is


def test_a_link_to_nothing_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("there")
    value = procession.Value("q", 3, path=tmp_path / "link")
    assert value.path == str(tmp_path / "there")
    assert procession.Value("q", path=tmp_path / "there").value == 3
    value.unlink()
    assert (tmp_path / "link").is_symlink()
    assert not (tmp_path / "there").exists()


def test_who_removes_twice_leaves_the_next_one_alone(path: str) -> None:
    old = procession.Value("q", 1, path=path)
    old.unlink()
    procession.Value("q", 2, path=path).close()
    old.unlink()
    assert procession.Value("q", path=path).value == 2


@pytest.mark.parametrize(("wrong", "why"), [("", "is empty"), (b"\xff", "UTF-8"), ("a\0b", "null byte")])
def test_what_is_no_path(wrong: Any, why: str) -> None:
    for make in (procession.Lock, procession.Queue, lambda path: procession.Value("q", path=path)):
        with pytest.raises(ValueError, match=why):
            make(path=wrong)


def test_an_array_of_any_length_of_another_type(path: str) -> None:
    procession.Array("i", 10, path=path)
    with pytest.raises(errors.HomeMismatch, match="an Array of any length x 'd'"):
        procession.Array("d", None, path=path)
