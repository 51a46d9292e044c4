"""What the pools of the asynchronous tests are asked to do, and how many tasks of a loop wait for one of them."""

import os
import signal
from typing import Any

from procession._waiting import alarm, pools
from procession.pool import Pool


def double(number: int) -> int:
    return 2 * number


def fail(number: int) -> None:
    raise KeyError(number)


def fail_on_three(number: int) -> int:
    if number == 3:
        raise TimeoutError("three")  # not to be taken for a wait that timed out
    return number


def die_on_three(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def after(event: Any, value: Any) -> Any:
    event.wait()
    return value


def own_pid(event: Any) -> int:
    event.wait()
    return os.getpid()


def broken() -> None:
    raise RuntimeError("no worker of mine")


def awaited(pool: Pool) -> int:
    """How many tasks wait for something of it."""
    return sum(len(desk._waiting) for desk in list(alarm._alarms.values()) if isinstance(desk, pools._Desk))
