"""Locks that are taken in one order here and in the other elsewhere: a deadlock on another day.

Each time a thread takes a lock while it holds others, that is an order, and a row in a table that the family shares
(`orders.rs` of the core). A new one is compared with all there are: a circle of orders is warned of, once in a process,
unless it can never close:

- one thread alone cannot wait for itself: each order of the circle must be another thread's;
- a *gate*, another lock that was held in two of them, lets only one of both in at a time;
- what was over before something else began cannot meet it: an order of who started this thread or process, last seen
  before that start; an order of a thread or process whose end this thread has waited for, or that was waited for
  before this thread began.

An attempt with a timeout is no order, for it gives up. What an event or a queue puts in order is not known here.
"""

from __future__ import annotations

import threading
import warnings
from dataclasses import dataclass

from .. import _native, _waits
from .._sites import split_site
from ..errors import LockOrderWarning
from .facts import label_text, process_names
from .telling import leave_behind

TYPE_CHECKING = False  # as everywhere in the package
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

__all__ = ["Me", "Order", "circles", "look"]

_LONGEST = 4  # orders in a circle

_told: set[frozenset[int]] = set()  # circles, by the serial numbers of their locks


@dataclass(frozen=True)
class Order:
    """A thread took one lock while it held another. Locks are named by serial numbers."""

    number: int
    thread: tuple[int, int]
    held: int
    taken: int
    sites: tuple[str, str] = ("", "")
    """Of the line that took the one that is held, and of the one that took the other."""
    gates: int = 0
    """Bits of the other locks that were held."""
    last: int = 0
    """When it was seen last, nanoseconds of the monotonic clock."""
    joined: int = 0
    """When somebody had waited for the end of the thread; 0: not known."""
    joined_by: int = 0
    """The kernel's id of the thread that did."""


@dataclass(frozen=True)
class Me:
    """Who compares: when its thread began, and who started that, and who started him, and so on."""

    native: int
    """The kernel's id of this thread."""
    born: int
    ancestors: tuple[tuple[int, int], ...] = ()
    """Pid and ident; an ident of 0 is any thread."""

    def is_after(self, order: Order) -> bool:
        """Whether that order was over before this thread began, or went on."""
        if order.joined and (order.joined <= self.born or order.joined_by == self.native):
            return True
        pid, ident = order.thread
        return order.last <= self.born and ((pid, ident) in self.ancestors or (pid, 0) in self.ancestors)


def circles(new: Order, orders: Iterable[Order], me: Me) -> Iterator[list[Order]]:
    """Ways from what was taken back to what was held, each with `new` in front."""
    others = [order for order in orders if order.thread != new.thread and not me.is_after(order)]
    todo = [[new]]
    while todo:
        way = todo.pop()
        for order in others:
            if order.held != way[-1].taken or any(_excludes(order, earlier) for earlier in way):
                continue
            if order.taken == new.held:
                yield [*way, order]
            elif len(way) + 1 < _LONGEST and order.taken not in {one.held for one in way}:
                todo.append([*way, order])


def _excludes(one: Order, other: Order) -> bool:
    return one.thread == other.thread or bool(one.gates & other.gates)


def look(arena: _native.Arena, numbers: list[int]) -> None:
    """Compare this thread's orders of these numbers with all. Warns: LockOrderWarning."""
    rows = [_order(arena, row) for row in _native.orders(arena)]
    me = _me()
    for new in [row for row in rows if row.number in numbers]:
        for circle in circles(new, rows, me):
            locks = frozenset(order.held for order in circle)
            if locks not in _told:
                _told.add(locks)
                _tell(circle)
                break


def _order(arena: _native.Arena, row: Any) -> Order:
    number, thread, (held, taken), (first, second), gates, last, (joined, by) = row
    sites = label_text(arena, first), label_text(arena, second)
    return Order(number, thread, held, taken, sites, gates, last, joined, by)


def _me() -> Me:
    born, ancestors = _waits.descent(threading.current_thread())
    return Me(threading.get_native_id(), born, ancestors)


def _tell(circle: list[Order]) -> None:
    names = process_names()
    letters = {order.held: "ABCD"[number] for number, order in enumerate(circle)}
    lines = ["locks are taken in orders that may end in a deadlock:"]
    told = []
    for order in circle:
        pid = order.thread[0]
        process = f"{names.get(pid, 'a process that has ended')}, pid {pid}"
        held, taken = order.sites
        locks = letters[order.held], letters[order.taken]
        lines.append(f"  {process}: lock {locks[0]} at {held or 'an unknown line'}")
        lines.append(f"    and then lock {locks[1]} at {taken or 'an unknown line'}")
        told.append({"process": process, "held": held, "taken": taken, "locks": locks})
    lines.append("  take them in the same order everywhere, or hold one more lock around both")
    leave_behind("lock-order", {"text": "\n".join(lines), "orders": told})
    file, line, _ = split_site(circle[0].sites[1])
    warnings.warn_explicit("\n".join(lines), LockOrderWarning, file or "procession", line)
