"""What the table of deaths has done: the manners to misbehave, and the moments at which a process comes to it.

Importable, so that workers of every start method find it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
import warnings
from multiprocessing import util
from typing import Any

MIB = 1 << 20
LIMIT = 64 * MIB  # of a worker's memory
PATIENCE_S = 20.0  # how long a worker with too much memory waits for its end; no test waits so long
EXITS = {  # how a worker ends that does not survive it
    "sys.exit": 7,
    "os._exit": 8,
    "segfault": -signal.SIGSEGV,
    "SIGTERM": -signal.SIGTERM,
    "SIGKILL": -signal.SIGKILL,
}


# The manners


def misbehave(manner: str, who: Any, patience_s: float = PATIENCE_S) -> str:
    """Write down who this is, and misbehave. Returns "done" if that does not end it."""
    who[0] = os.getpid()
    if manner == "exception":
        raise LookupError("misbehaved")
    if manner == "sys.exit":
        sys.exit(EXITS[manner])
    if manner == "os._exit":
        os._exit(EXITS[manner])
    if manner == "segfault":
        ctypes.string_at(0)
    elif manner == "SIGTERM":
        terminate_from_outside()
    elif manner == "memory limit":
        kept = bytearray(LIMIT + 16 * MIB)
        time.sleep(patience_s)
        del kept
    else:
        os.kill(os.getpid(), signal.Signals[manner])
    return "done"


def terminate_from_outside() -> None:
    """From a process that is neither this one nor its parent, as a service manager does."""
    pid = os.getpid()
    messenger = os.fork()
    if messenger == 0:
        os.kill(pid, signal.SIGTERM)
        os._exit(0)
    os.waitpid(messenger, 0)


def done(*_: object) -> str:
    return "done"


def misbehave_when(go: Any, manner: str, who: Any) -> str:
    go.wait(PATIENCE_S)
    return misbehave(manner, who)


# The moments


class WhenPickled:
    """Misbehaves where it is pickled: with an argument that is the caller, with a result the worker."""

    def __init__(self, manner: str, who: Any, patience_s: float) -> None:
        self.given = manner, who, patience_s

    def __reduce__(self) -> Any:
        return str, (misbehave(*self.given),)


class WhenUnpickled:
    """Misbehaves where it is unpickled."""

    def __init__(self, manner: str, who: Any) -> None:
        self.given = manner, who

    def __reduce__(self) -> Any:
        return misbehave, self.given


def reply(manner: str, who: Any) -> WhenPickled:
    return WhenPickled(manner, who, PATIENCE_S)


def reply_to(number: int, manner: str, who: Any) -> Any:
    """The number, but for 2 something that misbehaves."""
    return reply(manner, who) if number == 2 else number


def hold(lock: Any, manner: str, who: Any) -> str:
    with lock:
        return misbehave(manner, who)


def acquire(lock: Any) -> str:
    """Whether the lock was left by one that died."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with lock:
            return "abandoned" if told else "free"


def misbehave_upon_signal(manner: str, who: Any) -> None:
    signal.signal(signal.SIGUSR1, lambda signum, frame: misbehave(manner, who))


def misbehave_once(once: Any, manner: str, who: Any) -> None:
    """Misbehave in the first process that comes here."""
    if once.acquire(block=False):
        misbehave(manner, who)


def misbehave_at_exit(manner: str, who: Any) -> str:
    """Have this worker misbehave when it ends."""
    util.Finalize(None, misbehave, (manner, who), exitpriority=10)
    return "done"
