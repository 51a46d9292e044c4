"""What `progress=` does with each call: who is told what, and what comes of errors and deaths. Bars: see the others."""

from __future__ import annotations

import asyncio
import io
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pool_tasks import add, die_for, double, raise_for, wait_for

import procession
from procession import mapreduce
from procession.errors import WorkerDied
from procession.executor import Executor
from procession.pool import Pool
from procession.progress import Snapshot, ticking, write
from procession.testing import wait_until

CALLS: dict[str, Callable[..., Any]] = {
    "map": lambda pool, items, progress: pool.map(double, items, progress=progress),
    "starmap": lambda pool, items, progress: pool.starmap(double, [(n,) for n in items], progress=progress),
    "map_async": lambda pool, items, progress: pool.map_async(double, items, progress=progress).get(30),
    "starmap_async": lambda pool, items, progress: pool.starmap_async(
        double, [(n,) for n in items], progress=progress
    ).get(30),
    "imap": lambda pool, items, progress: list(pool.imap(double, items, 7, progress=progress)),
    "imap_unordered": lambda pool, items, progress: sorted(pool.imap_unordered(double, items, progress=progress)),
    "checkpoint": lambda pool, items, progress: pool.map(double, items, progress=progress, checkpoint=pool.kept),
}


@pytest.fixture(params=["fork", "thread"])
def pool(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    with procession.get_context(request.param).Pool(2) as pool:
        pool.kept = tmp_path / "kept"
        yield pool
    assert all(meter.ended for meter in list(ticking._driven)), "a bar outlived its pool"


@pytest.mark.parametrize("call", CALLS)
def test_a_function_is_told_to_the_end(pool: Pool, call: str) -> None:
    told: list[Snapshot] = []
    assert CALLS[call](pool, range(100), told.append) == list(range(0, 200, 2))
    last = told[-1]
    assert (last.done, last.total, last.failed, last.left, last.ended) == (100, 100, 0, 0.0, True)
    assert last.title == "double"
    assert last.rate == pytest.approx(last.done / last.elapsed)
    assert [snapshot.ended for snapshot in told[:-1]] == [False] * (len(told) - 1)
    with pytest.raises(AttributeError):
        last.done = 3  # type: ignore[misc]


def test_what_a_function_raises_ends_the_call(pool: Pool) -> None:
    def told(now: Snapshot) -> None:
        raise KeyError("not me")

    for name, call in CALLS.items():
        with pytest.raises(KeyError, match="not me"):
            call(pool, range(100), told)
        assert pool.map(double, [1]) == [2], f"and the pool goes on after {name}"


@pytest.mark.parametrize("call", ["map", "map_async", "imap"])
def test_what_a_function_raises_ends_the_call_in_its_middle(pool: Pool, call: str) -> None:
    gate = pool._ctx.Event()
    calls: dict[str, Callable[..., Any]] = {
        "map": lambda told: pool.map(wait_for, [gate] * 50, progress=told),
        "map_async": lambda told: pool.map_async(wait_for, [gate] * 50, progress=told).get(30),
        "imap": lambda told: list(pool.imap(wait_for, [gate] * 50, progress=told)),
    }

    def told(now: Snapshot) -> None:
        assert not now.ended
        raise KeyError("in the middle")

    with pytest.raises(KeyError, match="in the middle"):
        calls[call](told)
    gate.set()
    assert pool.map(double, [1]) == [2]


@pytest.mark.parametrize("progress", [3, object(), [print], b"title"])
def test_what_progress_may_not_be(fork_pool: Pool, progress: Any, tmp_path: Path) -> None:
    fork_pool.kept = tmp_path / "kept"  # type: ignore[attr-defined]
    executor = Executor(1, "thread")
    calls: dict[str, Callable[..., Any]] = CALLS | {
        "map_reduce": lambda pool, items, progress: pool.map_reduce(double, items, add, progress=progress),
        "map_reduce_by_key": lambda pool, items, progress: pool.map_reduce_by_key(double, items, progress=progress),
        "Executor.map": lambda pool, items, progress: executor.map(double, items, progress=progress),
    }
    for call in calls.values():
        with pytest.raises(TypeError, match=r"progress must be True, a title, a function .* tqdm .*rich"):
            call(fork_pool, [1], progress)
    executor.shutdown()


def test_nothing_is_said_where_there_is_no_terminal(pool: Pool, capfd: pytest.CaptureFixture[str]) -> None:
    for progress in (True, "title", False, None):
        for call in CALLS.values():
            assert call(pool, range(100), progress) == list(range(0, 200, 2))
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_one_chunk_is_told_item_by_item(pool: Pool) -> None:
    """Nobody but who is told opens the gate for the next item: if they were told of the chunk, this would hang."""
    gate = pool._ctx.Semaphore(0)
    seen: list[int] = []

    def told(now: Snapshot) -> None:
        if not seen or seen[-1] < now.done:
            seen.append(now.done)
        if now.done == len(seen) - 1 or not seen:
            gate.release()

    assert len(pool.starmap(_pass, [(gate,)] * 5, chunksize=5, progress=told)) == 5
    assert seen == sorted(seen)
    assert len(seen) >= 4, "the first may come together with the second"


def _pass(gate: Any) -> None:
    gate.acquire()


def test_failures_are_counted(pool: Pool) -> None:
    told: list[Snapshot] = []
    items = [1, -1, 2, -2, -3]
    results: list[Any] = pool.map(raise_for, items, progress=told.append, return_exceptions=True)
    assert [type(result) for result in results] == [int, ValueError, int, ValueError, ValueError]
    assert (told[-1].done, told[-1].failed) == (5, 3)
    with pytest.raises(ValueError, match="-1 is negative"):
        pool.map(raise_for, items, chunksize=1, progress=told.append)
    assert (told[-1].done, told[-1].failed, told[-1].ended) == (5, 3, True)


def test_a_worker_died(fork_pool: Pool) -> None:
    told: list[Snapshot] = []
    with pytest.raises(WorkerDied):
        fork_pool.map(die_for, [1, 2, -signal.SIGKILL, 3, 4, 5], chunksize=3, progress=told.append)
    assert (told[-1].done, told[-1].total, told[-1].failed) == (6, 6, 1)


def test_the_length_of_an_iterator_is_known_at_its_end(pool: Pool) -> None:
    told: list[Snapshot] = []
    for result in pool.imap(double, iter(range(300)), progress=told.append):
        if result == 400:
            assert all(now.total is None for now in told)
    assert (told[-1].done, told[-1].total) == (300, 300)


def test_an_iterator_that_is_dropped_is_told_no_more(pool: Pool) -> None:
    told: list[Snapshot] = []
    for _ in pool.imap(double, range(100_000), progress=told.append):
        break
    assert not any(now.ended for now in told)
    results = pool.imap(double, range(5), progress=told.append)
    assert [results.next(timeout=30) for _ in range(5)] == [0, 2, 4, 6, 8]
    with pytest.raises(StopIteration):
        results.next(timeout=0)
    assert told[-1].ended


def test_time_runs_out_for_the_next_result(pool: Pool) -> None:
    gate = pool._ctx.Event()
    results = pool.imap(wait_for, [gate], progress=lambda now: None)
    with pytest.raises(procession.TimeoutError):
        results.next(timeout=0.01)
    gate.set()
    assert results.next(timeout=30)


def test_what_cannot_be_submitted_shows_nothing_more(fork_pool: Pool) -> None:
    with pytest.raises(procession.errors.PicklingError):
        fork_pool.map_async(double, [threading.Lock()], progress=lambda now: None)
    with pytest.raises(TypeError):
        fork_pool.imap(double, 3, progress=lambda now: None)  # type: ignore[arg-type]
    wait_until(lambda: not ticking._driven)


def test_a_checkpoint_knows_some(fork_pool: Pool, tmp_path: Path) -> None:
    told: list[Snapshot] = []
    for many in (20, 50):
        fork_pool.map(double, range(many), checkpoint=tmp_path / "kept", progress=told.append)
    last = told[-1]
    assert (last.done, last.total) == (50, 50)
    assert last.rate == pytest.approx(30 / last.elapsed), "what was known says nothing about the rate"


def test_map_reduce_is_told_of_items(pool: Pool) -> None:
    told: list[Snapshot] = []
    assert pool.map_reduce(double, range(1000), add, progress=told.append) == 999_000
    assert (told[-1].done, told[-1].total, told[-1].ended) == (1000, 1000, True)
    with pytest.raises(ZeroDivisionError):
        pool.map_reduce(double, range(1000), add, progress=lambda now: 1 / 0)  # type: ignore[arg-type]
    assert pool.map(double, [1]) == [2]


@pytest.mark.parametrize("options", [{}, {"chunksize": 7}, {"buffersize": 5}])
@pytest.mark.parametrize("method", ["fork", "thread"])
def test_an_executor(method: str, options: dict[str, Any]) -> None:
    told: list[Snapshot] = []
    with Executor(2, method) as executor:
        assert list(executor.map(double, range(100), progress=told.append, **options)) == list(range(0, 200, 2))
        assert (told[-1].done, told[-1].total, told[-1].failed, told[-1].ended) == (100, 100, 0, True)
        with pytest.raises(ZeroDivisionError):
            list(executor.map(double, range(100), progress=lambda now: 1 / 0))  # type: ignore[arg-type]
        assert list(executor.map(add, range(3), iter(range(3)), progress=True)) == [0, 2, 4]
        with pytest.raises(ValueError, match="negative"):
            list(executor.map(raise_for, [1, -1], progress="title", **options))


def test_asyncio(pool: Pool) -> None:
    told: list[Snapshot] = []

    async def main() -> None:
        assert await pool.map_async(double, range(10), progress=told.append) == list(range(0, 20, 2))
        assert told[-1].ended
        assert [result async for result in pool.imap(double, range(10), progress=told.append)][-1] == 18
        assert told[-1].ended
        with pytest.raises(ZeroDivisionError):
            await pool.map_async(double, range(10), progress=lambda now: 1 / 0)  # type: ignore[arg-type]

    asyncio.run(main())


def test_callbacks_hear_what_a_function_raised(pool: Pool) -> None:
    heard: list[BaseException] = []
    result = pool.map_async(
        double,
        range(10),
        error_callback=heard.append,
        progress=lambda now: 1 / 0,  # type: ignore[arg-type]
    )
    result.wait()
    assert not result.successful()
    assert [type(error) for error in heard] == [ZeroDivisionError]


class Bar:
    """What is like tqdm."""

    made: list[Bar]

    def __init__(self, *, total: int | None = None, desc: str = "") -> None:
        self.total, self.desc = total, desc
        self.n = self.closed = 0
        self.made.append(self)

    def update(self, number: int) -> None:
        self.n += number

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("how", ["class", "partial", "bar", "bar with a total"])
def test_what_is_like_tqdm(pool: Pool, how: str) -> None:
    made: dict[str, Callable[[], Any]] = {
        "class": lambda: Bar,
        "partial": lambda: partial(Bar, desc="mine"),
        "bar": lambda: Bar(),
        "bar with a total": lambda: Bar(total=500),
    }
    for name, call in CALLS.items():
        Bar.made = []
        pool.kept.unlink(missing_ok=True)  # type: ignore[attr-defined]
        assert call(pool, range(100), made[how]()) == list(range(0, 200, 2)), name
        (bar,) = Bar.made
        assert bar.n == 100
        if how == "bar with a total":
            assert (bar.total, bar.closed) == (500, 0), "the caller's affair"
        else:
            assert (bar.total, bar.closed) == (100, 1)
        assert bar.desc == ("mine" if how == "partial" else "")


def test_what_is_like_tqdm_is_closed_when_the_call_fails(fork_pool: Pool) -> None:
    Bar.made = []
    with pytest.raises(procession.errors.PicklingError):
        fork_pool.map(double, [threading.Lock()], progress=Bar)
    for _ in fork_pool.imap(double, range(10_000), progress=Bar):
        break
    fork_pool.close()
    fork_pool.join()  # what was on its way has arrived, and with the last of it the iterator goes
    assert [bar.closed for bar in Bar.made] == [1, 1]


def test_rich(pool: Pool) -> None:
    progress = pytest.importorskip("rich.progress")
    console = pytest.importorskip("rich.console")
    with progress.Progress(console=console.Console(file=io.StringIO())) as bars:
        assert pool.map(double, range(100), progress=bars) == list(range(0, 200, 2))
        (task,) = bars.tasks
        assert (task.description, task.completed, task.total, task.finished) == ("double", 100, 100, True)


def test_a_keyed_map_reduce_tells_what_bars_need(fork_pool: Pool) -> None:
    told: list[Any] = []
    fork_pool.map_reduce_by_key(_parity, range(1000), "count", progress=told.append)
    assert (told[-1].done, told[-1].total, told[-1].failed) == (1000, 1000, 0)
    assert told[-1].rate > 0
    assert told[-1].elapsed > 0
    assert told[-1].left == 0
    Bar.made = []
    assert fork_pool.map_reduce_by_key(_parity, range(1000), "count", progress=Bar)[1] == 500
    assert [(bar.n, bar.total, bar.closed) for bar in Bar.made] == [(1000, 1000, 1)]


def test_a_job_over_files(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("one two two\n" * 100)
    Bar.made = []
    for progress in (True, "title", Bar):
        answer = mapreduce.run(
            "wordcount", [str(tmp_path / "text")], context=procession.get_context("fork"), workers=1, progress=progress
        )
        assert answer.total["two"] == 200
    assert [(bar.n > 0, bar.closed) for bar in Bar.made] == [(True, 1)]
    with pytest.raises(TypeError, match="progress must be"):
        mapreduce.run("wordcount", [str(tmp_path / "text")], context=procession.get_context("fork"), progress=3)


def _parity(number: int) -> list[int]:
    return [number % 2]


LOG = """
import os, procession
def double(x): return 2 * x
if __name__ == "__main__":
    with procession.get_context("fork").Pool(2) as pool:
        assert pool.map(double, range(1000), progress=True)[-1] == 1998
        assert sum(pool.imap(double, iter([1, 2]), progress="an iterator")) == 6
"""


@pytest.mark.slow
@pytest.mark.parametrize("environ", [{"PROCESSION_PROGRESS": "1"}, {"PROCESSION_PROGRESS": "0"}, {}])
def test_lines_for_a_log(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(LOG)
    command = [sys.executable, str(tmp_path / "program.py")]
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=50, check=True)
    lines = ended.stderr.splitlines()
    assert ended.stdout == ""
    if environ.get("PROCESSION_PROGRESS") != "1":
        assert lines == []
        return
    first, second = lines
    assert first.startswith("double 100%  1,000/1,000  ")
    assert second.startswith("an iterator 100%  2/2  ")
    assert ended.stderr.isprintable() or "\x1b" not in ended.stderr


def test_writing_where_no_bar_is(capsys: pytest.CaptureFixture[str]) -> None:
    write("to standard output")
    write("and error\n", sys.stderr)
    assert capsys.readouterr() == ("to standard output\n", "and error\n")


@pytest.mark.slow
def test_nothing_is_loaded_for_calls_without_it(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        LOG.replace("progress=True", "progress=None").replace(', progress="an iterator"', "")
        + "    import sys; print([name for name in sys.modules if 'progress' in name])\n"
    )
    command = [sys.executable, str(tmp_path / "program.py")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True)
    assert ended.stdout == "[]\n"
