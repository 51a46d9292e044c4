"""What a call may cost: how often a lost item is tried again, how long one may run, how much memory a worker may have.

The limits of one call are a small record that its job carries; most calls share one, the pool's own.
"""

from __future__ import annotations

from ..errors import NotSupported

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from dataclasses import dataclass
    from typing import Any
else:
    from ._record import dataclass

__all__ = ["PARTS", "TIMED", "Limits", "limits_of", "memory_of"]

TIMED = 16  # in a task's kind: its worker notes down when it begins; see crates/python/src/pool

PROCESSES = ("fork", "spawn", "forkserver")

PARTS = 32  # in a task's kind, for threads: a chunk that takes long is answered in parts, for somebody watches


@dataclass(frozen=True)
class Limits:
    """Of one call."""

    retries: int = 0  # how often an item is tried again whose worker ended
    timeout: float | None = None  # seconds that one item may run
    kind: int = 0  # what they add to the kind of a task


def limits_of(retries: Any, timeout: Any, pool: Limits, method: str) -> Limits:
    """Of a call: what it asks for, else what its pool has.

    Raises: TypeError, ValueError for what is none; NotSupported for a timeout of threads.
    """
    if retries is None and timeout is None:
        return pool
    retries = pool.retries if retries is None else retries
    timeout = pool.timeout if timeout is None else timeout
    if isinstance(retries, bool) or not isinstance(retries, int):
        raise TypeError(f"retries must be an int, how often a lost item is tried again, not {retries!r}")
    if retries < 0:
        raise ValueError(f"retries must be 0 or more, not {retries}")
    if timeout is None:
        return Limits(retries)
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise TypeError(f"timeout must be a number of seconds that one item may run, not {timeout!r}")
    if not timeout > 0:
        raise ValueError(f"timeout must be more than 0 seconds, not {timeout}")
    _check_processes(method, "timeout")
    return Limits(retries, float(timeout), TIMED)


def memory_of(given: Any, name: str, method: str) -> int | None:
    """Bytes for a limit of memory: an int, or a str as "2G". Raises: as `limits_of`."""
    if given is None:
        return None
    _check_processes(method, name)
    if isinstance(given, str):
        from .._sizes import parse_size

        return parse_size(given)
    if isinstance(given, bool) or not isinstance(given, int):
        raise TypeError(f'{name} must be an int, bytes, or a str as "2G", not {given!r}')
    if given < 1:
        raise ValueError(f"{name} must be more than 0 bytes, not {given}")
    return given


def _check_processes(method: str, name: str) -> None:
    if method == "thread":
        raise NotSupported(f"{name}= needs workers that are processes: a thread cannot be ended from outside")
    if method not in PROCESSES:
        raise NotSupported(
            f"{name}= needs workers that this program may end, and those of {method} are not its own: "
            f"use get_context('fork'), or have the function limit itself"
        )
