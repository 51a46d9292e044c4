"""Synchronisation that is not followed: of a process that uses it no race is claimed.

Lock files (`fcntl.flock`, `lockf`), sockets and plain pipes can order accesses, and from outside nobody sees that they
do. What the standard library and this package use of them inside is followed elsewhere, so only calls straight from
the user's program count. Notification by signals and polling of files are not noticed.
"""

from __future__ import annotations

import os
import sys

from ... import _native
from ..events import UNSEEN
from ..journal import is_users

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from typing import Any

__all__ = ["watch"]

_EVENTS = {"fcntl.flock", "fcntl.lockf", "socket.connect", "socket.bind"}
_told: set[int] = set()


def watch() -> None:
    """Notice it from now on."""
    sys.addaudithook(_audit)
    plain = os.pipe

    def pipe() -> tuple[int, int]:
        _notice("os.pipe")
        return plain()

    os.pipe = pipe


def _audit(event: str, _arguments: Any) -> None:
    if event in _EVENTS:
        _notice(event)


def _notice(what: str) -> None:
    frame = sys._getframe(2)
    if os.getpid() not in _told and is_users(frame.f_code.co_filename):
        _told.add(os.getpid())
        _native.record(UNSEEN, label=what)
