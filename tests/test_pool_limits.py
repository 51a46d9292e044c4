"""Initializers that end their worker, in every manner, in pools and executors; replacing has an end, not too soon."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pool_tasks import double

from procession import Executor
from procession.errors import PoolBroken
from procession.testing import descendants

pytestmark = pytest.mark.watchdog(30)


def leave(code: int) -> None:
    sys.exit(code)


def vanish(code: int) -> None:
    os._exit(code)


def raise_it(error: BaseException) -> None:
    raise error


def fall(times: Any) -> None:
    """Is killed, as often as there are times left."""
    with times.get_lock():
        times.value -= 1
        spared = times.value < 0
    if not spared:
        os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def calls(kind: str, context: Any, initializer: Callable[..., object], *initargs: Any) -> Iterator[Callable[..., Any]]:
    """What maps a function over items, in workers of this kind."""
    if kind == "pool":
        with context.Pool(2, initializer, initargs) as pool:
            yield pool.map
        pool.join()
    else:
        with Executor(2, context=context, initializer=initializer, initargs=initargs) as executor:
            yield lambda function, items: list(executor.map(function, items))


@pytest.mark.parametrize("kind", ["pool", "executor"])
@pytest.mark.parametrize(
    ("initializer", "argument", "told"),
    [
        (leave, 3, r"3 workers in a row .* exited with code 3|initializer raised SystemExit: 3"),
        (leave, 0, r"3 workers in a row .* exited with code 0|initializer raised SystemExit: 0"),
        (vanish, 4, "3 workers in a row .* exited with code 4"),
        (raise_it, KeyboardInterrupt(), "exited with code 1|initializer raised KeyboardInterrupt"),
        (raise_it, ValueError("too late"), "the pool's initializer raised ValueError: too late"),
    ],
)
def test_an_initializer_that_ends_its_worker_breaks_the_pool(
    kind: str, initializer: Callable[..., object], argument: object, told: str, fork: Any
) -> None:
    before = set(descendants(os.getpid()))
    with calls(kind, fork, initializer, argument) as mapping:
        with pytest.raises(PoolBroken, match=told) as raised:
            mapping(double, range(3))
        assert not set(descendants(os.getpid())) - before
        with pytest.raises(PoolBroken):
            mapping(double, range(3))
    if isinstance(argument, ValueError):
        assert isinstance(raised.value.__cause__, ValueError)
        assert "raise_it" in str(raised.value.__cause__.__cause__)  # the worker's traceback


@pytest.mark.parametrize("kind", ["pool", "executor"])
def test_starting_workers_that_are_killed_in_a_row_are_replaced(kind: str, fork: Any) -> None:
    times = fork.Value("i", 12)
    with calls(kind, fork, fall, times) as mapping:
        assert mapping(double, range(20)) == list(range(0, 40, 2))
    assert times.value < 0


@pytest.mark.slow
def test_replacing_what_is_always_killed_has_an_end(fork: Any) -> None:
    told = "workers in a row ended before they served; the last was killed by SIGKILL"
    with calls("pool", fork, fall, fork.Value("i", 1 << 30)) as mapping, pytest.raises(PoolBroken, match=told):
        mapping(double, range(3))


@pytest.mark.parametrize("kind", ["pool", "executor"])
def test_an_initializer_that_hangs_can_be_terminated(kind: str, fork: Any) -> None:
    before = set(descendants(os.getpid()))
    if kind == "pool":
        pool = fork.Pool(2, time.sleep, (60,))
        result = pool.apply_async(double, (1,))
        pool.terminate()
        pool.join()
        assert result.ready()
    else:
        executor = Executor(2, context=fork, initializer=time.sleep, initargs=(60,))
        future = executor.submit(double, 1)
        executor.kill_workers()
        executor.shutdown()
        assert future.cancelled()
    assert not set(descendants(os.getpid())) - before
