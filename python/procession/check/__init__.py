"""What `procession check` finds in a run of a program, and how it is told.

A run in check mode leaves a directory behind (see `finding.noted` and `_recording`). Afterwards each analysis in
`analyses` reads it and gives a list of findings; `report` prints them.
"""

from __future__ import annotations

from .finding import KINDS, Finding, Place, note, noted

__all__ = ["KINDS", "Finding", "Place", "note", "noted"]
