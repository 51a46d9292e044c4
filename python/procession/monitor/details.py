"""A row in full: what is known of it, and a sentence or two on what such a thing is, for who meets it first here."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from procession._sites import short_site
from procession.monitor import words
from procession.monitor.model import Family, Model
from procession.monitor.rows import ObjectRow, PoolRow, ProcessRow, Row, ThreadRow, WorkerRow
from procession.monitor.states import name_of_owner, name_of_process, name_of_thread, waiting
from procession.monitor.tabs import command

__all__ = ["details", "hint", "title"]

Lines = list[tuple[str, str]]  # what it is, and its value; a line without a name goes on

_WHAT_IT_IS = {
    "process": "A process has memory of its own: what it changes in its variables no other process sees. Processes "
    "compute at the same time on several cores.",
    "thread": "A thread shares all memory with the other threads of its process. In most Pythons only one thread of a "
    "process computes at a time; others may wait for input, output or locks meanwhile.",
    "queue": "A queue hands objects from one process to another, first in, first out. A depth that grows means that "
    "the reader is too slow; a reader that waits at depth 0, that the writer is.",
    "lock": "A lock lets one at a time do something. High contention means that many queue for it: hold it for a "
    "shorter time, or give each its own part of the data.",
    "semaphore": "A semaphore lets a number of parties do something at the same time: as many as it has permits.",
    "condition": "A condition lets a thread sleep until another says that something it waits for may be true now.",
    "barrier": "A barrier holds everybody until all have arrived.",
    "event": "An event is a flag that one sets and others wait for.",
    "pool": "A pool keeps processes ready and hands them tasks: a function and some of the items.",
    "worker": "A worker is a process of a pool: it takes a task, works on it, sends the result, takes the next.",
    "value": "A value in shared memory: all processes see the same bytes. value += 1 is two steps, to read and to "
    "write: hold its lock around both.",
    "array": "An array in shared memory: all processes see the same bytes.",
}


def title(row: Row) -> str:
    """A row by name."""
    if isinstance(row, ThreadRow):
        return name_of_thread(row)
    if isinstance(row, ProcessRow):
        return command(row.stands_for) if row.stands_for else name_of_process(row)
    if isinstance(row, ObjectRow):
        return row.label
    if isinstance(row, PoolRow):
        return row.label
    return f"{row.name or 'worker'} (pid {row.pid})" if isinstance(row, WorkerRow) else str(row.pid)


def hint(row: Row, model: Model) -> str:
    """The row in a sentence: the line below the table."""
    family = model.family_of(row)
    if isinstance(row, ThreadRow | ProcessRow):
        if row.state.kind == "sleeping":
            return f"{title(row)}: sleeps (input, output, a timer: nothing of procession). s shows where"
        return f"{title(row)}: {row.state.text}"
    if isinstance(row, ObjectRow):
        return f"{title(row)}: {_object_sentence(row, family)}"
    if isinstance(row, PoolRow):
        info = row.info
        failed = f", {words.plural(info.failed, 'call')} raised" if info.failed else ""
        left = f", {words.duration(row.left_s)} left" if row.left_s else ""
        return (
            f"{title(row)}: {words.count(info.done)} of {words.plural(row.given, 'task')} done{failed}, "
            f"{words.rate(row.rate)} a second{left}"
        )
    return f"{title(row)}: {row.state.text}"


def _object_sentence(row: ObjectRow, family: Family | None) -> str:
    parts = []
    if row.info.owner is not None and family is not None:
        since = row.info.owner.since
        parts.append(f"held by {name_of_owner(row, family)}" + (f" since {words.clock(since)}" if since else ""))
    if row.group == "queue":
        parts.append(words.plural(row.statistics.depth, "item"))
    if row.info.waiters and family is not None:
        parts.append("waiting: " + ", ".join(_waiter(family, *waiter) for waiter in row.info.waiters))
    if row.info.site:
        parts.append(f"made at {short_site(row.info.site, function=True)}")
    return "; ".join(parts)


def _waiter(family: Family, pid: int, native_id: int) -> str:
    process = family.process(pid)
    if process is None:
        return f"pid {pid}"
    thread = process.threads.get(native_id)
    return name_of_thread(thread) if thread is not None else name_of_process(process)


def details(row: Row, model: Model) -> tuple[Lines, str]:
    """All that is known of a row as names and values, and what such a thing is."""
    family = model.family_of(row)
    if isinstance(row, ThreadRow):
        return _thread(row, family, model.now), _WHAT_IT_IS["thread"]
    if isinstance(row, ProcessRow):
        return _process(row, family, model), _WHAT_IT_IS["process"]
    if isinstance(row, ObjectRow):
        return _object(row, family, model.now), _what_kind(row)
    if isinstance(row, PoolRow):
        return _pool(row), _WHAT_IT_IS["pool"]
    assert isinstance(row, WorkerRow)
    return _worker(row, model), _WHAT_IT_IS["worker"]


def _what_kind(row: ObjectRow) -> str:
    kind = row.info.kind.lower()
    return next((text for name, text in _WHAT_IT_IS.items() if name in kind), "")


def _thread(row: ThreadRow, family: Family | None, now: float) -> Lines:
    lines = [
        ("Thread", row.name),
        ("Number", f"{row.info.native_id} (in Python's threading: {row.info.ident})"),
        ("Process", name_of_process(row.process)),
        ("State", row.state.text),
        (
            "CPU",
            f"{words.percent(row.cpu)} % of a core, {words.duration(row.sample.cpu_s if row.sample else None)} so far",
        ),
    ]
    lines += _wait(row, family, now)
    return lines + _holds(row.process.info.pid, row.info.ident, family)


def _wait(row: ThreadRow, family: Family | None, now: float) -> Lines:
    waits = row.info.waits
    if waits is None or family is None:
        return []
    return [("Waits", waiting(waits, family, now)), ("", waits.site or "")]


def _holds(pid: int, ident: int | None, family: Family | None) -> Lines:
    """The locks a thread (or, without a thread, a process) holds."""
    if family is None:
        return []
    held = [
        row
        for row in family.objects.values()
        if (owner := row.info.owner) is not None and owner.pid == pid and ident in (None, owner.thread)
    ]
    return _list("Holds", [f"{row.label}{_since(row)}" for row in held])


def _since(row: ObjectRow) -> str:
    owner = row.info.owner
    if owner is None:
        return ""
    since = f" since {words.clock(owner.since)}" if owner.since is not None else ""
    return since + (f", taken at {short_site(owner.site, function=True)}" if owner.site else "")


def _list(name: str, values: list[str]) -> Lines:
    return [(name if number == 0 else "", value) for number, value in enumerate(values)]


def _process(row: ProcessRow, family: Family | None, model: Model) -> Lines:
    info, sample = row.info, row.sample
    lines = [("Process", info.name)]
    if row.stands_for:
        lines.append(("Command", row.stands_for))
    parent = family.process(info.parent) if family is not None and info.parent else None
    lines += [
        ("Number", str(info.pid)),
        ("Started by", name_of_process(parent) if parent is not None else str(info.parent)),
        ("Started", f"{words.clock(info.started)}, {words.duration(model.now - info.started)} ago"),
        ("State", row.state.text),
        ("CPU", f"{words.percent(row.cpu)} % of a core, {words.duration(sample.cpu_s if sample else None)} so far"),
        ("Memory", f"{words.size(row.private)} its own, {words.size(row.shared)} as its part of what is shared"),
        ("", f"{words.size(sample.rss if sample else None)} in all, counting all that is shared (RSS)"),
    ]
    if row.stands_for:
        lines += _list("Not seen", list(row.program.notes))
    main = next((thread for thread in row.threads.values() if thread.is_main), None)
    if main is not None:
        lines += _wait(main, family, model.now)
    lines += _list(
        "Threads", [f"{each.name} ({each.info.native_id}): {each.state.text}" for each in row.threads.values()]
    )
    return lines + _holds(info.pid, None, family)


def _object(row: ObjectRow, family: Family | None, now: float) -> Lines:
    """First what changes, then where it comes from, so that a small screen shows what one looks for."""
    info = row.info
    lines = [("Object", row.label)]
    if family is not None and info.owner is not None:
        lines.append(("Held by", name_of_owner(row, family) + _since(row)))
    if family is not None:
        lines += _list("Waiting", [_wait_of(family, *waiter, now=now) for waiter in info.waiters])
    if row.group == "queue":
        put, taken = row.rates or (None, None)
        lines.append(("Rates", f"{words.rate(put)} put and {words.rate(taken)} taken a second"))
        lines.append(("Depth", words.sparkline(row.history or (), 40).strip()))
    if row.contention is not None:
        lines.append(("Contention", f"{words.percent(row.contention)} % of acquisitions had to wait"))
    statistics: Any = row.statistics
    if statistics is not None:
        shown = [field.name for field in fields(statistics) if field.name != "owner"]
        lines += _list("Counters", [f"{name.replace('_', ' ')}: {getattr(statistics, name)}" for name in shown])
    lines += [
        ("Made at", info.site or "not known"),
        ("Made by", _waiter(family, info.creator, 0) if family is not None else f"pid {info.creator}"),
    ]
    if family is not None:
        lines += _list("Used by", [_waiter(family, pid, 0) for pid in info.holders])
    return [*lines, ("Memory", f"{words.size(info.nbytes)} bytes" if info.nbytes < 1000 else words.size(info.nbytes))]


def _wait_of(family: Family, pid: int, native_id: int, *, now: float) -> str:
    process = family.process(pid)
    thread = process.threads.get(native_id) if process is not None else None
    if thread is None or thread.info.waits is None:
        return _waiter(family, pid, native_id)
    waits = thread.info.waits
    at = f" at {short_site(waits.site, function=True)}" if waits.site else ""
    return f"{name_of_thread(thread)} for {words.duration(now - waits.since)}{at}"


def _pool(row: PoolRow) -> Lines:
    info = row.info
    lines = [
        ("Pool", info.name),
        ("Function", info.title or "none yet"),
        ("Workers", f"{len(info.workers)} of {info.size}, started by {info.method}"),
        ("Made by", f"pid {info.pid}{f' at {info.site}' if info.site else ''}"),
        ("Progress", f"{words.bar(row.share, 30)} {row.share * 100:.1f} %"),
        ("Tasks", f"{row.given} given (a chunk of items is one), {info.done} done"),
        ("", f"{info.running} running, {info.waiting} waiting; {words.plural(info.failed, 'call')} raised"),
        ("Rate", f"{words.rate(row.rate)} a second"),
        ("Time left", words.duration(row.left_s)),
    ]
    return lines + _list("", [f"pid {each.info.pid}: {each.state.text}" for each in row.workers.values()])


def _worker(row: WorkerRow, model: Model) -> Lines:
    lines = [("Worker", f"pid {row.info.pid}"), ("Pool", row.pool.info.name), ("State", row.state.text)]
    family = model.family_of(row)
    process = family.process(row.info.pid) if family is not None else None
    return lines + (_process(process, family, model)[1:] if process is not None else [])
