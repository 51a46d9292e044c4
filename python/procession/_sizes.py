"""Numbers of bytes as people write and read them. A unit is a power of 1024."""

from __future__ import annotations

import re

__all__ = ["parse_size", "shown_size"]

_WRITTEN = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Bytes for `2G`, `512MiB`, `1.5 gb`. Raises: ValueError for what is no size, or none above 0."""
    found = _WRITTEN.fullmatch(text.strip())
    size_bytes = 0 if found is None else int(float(found[1]) * 1024 ** " KMGT".index(found[2].upper() or " "))
    if size_bytes < 1:
        raise ValueError(f"{text!r} is no size; write it as 2G or 512M")
    return size_bytes


def shown_size(size_bytes: float) -> str:
    """A number of bytes for people: `0 B`, `12.3 KiB`, `321 MiB`."""
    units = ["TiB", "GiB", "MiB", "KiB", "B"]
    while size_bytes >= 999.5 and len(units) > 1:
        size_bytes /= 1024
        units.pop()
    digits = 1 if units[-1] != "B" and size_bytes < 99.95 else 0
    return f"{size_bytes:.{digits}f} {units[-1]}"
