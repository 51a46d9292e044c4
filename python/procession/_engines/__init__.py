"""Engines: each knows one way to run a process object somewhere and to tell how that ended.

An engine is a class called `Popen`, as in the standard library, whose instance is the handle of one running process.
One engine a file, imported when named: `fork`, `spawn`, `forkserver`; `thread` is for `Process` while that is the start
method (a `Thread` needs no handle).
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from typing import Protocol

    from .._outcome import Outcome
else:
    Protocol = object

__all__ = ["Engine", "Handle"]


class Handle(Protocol):
    """One running process, as its parent sees it."""

    method: str  # name of the start method
    pid: int
    sentinel: int  # descriptor that is readable once the process has ended
    returncode: int | None  # exit code, or minus the signal's number; None while it runs
    outcome: Outcome  # what it returned or raised, complete once it has ended

    def poll(self) -> int | None:
        """Return the exit code, None while it runs; never blocks. Collects the dead child."""

    def wait(self, timeout: float | None = None) -> int | None:
        """Block until it ends, or for `timeout` seconds; return as `poll` does."""

    def terminate(self) -> None:
        """Ask it to end (SIGTERM). Does nothing if it has ended."""

    def kill(self) -> None:
        """End it (SIGKILL). Does nothing if it has ended."""

    def close(self) -> None:
        """Give back the descriptors."""


class Engine(Protocol):
    """Makes handles: `engine(process_object)` starts it, or raises and leaves nothing behind."""

    def __call__(self, process_obj: object) -> Handle: ...
