"""The table of who waits for what: every kind of wait is in it while it lasts, and only then."""

import os
import threading
from collections.abc import Callable
from typing import Any

import pytest
from parties import Team, kill

from procession import _native, _store
from procession.testing import wait_until


def wait_for(what: str, obj: Any) -> None:
    if what == "Condition":
        with obj:
            obj.wait()
    elif what in ("Event", "Barrier"):
        obj.wait()
    elif what == "get":
        obj.get()
    elif what == "put":
        obj.put(None)
    elif what == "finish":
        obj.join()
    else:
        with obj:
            pass


def made(ctx: Any, what: str) -> tuple[Any, Callable[[], object]]:
    """Something to wait for, and what ends the wait."""
    if what in ("Lock", "RLock", "Semaphore"):
        lock = getattr(ctx, what)()
        lock.acquire()
        return lock, lock.release
    if what == "Event":
        event = ctx.Event()
        return event, event.set
    if what == "Condition":
        condition = ctx.Condition()

        def notify() -> None:
            with condition:
                condition.notify()

        return condition, notify
    if what == "Barrier":
        barrier = ctx.Barrier(2)
        return barrier, barrier.wait
    queue = ctx.JoinableQueue(1)
    if what == "get":
        return queue, lambda: queue.put(None)
    queue.put(None)
    queue.get()
    if what == "put":
        queue.put(None)
        return queue, queue.get
    return queue, queue.task_done


def found(action: str) -> list[Any]:
    """What is done in Python stands in the shared arena, if there is one."""
    arenas = [_store.shared_arena(), _store.private_arena()]
    return [entry for arena in arenas for entry in _native.waits(arena) if entry[3][0] == action]


@pytest.mark.parametrize(
    ("what", "action"),
    [
        ("Lock", "acquire"),
        ("RLock", "acquire"),
        ("Semaphore", "acquire"),
        ("Event", "wait"),
        ("Condition", "wait"),
        ("Barrier", "wait"),
        ("get", "get"),
        ("put", "put"),
        ("finish", "finish"),
    ],
)
def test_a_wait_is_in_the_table_while_it_lasts(ctx: Any, team: Team, what: str, action: str) -> None:
    obj, end = made(ctx, what)
    party = team.start(ctx, wait_for, what, obj)
    try:
        wait_until(lambda: bool(found(action)), timeout=20)
        (entry,) = found(action)
        (_, sequence), pid, (native, ident), (_, offset, _), since, _, timed, looks = entry
        assert offset == (obj.address[0] if hasattr(obj, "address") else id(obj))
        assert (sequence % 2, since > 0, timed, looks) == (0, True, False, False)
        if ctx.get_start_method() == "fork":
            assert pid == native == party.pid
        else:
            assert (pid, native, ident) == (os.getpid(), party.native_id, party.ident)
    finally:
        end()
    wait_until(lambda: not found(action), timeout=20)


def test_a_join_is_in_the_table(ctx: Any, team: Team) -> None:
    event = ctx.Event()
    party = team.start(ctx, event.wait)
    joiner = threading.Thread(target=party.join)
    joiner.start()
    wait_until(lambda: bool(found("join")), timeout=20)
    ((_, pid, (native, _), (_, joined, thread), *_),) = found("join")
    assert (pid, native) == (os.getpid(), joiner.native_id)
    assert (joined, thread) == ((party.pid, 0) if ctx.get_start_method() == "fork" else (os.getpid(), party.native_id))
    event.set()
    joiner.join()
    assert not found("join")


def test_a_deadline_is_told(ctx: Any, team: Team) -> None:
    event = ctx.Event()
    team.start(ctx, event.wait, 30)
    wait_until(lambda: bool(found("wait")), timeout=20)
    assert found("wait")[0][6]
    event.set()


def test_what_the_dead_waited_for_is_not_in_the_table(fork: Any, team: Team) -> None:
    event = fork.Event()
    party = team.start(fork, event.wait)
    wait_until(lambda: bool(found("wait")), timeout=20)
    kill(party)
    assert not found("wait")
