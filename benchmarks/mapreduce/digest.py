"""A number for a whole answer: equal for equal answers, whatever the order of their keys."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any


def digest(items: Iterable[tuple[str, Any]]) -> str:
    """Of keys with counts, means (exact to the last bit) or sorted names."""
    total = 0
    for key, value in items:
        written = "\n".join(value) if isinstance(value, (list, tuple)) else repr(value)
        total += int.from_bytes(blake2b(f"{key}\t{written}".encode(), digest_size=8).digest())
    return f"{total % 2**64:016x}"
