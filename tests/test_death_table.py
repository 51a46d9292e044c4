"""The table in docs/explanation/death.md, cell by cell: real processes that really end, and an innocent call beside
each."""

from __future__ import annotations

import builtins
import faulthandler
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import death_tasks as tasks
import pytest
from death_tasks import EXITS, LIMIT
from executor_tasks import begin_and_wait
from pool_tasks import double, identity, own_pid

import procession
from procession import errors
from procession.errors import MemoryLimitExceeded, PoolBroken, TaskTimeout, WorkerDied
from procession.pool import watch
from procession.testing import wait_until

pytestmark = pytest.mark.watchdog(30)

TIMEOUT_S = {"Pool": 0.1, "Executor": 1.0}  # of the call that is to take too long; an executor's are all calls'
SLOW = {("Executor", "running", "SIGSTOP"), ("Pool", "idle", "SIGTERM"), ("Executor", "idle", "SIGTERM")}
DEATHS = {"WorkerDied", "TaskTimeout", "MemoryLimitExceeded"}


# The table


def read_table(title: str) -> dict[tuple[str, str], str]:
    """From the document, by moment and manner."""
    text = (Path(__file__).parent.parent / "docs" / "explanation" / "death.md").read_text()
    lines = text[text.index(f"| {title} |") :].split("\n\n")[0].splitlines()
    header, _, *rows = ([cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines)
    return {(row[0], manner): cell for row in rows for manner, cell in zip(header[1:], row[1:], strict=True)}


POOL = read_table("a pool's call")
EXECUTOR = POOL | read_table("an `Executor`'s call")
WITHOUT_CALL = {"idle", "starting", "exiting"}  # moments at which the process has no call in hand
ELSEWHERE = [  # of another start method
    ("unpickling its argument", "os._exit"),
    ("running", "SIGKILL"),
    ("running", "memory limit"),
    ("holding a lock", "segfault"),
    ("idle", "SIGKILL"),
    ("starting", "SIGTERM"),
    ("exiting", "exception"),
]


def is_of_its_own(moment: str, manner: str) -> bool:
    """Whether an executor goes other ways than a pool here. SIGKILL stands for two that are the same to it."""
    if manner == "SIGSTOP":
        return moment == "running" or moment in WITHOUT_CALL
    return manner not in ("os._exit", "segfault")


def cells() -> Iterator[Any]:
    for kind, method, table, chosen in (
        ("Pool", "fork", POOL, POOL),
        ("Executor", "fork", EXECUTOR, [cell for cell in EXECUTOR if is_of_its_own(*cell)]),
        ("Pool", "forkserver", POOL, ELSEWHERE),
    ):
        for moment, manner in chosen:
            marks = [pytest.mark.slow] if (kind, moment, manner) in SLOW else []
            name = f"{kind}-{method}-{moment}-{manner}".replace(" ", "_")
            yield pytest.param(kind, method, moment, manner, table[moment, manner], marks=marks, id=name)


# The stage


class Crew:
    """A pool or an executor of two workers; its calls are given and got alike."""

    def __init__(self, kind: str, method: str, moment: str, manner: str, init: tuple[Any, ...]) -> None:
        context = procession.get_context(method)
        self.is_pool = kind == "Pool"
        is_timed = manner == "SIGSTOP" and moment not in WITHOUT_CALL
        self.limits = {"timeout": TIMEOUT_S[kind]} if is_timed else {}
        memory = {"memory_limit": LIMIT} if manner == "memory limit" else {}
        most_tasks = 1 if moment == "exiting" else None
        initializer, initargs = (init[0], init[1:]) if init else (None, ())
        if self.is_pool:
            self.crew = context.Pool(2, initializer, initargs, most_tasks, **memory)
        else:
            given = {"max_tasks_per_child": most_tasks, **memory, **self.limits}
            self.crew = context.Executor(2, initializer, initargs, **given)

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.is_pool:
            self.crew.terminate()
            self.crew.join()
        else:
            self.crew.shutdown()

    def pids(self) -> list[int]:
        return [worker.pid for worker in self.crew._core.engine.workers.values()]

    def statistics(self) -> Any:
        return self.crew.statistics()

    def submit(self, function: Callable[..., Any], *args: Any, limited: bool = False) -> Callable[[], Any]:
        """Have it called; what is returned waits for the result."""
        if self.is_pool:
            return self.crew.apply_async(function, args, **(self.limits if limited else {})).get
        return self.crew.submit(function, *args).result

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        return self.submit(function, *args)()


class Stage:
    """A crew, a call in a certain moment, and a neighbour's call that keeps the other worker busy."""

    def __init__(self, kind: str, method: str, moment: str, manner: str) -> None:
        context = procession.get_context(method)
        self.moment, self.manner = moment, manner
        self.who = context.Array("i", 1, lock=False)  # pid of the process that misbehaves
        self.begun, self.go, self.go_on = context.Semaphore(0), context.Event(), context.Event()
        self.lock = context.Lock()
        init: tuple[Any, ...] = ()
        if moment == "starting":
            init = (tasks.misbehave_once, context.Semaphore(1), manner, self.who)
        elif moment == "idle":
            init = (tasks.misbehave_upon_signal, manner, self.who)
        self.crew = Crew(kind, method, moment, manner, init)
        # One that stands still is ended where a limit says so; elsewhere only the neighbour's worker is left to serve.
        # And of an executor the limit is the neighbour's as well
        self.frees_neighbour = manner == "SIGSTOP" and (moment in WITHOUT_CALL or kind != "Pool")

    def add_neighbour(self) -> Callable[[], Any]:
        neighbour = self.crew.submit(begin_and_wait, self.begun, self.go_on)
        if self.moment != "starting":  # then it may be that nobody begins
            self.begun.acquire()
        return neighbour

    def play(self) -> Any:
        """Have a process misbehave at the moment; the value of the call that is concerned."""
        get = MOMENTS[self.moment](self)
        if self.frees_neighbour:
            self.go_on.set()
        return get()

    def submit(self, function: Callable[..., Any], *args: Any) -> Callable[[], Any]:
        """A call that misbehaves, or whose argument does."""
        return self.crew.submit(function, *args, limited=True)

    def pickling(self) -> Callable[[], Any]:
        return self.submit(tasks.done, tasks.WhenPickled(self.manner, self.who, 0.0))

    def queued(self) -> Callable[[], Any]:
        self.submit(tasks.misbehave_when, self.go, self.manner, self.who)
        get = self.crew.submit(tasks.done)
        self.go.set()
        return get

    def unpickling(self) -> Callable[[], Any]:
        return self.submit(identity, tasks.WhenUnpickled(self.manner, self.who))

    def running(self) -> Callable[[], Any]:
        return self.submit(tasks.misbehave, self.manner, self.who)

    def holding(self) -> Callable[[], Any]:
        return self.submit(tasks.hold, self.lock, self.manner, self.who)

    def replying(self) -> Callable[[], Any]:
        return self.submit(tasks.reply, self.manner, self.who)

    def idle(self) -> Callable[[], Any]:
        os.kill(self.crew.call(own_pid), signal.SIGUSR1)
        wait_until(self.has_misbehaved)
        return self.crew.submit(tasks.done)

    def starting(self) -> Callable[[], Any]:
        return self.crew.submit(tasks.done)

    def exiting(self) -> Callable[[], Any]:
        return self.submit(tasks.misbehave_at_exit, self.manner, self.who)

    def has_misbehaved(self) -> bool:
        """Whether the process has ended, or stands still. (One that takes memory is ended by who waits.)"""
        return self.who[0] != 0 and (self.manner == "memory limit" or state_of(self.who[0]) in "TXZ")


MOMENTS = {
    "pickling its argument": Stage.pickling,
    "queued, a worker misbehaves": Stage.queued,
    "unpickling its argument": Stage.unpickling,
    "running": Stage.running,
    "holding a lock": Stage.holding,
    "replying": Stage.replying,
    "idle": Stage.idle,
    "starting": Stage.starting,
    "exiting": Stage.exiting,
}


def state_of(pid: int) -> str:
    """The kernel's letter; X for a process that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except OSError:
        return "X"


# The play


@pytest.mark.parametrize(("kind", "method", "moment", "manner", "expected"), list(cells()))
def test_cell(kind: str, method: str, moment: str, manner: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LOADING_S", 0.0)  # what unpickling may take besides
    if moment == "pickling its argument" and (expected == "all end" or manner == "SIGSTOP"):
        Caller(kind, manner).check(expected)
        return
    outcome, *more = expected.split(", ")
    stage = Stage(kind, method, moment, manner)
    with stage.crew:
        neighbour = stage.add_neighbour()
        if outcome == "result":
            assert stage.play() == "done"
        else:
            check_error(stage, outcome, neighbour)
        if outcome == "PoolBroken":
            return
        assert stage.crew.call(tasks.acquire, stage.lock) == ("abandoned" if more else "free")
        stage.go_on.set()
        assert neighbour() is True
        check_usable(stage, outcome)


def check_error(stage: Stage, outcome: str, neighbour: Callable[[], Any]) -> None:
    """The call fails with that error, and it says what it should."""
    kind = getattr(errors, outcome, None) or getattr(builtins, outcome)
    with pytest.raises(kind) as caught:
        stage.play()
    error = caught.value
    if not stage.crew.is_pool and issubclass(kind, WorkerDied | PoolBroken | errors.UnpicklingError):
        assert isinstance(error, BrokenProcessPool)
    elif outcome in DEATHS:
        assert type(error) is kind, "and none of those that derive from it"
    if isinstance(error, WorkerDied):
        check_facts(stage, error)
    if isinstance(error, PoolBroken):
        with pytest.raises(PoolBroken):
            neighbour()
        with pytest.raises(PoolBroken):
            stage.crew.call(double, 1)


def check_facts(stage: Stage, error: WorkerDied) -> None:
    assert error.pid == stage.who[0]
    assert error.exitcode == EXITS.get(stage.manner, error.exitcode)
    assert state_of(error.pid) in "XZ"
    assert error.item
    if isinstance(error, TaskTimeout):
        assert error.timeout_s == stage.crew.limits["timeout"]
    elif isinstance(error, MemoryLimitExceeded):
        assert error.limit_bytes == LIMIT < error.memory_bytes
    elif stage.manner == "segfault":
        assert error.line.endswith("in string_at")


def check_usable(stage: Stage, outcome: str) -> None:
    """Two workers serve. Who stood still is let go on."""
    crew, who = stage.crew, stage.who

    def is_well() -> bool:
        if stage.manner == "SIGSTOP" and state_of(who[0]) == "T":
            os.kill(who[0], signal.SIGCONT)
        if crew.call(double, 4) != 8 or who[0] == 0:
            return False
        if stage.moment == "exiting":  # there every call ends a worker
            return who[0] not in crew.pids()
        return crew.statistics().serving == 2 and all(state_of(pid) not in "TXZ" for pid in crew.pids())

    wait_until(is_well)
    wait_until(lambda: crew.statistics().workers == 2)  # a thread of the crew's may be replacing one
    statistics = crew.statistics()
    assert (statistics.outstanding, statistics.waiting) == (0, 0)
    assert statistics.deaths == 1 or (statistics.deaths == 0 and outcome not in DEATHS)


class Caller:
    """A program that misbehaves with an argument half pickled; one of its workers is busy, the other is not."""

    def __init__(self, kind: str, manner: str) -> None:
        context = procession.get_context("fork")
        self.manner = manner
        self.pids = context.Array("i", 3, lock=False)  # its own and its workers'
        self.process = context.Process(target=self.call, args=(kind,))

    def call(self, kind: str) -> tuple[str, bool]:
        faulthandler.disable()  # pytest's: no report is wanted
        stage = Stage(kind, "fork", "pickling its argument", self.manner)
        stage.who = self.pids
        with stage.crew:
            neighbour = stage.add_neighbour()
            self.pids[1:] = stage.crew.pids()
            value = stage.play()
            stage.go_on.set()
            return value, neighbour()

    def check(self, expected: str) -> None:
        self.process.start()
        if expected == "result":
            wait_until(lambda: self.pids[0] and state_of(self.pids[0]) == "T")
            os.kill(self.pids[0], signal.SIGCONT)
            assert self.process.result() == ("done", True)
        else:
            self.process.join()
            assert self.process.exitcode == EXITS[self.manner]
        assert self.pids[0] == self.process.pid
        assert all(self.pids)
        wait_until(lambda: all(state_of(pid) in "XZ" for pid in self.pids), 5)
        self.process.close()


@pytest.mark.parametrize("manner", ["exception", "sys.exit", "SIGKILL"])
@pytest.mark.parametrize("moment", ["unpickling its argument", "replying"])
def test_items_that_travel_with_a_culprit_do_not_pay(fork_pool: Any, moment: str, manner: str) -> None:
    """A chunk, and results of it, are pickled as one: whose fault it was shows when each is tried by itself."""
    who = procession.get_context("fork").Array("i", 1, lock=False)
    kind = getattr(errors, POOL[moment, manner])
    if moment == "replying":
        results = fork_pool.starmap(tasks.reply_to, [(n, manner, who) for n in range(5)], 5, return_exceptions=True)
    else:
        culprit = tasks.WhenUnpickled(manner, who)
        results = fork_pool.map(identity, [0, 1, culprit, 3, 4], 5, return_exceptions=True)
        iterator = fork_pool.imap(identity, [0, 1, culprit, 3, 4], 5)
        assert [next(iterator), next(iterator)] == [0, 1]
        with pytest.raises(kind):
            next(iterator)
        assert list(iterator) == [3, 4]
    assert isinstance(results.pop(2), kind)
    assert results == [0, 1, 3, 4]


def test_every_moment_and_manner_of_the_table() -> None:
    assert {moment for moment, _ in POOL} == set(MOMENTS)
    assert {manner for _, manner in EXECUTOR} == {"exception", "memory limit", "SIGSTOP", *EXITS}
    assert len(POOL) == len(EXECUTOR) == 9 * 8
