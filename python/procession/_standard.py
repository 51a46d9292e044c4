"""The standard library's own objects, also where `installing` has put ours in their place.

`multiprocessing.context` is read here once, before anything can be replaced: whatever of ours is replaced there must be
taken from here. In other modules of the standard library our classes take what they need when they are imported, which
is always before their names are replaced.
"""

from __future__ import annotations

import multiprocessing.context

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from typing import Any

__all__ = ["default_context", "family", "installer", "original", "replaced", "start_method"]

default_context: Any = multiprocessing.context._default_context

replaced: dict[tuple[str, str], tuple[Any, Any, Any]] = {}
"""By module (or class in it) and name, what is replaced now: whose attribute it is, what it was, what it is."""
family: Any = None  # in a spawned child: its parent's shared arena, or why it has not got it; see `_bootstrap`
installer: str | None = None  # the module whose `install` children call before anything else; None: not installed


def original(module: str, name: str) -> Any:
    """What the standard library calls `name` in its `module`, whether or not it is replaced."""
    __import__(module)
    try:
        return replaced[module, name][1]
    except KeyError:
        import sys

        return getattr(sys.modules[module], name)


def start_method() -> str:
    """The start method that the standard library would use, read without making it decide."""
    return str((default_context._actual_context or default_context._default_context)._name)
