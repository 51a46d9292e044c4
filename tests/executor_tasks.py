"""What executors are given to do in the tests, besides `pool_tasks`: importable, so that every worker finds it."""

from __future__ import annotations

import sys
from typing import Any


class Adder:
    """Something with a method, and something to call."""

    def __init__(self, number: int) -> None:
        self.number = number

    def add(self, other: int) -> int:
        return self.number + other

    __call__ = add


def begin_and_wait(begun: Any, go_on: Any) -> bool:
    """Tell that the call is being made, then wait."""
    begun.release()
    return bool(go_on.wait(20))


def set_event(event: Any) -> None:
    event.set()


def leave_while(what: str) -> object:
    """Return something whose pickling, or unpickling, ends or fails."""
    return Bad(what)


class Bad:
    """Raises SystemExit or ValueError when it is pickled or unpickled."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __reduce__(self) -> Any:
        if self.what == "exit in pickling":
            sys.exit(4)
        if self.what == "error in pickling":
            raise ValueError("not this one")
        return fail, (self.what,)


def fail(what: str) -> None:
    if what == "exit in unpickling":
        sys.exit(5)
    raise ValueError("cannot be made again")


def fail_to_begin(number: int) -> None:
    raise KeyError(f"initializer {number}")


stored = 0


def store(number: int) -> None:
    global stored
    stored = number


def read_stored(_: object = None) -> int:
    return stored


def total_of_children(method: str, numbers: list[int]) -> int:
    """In a process: use an executor and leave it as it is."""
    import procession

    executor = procession.Executor(2, context=method)
    return sum(executor.map(int, numbers))


def use_and_leave(method: str, event: Any) -> None:
    """In a process: leave work to an executor at the end."""
    import procession

    global _kept
    _kept = procession.Executor(1, context=method)
    _kept.submit(set_event, event)


_kept: Any = None
