"""Bars of jobs that are measured in bytes: keyed map-reduces and maps over lines, as the commands show them.

    wordcount ━━━━━━━━━━━━━━━━─────────  62%  199 MiB of 321 MiB  84.0 MiB/s  0:01 left
      4711  map      31%   100 MiB  12,906,104 pairs  38.7 MiB on disk
      4712  spill    31%  99.1 MiB  12,790,331 pairs  41.2 MiB on disk

The commands' bars have a line for each worker and are taken away at the end, for a summary follows; those of a call
with `progress=True` are the first line alone, and stay.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from time import monotonic

from .._sizes import shown_size as size
from .._variables import switched
from . import lines, words
from .displays import Called, display_for
from .rate import Rate
from .screen import REDRAW_SECONDS, encodes, is_terminal, on_screen
from .words import counted

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any, Self, TextIO

    from ..pool.board import KeyedProgress, WorkerProgress

__all__ = ["Bar", "KeyedView", "LineBar", "keyed_reporter", "worker_lines"]


class KeyedView:
    """Makes views of what a keyed map-reduce tells, one after the other: the rate is that of the phase."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._phase = ""
        self._rate = Rate(0.0)

    def __call__(self, now: KeyedProgress, stopped: bool) -> lines.View:
        if now.phase != self._phase:
            self._phase, self._rate = now.phase, Rate(now.seconds)
        in_bytes = bool(now.total_bytes) or not now.total_items
        done, total = (now.bytes, now.total_bytes) if in_bytes else (now.items, now.total_items)
        self._rate.feed(now.seconds, done)
        part = None if total is None else min(1.0, done / total) if total else 1.0
        rate = self._rate.per_second(now.seconds) or 0.0
        speed = f"{size(rate)}/s" if in_bytes else words.rate(rate)
        if stopped:
            left = f"stopped after {words.short_duration(now.seconds)}"
        elif part is None:
            left = words.duration(now.seconds)
        elif part >= 1:
            left = "ending"
        else:
            seconds = self._rate.left(now.seconds, total or 0)
            left = "starting" if seconds is None else f"{words.duration(seconds)} left"
        phase = "" if now.phase == "map" else f"{now.phase} "
        percent = "" if part is None else f"{int(part * 100):3d}%"
        shown = (size(done), size(total or 0)) if in_bytes else (f"{done:,}", f"{total or 0:,}")
        of = f"{percent}  {shown[0]} of {shown[1]}" if total else shown[0]
        told = [f"{phase}{of}  {speed}  {left}", f"{phase}{percent}  {speed}  {left}", f"{phase}{percent}  {left}"]
        return lines.View(self._title, part, told)

    def last(self, now: KeyedProgress) -> lines.View:
        """How it ended."""
        rate = now.items / now.seconds if now.seconds > 0 else 0.0
        told = [f"{counted(now.items, 'item')}", words.rate(rate), f"in {words.short_duration(now.seconds)}"]
        return lines.View(self._title, 1.0, ["100%  " + "  ".join(told), f"100%  {told[2]}"])


@contextmanager
def keyed_reporter(progress: Any, title: str) -> Iterator[Callable[[KeyedProgress], object] | None]:
    """What a keyed map-reduce is to call with how far it is, for anything that `progress=` may be; None for nothing.

    Raises: TypeError for anything else.
    """
    title = progress if isinstance(progress, str) else title
    view = KeyedView(title)
    last: KeyedProgress | None = None
    map_phase: KeyedProgress | None = None

    def shown(now: KeyedProgress, stopped: bool) -> lines.View:
        return view.last(map_phase) if now.ended and map_phase is not None else view(now, stopped)

    display = display_for(progress, shown)
    if display is None:
        yield None
        return

    hears_all = display.own or isinstance(display, Called)  # others count items, of which the reduce phase has none

    def tell(now: KeyedProgress) -> None:
        nonlocal last, map_phase
        now = now.told(title)
        if last is None:
            display.begin(now)
        if now.phase == "map" or hears_all:
            display.show(now)
        last, map_phase = now, now if now.phase == "map" else map_phase

    try:
        yield tell
    except BaseException:
        if last is not None:
            display.end(last, True)
        raise
    if last is not None:
        display.end(last.told(title, ended=True), False)


class _Shown:
    """What the commands' bars have in common. A context manager: leaving it takes the bar away."""

    def __init__(self, label: str, out: TextIO, *, show: bool = True) -> None:
        """`show=False`, a file that is no terminal and a terminal called "dumb" get nothing."""
        off = os.environ.get("TERM") == "dumb" or switched("PROCESSION_PROGRESS") is False
        self.shows: bool = show and not off and is_terminal(out)
        self._label, self._out = label, out
        self._marks = lines.MARKS if encodes(out, "".join(lines.MARKS)) else lines.ASCII
        self._screen: Any = None
        self._told_at = -REDRAW_SECONDS

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._screen is not None:
            self._screen.end(self)

    def _draw(self) -> None:
        if self._screen is None:
            self._screen = on_screen(self, self._out)  # type: ignore[arg-type]
        else:
            self._screen.draw()


class Bar(_Shown):
    """What the commands show of a map-reduce: `update` is its `progress`."""

    def __init__(self, label: str, out: TextIO, *, show: bool = True) -> None:
        super().__init__(label, out, show=show)
        self._view = KeyedView(label)
        self._now: tuple[lines.View, KeyedProgress] | None = None

    def update(self, now: KeyedProgress) -> None:
        """Draws how far the run is, if it is time. Never blocks longer than the terminal does."""
        if self.shows:
            self.see(now)
            self._draw()

    def see(self, now: KeyedProgress) -> None:
        """Notes how far the run is."""
        self._now = self._view(now, False), now

    def lines(self, columns: int, rows: int = 24) -> list[str]:
        """The whole, and the workers as far as there are rows, each narrower than `columns`."""
        assert self._now is not None
        view, now = self._now
        shown = list(now.workers)[: max(0, rows - 1)]
        total = now.total_bytes if now.phase == "map" else None
        told = [lines.line(view, columns, self._marks), *worker_lines(shown, total, columns)]
        if len(shown) < len(now.workers) and shown:
            told[-1] = f"  and {counted(len(now.workers) - len(shown) + 1, 'worker')} more"
        return [line[: columns - 1] for line in told]


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


class LineBar(_Shown):
    """What the commands show of a map over lines. `size_bytes` is that of the input, if known."""

    def __init__(self, label: str, out: TextIO, size_bytes: int | None, *, show: bool = True) -> None:
        super().__init__(label, out, show=show)
        self._size_bytes = size_bytes
        self._began = monotonic()
        self._rate = Rate(self._began)
        self._view = lines.View(label, None, [""])

    def update(self, done_bytes: int, number: int) -> None:
        """Draws how far it is, if it is time: so many bytes, so many lines."""
        now = monotonic()
        if self.shows and now - self._told_at >= REDRAW_SECONDS:
            self._told_at = now
            self.see(done_bytes, number, now - self._began)
            self._draw()

    def see(self, done_bytes: int, number: int, seconds: float) -> None:
        """Notes how far it is, so long after it began."""
        now = self._began + seconds
        self._rate.feed(now, done_bytes)
        told = f"{counted(number, 'line')}  {size(done_bytes)}  {size(self._rate.per_second(now) or 0.0)}/s"
        if not self._size_bytes:
            self._view = lines.View(self._label, None, [told, counted(number, "line")])
            return
        part = min(1.0, done_bytes / self._size_bytes)
        seconds_left = self._rate.left(now, self._size_bytes)
        left = "?" if seconds_left is None else words.duration(seconds_left)
        percent = f"{int(part * 100):3d}%"
        numbers = (f"{percent}  {told}", f"{percent}  {counted(number, 'line')}", percent)
        self._view = lines.View(self._label, part, [f"{text}  {left} left" for text in numbers])

    def lines(self, columns: int, rows: int = 24) -> list[str]:
        """The one line, narrower than `columns`."""
        return [lines.line(self._view, columns, self._marks)]
