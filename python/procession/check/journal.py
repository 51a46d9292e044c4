"""The journal of each process of a checked run: events as lines of JSON, in a file of the process's own.

They are few: a start, a first change, an end. Each is one write of one line, so what was written stays readable
whatever becomes of the process; what a kill -9 prevented from being written is not known, and nothing is concluded
from it.

Here is also where in the user's program a thread is: the stack without this package and the standard library.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import sysconfig
import time

TYPE_CHECKING = False  # `typing` is slow to import, and every process of a checked program imports this
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from typing import Any

__all__ = ["VARIABLE", "events", "is_users", "stack", "tell", "who"]

VARIABLE = "PROCESSION_CHECK"
MOST_FRAMES = 32

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_BELOW = tuple(os.path.join(_PACKAGE, name, "") for name in ("cli", "_engines"))
_LIBRARIES = tuple({os.path.join(sysconfig.get_path(name), "") for name in ("stdlib", "platstdlib")})
_TESTS = os.path.join(sysconfig.get_path("stdlib"), "test", "")  # of Python itself: programs like any other
_SCRIPTS = os.path.join(sysconfig.get_path("scripts"), "")
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_is_users: dict[str, bool] = {}


def is_users(file: str) -> bool:
    """Whether a file is part of the user's program: not of this package, the standard library or what is installed."""
    known = _is_users.get(file)
    if known is None:
        path = os.path.abspath(file)
        is_library = path.startswith(_LIBRARIES) and not path.startswith(_TESTS)
        is_installed = path.startswith((_PACKAGE, _SCRIPTS)) or any(part in path for part in _INSTALLED)
        known = file == "<string>" or not (file.startswith("<") or is_library or is_installed)
        _is_users[file] = known
    return known


def stack(frame: FrameType | None = None) -> list[str]:
    """The sites of the user's frames, the innermost first."""
    frame = sys._getframe(1) if frame is None else frame
    sites: list[str] = []
    while frame is not None and len(sites) < MOST_FRAMES:
        code = frame.f_code
        if code.co_filename.startswith(_BELOW):
            break  # what lies below is our command, or of the parent that this process was forked from
        if is_users(code.co_filename):
            file = code.co_filename if code.co_filename.startswith("<") else os.path.abspath(code.co_filename)
            sites.append(f"{file}:{frame.f_lineno} in {code.co_qualname}")
        frame = frame.f_back
    return sites


def who() -> str:
    """This process as findings name it."""
    from multiprocessing import process

    return f"{process.current_process().name}, pid {os.getpid()}"


def tell(event: str, **facts: Any) -> None:
    """Write one event. Outside a checked run, or when its directory is gone, nothing happens."""
    directory = os.environ.get(VARIABLE)
    if not directory:
        return
    entry = {"event": event, "pid": os.getpid(), "time": time.time(), "who": who(), **facts}
    line = json.dumps(entry, default=repr) + "\n"
    with contextlib.suppress(OSError):
        path = os.path.join(directory, f"journal-{os.getpid()}.jsonl")
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(fd, line.encode())
        finally:
            os.close(fd)


def events(directory: str) -> Iterator[dict[str, Any]]:
    """All events of a run, those of a process in order. A line that a death cut off is left out."""
    for name in sorted(os.listdir(directory)):
        if name.startswith("journal-"):
            with open(os.path.join(directory, name), encoding="utf-8", errors="replace") as file:
                for line in file:
                    with contextlib.suppress(ValueError):
                        yield json.loads(line)
