"""Pools: an exception of a signal's handler, at any point of a wait, loses nothing and blocks nobody.

The handler is played by a trace function, which raises at the n-th instruction, for every n until the wait is over.
Where the interpreter itself looks for signals is a part of these points.
"""

from __future__ import annotations

import itertools
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest
from pool_tasks import double, wait_for

import procession
from procession.testing import wait_until

pytestmark = pytest.mark.watchdog(60)


class Interrupted(BaseException):
    """As KeyboardInterrupt."""


def interrupted_at(instruction: int, wait: Callable[[], object]) -> bool:
    """Call `wait`, raise at its n-th instruction in the pool's supervisor. False: it has not so many."""
    left = instruction

    def count(frame: FrameType, event: str, _: object) -> Any:
        nonlocal left
        if not frame.f_code.co_filename.endswith(("pool/supervisor.py", "pool/lead.py", "pool/direct.py")):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            left -= 1
            if left == 0:
                sys.settrace(None)
                raise Interrupted
        return count

    sys.settrace(count)
    try:
        wait()
    except Interrupted:
        return True
    finally:
        sys.settrace(None)
    return False


def in_another_thread(get: Callable[..., Any], *args: Any) -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(get(*args)), daemon=True)
    thread.start()
    thread.join(10)
    assert found, "it hangs"
    return found[0]


def instructions() -> Iterator[int]:
    """1, 2, 3 ..."""
    yield from range(1, 2000)
    raise AssertionError("the wait never came to its end")


@pytest.fixture(params=["fork", "thread"])
def pool(request: pytest.FixtureRequest) -> Iterator[Any]:
    with procession.get_context(request.param).Pool(1) as pool:
        pool.apply(double, (1,))
        yield pool


def test_the_lead_is_given_back(pool: Any) -> None:
    for instruction in instructions():
        result = pool.apply_async(double, (instruction,))
        was_interrupted = interrupted_at(instruction, result.get)
        assert in_another_thread(pool.apply, double, (5,)) == 10, f"instruction {instruction}"
        assert result.get(0) == 2 * instruction
        if not was_interrupted:
            break
    assert instruction > 100


CALLS: dict[str, Callable[[Any], object]] = {
    "apply": lambda pool: pool.apply(double, (4,)),
    "map": lambda pool: pool.map(double, range(6), 2),
    "imap": lambda pool: list(pool.imap(double, range(4), 2)),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", CALLS)
def test_no_task_of_threads_is_out_for_ever(kind: str) -> None:
    with procession.get_context("thread").Pool(1) as pool:
        for instruction in instructions():
            was_interrupted = interrupted_at(instruction, lambda: CALLS[kind](pool))
            assert in_another_thread(pool.apply, double, (5,)) == 10
            wait_until(lambda: pool._core.look() and pool.statistics().outstanding == 0)
            if not was_interrupted:
                break
        assert instruction > 100
        pool.close()
        in_another_thread(pool.join)


def test_callbacks_are_called_once(pool: Any) -> None:
    for instruction in itertools.islice(instructions(), 0, None, 3):
        called: list[int] = []
        result = pool.apply_async(double, (instruction,), callback=called.append)
        was_interrupted = interrupted_at(instruction, pool._core.look)
        assert in_another_thread(result.get, 5) == 2 * instruction
        assert in_another_thread(pool.apply, double, (5,)) == 10
        assert called == [2 * instruction], f"instruction {instruction}"
        if not was_interrupted:
            break
    assert instruction > 30


def test_a_handler_may_wait_for_a_result(quick_context: Any) -> None:
    inner: list[int] = []

    def handle(*_: object) -> None:
        inner.append(pool.apply(double, (5,)))
        event.set()

    previous = signal.signal(signal.SIGALRM, handle)
    event = quick_context.Event()
    try:
        with quick_context.Pool(2) as pool:
            result = pool.apply_async(wait_for, (event,))
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            assert result.get(10) is True
            assert inner == [10]
            assert in_another_thread(pool.apply, double, (6,)) == 12
    finally:
        signal.signal(signal.SIGALRM, previous)
