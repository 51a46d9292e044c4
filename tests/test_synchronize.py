"""Lock, RLock, Semaphore and Event, and what all primitives have in common: between processes and between threads.

Who waits is known from `statistics().waiters`, so order is forced and nothing sleeps. Durations are only asserted
from below.
"""

import os
import pickle
import signal
import threading
import time
import warnings
from typing import Any

import pytest
from parties import Team, blocked, failure, kill

from procession.errors import AbandonedLockWarning, BrokenBarrierError, NotOwner, ReleaseError
from procession.testing import wait_until

SHORT_S = 0.03


def hold(lock: Any, held: Any, until: Any) -> None:
    lock.acquire()
    held.set()
    until.wait()
    lock.release()


# Lock and RLock


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_a_lock_excludes(ctx: Any, team: Team, kind: str) -> None:
    lock, counter = getattr(ctx, kind)(), ctx.RawValue("i", 0)

    def work() -> None:
        for _ in range(2000):
            with lock:
                counter.value += 1

    members = [team.start(ctx, work) for _ in range(3)]
    for member in members:
        member.join()
    assert counter.value == 6000
    assert lock.statistics().acquired == 6000
    assert lock.owner is None


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_acquire_of_a_held_lock_gives_up_in_time(ctx: Any, team: Team, kind: str) -> None:
    lock, held, done = getattr(ctx, kind)(), ctx.Event(), ctx.Event()
    team.start(ctx, hold, lock, held, done)
    held.wait()
    assert lock.locked()
    for arguments in [(False,), (0,), (True, 0), (True, -1), (False, None)]:
        assert lock.acquire(*arguments) is False
    assert lock.acquire(block=False) is False
    begin = time.monotonic()
    assert lock.acquire(timeout=SHORT_S) is False
    assert time.monotonic() - begin >= SHORT_S
    done.set()
    assert lock.acquire(True, 30) is True
    lock.release()


def test_acquire_refuses_wrong_arguments(ctx: Any) -> None:
    lock = ctx.Lock()
    with pytest.raises(TypeError, match="at most 2"):
        lock.acquire(True, 1, 2)
    with pytest.raises(TypeError, match="unexpected keyword argument 'wait'"):
        lock.acquire(wait=True)
    with pytest.raises(TypeError, match="multiple values"):
        lock.acquire(True, block=False)
    with pytest.raises(TypeError):
        lock.acquire(True, "soon")
    with pytest.raises(ValueError, match="NaN"):
        lock.acquire(True, float("nan"))
    assert not lock.locked()


def test_a_free_lock_cannot_be_released(ctx: Any) -> None:
    with pytest.raises(ReleaseError, match="released too many times"):
        ctx.Lock().release()
    with pytest.raises(ValueError, match="released too many times"):
        ctx.Lock().release()


def test_a_lock_may_be_released_by_another(ctx: Any, team: Team) -> None:
    lock = ctx.Lock()
    lock.acquire()
    team.start(ctx, lock.release).join()
    assert lock.acquire(False)
    lock.release()


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_nobody_waits_when_the_only_waiter_got_it(ctx: Any, team: Team, kind: str) -> None:
    lock, held = getattr(ctx, kind)(), ctx.Event()

    def hold_until_awaited() -> None:
        with lock:
            held.set()
            blocked(lock, 1)

    member = team.start(ctx, hold_until_awaited)
    held.wait()
    with lock:
        assert (lock.statistics().contended, lock.statistics().waiters) == (1, 0)
        assert "waiters" not in repr(lock)
    member.result()


def test_each_release_lets_one_waiter_in(ctx: Any, team: Team) -> None:
    lock, done = ctx.Lock(), ctx.Event()

    def take() -> bool:
        taken: bool = lock.acquire()
        done.wait()
        return taken

    lock.acquire()
    members = [team.start(ctx, take) for _ in range(2)]
    blocked(lock, 2)
    assert "waiters=2" in repr(lock)
    for turn in (2, 3):
        lock.release()
        wait_until(lambda turn=turn: lock.statistics().acquired == turn)
    assert lock.statistics().contended == 2
    lock.release()
    done.set()
    assert [member.result() for member in members] == [True, True]


def test_an_rlock_counts(ctx: Any, team: Team) -> None:
    lock = ctx.RLock()
    with lock, lock:
        assert lock.count == 2
        assert team.start(ctx, lock.acquire, False).result() is False
        assert team.start(ctx, failure, lock.release).result() is NotOwner
    assert lock.count == 0
    with pytest.raises(NotOwner):
        lock.release()


def test_locks_say_who_holds_them(ctx: Any, team: Team) -> None:
    lock, recursive = ctx.Lock(), ctx.RLock()
    assert (repr(lock), repr(recursive)) == ("<Lock(owner=None)>", "<RLock(None, 0)>")
    with lock, recursive, recursive:
        assert (repr(lock), repr(recursive)) == ("<Lock(owner=MainProcess)>", "<RLock(MainProcess, 2)>")
        assert lock.owner == recursive.owner == (os.getpid(), threading.get_ident())
        other = team.start(ctx, lambda: (repr(lock), repr(recursive))).result()
        name = "SomeOtherThread" if ctx.get_start_method() == "thread" else "SomeOtherProcess"
        assert other == (f"<Lock(owner={name})>", f"<RLock({name}, nonzero)>")


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_a_killed_holder_passes_the_lock_on(fork: Any, team: Team, kind: str) -> None:
    lock, held = getattr(fork, kind)(), fork.Event()
    for turn in range(1, 4):
        held.clear()
        holder = team.start(fork, hold, lock, held, fork.Event())
        held.wait()
        kill(holder)
        with pytest.warns(AbandonedLockWarning, match=f"process {holder.pid} ended"):
            assert lock.acquire() is True
        assert lock.abandoned == turn
        lock.release()


def test_a_sleeper_notices_the_holders_death(fork: Any, team: Team) -> None:
    lock, held = fork.Lock(), fork.Event()
    holder = team.start(fork, hold, lock, held, fork.Event())
    held.wait()

    def inherit() -> list[str]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with lock:
                return [str(warning.message) for warning in caught]

    heirs = [team.start(fork, inherit) for _ in range(2)]
    blocked(lock, 2)
    kill(holder)
    told = [text for heir in heirs for text in heir.result()]
    assert len(told) == 1
    assert str(holder.pid) in told[0]


def test_a_warning_made_an_error_leaves_the_lock_free(fork: Any, team: Team) -> None:
    lock, held = fork.Lock(), fork.Event()
    holder = team.start(fork, hold, lock, held, fork.Event())
    held.wait()
    kill(holder)
    with pytest.raises(AbandonedLockWarning):
        lock.acquire()
    assert not lock.locked()


# Semaphore


def test_semaphores_count(ctx: Any) -> None:
    semaphore = ctx.Semaphore(2)
    assert repr(semaphore) == "<Semaphore(value=2)>"
    assert semaphore.acquire()
    with semaphore:
        assert semaphore.get_value() == 0
        assert semaphore.acquire(False) is False
        begin = time.monotonic()
        assert semaphore.acquire(True, SHORT_S) is False
        assert time.monotonic() - begin >= SHORT_S
    semaphore.release(3)
    assert semaphore.get_value() == 4


def test_semaphores_refuse(ctx: Any) -> None:
    with pytest.raises(ValueError, match="not -1"):
        ctx.Semaphore(-1)
    with pytest.raises(ValueError, match="one or more"):
        ctx.Semaphore().release(0)
    bounded = ctx.BoundedSemaphore(1)
    assert repr(bounded) == "<BoundedSemaphore(value=1, maxvalue=1)>"
    with pytest.raises(ReleaseError):
        bounded.release()
    bounded.acquire()
    with pytest.raises(ValueError, match="too many times"):
        bounded.release(2)
    assert bounded.get_value() == 0


def test_release_wakes_as_many_as_it_frees(ctx: Any, team: Team) -> None:
    semaphore = ctx.Semaphore(0)
    members = [team.start(ctx, semaphore.acquire) for _ in range(3)]
    blocked(semaphore, 3)
    semaphore.release(2)
    blocked(semaphore, 1)
    semaphore.release()
    assert [member.result() for member in members] == [True] * 3
    assert semaphore.get_value() == 0


# Event


def test_an_event_is_waited_for(ctx: Any, team: Team) -> None:
    event = ctx.Event()
    begin = time.monotonic()
    assert event.wait(SHORT_S) is False
    assert time.monotonic() - begin >= SHORT_S
    assert event.wait(0) is event.wait(-1) is False
    members = [team.start(ctx, event.wait) for _ in range(2)]
    blocked(event, 2)
    event.set()
    assert [member.result() for member in members] == [True, True]
    assert event.is_set()
    assert event.wait() is True
    event.clear()
    assert not event.is_set()
    assert "unset" in repr(event)


def test_set_then_clear_lets_all_waiters_go(ctx: Any, team: Team) -> None:
    event = ctx.Event()
    members = [team.start(ctx, event.wait) for _ in range(2)]
    blocked(event, 2)
    event.set()
    event.clear()
    assert [member.result() for member in members] == [True, True]


# All of them


@pytest.mark.parametrize("kind", ["Lock", "RLock", "Semaphore", "Event", "Condition", "Barrier"])
def test_ctrl_c_ends_a_wait(ctx: Any, team: Team, kind: str) -> None:
    thing = getattr(ctx, kind)(2) if kind == "Barrier" else getattr(ctx, kind)()
    done = threading.Event()

    def keep() -> None:
        if "Lock" in kind or kind == "Semaphore":
            thing.acquire()
        held.set()
        done.wait()
        if "Lock" in kind or kind == "Semaphore":
            thing.release()

    def wait() -> None:
        if kind == "Condition":
            with thing:
                thing.wait()
        else:
            getattr(thing, "acquire" if hasattr(thing, "acquire") else "wait")()

    def interrupt() -> None:
        blocked(thing)
        os.kill(os.getpid(), signal.SIGINT)

    held = threading.Event()
    helpers = [threading.Thread(target=keep), threading.Thread(target=interrupt)]
    helpers[0].start()
    held.wait()
    helpers[1].start()
    with pytest.raises(KeyboardInterrupt):
        wait()
    done.set()
    for helper in helpers:
        helper.join()
    assert thing.statistics().waiters == 0


@pytest.mark.parametrize("kind", ["Lock", "RLock", "Semaphore", "BoundedSemaphore", "Event", "Condition"])
def test_a_pickle_is_the_same_object(fork: Any, kind: str) -> None:
    thing = getattr(fork, kind)()
    again = pickle.loads(pickle.dumps(thing))
    assert type(again) is type(thing)
    assert again.address == thing.address
    if kind == "Event":
        thing.set()
        assert again.is_set()
    else:
        thing.acquire()
        if kind != "RLock":
            assert again.acquire(False) is (kind == "Condition")


def test_a_pickled_barrier_keeps_action_and_timeout(fork: Any) -> None:
    barrier = fork.Barrier(2, os.getpid, SHORT_S)
    again = pickle.loads(pickle.dumps(barrier))
    assert again.parties == 2
    with pytest.raises(BrokenBarrierError):
        again.wait()
    assert barrier.broken
