"""Pools and primitives on a real Dask scheduler with workers of their own; what they are when all goes well."""

import asyncio
import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import dask_tasks as tasks
import pytest
from dask_cluster import commands, workers_come

import procession
from procession.errors import (
    Empty,
    Full,
    NotSupported,
    ObjectGone,
    PicklingError,
    ReleaseError,
    RemoteTraceback,
    WrongTypecode,
)
from procession.testing import check_leaks, wait_until

WAIT_S = 30.0
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True, name="dask")
def _late(distributed: Any) -> None:
    """Behind all others, for the threads that Dask leaves; see `homes.is_late`."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, distributed: Any) -> Iterator[Any]:
    """A context on a scheduler with two workers."""
    with check_leaks(), commands(tmp_path_factory.mktemp("dask")) as started:
        address = started.scheduler()
        for _ in range(2):
            started.worker(address)
        with procession.get_context(f"dask://{address}") as context:
            workers_come(context, 2)
            with context.Pool(2) as pool:  # whatever is opened with the first task is there then
                assert pool.map(abs, [-1, 2], chunksize=1) == [1, 2]
            yield context


@pytest.fixture(autouse=True)
def _idle_connections(request: pytest.FixtureRequest) -> Iterator[None]:
    """Close those that the client has opened to ask several things at a time, before leaks are looked for."""
    yield
    if "cluster" in request.fixturenames:
        client = request.getfixturevalue("cluster").cluster.client
        client.loop.add_callback(client.rpc.collect)


@pytest.fixture
def pool(cluster: Any) -> Iterator[Any]:
    with cluster.Pool() as pool:
        yield pool


# Pools


def test_every_method(pool: Any) -> None:
    squares = [number * number for number in range(50)]
    assert pool.map(lambda number: number * number, range(50)) == squares
    assert list(pool.imap(lambda number: number * number, range(50), chunksize=3)) == squares
    assert sorted(pool.imap_unordered(lambda number: number * number, range(50))) == squares
    assert pool.starmap(pow, [(2, 3), (3, 2)]) == [8, 9]
    assert pool.apply(pow, (2, 5), {"mod": 7}) == 4
    assert pool.map_reduce(abs, range(-10, 10), max) == 10
    told: list[Any] = []
    pool.apply_async(abs, (-3,), callback=told.append).get(WAIT_S)
    assert told == [3]
    with pytest.raises(PicklingError, match=r"items\[0\]"):
        pool.map(tasks.withdraw, [threading.Lock()])


def test_modules_of_the_program_travel(pool: Any) -> None:
    assert pool.map(tasks.knows_this_module, [0, 1], chunksize=1) == [False, False]
    with pytest.raises(tasks.Overdrawn, match="7 is too much") as caught:
        pool.map(tasks.withdraw, [1, 7])
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    assert "in withdraw" in caught.value.__cause__.text


def test_a_client_of_the_users_own(cluster: Any, distributed: Any) -> None:
    with (
        distributed.Client(cluster.cluster.client.scheduler.address, set_as_default=False) as client,
        procession.get_context(client) as context,
    ):
        assert context.get_start_method() == cluster.get_start_method()
        assert context.cpu_count() == 2
        with context.Executor() as executor:
            assert executor.submit(tasks.withdraw, 3).result(WAIT_S) == 3
        context.close()
        assert client.submit(abs, -1).result(WAIT_S) == 1


def test_a_client_in_an_event_loop_is_another_thing(cluster: Any, distributed: Any) -> None:
    async def adopted() -> Any:
        async with distributed.Client(
            cluster.cluster.client.scheduler.address, asynchronous=True, set_as_default=False
        ) as client:
            return procession.get_context(client)

    with pytest.raises(TypeError, match="asynchronous=True"):
        asyncio.run(adopted())


def test_what_was_kept_is_kept_again_when_it_is_lost(cluster: Any) -> None:
    calls = cluster.cluster
    kept = calls.keep(b"x" * 1000)
    assert calls.submit(len, kept).result(WAIT_S) == 1000
    calls.client.cancel([kept.future])  # as when all that had it have died
    assert kept.is_gone
    assert calls.submit(len, kept).result(WAIT_S) == 1000


def test_what_is_large_does_not_go_into_a_graph(cluster: Any, pool: Any) -> None:
    """Of which Dask would warn, and a warning is an error here."""
    assert cluster.cluster.submit(len, b"x" * 12_000_000).result(WAIT_S) == 12_000_000
    assert pool.starmap(tasks.length, [(b"x" * 12_000_000, 1)]) == [12_000_001]


def test_what_was_spread_goes_on_from_where_it_is(cluster: Any) -> None:
    calls = cluster.cluster
    parts = calls.spread(2, divmod, 17, 5)
    assert [calls.submit(abs, part).result(WAIT_S) for part in parts] == [3, 2]
    assert calls.submit(pow, *parts).result(WAIT_S) == 9


def test_a_call_that_is_cancelled_leaves_no_trace(cluster: Any) -> None:
    calls = cluster.cluster
    waiting = [calls.submit(time.sleep, 0.2) for _ in range(20)]
    assert all(call.cancel() for call in waiting[2:])
    assert calls.submit(abs, -1).result(WAIT_S) == 1
    wait_until(lambda: not calls._bringing)
    assert [call.cancelled() for call in waiting] == [False] * 2 + [True] * 18


# Primitives


def test_a_queue_between_workers(cluster: Any, pool: Any) -> None:
    queue = cluster.Queue(3)
    items = [1, {"two": 2}, None, b"four", tasks.Overdrawn("five")]
    put = pool.apply_async(tasks.produce, (queue, items))
    got = pool.apply(tasks.consume, (queue, 5))
    put.get(WAIT_S)
    assert got[:4] == items[:4]
    assert type(got[4]) is tasks.Overdrawn
    began = time.monotonic()
    with pytest.raises(Empty):
        queue.get(timeout=0.1)
    assert time.monotonic() - began >= 0.1
    with pytest.raises(Empty):
        queue.get_nowait()
    assert queue.empty()
    for number in range(3):
        queue.put(number)
    assert queue.full()
    with pytest.raises(Full):
        queue.put_nowait(3)
    assert [queue.get() for _ in range(queue.qsize())] == [0, 1, 2]


def test_a_value_is_exact_under_its_lock(cluster: Any, pool: Any) -> None:
    value = cluster.Value("i", 5)
    pool.starmap(tasks.add, [(value, 10)] * 4, chunksize=1)
    assert value.value == 45
    value.value = 2**31  # as in a C int
    assert value.value == -(2**31)
    with pytest.raises(WrongTypecode):
        cluster.Value("nonsense")
    with pytest.raises(TypeError):
        value.value = "text"


def test_events_and_permits(cluster: Any, pool: Any) -> None:
    event, back = cluster.Event(), cluster.Event()
    answered = pool.apply_async(tasks.answer, (event, back))
    assert not event.wait(0.05)
    event.set()
    assert back.wait(WAIT_S)
    assert answered.get(WAIT_S)
    event.clear()
    assert not event.is_set()

    lock, permits = cluster.Lock(), cluster.Semaphore(2)
    with lock:
        assert lock.locked()
        assert not pool.apply(tasks.try_to_take, (lock,))
    assert permits.acquire()
    assert permits.acquire()
    assert not permits.acquire(block=False)
    assert permits.get_value() == 0
    permits.release()
    permits.release()
    with pytest.raises(ReleaseError):
        permits.release()
    with pytest.raises(ValueError, match="use an Event or a Queue"):
        cluster.Semaphore(0)


def test_names_are_shared_with_all_and_with_dask(cluster: Any, distributed: Any) -> None:
    mine, same = cluster.Queue(name="ledger"), cluster.Queue(name="ledger")
    mine.put("paid")
    assert same.get(timeout=WAIT_S) == "paid"
    assert distributed.Queue("ledger", client=cluster.cluster.client).qsize() == 0
    counter = cluster.Value("i", 7, name="counter")
    counter.value += 1
    assert cluster.Value("i", 7, name="counter").value == 8
    with cluster.Lock(name="gate"):
        assert not cluster.Lock(name="gate").acquire(block=False)


def test_what_has_no_name_goes_with_its_context(cluster: Any, distributed: Any) -> None:
    address = cluster.cluster.client.scheduler.address
    with distributed.Client(address, set_as_default=False) as client:
        with procession.get_context(client) as context:
            queue, value, named = context.Queue(), context.Value("i"), context.Queue(name="stays")
            assert known(client) >= {queue.name, value.name, named.name}
        wait_until(lambda: not known(client) & {queue.name, value.name})
        assert named.name in known(client)
        with pytest.raises(ObjectGone):
            queue.qsize()


def known(client: Any) -> set[str]:
    """Names that the scheduler has."""
    names: set[str] = client.run_on_scheduler(
        lambda dask_scheduler: {
            *dask_scheduler.extensions["queues"].queues,
            *dask_scheduler.extensions["variables"].variables,
        }
    )
    return names


@pytest.mark.parametrize(
    ("kind", "arguments", "instead"),
    [
        ("JoinableQueue", (), "Pool.map"),
        ("RLock", (), "Lock"),
        ("Condition", (), "Event"),
        ("Barrier", (2,), "Pool.map"),
        ("Array", ("i", 3), "Value"),
    ],
)
def test_what_dask_has_not_names_the_alternative(cluster: Any, kind: str, arguments: Any, instead: str) -> None:
    with pytest.raises(NotSupported, match=re.escape(instead)):
        getattr(cluster, kind)(*arguments)


def test_a_worker_has_contexts_too(cluster: Any, pool: Any) -> None:
    assert pool.apply(tasks.made_by, (cluster,)) == 5
