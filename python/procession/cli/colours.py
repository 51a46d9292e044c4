"""Whether what is printed may be coloured: where a terminal shows it, unless the user says otherwise.

`NO_COLOR` and `FORCE_COLOR` count if they are not empty, the former more (no-color.org, force-color.org; Python's own
tracebacks and, from 3.14 on, its argparse decide alike). Colours say nothing that the words do not.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from typing import TextIO

__all__ = ["BOLD", "GREEN", "RED", "YELLOW", "Paint", "coloured"]

RED, GREEN, YELLOW, BOLD, PLAIN = "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[1m", "\x1b[0m"


def coloured(stream: TextIO) -> bool:
    """Whether colours may be written to this stream."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


class Paint:
    """Colours texts for a stream, or leaves them alone."""

    def __init__(self, stream: TextIO) -> None:
        self.on: bool = coloured(stream)

    def __call__(self, text: str, colour: str) -> str:
        return f"{colour}{text}{PLAIN}" if self.on and colour and text else text
