"""A live arena, written over while it is used: each operation gives a result, an exception or a timeout, and ends.

A child makes an arena of its own with one of everything in it, writes over words of it as hypothesis says (so that a
failure is reduced to the words that matter), and uses all of it. It must not be killed by a signal, panic or stand
still. The same for the core alone, thousands of times: `crates/core/tests/damage.rs`, and `make fuzz`.
"""

import mmap
import os
import queue
import signal
import struct
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import procession
from procession import _native, _store
from procession.queues import JoinableQueue, Queue
from procession.sharedctypes import Array, Value
from procession.synchronize import Barrier, Condition, Event, Lock, RLock, Semaphore

PATIENCE_S = 20  # for a child that takes a tenth of a second
MOMENT = 0.005  # seconds to wait where nothing will come
HEADER, BLOCKS = 4096, 1577344
LOCKS = (48, 52)  # in the header
LARGE = bytes(100_000)
CONTENTS = 192  # from an object's address on

# What a word is overwritten with: anything, or what is something elsewhere. Not 1, which is the only process there is,
# and alive: a lock that it holds is waited for, as is a barrier whose word says that all have come.
WORDS = st.one_of(st.integers(2, 2**32 - 1), st.sampled_from([0, 2, 63, 64, BLOCKS, 1 << 31, 2**31 - 1, 2**32 - 1]))
# Where: in the header, near an object's start, anywhere in the blocks.
PLACES = st.one_of(
    st.tuples(st.just("header"), st.integers(0, HEADER // 4 - 1)),
    st.tuples(st.integers(0, 11), st.integers(-48, 64)),
    st.tuples(st.just("blocks"), st.integers(0, 8192)),
)


BARRIER, ITEMS, TASKS = 5, 6, 7  # in this list


def everything(arena: Any) -> list[Any]:
    lock = Lock(arena=arena)
    made = [
        lock,
        RLock(arena=arena),
        Semaphore(2, arena=arena),
        Event(arena=arena),
        Condition(lock),
        Barrier(2, arena=arena),
    ]
    made += [Queue(arena=arena), JoinableQueue(3, arena=arena), Value("i", 5, arena=arena), Array("d", 10, arena=arena)]
    for number in (1, "two", LARGE, {"three": 3.0}):
        made[ITEMS].put(number)
    made[TASKS].put(1)
    made[TASKS].put(lock)
    return made


def uses(made: list[Any], arena: Any) -> list[Callable[[], Any]]:
    lock, again, semaphore, event, condition, barrier, items, tasks, value, array = made

    def notify() -> None:
        if condition.acquire(timeout=MOMENT):
            condition.wait(MOMENT)
            condition.notify_all()
            condition.release()

    def watch() -> None:
        items.watch()
        items.unwatch()

    return [
        lambda: lock.acquire(timeout=MOMENT) and lock.release(),
        lambda: again.acquire(timeout=MOMENT) and again.release(),
        lambda: semaphore.acquire(timeout=MOMENT) and semaphore.release(),
        lambda: (event.wait(MOMENT), event.set(), event.is_set(), event.clear()),
        notify,
        lambda: barrier.wait(MOMENT),
        lambda: (barrier.reset(), barrier.n_waiting, barrier.broken),
        *[lambda: items.get(timeout=MOMENT)] * 3,
        lambda: items.put(7, timeout=MOMENT),
        lambda: items.put(LARGE, timeout=MOMENT),
        lambda: items.put_many([1, 2, LARGE], timeout=MOMENT),
        lambda: items.get_many(timeout=MOMENT),
        *[lambda: tasks.get(timeout=MOMENT)] * 2,
        lambda: tasks.put("one more", timeout=MOMENT),
        lambda: tasks.task_done(),
        watch,
        lambda: (items.qsize(), items.empty(), tasks.full(), items.position),
        lambda: value.value,
        lambda: setattr(value, "value", 3),
        lambda: (array[:], array[3]),
        lambda: array.__setitem__(slice(0, 2), [1.0, 2.0]),
        lambda: (arena.statistics(), arena.objects(), arena.reap()),
        lambda: made.append(everything(arena)),
        *[getattr(one, "statistics", one.__repr__) for one in made],
        lambda: made.clear(),
    ]


def use(arena: Any, made: list[Any]) -> None:
    for operation in uses(made, arena):
        with suppress(Exception):
            operation()


def damaged(changes: list[tuple[tuple[Any, int], int]]) -> None:
    """In the child: what ends it with another code than 0 is a failure."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(PATIENCE_S)
    warnings.simplefilter("ignore")
    arena = _store._shared = _native.Arena.create(1 << 30)
    made = everything(arena)
    with mmap.mmap(arena.fd, BLOCKS + (1 << 20)) as memory:
        for (near, words), value in changes:
            place = {"header": 0, "blocks": BLOCKS}.get(near)
            if place is None:
                place = made[near % len(made)].address[0] if hasattr(made[near % len(made)], "address") else BLOCKS
            offset = place + 4 * words
            if offset == made[BARRIER].address[0] + CONTENTS:
                continue
            if offset >= BLOCKS or (0 <= offset < HEADER and offset not in LOCKS):
                struct.pack_into("I", memory, offset, value)
    pid = os.fork()  # with all that is open
    use(arena, made)
    if pid == 0:
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status == 0, f"a child of it: {status}"


def ends_well(changes: list[tuple[tuple[Any, int], int]]) -> None:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            damaged(changes)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, changes


@pytest.mark.slow
@settings(max_examples=40, derandomize=True, database=None, deadline=None)
@given(st.lists(st.tuples(PLACES, WORDS), max_size=12))
def test_whatever_is_written_over_every_operation_ends(changes: list[tuple[tuple[Any, int], int]]) -> None:
    ends_well(changes)


def test_what_is_damaged_is_named() -> None:
    def spoil() -> None:
        arena = _native.Arena.create(1 << 30)
        items = Queue(arena=arena)
        items.put("is there")
        with mmap.mmap(arena.fd, BLOCKS + (1 << 16)) as memory:
            contents = items.address[0] + CONTENTS
            struct.pack_into("Q", memory, contents + 16, 1 << 60)
        with suppress(queue.Full):
            items.put("no more")

    with pytest.raises(
        procession.errors.Corrupted, match="shared memory is damaged: a reference to a buffer"
    ) as raised:
        spoil()
    assert raised.value.what == "a reference to a buffer"
    assert raised.value.offset is not None
    assert isinstance(raised.value, RuntimeError)
