"""What can be wrong with an object's home on disk: a file, or a queue's directory."""

from __future__ import annotations

from .base import ProcessionError

__all__ = ["HomeDamaged", "HomeError", "HomeMismatch", "HomeTooNew", "HomeUnreachable", "NotAHome"]


class HomeError(ProcessionError, OSError):
    """An object's home on disk cannot be used. The message names it and says why, and what to do."""

    path: str | None = None


class NotAHome(HomeError, ValueError):
    """The file was not made by procession. It is left as it is."""


class HomeMismatch(HomeError, TypeError, ValueError):
    """Something else lives there than was asked for: another kind, type or length."""

    found: str | None = None
    asked: str | None = None


class HomeTooNew(HomeError):
    """The file was written by a later version of procession, in a format that this one does not know."""

    version: int = 0


class HomeDamaged(HomeError):
    """The file was made by procession and is not whole: cut off, or written over."""


class HomeUnreachable(HomeError, PermissionError):
    """A process has it open that this one cannot reach: it runs in another container or machine, or for another user.

    What its users have in common (who holds the lock, say) lies in memory, so they must be able to reach each other.
    """
