"""What tasks on Ray share: locks, queues, values; and the rules of those, which need no Ray."""

import os
import signal
import subprocess
import threading
from typing import Any

import pytest
import ray_tasks as tasks

import procession
from procession.errors import NotOwner, NotSupported, ReleaseError
from procession.testing import wait_until

pytest.importorskip("ray", reason="needs ray: pip install 'procession[ray]'")

from procession._clusters.ray import keeper as rules

pytestmark = [pytest.mark.slow, pytest.mark.watchdog(120)]
WAIT_S = 30.0


def test_a_value_that_workers_count_up(ray_context: Any) -> None:
    value = ray_context.Value("i", 5)
    with ray_context.Pool(2) as pool:
        pool.starmap(tasks.count_up, [(value, 20)] * 2, chunksize=1)
    assert value.value == 45
    with pytest.raises(TypeError):
        value.value = "many"
    with pytest.raises(TypeError, match="simple type"):
        ray_context.Value(dict)


def test_a_queue_between_workers(ray_context: Any) -> None:
    first, second = ray_context.Queue(), ray_context.Queue(3)
    with ray_context.Pool(2) as pool:
        pool.apply(tasks.put_coins, (first, 3))
        pool.starmap(tasks.pass_on, [(first, second)] * 3, chunksize=1)
    assert second.full()
    with pytest.raises(procession.errors.Full):
        second.put(4, timeout=0.05)
    coins = [second.get() for _ in range(3)]
    assert all(type(coin) is tasks.Coin for coin in coins)
    assert sorted(coin.worth for coin in coins) == [0, 1, 2]
    assert second.empty()
    with pytest.raises(procession.errors.Empty):
        second.get_nowait()


def test_who_is_interrupted_while_he_waits_takes_nothing(ray_context: Any) -> None:
    queue = ray_context.Queue()
    queue.put("for the first")
    assert queue.get(timeout=WAIT_S) == "for the first"
    interrupt = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    interrupt.start()
    with pytest.raises(KeyboardInterrupt):
        queue.get(timeout=WAIT_S)
    interrupt.join()
    queue.put("for the next")
    assert queue.get(timeout=WAIT_S) == "for the next"


def test_a_lock_is_freed_by_the_death_of_its_holder(ray_context: Any) -> None:
    lock, held = ray_context.Lock(), ray_context.Queue()
    with ray_context.Executor(2) as executor:
        holding = executor.submit(tasks.hold, lock, held)
        pid = held.get(timeout=WAIT_S)
        assert lock.locked()
        assert not lock.acquire(timeout=0.01)
        taking = executor.submit(tasks.take_over, lock)
        holding.cancel()
        os.kill(pid, signal.SIGKILL)
        (warning,) = taking.result(WAIT_S)
        assert f"process {pid} ended while it held this Lock" in warning
    assert not lock.locked()


def test_an_item_of_the_dead_comes_back(ray_context: Any) -> None:
    queue, taken = ray_context.JoinableQueue(), ray_context.Queue()
    for item in "ab":
        queue.put(item)
    with ray_context.Executor(1) as executor:
        taking = executor.submit(tasks.take_and_hold, queue, taken)
        pid, item = taken.get(timeout=WAIT_S)
        assert item == "a"
        taking.cancel()
        os.kill(pid, signal.SIGKILL)
        assert queue.get(timeout=WAIT_S) == "b"  # which the dead had not; "a" comes back when somebody has to wait
        assert queue.get(timeout=WAIT_S) == "a"
    with pytest.raises(procession.errors.TimeoutError):
        queue.join(timeout=0.01)
    queue.task_done()
    queue.task_done()
    queue.join(timeout=WAIT_S)
    with pytest.raises(ValueError, match="too many times"):
        queue.task_done()


def test_semaphores_and_recursive_locks(ray_context: Any) -> None:
    permits = ray_context.BoundedSemaphore(2)
    with permits:
        assert permits.acquire()
        assert not permits.acquire(False)
        permits.release()
    with pytest.raises(ReleaseError):
        permits.release()
    lock = ray_context.RLock()
    with lock, lock:
        answer: list[bool] = []
        other = threading.Thread(target=lambda: answer.append(lock.acquire(timeout=0.01)))
        other.start()
        other.join(WAIT_S)
        assert answer == [False]
    with pytest.raises(NotOwner):
        lock.release()


def test_what_has_a_name_is_shared_by_it(ray_context: Any) -> None:
    ray_context.Queue(name="ledger").put("entry")
    assert ray_context.Queue(name="ledger").get(timeout=WAIT_S) == "entry"
    ray_context.Value("i", 3, name="balance")
    with pytest.raises(TypeError, match="made with"):
        _ = ray_context.Value("d", name="balance").value, ray_context.Value("i", name="balance").value


@pytest.mark.parametrize("kind", ["Condition", "Barrier", "Array", "Process", "Manager", "Pipe"])
def test_what_ray_has_not(ray_context: Any, kind: str) -> None:
    with pytest.raises(NotSupported, match=f"has no {kind}: use "):
        getattr(ray_context, kind)()


# The rules of what tasks share, without Ray

ANN, BOB = ("node", 1, "10", 1), ("node", 2, "20", 1)


def test_the_rules_of_a_lock() -> None:
    lock = rules.Semaphore(1, 1)
    assert lock.acquire(ANN) == (True, None)
    assert lock.acquire(BOB) is rules.WAIT
    lock.bury(ANN)
    assert list(lock.holders()) == []
    assert lock.acquire(BOB) == (True, ANN)
    lock.release(ANN)  # anybody may
    assert lock.acquire(ANN) == (True, None)
    with pytest.raises(ReleaseError):
        rules.Semaphore(1, 1).release(ANN)


def test_the_rules_of_a_permit_that_is_nobodys() -> None:
    permits = rules.Semaphore(2)
    assert permits.acquire(None) == permits.acquire(ANN) == (True, None)
    assert list(permits.holders()) == [ANN]
    permits.release(BOB, 3)
    assert permits.get_value() == 3
    assert list(permits.holders()) == [ANN]  # Bob gave none of hers
    permits.bury(ANN)
    assert permits.acquire(BOB) == (True, ANN)
    assert permits.get_value() == 3


def test_the_rules_of_a_queue_with_leases() -> None:
    queue = rules.Queue(0, has_leases=True)
    for item in (b"1", b"2", b"3"):
        queue.put(item)
    assert [queue.get(ANN), queue.get(BOB), queue.get(ANN)] == [b"1", b"2", b"3"]
    queue.task_done(ANN)
    queue.bury(ANN)
    queue.put(b"4")
    assert [queue.get(BOB), queue.get(BOB), queue.get(BOB)] == [b"3", b"4", rules.WAIT]
    assert queue.join() is rules.WAIT
    for _ in range(3):
        queue.task_done(BOB)
    assert queue.join() is None


def test_a_process_is_known_by_its_start() -> None:
    child = subprocess.Popen(["sleep", "60"])
    began = rules.started(child.pid)
    assert began.isdigit()
    child.kill()
    wait_until(lambda: not rules.started(child.pid))  # also while nobody has collected it
    child.wait()
    assert not rules.started(child.pid)
