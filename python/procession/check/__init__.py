"""What `procession check` finds in a run of a program, and how it is told.

A run in check mode leaves a directory behind: records of accesses and synchronisation (`_recording`), a journal of
each process (`journal`), findings noted at once (`finding.note`). Afterwards each analysis in `analyses` reads it and
gives a list of findings; `report` prints them. `beginning` starts it, `watching` is what a checked process does
besides its work.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` is slow to import, and every process of a checked program imports this
if TYPE_CHECKING:
    from typing import Any

    from .finding import KINDS, Finding, Place, note, noted

__all__ = ["KINDS", "Finding", "Place", "note", "noted"]


def __getattr__(name: str) -> Any:
    """Bind a public name on first use."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import finding

    return getattr(finding, name)
