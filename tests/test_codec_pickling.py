"""The part of the codec that is pickle's: other types, buffers, reducers, and errors that name the culprit."""

import array
import collections
import copyreg
import dataclasses
import datetime
import decimal
import enum
import functools
import pickle
import random
import sys
import threading
from multiprocessing import reduction
from typing import Any

import numpy as np
import pytest

from procession import _native
from procession.errors import NotShared, PicklingError, ProcessionError, UnpicklingError

KIB = 1024
OUT_OF_BAND = 64 * KIB  # bytes
PICKLE_TAG = 0x1F


def round_trip(obj: Any) -> Any:
    data, buffers = _native.encode(obj)
    return _native.decode(data, buffers)


def is_pickled(obj: Any) -> bool:
    return _native.encode(obj)[0][0] == PICKLE_TAG


class Point(collections.namedtuple("Point", "x y")):
    pass


class Text(str):
    pass


class Number(int):
    pass


class Colour(enum.IntEnum):
    RED = 1


@dataclasses.dataclass
class Job:
    name: str
    callback: Any = None


def module_function() -> str:
    return "called"


# Everything else is pickle's

PICKLED = [
    2**64,
    -(2**63) - 1,
    1 << 5000,
    "\ud800 lone",
    {"\udfff": 1},
    Point(1, 2),
    [Point([1], {"a": 2})],
    Text("text"),
    Number(7),
    Colour.RED,
    collections.OrderedDict(b=1, a=2),
    collections.defaultdict(list, a=[1]),
    collections.Counter("hello"),
    collections.deque([1, 2], maxlen=3),
    {1, 2},
    frozenset("a"),
    1j,
    range(5),
    slice(1, 2),
    Ellipsis,
    datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC),
    decimal.Decimal("1.5"),
    array.array("d", [1.5, 2.5]),
    Job("a", [1]),
    module_function,
    Point,
    functools.partial(int, base=2).func,
    list(range(10_000)),
    {i: i for i in range(5000)},
]


@pytest.mark.parametrize("obj", PICKLED, ids=lambda obj: repr(obj)[:30])
def test_everything_else_is_pickled_and_keeps_its_type(obj: Any) -> None:
    assert is_pickled(obj)
    assert is_pickled([obj])
    result = round_trip(obj)
    assert type(result) is type(obj)
    assert result == obj


def test_nested_deeper_than_the_limit() -> None:
    for depth in (15, 16, 17, 200):
        obj: Any = "bottom"
        for i in range(depth):
            obj = (obj,) if i % 2 else [obj]
        assert round_trip(obj) == obj  # a list never equals a tuple


def test_numpy_scalars_keep_their_type() -> None:
    for scalar in (np.int64(3), np.float64(1.5), np.bool_(True), np.str_("s")):
        result = round_trip([scalar])[0]
        assert type(result) is type(scalar)
        assert result == scalar


# Out-of-band buffers


def test_large_bytes_leave_the_message() -> None:
    big = random.Random(2).randbytes(3 << 20)
    data, buffers = _native.encode({"a": big, "b": [bytearray(big)], "c": b"small"})
    assert len(data) < 100
    assert [len(buffer) for buffer in buffers] == [len(big)] * 2
    result = _native.decode(data, buffers)
    assert result == {"a": big, "b": [bytearray(big)], "c": b"small"}
    assert (type(result["a"]), type(result["b"][0])) == (bytes, bytearray)


def test_numpy_arrays_arrive_as_writable_views() -> None:
    sent = np.arange(100_000, dtype=np.float64).reshape(100, 1000)
    data, buffers = _native.encode({"array": sent})
    assert len(data) < KIB
    received = _native.decode(data, buffers)["array"]
    assert np.array_equal(received, sent)
    assert np.shares_memory(received, np.frombuffer(buffers[0]))
    received[0, 0] = 7.0  # on the receiver's block, which is nobody else's
    assert sent[0, 0] == 0.0


def test_arrays_of_other_orders_and_small_ones() -> None:
    base = np.arange(60_000).reshape(200, 300)
    for sent in (np.asfortranarray(base), base[::2, ::3], base[:2, :2], base.astype("S5"), np.array(1.5)):
        received = round_trip(sent)
        assert np.array_equal(received, sent)
        assert received.dtype == sent.dtype


def test_memoryviews_keep_their_form_and_share_the_block() -> None:
    big = bytearray(range(256)) * 1024
    for view in (
        memoryview(b"small"),
        memoryview(bytearray(b"small")),
        memoryview(big),
        memoryview(bytes(big)),
        memoryview(big).cast("d"),
        memoryview(big).cast("B", (256, 1024)),
        memoryview(big).cast("h", (2, 4, 128 * 128)),
        memoryview(np.arange(10)),
    ):
        result = round_trip(view)
        assert type(result) is memoryview
        assert (result.format, result.shape, result.readonly) == (view.format, view.shape, view.readonly)
        assert result.tobytes() == view.tobytes()
    data, buffers = _native.encode(memoryview(big))
    result = _native.decode(data, buffers)
    buffers[0][0] = 99
    assert result[0] == 99


def test_memoryviews_with_gaps_are_copied() -> None:
    view = memoryview(bytes(range(100)))[::3]
    assert round_trip(view).tobytes() == view.tobytes()
    empty = memoryview(b"").cast("d")
    assert (round_trip(empty).format, round_trip(empty).nbytes) == ("d", 0)


def test_a_memoryview_of_records_cannot_be_sent() -> None:
    with pytest.raises(PicklingError, match="format"):
        _native.encode(memoryview(np.zeros(3, dtype="i4,f8")))


def test_a_pickle_buffer_arrives_as_a_view() -> None:
    result = round_trip(pickle.PickleBuffer(bytearray(OUT_OF_BAND)))
    assert type(result) is memoryview
    assert not result.readonly
    assert round_trip(pickle.PickleBuffer(b"x" * OUT_OF_BAND)).readonly
    assert round_trip(pickle.PickleBuffer(b"small")) == b"small"


def test_buffers_are_released_after_encoding() -> None:
    big = bytearray(OUT_OF_BAND)
    _native.encode([big, memoryview(big)[:10]])
    big.append(1)  # raises BufferError while anyone still holds an export
    with pytest.raises(PicklingError):
        _native.encode([bytearray(OUT_OF_BAND), memoryview(big), threading.Lock()])
    big.append(1)


# What cannot be pickled


def unpicklable(obj: Any, **options: Any) -> Any:
    with pytest.raises(PicklingError) as caught:
        _native.encode(obj, **options)
    return caught.value


def test_the_error_names_the_part_and_its_path() -> None:
    error = unpicklable({"jobs": [1, 2, 3, Job("x", threading.Lock())]})
    assert error.path == "['jobs'][3].callback"
    assert "_thread.lock" in str(error)
    assert error.path in str(error)
    assert isinstance(error, pickle.PicklingError)
    assert isinstance(error, ProcessionError)
    assert isinstance(error, TypeError)  # what pickle raises, and what programs catch
    assert isinstance(error.__cause__, TypeError)


def test_a_lambda_is_named_with_advice() -> None:
    error = unpicklable([lambda: 0])
    assert error.path == "[0]"
    assert "<lambda>" in str(error)
    assert "top level" in str(error)

    def local() -> None:
        pass

    assert isinstance(unpicklable(local), AttributeError)
    assert "top level" in str(unpicklable(local))


def test_what_travels_in_no_way_gets_no_advice_to_move_it() -> None:
    error = unpicklable([(number for number in ())])
    assert "generator" in str(error)
    assert "top level" not in str(error)


def test_a_name_that_the_main_module_lacks_is_named_with_advice() -> None:
    def late() -> None:
        pass

    main = sys.modules["__main__"]
    late.__module__, late.__qualname__ = "__main__", "late"
    main.late = late  # type: ignore[attr-defined]
    message, _ = _native.encode([late])
    del main.late  # type: ignore[attr-defined]
    with pytest.raises(UnpicklingError, match=r"attribute 'late' on <module .*above what starts processes"):
        _native.decode(message)


def test_paths_through_other_containers() -> None:
    lock = threading.Lock()
    assert unpicklable(lock).path == ""
    assert "lock" in unpicklable((1, {lock})).path
    assert unpicklable(functools.partial(print, 1, lock)).path
    assert unpicklable(Point(1, [lock])).path == "[1][0]"
    assert unpicklable(collections.OrderedDict(a=lock)).path == "['a']"


def test_an_error_of_reduce_is_the_cause() -> None:
    class Refuses:
        def __reduce__(self) -> Any:
            raise ValueError("not today")

    error = unpicklable([Refuses()])
    assert isinstance(error, ValueError)
    assert "not today" in str(error)


def test_an_interrupt_is_not_an_error_of_the_object() -> None:
    class Interrupts:
        def __reduce__(self) -> Any:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _native.encode([Interrupts()])
    assert round_trip({1, 2}) == {1, 2}


def test_nothing_is_left_behind_by_a_failure() -> None:
    for _ in range(3):
        unpicklable([1, 2, np.zeros(100_000), threading.Lock()])
        data, buffers = _native.encode([1, 2])
        assert (data, buffers) == _native.encode([1, 2])
        assert not buffers
        assert round_trip({1}) == {1}


def test_deep_nesting_is_an_error_not_a_crash() -> None:
    obj: list[Any] = []
    for _ in range(100_000):
        obj = [obj]
    assert isinstance(unpicklable(obj), RuntimeError)
    while obj:  # taken apart here, because destroying it at once recurses as well
        obj = obj.pop()


def test_functions_by_value_only_when_asked_for() -> None:
    factor = 3
    unpicklable(lambda x: x * factor)
    data, buffers = _native.encode((lambda x: x * factor, [1]), functions=True)
    function, _ = _native.decode(data, buffers)
    assert function(2) == 6
    assert _native.encode(module_function, functions=True) == _native.encode(module_function)
    assert unpicklable([lambda: 0, threading.Lock()], functions=True).path == "[1]"


def test_an_object_of_this_process_alone_says_so() -> None:
    with pytest.raises(NotShared):
        _native.encode([_native.Arena.private()])


# Reducers


class Registered:
    def __init__(self, value: int) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Registered) and other.value == self.value

    def __reduce__(self) -> Any:
        raise TypeError("only through a reducer")


def _reduce_registered(obj: Registered) -> Any:
    return Registered, (obj.value,)


def test_a_reducer_registered_later_counts() -> None:
    unpicklable(Registered(1))
    reduction.ForkingPickler.register(Registered, _reduce_registered)
    try:
        assert round_trip([Registered(5)]) == [Registered(5)]
    finally:
        del reduction.ForkingPickler._extra_reducers[Registered]  # type: ignore[attr-defined]
    unpicklable(Registered(1))
    copyreg.pickle(Registered, _reduce_registered)
    try:
        assert round_trip([Registered(6)]) == [Registered(6)]
    finally:
        del copyreg.dispatch_table[Registered]


def test_a_pickler_put_in_the_standard_ones_place(monkeypatch: pytest.MonkeyPatch) -> None:
    class Pickler(reduction.ForkingPickler):
        def reducer_override(self, obj: Any) -> Any:
            return (Registered, (42,)) if isinstance(obj, Registered) else NotImplemented

    monkeypatch.setattr(reduction, "ForkingPickler", Pickler)
    assert round_trip({"a": Registered(1)}) == {"a": Registered(42)}
    monkeypatch.undo()
    unpicklable(Registered(1))


def test_encoding_inside_an_encoding() -> None:
    class Nested:
        def __reduce__(self) -> Any:
            return _native.decode, _native.encode({"inner", 1})

    assert round_trip([Nested(), {2}]) == [{"inner", 1}, {2}]


def test_threads_encode_at_once() -> None:
    failures: list[Any] = []

    def work(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(2000):
            obj = [{chance.random()}, {"k" + str(chance.randrange(2000)): chance.randrange(1 << 70)}]
            if round_trip(obj) != obj:
                failures.append(obj)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


# Decoding


class Gone:
    pass


def test_a_failed_decoding_names_its_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    data, _ = _native.encode(Gone())
    monkeypatch.delattr(sys.modules[__name__], "Gone")
    with pytest.raises(UnpicklingError, match="Gone") as caught:
        _native.decode(data)
    assert isinstance(caught.value, AttributeError)
    assert isinstance(caught.value.__cause__, AttributeError)
