"""How check mode begins: what this process and all that it starts are told by their environment.

Loads little, for the program is about to run in this process.
"""

from __future__ import annotations

import os

__all__ = ["begin"]

DEADLOCKS_VARIABLE = "PROCESSION_DETECT_DEADLOCKS"


def begin(directory: str) -> None:
    """Record this program from now on, for the analyses, into `directory`, which exists."""
    path = os.path.abspath(directory)
    os.environ["PROCESSION_CHECK"] = path
    os.environ[DEADLOCKS_VARIABLE] = "1"
    _record(path)
    from .watching import watch

    watch()


def _record(path: str) -> None:
    """Accesses and synchronisation."""
    try:
        from procession import _recording
    except ImportError:
        return
    _recording.begin(path, _recording.CHECK)
