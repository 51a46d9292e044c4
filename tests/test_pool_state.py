"""The pool's rules as data: events in, instructions out. No process anywhere."""

from itertools import pairwise

import pytest

from procession.pool.chunks import MOST_ITEMS, guided, next_size
from procession.pool.folding import NOTHING, Counter
from procession.pool.state import MOST_STILLBIRTHS, Break, Ended, Fail, PoolState, Start, held

NONE: frozenset[int] = frozenset()


def running(size: int = 2) -> PoolState:
    state = PoolState(size)
    state.begin()
    for worker in range(size):
        state.ready(worker)
    return state


def test_a_pool_begins_by_starting_its_workers() -> None:
    assert PoolState(3).begin() == [Start(0), Start(1), Start(2)]


@pytest.mark.parametrize(
    ("claim", "taken", "others", "outstanding", "task"),
    [
        (0, 0, {0}, {0}, None),  # took nothing
        (6, 6, {0}, {5}, 5),  # held the task taken last
        (6, 9, {9, 8}, {5, 7, 8}, 5),  # held one taken earlier
        (6, 6, {0}, {4}, None),  # had answered
        (6, 5, {0}, {5}, None),  # died before the task was gone from the ring
        (6, 6, {6}, {5}, None),  # the same, and somebody else took it since
        (6, 7, {7}, {6}, None),  # the same, and that one answered it
        (2**32, 0, {0}, {2**32 - 1}, 2**32 - 1),  # numbers wrap
        (1, 2**32 - 1, {0}, {0}, None),  # number 0 comes after them
        (3, 2**31, {0}, {2}, 2),  # a task half the numbers ago is still told from one to come
    ],
)
def test_which_task_a_dead_worker_held(
    claim: int, taken: int, others: set[int], outstanding: set[int], task: int | None
) -> None:
    assert held(claim, taken, frozenset(others), frozenset(outstanding)) == task


def test_a_death_fails_the_task_and_replaces_the_worker() -> None:
    state = running()
    event = Ended(1, -9, claim=8, taken=9, others=frozenset({9}))
    assert state.ended(event, frozenset({7, 8})) == [Fail(7, 1), Start(1)]
    assert (state.deaths, state.started, state.serving) == (1, 3, {0})


def test_an_idle_death_only_replaces() -> None:
    state = running()
    assert state.ended(Ended(0, -9, claim=3, taken=4), NONE) == [Start(0)]
    assert state.deaths == 0


def test_a_worker_that_did_its_share_is_replaced() -> None:
    state = running()
    assert state.ended(Ended(0, 0, claim=3, taken=3), frozenset({5})) == [Start(0)]


def test_two_deaths_with_one_claim_fail_the_task_once() -> None:
    """The first died before the task was gone, the second with it."""
    state = running()
    outstanding = frozenset({4})
    assert state.ended(Ended(0, -9, claim=5, taken=5, others=frozenset({5})), outstanding) == [Start(0)]
    assert state.ended(Ended(1, -9, claim=5, taken=5, others=frozenset({0})), outstanding) == [Fail(4, 1), Start(1)]


def test_workers_that_never_serve_break_the_pool() -> None:
    state = PoolState(1)
    state.begin()
    for _ in range(MOST_STILLBIRTHS - 1):
        assert state.ended(Ended(0, 1), NONE) == [Start(0)]
    (broken,) = state.ended(Ended(0, 1, described="exited with code 1"), NONE)
    assert isinstance(broken, Break)
    assert "exited with code 1" in broken.reason
    assert state.ended(Ended(0, 1), NONE) == []


def test_one_that_serves_ends_the_count_of_stillbirths() -> None:
    state = PoolState(1)
    state.begin()
    for _ in range(3 * MOST_STILLBIRTHS):
        assert state.ended(Ended(0, 1), NONE) == [Start(0)]
        state.ready(0)
        assert state.ended(Ended(0, 1), NONE) == [Start(0)]
        state.ready(0)


def test_a_poison_task_breaks_no_pool_however_often_it_kills() -> None:
    state = PoolState(1)
    state.begin()
    for task in range(10):
        event = Ended(0, -11, claim=task + 1, taken=task + 1)
        assert state.ended(event, frozenset({task, 99})) == [Fail(task, 0), Start(0)]


def test_an_initializer_that_raises_breaks_at_once_and_once() -> None:
    state = PoolState(2)
    state.begin()
    assert state.initializer_failed("it raised") == [Break("it raised")]
    assert state.initializer_failed("it raised") == []
    assert not state.accepts


def test_a_closed_pool_replaces_only_while_tasks_are_out() -> None:
    state = running()
    state.close()
    assert state.ended(Ended(0, 0), frozenset({5})) == [Start(0)]
    assert state.ended(Ended(1, 0), NONE) == []


def test_a_closed_pool_does_not_replace_for_the_task_that_failed() -> None:
    state = running()
    state.close()
    assert state.ended(Ended(0, -9, claim=6, taken=6), frozenset({5})) == [Fail(5, 0)]


def test_a_terminated_pool_replaces_nobody() -> None:
    state = running()
    state.terminate()
    assert state.ended(Ended(0, -15), frozenset({5})) == []


# Chunks


@pytest.mark.parametrize("total", [0, 1, 7, 100, 12_345, 1_000_000])
@pytest.mark.parametrize("workers", [1, 2, 64])
def test_guided_chunks_cover_everything_and_shrink(total: int, workers: int) -> None:
    sizes = list(guided(total, workers))
    assert sum(sizes) == total
    assert all(0 < size <= MOST_ITEMS for size in sizes)
    assert all(later <= earlier for earlier, later in pairwise(sizes))
    if total >= workers:
        assert len(sizes) >= workers


def test_nothing_measured_is_one_item() -> None:
    assert next_size(1000, 2, 1, 0, 0) == 1


def test_long_tasks_go_one_by_one() -> None:
    assert next_size(1000, 2, 64, 10, 10 * 10**9) == 1


def test_short_tasks_grow_by_doubling() -> None:
    assert next_size(10**6, 2, 8, 100, 1000) == 16
    assert next_size(10**6, 2, 8, 100, 0) == 16
    assert next_size(10**6, 2, 10**6, 100, 1000) == MOST_ITEMS


def test_items_of_a_millisecond_are_single() -> None:
    assert next_size(600, 2, 64, 10, 10 * 10**6) == 1
    assert next_size(600, 2, 64, 10, 2 * 10**6) == 5


def test_large_items_are_few() -> None:
    assert next_size(10**6, 2, 10**6, 100, 1000, 3) == 3


@pytest.mark.parametrize("workers", [1, 2, 16])
def test_no_chunk_of_a_call_of_which_nothing_is_known_is_a_large_part_of_it(workers: int) -> None:
    assert max(guided(1000, workers)) <= -(-1000 // (16 * workers))


def test_the_last_chunks_are_small() -> None:
    assert next_size(40, 2, 1000, 100, 1000) == 10
    assert next_size(3, 2, 1000, 100, 1000) == 1


# Folding


@pytest.mark.parametrize("count", range(20))
def test_partials_are_folded_in_order(count: int) -> None:
    letters = [chr(65 + number) for number in range(count)]
    counter = Counter(str.__add__)
    for letter in letters:
        counter.add(letter)
    assert counter.total() == ("".join(letters) if letters else NOTHING)
