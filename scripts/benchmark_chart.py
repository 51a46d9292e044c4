"""Dots or bars with a name each, in groups, as SVG: written by hand so that no library is needed.

The picture has a ground of its own and two sets of colours, of which the reader's system chooses one: wherever it is
shown, and whatever the page around it looks like, text and ground go together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 800, 250, 90, 14, 40  # pixels: of all, and around the field
LINE, HEADING, GAP = 19, 24, 6  # of a mark, of a group's title, between groups

STYLE = """<style>
 svg { --ground: #ffffff; --text: #1f2328; --faint: #6a737d; --grid: #e3e6ea; --ours: #0b6bcb; --theirs: #98a1ab; }
 @media (prefers-color-scheme: dark) {
  svg { --ground: #16191d; --text: #e6e9ec; --faint: #9aa4af; --grid: #30363d; --ours: #58b0ff; --theirs: #6f7984; }
 }
 .ground { fill: var(--ground); } text { fill: var(--text); } .faint { fill: var(--faint); }
 .grid { stroke: var(--grid); } .one { stroke: var(--faint); stroke-dasharray: 3 3; }
 .ours { fill: var(--ours); stroke: var(--ours); } .theirs { fill: var(--theirs); stroke: var(--theirs); }
</style>"""


@dataclass(frozen=True)
class Mark:
    """A value, with its spread if the scale is logarithmic; `ours` is procession's, `hollow` a ring and no dot."""

    label: str
    value: float
    low: float
    high: float
    text: str
    ours: bool = True
    hollow: bool = False


@dataclass(frozen=True)
class Scale:
    """What lies across. A logarithmic one has dots, and a dashed line at `one`; a linear one has bars from zero."""

    title: str
    unit: Callable[[float], str]
    logarithmic: bool = True
    one: float | None = None


def draw(groups: Sequence[tuple[str, Sequence[Mark]]], scale: Scale, title: str) -> str:
    """The picture; `title` is for who does not see it."""
    marks = [mark for _, members in groups for mark in members]
    field = WIDTH - LEFT - RIGHT
    height = TOP + sum(HEADING + GAP + LINE * len(members) for _, members in groups) + BOTTOM
    foot = height - BOTTOM
    place, ticks = _axis(marks, scale, field)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="{escape(title)}" font-family="system-ui, sans-serif" font-size="13">',
        f"<title>{escape(title)}</title>",
        STYLE,
        f'<rect class="ground" width="{WIDTH}" height="{height}" rx="6"/>',
    ]
    for tick in ticks:
        x = place(tick)
        parts.append(f'<path class="{"one" if tick == scale.one else "grid"}" d="M{x:.1f} {TOP}V{foot}"/>')
        parts.append(
            f'<text class="faint" x="{x:.1f}" y="{foot + 16}" text-anchor="middle">{escape(scale.unit(tick))}</text>'
        )
    parts.append(
        f'<text class="faint" x="{LEFT + field / 2}" y="{height - 7}" text-anchor="middle">{escape(scale.title)}</text>'
    )
    y = TOP
    for name, members in groups:
        parts.append(f'<text x="14" y="{y + 16}" font-weight="600">{escape(name)}</text>')
        y += HEADING
        for mark in members:
            parts += _mark(mark, y, place, scale)
            y += LINE
        y += GAP
    return "\n".join([*parts, "</svg>", ""])


def _axis(marks: Sequence[Mark], scale: Scale, field: int) -> tuple[Callable[[float], float], list[float]]:
    """Where a value lies, and the values that get a line."""
    if not scale.logarithmic:
        most = max(mark.value for mark in marks)
        step = next(step for step in (0.5, 1, 2, 5, 10, 20, 50, 100) if most / step <= 8)
        return lambda value: LEFT + value / most * field, [step * number for number in range(floor(most / step) + 1)]
    low = floor(log10(min(mark.low for mark in marks)) * 4) / 4
    high = ceil(log10(max(mark.high for mark in marks)) * 4) / 4
    ticks = [10.0**power for power in range(ceil(low), floor(high) + 1)]
    return lambda value: LEFT + (log10(value) - low) / (high - low) * field, ticks


def _mark(mark: Mark, y: float, place: Callable[[float], float], scale: Scale) -> list[str]:
    kind, middle = "ours" if mark.ours else "theirs", y + LINE / 2
    x, low, high = place(mark.value), place(mark.low), place(mark.high)
    parts = [f'<text x="{LEFT - 12}" y="{middle + 4.5}" text-anchor="end">{escape(mark.label)}</text>']
    if scale.logarithmic:
        parts.append(f'<path class="{kind}" stroke-width="1.5" d="M{low:.1f} {middle}H{high:.1f}"/>')
        hollow = ' style="fill: var(--ground)"' if mark.hollow else ""
        parts.append(f'<circle class="{kind}"{hollow} stroke-width="2" cx="{x:.1f}" cy="{middle}" r="4.5"/>')
    else:
        parts.append(f'<rect class="{kind}" x="{LEFT}" y="{y + 3}" width="{x - LEFT:.1f}" height="{LINE - 6}" rx="2"/>')
    end = (high if scale.logarithmic else x) + 10
    parts.append(f'<text class="faint" x="{end:.1f}" y="{middle + 4.5}" font-size="12">{escape(mark.text)}</text>')
    return parts
