"""The plots of a report, as SVG that stands in the page itself.

Colours are classes, which the page's style gives their values, so one drawing serves light and dark. A drawing has a
fixed inner width and grows with the page; a `<title>` on a part is what a pointer over it shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

__all__ = ["WIDTH", "Series", "area", "lanes", "stacked"]

WIDTH = 1000
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 8, 8, 22
_INNER = WIDTH - _LEFT - _RIGHT

Words = Callable[[float], str]
Series = tuple[str, str, Sequence[float]]  # name, class, a value for each part of the time


def _number(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")


def steps_of(most: float, wanted: int) -> list[float]:
    """Round numbers from 0 to the first one that is not below `most`, about as many as wanted."""
    if most <= 0:
        return [0.0, 1.0]
    rough = most / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    return [step * place for place in range(math.ceil(most / step * 0.999) + 1)]


def _binary_steps(most: float, wanted: int) -> list[float]:
    """The same for bytes."""
    unit = 1024.0 ** max(0, math.floor(math.log(max(most, 1), 1024)))
    return [step * unit for step in steps_of(most / unit, wanted)]


def _tick(text: str) -> str:
    """`1 s` of `1.00 s`: what stands at a line is round."""
    number, space, unit = text.partition(" ")
    return (number.rstrip("0").rstrip(".") if "." in number else number) + space + unit


def _x(place: float, parts: int) -> float:
    return _LEFT + _INNER * place / parts


def _axes(height: int, seconds: float, steps: list[float], words: Words, time: Words) -> str:
    """Lines and numbers behind a plot."""
    found = []
    bottom, top = height - _BOTTOM, steps[-1]
    for step in steps:
        y = bottom - (bottom - _TOP) * step / top
        found.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        found.append(
            f'<text class="tick" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{escape(_tick(words(step)))}</text>'
        )
    return "".join(found) + time_axis(height, seconds, time)


def time_axis(height: int, seconds: float, time: Words) -> str:
    """Moments below a plot."""
    found = []
    for step in steps_of(seconds, 8):
        if step > seconds:
            break
        x = _LEFT + _INNER * step / seconds
        anchor = "start" if step == 0 else "end" if x > WIDTH - 40 else "middle"
        text = "0" if step == 0 else _tick(time(step))
        found.append(f'<text class="tick" x="{x:.1f}" y="{height - 5}" text-anchor="{anchor}">{escape(text)}</text>')
    return "".join(found)


def _drawing(height: int, label: str, contents: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}">{contents}</svg>'


def _outline(values: Sequence[float], floor: Sequence[float], top: float, bottom: float) -> tuple[str, str]:
    """Paths of the upper edge of a stepped area, and of the area."""
    scale, parts = (bottom - _TOP) / top, len(values)
    upper, lower = [], []
    for place, (value, base) in enumerate(zip(values, floor, strict=True)):
        left, right = _number(_x(place, parts)), _number(_x(place + 1, parts))
        upper.append(f"{left},{_number(bottom - scale * (base + value))}")
        upper.append(f"{right},{_number(bottom - scale * (base + value))}")
        lower.append(f"{left},{_number(bottom - scale * base)}")
        lower.append(f"{right},{_number(bottom - scale * base)}")
    edge = "M" + "L".join(upper)
    return edge, edge + "L" + "L".join(reversed(lower)) + "Z"


def _hover(parts: int, height: int, texts: Sequence[str]) -> str:
    """Invisible columns that tell what is there."""
    width = _INNER / parts
    columns = (
        f'<rect x="{_x(place, parts):.1f}" y="{_TOP}" width="{width:.2f}" height="{height - _TOP - _BOTTOM}">'
        f"<title>{escape(text)}</title></rect>"
        for place, text in enumerate(texts)
        if text
    )
    return f'<g class="hover">{"".join(columns)}</g>'


def area(values: Sequence[float], seconds: float, label: str, kind: str, words: Words, time: Words) -> str:
    """One quantity over time."""
    height = 170
    steps = steps_of(max(values, default=0), 4)
    edge, filled = _outline(values, [0.0] * len(values), steps[-1], height - _BOTTOM)
    part = seconds / len(values)
    texts = [f"{time(place * part)}: {words(value)}" for place, value in enumerate(values)]
    drawn = f'<path class="fill {kind}" d="{filled}"/><path class="edge {kind}" d="{edge}"/>'
    contents = _axes(height, seconds, steps, words, time) + drawn + _hover(len(values), height, texts)
    return _drawing(height, label, contents)


def stacked(series: Sequence[Series], seconds: float, label: str, words: Words, time: Words) -> str:
    """Several quantities over time, one on the other; in bytes."""
    height, parts = 210, len(series[0][2])
    totals = [sum(values[place] for _, _, values in series) for place in range(parts)]
    steps = _binary_steps(max(totals), 4)
    floor, drawn = [0.0] * parts, []
    for name, kind, values in series:
        _, filled = _outline(values, floor, steps[-1], height - _BOTTOM)
        drawn.append(f'<path class="layer {kind}" d="{filled}"><title>{escape(name)}</title></path>')
        floor = [base + value for base, value in zip(floor, values, strict=True)]
    part = seconds / parts
    texts = [
        f"{time(place * part)}: {words(totals[place])}\n"
        + "\n".join(f"{name}: {words(values[place])}" for name, _, values in reversed(series) if values[place])
        for place in range(parts)
    ]
    contents = _axes(height, seconds, steps, words, time) + "".join(drawn) + _hover(parts, height, texts)
    return _drawing(height, label, contents)


def _bars(shares: Sequence[float], height: int) -> str:
    """The path of bars that stand side by side; equal neighbours are one."""
    found, place, width = [], 0, 1000 / len(shares)
    while place < len(shares):
        share, first = shares[place], place
        while place < len(shares) and abs(shares[place] - share) < 0.02:
            place += 1
        if share > 0.01:
            top = _number(height * (1 - share))
            found.append(f"M{_number(first * width)},{height}V{top}H{_number(place * width)}V{height}Z")
    return "".join(found)


def lanes(parts: Sequence[tuple[float, float]], span: tuple[float, float], label: str, texts: Sequence[str]) -> str:
    """One worker's time: of each part the share at work and the share of that in waits, from bottom to top.

    `span`: from where to where it lived, 0 to 1.
    """
    height, count = 26, len(parts)
    left, right = (1000 * share for share in span)
    width = 1000 / count
    lane = f'<rect class="lane" x="{left:.1f}" y="0" width="{max(right - left, 1):.1f}" height="{height}" rx="2"/>'
    work = _bars([min(work, 1) for work, _ in parts], height)
    waits = _bars([min(waits, work, 1) for work, waits in parts], height)
    drawn = f'{lane}<path class="work" d="{work}"/><path class="wait" d="{waits}"/>'
    size = f'y="0" width="{width:.2f}" height="{height}"'
    hover = "".join(
        f'<rect x="{place * width:.1f}" {size}><title>{escape(text)}</title></rect>'
        for place, text in enumerate(texts)
        if text
    )
    return (
        f'<svg class="lanes" viewBox="0 0 1000 {height}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label)}">{drawn}<g class="hover">{hover}</g></svg>'
    )
