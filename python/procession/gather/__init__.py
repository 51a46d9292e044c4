"""Gathering by key: what a keyed map-reduce is made of, apart from the pool that runs it.

`reducers` says what becomes of a key's values, `spool` has the nameless files that workers write for each other,
`budget` decides what is in memory and what on disk, `result` is the answer. The tables and merges are native
(crates/gather); `procession.pool.keyed` puts all of it together.
"""

from __future__ import annotations

from .reducers import Batches, Reducer, top

__all__ = ["Batches", "Reducer", "top"]
