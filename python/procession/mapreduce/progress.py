"""One line on a terminal that says how far a run is: bytes done, rate, time left.

    wordcount ━━━━━━━━━━━━━━━━━━━━━━━━────────────── 62 %  199 of 321 MiB  84 MiB/s  0:01 left

Drawn over itself, and taken away at the end. Where standard error is not a terminal nothing is written at all. A
library for this would be the only run-time dependency of the package; this is a page.
"""

from __future__ import annotations

import os
import time
from typing import TextIO

__all__ = ["Bar", "duration", "size"]

LEAST_BAR = 10  # characters; below that only the numbers are shown
REDRAW_SECONDS = 0.05  # at most twenty times a second


class Bar:
    """The line for one run. A context manager: leaving it clears the line."""

    def __init__(self, label: str, out: TextIO, *, show: bool = True) -> None:
        self._label = label
        self._out = out
        self._show = show and out.isatty() and os.environ.get("TERM") != "dumb"
        self._started = time.monotonic()
        self._drawn = -REDRAW_SECONDS
        unicode = (getattr(out, "encoding", None) or "").lower().startswith("utf")
        self._marks = ("━", "─") if unicode else ("#", ".")

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._show and self._drawn > 0:
            self._write("")

    def update(self, done_bytes: int, all_bytes: int) -> None:
        """Draws the line for so many bytes done. Never blocks longer than the terminal does."""
        now = time.monotonic()
        if not self._show or now - self._drawn < REDRAW_SECONDS:
            return
        self._drawn = now
        try:
            columns = os.get_terminal_size(self._out.fileno()).columns or 80
        except OSError:
            columns = 80
        self._write(self.line(done_bytes, all_bytes, now - self._started, columns))

    def line(self, done_bytes: int, all_bytes: int, seconds: float, columns: int) -> str:
        """The text of the line, at most `columns` - 1 characters."""
        part = min(1.0, done_bytes / all_bytes) if all_bytes else 1.0
        rate = done_bytes / seconds if seconds > 0 else 0.0
        if part >= 1:
            left = "gathering"
        elif rate > 0:
            left = f"{duration((all_bytes - done_bytes) / rate)} left"
        else:
            left = "starting"
        numbers = f"{part:4.0%}  {size(done_bytes)} of {size(all_bytes)}  {size(rate)}/s  {left}"
        room = columns - 1 - len(self._label) - len(numbers) - 2
        if room < LEAST_BAR:
            return f"{self._label} {numbers}"[: columns - 1]
        full = round(part * min(room, 40))
        return f"{self._label} {self._marks[0] * full}{self._marks[1] * (min(room, 40) - full)} {numbers}"

    def _write(self, text: str) -> None:
        self._out.write(f"\r\x1b[K{text}")
        self._out.flush()


def size(size_bytes: float) -> str:
    """A number of bytes for people: `0 B`, `12.3 KiB`, `321 MiB`."""
    units = ["TiB", "GiB", "MiB", "KiB", "B"]
    while size_bytes >= 999.5 and len(units) > 1:
        size_bytes /= 1024
        units.pop()
    digits = 1 if units[-1] != "B" and size_bytes < 99.95 else 0
    return f"{size_bytes:.{digits}f} {units[-1]}"


def duration(seconds: float) -> str:
    """Seconds as `m:ss`, or `h:mm:ss` from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
