"""What a run's events add up to: the numbers behind a report. Everything is in seconds since the run began, and bytes.

One pass over the events; what is kept does not grow with them, but for the samples of memory. Time is cut into `BINS`
equal parts: a task's throughput counts where it ended, its work in all parts that it touches.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from .chrome import Source

__all__ = ["BINS", "Function", "Process", "Summary", "Task", "Wait", "Worker", "summarize"]

BINS = 240
_MOST_TASKS = 15  # longest ones, and failed ones
_IDLE = {"serve", "result", "join"}  # waits that hold nobody up: for work, for answers, for an end


@dataclass
class Process:
    """A process of the run."""

    key: int
    pid: int
    name: str
    began: float
    ended: float
    end: str
    abnormal: bool
    started_at: str
    memory: list[tuple[float, int, int]] = field(default_factory=list)  # when, private, shared
    cpu: list[tuple[float, float]] = field(default_factory=list)  # when, seconds so far
    waited: float = 0.0  # of its main thread

    @property
    def seconds(self) -> float:
        """How long it lived."""
        return self.ended - self.began

    @property
    def peak(self) -> int:
        """The most private memory that a sample found."""
        return max((private for _, private, _ in self.memory), default=0)

    @property
    def cpu_seconds(self) -> float:
        """CPU time, as far as the samples tell."""
        return self.cpu[-1][1] if self.cpu else 0.0


@dataclass
class Worker:
    """A thread that tasks were for."""

    process: int
    thread: int
    name: str
    began: float
    ended: float
    tasks: int = 0
    failed: int = 0
    busy: float = 0.0
    waited: float = 0.0  # within tasks
    work: list[float] = field(default_factory=lambda: [0.0] * BINS)  # seconds of each part
    waits: list[float] = field(default_factory=lambda: [0.0] * BINS)

    @property
    def utilisation(self) -> float:
        """Share of its life that it was at tasks, 0 to 1."""
        return min(self.busy / (self.ended - self.began), 1.0) if self.ended > self.began else 0.0


@dataclass
class Function:
    """All tasks of one function."""

    name: str
    tasks: int = 0
    items: int = 0
    failed: int = 0
    seconds: float = 0.0
    longest: float = 0.0


@dataclass(order=True)
class Task:
    """One task."""

    seconds: float
    began: float
    name: str
    number: int
    items: int
    failed: int
    worker: str
    unfinished: bool


@dataclass
class Wait:
    """All waits for one thing."""

    action: str
    object: str
    count: int = 0
    seconds: float = 0.0
    longest: float = 0.0
    places: Counter[str] = field(default_factory=Counter)  # seconds by place


@dataclass
class Summary:
    """A whole run."""

    about: dict[str, Any]
    seconds: float
    processes: dict[int, Process] = field(default_factory=dict)
    workers: dict[tuple[int, int], Worker] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    waits: dict[tuple[str, str], Wait] = field(default_factory=dict)
    throughput: list[int] = field(default_factory=lambda: [0] * BINS)  # tasks ended, by part
    backlog: list[tuple[float, int]] = field(default_factory=list)
    longest: list[Task] = field(default_factory=list)
    failures: list[Task] = field(default_factory=list)
    tasks: int = 0
    items: int = 0
    failed: int = 0  # items, or tasks without
    unfinished: int = 0

    @property
    def width(self) -> float:
        """Seconds of a part."""
        return self.seconds / BINS

    @property
    def utilisation(self) -> float:
        """Of all workers together, 0 to 1."""
        lived = sum(worker.ended - worker.began for worker in self.workers.values())
        return min(sum(worker.busy for worker in self.workers.values()) / lived, 1.0) if lived else 0.0

    @property
    def contention(self) -> list[Wait]:
        """What was waited for, the longest in sum first; without a pool's waits for work or answers, nor joins."""
        found = [wait for wait in self.waits.values() if wait.action not in _IDLE]
        return sorted(found, key=lambda wait: -wait.seconds)

    @property
    def peak(self) -> tuple[int, float]:
        """The most private memory of all processes together, and when."""
        peak, at = max(((total, -at) for at, total in self.memory()), default=(0, 0.0))
        return peak, -at

    def memory(self) -> Iterator[tuple[float, int]]:
        """Private memory of all processes together, by part."""
        series = [self.memory_of(process) for process in self.processes.values()]
        for place in range(BINS):
            yield place * self.width, sum(of[place] for of in series)

    def memory_of(self, process: Process) -> list[int]:
        """Private memory of one process, by part: the last sample holds until the next, or its end."""
        parts, last = [0] * BINS, self.part(process.ended)
        for (at, private, _), (until, _, _) in pairwise([*process.memory, (process.ended, 0, 0)]):
            first = self.part(at)
            parts[first] = max(parts[first], private)  # of several samples in a part the highest counts
            for place in range(first + 1, min(self.part(until), last) + 1):
                parts[place] = private
        return parts

    def part(self, at: float) -> int:
        """Where a moment lies."""
        return min(max(int(at / self.width), 0), BINS - 1) if self.width else 0

    def spread(self, parts: list[float], began: float, ended: float) -> None:
        """Add a stretch of time to the parts that it touches."""
        first, last = self.part(began), self.part(ended)
        if first == last:
            parts[first] += ended - began
            return
        parts[first] += (first + 1) * self.width - began
        for place in range(first + 1, last):
            parts[place] += self.width
        parts[last] += ended - last * self.width


def summarize(source: Source) -> Summary:
    """Add up the events of a trace or a recording. Raises: NotATrace where a trace breaks off."""
    about = source.about
    adding = _Adding(Summary(about, max(float(about.get("seconds") or 0), 1e-9)))
    for event in source.events():
        adding.add(event)
    return adding.finished()


class _Adding:
    """The pass over the events."""

    def __init__(self, summary: Summary) -> None:
        self.summary = summary
        self._threads: dict[tuple[int, int], str] = {}
        self._waited: dict[tuple[int, int], list[tuple[float, float]]] = {}  # since the thread's last task

    def add(self, event: dict[str, Any]) -> None:
        """One event; what is not ours is passed over."""
        phase, cat = event.get("ph"), event.get("cat")
        if phase == "M" and event["name"] == "thread_name":
            self._threads[event["pid"], event["tid"]] = event["args"]["name"]
        elif phase == "C":
            self._count(event)
        elif phase == "i" and cat == "worker":
            at = event["ts"] / 1e6
            self._worker(event["pid"], event["tid"], at, at)
        elif phase == "X":
            began = event["ts"] / 1e6
            span = began, began + event["dur"] / 1e6
            if cat == "process":
                self._process(event, *span)
            elif cat == "task":
                self._task(event, *span)
            elif cat == "wait":
                self._wait(event, *span)

    def _process(self, event: dict[str, Any], began: float, ended: float) -> None:
        args = event["args"]
        # A pool's workers are ended by SIGTERM as a rule
        abnormal = args.get("exitcode") not in (None, 0, -15) or "without a word" in args["end"]
        where = args.get("started at", "")
        process = Process(event["pid"], args["pid"], event["name"], began, ended, args["end"], abnormal, where)
        self.summary.processes[event["pid"]] = process

    def _task(self, event: dict[str, Any], began: float, ended: float) -> None:
        summary, args = self.summary, event["args"]
        seconds, items, failed = ended - began, args.get("items", 0), args.get("failed", 0)
        unfinished = bool(args.get("unfinished"))
        summary.tasks += not unfinished
        summary.items += 0 if unfinished else max(items, 1)
        summary.failed += failed
        summary.unfinished += unfinished
        if not unfinished:
            summary.throughput[summary.part(ended)] += 1
        worker = self._worker(event["pid"], event["tid"], began, ended)
        worker.tasks += not unfinished
        worker.failed += failed
        worker.busy += seconds
        worker.began, worker.ended = min(worker.began, began), max(worker.ended, ended)
        summary.spread(worker.work, began, ended)
        for since, until in self._waited.pop((event["pid"], event["tid"]), ()):
            if since >= began:
                worker.waited += until - since
                summary.spread(worker.waits, since, until)
        function = summary.functions.setdefault(event["name"], Function(event["name"]))
        function.tasks, function.items = function.tasks + 1, function.items + max(items, 1)
        function.failed, function.seconds = function.failed + failed, function.seconds + seconds
        function.longest = max(function.longest, seconds)
        if not (failed or unfinished) and len(summary.longest) == _MOST_TASKS and seconds <= summary.longest[0].seconds:
            return
        task = Task(seconds, began, event["name"], args["task"], items, failed, worker.name, unfinished)
        if len(summary.longest) < _MOST_TASKS:
            heapq.heappush(summary.longest, task)
        else:
            heapq.heappushpop(summary.longest, task)
        if (failed or unfinished) and len(summary.failures) < _MOST_TASKS:
            summary.failures.append(task)

    def _worker(self, key: int, thread: int, began: float, ended: float) -> Worker:
        worker = self.summary.workers.get((key, thread))
        if worker is None:
            process = self.summary.processes.get(key)
            name = self._threads.get((key, thread), f"thread {thread}")
            if process is not None and thread == process.pid:  # a process that is a worker is one from its start
                name, began, ended = process.name, process.began, process.ended
            worker = self.summary.workers[key, thread] = Worker(key, thread, name, began, ended)
        return worker

    def _wait(self, event: dict[str, Any], began: float, ended: float) -> None:
        args, seconds = event["args"], ended - began
        key = args["action"], args["object"]
        wait = self.summary.waits.setdefault(key, Wait(*key))
        wait.count += 1
        wait.seconds += seconds
        wait.longest = max(wait.longest, seconds)
        if args.get("at"):
            wait.places[args["at"]] += seconds  # type: ignore[assignment]  # (a Counter of seconds)
        self._waited.setdefault((event["pid"], event["tid"]), []).append((began, ended))
        process = self.summary.processes.get(event["pid"])
        if process is not None and event["tid"] == process.pid:
            process.waited += seconds

    def _count(self, event: dict[str, Any]) -> None:
        at, args = event["ts"] / 1e6, event["args"]
        process = self.summary.processes.get(event["pid"])
        if event["name"] == "tasks waiting":
            self.summary.backlog.append((at, args["tasks"]))
        elif process is not None and event["name"] == "memory":
            process.memory.append((at, args["private"], args["shared"]))
        elif process is not None and event["name"] == "cpu ms":
            process.cpu.append((at, args["cpu"] / 1000))

    def finished(self) -> Summary:
        """All is added."""
        self.summary.longest.sort(reverse=True)
        self.summary.failures.sort(key=lambda task: task.began)
        return self.summary
