"""A race or a lost update in words: the places, what each thread held, and the lines to write instead."""

from __future__ import annotations

from . import events
from .finding import Finding, Place
from .source import subject

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .accesses import Access
    from .clocks import Thread

    Who = Callable[[Thread], tuple[str, str]]
    Pairs = list[tuple[Access, Access]]

__all__ = ["lost_update", "race"]

MOST_PLACES = 8


def lost_update(pairs: Pairs, who: Who) -> Finding:
    """The finding for one object whose updates may get lost; each pair is an update and what comes between."""
    update = pairs[0][0]
    name, statement = _named(update)
    places: list[Place] = []
    for one, other in pairs:
        _add(places, one, "reads and writes back" if _in_one_line(one) else "writes back what was read before", who)
        if one.read is not None and not _in_one_line(one):
            _add(places, one.read, "reads", who)
        _add(places, other, "writes meanwhile", who)
    _add_both_sides(places, pairs, who)
    return Finding(
        "lost-update",
        f"an update of {name or 'a shared value'} can get lost: it is read, and written back, with no lock around both",
        tuple(places[:MOST_PLACES]),
        _advice(update, name or "value", statement),
        {"holding": _holding(pairs, who), "name": name, "bytes": [update.start, update.end]},
    )


def race(pairs: Pairs, who: Who) -> Finding:
    """The finding for one object with accesses that nothing orders."""
    one, other = pairs[0]
    name, statement = _named(one)
    name = name or _named(other)[0]
    places: list[Place] = []
    for pair in pairs:
        for access in pair:
            _add(places, access, _role(access), who)
    _add_both_sides(places, pairs, who)
    return Finding(
        "race",
        f"{name or 'shared memory'} is {'written' if other.writes else 'written and read'} by "
        f"{_parties(one, other)} at once, and nothing orders them",
        tuple(places[:MOST_PLACES]),
        _race_advice(one, other, name or "data", statement),
        {
            "holding": _holding(pairs, who),
            "name": name,
            "bytes": [max(one.start, other.start), min(one.end, other.end)],
        },
    )


def _named(access: Access) -> tuple[str, str]:
    return subject(access.site, "write" if access.writes else "read")


def _in_one_line(update: Access) -> bool:
    return update.read is None or update.read.site == update.site


def _parties(one: Access, other: Access) -> str:
    return "two threads" if one.thread.pid == other.thread.pid else "two processes"


def _role(access: Access) -> str:
    verb = {events.READ: "reads", events.WRITE: "writes", events.UPDATE: "updates"}[access.kind]
    return f"{verb} bytes {access.start} to {access.end - 1}"


def _add(places: list[Place], access: Access, role: str, who: Who) -> None:
    """One place for each line of the program."""
    process, thread = who(access.thread)
    place = Place.at(role, access.site, process=process, thread=thread, stack=_stack(access))
    if all((known.file, known.line) != (place.file, place.line) for known in places):
        places.append(place)


def _stack(access: Access) -> tuple[str, ...]:
    """The user's frames: without the line by which a spawned process was begun."""
    stack = access.stack
    return stack[:-1] if len(stack) > 1 and stack[-1].startswith("<string>:") else stack


def _add_both_sides(places: list[Place], pairs: Pairs, who: Who) -> None:
    """Where both do the same at the same line, the second is told of too."""
    one, other = pairs[0]
    if len(places) == 1:
        process, thread = who(other.thread)
        role = "does the same" if other.kind == one.kind else _role(other)
        places.append(Place.at(role, other.site, process=process, thread=thread, stack=_stack(other)))


def _holding(pairs: Pairs, who: Who) -> list[dict[str, Any]]:
    """For each of the first two: who it is and how many locks it held."""
    told = []
    for access in pairs[0]:
        process, thread = who(access.thread)
        told.append({"process": process, "thread": thread, "site": access.site, "locks": list(access.sites_of_locks)})
    return told


def _advice(update: Access, name: str, statement: str) -> tuple[str, ...]:
    lock = f"with {name}.get_lock():" if update.guard is not None else "with lock:  # one Lock, made by the parent"
    if not _in_one_line(update) or not statement:
        return (lock, f"    ...  # read {name}, compute and write it here, all in this block")
    lines: tuple[str, ...] = (lock, f"    {statement}")
    if update.guard is not None and statement.startswith(f"{name}.value += "):
        amount = statement.removeprefix(f"{name}.value += ")
        lines += (f"# or, for an integer, in one step: {name}.add({amount})",)
    return lines


def _race_advice(one: Access, other: Access, name: str, statement: str) -> tuple[str, ...]:
    if one.slice and other.slice and not (one.raw or other.raw):
        return (
            f"with {name}.get_lock():  # or give each its own part: the slices overlap",
            f"    {statement or '...'}",
        )
    shared = one.held() | other.held()
    if shared:
        return (
            "# One of the two holds a lock that the other does not take. Take it at both:",
            "with lock:",
            f"    {statement or '...'}",
        )
    guard = one.guard or other.guard
    lock = (
        f"with {name}.get_lock():"
        if guard is not None
        else "with lock:  # one Lock, made by the parent, at both places"
    )
    return (lock, f"    {statement or '...'}", "# or join, or wait for an event or a queue, before the second access")
