"""Numbers as progress lines say them: counts, durations, rates; and texts cut to so many columns of a terminal."""

from __future__ import annotations

from unicodedata import category, combining, east_asian_width

__all__ = ["counted", "duration", "plain", "rate", "short_duration", "shortened", "width"]


def counted(number: int, noun: str) -> str:
    """`1 file`, `2,345 files`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def duration(seconds: float) -> str:
    """Seconds as `m:ss`, or `h:mm:ss` from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def short_duration(seconds: float) -> str:
    """The same where the fraction matters: `0.42 s`, `9.5 s`, then as `duration`."""
    if seconds < 9.95:
        return f"{seconds:.2f} s" if seconds < 0.995 else f"{seconds:.1f} s"
    return duration(seconds)


def rate(per_second: float) -> str:
    """Items by time: `1.2M/s`, `84.0/s`; below one a second the time of an item: `2.5 s/item`."""
    if per_second <= 0:
        return ""
    if per_second < 1:
        seconds = 1 / per_second
        return f"{seconds:.1f} s/item" if seconds < 59.95 else f"{duration(seconds)}/item"
    for least, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if per_second >= least * 0.9995:
            return f"{_three_digits(per_second / (1e3 if unit == 'k' else least))}{unit}/s"
    return f"{_three_digits(per_second)}/s"


def _three_digits(number: float) -> str:
    return f"{number:,.0f}" if number >= 99.95 else f"{number:.1f}" if number >= 9.995 else f"{number:.2f}"


def plain(text: str) -> str:
    """The text without what would move a terminal's cursor: control characters are blanks."""
    return "".join(" " if category(char)[0] == "C" else char for char in text)


def width(text: str) -> int:
    """Columns that a text takes: two for a wide character, none for one that is put onto its neighbour."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)


def shortened(text: str, columns: int, dots: str = "…") -> str:
    """The text, or its beginning and dots, in at most so many columns."""
    if width(text) <= columns:
        return text
    while text and width(text) + len(dots) > columns:
        text = text[:-1]
    return f"{text}{dots}"[: max(0, columns)]
