"""What becomes of a lost task's items, as data: no process anywhere."""

from __future__ import annotations

import signal

import pytest

from procession.pool.recovery import Part, culprit, divide
from procession.pool.state import MOST_KILLED, SEVERAL, Break, Ended, PoolState, Start, Try


@pytest.mark.parametrize(
    ("index", "items", "answered", "at", "expected"),
    [
        (7, 0, 0, 0, 7),  # a single call
        (10, 5, 0, 0, 10),
        (10, 5, 0, 4, 14),
        (12, 3, 2, 2, 12),  # two are answered, it was at the third
        (12, 3, 2, 4, 14),
        (12, 3, 2, 1, None),  # it had just told of the second
        (10, 5, 0, 5, None),  # no item of this chunk
        (10, 5, 0, SEVERAL, None),  # it was at all five
        (10, 1, 0, SEVERAL, 10),
        (14, 1, 4, SEVERAL + 4, 14),
        (14, 1, 4, SEVERAL + 2, None),  # it had just told of two, and was not at the last yet
    ],
)
def test_which_item_a_worker_was_at(index: int, items: int, answered: int, at: int, expected: int | None) -> None:
    assert culprit(index, items, answered, at) == expected


@pytest.mark.parametrize(
    ("index", "items", "blamed", "tries_left", "expected"),
    [
        (3, 0, 3, 0, [Part(3, 0, fails=True)]),
        (3, 0, 3, 1, [Part(3, 0)]),
        (10, 5, 12, 0, [Part(10, 2), Part(12, 1, fails=True), Part(13, 2)]),
        (10, 5, 12, 2, [Part(10, 2), Part(12, 1), Part(13, 2)]),
        (10, 5, 10, 0, [Part(10, 1, fails=True), Part(11, 4)]),
        (10, 5, 14, 0, [Part(10, 4), Part(14, 1, fails=True)]),
        (10, 1, 10, 0, [Part(10, 1, fails=True)]),
        (10, 5, None, 0, [Part(10, 5)]),
    ],
)
def test_parts(index: int, items: int, blamed: int | None, tries_left: int, expected: list[Part]) -> None:
    assert divide(index, items, blamed, tries_left) == expected


def test_each_of_several_suspects_becomes_a_task() -> None:
    assert divide(10, 3, None, 0, suspects=True) == [Part(10, 1), Part(11, 1), Part(12, 1)]
    assert divide(10, 3, None, 5, suspects=True) == [Part(10, 1), Part(11, 1), Part(12, 1)]


@pytest.mark.parametrize("items", range(1, 12))
def test_no_item_is_lost_or_doubled(items: int) -> None:
    for blamed in range(100, 100 + items):
        for left in (0, 1):
            parts = divide(100, items, blamed, left)
            covered = [item for part in parts for item in range(part.index, part.index + part.items)]
            assert covered == list(range(100, 100 + items))
            assert [part.index for part in parts if part.fails] == ([] if left else [blamed])


def test_a_task_that_is_tried_again_needs_a_worker_even_in_a_closed_pool() -> None:
    state = PoolState(1)
    state.begin()
    state.ready(0)
    state.close()
    event = Ended(0, -9, claim=6, taken=6)
    assert state.ended(event, frozenset({5}), lambda task: task == 5) == [Try(5, 0), Start(0)]


def test_a_worker_whose_program_lacks_the_guard_is_the_last() -> None:
    state = PoolState(2)
    state.begin()
    (broken,) = state.ended(Ended(0, 1, described="exited with code 1: no guard", hopeless=True), frozenset())
    assert broken == Break("a worker exited with code 1: no guard")
    assert state.ended(Ended(1, 1, hopeless=True), frozenset()) == []


def test_workers_killed_before_they_serve_break_nothing_soon() -> None:
    state = PoolState(1)
    state.begin()
    for _ in range(MOST_KILLED - 1):
        assert state.ended(Ended(0, -signal.SIGKILL), frozenset()) == [Start(0)]
    assert isinstance(state.ended(Ended(0, -signal.SIGKILL), frozenset())[0], Break)
