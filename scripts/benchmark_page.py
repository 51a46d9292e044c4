"""Tables and pictures of docs/explanation/benchmarks.md, from what is stored in benchmarks/results:

    python scripts/benchmark_page.py

Newest first: of the main suite the run with the latest date, of the others the file with the latest name. What stands
between `<!-- NAME -->` and `<!-- end -->` is made anew, on that page and, where it has such marks, in README.md; the
same results give the same page, and a test holds the page to that.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from benchmark_chart import Mark, Scale, draw  # noqa: E402
from benchmarks.model import OURS, STANDARD, Result  # noqa: E402
from benchmarks.table import Index, Verdict, amount, index, ratios, short, verdicts  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results"
PICTURES = ROOT / "docs" / "pictures"
PAGE = ROOT / "docs" / "explanation" / "benchmarks.md"
README = ROOT / "README.md"

Groups = list[tuple[str, list[Mark]]]

# What the first picture shows: a family, and of each row what it is.
FAMILIES = {
    "Queue and Pipe": {
        "queue.ints": "ints, one by one",
        "queue.dicts": "small dicts",
        "queue.bytes-1k": "bytes of 1 KiB",
        "queue.bytes-64k": "bytes of 64 KiB",
        "queue.array-8m": "numpy arrays of 8 MiB",
        "queue.4p1c-ints": "ints, 4 producers",
        "queue.1p4c-ints": "ints, 4 consumers",
        "queue.batch-ints": "ints by the hundred",
        "pipe.round-trip/median": "there and back through a Pipe",
    },
    "Locks": {
        "handover.semaphore": "a turn by Semaphore",
        "handover.lock": "a turn by Lock",
        "handover.event": "a turn by Event",
        "handover.condition": "a turn by Condition",
        "lock.with": "with lock: pass",
        "lock.contended": "4 processes, one lock",
    },
    "Value and Array": {
        "value.get": "v.value",
        "value.set": "v.value = 7",
        "value.locked-add": "with v.get_lock(): v.value += 1",
        "value.array-get": "a[i]",
        "value.array-slice": "a[:] of 1,000",
    },
    "Pool": {
        "pool.map-1": "map, chunksize 1",
        "pool.map": "map, chunks left to each",
        "pool.apply/median": "apply, there and back",
        "pool.submit": "apply_async of many",
        "pool.arrays-in": "16 arrays of 32 MiB as arguments",
        "pool.arrays-out": "16 arrays of 32 MiB as results",
    },
    "Starting": {
        "start.process-fork/next": "a process by fork",
        "start.process-fork-heap/next": "the same of a parent of 2 GiB",
        "start.process-forkserver/next": "by forkserver",
        "start.process-spawn/next": "by spawn",
    },
}

RIVALS = {
    "queue.ints": "A queue of ints, an item",
    "queue.array-8m": "A queue of numpy arrays of 8 MiB, an array",
    "pool.map-1": "Pool.map with chunksize 1, a task",
    "pool.apply/median": "apply, there and back",
    "pool.submit": "submit, then all results, a task",
}

# README's table: what stands there, its rows, and how to join their ratios.
SPEED = (
    (
        "a queue of ints / small dicts / 64 KiB of bytes / numpy arrays of 8 MiB",
        ("queue.ints", "queue.dicts", "queue.bytes-64k", "queue.array-8m"),
        " / ",
    ),
    ("there and back through a Pipe", ("pipe.round-trip/median",), ""),
    (
        "a turn handed over by Semaphore, Lock, Event or Condition",
        tuple(f"handover.{by}" for by in ("semaphore", "lock", "event", "condition")),
        " to ",
    ),
    ("`Pool.map` with chunksize 1 / `apply`", ("pool.map-1", "pool.apply/median"), " / "),
    ("`with lock:` / `v.value` / `array[i]`", ("lock.with", "value.get", "value.array-get"), " / "),
    (
        "another process by fork / spawn / forkserver",
        tuple(f"start.process-{method}/next" for method in ("fork", "spawn", "forkserver")),
        " / ",
    ),
)

# Why a promise is not kept, by the rows it holds for. A row without a reason says so.
REASONS = (
    (
        r"start\.pool-fork-numpy",
        "most of it is the kernel's fork and Python's own work after it; telling BLAS how many threads to use is some "
        "0.15 ms of processor time in each worker, and `PROCESSION_WORKER_THREADS=0` leaves that out",
    ),
    (
        r"handover\.",
        "a look before sleeping needs a second core at rest: with both sides on one it gains nothing and costs some "
        "µs. Look at the rounds",
    ),
    (r"start\..*forkserver.*/first", "the first child waits for the server, a Python that has to start"),
    (r"start\..*forkserver.*/next", "a process by the fork server costs what a fork and its imports cost"),
    (r"start\..*spawn", "a fresh interpreter: its start and the imports of the main module are most of it"),
    (r"start\..*-heap", "the kernel copies the page tables of 2 GiB; nothing of that is ours to save"),
    (r"start\..*fork", "most of it is the kernel's fork and Python's own work after it"),
    (r"lock\.|value\.", "tens of nanoseconds, of which Python's own call of a method is the larger part"),
    (r"queue\.batch", "the rival sends a hundred items as one list, one pickle; here each is an item of its own"),
    (r"queue\.bytes-1k", "a new bytes object for each message, and its copy, are most of it"),
    (r"queue\..*memcpy", "one copy into shared memory is the least there is"),
    (r"queue\.|pipe\.", "two cores: the other side has to run at that moment"),
    (r"pool\.arrays", "fresh pages of memory are most of it: the results are kept"),
    (r"pool\.", "two workers and the caller on two cores"),
)


def newest() -> tuple[str, dict[str, Any], list[Result]]:
    """Name, all and results of the last stored run of the main suite."""
    runs = []
    for path in RESULTS.glob("*.json"):
        run = json.loads(path.read_text())
        if isinstance(run, dict) and {"machine", "scale", "results"} <= set(run) and "row" in run["results"][0]:
            runs.append((run["machine"]["date"], path.stem, run))
    _, name, run = max(runs)
    return name, run, [Result(**result) for result in run["results"]]


def latest(pattern: str) -> Path:
    """The last stored file of another suite."""
    return max(RESULTS.glob(pattern))


def rows_of(path: Path, heading: str = "") -> Iterator[list[str]]:
    """The rows of the first table below a heading (or of the file), as lists of cells."""
    text = path.read_text()
    lines = text[text.index(heading) :].splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("| ---"))
    for line in lines[first + 1 :]:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split("|")]


# Pictures


def speedup(known: Index, short_rows: set[str]) -> Groups:
    groups: Groups = []
    for family, rows in FAMILIES.items():
        marks = []
        for row, label in rows.items():
            ours, theirs = known.get((row, OURS)), known.get((row, STANDARD))
            if ours and theirs:
                each = ratios(theirs, ours)
                ratio = theirs.median / ours.median
                low, high = min(*each, ratio), max(*each, ratio)
                marks.append(Mark(label, ratio, low, high, short(ratio), hollow=row in short_rows))
        groups.append((family, marks))
    return groups


def rivals(known: Index) -> Groups:
    groups: Groups = []
    for row, title in RIVALS.items():
        found = [result for (name, _), result in known.items() if name == row and result.rival != "memcpy"]
        groups.append((title, [_cost(result) for result in sorted(found, key=lambda result: result.median)]))
    return groups


def _cost(result: Result) -> Mark:
    text = amount(result.median, result.unit)
    return Mark(result.rival, result.median, result.low, max(result.samples), text, ours=result.rival == OURS)


def mapreduce() -> Groups:
    names = {
        "words": "Words counted by plain Python functions",
        "index": "Inverted index, plain Python functions",
        "groupby": "Mean by group of a CSV",
        "letters": "Words as the built-in job counts them",
    }
    spelled = {"plain": "plain Python", "pool": "multiprocessing.Pool", "command": "procession mapreduce"}
    groups: dict[str, list[Mark]] = {name: [] for name in names}
    for workload, size, rival, seconds, spread, *_ in rows_of(latest("????-??-??-mapreduce.md")):
        if workload in groups and size == "1x" and rival != "procession-budget":
            low, high = map(float, spread.split(" .. "))
            ours = rival in (OURS, "command")
            groups[workload].append(Mark(spelled.get(rival, rival), float(seconds), low, high, seconds, ours))
    return [(names[name], sorted(marks, key=lambda mark: mark.value)) for name, marks in groups.items()]


def disk() -> Groups:
    names = {
        "crash": "Put and get, to survive every kill",
        "power": "Put and get, to survive a power cut",
        "producers": "A put of eight at once, to survive a power cut",
    }
    groups: dict[str, list[Mark]] = {name: [] for name in names}
    for workload, rival, put, _, both, spread, *_ in rows_of(latest("*-disk.md")):
        low, high = map(float, spread.split(" .. "))
        value = float(both or put)
        groups[workload].append(Mark(rival, value, low, high, _micros(value), rival == OURS))
    return [(names[name], marks) for name, marks in groups.items()]


def clusters() -> Groups:
    groups: Groups = []
    path = latest("*-cluster.md")
    for heading, name in (("An item of a map", "Dask: an item of a map"), ("A task", "Dask: a task of one item")):
        marks = []
        for label, value, spread in rows_of(path, f"## {heading}"):
            low, high = (_number(part) for part in spread.split(" to "))
            text = _micros(_number(value))
            marks.append(Mark(label.replace("`", ""), _number(value), low, high, text, OURS in label))
        groups.append((name, marks))
    ray: dict[str, list[Mark]] = {"map, chunks chosen": [], "map of one item a task": []}
    for what, label, value, low, high in (row for row in rows_of(latest("*-cluster-ray.md")) if row[0] in ray):
        mark = Mark(label, float(value), float(low), float(high), _micros(float(value)), label == OURS)
        ray[what].append(mark)
    names = ("Ray: an item of a map", "Ray: a task of one item")
    return [*groups, *zip(names, ray.values(), strict=True)]


def _number(text: str) -> float:
    return float(text.replace(",", ""))


def _micros(value: float) -> str:
    return amount(value * 1000, "ns")


def _nanos(value: float) -> str:
    return amount(value, "ns")


def pictures(known: Index, short_rows: set[str]) -> dict[str, str]:
    """Name of each file, and its content."""
    times = Scale("times as fast as multiprocessing (thin line: worst and best round)", "{:g}×".format, one=1)
    cost = Scale("time for each (thin line: least and most)", _nanos)
    micros = Scale("time for each (thin line: least and most)", _micros)
    seconds = Scale("seconds until the answer can be asked", "{:g} s".format, logarithmic=False)
    made: dict[str, tuple[Groups, Scale, str]] = {
        "speedup": (speedup(known, short_rows), times, "How many times as fast as multiprocessing, by operation"),
        "rivals": (rivals(known), cost, "Cost of one operation beside other libraries"),
        "mapreduce": (mapreduce(), seconds, "Seconds of a map-reduce over 320 MiB, beside other engines"),
        "disk": (disk(), micros, "Cost of an item of a queue on disk, beside other libraries"),
        "clusters": (clusters(), micros, "Cost of an item on Dask and Ray, beside the same by hand"),
    }
    return {f"benchmarks-{name}.svg": draw(*given) for name, given in made.items()}


# Tables


def machine(name: str, run: dict[str, Any]) -> str:
    about, scale = run["machine"], run["scale"]
    packages = ", ".join(f"{package} {version}" for package, version in sorted(about["packages"].items()))
    return (
        f"The run of {about['date'][:10]}, commit {about['commit']}: {about['cpu']}, {about['cores']} cores, "
        f"{about['memory_gib']} GiB, {about['kernel']}, {about['python']}; load before the run {about['load']}; "
        f"{scale['rounds']} rounds of samples of {scale['seconds']:g} s; {packages}. "
        f"[All rows](../../benchmarks/results/{name}.txt), [as data](../../benchmarks/results/{name}.json)."
    )


def measured(name: str, run: dict[str, Any]) -> str:
    """What README says before its table."""
    about = run["machine"]
    day = datetime.fromisoformat(about["date"])
    python = about["python"].removeprefix("CPython ").rpartition(".")[0]
    when = f"{day.day} {day:%B %Y}, Python {python}"
    return (
        f"Against the standard library, in one run on {about['cores']} cores ({when}):\n"
        f"[pictures, rivals, and what fell short](docs/explanation/benchmarks.md), "
        f"[every row](benchmarks/results/{name}.txt)."
    )


def speed(known: Index) -> str:
    """README's table."""
    lines = ["| | times as fast |", "| --- | --- |"]
    for label, rows, joint in SPEED:
        found = [known[row, STANDARD].median / known[row, OURS].median for row in rows]
        if joint == " to ":
            found = [min(found), max(found)]
        lines.append(f"| {label} | {joint.join(map(_rounded, found))} |")
    return "\n".join(lines)


def _rounded(ratio: float) -> str:
    if ratio >= 100:
        return f"{round(ratio, -1):.0f}"
    return f"{ratio:.0f}" if ratio >= 5 else f"{ratio:.1f}"


def fallen(told: list[Verdict]) -> str:
    """The promises that this run does not keep, with the reason."""
    lines = ["| row | versus | measured | each round | promised | why |", "| --- | --- | --- | --- | --- | --- |"]
    for verdict in told:
        if not verdict.ok:
            spread = " to ".join(map(short, verdict.spread)) if verdict.spread else ""
            bound = f"{verdict.promised:g} ×" if verdict.spread else f"< {verdict.promised:g}"
            measured = short(verdict.measured) + (" ×" if verdict.spread else "")
            why = f"{verdict.row} {verdict.versus}"
            lines.append(f"| {verdict.row} | {verdict.versus} | {measured} | {spread} | {bound} | {_reason(why)} |")
    return "\n".join(lines)


def _reason(row: str) -> str:
    return next((reason for pattern, reason in REASONS if re.match(pattern, row)), "not looked into yet")


def counted(told: list[Verdict]) -> str:
    """How many are kept, what is slower than the standard library, and how far the rounds agree."""
    kept = sum(verdict.ok for verdict in told)
    spreads = [verdict.spread for verdict in told if verdict.spread]
    restless = sum(most > 2 * least for least, most in spreads)
    slower = [verdict for verdict in told if verdict.spread and verdict.versus == STANDARD and verdict.measured < 1]
    text = (
        f"{kept} of {len(told)} promises are kept. In {restless} of {len(spreads)} comparisons the best round was more "
        "than twice the worst: there something else ran on these two cores, and the median says little."
    )
    if slower:
        rows = ", ".join(f"{verdict.row} ({short(verdict.measured)} ×)" for verdict in slower)
        return f"{text} **Slower than the standard library** by the medians of this run: {rows}."
    return f"{text} In no row that has a promise is procession slower than the standard library."


def sections() -> tuple[dict[str, str], dict[str, str]]:
    """What goes between the marks, by name; and the pictures."""
    name, run, results = newest()
    known, told = index(results), list(verdicts(results))
    texts = {
        "machine": machine(name, run),
        "measured": measured(name, run),
        "speed": speed(known),
        "counted": counted(told),
        "fallen": fallen(told),
    }
    return texts, pictures(known, {verdict.row for verdict in told if not verdict.ok and verdict.versus == STANDARD})


def filled(page: str, texts: dict[str, str]) -> str:
    """The page with every marked section made anew."""
    for name, text in texts.items():
        before, mark, rest = page.partition(f"<!-- {name} -->\n")
        if mark:
            page = before + mark + text + "\n" + rest[rest.index("<!-- end -->") :]
    return page


def main() -> None:
    texts, drawn = sections()
    for path in (PAGE, README):
        path.write_text(filled(path.read_text(), texts))
    for name, picture in drawn.items():
        (PICTURES / name).write_text(picture)
    print(texts["speed"])


if __name__ == "__main__":
    main()
