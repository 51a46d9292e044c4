"""The lines above the table: what is watched, how busy it is, what it consists of. Pure: text with kinds of colour."""

from __future__ import annotations

from procession.monitor import words
from procession.monitor.model import Family, Model
from procession.monitor.tabs import TABS, command

__all__ = ["Spans", "summary", "tab_titles"]

Spans = list[tuple[str, str]]  # pieces of a line, each with the name of its colour or ""

BAR = 16  # cells


def summary(model: Model, width: int, cores: int) -> list[Spans]:
    """Three lines."""
    return [_headline(model, width), _meters(model, width, cores), _counts(model, width)]


def _headline(model: Model, width: int) -> Spans:
    families = list(model.families.values())
    now = words.clock(model.now) if model.now else ""
    if len(families) != 1:
        what: Spans = [(words.plural(len(families), "program"), "strong")]
    else:
        what = _program(families[0], model.now, width - len(now) - 1)
    used = sum(len(text) for text, _ in what)
    return [*what, (" " * max(width - used - len(now), 1), ""), (now, "dim")]


def _program(family: Family, now: float, width: int) -> Spans:
    program = family.program
    if family.ended is not None:
        rest, kind = f"  pid {program.pid}  ended at {words.clock(family.ended)}", "hot"
    else:
        rest, kind = f"  pid {program.pid}  up {words.duration(now - program.started)}", "dim"
    name = command(program.command)
    room = max(width - len(rest), 8)
    return [(name if len(name) <= room else name[: room - 1] + "…", "strong"), (rest, kind)]


def _meters(model: Model, width: int, cores: int) -> Spans:
    processes = [row for family in model.families.values() for row in family.processes.values() if row.ended is None]
    known = [row.cpu for row in processes if row.cpu is not None]
    cpu = sum(known) if known else None
    private = [row.private for row in processes if row.private is not None]
    shared = [row.shared for row in processes if row.shared is not None]
    used = sum(family.program.used for family in model.families.values())
    limit = sum(family.program.limit for family in model.families.values())
    meter: Spans = [("CPU ", "dim")]
    if width >= 66:
        meter += [(words.bar((cpu or 0) / cores, BAR), "meter"), (" ", "")]
    meter.append((f"{words.percent(cpu)}%", "strong"))
    if width >= 66:
        meter.append((f" of {cores * 100}%", "dim"))
    meter += [("   Memory ", "dim"), (words.size(sum(private)) if private else words.UNKNOWN, "strong")]
    meter += [
        (" private + " if width >= 66 else " + ", "dim"),
        (words.size(sum(shared)) if shared else words.UNKNOWN, "strong"),
    ]
    meter.append((" shared", "dim"))
    if width >= 100 and limit:
        meter += [("   Objects ", "dim"), (words.size(used), "strong"), (f" of {words.size(limit)}", "dim")]
    return meter


def _counts(model: Model, width: int) -> Spans:
    families = list(model.families.values())
    processes = [row for family in families for row in family.processes.values() if row.ended is None]
    threads = [thread for row in processes for thread in row.threads.values()]
    waiting = sum(thread.state.kind in ("waiting", "deadlock") for thread in threads)
    line: Spans = [(f"{words.plural(len(processes), 'process')}, {words.plural(len(threads), 'thread')}", "")]
    if waiting:
        line.append((f", {waiting} waiting", "waiting"))
    ended = sum(row.ended is not None for family in families for row in family.processes.values())
    if ended and width >= 66:
        line.append((f", {ended} ended", "dim"))
    pools = [pool for family in families for pool in family.pools.values() if pool.info.submitted]
    if pools and width >= 66:
        busiest = max(pools, key=lambda pool: pool.given - pool.info.done)
        line.append((f"   pool {busiest.share * 100:.0f}%", "accent"))
        if busiest.left_s:
            line.append((f", {words.rate(busiest.rate)}/s, {words.duration(busiest.left_s)} left", "dim"))
    return line


def tab_titles(model: Model, width: int) -> list[str]:
    """What stands on the tabs: with counts where there is room, shortened where there is little."""
    families = list(model.families.values())
    objects = [row.group for family in families for row in family.objects.values()]
    counts = [
        sum(row.ended is None for family in families for row in family.processes.values()),
        objects.count("queue"),
        objects.count("lock"),
        sum(len(family.pools) for family in families),
        len(objects),
    ]
    full = [
        f" {number} {tab.name} {words.count(amount)} "
        for number, (tab, amount) in enumerate(zip(TABS, counts, strict=True), 1)
    ]
    if sum(map(len, full)) + len(full) <= width:
        return full
    plain = [f" {number} {tab.name} " for number, tab in enumerate(TABS, 1)]
    if sum(map(len, plain)) <= width:
        return plain
    return [f" {number} {tab.short} " for number, tab in enumerate(TABS, 1)]
