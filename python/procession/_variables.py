"""Variables of the environment, read by one rule: an empty one counts as unset, nonsense is an error that names it.

Each is read by whom it concerns, when it concerns that one, never at import. docs/reference/environment.md lists them.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeVar

    T = TypeVar("T")

__all__ = ["parsed", "switched"]

_SWITCH = {"0": False, "1": True}


def parsed(name: str, parse: Callable[[str], T], wanted: str, environment: Mapping[str, str] = os.environ) -> T | None:
    """What `parse` makes of the variable; None where it is unset or empty.

    Raises: ValueError, saying what is `wanted`, where `parse` raises one or a LookupError.
    """
    text = environment.get(name)
    if not text:
        return None
    try:
        return parse(text)
    except (ValueError, LookupError):
        raise ValueError(f"the variable {name} must be {wanted}, not {text!r}") from None


def switched(name: str) -> bool | None:
    """Whether the variable says yes (1) or no (0); None where it is unset or empty. Raises: ValueError for others."""
    return parsed(name, _SWITCH.__getitem__, "0 or 1")
