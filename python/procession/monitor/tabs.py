"""The tabs of the monitor: which rows each lists and in which columns.

The widths are chosen so that 80 columns show what matters and 40 what matters most.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from procession._sites import short_site
from procession.monitor import words
from procession.monitor.columns import Column, Tab
from procession.monitor.model import Order
from procession.monitor.rows import ObjectRow, PoolRow, ProcessRow, ThreadRow, WorkerRow

__all__ = ["TABS", "command"]

SPARK = 20  # cells of a sparkline
HOT = 0.2  # share of acquisitions that wait from which a lock is marked; arbitrary


def numeric(
    title: str,
    width: int,
    text: Callable[[Any], str],
    order: Order,
    help: str,
    rank: int = 0,
    tint: Callable[[Any], str] = lambda row: "",
) -> Column:
    """A column of numbers: they stand at the right, the greatest come first."""
    return Column(title, width, text, order, help, right=True, rank=rank, falling=True, tint=tint)


# Processes


def _number(row: Any) -> int:
    return int(row.info.native_id if isinstance(row, ThreadRow) else row.pid)


def _name(row: Any) -> str:
    if isinstance(row, ThreadRow):
        return f"{row.prefix}{row.name}"
    if row.stands_for:
        return f"{row.prefix}{command(row.stands_for)}"
    return f"{row.prefix}{row.info.name or 'process'}"


def command(line: str) -> str:
    """A command without the interpreter's path and the script's folder: `python train.py --fast`."""
    parts = line.split()
    return " ".join(part.rpartition("/")[2] if number < 2 else part for number, part in enumerate(parts)) or line


def _memory(attribute: str) -> Callable[[Any], str]:
    def text(row: Any) -> str:
        return words.size(getattr(row, attribute)) if isinstance(row, ProcessRow) and row.ended is None else ""

    return text


def _private(row: Any) -> int | None:
    return row.private if isinstance(row, ProcessRow) else None


def _shared(row: Any) -> int | None:
    return row.shared if isinstance(row, ProcessRow) else None


def _cpu(row: Any) -> str:
    return words.percent(row.cpu) if row.ended is None else ""


def _name_order(row: Any) -> str:
    return str(row.name if isinstance(row, ThreadRow) else row.info.name)


def _faint(row: Any) -> str:
    return "thread" if isinstance(row, ThreadRow) else ""


def _busy(row: Any) -> str:
    return "running" if (row.cpu or 0) >= 0.5 else ""


def _kind(row: Any) -> str:
    return str(row.state.kind)


_PROCESSES = (
    Column(
        "PID", 7, lambda row: str(_number(row)), _number, "number of the process or thread", right=True, tint=_faint
    ),
    Column("NAME", 14, _name, _name_order, "the process or thread, below what started it", grow=2, tint=_faint),
    numeric("CPU%", 5, _cpu, lambda row: row.cpu, "100 is one core in full use", tint=_busy),
    numeric("PRIVATE", 7, _memory("private"), _private, "memory nobody else has (USS): what its end would free", 2),
    numeric("SHARED", 6, _memory("shared"), _shared, "its part of the memory it shares with others (PSS − USS)", 3),
    Column(
        "STATE", 10, lambda row: row.state.text, lambda row: row.state.text, "what it does just now", grow=5, tint=_kind
    ),
)


# Objects


def _rate(number: int) -> Callable[[Any], str]:
    return lambda row: words.rate(row.rates[number] if row.rates else None)


def _rate_order(number: int) -> Order:
    return lambda row: row.rates[number] if row.rates else None


def _object_name(row: ObjectRow) -> str:
    return str(row.info.name)


def _site(row: ObjectRow) -> str:
    where, _, function = short_site(row.info.site or "", function=True).partition(" in ")
    return f"{where} in {function}" if function and not function.startswith("<") else where


def _waiters(row: ObjectRow) -> int:
    return len(row.info.waiters) or getattr(row.statistics, "waiters", 0)


def _waiting_text(row: ObjectRow) -> str:
    return str(_waiters(row) or "")


def _owner(row: ObjectRow) -> str:
    owner = row.info.owner
    if owner is None:
        return "permits: " + str(row.statistics.value) if hasattr(row.statistics, "value") else ""
    return f"{owner.name or 'pid'} {owner.pid}"


def _held(row: ObjectRow) -> str:
    held = _held_order(row)
    return words.duration(held) if held is not None else ""


def _held_order(row: ObjectRow) -> float | None:
    owner = row.info.owner
    return row.seen - owner.since if owner is not None and owner.since is not None else None


def _contention(row: ObjectRow) -> str:
    return words.percent(row.contention) if row.contention is not None else ""


def _nbytes(row: ObjectRow) -> str:
    return words.size(row.statistics.nbytes)


def _history(row: ObjectRow) -> str:
    return words.sparkline(row.history or (), SPARK)


def _wanted(row: ObjectRow) -> str:
    return "waiting" if _waiters(row) else ""


def _hot(row: ObjectRow) -> str:
    return "hot" if (row.contention or 0) >= HOT and row.rates and row.rates[0] else ""


def _depth(row: ObjectRow) -> int:
    return int(row.statistics.depth)


def _kind_of_object(row: ObjectRow) -> str:
    return row.info.kind


_NAME = Column("NAME", 12, _object_name, _object_name, "its name, or the line of the program that made it", grow=3)
_KIND = Column("KIND", 9, _kind_of_object, _kind_of_object, "what kind of object it is", rank=3)
_BYTES = numeric("BYTES", 5, lambda row: words.size(row.info.nbytes), lambda row: row.info.nbytes, "memory it takes", 5)
_MADE = Column(
    "MADE AT", 10, _site, lambda row: row.info.site or "", "the line of the program that made it", grow=2, rank=6
)

_QUEUES = (
    _NAME,
    numeric("DEPTH", 5, lambda row: words.count(_depth(row)), _depth, "items in it; one that grows has a slow reader"),
    numeric("PUT/s", 5, _rate(0), _rate_order(0), "items put in a second"),
    numeric("GOT/s", 5, _rate(1), _rate_order(1), "items taken out a second", 1),
    Column(
        "DEPTH LATELY", SPARK, _history, _depth, "its depth over time", rank=2, falling=True, tint=lambda row: "accent"
    ),
    numeric("WAIT", 4, _waiting_text, _waiters, "how many wait to put or get", 3, _wanted),
    numeric("BYTES", 5, _nbytes, lambda row: row.statistics.nbytes, "bytes of the items in it", 4),
    _MADE,
)

_LOCKS = (
    _NAME,
    _KIND,
    Column("OWNER", 14, _owner, _owner, "who holds it: process and number", grow=2),
    numeric("HELD", 6, _held, _held_order, "for how long", 2),
    numeric("WAIT", 4, _waiting_text, _waiters, "how many wait for it", 0, _wanted),
    numeric("TAKEN/s", 7, _rate(0), _rate_order(0), "acquisitions a second", 1),
    numeric("CONT%", 5, _contention, lambda row: row.contention, "share of acquisitions that had to wait", 1, _hot),
    _MADE,
)


# Pools


def _pool_name(row: Any) -> str:
    if isinstance(row, WorkerRow):
        return f"{row.prefix}{row.info.pid} {row.name}"
    return f"{row.info.name}"


def _count(title: str, width: int, name: str, help: str, rank: int = 0) -> Column:
    """A column that counts tasks of a pool."""
    return numeric(
        title,
        width,
        lambda row: words.count(getattr(row.info, name)) if isinstance(row, PoolRow) else "",
        lambda row: getattr(row.info, name),
        help,
        rank,
        lambda row: "hot" if name == "failed" and isinstance(row, PoolRow) and row.info.failed else "",
    )


def _pool_rate(row: Any) -> str:
    return words.rate(row.rate) if isinstance(row, PoolRow) else words.percent(row.cpu) + "%"


def _left(row: Any) -> str:
    return words.duration(row.left_s) if isinstance(row, PoolRow) else ""


def _doing(row: Any) -> str:
    if isinstance(row, WorkerRow):
        return str(row.state.text)
    info = row.info
    what = info.title
    if not info.submitted:
        return what or "nothing was given to it yet"
    return f"{row.share * 100:3.0f}% {words.bar(row.share, 12)} {what}"


_POOLS = (
    Column("POOL", 14, _pool_name, lambda row: row.info.name, "the pool; below it its workers", grow=1),
    _count("DONE", 5, "done", "tasks done; a chunk of items is one task"),
    _count("RUN", 4, "running", "tasks being worked on", 3),
    _count("WAIT", 5, "waiting", "tasks no worker has yet", 2),
    _count("FAIL", 4, "failed", "calls that raised", 2),
    numeric("DONE/s", 6, _pool_rate, lambda row: row.rate, "tasks a second; of a worker its CPU", 1),
    numeric("LEFT", 7, _left, lambda row: row.left_s, "time until all that was given to it is done", 1),
    Column("WORK", 12, _doing, lambda row: row.share, "progress; of a worker its task", grow=4, tint=_kind),
)


# Everything


def _value(row: ObjectRow) -> str:
    statistics = row.statistics
    if statistics is None:
        return ""
    if hasattr(statistics, "typecode"):
        return f"= {statistics.value}" if hasattr(statistics, "value") else words.plural(statistics.length, "item")
    if hasattr(statistics, "is_set"):
        return "set" if statistics.is_set else "not set"
    if hasattr(statistics, "depth"):
        return words.plural(statistics.depth, "item")
    if hasattr(statistics, "parties"):
        return "broken" if statistics.broken else f"{statistics.waiters} of {statistics.parties} arrived"
    if row.info.owner is not None:
        return f"held by {_owner(row)}"
    if hasattr(statistics, "value"):
        return words.plural(statistics.value, "permit")
    return "free" if hasattr(statistics, "acquired") else ""


def _users(row: ObjectRow) -> int:
    return len(row.info.holders)


_OBJECTS = (
    _KIND,
    _NAME,
    Column("NOW", 12, _value, _value, "what it holds or shows just now", grow=1, rank=1),
    numeric("WAIT", 4, _waiting_text, _waiters, "how many wait for it", 2, _wanted),
    numeric("USERS", 5, lambda row: str(_users(row)), _users, "processes that have it", 2),
    _BYTES,
    _MADE,
)

TABS = (
    Tab(
        "Processes",
        "Proc",
        _PROCESSES,
        lambda model, order, chosen: model.processes(order, chosen.reverse, tree=chosen.tree, threads=chosen.threads),
        0,
        "No program that uses procession runs. Start one: it appears here by itself.",
    ),
    Tab(
        "Queues",
        "Queue",
        _QUEUES,
        lambda model, order, chosen: model.objects("queue", order, chosen.reverse),
        1,
        "No queues.",
    ),
    Tab(
        "Locks",
        "Lock",
        _LOCKS,
        lambda model, order, chosen: model.objects("lock", order, chosen.reverse),
        4,
        "No locks.",
    ),
    Tab("Pools", "Pool", _POOLS, lambda model, order, chosen: model.pools(order, chosen.reverse), 0, "No pools."),
    Tab(
        "Objects",
        "Obj",
        _OBJECTS,
        lambda model, order, chosen: model.objects(None, order, chosen.reverse),
        0,
        "No objects.",
    ),
)
