"""A pool's scheduling as a discrete-event simulation: one coordinator, any number of workers.

The coordinator is the caller: a single server that hands over tasks and takes in answers, one after the other, each at
a cost. Workers take tasks in the order they were handed over. What is simulated is time; who decides how many items go
into a task, and when more are handed over, is the pool's own code (`pool.mapping`), asked as the pool asks it.

Left out: that workers share cores, memory and the ring's locks, deaths, and arguments large enough for their bytes to
count. docs/explanation/scheduling.md says how far from measured runs that takes it.

Nothing is drawn here, so the same items give the same result to the last bit.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Protocol

from procession.pool.chunks import NEAR, Pace
from procession.pool.mapping import _Adaptive, _Fixed
from procession.pool.supervisor import BATCH

ADAPTIVE = None  # as `chunksize`: what `Pool.map` does when it is given none


@dataclass(frozen=True)
class Costs:
    """What it takes to have a task done, apart from doing it. Seconds."""

    submit: float = 0.0
    """The coordinator's, for a task it hands over."""
    answer: float = 0.0
    """The coordinator's, for an answer it takes in."""
    submit_item: float = 0.0
    """The coordinator's, for each item of a task it hands over."""
    answer_item: float = 0.0
    """The coordinator's, for each item of an answer it takes in."""
    worker: float = 0.0
    """The worker's, for a task: to take it, and to answer."""
    worker_item: float = 0.0
    """The worker's, for each item of a task: to call the function."""
    there: float = 0.0
    """From handed over until a worker that had nothing to do begins."""
    back: float = 0.0
    """From answered until a coordinator that had nothing to do begins to take it in."""

    def of_coordinator(self, items: int = 1) -> float:
        """What a task of so many items costs the coordinator."""
        return self.submit + self.answer + items * (self.submit_item + self.answer_item)


class Items(Protocol):
    """How long each item takes; see `times`."""

    def __len__(self) -> int: ...

    def between(self, first: int, end: int) -> float:
        """Seconds for the items from `first` to before `end`."""


@dataclass(frozen=True)
class Run:
    """What came of it. Times are seconds; the four shares of the workers' time add up to `workers * makespan`."""

    workers: int
    items: int
    tasks: int
    makespan: float
    """From the first task handed over to the last answer taken in."""
    coordinating: float
    """The coordinator's time at work."""
    working: float
    """The workers' time in the caller's function."""
    handling: float
    """The workers' time spent on taking tasks and answering."""
    starved: float
    """The workers' time without a task while more was to come: the coordinator's fault, or the way's."""
    tail: float
    """The workers' time after the last task had begun: the fault of tasks that are too long, or too uneven."""

    @property
    def efficiency(self) -> float:
        """The part of the workers' time that went into the caller's function."""
        return self.working / (self.workers * self.makespan)

    @property
    def load(self) -> float:
        """The part of the time the coordinator was at work: 1 is saturated."""
        return self.coordinating / self.makespan

    @property
    def throughput(self) -> float:
        """Tasks a second."""
        return self.tasks / self.makespan


class _Job:
    """What the pool's plans ask of a job, and of its pool."""

    def __init__(self, size: int, pace: Pace = NEAR) -> None:
        self.size, self.outstanding = size, 0
        self.engine, self.pace = self, pace
        self.measured = (0, 0)  # items, and nanoseconds they took
        self.bytes = (0, 0, 0)


def simulate(items: Items, workers: int, costs: Costs, chunksize: int | None = ADAPTIVE, pace: Pace = NEAR) -> Run:
    """Have `workers` do the items, as `Pool.map` would. `pace`: what it aims at when it is given no chunksize."""
    return _Simulation(items, _Job(workers, pace), costs, chunksize).run()


class _Simulation:
    def __init__(self, items: Items, job: _Job, costs: Costs, chunksize: int | None) -> None:
        self.items, self.job, self.costs = items, job, costs
        self.workers = workers = job.size
        self.single = chunksize == 1
        self.plan = _Adaptive(job, job) if chunksize is ADAPTIVE else _Fixed(job, job, chunksize)
        self.now = 0.0  # on the coordinator's clock
        self.at = self.tasks = 0  # items and tasks handed over
        self.coordinating = self.working = self.handling = 0.0
        self.waiting: deque[tuple[int, int]] = deque()  # tasks that no worker has taken: first item, end
        self.busy: list[tuple[float, int, int, int]] = []  # heap: when a worker will be done, which, first item, end
        self.idle = deque(range(workers))
        self.free_since = [0.0] * workers
        self.answers: deque[tuple[int, int]] = deque()  # not taken in: items, nanoseconds
        self.last_begun = 0.0

    def run(self) -> Run:
        total, plan = len(self.items), self.plan
        while self.at < total or self.job.outstanding:
            if self.at < total and plan.wants_more():
                self._hand_over(plan(total - self.at))
            elif self.answers:
                self._take_in()
            else:
                done = self.busy[0][0] + self.costs.back
                self._pass(done - self.now)
        return self._result()

    def _hand_over(self, sizes: list[int]) -> None:
        if self.single:
            sizes = [1] * sizes[0]
        for size in sizes:
            self._spend(self.costs.submit + size * self.costs.submit_item)
            first, self.at = self.at, self.at + size
            self.job.outstanding += 1
            if self.idle:
                self._begin(self.idle.popleft(), first, self.at, self.now + self.costs.there)
            else:
                self.waiting.append((first, self.at))
        self.tasks += len(sizes)
        self.plan.submitted(len(sizes), self.at)

    def _take_in(self) -> None:
        """All answers that are there, as the pool reads them: what is answered meanwhile comes next time."""
        for _ in range(min(len(self.answers), BATCH)):
            size, nanos = self.answers.popleft()
            self._spend(self.costs.answer + size * self.costs.answer_item)
            self.job.outstanding -= 1
            items, before = self.job.measured
            self.job.measured = items + size, before + nanos

    def _spend(self, seconds: float) -> None:
        self.coordinating += seconds
        self._pass(seconds)

    def _pass(self, seconds: float) -> None:
        """Time passes; workers get done, and take what is waiting."""
        self.now += seconds
        while self.busy and self.busy[0][0] <= self.now:
            when, worker, first, end = heappop(self.busy)
            self.answers.append((end - first, int(1e9 * self._time_of(first, end))))
            self.free_since[worker] = when
            if self.waiting:
                self._begin(worker, *self.waiting.popleft(), when)
            else:
                self.idle.append(worker)

    def _time_of(self, first: int, end: int) -> float:
        return self.items.between(first, end) + (end - first) * self.costs.worker_item

    def _begin(self, worker: int, first: int, end: int, when: float) -> None:
        handling = self.costs.worker + (end - first) * self.costs.worker_item
        working = self.items.between(first, end)
        self.handling += handling
        self.working += working
        self.last_begun = max(self.last_begun, when)
        heappush(self.busy, (when + handling + working, worker, first, end))

    def _result(self) -> Run:
        tail = sum(self.now - max(free, self.last_begun) for free in self.free_since)
        starved = self.workers * self.now - self.working - self.handling - tail
        return Run(
            workers=self.workers,
            items=len(self.items),
            tasks=self.tasks,
            makespan=self.now,
            coordinating=self.coordinating,
            working=self.working,
            handling=self.handling,
            starved=starved,
            tail=tail,
        )
