"""Curves over a logarithmic axis, as SVG: panels side by side, written by hand so that no library is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log10

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9")  # Okabe and Ito: told apart by everybody
DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 2", "1 2")  # and in print
WIDTH, HEIGHT, LEFT, TOP, GAP, BOTTOM = 300, 250, 64, 46, 64, 46  # of a panel's field and around it, in pixels
LEGEND = 18


@dataclass(frozen=True)
class Panel:
    """Some curves. Each is a name and its points; y goes from 0 to 1 and is shown in per cent."""

    title: str
    curves: Sequence[tuple[str, Sequence[tuple[float, float]]]]


def draw(panels: Sequence[Panel], across: str, up: str) -> str:
    """The picture. `across` and `up` name the axes."""
    rows = max(len(panel.curves) for panel in panels)
    width = LEFT + len(panels) * (WIDTH + GAP) - GAP + 30
    height = TOP + HEIGHT + BOTTOM + rows * LEGEND + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12" fill="#222">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="14" y="{TOP + HEIGHT / 2}" text-anchor="middle" '
        f'transform="rotate(-90 14 {TOP + HEIGHT / 2})">{up}</text>',
    ]
    for number, panel in enumerate(panels):
        parts += _panel(panel, LEFT + number * (WIDTH + GAP), across)
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel, left: float, across: str) -> list[str]:
    low = log10(min(x for _, points in panel.curves for x, _ in points))
    high = log10(max(x for _, points in panel.curves for x, _ in points))

    def place(x: float, y: float) -> tuple[float, float]:
        return left + (log10(x) - low) / (high - low) * WIDTH, TOP + (1 - y) * HEIGHT

    parts = [f'<text x="{left}" y="{TOP - 18}" font-size="14" font-weight="bold">{panel.title}</text>']
    for percent in range(0, 101, 20):
        _, y = place(10**low, percent / 100)
        parts.append(f'<path d="M{left} {y:.1f}h{WIDTH}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{percent} %</text>')
    for power in range(round(low), round(high) + 1):
        x, y = place(10.0**power, 0)
        parts.append(f'<path d="M{x:.1f} {TOP}V{y}" stroke="#ddd"/>')
        parts.append(f'<text x="{x:.1f}" y="{y + 16}" text-anchor="middle">{10**power:,}</text>')
    parts.append(f'<text x="{left + WIDTH / 2}" y="{TOP + HEIGHT + 34}" text-anchor="middle">{across}</text>')
    for number, (name, points) in enumerate(panel.curves):
        parts += _curve(name, [place(*point) for point in points], number, left)
    return parts


def _curve(name: str, places: Sequence[tuple[float, float]], number: int, left: float) -> list[str]:
    style = f'stroke="{COLOURS[number]}" stroke-width="2" stroke-dasharray="{DASHES[number]}" fill="none"'
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{COLOURS[number]}"/>' for x, y in places)
    y = TOP + HEIGHT + BOTTOM + 6 + number * LEGEND
    key = f'<path d="M{left} {y}h34" {style}/><text x="{left + 42}" y="{y + 4}">{name}</text>'
    return [f'<path d="{path}" {style}/>{dots}', key]
