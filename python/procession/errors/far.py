"""What can be wrong with a cluster: it is not there, it went away, it is another version, its package is missing."""

from __future__ import annotations

from .base import ProcessionError

__all__ = ["ClusterError", "ClusterLost", "ClusterUnreachable", "EngineMissing", "VersionMismatch"]


class ClusterError(ProcessionError, OSError):
    """Something is wrong with a cluster; `cluster` is the name or address by which it was asked for."""

    cluster: str | None = None


class ClusterUnreachable(ClusterError, ConnectionError):
    """Nobody answered at a cluster's address within the timeout, or nobody of that kind."""


class ClusterLost(ClusterError, ConnectionError):
    """A cluster that was there went away (its scheduler ended, its executor broke): nothing more can come from it.

    Everything that was outstanding fails with this, and so does every later call of the pool.
    """


class VersionMismatch(ClusterError, RuntimeError):
    """Here and there are versions (of Python, of a package) that do not understand each other."""

    here: str | None = None
    there: str | None = None


class EngineMissing(ProcessionError, ImportError):
    """The package that a way to run work needs is not installed, or this Python is too old for it."""
