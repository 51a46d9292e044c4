"""What pools are given to do in the tests: importable, so that workers of every start method find it."""

from __future__ import annotations

import faulthandler
import os
import sys
from typing import Any


def double(number: int) -> int:
    return 2 * number


def add(left: int, right: int = 100) -> int:
    return left + right


def raise_for(number: int) -> int:
    if number < 0:
        raise ValueError(f"{number} is negative")
    return number


def die_for(number: int) -> int:
    if number < 0:
        faulthandler.disable()
        os.kill(os.getpid(), -number)
    return number


def leave(code: int) -> None:
    sys.exit(code)


def own_pid(_: object = None) -> int:
    return os.getpid()


def wait_for(event: Any) -> bool:
    return bool(event.wait(20))


def identity(thing: Any) -> Any:
    return thing
