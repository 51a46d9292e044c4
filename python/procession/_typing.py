"""What type checkers need and a running program must not pay for: `typing` is slow to import, and children should start
quickly."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import overload
else:

    def overload(function):
        """Nothing, at run time."""
        return function


__all__ = ["overload"]
