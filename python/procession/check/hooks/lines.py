"""What the text of a line says without parsing the program; asked once for each place where something is recorded."""

from __future__ import annotations

import linecache
import re

__all__ = ["may_wait"]

# Something of an object is assigned, after a `with` on the same line perhaps. (A plain variable may be tested on
# another line.)
_ASSIGNS = re.compile(
    r"^\s*(?:with\b[^:]*:\s*)?[\w.]*\w(?:\.\w+|\[[^=]*\]|\(\))+\s*(?:[-+*/%&|^@]|//|\*\*|<<|>>)?=(?!=)"
)
_TESTS = re.compile(r"\b(?:while|if|elif|lambda|for|return)\b|:=")


def may_wait(file: str, line: int) -> bool:
    """Whether a read there may wait for a change (see `source.is_polling`); True where it cannot be told."""
    text = linecache.getline(file, line)
    return not _ASSIGNS.search(text) or _TESTS.search(text) is not None
