"""Two looks in, rows out: what changed between them, who waits for whom, in which order and under which filter.

Pure: no clock, no I/O. A `Look` is all that was read at one moment; `Model.take` compares it with the rows it has.
What has gone stays as an ended row for `LINGER_S`, so that one sees that something ended and what it was; a program
that is watched by its number stays until the monitor is left.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from procession.monitor.rows import ObjectRow, PoolRow, ProcessRow, ProcessSample, Row, ThreadRow
from procession.monitor.states import Circle, circles, state_of_process, state_of_thread, state_of_worker

if TYPE_CHECKING:
    from procession._registry import Program, WaitInfo

__all__ = ["LINGER_S", "Family", "Look", "Model", "Order", "filtered"]

SAME_START_S = 2.0  # starts are reckoned from the time since boot and come out a little different each time
LINGER_S = 10.0  # seconds an ended row is still shown; long enough to be read

Order = Callable[[Any], Any]  # row to what it is sorted by
Address = tuple[int, tuple[int, int]]  # the process in whose own memory an object lies (0: shared), and where there


@dataclass(frozen=True)
class Look:
    """Everything that was read at one moment."""

    now: float  # seconds since the epoch
    programs: tuple[Program, ...]
    samples: dict[int, ProcessSample] = field(default_factory=dict)  # by pid


@dataclass(eq=False)
class Family:
    """A program: its rows."""

    program: Program
    ended: float | None = None
    processes: dict[Hashable, ProcessRow] = field(default_factory=dict)
    objects: dict[Address, ObjectRow] = field(default_factory=dict)
    pools: dict[tuple[int, int], PoolRow] = field(default_factory=dict)

    def process(self, pid: int, started: float | None = None) -> ProcessRow | None:
        """The row of a process: the one that started then, or else the living one where the number was used twice."""
        found = None
        for row in self.processes.values():
            if row.info.pid == pid and (started is None or abs(row.info.started - started) < SAME_START_S):
                found = row if found is None or row.ended is None else found
        return found

    def waited_for(self, waits: WaitInfo) -> ObjectRow | None:
        """The object of a wait."""
        return self.objects.get((waits.home, waits.object)) if waits.object else None

    def joined(self, waits: WaitInfo) -> ThreadRow | None:
        """The thread whose end a join waits for: one of its process, or the main one of another."""
        process = self.process(waits.pid) if waits.pid else None
        if process is None:
            return None
        number = waits.thread or waits.pid
        return next((row for row in process.threads.values() if row.info.native_id == number), None)


@dataclass(eq=False)
class Model:
    """All rows of all programs watched."""

    keep: bool = False  # whether a program stays when it has ended
    now: float = 0.0
    families: dict[Hashable, Family] = field(default_factory=dict)
    circles: list[Circle] = field(default_factory=list)  # deadlocks
    _seen_circles: list[Circle] = field(default_factory=list)
    looks: int = 0

    def take(self, look: Look) -> None:
        """Take a look in."""
        self.now = look.now
        self.looks += 1
        present: set[Hashable] = set()
        for program in look.programs:
            key = program.token
            present.add(key)
            family = self.families.get(key)
            if family is None:
                family = self.families[key] = Family(program)
            head = family.program  # what it was called before its first process died
            family.program = replace(program, pid=head.pid, command=head.command, started=head.started)
            self._processes(family, look)
            self._objects(family)
            self._pools(family)
        for known, family in list(self.families.items()):
            if known not in present:
                self._end(known, family)
        self._circles()
        self._states()

    def _circles(self) -> None:
        """Deadlocks: circles that the last look had as well. Who waits and who holds is read at two moments, so that
        one look may see a circle that never was; the same waits, seen twice, have lasted from one to the other."""
        found = [circle for family in self.families.values() for circle in circles(family)]
        self.circles = [circle for circle in found if any(circle.is_same(seen) for seen in self._seen_circles)]
        self._seen_circles = found

    def _end(self, key: Hashable, family: Family) -> None:
        if family.ended is None:
            family.ended = self.now
            for row in family.processes.values():
                row.ended = row.ended or self.now
            for other in (*family.objects.values(), *family.pools.values()):
                other.ended = self.now
        elif not self.keep and self.now - family.ended >= LINGER_S:
            del self.families[key]

    def _processes(self, family: Family, look: Look) -> None:
        program = family.program
        listed: set[Hashable] = set()
        for info in program.processes:
            row = family.process(info.pid, info.started)
            if row is None:
                key = ("process", info.pid, info.started)
                row = family.processes[key] = ProcessRow(key, program, info=info)
                row.stands_for = program.command if info.pid == program.pid else ""
            row.program, row.worker = program, None
            listed.add(row.key)
            if info.alive:
                row.ended = None
                row.see(info, look.samples.get(info.pid), look.now)
            elif row.ended is None:  # dead, and listed for what it left behind
                self._ended(row)
        for known, row in list(family.processes.items()):
            if known not in listed:
                if row.ended is None:
                    self._ended(row)
                elif look.now - row.ended >= LINGER_S:
                    del family.processes[known]

    def _ended(self, row: ProcessRow) -> None:
        row.ended, row.cpu, row.threads, row.worker = self.now, None, {}, None

    def _objects(self, family: Family) -> None:
        now, rows, program = self.now, family.objects, family.program
        for info in program.objects:
            address = (info.home, info.address)
            row = rows.get(address)
            if row is None:
                row = rows[address] = ObjectRow(("object", program.token, address), program)
            row.see(info, now)
        if len(rows) > len(program.objects):
            present = {(info.home, info.address) for info in program.objects}
            family.objects = {address: row for address, row in rows.items() if address in present}

    def _pools(self, family: Family) -> None:
        pools = {}
        for info in family.program.pools:
            row = family.pools.get(info.address)
            if row is None:
                row = PoolRow(("pool", family.program.token, info.address), family.program, info=info)
            row.see(info, self.now)
            pools[info.address] = row
        family.pools = pools

    def _states(self) -> None:
        stuck = {node for circle in self.circles for node in circle.nodes}
        for family in self.families.values():
            by_pid = {row.info.pid: row for row in family.processes.values() if row.ended is None}
            for pool in family.pools.values():
                for worker in pool.workers.values():
                    process = by_pid.get(worker.info.pid)
                    worker.cpu = process.cpu if process else None
                    worker.ended = family.ended
                    if process:
                        process.worker, worker.name = worker, process.info.name
                    worker.state = state_of_worker(worker, self.now)
            for row in family.processes.values():
                for thread in row.threads.values():
                    thread.ended = row.ended
                    thread.state = state_of_thread(thread, family, self.now, stuck)
                row.state = state_of_process(row, self.now)

    # What the tabs list

    def processes(self, order: Order, reverse: bool, *, tree: bool, threads: bool) -> list[Row]:
        """Processes and, if asked for, the threads of those that have several: as a tree, siblings in this order, or
        flat in this order."""
        found: list[Row] = []
        for family in self.families.values():
            rows = list(family.processes.values())
            if tree:
                found.extend(_tree(rows, order, reverse, threads))
            else:
                for row in rows:
                    row.prefix = ""
                    found.append(row)
                    found.extend(_threads(row) if threads else ())
        if not tree:
            found.sort(key=_with_unknown_last(order, reverse), reverse=reverse)
        return found

    def objects(self, group: str | None, order: Order, reverse: bool) -> list[Row]:
        """Objects of this group (queue, lock), or all."""
        families = self.families.values()
        rows: list[Row] = [
            row for family in families for row in family.objects.values() if group is None or row.group == group
        ]
        rows.sort(key=_with_unknown_last(order, reverse), reverse=reverse)
        return rows

    def pools(self, order: Order, reverse: bool) -> list[Row]:
        """Pools in this order, each with its workers below it."""
        pools = [pool for family in self.families.values() for pool in family.pools.values()]
        pools.sort(key=_with_unknown_last(order, reverse), reverse=reverse)
        rows: list[Row] = []
        for pool in pools:
            rows.append(pool)
            workers = list(pool.workers.values())
            for number, worker in enumerate(workers):
                worker.prefix = "└ " if number == len(workers) - 1 else "├ "
            rows.extend(workers)
        return rows

    def family_of(self, row: Row) -> Family | None:
        """The program a row belongs to, if it is still there."""
        return self.families.get(row.program.token)


def filtered(rows: list[Row], text: str) -> list[Row]:
    """Rows that have every word of the text, in any place of name, kind, number or line."""
    words = text.lower().split()
    return [row for row in rows if all(word in row.haystack for word in words)] if words else rows


def _with_unknown_last(order: Order, reverse: bool) -> Order:
    """Values and None can be compared so, and None comes last in either direction."""

    def key(row: Any) -> Any:
        value = order(row)
        return ((value is None) is not reverse, 0 if value is None else value)

    return key


def _threads(process: ProcessRow) -> Iterator[ThreadRow]:
    """The threads to list under a process: none where there is but the one, of which the process's own row tells."""
    if len(process.threads) > 1:
        for row in process.threads.values():
            row.prefix = ""
            yield row


def _tree(rows: list[ProcessRow], order: Order, reverse: bool, threads: bool) -> Iterator[Row]:
    """Parents above their children, with the branches drawn."""
    by_pid = {row.info.pid: row for row in rows}
    children: dict[int | None, list[Row]] = {}
    for row in rows:
        parent = row.info.parent if row.info.parent in by_pid and row.info.parent != row.info.pid else None
        children.setdefault(parent, []).append(row)
    seen: set[Hashable] = set()  # two processes that name each other as parent would be met for ever

    def below(found: Iterable[Row], branch: str, *, top: bool) -> Iterator[Row]:
        siblings = sorted(found, key=_with_unknown_last(order, reverse), reverse=reverse)
        for number, row in enumerate(siblings):
            if row.key in seen:
                continue
            seen.add(row.key)
            last = number == len(siblings) - 1
            row.prefix = "" if top else branch + ("└─" if last else "├─")
            yield row
            if isinstance(row, ProcessRow):
                inner: list[Row] = list(_threads(row)) if threads else []
                inner += children.get(row.info.pid, [])
                yield from below(inner, "" if top else branch + ("  " if last else "│ "), top=False)

    yield from below(children.get(None, []), "", top=True)
