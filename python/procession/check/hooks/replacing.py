"""Functions of ours in the place of a class's own, under its names.

A bound method is pickled by its function's `__name__`, so `Process(target=queue.put)` would look for `watched_put`.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["replace"]


def replace(cls: Any, **functions: Callable[..., Any]) -> None:
    """Make each function the class's method of that name."""
    for name, function in functions.items():
        plain = getattr(cls, name)
        function.__name__, function.__qualname__, function.__doc__ = name, f"{cls.__qualname__}.{name}", plain.__doc__
        function.__module__ = cls.__module__
        setattr(cls, name, function)
