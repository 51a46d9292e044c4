"""The answer of a keyed map-reduce as a Mapping, against the dict it was made of, and as columns."""

import collections
import datetime
import enum
import math
import pickle
import random
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from procession.gather.result import KeyedResult

WORDS = {"pear": 3, "apple": 1, "fig": 3, "": 7, "żółw": -2, "fi": 0}


class Colour(enum.IntEnum):
    RED = 1


def random_key(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.randrange(8 if depth < 2 else 7)
    number = rng.randrange(-10_000, 10_000)
    return [
        lambda: "k" * rng.randrange(12) + str(number),
        lambda: f"é\U0001f600{number}",
        lambda: number,
        lambda: (1 << 70) * number + 1,
        lambda: number / 7,
        lambda: bytes([number & 0xFF]) * rng.randrange(5),
        lambda: [None, True, False, "\udc80", math.inf][number % 5],
        lambda: tuple(random_key(rng, depth + 1) for _ in range(rng.randrange(4))),
    ][kind]()


def stored(entries: Mapping[Any, Any]) -> dict[tuple[type, Any], Any]:
    """Keys told apart by type, as a result does."""
    return {(type(key), repr(key)): value for key, value in entries.items()}


VALUES: dict[str, Any] = {
    "ints": lambda rng: rng.randrange(-(2**63), 2**63),
    "floats": lambda rng: rng.choice([rng.random(), math.inf, -0.0]),
    "ints beyond 64 bits": lambda rng: rng.randrange(-(2**80), 2**80),
    "of all kinds": lambda rng: rng.choice([1, 2.5, "text", b"bytes", None, True, (1, "a"), {"a": [1]}, {3}]),
    "lists": lambda rng: [rng.choice(["a", 1, None, [2]]) for _ in range(rng.randrange(4))],
    "sets": lambda rng: {rng.choice(["a", "b", 1, (2, "c"), None, b"d"]) for _ in range(rng.randrange(4))},
    "frozensets of anything": lambda rng: frozenset({datetime.date(2026, 11, rng.randrange(1, 30))}),
}


@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize("n", [0, 1, 2, 50, 3000])
def test_everything_is_as_in_the_dict(values: str, n: int) -> None:
    rng = random.Random(n)
    expected = {random_key(rng): VALUES[values](rng) for _ in range(n)}
    with KeyedResult.from_dict(expected) as result:
        assert len(result) == len(expected)
        assert stored(result) == stored(result.to_dict()) == stored(expected)
        for key, value in expected.items():
            assert result[key] == value
            assert result.get(key) == value
            assert key in result
        assert list(zip(result.keys(), result.values(), strict=True)) == list(result.items())
        assert list(result) == list(result.keys())
        for absent in ("absent", 10**6, -1.5, b"absent", ("absent",), 1 << 90):
            assert absent not in result
            assert result.get(absent) is None
            assert result.get(absent, 5) == 5


def test_a_missing_key_is_a_keyerror_and_an_unhashable_one_a_typeerror() -> None:
    result = KeyedResult.from_dict(WORDS)
    with pytest.raises(KeyError) as caught:
        result["plum"]
    assert caught.value.args == ("plum",)
    date = datetime.date(2026, 11, 22)
    assert date not in result
    with pytest.raises(KeyError):
        result[date]
    for ask in (result.__getitem__, result.get, result.__contains__):
        with pytest.raises(TypeError, match="unhashable"):
            ask(["pear"])


def test_types_tell_keys_apart_but_equal_objects_of_subclasses_are_found() -> None:
    result = KeyedResult.from_dict({1: "int", "1": "str", b"1": "bytes", 1.5: "float", (1, "a"): "tuple"})
    assert True not in result
    assert 1.0 not in result
    assert result[np.int64(1)] == result[Colour.RED] == "int"
    assert result[np.float64(1.5)] == "float"
    assert result[np.str_("1")] == "str"
    assert result[(np.int32(1), "a")] == "tuple"


def test_what_cannot_be_stored_says_so() -> None:
    with pytest.raises(TypeError, match=r"not datetime.date \(datetime.date\(2026, 11, 22\)\): convert it"):
        KeyedResult.from_dict({datetime.date(2026, 11, 22): 1})
    with pytest.raises(ValueError, match="two keys are stored alike: nan"):
        KeyedResult.from_dict({math.nan: 1, -math.nan: 2})
    with pytest.raises(pickle.PicklingError):
        KeyedResult.from_dict({"a": threading.Lock()})


def test_values_come_back_as_they_were_and_changing_one_changes_nothing() -> None:
    result = KeyedResult.from_dict({"a": [1, 2], "b": []})
    result["a"].append(3)
    assert result["a"] == [1, 2]
    assert type(KeyedResult.from_dict({"a": {1}})["a"]) is frozenset
    big = {"a": {"inner": bytes(100_000)}, "b": Colour.RED}
    assert KeyedResult.from_dict(big).to_dict() == big
    assert KeyedResult.from_dict(big)["b"] is Colour.RED


@pytest.mark.parametrize("make", [str, int, float, lambda i: (str(i % 7), i), lambda i: [i, i + 0.5, 2**70 + i][i % 3]])
def test_sorted_is_pythons_order(make: Any) -> None:
    numbers = list(range(-2000, 2000))
    random.Random(1).shuffle(numbers)
    expected = {make(i): i for i in numbers}
    result = KeyedResult.from_dict(expected)
    assert list(result.keys(sorted=True)) == sorted(expected)
    assert list(result.items(sorted=True)) == sorted(expected.items())
    assert list(result.values(sorted=True)) == [expected[key] for key in sorted(expected)]
    assert sorted(result) == sorted(expected)


def test_texts_with_a_long_common_start_are_sorted_too() -> None:
    keys = ["common start" + end for end in ("", "\0", "b", "a", "ab", "é", "\U0001f600", "z" * 50)] + ["common", "c\0"]
    assert list(KeyedResult.from_dict(dict.fromkeys(keys, 1)).keys(sorted=True)) == sorted(keys)


def test_keys_without_an_order_are_named() -> None:
    result = KeyedResult.from_dict({"a": 1, 2: 3})
    with pytest.raises(TypeError, match=r"cannot be sorted: ('a' and 2|2 and 'a') have no order"):
        result.keys(sorted=True)
    assert len(list(result.keys())) == 2


def test_top_is_by_value_then_by_key() -> None:
    result = KeyedResult.from_dict(WORDS)
    expected = sorted(WORDS.items(), key=lambda item: (-item[1], item[0]))
    for n in range(8):
        assert result.top(n) == expected[:n]
    assert result.top(10**12) == expected
    with pytest.raises(ValueError, match="negative"):
        result.top(-1)
    mixed = {"nan": math.nan, "big": 2**70, "float": 0.5, "int": 1, "true": True, "inf": math.inf}
    assert [key for key, _ in KeyedResult.from_dict(mixed).top(6)] == ["inf", "big", "int", "true", "float", "nan"]
    assert KeyedResult.from_dict({"a": {1}, "b": {1, 2}, "c": set()}).top(2) == [("b", {1, 2}), ("a", {1})]
    assert KeyedResult.from_dict({"a": [1], "b": [3, 3, 3]}).top(1) == [("b", [3, 3, 3])]
    with pytest.raises(TypeError, match="the value of 'a' is 'text'"):
        KeyedResult.from_dict({"a": "text"}).top(1)


def test_a_large_result_has_many_segments() -> None:
    rng = random.Random(5)
    expected = {rng.randbytes(12).hex() + "-" * 400: i for i in range(80_000)}
    result = KeyedResult.from_dict(expected)
    assert result.nbytes > 2 * (16 << 20)
    assert result == expected
    assert result.top(3) == sorted(expected.items(), key=lambda item: -item[1])[:3]


# As a Mapping


def test_it_is_a_mapping_with_views() -> None:
    result = KeyedResult.from_dict(WORDS)
    assert isinstance(result, Mapping)
    assert result.keys() == WORDS.keys()
    assert result.keys() & {"fig", "plum"} == {"fig"}
    assert result.items() == WORDS.items()
    assert ("fig", 3) in result.items()
    assert ("fig", 4) not in result.items()
    assert 7 in result.values()
    assert 8 not in result.values()
    assert len(result.keys(sorted=True)) == len(result.values()) == len(WORDS)
    assert dict(result) == {**result} == WORDS
    assert collections.Counter(result)["fig"] == 3
    with pytest.raises(TypeError):
        hash(result)
    with pytest.raises(TypeError):
        result["fig"] = 4  # type: ignore[index]


def test_it_equals_any_mapping_with_the_same_entries() -> None:
    result = KeyedResult.from_dict(WORDS)
    assert result == result
    assert result == WORDS
    assert WORDS.__eq__(result) is NotImplemented  # so that Python asks the result
    assert result == collections.OrderedDict(WORDS)
    assert result == KeyedResult.from_dict(WORDS)
    assert result != {**WORDS, "fig": 4}
    assert result != {**WORDS, "plum": 4}
    assert result != {("x" if key == "fig" else key): value for key, value in WORDS.items()}
    assert result != 5
    assert KeyedResult.from_dict({"a": {1}}) == {"a": {1}}


def test_its_repr_says_how_much_there_is() -> None:
    result = KeyedResult.from_dict(WORDS)
    assert result.reducer is None
    assert repr(result) == f"<KeyedResult: 6 keys, {result.nbytes:,} bytes>"


# Columns


def test_numpy_columns_have_the_rows_of_items() -> None:
    for keys, dtype in ((range(1000), "int64"), (np.arange(1000) / 8, "float64"), (map(str, range(1000)), "object")):
        result = KeyedResult.from_dict({key: i for i, key in enumerate(list(keys))})
        assert result.keys_array().dtype == dtype
        assert list(zip(result.keys_array().tolist(), result.values_array().tolist(), strict=True)) == list(
            result.items()
        )
        assert not result.values_array().flags.writeable
    tuples = KeyedResult.from_dict({(1, 2): (3, 4), (5, 6): None})
    assert tuples.keys_array().shape == tuples.values_array().shape == (2,)
    assert KeyedResult.from_dict({}).values_array().size == 0


def test_a_column_outlives_the_result() -> None:
    with KeyedResult.from_dict(dict.fromkeys(range(1000), 2)) as result:
        column = result.values_array()
    assert column.sum() == 2000


def test_arrow_has_the_rows_of_items() -> None:
    arrow = pytest.importorskip("pyarrow")
    for entries in (
        {str(i): i for i in range(1000)},
        {i / 3: i / 4 for i in range(1000)},
        {b"a": "x", b"": None},
        {1: [1, 2], 2: []},
        {1: {"a", "b"}, 2: {"b"}},
        {},
    ):
        result = KeyedResult.from_dict(entries)
        table = result.to_arrow()
        table.validate(full=True)
        rows = zip(table["key"].to_pylist(), table["value"].to_pylist(), strict=True)
        sets = isinstance(next(iter(entries.values()), None), set)
        assert [(key, set(value) if sets else value) for key, value in rows] == list(result.items())
    with pytest.raises(ValueError, match="surrogate"):
        KeyedResult.from_dict({"\udc80": 1}).to_arrow()
    assert KeyedResult.from_dict({"a": 1}).to_arrow().schema.field("key").type == arrow.large_utf8()


def test_without_pyarrow_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ImportError, match="pip install pyarrow"):
        KeyedResult.from_dict({}).to_arrow()
