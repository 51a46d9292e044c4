"""Queues on disk: programs that know the path alone, settings, ends of life.

Bounds and waiting are `test_disk_queues_waiting.py`, files `test_disk_queues_files.py`, deaths
`test_disk_queues_deaths.py`; power cuts, at every write, are `crates/disk/tests`.
"""

import multiprocessing.queues
import os
import pickle
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from strangers import output, program

import procession
from procession import _registry, queues
from procession.errors import (
    Closed,
    DeliveredTooOften,
    Empty,
    HomeMismatch,
    NotDurable,
    ShutDown,
    UnpicklingError,
)

KINDS = ["Queue", "JoinableQueue"]
DURABILITIES = ["crash", "power"]
SOON = 5  # seconds
ITEMS: list[Any] = [0, -1, 2**70, 1.5, "text", "ü" * 300, b"bytes", None, (1, [2, {"k": 3}]), {4, 5}, b"x" * 200_000]


def echo(inbox: Any, outbox: Any) -> None:
    while (item := inbox.get()) is not Ellipsis:
        outbox.put(item)


# --- the same everywhere ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_items_come_out_in_order(context: Any, tmp_path: Path) -> None:
    inbox, outbox = context.Queue(path=tmp_path / "in"), context.JoinableQueue(path=tmp_path / "out")
    worker = context.Process(target=echo, args=(inbox, outbox))
    worker.start()
    for item in ITEMS:
        inbox.put(item)
    assert [outbox.get(timeout=SOON) for _ in ITEMS] == ITEMS
    inbox.put(...)
    worker.join()
    worker.close()


@pytest.mark.slow
@pytest.mark.parametrize("durability", DURABILITIES)
def test_items_outlive_the_program(tmp_path: Path, durability: str) -> None:
    output(program(tmp_path / "queue", "for number in range(60): queue.put({'number': number})", durability))
    code = "print([queue.get_nowait()['number'] for _ in range(30)] == list(range(30)))"
    assert output(program(tmp_path / "queue", code, durability)) == "True\n"
    queue = procession.Queue(path=tmp_path / "queue")
    assert (queue.durability, queue.qsize()) == (durability, 30)
    assert [queue.get()["number"] for _ in range(30)] == list(range(30, 60))


@pytest.mark.slow
def test_unrelated_producers_and_consumers(tmp_path: Path) -> None:
    path = tmp_path / "queue"
    producers = [program(path, f"for number in range(2000): queue.put(({who}, number))") for who in range(2)]
    consumer = program(path, "print([queue.get() for _ in range(1500)])")
    queue = procession.Queue(path=path)
    mine = [queue.get(timeout=20) for _ in range(2500)]
    theirs = eval(output(consumer))
    for producer in producers:
        output(producer)
    assert sorted(mine + theirs) == [(who, number) for who in range(2) for number in range(2000)]
    for part in (mine, theirs):
        for who in range(2):
            numbers = [number for sender, number in part if sender == who]
            assert numbers == sorted(numbers)


@pytest.mark.parametrize("kind", KINDS)
def test_it_passes_for_its_kind(tmp_path: Path, kind: str) -> None:
    queue = getattr(procession, kind)(path=tmp_path / "queue")
    assert isinstance(queue, queues.Queue)
    assert isinstance(queue, multiprocessing.queues.Queue)
    assert isinstance(queue, queues.JoinableQueue) == (kind == "JoinableQueue")
    assert isinstance(queue, multiprocessing.queues.JoinableQueue) == (kind == "JoinableQueue")
    assert repr(queue).startswith(f"<{kind}({str(tmp_path / 'queue')!r}, 0 items")
    assert (queue.path, queue.durability) == (str(tmp_path / "queue"), "crash")


def test_a_named_one_lies_where_names_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROCESSION_HOME", str(tmp_path))
    procession.Queue(name="ledger").put("entry")
    assert (tmp_path / "queue" / "ledger" / "queue").exists()
    assert procession.Queue(name="ledger").get(timeout=SOON) == "entry"
    with pytest.raises(ValueError, match="name"):
        procession.Queue(name="a/b")
    with pytest.raises(TypeError, match="path"):
        procession.Queue(path=tmp_path / "x", name="ledger")


def test_batches(tmp_path: Path) -> None:
    queue = procession.Queue(path=tmp_path / "queue")
    assert queue.put_many(range(3000)) == 3000
    assert queue.get_many(10) == list(range(10))
    rest: list[int] = []
    while len(rest) < 2990:
        rest += queue.get_many(4000)
    assert rest == list(range(10, 3000))
    with pytest.raises(Empty):
        queue.get_many(block=False)


def test_arrays_arrive_writable_and_are_the_receivers_own(tmp_path: Path) -> None:
    queue = procession.JoinableQueue(path=tmp_path / "queue")
    array = np.arange(100_000, dtype="float64").reshape(100, 1000)
    queue.put({"array": array, "other": array[:50] * 2})
    array[:] = -1  # what was put is a snapshot
    got = queue.get()
    assert (got["array"] == np.arange(100_000).reshape(100, 1000)).all()
    assert got["array"].flags.writeable
    assert got["array"].flags.aligned
    got["array"][:] = 0
    assert got["other"][1, 1] == 2002


def test_statistics(tmp_path: Path) -> None:
    queue = procession.Queue(10, path=tmp_path / "queue")
    for number in range(5):
        queue.put(number)
    queue.get()
    seen = queue.statistics()
    assert (seen.depth, seen.put, seen.taken, seen.closed) == (4, 5, 1, False)
    assert (queue.empty(), queue.full(), queue.max_items) == (False, False, 10)


# --- travelling -------------------------------------------------------------------------------------------------------


def test_it_is_pickled_by_path(tmp_path: Path) -> None:
    queue = procession.JoinableQueue(7, max_deliveries=3, path=tmp_path / "queue", durability="power")
    queue.put("item")
    again = pickle.loads(pickle.dumps(queue))
    assert (again.get(), again.path, again.durability, again.max_items) == ("item", queue.path, "power", 7)
    queue.unlink()
    with pytest.raises(FileNotFoundError):
        pickle.loads(pickle.dumps(queue))


@pytest.mark.slow
def test_it_travels_in_a_message_to_disk(tmp_path: Path) -> None:
    inner, outer = procession.Queue(path=tmp_path / "inner"), procession.Queue(path=tmp_path / "outer")
    outer.put({"answer to": inner})
    output(program(tmp_path / "outer", "queue.get()['answer to'].put('here')"))
    assert inner.get(timeout=SOON) == "here"


@pytest.mark.parametrize("kind", ["Lock", "Queue", "Event"])
def test_what_would_not_outlive_the_program_is_refused(tmp_path: Path, kind: str) -> None:
    queue = procession.Queue(path=tmp_path / "queue")
    with pytest.raises(NotDurable, match=rf"{kind}.*\['jobs'\]\[1\].*path=") as raised:
        queue.put({"jobs": [1, getattr(procession.get_context("fork"), kind)()]})
    assert raised.value.path == "['jobs'][1]"
    with pytest.raises(pickle.PicklingError):
        queue.put_many([1, procession.get_context("fork").Value("i")])
    assert queue.qsize() == 0
    queue.put("fine")
    assert queue.get() == "fine"


def _fail() -> None:
    raise RuntimeError("not here")


class Fails:
    def __reduce__(self) -> Any:
        return _fail, ()


def test_what_cannot_be_rebuilt_is_an_error_and_gone(tmp_path: Path) -> None:
    queue = procession.Queue(path=tmp_path / "queue")
    queue.put(Fails())
    queue.put("next")
    with pytest.raises(UnpicklingError, match="not here"):
        queue.get()
    assert queue.get() == "next"
    with pytest.raises(pickle.PicklingError):
        queue.put(lambda: 1)
    queue.put_many([1, Fails(), 3])
    assert queue.get_many() == [1]
    with pytest.raises(UnpicklingError):
        queue.get_many()
    assert queue.get_many() == [3]


_interruptions = iter(())


def _interrupt() -> str:
    next(_interruptions, lambda: None)()
    return "whole"


class Interrupts:
    """Something in the middle of whose rebuilding signals arrive, as long as there are some in `_interruptions`."""

    def __reduce__(self) -> Any:
        return _interrupt, ()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("call", ["get", "get_many"])
def test_a_get_that_is_cut_short_has_the_item_for_the_next(
    tmp_path: Path, kind: str, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = getattr(procession, kind)(path=tmp_path / "queue")
    queue.put_many([Interrupts(), "next"])
    monkeypatch.setitem(globals(), "_interruptions", iter([lambda: signal.raise_signal(signal.SIGINT)]))
    with pytest.raises(KeyboardInterrupt):
        getattr(queue, call)()
    assert queue.get() == "whole"
    assert queue.get() == "next"


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "other", "told"),
    [
        ("JoinableQueue", {}, "JoinableQueue"),
        ("Queue", {"maxsize": 11}, "maxsize=10.*maxsize=11"),
        ("Queue", {"max_bytes": 1000, "durability": "power"}, "max_bytes=0 durability=crash.*max_bytes=1000"),
    ],
)
def test_other_settings_are_an_error_that_names_both(
    tmp_path: Path, kind: str, other: dict[str, Any], told: str
) -> None:
    procession.Queue(10, path=tmp_path / "queue").put("item")
    with pytest.raises(HomeMismatch, match=told):
        getattr(procession, kind)(path=tmp_path / "queue", **other)
    as_it_is = procession.Queue(path=tmp_path / "queue")
    assert (as_it_is.max_items, as_it_is.get(timeout=SOON)) == (10, "item")


def test_arguments(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'crash' or 'power'"):
        procession.Queue(path=tmp_path / "queue", durability="paper")
    with pytest.raises(TypeError, match="durability"):
        queues.Queue(durability="power")

    assert not (tmp_path / "queue").exists()


# --- JoinableQueue ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_what_was_not_done_comes_back_when_everybody_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "queue"
    code = """\
jobs = procession.JoinableQueue(path=path + '-jobs')
for number in range(4): jobs.put(number)
assert [jobs.get() for _ in range(3)] == [0, 1, 2]
jobs.task_done()
"""
    output(program(path, code))
    jobs = procession.JoinableQueue(path=f"{path}-jobs")
    assert (jobs.qsize(), jobs.unfinished()) == (3, 3)
    with pytest.raises(TimeoutError):
        jobs.join(0.01)
    got = [(jobs.get(), jobs.delivery_count) for _ in range(3)]
    assert got == [(1, 2), (2, 2), (3, 1)]
    for _ in range(3):
        jobs.task_done()
    jobs.join(SOON)
    with pytest.raises(ValueError, match="too many times"):
        jobs.task_done()


@pytest.mark.slow
def test_an_item_is_not_delivered_for_ever(tmp_path: Path) -> None:
    path = str(tmp_path / "queue")
    procession.JoinableQueue(max_deliveries=1, path=path).put("poison")
    code = f"procession.JoinableQueue(max_deliveries=1, path={path!r} ).get()"
    output(program(tmp_path / "other", code))
    jobs = procession.JoinableQueue(max_deliveries=1, path=path)
    with pytest.raises(DeliveredTooOften) as raised:
        jobs.get(timeout=SOON)
    assert raised.value.deliveries == 2
    jobs.task_done()
    jobs.join(SOON)


# --- the end ----------------------------------------------------------------------------------------------------------


def test_shut_down(tmp_path: Path) -> None:
    queue = procession.Queue(path=tmp_path / "queue")
    queue.put(1)
    queue.shutdown()
    with pytest.raises(ShutDown):
        queue.put(2)
    assert queue.get() == 1
    with pytest.raises(ShutDown):
        queue.get()


def test_closed(tmp_path: Path) -> None:
    queue, other = (procession.Queue(path=tmp_path / "queue") for _ in range(2))
    queue.put(1)
    queue.close()
    queue.close()
    queue.join_thread()
    for call in (
        lambda: queue.put(1),
        queue.get,
        queue.get_many,
        queue.flush,
        queue.empty,
        queue.qsize,
        queue.statistics,
    ):
        with pytest.raises(Closed):
            call()
    assert "closed" in repr(queue)
    assert other.get() == 1


def test_unlinked(tmp_path: Path) -> None:
    queue = procession.Queue(path=tmp_path / "queue")
    queue.put(1)
    queue.unlink()
    assert not (tmp_path / "queue").exists()
    again = procession.Queue(5, path=tmp_path / "queue")
    assert again.qsize() == 0


def test_people_are_shown_how_much_is_in_it(tmp_path: Path) -> None:
    plain, joined = procession.Queue(path=tmp_path / "plain"), procession.JoinableQueue(path=tmp_path / "joined")
    for queue in (plain, joined):
        queue.put_many("abc")
        queue.get()
    programs = [program for program in _registry.programs() if os.getpid() in [one.pid for one in program.processes]]
    shown = {one.name: one for program in programs for one in program.objects}
    for queue, kind in ((plain, "Queue"), (joined, "JoinableQueue")):
        one = shown[queue.path]
        assert (one.kind, one.statistics.depth, one.statistics.put, one.statistics.taken) == (kind, 2, 3, 1)
        assert one.statistics.nbytes == queue.nbytes()
