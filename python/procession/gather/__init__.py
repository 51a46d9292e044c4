"""Gathering by key: what a keyed map-reduce is made of, apart from the pool that runs it.

`reducers` says what becomes of a key's values, `spool` has the nameless files that workers write for each other,
`budget` decides what is in memory and what on disk, `result` is the answer. The tables and merges are native
(crates/gather); `procession.pool.keyed` puts all of it together.
"""

from __future__ import annotations

from .reducers import Batches, Reducer, top

TYPE_CHECKING = False  # `result` is not for workers, and the packages it needs are slow to import
if TYPE_CHECKING:
    from typing import Any

    from .result import KeyedResult

__all__ = ["Batches", "KeyedResult", "Reducer", "top"]


def __getattr__(name: str) -> Any:
    """`KeyedResult`, when first used."""
    if name != "KeyedResult":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .result import KeyedResult

    return KeyedResult
