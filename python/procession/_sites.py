"""Places in the user's program as text: `/full/path/bank.py:12 in deposit`, a *site* everywhere in this package.

The native side writes them (`crates/python/src/site.rs`); whoever shows one shortens it here.
"""

from __future__ import annotations

import re

__all__ = ["short_site", "split_site"]

_SITE = re.compile(r"(.*):(\d+)(?: in (.*))?", re.DOTALL)


def split_site(site: str) -> tuple[str, int, str]:
    """File, line and function of a site; ("", 0, "") for what is none."""
    match = _SITE.fullmatch(site)
    return (match[1], int(match[2]), match[3] or "") if match else ("", 0, "")


def short_site(site: str | None, *, function: bool = False) -> str:
    """`bank.py:12`, or `bank.py:12 in deposit`; what is no site as it is, nothing for None."""
    file, line, within = split_site(site or "")
    if not line:
        return site or ""
    short = f"{file.rpartition('/')[2]}:{line}"
    return f"{short} in {within}" if function and within else short
