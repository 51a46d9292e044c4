"""`# procession: ignore[race]`: a comment at the end of a line that leaves out findings with a place there.

Several kinds are separated by commas; `# procession: ignore` alone means all of them.
"""

from __future__ import annotations

import linecache
import re

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from .finding import Finding

__all__ = ["is_suppressed"]

_COMMENT = re.compile(r"#\s*procession:\s*ignore(?!\w)(?:\[(?P<kinds>[^\]]*)\])?")


def is_suppressed(finding: Finding) -> bool:
    """Whether a line among the finding's places says so."""
    for place in finding.places:
        match = _COMMENT.search(linecache.getline(place.file, place.line)) if place.file else None
        if match is not None and (
            match["kinds"] is None or finding.kind in re.split(r"[\s,]+", match["kinds"].strip())
        ):
            return True
    return False
