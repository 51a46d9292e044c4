"""The rows of the monitor: one for each process, thread, object, pool and worker, kept from look to look.

A row takes what was seen now (`see`), compares it with what it saw before and so knows rates. Rows are kept and changed
in place because a program may have ten thousand objects and a frame has milliseconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from procession.monitor.words import one_line
from procession.statistics import (
    BarrierStatistics,
    ConditionStatistics,
    LockStatistics,
    QueueStatistics,
    SemaphoreStatistics,
)

if TYPE_CHECKING:
    from procession._registry import ObjectInfo, PoolInfo, ProcessInfo, Program, ThreadInfo, WorkerInfo

__all__ = [
    "BUSY",
    "HISTORY",
    "ObjectRow",
    "PoolRow",
    "ProcessRow",
    "ProcessSample",
    "Row",
    "State",
    "ThreadRow",
    "ThreadSample",
    "WorkerRow",
]

HISTORY = 60  # looks that a queue's sparkline remembers: a minute at a frame a second
POOL_WINDOW = 15  # looks over which a pool's rate is taken: its time left should not jump about
BUSY = 0.05  # share of a core from which a thread that sleeps just now is called running all the same
LOCK_STATISTICS = (LockStatistics, SemaphoreStatistics, ConditionStatistics, BarrierStatistics)


@dataclass(frozen=True)
class ThreadSample:
    """What the operating system says of a thread."""

    cpu_s: float  # processor time it has used
    state: str  # R running, S sleeping, D in the kernel, T stopped, Z ended but not collected; "" when not known


@dataclass(frozen=True)
class ProcessSample:
    """What the operating system says of a process."""

    pid: int
    cpu_s: float
    state: str  # as of a thread
    rss: int | None = None  # bytes in memory, shared ones included
    uss: int | None = None  # bytes that nobody else has
    pss: int | None = None  # those, and its part of the bytes that several have; None while unknown or not allowed
    threads: dict[int, ThreadSample] = field(default_factory=dict)  # by native id


@dataclass(frozen=True)
class State:
    """What a thread or process does: the kind chooses the colour, the text says it."""

    kind: str  # running, waiting, deadlock, idle, sleeping, stopped, ended
    text: str


@dataclass(eq=False)
class Row:
    """Anything the monitor lists."""

    key: Hashable  # the same from look to look
    program: Program
    ended: float | None = None  # since when it is gone, seconds since the epoch
    haystack: str = ""  # what the filter looks in, in small letters
    prefix: str = ""  # its branch of the tree
    state: State = State("sleeping", "")

    @property
    def pid(self) -> int:
        """The process it is, or belongs to."""
        return self.program.pid


@dataclass(eq=False)
class CpuRow(Row):
    """A row with processor time."""

    cpu: float | None = None  # share of a core since the last look; None before there were two
    _seen: tuple[float, float] | None = None

    def see_cpu(self, cpu_s: float, now: float) -> None:
        """Takes the processor time used until now."""
        if self._seen is not None and now > self._seen[0]:
            self.cpu = max(cpu_s - self._seen[1], 0.0) / (now - self._seen[0])
        self._seen = (now, cpu_s)


@dataclass(eq=False)
class ThreadRow(CpuRow):
    """A thread of a process."""

    info: ThreadInfo = None  # type: ignore[assignment]  # given by name, always
    process: ProcessRow = None  # type: ignore[assignment]
    sample: ThreadSample | None = None

    @property
    def pid(self) -> int:
        """Its process."""
        return self.process.info.pid

    @property
    def is_main(self) -> bool:
        """Whether it is the one its process began with."""
        return self.info.native_id == self.process.info.pid

    def see(self, info: ThreadInfo, sample: ThreadSample | None, now: float) -> None:
        """Takes what a look found."""
        self.info, self.sample = info, sample
        self.haystack: str = f"{self.name} {info.native_id} {self.process.info.name}".lower()
        if sample is not None:
            self.see_cpu(sample.cpu_s, now)

    @property
    def name(self) -> str:
        """What it is called: by Python, where that is known; the kernel calls all by the program's name."""
        name = self.info.name
        if not name or name.startswith("python") or name == "procession":
            return "main thread" if self.is_main else "thread"
        return name

    @property
    def is_busy(self) -> bool:
        """Whether it computes."""
        if self.cpu is None:
            return self.sample is not None and self.sample.state == "R"
        return self.cpu >= BUSY or (self.cpu > 0 and self.sample is not None and self.sample.state == "R")


@dataclass(eq=False)
class ProcessRow(CpuRow):
    """A process of a program, with its threads."""

    info: ProcessInfo = None  # type: ignore[assignment]
    sample: ProcessSample | None = None
    threads: dict[int, ThreadRow] = field(default_factory=dict)
    worker: WorkerRow | None = None  # its work, where it belongs to a pool
    stands_for: str = ""  # the command, where it is the first process of its program

    @property
    def pid(self) -> int:
        """Process id."""
        return self.info.pid

    @property
    def private(self) -> int | None:
        """Bytes of memory nobody else has."""
        return self.sample.uss if self.sample else None

    @property
    def shared(self) -> int | None:
        """Its part of the bytes it shares: each divided by the number of processes that have it. So the column can be
        added up."""
        if self.sample is None or self.sample.pss is None or self.sample.uss is None:
            return None
        return max(self.sample.pss - self.sample.uss, 0)

    def see(self, info: ProcessInfo, sample: ProcessSample | None, now: float) -> None:
        """Takes what a look found. A sample without memory keeps the last known."""
        self.info = info
        if sample is not None:
            self.see_cpu(sample.cpu_s, now)
            if sample.uss is None and self.sample is not None and self.sample.uss is not None:
                kept = self.sample
                sample = ProcessSample(
                    sample.pid, sample.cpu_s, sample.state, sample.rss, kept.uss, kept.pss, sample.threads
                )
            self.sample = sample
        self.haystack: str = f"{info.name} {info.pid} {self.stands_for}".lower()
        samples = sample.threads if sample else {}
        for thread in info.threads:
            row = self.threads.get(thread.native_id)
            if row is None:
                key = ("thread", self.key, thread.native_id)
                row = self.threads[thread.native_id] = ThreadRow(key, self.program, info=thread, process=self)
            row.see(thread, samples.get(thread.native_id), now)
        if len(self.threads) > len(info.threads):
            present = {thread.native_id for thread in info.threads}
            self.threads = {native_id: row for native_id, row in self.threads.items() if native_id in present}


@dataclass(eq=False)
class ObjectRow(Row):
    """A shared object."""

    info: ObjectInfo = None  # type: ignore[assignment]
    group: str = ""  # queue, lock, part (of something else) or other: the tab it has besides Objects
    rates: tuple[float, float] | None = None  # put and taken, or acquired and contended, a second
    history: deque[int] | None = None  # depths of a queue
    seen: float = 0.0  # when it was last looked at

    def see(self, info: ObjectInfo, now: float) -> None:
        """Takes what a look found."""
        before = self.info
        self.info = info
        if not self.group or before is None or (info.name is not before.name and info.name != before.name):
            self._meet()
        then, self.seen = self.seen, now
        if self.group in ("other", "part"):
            return
        statistics: Any = info.statistics
        if before is not None and now > then and type(before.statistics) is type(statistics):
            self.rates = _rates(before.statistics, statistics, now - then)
        if self.history is not None:
            self.history.append(statistics.depth)

    def _meet(self) -> None:
        info = self.info
        if info.part_of:
            self.group = "part"
        elif isinstance(info.statistics, QueueStatistics):
            self.group = "queue"
            if self.history is None:
                self.history = deque(maxlen=HISTORY)
        elif isinstance(info.statistics, LOCK_STATISTICS):
            self.group = "lock"
        else:
            self.group = "other"
        self.haystack: str = f"{info.kind} {info.name} {info.site or ''}".lower()

    @property
    def statistics(self) -> Any:
        """What the object counts; None where it counts nothing."""
        return self.info.statistics

    @property
    def contention(self) -> float | None:
        """The share of acquisitions that had to wait: lately, or ever where there were none lately."""
        if not isinstance(self.statistics, LockStatistics):
            return None
        if self.rates and self.rates[0]:
            return min(self.rates[1] / self.rates[0], 1.0)
        return self.statistics.contended / self.statistics.acquired if self.statistics.acquired else 0.0

    @property
    def label(self) -> str:
        """The object in a sentence."""
        name = one_line(self.info.name)
        return f"{self.info.kind} '{name}'" if self.info.given is not None else name


def _rates(before: Any, after: Any, seconds: float) -> tuple[float, float] | None:
    """Two counters' growth a second; they count modulo 2**32."""
    if isinstance(after, QueueStatistics):
        put, taken = after.put - before.put, after.taken - before.taken
        return (put & 0xFFFF_FFFF) / seconds, (taken & 0xFFFF_FFFF) / seconds
    if isinstance(after, LockStatistics):
        return (after.acquired - before.acquired) / seconds, (after.contended - before.contended) / seconds
    return None


@dataclass(eq=False)
class WorkerRow(Row):
    """A worker of a pool: what it works on."""

    info: WorkerInfo = None  # type: ignore[assignment]
    pool: PoolRow = None  # type: ignore[assignment]
    name: str = ""  # of its process
    cpu: float | None = None

    @property
    def pid(self) -> int:
        """Its process."""
        return self.info.pid


@dataclass(eq=False)
class PoolRow(Row):
    """A pool and its workers."""

    info: PoolInfo = None  # type: ignore[assignment]
    workers: dict[int, WorkerRow] = field(default_factory=dict)
    rate: float | None = None  # tasks finished a second
    _window: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=POOL_WINDOW))

    @property
    def pid(self) -> int:
        """The process that made it."""
        return self.info.pid

    @property
    def label(self) -> str:
        """The pool in a sentence."""
        name = one_line(self.info.name)
        return name if " at " in name else f"pool '{name}'"

    @property
    def share(self) -> float:
        """How much of what was given to it is done; 1 where nothing is to be done."""
        return min(self.info.done / self.given, 1.0) if self.given else 1.0

    @property
    def given(self) -> int:
        """The tasks given to it, those that its `map` keeps back for now included."""
        return self.info.submitted + self.info.later

    @property
    def left_s(self) -> float | None:
        """Seconds until what was given to it is finished, as the rate of the last looks has it."""
        left = self.given - self.info.done
        if left <= 0:
            return 0.0
        return left / self.rate if self.rate else None

    def see(self, info: PoolInfo, now: float) -> None:
        """Takes what a look found."""
        self.info = info
        self.haystack: str = f"{info.name} {info.title}".lower()
        if self._window and info.done < self._window[-1][1]:
            self._window.clear()
        self._window.append((now, info.done))
        (then, before), (_, after) = self._window[0], self._window[-1]
        self.rate = (after - before) / (now - then) if now > then else None
        workers = {}
        for worker in info.workers:
            row = self.workers.get(worker.pid)
            if row is None:
                row = WorkerRow(("worker", self.key, worker.pid), self.program, info=worker, pool=self)
            row.info = worker
            row.haystack = f"{worker.pid} {info.name} {info.title}".lower()
            workers[worker.pid] = row
        self.workers = workers
