"""Numbers, times and places as the monitor writes them: short enough for a column, the same everywhere.

Widths are in terminal cells. A number nobody knows yet (a rate needs two looks) is `UNKNOWN`, never 0.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = [
    "UNKNOWN",
    "bar",
    "clock",
    "count",
    "duration",
    "one_line",
    "percent",
    "plural",
    "rate",
    "size",
    "sparkline",
    "visible",
]

UNKNOWN = "–"
# A name may have anything in it; what moves the cursor of a terminal must not reach it, nor what turns the rest round.
_TURNING = (0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
_CONTROL = {code: "·" for code in (*range(32), *range(127, 160), *_TURNING) if code != 10}
_LEVELS = "▁▂▃▄▅▆▇█"
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def size(nbytes: float | None) -> str:
    """Bytes in at most 5 cells: 812, 9.4K, 123M."""
    if nbytes is None:
        return UNKNOWN
    value = float(nbytes)
    for unit in ("", "K", "M", "G", "T"):
        if value < 999.5 or unit == "T":
            break
        value /= 1024
    if not unit:
        return f"{value:.0f}"
    return f"{value:.1f}{unit}" if value < 9.95 else f"{value:.0f}{unit}"


def count(number: float | None) -> str:
    """A count in at most 5 cells, in thousands and millions where it is large: 9999, 12k, 3.4M."""
    if number is None:
        return UNKNOWN
    if number < 10_000:
        return f"{number:.0f}"
    value = number / 1000
    for unit in ("k", "M", "G", "T"):
        if value < 999.5 or unit == "T":
            break
        value /= 1000
    return f"{value:.1f}{unit}" if value < 9.95 else f"{value:.0f}{unit}"


def rate(per_second: float | None) -> str:
    """So many a second, in at most 5 cells; a slow one with a digit behind the point."""
    if per_second is None:
        return UNKNOWN
    if per_second == 0:
        return "0"
    if per_second < 9.95:
        return f"{per_second:.1f}" if per_second >= 0.05 else "<0.1"
    return count(per_second)


def percent(share: float | None) -> str:
    """A share of 1 as a percentage; CPU may pass 100."""
    if share is None:
        return UNKNOWN
    value = share * 100
    return f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


def duration(seconds: float | None) -> str:
    """A length of time in at most 7 cells: 0.3 s, 42 s, 12:07, 3:04:11, 12 d."""
    if seconds is None:
        return UNKNOWN
    seconds = max(seconds, 0.0)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}:{rest:02}"
    hours, minutes = divmod(minutes, 60)
    if hours < 100:
        return f"{hours}:{minutes:02}:{rest:02}"
    return f"{hours // 24} d"


def clock(epoch: float) -> str:
    """The time of day, local."""
    import time

    return time.strftime("%H:%M:%S", time.localtime(epoch))


def visible(text: str) -> str:
    """A text from a program, without what would be orders to the terminal. Ends of lines stay."""
    return text.translate(_CONTROL)


def one_line(text: str) -> str:
    """The same where it stands among other words: ends of lines go too."""
    return visible(text).replace("\n", "·")


def plural(number: int, noun: str) -> str:
    """1 process, 2 processes."""
    if number == 1:
        return f"1 {noun}"
    return f"{count(number)} {noun}{'es' if noun.endswith('s') else 's'}"


def bar(share: float, width: int) -> str:
    """A bar of this many cells, full at a share of 1."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    full, part = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[part] if part else "")).ljust(width)


def sparkline(values: Iterable[float], width: int, top: float | None = None) -> str:
    """The last values, the newest at the right, each as a block as high as its share of the highest."""
    last = list(values)[-width:] if width > 0 else []
    highest = max([top or 0.0, *last], default=0.0)
    if not highest:
        return (_LEVELS[0] * len(last)).rjust(width)
    steps = len(_LEVELS) - 1
    # What is not zero is seen to be more than nothing.
    levels = (max(round(value / highest * steps), 1 if value > 0 else 0) for value in last)
    return "".join(_LEVELS[level] for level in levels).rjust(width)
