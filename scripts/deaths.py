"""Every public operation, dead at each of its steps: `deaths.py [STRIDE]` tries every STRIDE-th step (1: all).

For each operation children are forked one after another. The first dies at its first step (`procession.testing.steps`),
the next at its second, until one gets through. After each death the others must be able to go on within a second, and
once all is dropped the arena must hold as many objects and bytes as before. (`crates/core/tests/steps.rs` is the same
for the core, with more to check; `crash.py` kills at random moments under load.)
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import BrokenBarrierError
from typing import Any

import procession
from procession import _store
from procession.errors import AbandonedLockWarning, Empty
from procession.testing import steps

SOON = 1.0  # seconds until the others must have gone on
MOST_STEPS = 2000  # no operation takes as many: beyond it the child never got through
LARGE = bytes(200_000)

Work = Callable[[Any], object]
# What is made, what the child does with it and dies, and how the others then go on.
OPERATIONS: dict[str, tuple[Callable[[], Any], Work, Work]] = {}


def operation(name: str, make: Callable[[], Any], work: Work, go_on: Work | None = None) -> None:
    """Add to the table; what others do is the same as what the child did, unless it says otherwise."""
    OPERATIONS[name] = make, work, go_on or work


def use(lock: Any) -> None:
    assert lock.acquire(timeout=SOON)
    lock.release()


def use_twice(lock: Any) -> None:
    assert lock.acquire(timeout=SOON)
    use(lock)
    lock.release()


def wait_and_notify(condition: Any) -> None:
    assert condition.acquire(timeout=SOON)
    condition.wait(0.001)
    condition.notify_all()
    condition.release()


def meet(barrier: Any) -> None:
    with suppress(BrokenBarrierError):
        barrier.wait(SOON)
    barrier.reset()


def raise_and_lower(event: Any) -> None:
    event.wait(0.001)
    event.set()
    assert event.wait(SOON)
    event.clear()


def filled(make: Callable[[], Any]) -> Any:
    queue = make()
    for item in ("small", LARGE, 3, LARGE):
        queue.put(item)
    return queue


def go_on_with(queue: Any) -> None:
    """Put something, and take it and all before it."""
    end = time.monotonic() + SOON
    queue.put("last", timeout=SOON)
    while (item := queue.get(timeout=SOON)) != "last":
        assert item in ("small", LARGE, 3), "torn"
    assert time.monotonic() < end


def take_all(queue: Any) -> None:
    for _ in range(4):
        queue.get(timeout=SOON)


def take_and_do(queue: Any) -> None:
    for _ in range(4):
        queue.get(timeout=SOON)
        queue.task_done()


def do_the_rest(queue: Any) -> None:
    queue.put("last", timeout=SOON)
    item = None
    while item != "last":
        item = queue.get(timeout=SOON)
        queue.task_done()


def through(pipe: Any) -> None:
    pipe[0].send("there")
    pipe[0].send(LARGE)
    assert pipe[1].poll(SOON)
    pipe[1].recv()


def drain(pipe: Any) -> None:
    """What the dead sent is there or is not; what is sent now comes."""
    pipe[0].send("last")
    while pipe[1].recv() != "last":
        pass


def add(value: Any) -> None:
    with value.get_lock():
        value.value += 1


def write(array: Any) -> None:
    array[2:5] = [1.0, 2.0, 3.0]
    assert array[2:5] == [1.0, 2.0, 3.0]


operation("Lock", procession.Lock, use)
operation("RLock", procession.RLock, use_twice)
operation("Semaphore", lambda: procession.Semaphore(2), use)
operation("Condition", procession.Condition, wait_and_notify)
operation("Barrier", lambda: procession.Barrier(1), meet)
operation("Event", procession.Event, raise_and_lower)
operation("Queue.put", procession.Queue, lambda queue: queue.put("small"), go_on_with)
operation("Queue.put, large", procession.Queue, lambda queue: queue.put(LARGE), go_on_with)
operation("Queue.put, bounded", lambda: procession.Queue(2), lambda queue: queue.put(3), go_on_with)
operation("Queue.put_many", procession.Queue, lambda queue: queue.put_many(["small", LARGE, 3]), go_on_with)
operation("Queue.get", lambda: filled(procession.Queue), take_all, go_on_with)
operation("Queue.get_many", lambda: filled(procession.Queue), lambda queue: queue.get_many(4), go_on_with)
operation("JoinableQueue", lambda: filled(procession.JoinableQueue), take_and_do, do_the_rest)
operation("Pipe", procession.Pipe, through, drain)
operation("Value, with its lock", lambda: procession.Value("i", 0), add)
operation("Array", lambda: procession.Array("d", 10), write)


def usage() -> tuple[int, int]:
    """Objects and bytes in the arena, without what the dead had."""
    gc.collect()
    arena = _store.shared_arena()
    arena.reap()
    statistics = arena.statistics()
    return statistics["objects"], statistics["used"]


def die_at(step: int, work: Work, made: Any) -> bool:
    """Whether a child died at that step of `work`; False: it got through."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            warnings.simplefilter("ignore")
            with steps(step):
                work(made)
            code = 0
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, -signal.SIGKILL), f"step {step}: the child ended with {code}"
    return code != 0


def drop(made: Any) -> None:
    """Close what must be closed."""
    for end in made if isinstance(made, tuple) else ():
        end.close()


def deaths(name: str, first: int = 1, stride: int = 1) -> int:
    """Die at every `stride`-th step of an operation; returns how many deaths there were."""
    make, work, go_on = OPERATIONS[name]
    drop(make())  # some make things that last
    before = usage()
    for count, step in enumerate(range(first, MOST_STEPS, stride)):
        made = make()
        died = die_at(step, work, made)
        began = time.monotonic()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", AbandonedLockWarning)
                go_on(made)
        except (AssertionError, Empty) as error:
            raise AssertionError(f"{name}, step {step}: the others cannot go on") from error
        took = time.monotonic() - began
        assert took < SOON, f"{name}, step {step}: {took:.1f} s until the others went on"
        drop(made)
        del made
        after = usage()
        assert after == before, f"{name}, step {step}: {after} objects and bytes, {before} before"
        if not died:
            return count
    raise AssertionError(f"{name} takes more than {MOST_STEPS} steps")


# --- a pool: its workers die while they answer and take the next task ------------------------------------------------


def arm_once(armed: Any) -> None:
    """In a worker: from now on it dies at the step that `armed` says, unless another was told so before."""
    with armed.get_lock():
        step, armed.value = armed.value, 0
    if step:
        steps(step).__enter__()


_armed: Any = None


def _begin(armed: Any) -> None:
    global _armed
    _armed = armed


def double(number: int) -> int:
    """A task."""
    if number == 5:
        arm_once(_armed)
    return 2 * number


def letters(word: str) -> list[str]:
    """A map function."""
    if word == "five":
        arm_once(_armed)
    return list(word)


def map_numbers(pool: Any) -> None:
    assert pool.map(double, range(10), chunksize=1, retries=1) == list(range(0, 20, 2))


def apply_numbers(pool: Any) -> None:
    assert [pool.apply_async(double, (number,)).get(10) for number in (1, 2)] == [2, 4]
    with suppress(procession.errors.WorkerDied):
        assert pool.apply(double, (5,)) == 10
    assert pool.apply(double, (6,)) == 12


def count_letters(pool: Any) -> None:
    found = pool.map_reduce_by_key(letters, ["one", "five", "nine"] * 4, reduce="count")
    assert dict(found) == {"o": 4, "n": 12, "e": 12, "f": 4, "i": 8, "v": 4}
    found.close()


POOLS = {"Pool.map": map_numbers, "Pool.apply": apply_numbers, "Pool.map_reduce_by_key": count_letters}
POOL_STEPS = 60  # of answering one task and taking the next: some 20


def pool_deaths(name: str, first: int = 1, stride: int = 1) -> int:
    """The same for a worker, at every `stride`-th step behind the task: each call gives its whole result."""
    armed = procession.Value("i", 0)
    with procession.Pool(2, _begin, (armed,)) as pool:
        for step in range(first, POOL_STEPS, stride):
            armed.value = step
            POOLS[name](pool)
            assert armed.value == 0, "nobody was told to die"
    return len(range(first, POOL_STEPS, stride))


def run(stride: int) -> Iterator[str]:
    """Everything; one line each."""
    for name in OPERATIONS:
        yield f"{name}: {deaths(name, 1, stride)} deaths"
    for name in POOLS:
        yield f"{name}: {pool_deaths(name, 1, stride)} calls"


def main() -> None:
    """Print what was done; an AssertionError names the operation and the step."""
    for line in run(int(sys.argv[1]) if len(sys.argv) > 1 else 1):
        print(line, flush=True)


if __name__ == "__main__":
    main()
