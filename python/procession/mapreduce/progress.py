"""How far a run is, on a terminal: a line for the whole and one for each worker, drawn over themselves.

    wordcount ━━━━━━━━━━━━━━━━─────────  62%  199 MiB of 321 MiB  84.0 MiB/s  0:01 left
      4711  map      31%   100 MiB  12,906,104 pairs  38.7 MiB on disk
      4712  spill    31%  99.1 MiB  12,790,331 pairs  41.2 MiB on disk

Taken away at the end. Where standard error is not a terminal nothing is written at all. No colour is used. A library
for this would be the only run-time dependency of the package; this is a page.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TextIO

from procession._sizes import shown_size as size
from procession.pool.board import KeyedProgress, WorkerProgress

__all__ = ["Bar", "LineBar", "Screen", "counted", "duration", "size"]

LEAST_BAR = 10  # characters; below that only the numbers are shown
MOST_BAR = 40
REDRAW_SECONDS = 0.05  # at most twenty times a second


class Screen:
    """Some lines at the bottom of a terminal that are drawn over themselves. A context manager: leaving it clears them.

    `show=False`, a file that is no terminal and a terminal called "dumb" get nothing.
    """

    def __init__(self, out: TextIO, *, show: bool = True) -> None:
        self.out = out
        self.shows = show and out.isatty() and os.environ.get("TERM") != "dumb"
        unicode = (getattr(out, "encoding", None) or "").lower().startswith("utf")
        self.marks = ("━", "─") if unicode else ("#", ".")
        self.started = time.monotonic()
        self._drawn_at = -REDRAW_SECONDS
        self._drawn: list[str] = []

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._drawn:
            self._write(self._home() + "\x1b[J")
            self._drawn = []

    def is_due(self) -> bool:
        """Whether it is time to draw again."""
        return self.shows and time.monotonic() - self._drawn_at >= REDRAW_SECONDS

    def size(self) -> os.terminal_size:
        """Columns and lines of the terminal, as they are now."""
        try:
            found = os.get_terminal_size(self.out.fileno())
        except (OSError, ValueError):
            found = os.terminal_size((80, 24))
        return os.terminal_size((found.columns or 80, found.lines or 24))

    def draw(self, lines: Sequence[str]) -> None:
        """Puts these lines in the place of those before. Each must be shorter than the terminal is wide."""
        self._drawn_at = time.monotonic()
        text = self._home() + "".join(f"{line}\x1b[K\n" for line in lines[:-1]) + f"{lines[-1]}\x1b[K\x1b[J"
        self._drawn = list(lines)
        self._write(text)

    def _home(self) -> str:
        """What moves to the start of what was drawn. A terminal that became narrower has broken long lines in two."""
        columns = self.size().columns
        rows = sum(max(1, -(-len(line) // columns)) for line in self._drawn)
        return f"\r\x1b[{rows - 1}A" if rows > 1 else "\r"

    def _write(self, text: str) -> None:
        self.out.write(text)
        self.out.flush()

    def bar(self, label: str, part: float, numbers: str, columns: int) -> str:
        """A label, a bar and numbers, in less than so many columns; the bar goes first where they are few."""
        room = min(columns - 1 - len(label) - len(numbers) - 2, MOST_BAR)
        if room < LEAST_BAR:
            return f"{label} {numbers}"[: columns - 1]
        full = round(part * room)
        return f"{label} {self.marks[0] * full}{self.marks[1] * (room - full)} {numbers}"


class Bar(Screen):
    """What is shown of one run: `update` is its `progress`."""

    def __init__(self, label: str, out: TextIO, *, show: bool = True) -> None:
        super().__init__(out, show=show)
        self._label = label
        self._phase = ""
        self._phase_started = self.started

    def __enter__(self) -> Bar:
        return self

    def update(self, now: KeyedProgress) -> None:
        """Draws how far the run is, if it is time. Never blocks longer than the terminal does."""
        if now.phase != self._phase:
            self._phase, self._phase_started = now.phase, time.monotonic()
        elif not self.is_due():
            return
        if self.shows:
            columns, rows = self.size()
            self.draw(self.lines(now, time.monotonic() - self._phase_started, columns, rows))

    def lines(self, now: KeyedProgress, seconds: float, columns: int, rows: int = 24) -> list[str]:
        """The whole, and the workers as far as there are rows, `seconds` after the phase began."""
        shown = list(now.workers)[: max(0, rows - 2)]
        total = now.total_bytes if now.phase == "map" else None
        lines = [self.whole(now, seconds, columns), *worker_lines(shown, total, columns)]
        if len(shown) < len(now.workers) and shown:
            lines[-1] = f"  and {counted(len(now.workers) - len(shown) + 1, 'worker')} more"
        return [line[: columns - 1] for line in lines]

    def whole(self, now: KeyedProgress, seconds: float, columns: int) -> str:
        """The line for the whole run, shorter than `columns`."""
        total = now.total_bytes or 0
        part = min(1.0, now.bytes / total) if total else 1.0
        rate = now.bytes / seconds if seconds > 0 else 0.0
        if part >= 1:
            left = "ending"
        elif rate > 0:
            left = f"{duration((total - now.bytes) / rate)} left"
        else:
            left = "starting"
        of = f"{part:4.0%}  {size(now.bytes)} of {size(total)}" if total else size(now.bytes)
        phase = "" if now.phase == "map" else f"{now.phase} "
        for numbers in (f"{phase}{of}  {size(rate)}/s  {left}", f"{phase}{part:4.0%}  {size(rate)}/s  {left}"):
            if len(self._label) + 1 + len(numbers) < columns:
                break
        return self.bar(self._label, part, numbers, columns)


def worker_lines(workers: Sequence[WorkerProgress], total_bytes: int | None, columns: int) -> list[str]:
    """A line for each worker, shorter than `columns`: what is in no line, or has no room in one, is in none."""
    cells = []
    for one in workers:
        share = f"{one.bytes / total_bytes:.0%}" if total_bytes else ""
        pairs = f"{one.pairs:,} pairs" if one.pairs else ""
        spilled = f"{size(one.spilled_bytes)} on disk" if one.spilled_bytes else ""
        cells.append([f"  {one.pid}", one.state, share, size(one.bytes) if one.bytes else "", pairs, spilled])
    widths = [max((len(row[at]) for row in cells), default=0) for at in range(6)]
    widths[1] = max(widths[1], len("waiting"))  # so that the columns behind it stay where they are
    shown: list[int] = []
    for at in (0, 1, 4, 2, 5, 3):  # what matters most
        if widths[at] and sum(widths[other] + 2 for other in shown) + widths[at] < columns:
            shown.append(at)
    shown.sort()
    right = (0, 2, 3, 4, 5)  # numbers that are compared from line to line
    return [
        "  ".join(row[at].rjust(widths[at]) if at in right else row[at].ljust(widths[at]) for at in shown).rstrip()
        for row in cells
    ]


class LineBar(Screen):
    """What is shown of a map over lines. `size_bytes` is that of the input, if known."""

    def __init__(self, label: str, out: TextIO, size_bytes: int | None, *, show: bool = True) -> None:
        super().__init__(out, show=show)
        self._label, self._size_bytes = label, size_bytes

    def __enter__(self) -> LineBar:
        return self

    def update(self, done_bytes: int, lines: int) -> None:
        """Draws how far it is, if it is time."""
        if self.is_due():
            self.draw([self.line(done_bytes, lines, time.monotonic() - self.started, self.size().columns)])

    def line(self, done_bytes: int, lines: int, seconds: float, columns: int) -> str:
        """The text of the line, shorter than `columns`."""
        rate = done_bytes / seconds if seconds > 0 else 0.0
        numbers = f"{counted(lines, 'line')}  {size(done_bytes)}  {size(rate)}/s"
        if not self._size_bytes:
            return f"{self._label}  {numbers}"[: columns - 1]
        part = min(1.0, done_bytes / self._size_bytes)
        left = duration((self._size_bytes - done_bytes) / rate) if rate else "?"
        return self.bar(self._label, part, f"{part:4.0%}  {numbers}  {left} left", columns)


def counted(number: int, noun: str) -> str:
    """`1 file`, `2,345 files`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def duration(seconds: float) -> str:
    """Seconds as `m:ss`, or `h:mm:ss` from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
