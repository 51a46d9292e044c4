"""Numbers and findings of a report in words."""

from __future__ import annotations

from .._sites import short_site
from .summary import Summary

__all__ = ["bytes_", "count", "seconds", "sentences", "share"]


def seconds(value: float) -> str:
    """A time with a unit that fits it."""
    if value >= 600:
        return f"{value / 60:.0f} min"
    if value >= 100:
        return f"{value:.0f} s"
    if value >= 1:
        return f"{value:.1f} s" if value >= 10 else f"{value:.2f} s"
    if value >= 1e-3:
        return f"{value * 1e3:.1f} ms" if value < 0.1 else f"{value * 1e3:.0f} ms"
    return f"{value * 1e6:.0f} µs"


def bytes_(value: float) -> str:
    """A size with a unit that fits it."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "bytes" or value >= 100 else f"{value:.1f} {unit}"


def count(number: float, what: str = "") -> str:
    """A number with its noun."""
    text = f"{number:,.0f}" if number >= 10 or number == int(number) else f"{number:.1f}"
    if not what:
        return text
    return f"{text} {what if number == 1 else what + ('es' if what.endswith('s') else 's')}"


def share(value: float) -> str:
    """A share of 1."""
    return f"{value * 100:.0f} %" if value >= 0.1 or value == 0 else f"{value * 100:.1f} %"


def sentences(summary: Summary) -> list[str]:
    """The run in a few sentences, the most telling ones."""
    found = [*_work(summary), *_waiting(summary), *_memory(summary), *_ends(summary)]
    shortfall = summary.about.get("shortfall")
    return [*found, f"Not all was recorded: {shortfall}."] if shortfall else found


def _work(summary: Summary) -> list[str]:
    ran = f"The program ran for {seconds(summary.seconds)} in {count(len(summary.processes), 'process')}."
    if not summary.tasks + summary.unfinished:
        return [f"{ran} It gave no tasks to a pool or an executor."]
    workers, rate = len(summary.workers), summary.tasks / summary.seconds
    chunks = summary.items > summary.tasks
    what = f"{count(summary.tasks, 'task')}{f' ({count(summary.items)} items)' if chunks else ''}"
    found = [f"{ran} {count(workers, 'worker')} did {what}, {count(rate)} a second."]
    busy = f"Workers were at work {share(summary.utilisation)} of their time"
    order = sorted(summary.workers.values(), key=lambda worker: worker.utilisation)
    if workers > 1 and order[-1].utilisation - order[0].utilisation > 0.2:
        busy += f", from {share(order[0].utilisation)} ({order[0].name}) to {share(order[-1].utilisation)} "
        busy += f"({order[-1].name}): the work is spread unevenly"
    found.append(f"{busy}.")
    if summary.failed:
        found.append(f"{count(summary.failed, 'call')} failed.")
    return found


def _waiting(summary: Summary) -> list[str]:
    within = sum(worker.waited for worker in summary.workers.values())
    busy = sum(worker.busy for worker in summary.workers.values())
    found = []
    if busy and within / busy > 0.05:
        found.append(f"{share(within / busy)} of the time in tasks was spent waiting for locks, queues and the like.")
    if summary.contention:
        most = summary.contention[0]
        where = f", at {short_site(most.places.most_common(1)[0][0], function=True)}" if most.places else ""
        long = f"{seconds(most.seconds)} in {count(most.count, 'wait')}"
        found.append(f"The most waited for was {most.object} ({most.action}): {long}{where}.")
    return found


def _memory(summary: Summary) -> list[str]:
    peak, at = summary.peak
    if not peak:
        return []
    return [f"Memory was highest after {seconds(at)}: {bytes_(peak)}, without what processes share."]


def _ends(summary: Summary) -> list[str]:
    found = []
    if summary.unfinished:
        found.append(f"{count(summary.unfinished, 'task')} never ended.")
    ends = [process for process in summary.processes.values() if process.abnormal]
    if ends:
        named = ", ".join(f"{process.name} ({process.pid}) {process.end}" for process in ends[:3])
        found.append(f"Not all ended well: {named}{', …' if len(ends) > 3 else ''}.")
    return found
