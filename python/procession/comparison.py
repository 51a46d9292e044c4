"""procession beside the standard library and whatever rival is installed: what `procession bench` runs, in a minute.

A workload is a function of a contender that gives seconds for a fixed amount of work, children included. Each round
runs every contender on every workload once, in turn, so that a machine that slows down slows all of them; what counts
is the median. (`benchmarks/` in the repository is the thorough one: more workloads and rivals, and figures kept.)

A contender that lacks what a workload needs is left out there; one that raises is said to fail, and does not count.
"""

from __future__ import annotations

import importlib
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from statistics import median
from time import perf_counter
from types import SimpleNamespace
from typing import Any

from .context import get_context

__all__ = ["CONTENDERS", "WORKLOADS", "Contender", "Row", "Workload", "compare", "contenders"]

WORKERS = 2
_Map = Callable[[Callable[[Any], Any], Any], Any]
FIFO_BYTES = 64 << 20  # of a faster-fifo queue, which is of one size
PATIENCE_S = 30  # for a message to come; a rival that loses one must not keep us


@dataclass(frozen=True)
class Contender:
    """Somebody who can do some of the work."""

    name: str
    context: Any = None  # with Process, Queue, Pipe, Value and Pool as multiprocessing has them
    crew: Callable[[], AbstractContextManager[_Map]] | None = None  # workers, as what maps a function over items
    share: float = 1.0  # of a workload's units; less for whom a unit takes long

    def made(self, kind: str) -> Any:
        """The context's class or function of this name; None without one."""
        return getattr(self.context, kind, None)


@dataclass(frozen=True)
class Workload:
    """What is measured, in units of work."""

    name: str
    units: int
    unit: str
    run: Callable[[Contender, int], float | None]  # seconds; None: not for this contender


@dataclass(frozen=True)
class Row:
    """How a contender did at a workload."""

    workload: Workload
    contender: str
    seconds: float | None  # median; None: it failed
    failure: str = ""
    spread: float = 0.0  # from the fastest to the slowest round, as a part of the median

    @property
    def per_second(self) -> float:
        """Units a second."""
        return self.workload.units / self.seconds if self.seconds else 0.0


def _put_all(queue: Any, begin: Any, item: Any, count: int) -> None:
    begin.wait()
    for _ in range(count):
        queue.put(item)


def _through_queue(contender: Contender, count: int, item: Any) -> float | None:
    """From the first put to the last get: both ends count, and nothing is in the queue before."""
    if contender.made("Queue") is None:
        return None
    queue, begin = contender.context.Queue(), contender.context.Barrier(2)
    child = contender.context.Process(target=_put_all, args=(queue, begin, item, count))
    child.start()
    try:
        begin.wait(PATIENCE_S)
        began = perf_counter()
        for _ in range(count):
            queue.get(timeout=PATIENCE_S)
        return perf_counter() - began
    finally:
        _end(child)


def _numbers(contender: Contender, count: int) -> float | None:
    return _through_queue(contender, count, 7)


def _records(contender: Contender, count: int) -> float | None:
    return _through_queue(contender, count, {"id": 7, "name": "procession", "tags": ["a", "b"], "weight": 0.5})


def _blocks(contender: Contender, count: int) -> float | None:
    return _through_queue(contender, count, bytes(1 << 20))


def _echo(connection: Any, count: int) -> None:
    for _ in range(count):
        connection.send(connection.recv())


def _round_trips(contender: Contender, count: int) -> float | None:
    if contender.made("Pipe") is None:
        return None
    ours, theirs = contender.context.Pipe()
    child = contender.context.Process(target=_echo, args=(theirs, count + 1))
    child.start()
    try:
        ours.send(0)
        ours.recv()
        began = perf_counter()
        for number in range(count):
            ours.send(number)
            ours.recv()
        return perf_counter() - began
    finally:
        _end(child)


def _deposit(balance: Any, begin: Any, count: int) -> None:
    begin.wait()
    for _ in range(count):
        with balance.get_lock():
            balance.value += 1


def _deposits(contender: Contender, count: int) -> float | None:
    if contender.made("Value") is None:
        return None
    balance, begin = contender.context.Value("q", 0), contender.context.Barrier(WORKERS + 1)
    given = balance, begin, count // WORKERS
    children = [contender.context.Process(target=_deposit, args=given) for _ in range(WORKERS)]
    for child in children:
        child.start()
    begin.wait()
    began = perf_counter()
    for child in children:
        child.join()
    seconds = perf_counter() - began
    if balance.value != count:
        raise AssertionError(f"the balance is {balance.value} and not {count}")
    return seconds


def _tiny(number: int) -> int:
    return number + 1


def _mapped(contender: Contender, count: int) -> float | None:
    if contender.crew is None:
        return None
    with contender.crew() as mapped:
        mapped(_tiny, range(2 * WORKERS))  # the workers are there: from here on it counts
        began = perf_counter()
        total = sum(mapped(_tiny, range(count)))
        seconds = perf_counter() - began
    if total != count * (count + 1) // 2:
        raise AssertionError("the sum is wrong")
    return seconds


def _called(contender: Contender, count: int) -> float | None:
    """One call after the other: what a task costs on its way there and back."""
    if contender.made("Pool") is None:
        return None
    with contender.context.Pool(1) as pool:
        pool.apply(_tiny, (0,))
        began = perf_counter()
        for number in range(count):
            pool.apply(_tiny, (number,))
        return perf_counter() - began


def _nothing() -> None:
    """What a process does that is started to be joined."""


def _started(contender: Contender, count: int) -> float | None:
    if contender.made("Pool") is None:
        return None
    began = perf_counter()
    for _ in range(count):
        child = contender.context.Process(target=_nothing)
        child.start()
        child.join()
    return perf_counter() - began


def _end(child: Any) -> None:
    child.join(1)
    if child.is_alive():
        child.terminate()
        child.join()


WORKLOADS = (
    Workload("numbers through a Queue", 20_000, "items", _numbers),
    Workload("small dicts through a Queue", 10_000, "items", _records),
    Workload("blocks through a Queue", 100, "MiB", _blocks),
    Workload("round trips through a Pipe", 4_000, "round trips", _round_trips),
    Workload("deposits under a lock", 40_000, "deposits", _deposits),
    Workload("calls of Pool.apply", 3_000, "calls", _called),
    Workload("tiny tasks of a map", 50_000, "tasks", _mapped),
    Workload("processes started and joined", 20, "processes", _started),
)


def _of_context(name: str, context: Any) -> Contender:
    @contextmanager
    def crew() -> Iterator[_Map]:
        with context.Pool(WORKERS) as pool:
            yield pool.map

    return Contender(name, context, crew)


def _futures(method: str) -> Contender:
    @contextmanager
    def crew() -> Iterator[_Map]:
        with ProcessPoolExecutor(WORKERS, mp_context=multiprocessing.get_context(method)) as executor:
            yield lambda function, items: list(executor.map(function, items, chunksize=_chunk(items)))

    return Contender("concurrent.futures", crew=crew)


def _chunk(items: Any) -> int:
    return -(-len(items) // (4 * WORKERS))  # as the standard pool chooses


def _billiard(method: str) -> Contender:
    return _of_context("billiard", importlib.import_module("billiard").get_context(method))


def _joblib(_method: str) -> Contender:
    joblib = importlib.import_module("joblib")

    @contextmanager
    def crew() -> Iterator[_Map]:
        with joblib.Parallel(n_jobs=WORKERS, backend="loky") as parallel:
            yield lambda function, items: parallel(joblib.delayed(function)(item) for item in items)
        importlib.import_module("joblib.externals.loky").get_reusable_executor().shutdown()

    return Contender("joblib (loky)", crew=crew)


def _mpire(method: str) -> Contender:
    mpire = importlib.import_module("mpire")

    @contextmanager
    def crew() -> Iterator[_Map]:
        with mpire.WorkerPool(n_jobs=WORKERS, start_method=method) as pool:
            yield pool.map

    return Contender("mpire", crew=crew)


def _faster_fifo(method: str) -> Contender:
    queue = importlib.import_module("faster_fifo").Queue
    context: Any = multiprocessing.get_context(method)
    made = SimpleNamespace(Process=context.Process, Barrier=context.Barrier, Queue=lambda: queue(FIFO_BYTES))
    return Contender("faster-fifo", made)


def _dask(_method: str) -> Contender:
    distributed = importlib.import_module("distributed")

    @contextmanager
    def crew() -> Iterator[_Map]:
        with (
            distributed.LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None) as cluster,
            distributed.Client(cluster) as client,
        ):
            yield lambda function, items: client.gather(client.map(function, items, pure=False))

    return Contender("dask", crew=crew, share=0.02)


def _ray(_method: str) -> Contender:
    ray = importlib.import_module("ray")

    @contextmanager
    def crew() -> Iterator[_Map]:
        ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        try:
            yield lambda function, items: ray.get([ray.remote(function).remote(item) for item in items])
        finally:
            ray.shutdown()

    return Contender("ray", crew=crew, share=0.02)


CONTENDERS: dict[str, Callable[[str], Contender]] = {
    "procession": lambda method: _of_context("procession", get_context(method)),
    "multiprocessing": lambda method: _of_context("multiprocessing", multiprocessing.get_context(method)),
    "concurrent.futures": _futures,
    "billiard": _billiard,
    "joblib": _joblib,
    "mpire": _mpire,
    "faster_fifo": _faster_fifo,
}
CLUSTERS: dict[str, Callable[[str], Contender]] = {"dask": _dask, "ray": _ray}  # take seconds to start, each time


def contenders(method: str = "fork", *, clusters: bool = False) -> list[Contender]:
    """procession, the standard library, and those rivals that are installed."""
    found = []
    for make in [*CONTENDERS.values(), *(CLUSTERS.values() if clusters else ())]:
        try:
            found.append(make(method))
        except ImportError:
            continue
    return found


def compare(
    there: list[Contender], rounds: int = 3, scale: float = 1.0, report: Callable[[str], object] = lambda _what: None
) -> Iterator[list[Row]]:
    """For each workload how everybody did, procession first, as they are done: its rows.

    `rounds` of each, of `scale` times the usual work. `report` is told what is being measured. Blocks meanwhile.
    """
    for workload in WORKLOADS:
        shares = {one.name: _scaled(workload, scale * one.share) for one in there}
        seconds: dict[str, list[float]] = {}
        failures: dict[str, str] = {}
        for number in range(rounds):
            for contender in there:
                if contender.name in failures:
                    continue
                report(f"{workload.name}: {contender.name}, round {number + 1} of {rounds}")
                try:
                    took = workload.run(contender, shares[contender.name].units)
                except Exception as error:
                    failures[contender.name] = f"{type(error).__name__}: {error}"
                    continue
                if took is not None:
                    seconds.setdefault(contender.name, []).append(took)
        rows = [_row(shares[name], name, took) for name, took in seconds.items() if name not in failures]
        yield rows + [Row(shares[name], name, None, failure) for name, failure in failures.items()]


def _scaled(workload: Workload, scale: float) -> Workload:
    return replace(workload, units=max(WORKERS, round(workload.units * scale)))


def _row(workload: Workload, name: str, took: list[float]) -> Row:
    middle = median(took)
    return Row(workload, name, middle, spread=(max(took) - min(took)) / middle)
