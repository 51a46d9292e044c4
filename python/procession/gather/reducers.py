"""What becomes of the values of a key: `reduce=` and `combine=` of a keyed map-reduce, read and checked.

A reducer is a small object that travels to the workers with the map function. The native side knows it by its name and
its number; two names stand for functions of the user's, "combine" and "reduce", which travel along.
"""

from __future__ import annotations

import builtins

TYPE_CHECKING = False  # `typing` is slow to import, and workers should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["BUILT_IN", "LIST", "SCALAR", "SET", "Batches", "Reducer", "reducer_of", "top"]

BUILT_IN = ("count", "sum", "mean", "min", "max", "first", "list", "set")

# What the value of a key is in an answer: an object, packed objects one after another, fingerprints of set members
SCALAR, LIST, SET = 0, 1, 2
_SHAPES = {"list": LIST, "top": LIST, "set": SET}

MOST_TOP = 2**32 - 1

# Python's own functions of these names take values only: `reduce=sum` would call sum(key, values)
_MISTAKEN = {getattr(builtins, name): name for name in BUILT_IN if hasattr(builtins, name)}


class Reducer:
    """One way to make a key's value from its values: its `name`, the `n` of "top", the functions where it has any."""

    __slots__ = ("combine", "n", "name", "reduce")

    def __init__(
        self,
        name: str,
        n: int = 0,
        combine: Callable[[Any, Any], Any] | None = None,
        reduce: Callable[[Any, Any], Any] | None = None,
    ) -> None:
        self.name: str = name
        self.n: int = n
        self.combine: Callable[[Any, Any], Any] | None = combine
        self.reduce: Callable[[Any, Any], Any] | None = reduce

    def __repr__(self) -> str:
        return self.label

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reducer) and self._parts() == other._parts()

    def __hash__(self) -> int:
        return hash(self._parts())

    @property
    def label(self) -> str:
        """How messages and results call it: "sum", "top(3)", "combine=merge_lists"."""
        function = self.combine or self.reduce
        if function is not None:
            return f"{self.name}={getattr(function, '__qualname__', None) or type(function).__name__}"
        return f"{self.name}({self.n})" if self.name == "top" else self.name

    @property
    def shape(self) -> int:
        """SCALAR, LIST or SET: what a value is in the answer."""
        return _SHAPES.get(self.name, SCALAR)

    @property
    def calls_python(self) -> bool:
        """Whether a function of the user's is called while partitions are reduced: that may do anything, even die."""
        return self.combine is not None or self.reduce is not None

    def _parts(self) -> tuple[object, ...]:
        return self.name, self.n, self.combine, self.reduce

    def __reduce__(self) -> tuple[Any, ...]:
        return Reducer, self._parts()


class Batches:
    """What a map function returns to hand over several batches for one item: an iterable of them, taken one by one.

    Each batch is anything that a map function may give, but `Batches`. An item of a gigabyte can so be mapped without a
    gigabyte of pairs in memory: give a generator of lists. What the iterable raises, the call raises.
    """

    __slots__ = ("_batches",)

    def __init__(self, batches: Any) -> None:
        """Raises: TypeError when it cannot be iterated over."""
        self._batches = iter(batches)

    def __iter__(self) -> Any:
        return self._batches


def top(n: int) -> Reducer:
    """`reduce=top(n)`: the `n` largest values of each key, as a list, the largest first; all if there are fewer.

    (`KeyedResult.top` is another thing: the entries with the largest values.) Raises: TypeError when `n` is not an int,
    ValueError when it is not from 1 to 2**32 - 1; the call raises TypeError for values that cannot be ordered.
    """
    if not isinstance(n, int) or isinstance(n, bool):
        raise TypeError(f"top() takes the number of values to keep, an int, not {type(n).__name__}")
    if not 0 < n <= MOST_TOP:
        raise ValueError(f"top() keeps from 1 to {MOST_TOP} values, not {n}")
    return Reducer("top", n)


def reducer_of(reduce: Any = None, combine: Any = None) -> Reducer:
    """What the caller meant by `reduce=` or `combine=`; exactly one of them is to be given.

    Raises: TypeError, ValueError, saying what is accepted.
    """
    if (reduce is None) == (combine is None):
        given = "both" if combine is not None else "neither"
        raise TypeError(f"map_reduce_by_key takes either reduce= or combine=, and {given} was given; {_ACCEPTED}")
    if combine is not None:
        if not callable(combine):
            raise TypeError(f"combine= takes a function of two values, not {combine!r}; {_ACCEPTED}")
        return Reducer("combine", combine=combine)
    if isinstance(reduce, Reducer):
        return reduce
    if isinstance(reduce, str):
        if reduce not in BUILT_IN:
            raise ValueError(f"there is no reducer {reduce!r}; {_ACCEPTED}")
        return Reducer(reduce)
    if not callable(reduce):
        raise TypeError(f"reduce= takes a name or a function of a key and its values, not {reduce!r}; {_ACCEPTED}")
    return Reducer("reduce", reduce=_own_function(reduce))


def _own_function(function: Any) -> Any:
    """The function again, unless it is one that cannot be meant. Raises: TypeError."""
    if function is top:
        raise TypeError("reduce=top lacks its number: write reduce=top(3)")
    try:
        name = _MISTAKEN.get(function)
    except TypeError:  # not hashable, so none of these
        return function
    if name is not None:
        raise TypeError(f"reduce={name} would be called as {name}(key, values); write reduce={name!r}")
    return function


_ACCEPTED = (
    f"reduce= is one of {', '.join(map(repr, BUILT_IN))}, top(n), or a function reduce(key, values) -> value; "
    "combine= is a function combine(value, value) -> value that may be applied in any order and grouping"
)
