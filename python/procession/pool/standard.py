"""What of `multiprocessing.pool` is the standard library's here too: ours work with it, and it travels by name.

Only the names: that module is slow to import, and is imported when one of them is first used.
"""

from __future__ import annotations

__all__ = ["NAMES"]

NAMES = (
    "ExceptionWithTraceback",
    "MaybeEncodingError",
    "_helper_reraises_exception",
    "job_counter",
    "mapstar",
    "rebuild_exc",
    "starmapstar",
    "worker",
)
