"""Who waits for whom, and who of them waits for ever: pure, facts in, threads out.

A wait ends when one of several threads does something: a lock's holder releases it, anybody who has a queue puts into
it. These are its *helpers*. A thread is *stuck* when its wait has no deadline and all its helpers are stuck as well:
the greatest such set is found by taking out, again and again, who can still be helped (the OR model of Knapp 1987; a
cycle alone would not do, since one who is in it may be helped from outside). A *deadlock* is then a part of the stuck
threads that wait for each other and for nobody else: a strongly connected component with no edge out of it. Who merely
waits for one of them is stuck too, but has no part in it.

Rules against false alarms, in order of use:

- Who waits with a deadline is never stuck, and helps everybody else's wait to end.
- What can be taken is not waited for: a free lock, a free permit, an item, room, an ended process.
- Of a lock or a permit only the holder helps, as far as its holders are known. One that was ever released by a thread
  that did not hold it is a signal, whose helpers nobody knows.
- Of a queue, and of a lock that a thread waits for that holds it itself, everybody helps: every kernel thread of every
  process of the family, and every process that is still starting, must be known to wait, and none may have a handler
  of a signal, which can come at any time.
- A process is waited for until its main thread ends.
- For a pool's result, and for its worker without a task, everybody helps; not while there is a child that has ended.
- Events, conditions, barriers, `connection.wait`: unknown, so never stuck.
"""

from __future__ import annotations

from dataclasses import dataclass, field

TYPE_CHECKING = False  # as everywhere in the package
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

__all__ = [
    "Facts",
    "Hold",
    "Key",
    "Thread",
    "Thing",
    "Wait",
    "deadlock_of",
    "deadlocks",
    "helpers_of",
    "raiser",
    "stuck",
]

Thread = tuple[int, int]
"""A thread of a process: pid and Python's ident."""

Key = tuple[int | str, int]
"""An object: which arena, and its offset; or "here" and its `id`."""


@dataclass(frozen=True)
class Wait:
    """A thread that waits."""

    id: tuple[int, int, int]
    """Names this wait for good: table, slot, sequence."""
    thread: Thread
    native: int
    """The kernel's id of the thread."""
    action: str
    key: Key
    detail: int = 0
    since: float = 0.0
    """On the monotonic clock."""
    site: str = ""
    timed: bool = False
    looks: bool = True
    """Whether this wait can be ended by an exception."""


@dataclass(frozen=True)
class Hold:
    """A thread that holds something, and where it took it."""

    thread: Thread
    key: Key
    since: float = 0.0
    site: str = ""


@dataclass(frozen=True)
class Thing:
    """What is waited for, as it is now."""

    kind: str
    """As the native module names kinds: "a Lock"."""
    serial: int = 0
    holder: Thread | None = None
    """Of a lock."""
    is_signal: bool = False
    value: int = 0
    """Free permits of a semaphore."""
    is_empty: bool = False
    is_full: bool = False
    is_closed: bool = False
    unfinished: int = 0


@dataclass(frozen=True)
class Facts:
    """What was seen at one moment, nearly."""

    waits: Mapping[Thread, Wait]
    holds: Collection[Hold] = ()
    things: Mapping[Key, Thing] = field(default_factory=dict)
    tasks: Mapping[int, Collection[int]] = field(default_factory=dict)
    """The kernel's ids of all threads of each living process of the family."""
    has_ended: bool = False
    """Whether some child has ended and its parent does not know yet: a pool will put another in its place."""
    is_starting: bool = False
    """Whether some process of the family has not come yet, so that nobody knows what it will do."""
    signalled: Collection[int] = ()
    """Processes with handlers of signals, which may do what somebody waits for."""

    def by_native(self, pid: int, native: int) -> Thread | None:
        """The waiting thread with that id, None if it does not wait."""
        found = (wait.thread for wait in self.waits.values() if (wait.thread[0], wait.native) == (pid, native))
        return next(found, None)

    def anybody_but(self, thread: Thread, pids: Iterable[int] | None = None) -> set[Thread] | None:
        """All threads of these processes (of the whole family) but one; None when some of them may come."""
        if pids is None and self.is_starting:
            return None
        found = set()
        for pid in self.tasks if pids is None else pids:
            if pid in self.signalled:
                return None
            for native in self.tasks.get(pid, ()):
                waiter = self.by_native(pid, native)
                if waiter is None:
                    return None
                found.add(waiter)
        return found - {thread}


def helpers_of(wait: Wait, facts: Facts) -> set[Thread] | None:
    """The threads of which one must do something for this wait to end; None: not known, or it can end now."""
    if wait.action in ("serve", "result"):
        return _of_a_pool(wait, facts)
    if wait.timed:
        return None
    if wait.action == "join":
        pid, native = (wait.thread[0], wait.detail) if wait.detail else (wait.key[1], wait.key[1])
        ended = native not in facts.tasks.get(pid, ())
        waiter = None if ended else facts.by_native(pid, native)
        return None if waiter is None else {waiter}
    thing = facts.things.get(wait.key)
    if thing is None:
        return None
    if wait.action == "acquire":
        return _holders(wait, thing, facts)
    if wait.action in ("get", "put", "finish"):
        over = {"get": not thing.is_empty, "put": not thing.is_full, "finish": not thing.unfinished}[wait.action]
        if over or thing.is_closed:
            return None
        return facts.anybody_but(wait.thread, [wait.thread[0]] if wait.key[0] == "here" else None)
    return None


def _of_a_pool(wait: Wait, facts: Facts) -> set[Thread] | None:
    """The helpers of who waits for a result, or for a task: nobody knows of whom, so anybody."""
    thing = facts.things.get(wait.key)
    if thing is None or not thing.is_empty or facts.has_ended or (wait.timed and wait.action == "result"):
        return None
    return facts.anybody_but(wait.thread)


def _holders(wait: Wait, thing: Thing, facts: Facts) -> set[Thread] | None:
    """The helpers of one who waits for a lock or a permit."""
    if thing.is_signal or thing.value:
        return None
    noted = {hold.thread for hold in facts.holds if hold.key == wait.key}
    if thing.kind == "a Semaphore":
        holders = noted
    elif thing.holder is None:
        return None
    else:
        holders = {thing.holder}
    if not holders:
        return None
    if holders != {wait.thread}:
        return holders - {wait.thread}
    # It waits for what it holds. Just being given it looks the same, but for the note that it held it before.
    return facts.anybody_but(wait.thread) if wait.thread in noted and thing.kind != "an RLock" else None


def stuck(facts: Facts) -> dict[Thread, set[Thread]]:
    """All threads that wait for ever, each with its helpers, who do as well."""
    helpers = {thread: helpers_of(wait, facts) for thread, wait in facts.waits.items()}
    found = {thread: of for thread, of in helpers.items() if of is not None}
    while True:
        helped = [thread for thread, of in found.items() if not of <= found.keys()]
        if not helped:
            return found
        for thread in helped:
            del found[thread]


def deadlocks(edges: Mapping[Thread, set[Thread]]) -> list[frozenset[Thread]]:
    """The parts of the stuck threads that wait for each other and for nobody else."""
    reach = {thread: _reach(thread, edges) for thread in edges}
    parts = set()
    for thread in edges:
        # Everybody whom it waits for, however indirectly, waits for it: then they are one part, with no edge out of it.
        if all(thread in reach[other] for other in reach[thread]):
            parts.add(frozenset(reach[thread] | {thread}))
    return sorted(parts, key=sorted)


def _reach(thread: Thread, edges: Mapping[Thread, set[Thread]]) -> set[Thread]:
    """Whom it waits for, and whom they wait for, and so on."""
    seen: set[Thread] = set()
    todo = [thread]
    while todo:
        new = edges[todo.pop()] - seen
        seen |= new
        todo.extend(new)
    return seen


def deadlock_of(thread: Thread, facts: Facts) -> frozenset[Thread] | None:
    """The deadlock that a thread has a part in. Workers without a task have none; and a pool alone makes none."""
    part = next((part for part in deadlocks(stuck(facts)) if thread in part), frozenset())
    part = frozenset(one for one in part if facts.waits[one].action != "serve")
    return part if thread in part and any(facts.waits[one].action != "result" for one in part) else None


def raiser(part: Iterable[Thread], facts: Facts) -> Thread | None:
    """Who of a deadlock is told: whose wait began last, among those that can be."""
    waits = [facts.waits[thread] for thread in part]
    return max(((wait.since, wait.thread) for wait in waits if wait.looks), default=(0.0, None))[1]
