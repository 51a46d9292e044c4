"""One line for one bar, pure: from what is to be said and a number of columns to a text.

A line is never as wide as the terminal, so that no terminal breaks it in two. Where room is scarce it is the bar that
gets shorter first, then what is said gets less (each view lists its numbers in several lengths, the longest first),
then there is no bar, and at last the title is cut.
"""

from __future__ import annotations

from . import words

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .snapshot import Snapshot

__all__ = ["ASCII", "MARKS", "View", "line", "view_of"]

LEAST_BAR = 10  # characters; below that only the numbers are shown
MOST_BAR = 40
MOST_TITLE = 30  # columns; and never more than a third of the line

MARKS = ("━", "─", "…")  # done, to be done, and what stands for a title's end
ASCII = ("#", ".", "~")


class View:
    """What a line says."""

    def __init__(self, title: str, part: float | None, numbers: Sequence[str]) -> None:
        """`part`: how much is done, from 0 to 1, None if unknown. `numbers`: the same in less and less words."""
        self.title: str = title
        self.part: float | None = part
        self.numbers: Sequence[str] = numbers


def line(view: View, columns: int, marks: tuple[str, str, str] = MARKS) -> str:
    """The view in less than so many columns."""
    room = columns - 1
    title = words.shortened(words.plain(view.title), max(4, min(MOST_TITLE, columns // 3)), marks[2])
    head = words.width(title) + 1 if title else 0
    lead = f"{title} " if title else ""
    if view.part is not None:
        for numbers in view.numbers:
            bar = min(room - head - words.width(numbers) - 1, MOST_BAR)
            if bar >= LEAST_BAR:
                full = int(min(1.0, max(0.0, view.part)) * bar)
                return f"{lead}{marks[0] * full}{marks[1] * (bar - full)} {numbers}"
    for numbers in view.numbers:
        if head + words.width(numbers) <= room:
            return f"{lead}{numbers}"
    return words.shortened(f"{lead}{view.numbers[-1]}", room, marks[2])


def view_of(now: Snapshot, stopped: bool = False) -> View:
    """What is said of a count of items. `stopped`: it ended before everything was done."""
    total = "" if now.total is None else f"{now.total:,}"
    done = f"{now.done:>{len(total)},}/{total}" if total else f"{now.done:,}"  # so that bars keep their length
    part = None if now.total is None else now.done / now.total if now.total else 1.0
    percent = "" if part is None else f"{int(part * 100):3d}%"  # 100% is said when it is all, and not before
    speed = words.rate(now.rate or 0.0)
    passed = words.duration(now.elapsed)
    if stopped or now.ended:
        word = "stopped after" if stopped else "in"
        passed = left = f"{word} {words.short_duration(now.elapsed)}"
    else:
        speed = speed and f"{speed:>7}"
        left = "" if now.left is None else f"{words.duration(now.left)} left"
    failed = f"{now.failed:,} failed" if now.failed else ""
    told = [(percent, done, speed, passed, left), (percent, done, speed, left), (percent, done, left), (percent, left)]
    if now.total is None:
        told = [(done, speed, passed), (done, passed), (done,)]
    return View(now.title, part, [_joined(*parts, failed) for parts in told])


def _joined(*parts: str) -> str:
    kept: list[str] = []
    for part in parts:
        if part and part not in kept:
            kept.append(part)
    return "  ".join(kept)
