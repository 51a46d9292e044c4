"""Programs as data, for tests of the monitor's pure part: what the registry and the operating system might say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from procession import _registry
from procession.monitor.model import Look
from procession.monitor.rows import ProcessSample, ThreadSample
from procession.statistics import EventStatistics, LockStatistics, QueueStatistics

START = 1_000_000.0  # seconds since the epoch at which every program here began


def waits(action: str, of: int = 0, *, pid: int | None = None, since: float = START, site: str = "") -> Any:
    return _registry.WaitInfo(action, (of, 1) if of else None, pid, since, site or None)


def thread(native_id: int, name: str = "MainThread", waits: Any = None, ident: int | None = None) -> Any:
    return _registry.ThreadInfo(native_id, native_id + 1000 if ident is None else ident, name, waits)


def process(pid: int, parent: int = 1, name: str | None = None, threads: tuple[Any, ...] | None = None) -> Any:
    return _registry.ProcessInfo(
        pid, parent, name or f"Process-{pid}", START, True, (thread(pid),) if threads is None else threads
    )


def owner(pid: int, name: str = "", since: float | None = START) -> Any:
    return _registry.OwnerInfo(pid, pid + 1000, name or f"Process-{pid}", since)


def lock(address: int, name: str = "", *, owner: Any = None, acquired: int = 0, contended: int = 0, **more: Any) -> Any:
    statistics = LockStatistics(owner, int(owner is not None), acquired, contended, 0, len(more.get("waiters", ())))
    return _object(address, "Lock", name, statistics, owner=owner, **more)


def queue(address: int, name: str = "", *, depth: int = 0, put: int = 0, taken: int = 0, **more: Any) -> Any:
    return _object(address, "Queue", name, QueueStatistics(depth, depth * 10, put, taken, 0, False), **more)


def event(address: int, name: str = "", **more: Any) -> Any:
    return _object(address, "Event", name, EventStatistics(False, 0, 0), **more)


def _object(address: int, kind: str, name: str, statistics: Any, **more: Any) -> Any:
    fields: dict[str, Any] = {
        "address": (address, 1), "kind": kind, "name": name or f"{kind} at bank.py:12", "given": name or None,
        "site": "/home/user/bank.py:12 in main", "nbytes": 128, "creator": 1, "holders": (1,), "owner": None,
        "statistics": statistics, "waiters": (), "part_of": 0, "home": 0,
    }  # fmt: skip
    return _registry.ObjectInfo(**(fields | more))


def worker(pid: int, task: int | None = None, item: int | None = None, since: float = START) -> Any:
    return _registry.WorkerInfo(pid, task, item, since)


def pool(address: int = 900, name: str = "pool", **more: Any) -> Any:
    fields: dict[str, Any] = {
        "address": (address, 1), "name": name, "title": "work", "method": "fork", "pid": 1, "workers": (),
        "submitted": 0,
        "done": 0, "failed": 0, "running": 0, "waiting": 0, "later": 0, "size": 2, "site": None,
    }  # fmt: skip
    return _registry.PoolInfo(**(fields | more))


def program(*processes: Any, objects: tuple[Any, ...] = (), pools: tuple[Any, ...] = (), pid: int = 1) -> Any:
    return _registry.Program(
        pid,
        "/usr/bin/python /home/user/bank.py",
        "token",
        START,
        processes or (process(pid),),
        objects,
        pools,
        4096,
        1 << 20,
        (),
    )


def sample(
    pid: int, cpu_s: float = 0.0, state: str = "S", uss: int | None = 1000, pss: int | None = 1500
) -> ProcessSample:
    return ProcessSample(pid, cpu_s, state, 3000, uss, pss, {pid: ThreadSample(cpu_s, state)})


def look(now: float, *programs: Any, samples: tuple[ProcessSample, ...] = ()) -> Look:
    return Look(START + now, programs, {each.pid: each for each in samples})


def without(program: Any, *pids: int) -> Any:
    """The program after these processes have ended."""
    return replace(program, processes=tuple(each for each in program.processes if each.pid not in pids))
