"""Condition and Barrier between processes and between threads; see test_synchronize.py."""

import os
import signal
import threading
import time
from typing import Any

import pytest
from parties import Team, blocked, failure, kill

import procession
from procession.errors import BrokenBarrierError, TooManyWaiters

SHORT_S = 0.03


# Condition


def wait_in(condition: Any, log: Any, name: int) -> bool:
    with condition:
        notified: bool = condition.wait()
        log.put(name)
    return notified


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_notify_wakes_exactly_the_oldest(ctx: Any, team: Team, kind: str) -> None:
    condition, log = ctx.Condition(getattr(ctx, kind)()), ctx.SimpleQueue()
    for name in range(4):
        team.start(ctx, wait_in, condition, log, name)
        blocked(condition, name + 1)
    with condition:
        condition.notify(2)
        assert condition.statistics().waiters == 2
        # Whoever waits from now on cannot steal what was given.
        assert condition.wait(0) is False
    assert {log.get(), log.get()} == {0, 1}
    with condition:
        condition.notify()
    assert log.get() == 2
    with condition:
        condition.notify_all()
    assert log.get() == 3
    with condition:
        condition.notify(5)
    assert condition.statistics().notified == 4


def test_a_wait_times_out(ctx: Any) -> None:
    condition = ctx.Condition()
    with condition:
        begin = time.monotonic()
        assert condition.wait(SHORT_S) is False
        assert time.monotonic() - begin >= SHORT_S
        assert condition.wait_for(lambda: 0, SHORT_S) == 0
        assert condition.wait_for(lambda: "yes") == "yes"
    assert condition.statistics().waiters == 0


def test_wait_releases_a_recursive_lock_fully_and_restores_it(ctx: Any, team: Team) -> None:
    condition = ctx.Condition()

    def wait() -> tuple[bool, int]:
        with condition, condition:
            return condition.wait(), condition.lock.count

    member = team.start(ctx, wait)
    blocked(condition)
    with condition:
        condition.notify()
    assert member.result() == (True, 2)
    assert condition.lock.count == 0


@pytest.mark.parametrize("call", ["wait", "notify", "notify_all"])
def test_a_condition_must_be_held(ctx: Any, call: str) -> None:
    with pytest.raises(AssertionError, match="must acquire"):
        getattr(ctx.Condition(), call)()


def test_a_condition_needs_one_of_our_locks(ctx: Any) -> None:
    with pytest.raises(TypeError, match="not lock"):
        ctx.Condition(threading.Lock())


def test_a_killed_waiters_notification_passes_on(fork: Any, team: Team) -> None:
    condition, log = fork.Condition(fork.Lock()), fork.SimpleQueue()
    victim = team.start(fork, wait_in, condition, log, 0)
    blocked(condition)
    team.start(fork, wait_in, condition, log, 1)
    blocked(condition, 2)
    os.kill(victim.pid, signal.SIGSTOP)
    with condition:
        condition.notify()
    kill(victim)
    assert log.get() == 1
    assert condition.statistics().waiters == 0


def test_a_waiter_killed_before_the_notification_is_skipped(fork: Any, team: Team) -> None:
    condition, log = fork.Condition(), fork.SimpleQueue()
    victim = team.start(fork, wait_in, condition, log, 0)
    blocked(condition)
    team.start(fork, wait_in, condition, log, 1)
    blocked(condition, 2)
    kill(victim)
    blocked(condition, 1)
    with condition:
        condition.notify()
    assert log.get() == 1


def test_too_many_waiters_are_refused() -> None:
    ctx = procession.get_context("thread")
    condition = ctx.Condition()

    def wait() -> None:
        with condition:
            condition.wait()

    threads = [threading.Thread(target=wait) for _ in range(240)]
    for thread in threads:
        thread.start()
    blocked(condition, 240)
    with condition, pytest.raises(TooManyWaiters, match="240 already wait"):
        condition.wait()
    with condition:
        condition.notify_all()
    for thread in threads:
        thread.join()


# Barrier


def test_parties_meet_again_and_again(ctx: Any, team: Team) -> None:
    runs = ctx.RawValue("i", 0)

    def count() -> None:
        runs.value += 1

    barrier = ctx.Barrier(3, count)

    def meet() -> list[int]:
        return [barrier.wait() for _ in range(50)]

    members = [team.start(ctx, meet) for _ in range(2)]
    indices = zip(meet(), *(member.result() for member in members), strict=True)
    assert all(sorted(turn) == [0, 1, 2] for turn in indices)
    assert runs.value == 50
    assert barrier.statistics().released == 50
    assert (barrier.parties, barrier.n_waiting, barrier.broken) == (3, 0, False)


def test_a_timeout_breaks_the_barrier(ctx: Any, team: Team) -> None:
    barrier = ctx.Barrier(3, timeout=SHORT_S)
    member = team.start(ctx, failure, barrier.wait, 30)
    blocked(barrier)
    begin = time.monotonic()
    with pytest.raises(BrokenBarrierError):
        barrier.wait()
    assert time.monotonic() - begin >= SHORT_S
    assert member.result() is BrokenBarrierError
    assert barrier.broken
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait()
    barrier.reset()
    assert not barrier.broken


@pytest.mark.parametrize("call", ["abort", "reset"])
def test_abort_and_reset_let_the_waiters_go(ctx: Any, team: Team, call: str) -> None:
    barrier = ctx.Barrier(3)
    members = [team.start(ctx, failure, barrier.wait) for _ in range(2)]
    blocked(barrier, 2)
    getattr(barrier, call)()
    assert [member.result() for member in members] == [BrokenBarrierError] * 2
    assert barrier.broken == (call == "abort")
    assert barrier.n_waiting == 0


def test_a_failing_action_breaks_the_barrier(ctx: Any, team: Team) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    barrier = ctx.Barrier(2, fail)
    member = team.start(ctx, failure, barrier.wait)
    blocked(barrier)
    with pytest.raises(ZeroDivisionError):
        barrier.wait()
    assert member.result() is BrokenBarrierError


def test_a_killed_party_breaks_the_barrier(fork: Any, team: Team) -> None:
    barrier = fork.Barrier(3)
    victim = team.start(fork, barrier.wait)
    blocked(barrier)
    member = team.start(fork, failure, barrier.wait)
    blocked(barrier, 2)
    kill(victim)
    assert member.result() is BrokenBarrierError
    assert barrier.broken


def test_a_barrier_needs_parties(ctx: Any) -> None:
    with pytest.raises(ValueError, match="parties"):
        ctx.Barrier(0)
    assert ctx.Barrier(1).wait() == 0
