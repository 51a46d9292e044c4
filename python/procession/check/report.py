"""Findings as a person reads them, in 80 columns, and as JSON.

A long title and long sentences are broken at words; lines of the program never are.
"""

from __future__ import annotations

import linecache
import os
import textwrap

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from .analyses import Result
    from .finding import Finding, Place

__all__ = ["JSON_VERSION", "as_json", "render", "summary"]

JSON_VERSION = 1
WIDTH = 80  # columns
MOST_NARROW = 30
MOST_FRAMES = 6  # of a stack

_STYLES = {"kind": "1;31", "title": "1", "dim": "2", "mark": "31", "advice": "32"}


class Paint:
    """Colours, or none; and how wide it may be."""

    def __init__(self, coloured: bool, width: int) -> None:
        self.coloured: bool = coloured
        self.width: int = max(MOST_NARROW, width)

    def __call__(self, style: str, text: str) -> str:
        return f"\033[{_STYLES[style]}m{text}\033[0m" if self.coloured and text else text


def render(findings: Iterable[Finding], *, coloured: bool = False, width: int = WIDTH) -> str:
    """All findings as text that ends with a line break; "" when there are none. `width`: columns for sentences."""
    paint = Paint(coloured, width)
    return "".join(_finding(number, finding, paint) for number, finding in enumerate(findings, 1))


def summary(result: Result) -> str:
    """One line."""
    kinds: dict[str, int] = {}
    for finding in result.findings:
        kinds[finding.kind] = kinds.get(finding.kind, 0) + 1
    count = len(result.findings)
    text = "nothing found" if not count else f"{count} finding{'s' * (count > 1)}"
    if count:
        text += " (" + ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items())) + ")"
    return text + (f"; {result.suppressed} left out as told" if result.suppressed else "")


def as_json(result: Result, command: Sequence[str], status: int | None) -> dict[str, Any]:
    """Plain values, as docs/guides/check.md describes them. `status`: the program's exit code, -n for a signal."""
    return {
        "version": JSON_VERSION,
        "program": {"command": list(command), "status": status},
        "findings": [finding.as_json() for finding in result.findings],
        "suppressed": result.suppressed,
        "failures": list(result.failures),
        "missing": list(result.missing),
    }


# A finding


def _finding(number: int, finding: Finding, paint: Paint) -> str:
    times = f" ({finding.count} times)" if finding.count > 1 else ""
    head = textwrap.wrap(f"{number}. {finding.kind}: {finding.title}{times}", paint.width, subsequent_indent="   ")
    label = f"{number}. {finding.kind}:"
    lines = [paint("kind", label) + paint("title", head[0][len(label) :]), *(paint("title", line) for line in head[1:])]
    for place in finding.places:
        lines += ["", *_place(place, paint)]
    if finding.advice:
        lines += ["", "   Write instead:"]
        for line in finding.advice:
            style = "dim" if line.lstrip().startswith("#") else "advice"
            lines.append(f"       {paint(style, line)}".rstrip())
    return "\n".join([*lines, "", ""])


def _place(place: Place, paint: Paint) -> list[str]:
    who = ", ".join(part for part in (place.process, place.thread and f"thread {place.thread}") if part)
    head = place.role + (f" ({who})" if who else "")
    lines = textwrap.wrap(head[:1].upper() + head[1:] + ":", paint.width, initial_indent="   ", subsequent_indent="   ")
    if place.file:
        lines.append(f"     {shown(place.file)}:{place.line}" + (f" in {place.function}" if place.function else ""))
        lines += _source(place, paint)
    elif place.function:
        lines.append(f"     {place.function}")
    callers = [frame for frame in place.stack if frame != place.site][:MOST_FRAMES]
    if callers:
        lines.append(paint("dim", "     called from"))
        lines += [paint("dim", f"       {_shown_site(frame)}") for frame in callers]
    return lines


def _source(place: Place, paint: Paint) -> list[str]:
    """The line with the one before and the one after it."""
    if not linecache.getline(place.file, place.line):
        return [paint("mark", "     > ") + f"{place.line} | {place.source}"] if place.source else []
    width = len(str(place.line + 1))
    lines = []
    for number in (place.line - 1, place.line, place.line + 1):
        text = linecache.getline(place.file, number).rstrip() if number > 0 else ""
        if number == place.line:
            lines.append(paint("mark", "     > ") + f"{number:{width}} | {text}".rstrip())
        elif text.strip():
            lines.append(paint("dim", f"       {number:{width}} | {text}"))
    return lines


def shown(path: str) -> str:
    """A file's path, from the current directory if that is shorter."""
    try:
        relative = os.path.relpath(path)
    except (ValueError, OSError):
        return path
    return relative if len(relative) < len(path) else path


def _shown_site(site: str) -> str:
    path, colon, rest = site.rpartition(":")
    return f"{shown(path)}:{rest}" if colon and path.startswith("/") else site
