"""How the pool and the shuffle scale, by simulation: python scripts/simulate.py [measure [ENGINE ...]]

Without arguments the tables and the picture of docs/explanation/scheduling.md are made anew, from the costs that were
measured and are kept in scripts/simulation/measured.json; a minute, and the same result every time. `measure` measures
them on this machine, those of the engines named (fork, thread; dask and ray where they are installed) or of the first
two.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.machine import describe  # noqa: E402
from simulation import chart, measure, measure_far, tables  # noqa: E402

PAGE = ROOT / "docs" / "explanation" / "scheduling.md"
PICTURE = ROOT / "docs" / "pictures" / "scheduling.svg"
LOCAL = ("fork", "thread")


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["measure"]:
        remember(arguments[1:] or list(LOCAL))
    else:
        show()


def remember(engines: list[str]) -> None:
    """Measure, and keep it. What was measured of other engines stays."""
    known = tables.measured() if tables.MEASURED.exists() else {"costs": {}, "handle": {}, "points": []}
    for engine in engines:
        print(f"measuring {engine} …", flush=True)
        by = measure if engine in LOCAL else measure_far
        known["costs"][engine] = {kind: vars(costs) for kind, costs in by.costs(engine).items()}
        if engine not in LOCAL:
            known["handle"][engine] = measure_far.handle(engine)
    if "dask" in engines:
        known["far_points"] = measure_far.dask_runs()
    if "fork" in engines:
        known["handle"]["fork"] = 0.0  # parts are stretches of a file that all workers have
        known["transfer"] = measure.transfer()
        known["rates"] = [measure.rate("fork", chunksize) for chunksize in measure.RATES]
        known["points"] = [measure.run("fork", *point) for point in measure.POINTS]
    known["machine"] = describe()  # of the last
    tables.MEASURED.write_text(json.dumps(known, indent=1) + "\n")


def show() -> None:
    """Print the tables, put them into the page between their marks, and draw the picture."""
    known = tables.measured()
    page = PAGE.read_text() if PAGE.exists() else ""
    for name, made in tables.TABLES.items():
        text = made(known)
        print(f"{name}\n\n{text}\n")
        page = re.sub(
            rf"(<!-- {name} -->\n).*?(<!-- end -->)",
            lambda found, text=text: f"{found[1]}{text}\n{found[2]}",
            page,
            flags=re.S,
        )
    PAGE.write_text(page)
    PICTURE.write_text(chart.draw(tables.panels(known), "workers", "of the workers' time spent on the items"))


if __name__ == "__main__":
    main(sys.argv[1:])
