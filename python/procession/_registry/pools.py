"""Pools, as their registrations, rings and workers' cells tell of them (`pool/registration.py`, `pool/state.py`)."""

from __future__ import annotations

import time
from typing import Any

from .records import PoolInfo, WorkerInfo, shown_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from procession import _native

__all__ = ["pools_of"]

# As `pool.registration` and `pool.state` number them; the layers do not allow to import those.
TASKS, CLAIMS, SIZE, WIDTH, TITLE, METHOD, SUBMITTED, DONE_IN_ALL, FAILED_IN_ALL, LATER, WORKERS = range(11)
CLAIM, ITEM, _SINCE, _RETIRE, BUSY, DONE, FAILED = range(7)
SEVERAL = 1 << 32
_WRAP = 2**32  # positions of rings count modulo this

Told = tuple[Any, ...]  # an object, as `Observer.look` gives it


def pools_of(observer: _native.Observer, told: list[Told]) -> tuple[PoolInfo, ...]:
    """The pools among what an observer told. What is damaged is left out."""
    registrations = [one for one in told if one[1] == "Pool" and one[9] is not None]
    if not registrations:
        return ()
    by_offset = {one[0][0]: one[9] for one in told if one[1] in ("Ring", "Claim")}
    labels = [word & 0xFFFFFFFF for one in registrations for word in one[9][1][TITLE : METHOD + 1]]
    texts = iter(observer.texts(labels))
    found = []
    for one in registrations:
        words = one[9][1]
        if len(words) >= WORKERS:
            title, method = next(texts) or "", next(texts) or ""
            found.append(_pool(one, words, title, method, by_offset))
    return tuple(found)


def _pool(one: Told, words: list[int], title: str, method: str, by_offset: dict[int, Told]) -> PoolInfo:
    address, kind, given, site, _, creator = one[:6]
    pids = words[WORKERS : WORKERS + words[SIZE]]
    if words[TASKS]:
        ring, cells = by_offset.get(words[TASKS]), by_offset.get(words[CLAIMS])
        workers, done, failed = _workers(pids, [] if cells is None else cells[1], words[WIDTH])
        submitted, waiting = (0, 0) if ring is None else (ring[3], (ring[3] - ring[4]) % _WRAP)
        running = sum(worker.task is not None for worker in workers)
    else:
        workers, submitted, done, failed = (), words[SUBMITTED], words[DONE_IN_ALL], words[FAILED_IN_ALL]
        running = min(words[SIZE], max(0, submitted - done))
        waiting = max(0, submitted - done - running)
    name = shown_name(kind, given, site)
    state = submitted, done, failed, running, waiting, words[LATER]
    return PoolInfo(address, name, title, method, creator, workers, *state, words[SIZE], site)


def _workers(pids: list[int], cells: list[int], width: int) -> tuple[tuple[WorkerInfo, ...], int, int]:
    """The workers there are; how many tasks were done, and how many calls raised, by them and those before them."""
    workers, done, failed = [], 0, 0
    offset_s = time.time() - time.monotonic()
    for number, pid in enumerate(pids):
        mine = cells[width * number : width * (number + 1)]
        if len(mine) <= FAILED:
            continue
        done, failed = done + mine[DONE], failed + mine[FAILED]
        if pid:
            busy = mine[BUSY] != 0
            item = mine[ITEM] if busy and mine[ITEM] < SEVERAL else None
            since = mine[BUSY] / 1e9 + offset_s if busy else None
            workers.append(WorkerInfo(pid, mine[CLAIM] - 1 if busy else None, item, since))
    return tuple(workers), done, failed
