"""Pools in a manager's process, used through proxies."""

from __future__ import annotations

from typing import Any

import pytest
from pool_tasks import add, double, own_pid, raise_for, wait_for

import procession
from procession.errors import TimeoutError

pytestmark = pytest.mark.watchdog(30)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_pool_in_a_manager(method: str) -> None:
    with procession.get_context(method).Manager() as manager:
        use(manager)


def use(manager: Any) -> None:
    pool = manager.Pool(2)
    assert pool.apply(add, (1, 2)) == 3
    assert pool.map(double, range(10), 3) == list(range(0, 20, 2))
    assert pool.starmap(add, [(1, 2)]) == [3]
    assert pool.apply(own_pid) != manager._process.pid
    result = pool.map_async(double, [1, 2])
    result.wait(20)
    assert result.ready()
    assert result.get() == [2, 4]
    assert list(pool.imap(double, range(5))) == [0, 2, 4, 6, 8]
    assert sorted(pool.imap_unordered(double, range(5), 2)) == [0, 2, 4, 6, 8]
    with pytest.raises(ValueError, match="-1 is negative"):
        pool.apply(raise_for, (-1,))
    event = procession.get_context("fork").Event()
    waiting = pool.apply_async(wait_for, (event,))
    with pytest.raises(TimeoutError):
        waiting.get(0.01)
    event.set()
    assert waiting.get(20) is True
    pool.terminate()
    pool.join()
