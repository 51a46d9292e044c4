"""A program to be watched: a pool at work, a queue, locks, a thread and a process that hang. Tells on one line which
processes it has; ends, with all of them, when its input ends.

With the argument `deadlock` two of its processes also wait for each other's lock.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Any

import procession
from procession.testing import wait_until, wait_until_blocked


def guard(vault: Any, held: Any, never: Any) -> None:
    with vault:
        held.set()
        never.wait()


def wants(vault: Any) -> None:
    with vault:
        pass


def listen(never: Any) -> None:
    never.wait()


def begin(started: Any, never: Any) -> None:
    """The initializer of the pool's workers; what tasks need reaches them so."""
    global world
    world = started, never


def hold_on(number: int) -> int:
    started, never = world
    if number >= 3:
        started.release()
        never.wait()
    return number


def crossed(mine: Any, other: Any, held: Any, all_held: Any) -> None:
    with mine:
        held.release()
        all_held.wait()
        with other:
            pass


def main(deadlock: bool) -> None:
    ctx = procession.get_context("fork")
    vault, held, never, started = ctx.Lock(), ctx.Event(), ctx.Event(), ctx.Semaphore(0)
    orders = ctx.Queue()
    vault.name, orders.name = "vault", "orders"
    for number in range(3):
        orders.put(number)
    processes = [
        ctx.Process(target=guard, args=(vault, held, never), name="guard", daemon=True),
        ctx.Process(target=wants, args=(vault,), name="thief", daemon=True),
    ]
    processes[0].start()
    held.wait()
    processes[1].start()
    wait_until_blocked(vault)
    if deadlock:
        left, right, taken, all_held = ctx.Lock(), ctx.Lock(), ctx.Semaphore(0), ctx.Event()
        left.name, right.name = "left", "right"
        for name, mine, other in (("ana", left, right), ("bob", right, left)):
            process = ctx.Process(target=crossed, args=(mine, other, taken, all_held), name=name, daemon=True)
            process.start()
            processes.append(process)
            taken.acquire()
        all_held.set()
        wait_until_blocked(left)
        wait_until_blocked(right)
    with ctx.Pool(2, begin, (started, never)) as pool:
        work = pool.map_async(hold_on, range(5), chunksize=1)
        started.acquire()
        started.acquire()  # both workers are at a task that does not end, three are done
        thread = threading.Thread(target=listen, args=(never,), name="listener", daemon=True)
        thread.start()
        wait_until(lambda: thread.native_id)
        names = {process.name: process.pid for process in processes}
        print(json.dumps({"main": os.getpid(), "listener": thread.native_id, **names}), flush=True)
        sys.stdin.read()
        never.set()
        for process in processes:
            process.kill()
            process.join()
        work.get()
        thread.join()


if __name__ == "__main__":
    main(sys.argv[1:] == ["deadlock"])
