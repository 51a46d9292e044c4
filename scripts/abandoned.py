"""How soon the others notice that somebody died: `abandoned.py [TRIES]`.

In each try a process that holds something is killed while another has waited for it, for a random time. For each kind:
how long it took from the kill until the waiter went on, and in how many tries that was within 100 ms. (A queue's inner
locks are the lock word that a Lock has.) Then what waiting costs. The figures are the machine's as well: on a busy one
the waiter has to get a CPU first. Ends with an error only if somebody still waits after 20 s.
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import procession
from procession.errors import BrokenBarrierError
from procession.testing import wait_until

SOON_S = 0.1
LONGEST_WAIT_S = 0.4  # before the kill
COST_S = 3.0

ctx = procession.get_context("fork")


def hold(thing: Any, held: Any) -> None:
    """In `with thing`, until killed."""
    with thing:
        held.set()
        time.sleep(600)


def arrive(barrier: Any, held: Any) -> None:
    """At a barrier, until killed."""
    held.set()
    barrier.wait()


def take(thing: Any, when: Any) -> None:
    """Wait for what is held, and note when it came."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        thing.acquire()
    when.value = time.monotonic()


def notified(condition: Any, when: Any) -> None:
    """In a wait, which takes the lock again at its end."""
    with condition, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        condition.wait()
        when.value = time.monotonic()


def notify_and_hold(condition: Any, held: Any) -> None:
    """Let the waiter go, but never the lock."""
    with condition:
        condition.notify()
        held.set()
        time.sleep(600)


def meet(barrier: Any, when: Any) -> None:
    """Wait at a barrier that will be broken."""
    try:
        barrier.wait()
    except BrokenBarrierError:
        when.value = time.monotonic()


def waiters(thing: Any) -> int:
    """How many wait there."""
    return int(thing.statistics().waiters)


def attempt(thing: Any, holder: Callable[..., None], waiter: Callable[..., None], rng: random.Random) -> float:
    """One death; seconds until the other went on."""
    held, when = ctx.Event(), ctx.Value("d", 0.0)
    blocked = thing.lock if holder is notify_and_hold else thing
    heir = ctx.Process(target=waiter, args=(thing, when))
    if holder is notify_and_hold:
        heir.start()
        wait_until(lambda: waiters(thing) == 1)
    victim = ctx.Process(target=holder, args=(thing, held))
    victim.start()
    held.wait()
    if holder is not notify_and_hold:
        heir.start()
    wait_until(lambda: waiters(blocked) == 1 + (holder is arrive))
    time.sleep(rng.random() * LONGEST_WAIT_S)  # the moment of the kill, not an order
    begin = time.monotonic()
    os.kill(victim.pid, signal.SIGKILL)
    heir.join(20)
    victim.join()
    if not when.value:
        raise AssertionError(f"{thing!r}: the waiter still waits")
    return float(when.value) - begin


KINDS: dict[str, tuple[Callable[[], Any], Callable[..., None], Callable[..., None]]] = {
    "Lock": (ctx.Lock, hold, take),
    "RLock": (ctx.RLock, hold, take),
    "Condition, acquire": (lambda: ctx.Condition().lock, hold, take),
    "Condition, wait": (ctx.Condition, notify_and_hold, notified),
    "Semaphore": (lambda: ctx.Semaphore(1), hold, take),
    "Barrier": (lambda: ctx.Barrier(3), arrive, meet),
}


def notice(tries: int, seed: int) -> dict[str, list[float]]:
    """Seconds until each death was noticed, by kind."""
    rng = random.Random(seed)
    return {
        name: [attempt(make(), holder, waiter, rng) for _ in range(tries)]
        for name, (make, holder, waiter) in KINDS.items()
    }


def wait_and_count(kind: str, thing: Any, cost: Any) -> None:
    """Wait in vain, and count the CPU."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    if kind == "Condition, wait":
        with thing:
            thing.wait(COST_S)
    elif kind == "Barrier":
        with contextlib.suppress(BrokenBarrierError):
            thing.wait(COST_S)
    else:
        thing.acquire(timeout=COST_S)
    after = resource.getrusage(resource.RUSAGE_SELF)
    cost.value = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / COST_S


def costs() -> dict[str, float]:
    """The share of a CPU that one waiter takes, by kind."""
    found = {}
    for name, (make, _, _) in KINDS.items():
        thing, cost, held = make(), ctx.Value("d"), ctx.Event()
        target = arrive if name == "Barrier" else hold
        holder = None if name == "Condition, wait" else ctx.Process(target=target, args=(thing, held))
        if holder is not None:
            holder.start()
            held.wait()
        waiter = ctx.Process(target=wait_and_count, args=(name, thing, cost))
        waiter.start()
        waiter.join()
        if holder is not None:
            holder.kill()
            holder.join()
        found[name] = cost.value
    return found


def main() -> None:
    """Print both tables."""
    tries = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}, {tries} tries each; ms from the kill until the waiter went on")
    for name, times in notice(tries, seed).items():
        soon = sum(taken <= SOON_S for taken in times)
        print(
            f"{name:20} median {statistics.median(times) * 1000:5.1f}   most {max(times) * 1000:6.1f}   "
            f"within 100 ms: {soon} of {tries}",
            flush=True,
        )
    for name, cost in costs().items():
        print(f"waiting for a {name:20} takes {cost * 100:.2f} % of a CPU")


if __name__ == "__main__":
    main()
