"""A program of the registry as lines of text for people: pure, no I/O but the clock.

A line is a pair of a style ("", "title", "bad") and a text no wider than asked for. What is long is cut off at its end:
the names of objects and lines of programs come first in what is told of a wait, since they say most.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from procession._registry import ObjectInfo, PoolInfo, ProcessInfo, Program, ThreadInfo
from procession._sites import short_site
from procession._sizes import shown_size
from procession.progress.words import counted, shortened
from procession.progress.words import width as width_of

__all__ = ["listing", "shown_time"]

MOST = 20  # objects of a kind that are shown, unless all are asked for
MOST_DEAD = 3  # processes with nothing in their hands that are shown, unless all are asked for
NAMES = 28  # columns for their names, at least
STATES = 42  # columns for what they are at, as far as a terminal has them
KINDS = ["Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition", "Event", "Barrier"]
KINDS += ["Queue", "JoinableQueue", "SimpleQueue", "Pipe", "Value", "Array", "Memory", "Payload", "Ring"]

Line = tuple[str, str]


def shown_time(seconds: float) -> str:
    """A time for people: `0.4 s` (`0 s` for an int), `12 s`, `3:07`, `2:15:00`, `3 days`."""
    seconds = max(0, seconds)
    if seconds < 9.95 and isinstance(seconds, float):
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02}"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours < 48 else f"{hours // 24} days"


def listing(program: Program, *, everything: bool = False, width: int = 80) -> list[Line]:
    """All about a program. `everything`: objects inside others, and those beyond the first of each kind."""
    return [(style, _cut(text, width)) for style, text in _Listing(program, everything, width).lines()]


def _cut(text: str, width: int) -> str:
    return shortened(_printable(text.rstrip()), width, "...")


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)


class _Listing:
    """One program's."""

    def __init__(self, program: Program, everything: bool, width: int) -> None:
        self.program, self.everything, self.width = program, everything, width
        self.now = time.time()
        self.processes = {process.pid: process for process in program.processes}
        longest = max((width_of(_printable(one.name)) for one in program.processes), default=0)
        self.columns = min(max(16, longest), 16 if width < 60 else 24)  # of the processes' names
        self.names = {(one.home, one.address): one for one in program.objects}

    def lines(self) -> Iterator[Line]:
        """Everything, from the top."""
        program = self.program
        yield "title", program.command or "(a program that has ended)"
        used, limit = shown_size(program.used), shown_size(program.limit)
        age = shown_time(self.now - program.started) if program.started else "?"
        yield "", f"process {program.pid}, runs for {age}, shares {used} of at most {limit}"
        yield "", ""
        yield "title", f"{'PROCESS':>8} {'NAME':<{self.columns}} WAITS"
        gone = [one for one in program.processes if not one.alive and not self.everything and not self.held_by(one)]
        shown = [one for one in program.processes if one not in gone] if len(gone) > MOST_DEAD else program.processes
        for process in shown:
            yield from self.of_process(process)
        if len(shown) < len(program.processes):
            yield "", f"{'':>8} and {len(gone)} that are dead and hold nothing (--all shows them)"
        for pool in program.pools:
            yield from self.of_pool(pool)
        yield from self.of_objects()
        for note in program.notes:
            yield "", ""
            yield "bad", f"note: {note}"

    # Processes

    def of_process(self, process: ProcessInfo) -> Iterator[Line]:
        """A process: a line, and one for each thread but the first that waits, or that it is asked for."""
        if not process.alive:
            held = self.held_by(process)
            text = f"dead, still holds {held}" if held else "dead"
            yield "bad", f"{process.pid:>8} {_fit(process.name, self.columns)} {text}"
            return
        first, *others = process.threads or (None,)
        who = f"{process.pid:>8} {_fit(process.name, self.columns)} "
        if process.stopped:
            yield "bad", f"{who}stopped by a signal, SIGCONT lets it go on"
        else:
            yield from self.of_thread(who, first)
        shown = [thread for thread in others if self.everything or thread.waits is not None]
        for thread in shown:
            yield from self.of_thread(f"{thread.native_id:>8}   {_fit(thread.name, self.columns - 2)} ", thread)
        if len(others) > len(shown):
            count = len(others) - len(shown)
            yield "", f"{'':>8}   and {counted(count, 'thread')} that wait{'s' * (count == 1)} for nothing here"

    def of_thread(self, who: str, thread: ThreadInfo | None) -> Iterator[Line]:
        """A thread and what it waits for. Who holds that goes to a line of its own where there is no room."""
        wait = None if thread is None else thread.waits
        if wait is None:
            yield "", who
            return
        if wait.action == "serve":
            yield "", f"{who}idle for {shown_time(self.now - wait.since)}"
            return
        one = self.names.get((wait.home, wait.object)) if wait.object is not None else None
        what = "" if one is None else f" {one.name.removeprefix('Ring of ')}"  # of a pool: its name is enough
        if wait.thread is not None:
            what = f" thread {wait.thread}"
        elif wait.pid is not None:
            what = f" {self.person(wait.pid)}"
        where = f" at {short_site(wait.site)}" if wait.site else ""
        text = f"{wait.action}{what}{where}, {shown_time(self.now - wait.since)}"
        if one is None or one.owner is None or wait.action != "acquire":
            yield "", who + text
            return
        style = "bad" if self.is_dead(one.owner.pid) else ""
        holder = f"held by {self.person(one.owner.pid)}"
        if width_of(f"{who}{text}; {holder}") <= self.width:
            yield style, f"{who}{text}; {holder}"
        else:
            yield style, who + text
            yield style, " " * (10 + self.columns) + holder

    def held_by(self, process: ProcessInfo) -> int:
        """How many locks it holds."""
        return sum(one.owner is not None and one.owner.pid == process.pid for one in self.program.objects)

    def person(self, pid: int) -> str:
        """A process, as it is called."""
        process = self.processes.get(pid)
        name = process.name if process is not None and process.name else "process"
        return f"{name} {pid}" + (" (dead)" if process is not None and not process.alive else "")

    def is_dead(self, pid: int) -> bool:
        """Whether it is known to be dead."""
        process = self.processes.get(pid)
        return process is not None and not process.alive

    # Pools

    def of_pool(self, pool: PoolInfo) -> Iterator[Line]:
        """A pool and its workers."""
        yield "", ""
        yield "title", f"{'POOL':>8} {pool.name}"
        of = f" of {pool.title}" if pool.title else ""
        yield "", f"{'':>8} {counted(pool.size, 'worker')} ({pool.method}){of}"
        counts = f"{pool.done} done, {pool.running} running, {pool.waiting} waiting"
        counts += f", some {pool.later} to come" if pool.later else ""
        failed = f"; {pool.failed} calls failed" if pool.failed else ""
        yield "bad" if pool.failed else "", f"{'':>8} tasks: {counts}{failed}"
        for worker in pool.workers:
            process = self.processes.get(worker.pid)
            doing = "idle" if process is None or process.name else "starting"  # it has not said what it is called
            if worker.task is not None:
                item = "" if worker.item is None else f", item {worker.item}"
                doing = f"task {worker.task}{item}, for {shown_time(self.now - (worker.since or self.now))}"
            yield "", f"{worker.pid:>8} {doing}"

    # Objects

    def of_objects(self) -> Iterator[Line]:
        """The objects, kind by kind: first what somebody waits for, then what somebody holds."""
        by_kind: dict[str, list[ObjectInfo]] = {}
        hidden = 0
        for one in self.program.objects:
            inside = one.part_of != 0 and one.kind != "Pipe"
            matters = one.owner is not None or (one.waiters and one.kind != "Ring")
            if self.everything or not inside or matters:
                by_kind.setdefault(one.kind, []).append(one)
            else:
                hidden += 1
        kinds = sorted(by_kind, key=lambda kind: KINDS.index(kind) if kind in KINDS else len(KINDS))
        for kind in kinds:
            yield "", ""
            yield from self.of_kind(kind, by_kind[kind])
        if hidden:
            yield "", ""
            yield "", f"{hidden} inside others are not shown (--all shows them)"

    def of_kind(self, kind: str, found: list[ObjectInfo]) -> Iterator[Line]:
        """Objects of one kind. Those of one line that are at the same are one, unless all are asked for."""
        found.sort(key=lambda one: (-len(one.waiters), one.owner is None, one.name, one.home, one.address))
        alike: dict[tuple[str, Line], int] = {}
        for one in found:
            name = one.name if one.home == 0 else f"{one.name} (in {one.home})"
            key = name, self.of_object(one)
            alike[key] = alike.get(key, 0) + 1
        rows = [(f"{count} x {name}" if count > 1 else name, line, count) for (name, line), count in alike.items()]
        if self.everything:
            rows = [(name, line, 1) for (name, line), count in alike.items() for _ in range(count)]
        most = len(rows) if self.everything else MOST
        longest = max(width_of(_printable(name)) for name, _, _ in rows[:most])
        columns = max(NAMES, min(longest, self.width - STATES))
        yield "title", f"{kind.upper():<{columns}} STATE"
        for name, (style, state), _ in rows[:most]:
            yield style, f"{_fit(name, columns)} {state}"
        left = sum(count for _, _, count in rows[most:])
        if left:
            yield "", f"and {left} more (--all shows them)"

    def of_object(self, one: ObjectInfo) -> Line:
        """What an object is at."""
        parts, style = list(_STATES.get(one.kind, _of_memory)(one)), ""
        if one.owner is not None:
            # Known to the second only
            since = "" if one.owner.since is None else f" for {shown_time(int(self.now - one.owner.since))}"
            line = f" at {short_site(one.owner.site)}" if one.owner.site else ""
            parts.insert(0, f"held by {self.person(one.owner.pid)}{line}{since}")
            style = "bad" if self.is_dead(one.owner.pid) else ""
        waiters = max(len(one.waiters), getattr(one.statistics, "waiters", 0))
        if waiters and one.kind != "Barrier":
            parts.insert(1, f"{waiters} waiting")
        return style, ", ".join(parts)


def _fit(text: str, width: int) -> str:
    text = shortened(_printable(text), width, "...")
    return text + " " * (width - width_of(text))


def _of_lock(one: ObjectInfo) -> Iterable[str]:
    found = one.statistics
    if found is None:
        return
    if one.owner is None:
        yield "free"
    yield f"{found.acquired} times taken"
    if found.contended:
        yield f"{found.contended} after waiting"
    if found.abandoned:
        yield f"{found.abandoned} from the dead"


def _of_semaphore(one: ObjectInfo) -> Iterable[str]:
    found = one.statistics
    if found is not None:
        yield f"{found.value} of {found.maximum} free" if one.kind == "BoundedSemaphore" else f"{found.value} free"
        if found.held:
            yield f"{found.held} held by `with`"


def _of_event(one: ObjectInfo) -> Iterable[str]:
    if one.statistics is not None:
        yield "set" if one.statistics.is_set else "clear"
        yield f"set {one.statistics.times_set} times"


def _of_condition(one: ObjectInfo) -> Iterable[str]:
    if one.statistics is not None:
        yield f"{one.statistics.notified} notified"


def _of_barrier(one: ObjectInfo) -> Iterable[str]:
    found = one.statistics
    if found is not None:
        yield "broken" if found.broken else f"{found.waiters} of {found.parties} here"
        yield f"released {found.released} times"


def _of_queue(one: ObjectInfo) -> Iterable[str]:
    found = one.statistics
    if found is not None:
        yield f"{found.depth} items, {shown_size(found.nbytes)}"
        yield f"put {found.put}, taken {found.taken}"
        if found.closed:
            yield "shut down"


def _of_value(one: ObjectInfo) -> Iterable[str]:
    if one.statistics is not None:
        yield f"{one.statistics.value!r} ({one.statistics.typecode})"


def _of_array(one: ObjectInfo) -> Iterable[str]:
    if one.statistics is not None:
        yield f"{one.statistics.length} of {one.statistics.typecode!r}, {shown_size(one.nbytes)}"


def _of_memory(one: ObjectInfo) -> Iterable[str]:
    yield shown_size(one.nbytes)


_STATES: dict[str, Callable[[Any], Iterable[str]]] = {
    **dict.fromkeys(["Lock", "RLock"], _of_lock),
    **dict.fromkeys(["Semaphore", "BoundedSemaphore"], _of_semaphore),
    "Event": _of_event,
    "Condition": _of_condition,
    "Barrier": _of_barrier,
    **dict.fromkeys(["Queue", "JoinableQueue", "SimpleQueue", "Pipe", "Ring"], _of_queue),
    "Value": _of_value,
    "Array": _of_array,
}
