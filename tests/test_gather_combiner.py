"""The native side of keyed map-reduce on its own: what a Combiner takes, what merging makes of it, what is refused."""

from __future__ import annotations

import functools
import math
import operator
import os
import random
from collections import Counter, defaultdict, namedtuple
from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Any

import pytest

from procession import _native

NEVER = 1 << 60  # a limit that no table reaches
SHAPES = {"list": 1, "top": 1, "set": 2}


@pytest.fixture
def files() -> Iterator[Callable[[], int]]:
    """Makes anonymous files, ready for runs or answers."""
    made: list[int] = []

    def make() -> int:
        made.append(os.memfd_create("test", os.MFD_CLOEXEC))
        _native.spool_init(made[-1])
        return made[-1]

    yield make
    for descriptor in made:
        os.close(descriptor)


@pytest.fixture
def gather(files: Callable[[], int]) -> Callable[..., dict[Any, Any]]:
    """Batches through one table each, merged in several ranges: the answer as a dict."""

    def run(
        reducer: str,
        batches: list[Any],
        *,
        n: int = 0,
        combine: Any = None,
        reduce: Any = None,
        limit: int = NEVER,
        tables: int = 2,
    ) -> dict[Any, Any]:
        spool, answer = files(), files()
        combiners = [_native.Combiner(reducer, n, combine, spool, limit) for _ in range(tables)]
        for order, batch in enumerate(batches):
            combiners[order % tables].add(batch, order)
        for combiner in combiners:
            combiner.flush()
        runs = [(0, description) for combiner in combiners for description in combiner.runs]
        entries, members = [], []
        for low, high in ((0, 10), (10, 200), (200, 256)):
            given = (reducer, n, combine, reduce, [spool], runs, low, high)
            entries.append(_native.merge(*given, 0, answer, NEVER))
            members.append(_native.merge(*given, 1, answer, NEVER))
        _native.seal_answer(answer, SHAPES.get(reducer, 0), b"", entries, members)
        opened = _native.Answer(answer)
        found: dict[Any, Any] = opened.to_dict()
        assert len(opened) == len(found)
        assert all(key in opened for key in found)
        opened.close()
        return found

    return run


KEYS = [
    "word",
    "",
    "größer",
    "\udcff lone",
    b"bytes",
    b"",
    0,
    -1,
    2**62,
    2**63,
    -(2**200),
    1.5,
    math.inf,
    True,
    None,
    (),
    ("a", 1, (None, b"x", 2.5)),
    (2**70,),
]


def test_every_kind_of_key_comes_back_as_it_was(gather: Any) -> None:
    found = gather("count", [KEYS, KEYS, KEYS[:3]])
    assert found == {key: 3 if index < 3 else 2 for index, key in enumerate(KEYS)}
    assert [type(key) for key in found if key == 1 or key == 0] != []
    assert {type(key) for key in found} == {str, bytes, int, float, bool, type(None), tuple}


def test_equal_keys_of_different_types_are_different_keys(gather: Any) -> None:
    pairs = [(1, "int"), (1.0, "float"), (True, "bool"), (0.0, "zero"), (-0.0, "zero too")]
    counts = gather("count", [[(type(key).__name__, key) for key, _ in pairs]])
    assert counts == {("int", 1): 1, ("float", 1.0): 1, ("bool", True): 1, ("float", 0.0): 2}


def test_keys_of_subclasses_become_what_they_equal(gather: Any) -> None:
    numpy = pytest.importorskip("numpy")

    class Name(str):
        __slots__ = ()

    keys = [Name("a"), numpy.int64(7), numpy.float64(2.5), numpy.str_("a"), numpy.bool_(True), numpy.bytes_(b"z")]
    found = gather("count", [keys])
    assert found == {"a": 2, 7: 1, 2.5: 1, True: 1, b"z": 1}
    assert {type(key) for key in found} == {str, int, float, bool, bytes}
    with pytest.raises(TypeError, match="keys must be"):
        gather("count", [[numpy.longdouble(1)]])  # whose item() is a longdouble again


@pytest.mark.parametrize(
    "batch",
    [
        ["a", "b", "a"],
        ("a", "b", "a"),
        iter(["a", "b", "a"]),
        {"a": 2, "b": 1},
        Counter("aba"),
        (letter for letter in "aba"),
    ],
    ids=["list", "tuple", "iterator", "dict", "Counter", "generator"],
)
def test_every_form_of_keys_is_counted(gather: Any, batch: Any) -> None:
    assert gather("count", [batch, None, []]) == {"a": 2, "b": 1}


Pair = namedtuple("Pair", "key value")


def forms() -> dict[str, Any]:
    keys, values = ["a", "b", "a"], [1, 2, 3]
    return {
        "pairs": list(zip(keys, values, strict=True)),
        "lists as pairs": [[key, value] for key, value in zip(keys, values, strict=True)],
        "named tuples": [Pair(*pair) for pair in zip(keys, values, strict=True)],
        "generator": (pair for pair in zip(keys, values, strict=True)),
        "columns": (keys, values),
        "keys in a tuple": (tuple(keys), values),
        "dict": {"a": 4, "b": 2},
    }


@pytest.mark.parametrize("form", list(forms()))
def test_every_form_of_pairs_is_taken(gather: Any, form: str) -> None:
    assert gather("sum", [forms()[form]]) == {"a": 4, "b": 2}


def test_one_value_for_many_keys(gather: Any) -> None:
    batches = [({"x", "y"}, repeat("file 1")), (["y", "y"], repeat("file 2"))]
    assert gather("set", batches) == {"x": {"file 1"}, "y": {"file 1", "file 2"}}
    assert gather("list", batches)["y"] == ["file 1", "file 2", "file 2"]


def test_columns_of_numpy(gather: Any) -> None:
    numpy = pytest.importorskip("numpy")
    keys, values = numpy.array(["a", "b", "a"]), numpy.array([1.5, 2.5, 3.5])
    assert gather("mean", [(keys, values)]) == {"a": 2.5, "b": 2.5}
    assert gather("count", [numpy.array([3, 4, 3])]) == {3: 2, 4: 1}
    assert gather("sum", [(numpy.array([3, 4, 3]), numpy.array([1, 2, 3]))]) == {3: 4, 4: 2}


@pytest.mark.parametrize("limit", [NEVER, 20_000], ids=["in one run", "in many runs"])
def test_reducers_agree_with_plain_python_on_random_pairs(gather: Any, limit: int) -> None:
    chance = random.Random(f"pairs {limit}")
    values: list[Any] = [chance.randrange(-50, 50) for _ in range(3000)]
    values += [chance.choice([0.1, -2.5, 1e300, 7.25]) for _ in range(500)] + [2**100, -(2**64)]
    chance.shuffle(values)
    pairs = [(f"key {chance.randrange(400)}", value) for value in values]
    batches = [pairs[start : start + 37] for start in range(0, len(pairs), 37)]
    plain: defaultdict[str, list[Any]] = defaultdict(list)
    for key, value in pairs:
        plain[key].append(value)
    sums = gather("sum", batches, limit=limit)
    assert sums.keys() == plain.keys()
    for key, given in plain.items():
        exact = math.fsum(given) if any(type(value) is float for value in given) else sum(given)
        assert type(sums[key]) is type(sum(given))
        assert math.isclose(sums[key], exact, rel_tol=1e-15, abs_tol=1e-300), key
    means = gather("mean", batches, limit=limit)
    assert all(math.isclose(means[key], math.fsum(given) / len(given)) for key, given in plain.items())
    expected: dict[str, Callable[[list[Any]], Any]] = {"min": min, "max": max, "list": list, "set": set}
    for reducer, function in expected.items():
        assert gather(reducer, batches, limit=limit) == {key: function(given) for key, given in plain.items()}, reducer
    firsts = {key: given[0] for key, given in plain.items()}
    assert gather("first", batches, limit=limit) == firsts
    tops = {key: sorted(given, reverse=True)[:3] for key, given in plain.items()}
    assert gather("top", batches, n=3, limit=limit) == tops
    ints = [[(key, value) for key, value in batch if type(value) is int] for batch in batches]
    added = {key: sum(v for v in given if type(v) is int) for key, given in plain.items()}
    added = {key: added[key] for batch in ints for key, _ in batch}
    assert gather("combine", ints, combine=operator.add, limit=limit) == added
    sizes = gather("reduce", batches, reduce=lambda key, given: (key, len(given), given[-1]), limit=limit)
    assert sizes == {key: (key, len(given), given[-1]) for key, given in plain.items()}


def test_values_come_back_as_they_were(gather: Any) -> None:
    class_of_numpy = pytest.importorskip("numpy").float32
    values = [None, True, "text", b"bytes", (1, [2, {"three": 3}]), {"a", "b"}, -0.0, 1 << 90, class_of_numpy(1.5)]
    found = gather("list", [[("k", value) for value in values]])["k"]
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]
    assert gather("first", [[(index, value)] for index, value in enumerate(values)]) == dict(enumerate(values))


@pytest.mark.parametrize("members", range(1, 60))
def test_sets_of_every_size(gather: Any, members: int) -> None:
    pairs = [("k", number) for number in range(members)] * 3
    random.Random(members).shuffle(pairs)
    assert gather("set", [[pair] for pair in pairs]) == {"k": set(range(members))}
    assert gather("set", [pairs]) == {"k": set(range(members))}


def test_a_count_beyond_63_bits_is_an_error_and_no_other_number(gather: Any) -> None:
    assert gather("count", [{"a": 2**62}, {"a": 2**62 - 2}]) == {"a": 2**63 - 2}
    for batches in ([{"a": 2**63}], [{"a": 2**63}, {"a": 2**63}], [{"a": 2**63}, {"b": 1}, {"a": 2**63}]):
        with pytest.raises(OverflowError, match=r"count is beyond 63 bits .at key 'a'"):
            gather("count", batches)


def test_large_arrays_are_values_too(gather: Any) -> None:
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(50_000.0)
    total = gather("combine", [[("k", array)], [("k", array)], [("k", array)]], combine=operator.add)["k"]
    assert (total == 3 * array).all()


@pytest.mark.parametrize("length", range(20))
@pytest.mark.parametrize("reducer", ["min", "max"])
def test_text_can_be_compared(gather: Any, reducer: str, length: int) -> None:
    words = [word + "x" * length for word in ("pear", "apple", "plum")]
    assert gather(reducer, [[("k", word)] for word in words]) == {"k": min(words) if reducer == "min" else max(words)}
    assert gather("top", [[("k", word) for word in words]], n=2) == {"k": sorted(words, reverse=True)[:2]}


def test_the_sum_of_floats_hardly_depends_on_the_order(gather: Any) -> None:
    values = [1e12, 0.1, -1e12, 0.2, 0.3] * 50
    chance = random.Random(5)
    for _ in range(5):
        chance.shuffle(values)
        assert abs(functools.reduce(operator.add, values) - 30) > 1e-9, "plain addition would do as well"
        assert math.isclose(gather("sum", [[("k", value)] for value in values])["k"], 30, rel_tol=1e-15)


GARBAGE: list[tuple[str, Any, type[Exception], str]] = [
    ("count", "text", TypeError, "a list or an iterator of keys.*not str"),
    ("count", 7, TypeError, "not int"),
    ("count", {"a": -1}, TypeError, "at key 'a'"),
    ("count", [["unhashable"]], TypeError, "keys must be str.*not list"),
    ("count", [{}], TypeError, "keys must be str.*not dict"),
    ("sum", "text", TypeError, "pairs.*not str"),
    ("sum", ["word"], TypeError, "pairs, not 'word'; reduce='count' takes keys alone"),
    ("sum", [("a", 1, 2)], TypeError, "pairs, not"),
    ("sum", (["a"], [1, 2]), ValueError, "1 keys and 2 values"),
    ("sum", (["a"],), TypeError, "not tuple"),
    ("sum", (("a", 1), ("b", 2)), TypeError, "two tuples may be two columns or two pairs: give lists"),
    ("sum", [("a", "x")], TypeError, "sum takes int and float, not 'x' .at key 'a'"),
    ("mean", [("a", None)], TypeError, "mean takes int and float, not None"),
    ("sum", [("a", 2**130)], OverflowError, "beyond 127 bits .at key 'a'"),
    ("min", [("a", 1), ("a", 2**200)], OverflowError, "min is beyond 127 bits .at key 'a'"),
    ("min", [("a", 1), ("a", "x")], TypeError, "ordered, not both 1 and 'x' .at key 'a'"),
    ("max", [("a", "x"), ("a", 1)], TypeError, "ordered, not both 'x' and 1"),
    ("top", [("a", 1), ("a", "x"), ("a", 2)], TypeError, "ordered"),
    ("set", [("a", ["unhashable"])], TypeError, "set takes"),
    ("list", [(object(), 1)], TypeError, "keys must be"),
]


@pytest.mark.parametrize(("reducer", "batch", "error", "words"), GARBAGE)
def test_garbage_is_refused_by_name(files: Any, reducer: str, batch: Any, error: type[Exception], words: str) -> None:
    combiner = _native.Combiner(reducer, 5, None, files(), NEVER)
    with pytest.raises(error, match=words):
        combiner.add(batch, 0)


def test_values_without_order_are_found_while_merging_too(gather: Any) -> None:
    for batches in ([[("a", 1)], [("a", "x")]], [[("a", "x")], [("a", 1)]]):
        with pytest.raises(TypeError, match=r"ordered.*at key 'a'"):
            gather("max", batches)


def test_what_a_function_raises_names_the_key(gather: Any) -> None:
    def fails(*_: Any) -> None:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine") as caught:
        gather("reduce", [[("culprit", 1)]], reduce=fails)
    assert "'culprit'" in caught.value.__notes__[0]
    with pytest.raises(ZeroDivisionError) as caught:
        gather("combine", [[("culprit", 1)], [("culprit", 2)]], combine=fails)
    assert "'culprit'" in caught.value.__notes__[0]
    with pytest.raises(ZeroDivisionError) as caught:
        gather("combine", [[("culprit", 1), ("culprit", 2)]], combine=fails)
    assert "'culprit'" in caught.value.__notes__[0]


def test_an_iterator_that_raises_is_passed_on(files: Any) -> None:
    def broken() -> Iterator[str]:
        yield "a"
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        _native.Combiner("count", 0, None, files(), NEVER).add(broken(), 0)


def test_a_combiner_used_within_itself_says_so(files: Any) -> None:
    combiner = _native.Combiner("count", 0, None, files(), NEVER)

    def again() -> Iterator[str]:
        combiner.add(["x"], 0)
        yield "a"

    with pytest.raises(RuntimeError, match="in use"):
        combiner.add(again(), 0)
    assert combiner.add(["x"], 0) == 1


def test_a_table_over_its_limit_is_written_out(files: Any) -> None:
    spool = files()
    combiner = _native.Combiner("count", 0, None, spool, 100_000)
    for start in range(0, 50_000, 1000):
        combiner.add([f"key {number}" for number in range(start, start + 1000)], start)
    assert len(combiner.runs) > 5
    assert combiner.nbytes < 300_000
    assert combiner.spilled_bytes > 400_000
    assert combiner.pairs == 50_000
    combiner.flush()
    assert combiner.keys == 0
    assert sum(sum(_native.run_slots(run)) for run in combiner.runs) < os.fstat(spool).st_size


def test_merged_slots_give_their_memory_back(files: Any) -> None:
    spool = files()
    combiner = _native.Combiner("count", 0, None, spool, NEVER)
    combiner.add(list(range(300_000)), 0)
    combiner.flush()
    before = os.fstat(spool).st_blocks
    _native.forget_slots(spool, combiner.runs[0], 0, 128, 0)
    assert os.fstat(spool).st_blocks < 0.6 * before
    _native.forget_slots(spool, combiner.runs[0], 128, 256, 0)
    assert os.fstat(spool).st_blocks < 0.1 * before


def test_tuples_within_tuples_end_at_a_depth_and_not_with_the_stack(gather: Any) -> None:
    nested: list[Any] = ["x"]
    for _ in range(50_000):
        nested.append((nested[-1],))
    assert gather("list", [[(nested[64], nested[64]), ("k", nested[65])]]) == {
        nested[64]: [nested[64]],
        "k": [nested[65]],
    }
    for depth in (65, 50_000):
        with pytest.raises(TypeError, match="keys must be"):
            gather("count", [[nested[depth]]])


def test_a_dict_that_combine_changes_is_an_error(gather: Any) -> None:
    first, second = dict.fromkeys(range(100), 1), dict.fromkeys(range(100), 2)
    with pytest.raises(RuntimeError, match="was changed while it was taken"):
        gather("combine", [first, second], combine=lambda a, b: second.clear() or a + b, tables=1)


@pytest.mark.parametrize("run", [b"", b"\x01", b"\xff" * 400, b"\x00" * 100])
def test_bytes_that_describe_no_run_are_refused(files: Any, run: bytes) -> None:
    with pytest.raises(ValueError, match="no run"):
        _native.run_slots(run)


def test_a_full_disk_is_an_error_that_leaves_nothing(files: Any) -> None:
    """A limit on the size of files stands for the full disk: the write fails half-way in the same call."""
    import resource
    import signal

    spool = files()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    combiner = _native.Combiner("count", 0, None, spool, NEVER)
    combiner.add(list(range(300_000)), 0)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, before[1]))
        with pytest.raises(OSError, match="File too large"):
            combiner.flush()
        for again in (combiner.flush, lambda: combiner.add([1], 1)):
            with pytest.raises(RuntimeError, match="failed before"):
                again()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
