"""One picture per family: for each row a bar per rival, on a logarithmic axis, quartiles as error bars."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from benchmarks.model import Result
from benchmarks.rivals import ADAPTERS

BAR = 0.2  # inches


def draw(results: list[Result], folder: Path, title: str) -> list[Path]:
    """Write <family>.svg for each family of `results`. Raises ImportError without matplotlib."""
    families: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        if result.samples:
            families[result.row.partition(".")[0]].append(result)
    return [_family(name, members, folder / f"{name}.svg", title) for name, members in families.items()]


def _family(name: str, results: list[Result], path: Path, title: str) -> Path:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = name  # the same picture for the same data
    from matplotlib import pyplot

    colours = dict(zip(ADAPTERS, [f"C{number}" for number in range(10)], strict=False))
    rows = list(dict.fromkeys(result.row for result in results))
    figure, axes = pyplot.subplots(figsize=(9, 1.2 + BAR * (len(results) + len(rows))), layout="constrained")
    place, ticks, named = 0.0, [], set()
    for row in rows:
        members = [result for result in results if result.row == row]
        ticks.append(place + (len(members) - 1) / 2)
        for result in members:
            label = None if result.rival in named else result.rival
            _bar(axes, place, result, colours[result.rival], label)
            named.add(result.rival)
            place += 1
        place += 1
    axes.set_yticks(ticks, rows)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("cost, nanoseconds per operation, less is better" if results[0].unit == "ns" else "amount")
    axes.grid(axis="x", alpha=0.3)
    axes.set_title(f"{name}: {title}", fontsize=8)
    figure.legend(loc="outside lower center", ncols=len(named), fontsize=8)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return path


def _bar(axes: object, place: float, result: Result, colour: object, label: str | None) -> None:
    low, high = result.quartiles
    spread = [[max(result.median - low, 0)], [max(high - result.median, 0)]]
    axes.barh(place, result.median, xerr=spread, height=0.9, color=colour, label=label)  # type: ignore[attr-defined]
