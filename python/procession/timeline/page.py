"""The report: a summary as one page of HTML that needs nothing else, light or dark as its reader's system is.

Words first, then figures, then what there is to see of work, waits, memory and single tasks. A part about which there
is nothing to say is left out. Everything that comes from the program is escaped.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files

from .._sites import short_site
from . import words
from .charts import Series, area, lanes, stacked
from .summary import BINS, Summary, Task, Wait, Worker

__all__ = ["page"]

_COLOURS = ("blue", "orange", "green", "violet", "teal", "yellow", "red")
_MOST_WORKERS = 64
_MOST_ROWS = 12
_GROUP = 3  # parts of the time that a bar of throughput stands for


def page(summary: Summary) -> str:
    """The whole text of the page."""
    style = files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    title = _title(summary)
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="when">{escape(_when(summary))}</p>',
        _words(summary),
        _figures(summary),
        _throughput(summary),
        _workers(summary),
        _contention(summary),
        _memory(summary),
        _functions(summary),
        _tasks("Failed tasks", "failed", "The first that failed or never ended, in order.", summary.failures),
        _tasks("Longest tasks", "longest", "", summary.longest),
        _processes(summary),
        "<footer>Made by procession from what the run recorded. Times are of the wall clock.</footer>",
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>\n{style}</style></head>\n"
        f"<body><main>\n{chr(10).join(part for part in parts if part)}\n</main></body></html>\n"
    )


def _title(summary: Summary) -> str:
    command = str(summary.about.get("command", "")).strip()
    if not command:
        return "A run"
    return command if len(command) <= 120 else f"{command[:119]}…"


def _when(summary: Summary) -> str:
    began = float(summary.about.get("began") or 0)
    date = time.strftime("%A, %d %B %Y, %H:%M:%S", time.localtime(began)) if began else "at an unknown time"
    return f"Run of {date}, {words.seconds(summary.seconds)}"


def _words(summary: Summary) -> str:
    said = []
    for sentence in words.sentences(summary):
        alarming = "failed" in sentence or "Not all" in sentence or "never ended" in sentence
        said.append(f'<span class="alarm">{escape(sentence)}</span>' if alarming else escape(sentence))
    return f'<p class="words">{" ".join(said)}</p>'


def _figures(summary: Summary) -> str:
    figures = [("run time", words.seconds(summary.seconds), "")]
    if summary.workers:
        done = summary.items if summary.items > summary.tasks else summary.tasks
        unit = "items" if summary.items > summary.tasks else "tasks"
        figures += [
            (f"{unit} done", words.count(done), "tasks"),
            (f"{unit} a second", words.count(done / summary.seconds), "rate"),
            ("workers at work", words.share(summary.utilisation), "utilisation"),
        ]
        if summary.failed + summary.unfinished:
            label = "failed or never ended" if summary.unfinished else "failed"
            figures.append((label, words.count(summary.failed + summary.unfinished), "failed"))
    if summary.contention:
        waited = sum(wait.seconds for wait in summary.contention)
        figures.append(("spent waiting", words.seconds(waited), "waited"))
    if summary.peak[0]:
        figures.append(("peak memory", words.bytes_(summary.peak[0]), "peak"))
    drawn = (
        f'<div class="figure{" alarm" if key == "failed" else ""}" data-figure="{key or "time"}">'
        f"<b>{escape(value)}</b><span>{escape(label)}</span></div>"
        for label, value, key in figures
    )
    return f'<div class="figures">{"".join(drawn)}</div>'


def _section(title: str, about: str, contents: str, key: str) -> str:
    told = f"<p>{escape(about)}</p>" if about else ""
    return f'<section id="{key}"><h2>{escape(title)}</h2>{told}{contents}</section>'


def _throughput(summary: Summary) -> str:
    if not summary.tasks:
        return ""
    part = summary.width * _GROUP
    ended = [sum(summary.throughput[place : place + _GROUP]) / part for place in range(0, BINS, _GROUP)]
    drawn = area(ended, summary.seconds, "tasks ended per second, over time", "blue", words.count, words.seconds)
    contents = _section("Throughput", "Tasks ended, per second.", drawn, "throughput")
    backlog = _held(summary)
    if max(backlog) < 2:
        return contents
    waiting = area(backlog, summary.seconds, "tasks waiting, over time", "teal", words.count, words.seconds)
    about = "Tasks handed in that no worker had begun. Near zero while workers idle: they are not fed quickly enough."
    return contents + _section("Tasks waiting", about, waiting, "backlog")


def _held(summary: Summary) -> list[float]:
    """The most tasks waiting in each part; what no event changes stays."""
    parts, place, last = [0.0] * BINS, 0, 0
    for at, tasks in summary.backlog:
        now = summary.part(at)
        for passed in range(place, now + 1):
            parts[passed] = max(parts[passed], last)
        parts[now] = max(parts[now], tasks)
        place, last = now, tasks
    return parts


def _workers(summary: Summary) -> str:
    if not summary.workers:
        return ""
    rows = []
    shown = list(summary.workers.values())[:_MOST_WORKERS]
    for worker in shown:
        rows.append(_worker(summary, worker))
    middle = words.seconds(summary.seconds / 2)
    axis = (
        f'<div class="axis"><span></span><div><span>0</span><span>{middle}</span>'
        f'<span>{words.seconds(summary.seconds)}</span></div><span class="number">at work</span>'
        '<span class="number count">tasks</span></div>'
    )
    legend = _legend([("at work", "blue"), ("of that, waiting", "orange"), ("alive, without a task", "lane-colour")])
    about = "Each row is a worker's life; the height of a bar is the share of that moment spent at tasks."
    if len(shown) < len(summary.workers):
        about += f" The first {len(shown)} of {len(summary.workers)} are shown."
    return _section("Workers", about, axis + "".join(rows) + legend, "workers")


def _worker(summary: Summary, worker: Worker) -> str:
    width = summary.width or 1
    parts = [(work / width, waits / width) for work, waits in zip(worker.work, worker.waits, strict=True)]
    texts = [
        f"{words.seconds(place * width)}: at work {words.share(min(work, 1))}"
        + (f", waiting {words.share(min(waits, 1))}" if waits > 0.005 else "")
        if work > 0.001
        else ""
        for place, (work, waits) in enumerate(parts)
    ]
    span = worker.began / summary.seconds, min(worker.ended / summary.seconds, 1)
    pid = summary.processes[worker.process].pid if worker.process in summary.processes else worker.process
    failed = f' <span class="alarm">{worker.failed} failed</span>' if worker.failed else ""
    name = escape(worker.name)
    return (
        f'<div class="worker" data-pid="{pid}" data-thread="{worker.thread}" data-tasks="{worker.tasks}">'
        f'<div class="name" title="{name}, process {pid}">{name} <small>{pid}</small></div>'
        f"{lanes(parts, span, f'{worker.name}: work over time', texts)}"
        f'<div class="number"><b>{words.share(worker.utilisation)}</b></div>'
        f'<div class="number count">{words.count(worker.tasks)}{failed}</div></div>'
    )


def _legend(entries: Iterable[tuple[str, str]]) -> str:
    return (
        '<div class="legend">'
        + "".join(f'<span class="{colour}"><i></i>{escape(name)}</span>' for name, colour in entries)
        + "</div>"
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells are HTML; a head that begins with `#` is of numbers, with `=` of a bar, with `.` of code."""
    classes = {"#": "number", "=": "bar", ".": "code"}
    kinds = [classes.get(head[:1], "") for head in heads]

    def cells(tag: str, texts: Iterable[str]) -> str:
        return "".join(f'<{tag} class="{kind}">{text}</{tag}>' for kind, text in zip(kinds, texts, strict=True))

    top = cells("th", (head.lstrip("#=.") for head in heads))
    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _place(site: str) -> str:
    return escape(short_site(site, function=True))


def _contention(summary: Summary) -> str:
    waits = summary.contention[:_MOST_ROWS]
    if not waits:
        return ""
    most = max(waits[0].seconds, 1e-9)

    def row(wait: Wait) -> list[str]:
        where = "<br>".join(_place(site) for site, _ in wait.places.most_common(3))
        bar = f'<div style="width:{100 * wait.seconds / most:.1f}%"></div>'
        longest = words.seconds(wait.longest)
        what = f"<b>{escape(wait.object)}</b> <small>{escape(wait.action)}</small>"
        return [what, bar, words.seconds(wait.seconds), words.count(wait.count), longest, where]

    about = "What threads waited for, all together. Waits that were over before a thread had to sleep do not count."
    heads = ["for", "=", "#waited", "#waits", "#longest", ".where"]
    return _section("Waiting", about, _table(heads, map(row, waits)), "waiting")


def _memory(summary: Summary) -> str:
    found = [process for process in summary.processes.values() if process.peak]
    if not found:
        return ""
    found.sort(key=lambda process: -process.peak)
    shown, others = found[: len(_COLOURS)], found[len(_COLOURS) :]
    series: list[Series] = [
        (f"{process.name} ({process.pid})", colour, summary.memory_of(process))
        for process, colour in zip(shown, _COLOURS, strict=False)
    ]
    if others:
        rest = [sum(values) for values in zip(*map(summary.memory_of, others), strict=True)]
        series.append((f"{len(others)} others", "grey", rest))
    drawn = stacked(series, summary.seconds, "memory of processes over time", words.bytes_, words.seconds)
    about = (
        "Memory of each process for itself, one on the other, sampled ten times a second. What is shared is not in it."
    )
    return _section("Memory", about, drawn + _legend((name, colour) for name, colour, _ in series), "memory")


def _functions(summary: Summary) -> str:
    rows = sorted(summary.functions.values(), key=lambda function: -function.seconds)[:_MOST_ROWS]
    if not rows:
        return ""
    heads = [".function", "#tasks", "#items", "#together", "#mean", "#longest", "#failed"]
    cells = (
        [
            escape(function.name),
            words.count(function.tasks),
            words.count(function.items),
            words.seconds(function.seconds),
            words.seconds(function.seconds / function.tasks),
            words.seconds(function.longest),
            f'<span class="alarm">{function.failed}</span>' if function.failed else "–",
        ]
        for function in rows
    )
    return _section("Functions", "", _table(heads, cells), "functions")


def _tasks(title: str, key: str, about: str, tasks: list[Task]) -> str:
    if not tasks:
        return ""
    heads = [".function", "#task", "#items", "#began at", "#took", "worker", "outcome"]

    def outcome(task: Task) -> str:
        if task.unfinished:
            return '<span class="alarm">never ended</span>'
        failed = f"{task.failed} failed" if task.items else "failed"
        return f'<span class="alarm">{failed}</span>' if task.failed else "done"

    cells = (
        [
            escape(task.name),
            str(task.number),
            words.count(task.items) if task.items else "–",
            words.seconds(task.began),
            words.seconds(task.seconds),
            escape(task.worker),
            outcome(task),
        ]
        for task in tasks
    )
    return _section(title, about, _table(heads, cells), key)


def _processes(summary: Summary) -> str:
    rows = sorted(summary.processes.values(), key=lambda process: process.began)
    heads = ["process", "#pid", "#began at", "#lived", "#CPU", "#main thread waited", "#peak memory", "end"]
    cells = (
        [
            escape(process.name) + (f"<br><small>{_place(process.started_at)}</small>" if process.started_at else ""),
            str(process.pid),
            words.seconds(process.began),
            words.seconds(process.seconds),
            words.seconds(process.cpu_seconds) if process.cpu else "–",
            words.seconds(process.waited) if process.waited else "–",
            words.bytes_(process.peak) if process.peak else "–",
            f'<span class="alarm">{escape(process.end)}</span>' if process.abnormal else escape(process.end),
        ]
        for process in rows[:200]
    )
    about = f"The first 200 of {len(rows)}." if len(rows) > 200 else ""
    return _section("Processes", about, _table(heads, cells), "processes")
