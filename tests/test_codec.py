"""The codec: what goes in comes out, with its type and its identities; what cannot, says which part and where."""

import contextlib
import gc
import math
import random
import sys
from typing import Any

import numpy as np
import pytest

from procession import _native
from procession.errors import UnpicklingError

KIB = 1024
OUT_OF_BAND = 64 * KIB  # bytes
PICKLE_TAG = 0x1F


def round_trip(obj: Any) -> Any:
    data, buffers = _native.encode(obj)
    return _native.decode(data, buffers)


def is_pickled(obj: Any) -> bool:
    return _native.encode(obj)[0][0] == PICKLE_TAG


def same(a: Any, b: Any) -> bool:
    """Equal in value and in exact type, all the way down."""
    if type(a) is not type(b):
        return False
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return same(list(a.items()), list(b.items()))
    if isinstance(a, float):
        return repr(a) == repr(b)
    return bool(a == b)


# Plain values

PLAIN = [
    None,
    True,
    False,
    *(sign * 2**bits + step for bits in (0, 5, 6, 7, 8, 15, 16, 31, 32, 62) for step in (-1, 0, 1) for sign in (1, -1)),
    2**63 - 1,
    -(2**63),
    2**63,
    2**64 - 1,
    0.0,
    -0.0,
    1e-320,
    math.inf,
    -math.inf,
    math.nan,
    "",
    "a",
    "é",
    "日本語",
    "😀" * 20,
    "\0",
    *("x" * n for n in (63, 64, 65, 4095, 4096, 100_000)),
    "ü" * 5000,
    b"",
    b"\0",
    *(b"x" * n for n in (255, 256, 4096, OUT_OF_BAND - 1, OUT_OF_BAND, OUT_OF_BAND + 1)),
    bytearray(b"abc"),
    bytearray(OUT_OF_BAND),
    (),
    [],
    {},
    (1,),
    (1, "two", 3.0, None, b"five", [6], {"seven": (8,)}),
    [[], [[]], ()],
    list(range(300)),
    tuple(range(300)),
    {"b": 1, "a": 2, "c": {"b": 3}},
    {1: "one", (2, "x"): "tuple", None: 0, 1.5: [], b"k": True, True + 2: "three"},
    {str(i): i for i in range(300)},
    {"k" * n: n for n in range(70)},
]


@pytest.mark.parametrize("obj", PLAIN, ids=lambda obj: repr(obj)[:30])
def test_plain_values_survive_without_pickle(obj: Any) -> None:
    assert same(round_trip(obj), obj)
    assert not is_pickled(obj)


def test_order_of_a_dict_is_kept() -> None:
    keys = [str(i) for i in range(50)]
    random.Random(1).shuffle(keys)
    assert list(round_trip(dict.fromkeys(keys))) == keys


def test_decoded_keys_are_shared() -> None:
    first, second = (next(iter(round_trip({"some_key_" + str(1): i}))) for i in range(2))
    assert first is second


def test_keys_that_collide_in_the_cache_are_told_apart() -> None:
    for _ in range(2):
        for i in range(20_000):
            key = f"key{i}"
            assert round_trip({key: i}) == {key: i}


# Identity


def test_the_same_list_twice_stays_one_list() -> None:
    inner: list[int] = []
    for message in ([inner, inner], (inner, inner), {"a": inner, "b": inner}, [(inner,), {"x": [inner]}]):
        result = round_trip(message)
        found = [x for x in gc.get_referents(result) if isinstance(x, list)] or [result[0][0], result[1]["x"][0]]
        assert found[0] is found[1]


def test_a_dict_and_a_bytearray_twice() -> None:
    for inner in ({"a": 1}, bytearray(b"abc"), bytearray(OUT_OF_BAND)):
        first, second = round_trip([inner, inner])
        assert first is second
        assert first == inner


def test_a_list_inside_a_tuple_that_occurs_twice() -> None:
    pair = ([1],)  # the only reference to the list is the tuple's, but the tuple occurs twice
    first, second = round_trip((pair, pair))
    assert first[0] is second[0]
    first, second = round_trip([(0, pair), {"x": pair}])
    assert first[1][0] is second["x"][0]


def test_recursive_containers() -> None:
    ring: list[Any] = [1]
    ring.append(ring)
    result = round_trip(ring)
    assert result[1] is result
    loop: dict[str, Any] = {}
    loop["me"] = [(loop,)]
    result = round_trip(loop)
    assert result["me"][0][0] is result
    held: tuple[Any, ...] = ([],)
    held[0].append(held)
    result = round_trip(held)
    assert result[0][0] is result


def test_distinct_equal_containers_stay_distinct() -> None:
    rows = [[0] for _ in range(3)]
    result = round_trip(rows)
    result[0].append(1)
    assert result == [[0, 1], [0], [0]]
    held = [[0] for _ in range(100)]
    message = {"held": held, "rows": list(held)}  # every row is referred to twice, more rows than are looked through
    result = round_trip(message)
    assert all(a is b for a, b in zip(result["held"], result["rows"], strict=True))


def test_containers_also_held_elsewhere_need_no_pickle() -> None:
    row, table = [1, 2], {"a": 1}
    assert not is_pickled([row, table, (row[0],)])


def test_a_large_bytes_twice_is_written_once() -> None:
    big = bytes(1 << 20)
    data, buffers = _native.encode([big] * 50)
    assert len(data) + sum(map(len, buffers)) < 2 * len(big)
    first, *rest = _native.decode(data, buffers)
    assert all(other is first for other in rest)


def test_an_encoded_message_is_a_snapshot() -> None:
    obj = {"list": [1, 2], "bytes": bytearray(b"abc")}
    data, buffers = _native.encode(obj)
    obj["list"].append(3)
    obj["bytes"][0] = 0
    assert _native.decode(data, buffers) == {"list": [1, 2], "bytes": bytearray(b"abc")}


# Decoding


def test_a_missing_buffer_or_one_too_many() -> None:
    data, buffers = _native.encode(bytes(OUT_OF_BAND))
    with pytest.raises(UnpicklingError):
        _native.decode(data)
    with pytest.raises(UnpicklingError):
        _native.decode(data, buffers * 2)
    with pytest.raises(UnpicklingError):
        _native.decode(_native.encode(np.zeros(100_000))[0])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x20",
        b"\x81\x81",
        b"\x05\x00",
        b"\x08\xff\xff\xff\xff",
        b"\x11\xff\xff\xff\xff\x00",
        b"\x13\xff\xff\xff\x7f\x00\x00",
        b"\x12\x01\x10\x00\x00",  # a dict whose key is a list
        b"\x41\xff",  # no UTF-8
        b"\x10\x01" * 100_000 + b"\x00",
        b"\x1f",
        b"\x1f\x80\x05garbage",
    ],
    ids=repr,
)
def test_bytes_that_are_no_message(data: bytes) -> None:
    with pytest.raises(UnpicklingError):
        _native.decode(data)


def test_random_mutations_give_an_object_or_an_error() -> None:
    chance = random.Random(20261122)
    seeds = [_native.encode(obj)[0] for obj in PLAIN if len(_native.encode(obj)[0]) < 2000]
    assert all(seed[0] != PICKLE_TAG for seed in seeds)
    for _ in range(100_000):
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.randrange(1, 4)):
            match chance.randrange(3):
                case 0 if data:
                    data[chance.randrange(len(data))] = chance.randrange(256)
                case 1 if data:
                    del data[chance.randrange(len(data)) :]
                case _:
                    data.insert(chance.randrange(len(data) + 1), chance.randrange(256))
        if data[:1] != bytes([PICKLE_TAG]):  # what a mutated pickle does is pickle's business
            with contextlib.suppress(UnpicklingError):
                _native.decode(bytes(data), [b"block"])


def test_nothing_leaks() -> None:
    message = {"a": [1.5, ("x" * 100,), 2**40], "b": {b"k" * 10: [[]]}}

    def cycle() -> int:
        for _ in range(200):
            assert round_trip(message) == message
            round_trip({frozenset((1, 2))})
            with pytest.raises(UnpicklingError):
                _native.decode(_native.encode(message)[0][:-1])
        gc.collect()
        return sys.getallocatedblocks()

    cycle()
    before = cycle()
    assert cycle() - before < 100
