"""The guard `if __name__ == "__main__":`, and what becomes of a program that has none.

A child that is started by spawn or forkserver imports the main module. Without the guard it would start children there
itself, and these theirs.
"""

from __future__ import annotations

import sys
from multiprocessing import process

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from typing import Any

__all__ = ["leave_quietly", "refuse_unguarded"]


def refuse_unguarded() -> None:
    """Raises: NotGuarded in a process that is still importing its parent's main module, and would start others."""
    if getattr(process.current_process(), "_inheriting", False):
        from .errors import NotGuarded

        raise NotGuarded


def leave_quietly(worker: str) -> None:
    """Print nothing of NotGuarded in a process with `worker` in its name: its parent's error will say so, once."""
    if worker not in process.current_process().name:
        return
    from .errors import NotGuarded

    previous = sys.excepthook

    def show(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        if not isinstance(error, NotGuarded):
            previous(kind, error, trace)

    sys.excepthook = show
