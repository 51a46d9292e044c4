"""What the tests of the primitives share: parties (processes or threads), and knowing that one waits."""

import os
import signal
from collections.abc import Callable
from typing import Any

from procession.testing import wait_until


class Team:
    """Starts parties and ends them all."""

    def __init__(self) -> None:
        self.members: list[Any] = []

    def start(self, ctx: Any, fn: Callable[..., Any], *args: Any) -> Any:
        member = ctx.Process(target=fn, args=args)
        member.start()
        self.members.append(member)
        return member

    def end(self) -> None:
        for member in self.members:
            member.join()
            member.close()


def blocked(thing: Any, count: int = 1) -> None:
    """Return once `count` parties wait there."""
    wait_until(lambda: thing.statistics().waiters == count)


def kill(process: Any) -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.join()


def failure(fn: Callable[..., Any], *args: Any) -> type[BaseException] | None:
    """What the call raises, as a value: an uncaught exception would be printed."""
    try:
        fn(*args)
    except Exception as error:
        return type(error)
    return None
