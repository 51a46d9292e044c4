"""Who is stuck and who is deadlocked, as data: facts in, threads out."""

import pytest

from procession._deadlocks.graph import Facts, Hold, Thing, Wait, deadlock_of, deadlocks, raiser, stuck
from procession._deadlocks.orders import Me, Order, circles

A, B, C, D = (1, 10), (2, 20), (3, 30), (4, 40)


def waits(*entries: Wait) -> dict[tuple[int, int], Wait]:
    return {entry.thread: entry for entry in entries}


def acquire(thread: tuple[int, int], lock: int, since: float = 0.0, *, timed: bool = False, looks: bool = True) -> Wait:
    return Wait((0, thread[0], 2), thread, thread[0], "acquire", (0, lock), since=since, timed=timed, looks=looks)


def lock(holder: tuple[int, int] | None, *, is_signal: bool = False, kind: str = "a Lock") -> Thing:
    return Thing(kind, holder=holder, is_signal=is_signal)


def ring(n: int, *, timed: int = -1) -> Facts:
    """Thread i holds lock i and waits for lock i + 1."""
    threads = [(i + 1, 10) for i in range(n)]
    entries = [acquire(thread, (i + 1) % n, since=i, timed=i == timed) for i, thread in enumerate(threads)]
    return Facts(waits(*entries), things={(0, i): lock(thread) for i, thread in enumerate(threads)})


@pytest.mark.parametrize("n", [2, 3, 4])
def test_a_ring_of_locks_is_a_deadlock_of_all(n: int) -> None:
    facts = ring(n)
    (part,) = deadlocks(stuck(facts))
    assert len(part) == n
    assert raiser(part, facts) == (n, 10)  # whose wait began last


def test_a_deadline_somewhere_ends_it() -> None:
    assert stuck(ring(3, timed=1)) == {}


def test_who_runs_helps_everybody() -> None:
    facts = Facts(waits(acquire(A, 1), acquire(B, 2)), things={(0, 1): lock(B), (0, 2): lock(C)})
    assert stuck(facts) == {}


def test_who_waits_for_the_deadlocked_has_no_part_in_it() -> None:
    facts = Facts(
        waits(acquire(A, 1, 1), acquire(B, 2, 2), acquire(C, 1, 3)), things={(0, 1): lock(B), (0, 2): lock(A)}
    )
    assert deadlock_of(A, facts) == deadlock_of(B, facts) == {A, B}
    assert deadlock_of(C, facts) is None
    assert raiser({A, B}, facts) == B


def test_who_cannot_be_told_is_not_chosen() -> None:
    facts = Facts(waits(acquire(A, 1, 1), acquire(B, 2, 2, looks=False)), things={(0, 1): lock(B), (0, 2): lock(A)})
    assert raiser({A, B}, facts) == A


@pytest.mark.parametrize(
    "thing", [lock(None), lock(B, is_signal=True), Thing("a Semaphore", value=1), Thing("a Semaphore", is_signal=True)]
)
def test_what_is_free_or_a_signal_is_not_in_the_way(thing: Thing) -> None:
    facts = Facts(waits(acquire(A, 1), acquire(B, 2)), [Hold(B, (0, 1))], {(0, 1): thing, (0, 2): lock(A)})
    assert stuck(facts) == {}


def test_permits_are_given_back_by_any_of_their_holders() -> None:
    things = {(0, 1): Thing("a Semaphore"), (0, 2): lock(A)}
    holds = [Hold(B, (0, 1)), Hold(C, (0, 1))]
    one_runs = Facts(waits(acquire(A, 1), acquire(B, 2)), holds, things)
    assert stuck(one_runs) == {}
    all_wait = Facts(waits(acquire(A, 1), acquire(B, 2), acquire(C, 2)), holds, things)
    assert deadlock_of(A, all_wait) == {A, B, C}


def test_a_thread_in_its_own_way_is_stuck_only_if_nobody_else_is_there() -> None:
    things, holds = {(0, 1): lock(A)}, [Hold(A, (0, 1))]
    alone = Facts(waits(acquire(A, 1)), holds, things, {1: [1]})
    assert deadlock_of(A, alone) == {A}
    assert stuck(Facts(alone.waits, holds, things, {1: [1, 7]})) == {}  # another thread
    assert stuck(Facts(alone.waits, holds, things, {1: [1], 2: [2]})) == {}  # another process
    assert stuck(Facts(alone.waits, holds, things, {1: [1]}, is_starting=True)) == {}
    assert stuck(Facts(alone.waits, [], things, {1: [1]})) == {}  # it is just being given the lock


def queue_wait(thread: tuple[int, int], action: str) -> Wait:
    return Wait((0, thread[0], 2), thread, thread[0], action, (0, 5))


@pytest.mark.parametrize(
    ("action", "thing", "over"),
    [
        ("get", Thing("a queue", is_empty=True), Thing("a queue")),
        ("put", Thing("a queue", is_full=True), Thing("a queue")),
        ("finish", Thing("a queue", unfinished=1), Thing("a queue")),
    ],
)
def test_a_queue_is_helped_by_anybody(action: str, thing: Thing, over: Thing) -> None:
    alone = waits(queue_wait(A, action))
    assert deadlock_of(A, Facts(alone, things={(0, 5): thing}, tasks={1: [1]})) == {A}
    assert stuck(Facts(alone, things={(0, 5): over}, tasks={1: [1]})) == {}
    assert stuck(Facts(alone, things={(0, 5): thing}, tasks={1: [1], 2: [2]})) == {}
    joined = {**alone, B: Wait((0, 2, 2), B, 2, "join", (0, 1))}
    assert deadlock_of(A, Facts(joined, things={(0, 5): thing}, tasks={1: [1], 2: [2]})) == {A, B}


def test_the_handler_of_a_signal_may_still_come() -> None:
    thing, alone = Thing("a queue", is_empty=True), waits(queue_wait(A, "get"))
    assert stuck(Facts(alone, things={(0, 5): thing}, tasks={1: [1]}, signalled=[1])) == {}
    assert stuck(Facts(alone, things={(0, 5): thing}, tasks={1: [1]}, signalled=[2])) == {A: set()}


def test_a_join_waits_for_the_main_thread() -> None:
    facts = Facts(
        waits(Wait((0, 1, 2), A, 1, "join", (0, 2)), acquire(B, 1)), things={(0, 1): lock(A)}, tasks={1: [1], 2: [2]}
    )
    assert deadlock_of(A, facts) == {A, B}
    assert stuck(Facts(facts.waits, things=facts.things, tasks={1: [1], 2: []})) == {}  # it has ended


@pytest.mark.parametrize("action", ["wait", "poll", "any"])
def test_of_other_waits_nothing_is_known(action: str) -> None:
    facts = Facts(waits(queue_wait(A, action)), things={(0, 5): Thing("an Event")}, tasks={1: [1]})
    assert stuck(facts) == {}


def pool(*more: Wait, has_ended: bool = False) -> Facts:
    """A waits for a result; C is a worker without a task."""
    result = Wait((0, 1, 2), A, 1, "result", (0, 5))
    idle = Wait((0, 3, 2), C, 3, "serve", (0, 6), timed=True)
    entries = waits(result, idle, *more)
    things = {(0, 5): Thing("a queue", is_empty=True), (0, 6): Thing("a queue", is_empty=True), (0, 1): lock(A)}
    tasks = {thread[0]: [thread[0]] for thread in entries}
    return Facts(entries, things=things, tasks=tasks, has_ended=has_ended)


def test_a_task_may_wait_for_who_waits_for_its_result() -> None:
    assert deadlock_of(A, pool(acquire(B, 1))) == deadlock_of(B, pool(acquire(B, 1))) == {A, B}
    assert deadlock_of(A, pool(acquire(B, 1), has_ended=True)) is None  # the pool will notice that death
    assert deadlock_of(A, pool()) is None  # that would be the pool's own fault


# Orders of locks


def order(thread: tuple[int, int], held: int, taken: int, **more: int) -> Order:
    return Order(0, thread, held, taken, **more)  # type: ignore[arg-type]


ME = Me(native=2, born=50)


def test_two_orders_of_two_threads_are_a_circle() -> None:
    old, new = order(A, 1, 2, last=60), order(B, 2, 1)
    assert list(circles(new, [old], ME)) == [[new, old]]
    assert list(circles(new, [order(A, 1, 3, last=60)], ME)) == []


def test_circles_are_longer_too() -> None:
    new, others = order(C, 3, 1), [order(A, 1, 2, last=60), order(B, 2, 3, last=60)]
    assert list(circles(new, others, ME)) == [[new, *others]]


def test_one_thread_alone_makes_no_circle() -> None:
    assert list(circles(order(A, 2, 1), [order(A, 1, 2, last=60)], ME)) == []
    assert list(circles(order(C, 3, 1), [order(A, 1, 2, last=60), order(A, 2, 3, last=60)], ME)) == []


def test_a_gate_makes_no_circle() -> None:
    assert list(circles(order(B, 2, 1, gates=4), [order(A, 1, 2, last=60, gates=12)], ME)) == []
    assert len(list(circles(order(B, 2, 1, gates=4), [order(A, 1, 2, last=60, gates=8)], ME))) == 1


@pytest.mark.parametrize(
    ("old", "is_over"),
    [
        ({"last": 40, "joined": 45, "joined_by": 9}, True),  # its end was waited for before this thread began
        ({"last": 55, "joined": 60, "joined_by": 9}, False),
        ({"last": 55, "joined": 60, "joined_by": 2}, True),  # by this thread
        ({"last": 40}, False),  # a sibling
    ],
)
def test_what_was_over_before_makes_no_circle(old: dict[str, int], is_over: bool) -> None:
    assert (list(circles(order(B, 2, 1), [order(A, 1, 2, **old)], ME)) == []) is is_over


@pytest.mark.parametrize("ancestor", [A, (A[0], 0)])
def test_who_started_this_thread_was_done_before_unless_it_does_it_again(ancestor: tuple[int, int]) -> None:
    child = Me(2, 50, (ancestor,))
    assert list(circles(order(B, 2, 1), [order(A, 1, 2, last=40)], child)) == []
    assert len(list(circles(order(B, 2, 1), [order(A, 1, 2, last=60)], child))) == 1
