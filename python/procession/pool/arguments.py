"""What the methods of a pool are given, checked."""

from __future__ import annotations

import operator

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

__all__ = ["check_chunksize", "failing", "sequence", "whole"]

ON_ERROR = ("first", "group", "return")


def whole(processes: Any) -> int:
    """A number of processes. Raises: TypeError."""
    try:
        return operator.index(processes)
    except TypeError:
        raise TypeError(f"processes must be an int, not {type(processes).__name__}") from None


def check_chunksize(chunksize: int | None) -> None:
    """Raises: ValueError for one below 1."""
    if chunksize is not None and chunksize < 1:
        raise ValueError(f"Chunksize must be 1+, not {chunksize}")


def failing(on_error: str, return_exceptions: bool) -> str:
    """What a map is to do about failures. Raises: ValueError for none of the ways."""
    if on_error not in ON_ERROR[:2]:
        raise ValueError(f'on_error must be "first" or "group", not {on_error!r}')
    return "return" if return_exceptions else on_error


def sequence(iterable: Iterable[Any]) -> Sequence[Any]:
    """The items, countable."""
    return iterable if isinstance(iterable, list | tuple | range) else list(iterable)
