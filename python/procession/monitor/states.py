"""What each thread and process does, in words, and the circles in which they wait for each other.

A thread that waits in procession says for what: the program's own table of waits tells. Whether any other thread
computes or sleeps, the operating system tells. A circle (deadlock) is found by following each waiting thread to the
holder of what it waits for, or to the main thread of the process it joins: a thread waits for one thing at a time and a
lock has one owner, so it is a walk, not a search. Queues and semaphores, which have no owner, end it; so does a wait
with a timeout, which ends by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from procession._sites import short_site
from procession.monitor.rows import BUSY, ObjectRow, ProcessRow, State, ThreadRow, WorkerRow
from procession.monitor.words import clock, duration, one_line

if TYPE_CHECKING:
    from procession._registry import WaitInfo
    from procession.monitor.model import Family

__all__ = ["Circle", "Node", "Waiting", "circles", "state_of_process", "state_of_thread", "state_of_worker", "waiting"]

STARTING = "starting: imports the program"  # a worker that has not said yet what it is called
SAME_WAIT_S = 0.05  # seconds by which the beginning of one wait may differ in two looks
Node = tuple[int, int]  # pid and thread ident


@dataclass(frozen=True)
class Waiting:
    """One party of a circle: who waits for what."""

    who: str  # the thread
    what: str  # the object, or the process it joins
    holder: str  # who has it, in short: it is the next party
    site: str | None  # where it waits
    since: float

    def __str__(self) -> str:
        at = f" at {short_site(self.site)}" if self.site else ""
        return f"{self.who} waits for {self.what}{at}"


@dataclass(frozen=True)
class Circle:
    """A deadlock: each waits for the next, the last for the first."""

    nodes: tuple[Node, ...]
    parties: tuple[Waiting, ...]

    def is_same(self, other: Circle) -> bool:
        """Whether the same are in the same waits. Their beginnings are reckoned anew for each look."""
        began = {node: party.since for node, party in zip(other.nodes, other.parties, strict=True)}
        return began.keys() == set(self.nodes) and all(
            abs(party.since - began[node]) < SAME_WAIT_S for node, party in zip(self.nodes, self.parties, strict=True)
        )

    def __str__(self) -> str:
        return ", ".join(str(party) for party in self.parties)


def circles(family: Family) -> list[Circle]:
    """Every circle of waits in a program, each once."""
    threads: dict[Node, ThreadRow] = {}
    for process in family.processes.values():
        if process.ended is None:
            for thread in process.threads.values():
                if thread.info.ident is not None:
                    threads[(process.info.pid, thread.info.ident)] = thread
    found: list[Circle] = []
    walked: set[Node] = set()
    for start, thread in threads.items():
        if thread.info.waits is None or start in walked:
            continue
        path: list[Node] = []
        node: Node | None = start
        while node is not None and node not in walked:
            walked.add(node)
            path.append(node)
            node = _next(threads.get(node), family)
        if node in path:
            nodes = tuple(path[path.index(node) :])
            found.append(Circle(nodes, tuple(_party(threads[each], family) for each in nodes)))
    return found


def _next(thread: ThreadRow | None, family: Family) -> Node | None:
    """The thread that this one waits for, for as long as it takes."""
    waits = None if thread is None else thread.info.waits
    if waits is None or waits.timed:
        return None
    if waits.action == "join":
        joined = family.joined(waits)
        return (joined.pid, joined.info.ident) if joined is not None and joined.info.ident is not None else None
    target = family.waited_for(waits)
    owner = target.info.owner if target is not None else None
    return (owner.pid, owner.thread) if owner is not None else None


def _party(thread: ThreadRow, family: Family) -> Waiting:
    waits = thread.info.waits
    assert waits is not None
    what, _ = _target(waits, family)
    row = family.waited_for(waits)
    holder = name_of_owner(row, family, short=True) if row is not None else ""
    return Waiting(name_of_thread(thread), what, holder, waits.site, waits.since)


def name_of_process(process: ProcessRow) -> str:
    """A process in a sentence."""
    return f"{one_line(process.info.name) or 'process'} (pid {process.info.pid})"


def name_of_thread(thread: ThreadRow) -> str:
    """A thread in a sentence: its process, and itself where it is not the main one."""
    process = name_of_process(thread.process)
    name = one_line(thread.name) if thread.name != "thread" else str(thread.info.native_id)  # that has no name
    return process if thread.is_main else f"{process}, thread {name}"


def name_of_owner(row: ObjectRow, family: Family, *, short: bool = False) -> str:
    """The holder of a lock in a sentence, in short without numbers; nothing while it is free."""
    owner = row.info.owner
    if owner is None:
        return ""
    process = family.process(owner.pid)
    if process is None:
        return f"pid {owner.pid}"
    thread = next((each for each in process.threads.values() if each.info.ident == owner.thread), None)
    if short:
        name = process.info.name or f"pid {owner.pid}"
        return name if thread is None or thread.is_main else f"{name}, {thread.name}"
    return name_of_thread(thread) if thread is not None else name_of_process(process)


def _target(waits: WaitInfo, family: Family) -> tuple[str, str]:
    """What is waited for, and who has it."""
    if waits.action == "join":
        joined = family.joined(waits)
        if joined is None:
            ended = family.process(waits.pid) if waits.pid else None
            return f"the end of {name_of_process(ended) if ended is not None else f'pid {waits.pid}'}", ""
        if waits.thread and not joined.is_main:
            return f"the end of its thread {joined.name} ({joined.info.native_id})", ""
        return f"the end of {name_of_process(joined.process)}", ""
    if not waits.object:
        return "", ""
    row = family.waited_for(waits)
    whole = waits.object[0] if row is None else row.info.part_of
    pool = next((pool for pool in family.pools.values() if pool.info.address[0] == whole), None) if whole else None
    if pool is not None:  # its rings and locks are its own business
        return pool.label, name_of_owner(row, family) if row is not None else ""
    if row is None:
        return "an object that is gone", ""
    return row.label, name_of_owner(row, family)


# What stands before the object, and what is missing for the wait to end; {} is the object.
_SENTENCES = {
    "acquire": "for {}",
    "get": "to get from {}, which is empty",
    "put": "to put into {}, which is full",
    "wait": "on {}",
    "join": "for {}",
    "result": "for a result of {}",
}


def waiting(waits: WaitInfo, family: Family, now: float) -> str:
    """A wait in a sentence: for what, how long, who has it since when, at which line."""
    what, holder = _target(waits, family)
    sentence = f"waits {duration(now - waits.since)} "
    sentence += _SENTENCES.get(waits.action, f"({waits.action}) on {{}}").replace("{}", what or "something")
    if holder:
        row = family.waited_for(waits)
        owner = row.info.owner if row is not None else None
        sentence += f", held by {holder}"
        if owner is not None and owner.since is not None:
            sentence += f" since {clock(owner.since)}"
        if owner is not None and owner.site:
            sentence += f", taken at {short_site(owner.site)}"
    if waits.site:
        sentence += f"; at {short_site(waits.site)}"
    return sentence


def state_of_thread(thread: ThreadRow, family: Family, now: float, stuck: set[Node]) -> State:
    """What a thread does just now."""
    if thread.ended is not None:
        return State("ended", f"ended {clock(thread.ended)}")
    waits = thread.info.waits
    if waits is not None:
        kind = "deadlock" if (thread.process.info.pid, thread.info.ident or 0) in stuck else "waiting"
        text = waiting(waits, family, now)
        return State(kind, f"DEADLOCK: {text}" if kind == "deadlock" else text)
    state = thread.sample.state if thread.sample else ""
    if state in ("T", "t"):
        return State("stopped", "stopped")
    if thread.is_busy:
        return State("running", "running")
    return State("sleeping", "sleeping")


def state_of_process(row: ProcessRow, now: float) -> State:
    """What a process does: what the most telling of its threads does."""
    if row.ended is not None:
        return State("ended", f"ended {clock(row.ended)}")
    state = row.sample.state if row.sample else ""
    if state == "Z":
        return State("ended", "ended, not joined yet")
    if state in ("T", "t"):
        return State("stopped", "stopped (by a signal: SIGCONT lets it go on)")
    states = [thread.state for thread in row.threads.values()]
    main = next((thread.state for thread in row.threads.values() if thread.is_main), None)
    for found in states:
        if found.kind == "deadlock":
            return found
    if row.worker is not None:
        return _work(row, main)
    for found in states:
        if found.kind == "running":
            return found
    if main is not None:
        return main
    busy = state == "R" or (row.cpu or 0) >= BUSY
    return State("running", "running") if busy else State("sleeping", "sleeping")


def _work(row: ProcessRow, main: State | None) -> State:
    """A pool's worker says what it works on."""
    assert row.worker is not None
    if row.worker.info.task is None:
        return State("idle", "idle: waits for a task" if row.info.name else STARTING)
    if main is not None and main.kind == "waiting":
        return State("waiting", f"in {task(row.worker)}, {main.text}")
    if main is None or main.kind == "running":
        return State("running", f"runs {task(row.worker)}")
    return State("sleeping", f"in {task(row.worker)}, sleeping")


def task(row: WorkerRow) -> str:
    """What a worker works on: the pool's function, the number of the task, and of the item in it."""
    info, title = row.info, row.pool.info.title
    item = f" item {info.item}" if info.item is not None else ""
    return f"{title + ', ' if title else ''}task {info.task}{item}"


def state_of_worker(row: WorkerRow, now: float) -> State:
    """What a pool's worker does."""
    info = row.info
    if row.ended is not None:
        return State("ended", f"ended {clock(row.ended)}")
    if info.task is None:
        return State("idle", "idle: waits for a task" if row.name else STARTING)
    since = f" for {duration(now - info.since)}" if info.since else ""
    return State("running", f"runs {task(row)}{since}")
