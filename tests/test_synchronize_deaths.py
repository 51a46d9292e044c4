"""A holder, a party or a waiter is killed: what the others see. Real processes and SIGKILL; see test_synchronize.py."""

import os
import pickle
import signal
import threading
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from parties import Team, blocked, failure, kill

import procession
from procession.errors import AbandonedLockWarning, BrokenBarrierError, LockAbandoned, NotOwner, ReleaseError
from procession.testing import steps, wait_until

COARSE = 5  # CLOCK_REALTIME_COARSE, which locks read: a second begins a few milliseconds later on it
LOCKS = ["Lock", "RLock", "Condition"]
KINDS = [*LOCKS, "Semaphore", "BoundedSemaphore"]


def hold(thing: Any, held: Any, until: Any) -> None:
    with thing:
        held.set()
        until.wait()


def die_holding(ctx: Any, team: Team, thing: Any) -> Any:
    """Kill a process that is in `with thing`; gives its handle."""
    held = ctx.Event()
    victim = team.start(ctx, hold, thing, held, ctx.Event())
    held.wait()
    kill(victim)
    return victim


def take_and_tell(thing: Any) -> list[str]:
    """Take and release it; the warnings that came."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with thing:
            return [str(warning.message) for warning in caught]


def is_kept_out(thing: Any) -> bool:
    try:
        return not thing.acquire(False)
    except LockAbandoned:
        return True


# Who it was


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_the_owner_has_a_name_and_a_time(ctx: Any, kind: str) -> None:
    lock = getattr(ctx, kind)()
    begin = int(time.clock_gettime(COARSE))
    with lock:
        owner = lock.owner
        assert owner == (os.getpid(), threading.get_ident())
        assert (owner.pid, owner.thread) == tuple(owner)
        assert owner.name == "MainProcess"
        assert begin <= owner.since <= time.clock_gettime(COARSE)
        assert lock.statistics().owner == owner
        again = pickle.loads(pickle.dumps(owner))
        assert (again, again.name, again.since) == (owner, owner.name, owner.since)
        assert "since=" in repr(owner)
    assert lock.owner is None


@pytest.mark.parametrize("name", ["é" * 40, "a\0b", "\udc80"])
def test_any_name_will_do(fork: Any, name: str) -> None:
    lock, held = fork.Lock(), fork.Event()
    holder = fork.Process(target=hold, args=(lock, held, fork.Event()), name=name)
    holder.start()
    held.wait()
    assert lock.owner.name == {"é" * 40: "é" * 20, "a\0b": "a"}.get(name, "?")
    kill(holder)
    assert take_and_tell(lock)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_the_owner_is_named_under_every_start_method(team: Team, method: str) -> None:
    ctx = procession.get_context(method)
    lock, held, done = ctx.Lock(), ctx.Event(), ctx.Event()
    holder = team.start(ctx, hold, lock, held, done)
    held.wait()
    assert (lock.owner.pid, lock.owner.name) == (holder.pid, holder.name)
    done.set()


@pytest.mark.parametrize("kind", KINDS)
def test_the_next_is_told_who_died(fork: Any, team: Team, kind: str) -> None:
    thing = getattr(fork, kind)()
    victim = die_holding(fork, team, thing)
    (text,) = take_and_tell(thing)
    assert f"process {victim.pid} ended" in text
    assert f"named {victim.name}" in text
    if kind in LOCKS:
        assert "holding it since" in text
    assert take_and_tell(thing) == []


@pytest.mark.parametrize("kind", KINDS)
def test_who_has_waited_for_long_takes_over(fork: Any, team: Team, kind: str) -> None:
    thing, held = getattr(fork, kind)(), fork.Event()
    victim = team.start(fork, hold, thing, held, fork.Event())
    held.wait()
    heirs = [team.start(fork, take_and_tell, thing) for _ in range(3)]
    blocked(getattr(thing, "lock", thing), 3)
    kill(victim)
    told = [text for heir in heirs for text in heir.result()]
    assert len(told) == 1
    assert str(victim.pid) in told[0]


# Semaphores


def test_permits_of_the_dead_come_back_and_no_others(fork: Any, team: Team) -> None:
    semaphore, ready = fork.Semaphore(4), fork.Event()

    def die() -> None:
        with semaphore, semaphore:
            semaphore.acquire()  # nobody's
            ready.set()
            time.sleep(60)

    victim = team.start(fork, die)
    ready.wait()
    assert (semaphore.get_value(), semaphore.statistics().held) == (1, 2)
    semaphore.acquire()
    kill(victim)
    with pytest.warns(AbandonedLockWarning, match=f"process {victim.pid} ended while it held a permit"):
        assert semaphore.acquire(timeout=30)
    assert (semaphore.get_value(), semaphore.statistics().held) == (1, 0)


def test_a_permit_passed_on_by_acquire_and_release_survives_its_taker(fork: Any, team: Team) -> None:
    semaphore = fork.BoundedSemaphore(1)
    team.start(fork, semaphore.acquire).join()
    assert semaphore.acquire(False) is False
    semaphore.release()
    with pytest.raises(ReleaseError):
        semaphore.release()


def test_a_child_forked_inside_with_gives_back_once_more_as_in_multiprocessing(fork: Any, team: Team) -> None:
    semaphore = fork.Semaphore(3)
    with semaphore:
        team.start(fork, semaphore.__exit__).join()
        assert (semaphore.get_value(), semaphore.statistics().held) == (3, 1)
    assert (semaphore.get_value(), semaphore.statistics().held) == (4, 0)


# on_abandoned="raise"


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_gets_in_before_the_repair(fork: Any, team: Team, kind: str) -> None:
    thing = getattr(fork, kind)(on_abandoned="raise")
    assert thing.on_abandoned == "raise"
    victim = die_holding(fork, team, thing)
    for _ in range(2):
        with pytest.raises(LockAbandoned, match=rf"process {victim.pid} ended .*repair\(\)") as caught, thing:
            pytest.fail("was let in")
        assert (caught.value.pid, caught.value.name) == (victim.pid, victim.name)
        assert (caught.value.since is None) == ("Semaphore" in kind)
    assert team.start(fork, failure, thing.acquire).result() is LockAbandoned
    with thing.repair() as found:
        assert found.pid == victim.pid
        assert team.start(fork, is_kept_out, thing).result()
    assert take_and_tell(thing) == []
    with thing.repair() as found:
        assert found is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_repair_that_fails_is_left_to_the_next(fork: Any, team: Team, kind: str) -> None:
    thing = getattr(fork, kind)(on_abandoned="raise")
    victim = die_holding(fork, team, thing)
    with pytest.raises(ZeroDivisionError), thing.repair():
        raise ZeroDivisionError
    with pytest.raises(LockAbandoned) as caught:
        thing.acquire()
    assert caught.value.pid == victim.pid
    second = die_holding(fork, team, thing.repair())
    with pytest.raises(LockAbandoned) as caught:
        thing.acquire()
    assert caught.value.pid in (victim.pid, second.pid)
    with thing.repair() as found:
        assert found.pid == second.pid
    assert take_and_tell(thing) == []


@pytest.mark.parametrize("kind", ["Lock", "Semaphore"])
def test_a_failed_repair_warns_again_where_that_is_the_choice(fork: Any, team: Team, kind: str) -> None:
    thing = getattr(fork, kind)()
    victim = die_holding(fork, team, thing)
    with pytest.raises(ZeroDivisionError), thing.repair():
        raise ZeroDivisionError
    with pytest.warns(AbandonedLockWarning, match=f"process {victim.pid} "):
        thing.acquire()


@pytest.mark.parametrize("kind", KINDS)
def test_the_choice_travels_with_the_object(fork: Any, team: Team, kind: str) -> None:
    thing = getattr(fork, kind)(on_abandoned="raise")
    assert pickle.loads(pickle.dumps(thing)).on_abandoned == "raise"
    assert getattr(fork, kind)().on_abandoned == "warn"
    with pytest.raises(ValueError, match="'warn' or 'raise', not 'never'"):
        getattr(fork, kind)(on_abandoned="never")


def test_the_choice_of_a_condition_is_its_locks(fork: Any) -> None:
    lock = fork.Lock(on_abandoned="raise")
    assert fork.Condition(lock).on_abandoned == "raise"
    with pytest.raises(ValueError, match="give on_abandoned to it"):
        fork.Condition(lock, on_abandoned="raise")


def test_a_value_says_so_too(fork: Any, team: Team) -> None:
    value = fork.Value("i", lock=fork.RLock(on_abandoned="raise"))
    die_holding(fork, team, value)
    with pytest.raises(LockAbandoned):
        value.value = 1
    with value.get_lock().repair():
        value.value = 2
    assert value.value == 2


def store_and_die(step: int, store: Callable[[], None]) -> None:
    with steps(die_at=step):
        store()


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_half_a_slice_is_told_of(fork: Any, team: Team, kind: str) -> None:
    """The array's own lock is taken for a slice, and a death in the middle is a death of its holder."""
    numbers = fork.Array("i", 3, lock=getattr(fork, kind)())
    letters = fork.Array("c", b"old", lock=getattr(fork, kind)())
    halves = 0
    for array, old, new in ((numbers, [0, 0, 0], [1, 2, 3]), (letters, b"old", b"NEW")):
        for step in range(1, 20):
            array[:] = old
            child = team.start(fork, store_and_die, step, partial(array.__setitem__, slice(None), new))
            child.join()
            told, found = take_and_tell(array), array[:]
            if found not in (old, new):
                halves += 1
                assert [str(child.pid) in line for line in told] == [True], (step, told)
            if child.exitcode == 0:
                break
        assert (found, told) == (new, [])
    assert halves == 2


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_a_wait_ends_with_the_lock_held_and_leaves_it_abandoned(fork: Any, team: Team, kind: str) -> None:
    condition, held = fork.Condition(getattr(fork, kind)(on_abandoned="raise")), fork.Event()

    def wait() -> tuple[str, int]:
        with condition:
            try:
                condition.wait()
            except LockAbandoned as error:
                assert condition.lock._is_mine()
                return str(error), error.pid or 0
        return "", 0

    def notify_and_die() -> None:
        with condition:
            condition.notify()
            held.set()
            time.sleep(60)

    waiter = team.start(fork, wait)
    blocked(condition)
    victim = team.start(fork, notify_and_die)
    held.wait()
    blocked(condition.lock)
    kill(victim)
    text, pid = waiter.result()
    assert "this Condition" in text
    assert pid == victim.pid
    with pytest.raises(LockAbandoned):
        condition.acquire()
    with condition.repair():
        condition.notify()
    assert condition.acquire(False)
    condition.release()
    with pytest.raises((NotOwner, ReleaseError)):
        condition.release()


def test_a_recursive_lock_is_repaired_by_its_heir_once_more_inside(fork: Any, team: Team) -> None:
    lock = fork.RLock(on_abandoned="raise")
    die_holding(fork, team, lock)
    with lock.repair() as found, lock, lock.repair() as none:
        assert (found is None, none, lock.count) == (False, None, 3)
    with lock:
        assert lock.count == 1


# Barrier


@pytest.mark.parametrize("replaced", [False, True])
def test_a_barrier_names_who_died(fork: Any, team: Team, replaced: bool) -> None:
    barrier = fork.Barrier(4)
    victim = team.start(fork, barrier.wait)
    blocked(barrier)

    def meet() -> tuple[str, int | None, str | None]:
        with pytest.raises(BrokenBarrierError) as caught:
            barrier.wait()
        return str(caught.value), caught.value.pid, caught.value.name

    members = [team.start(fork, meet) for _ in range(2)]
    blocked(barrier, 3)
    kill(victim)
    if replaced:
        team.start(fork, int)  # takes the place of the dead in the arena, and his name
    for member in members:
        text, pid, name = member.result()
        assert f"process {victim.pid} ended" in text
        assert pid == victim.pid
        assert name == victim.name or (replaced and name is None)
    with pytest.raises(BrokenBarrierError) as caught:
        barrier.wait()
    assert caught.value.pid == victim.pid
    barrier.reset()
    with pytest.raises(BrokenBarrierError) as caught:
        barrier.wait(0)
    assert caught.value.pid is None


def test_a_party_that_was_interrupted_may_end(fork: Any, team: Team) -> None:
    barrier = fork.Barrier(2)

    def leave() -> None:
        try:
            barrier.wait()
        except KeyboardInterrupt:
            os._exit(0)

    early = team.start(fork, leave)
    blocked(barrier)
    os.kill(early.pid, signal.SIGINT)
    early.join()
    member = team.start(fork, barrier.wait)
    blocked(barrier)
    assert barrier.wait() == 1
    assert member.result() == 0


# How soon


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_no_wait_for_the_dead_takes_longer_than_it_must(fork: Any, team: Team, kind: str) -> None:
    """A most is not asserted (see `scripts/abandoned.py` for that), but who only looked every 100 ms would need 5 s."""
    thing = getattr(fork, kind)()
    deadline = time.monotonic() + 60
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(5):
            die_holding(fork, team, thing)
            assert thing.acquire(timeout=deadline - time.monotonic())
            thing.release()
    wait_until(lambda: thing.acquire(False))
    thing.release()
