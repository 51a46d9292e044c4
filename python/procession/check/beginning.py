"""How check mode begins: what this process and all that it starts are told by their environment.

Loads little, for the program is about to run in this process.
"""

from __future__ import annotations

import os

from .. import _recording

__all__ = ["begin"]

DEADLOCKS_VARIABLE = "PROCESSION_DETECT_DEADLOCKS"


def begin(directory: str) -> None:
    """Record this process from now on, and what it starts, into `directory`, which exists; in the place of another."""
    path = os.path.abspath(directory)
    if os.environ.get("PROCESSION_CHECK") != path or os.environ.get("PROCESSION_RECORD") != path:
        os.environ["PROCESSION_CHECK"] = path
        os.environ[DEADLOCKS_VARIABLE] = "1"
        _recording.begin(path, _recording.CHECK)
    from . import watching

    watching.watch()
