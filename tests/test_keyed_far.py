"""map_reduce_by_key on clusters: whatever the engine, the very rows that workers of this machine give."""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import homes
import pytest
from commands import procession as command
from job_files import JOBS
from keyed_tasks import SMALL, words

import procession
from procession.errors import NotSupported, PoolTerminated, WorkerDied
from procession.gather import top
from procession.mapreduce import Files
from procession.mapreduce.afar import Reader
from procession.mapreduce.errors import InputOutOfReach
from procession.pool import Pool
from procession.pool.board import KeyedProgress
from procession.pool.far_keyed import MOST_BYTES, Portions
from procession.pool.feeds import Pieces, items_of

pytestmark = pytest.mark.watchdog(60)

FAR = [*homes.EXECUTORS, *homes.CLUSTERS]
REMOTE = list(homes.CLUSTERS)  # those that make a lost task again
NUMBERS = range(400)


@pytest.fixture(scope="module")
def far(request: pytest.FixtureRequest, engine: Any) -> Iterator[Pool]:
    """A pool on each cluster and executor in turn."""
    with engine.Pool(2) as pool:
        yield pool


@pytest.fixture(scope="module")
def here() -> Iterator[Pool]:
    """What all others are compared with."""
    with procession.get_context("fork").Pool(2) as pool:
        yield pool
    pool.join()


on_far = pytest.mark.parametrize("engine", FAR, indirect=True, scope="module")
on_remote = pytest.mark.parametrize("engine", REMOTE, indirect=True, scope="module")


# What maps and reduces


def keys(number: int) -> list[Any]:
    return [number % 7, str(number % 5), (number % 3, None)]


def pairs(number: int) -> list[tuple[Any, Any]]:
    return [(number % 7, float(number)), (str(number % 5), number), ((number % 3, None), -number)]


def generated(number: int) -> Iterator[tuple[int, str]]:
    yield number % 10, f"text {number}"


def larger(left: Any, right: Any) -> Any:
    return max(left, right)


def distance(key: Any, values: list[Any]) -> Any:
    return values[0], values[-1], max(values) - min(values)


def failing(number: int) -> list[int]:
    if number == 77:
        raise KeyError("seven")
    return [number]


def leaving(number: int) -> list[int]:
    sys.exit(number)


def dying(place: str) -> None:
    """End this worker, once."""
    try:
        os.close(os.open(place, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


class DyingMap:
    def __init__(self, place: Path) -> None:
        self.place = str(place)

    def __call__(self, number: int) -> list[tuple[int, int]]:
        if number == 150:
            dying(self.place)
        return [(number % 7, number)]


class DyingReduce:
    def __init__(self, place: Path) -> None:
        self.place = str(place)

    def __call__(self, key: int, values: list[int]) -> list[int]:
        dying(self.place)
        return values


def lengths(text: Any) -> list[tuple[str, int]]:
    return [(text.path, len(line)) for line in text.splitlines()]


def amounts(text: Any) -> tuple[list[str], list[int]]:
    return text.column("city"), [int(amount) for amount in text.column("amount")]


def rows(result: Any) -> list[tuple[Any, Any]]:
    """In storage order, which is the same if all bytes of the keys are."""
    return list(result.items())


# The same rows


@on_far
def test_every_reducer_gives_the_same_rows(far: Pool, here: Pool) -> None:
    named = [(pairs, name) for name in ("sum", "mean", "min", "max", "first", "list", "set")]
    for function, reduce in [(keys, "count"), (generated, "list"), (pairs, top(3)), *named, (pairs, distance)]:
        local, result = (pool.map_reduce_by_key(function, NUMBERS, reduce) for pool in (here, far))
        assert rows(result) == rows(local), reduce
        assert result.reducer == local.reducer
        assert pickle.dumps(rows(result)) == pickle.dumps(rows(local)), reduce
    combined = [pool.map_reduce_by_key(pairs, iter(NUMBERS), combine=larger) for pool in (here, far)]
    assert rows(combined[0]) == rows(combined[1])
    assert len(far.map_reduce_by_key(pairs, [], "sum")) == 0


@on_far
def test_what_is_spilled_comes_back(far: Pool, here: Pool) -> None:
    given = [f"{number} {number * 7919 % 10007} {'x' * (number % 50)}" for number in range(20_000)]
    local = here.map_reduce_by_key(words, given, "count")
    result = far.map_reduce_by_key(words, given, "count", memory_budget=SMALL)
    assert rows(result) == rows(local)
    took, before = result.statistics, local.statistics
    assert (took.items, took.pairs, took.keys, took.input_bytes) == (
        20_000,
        before.pairs,
        before.keys,
        sum(map(len, given)),
    )
    assert took.spilled_bytes == took.run_bytes > 0
    assert took.runs > len(given) // 1000  # more than portions


@on_far
def test_files_are_read_by_the_workers(far: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "logs").mkdir()
    for number in range(20):
        (tmp_path / "logs" / f"{number}.txt").write_text("".join(f"line {line}\n" for line in range(number * 40)))
    (tmp_path / "sales.csv").write_text("city,amount\n" + 'Rome,2\n"Paris,\nTexas",1\nBonn,7\n' * 20_000)
    monkeypatch.chdir(tmp_path)  # where the workers are not
    for function, files, reduce in [
        (lengths, Files("logs"), "list"),
        (amounts, Files("sales.csv", takes="csv"), "sum"),
        (words, Files("logs", takes="bytes"), "count"),
    ]:
        with procession.get_context("fork").Pool(2) as here:
            local = here.map_reduce_by_key(function, files, reduce)
        result = far.map_reduce_by_key(function, files, reduce)
        assert rows(result) == rows(local)
        assert result.statistics.input_bytes == local.statistics.input_bytes


@on_far
def test_what_is_no_file_is_sent_along(far: Pool, here: Pool, tmp_path: Path) -> None:
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    text = "".join(f"{number % 97} and {number}\n" for number in range(200_000))  # three pieces
    results = []
    for pool in (here, far):
        writer = threading.Thread(target=fifo.write_text, args=(text,))
        writer.start()
        results.append(rows(pool.map_reduce_by_key(words, Files(fifo), "count")))
        writer.join()
    assert results[0] == results[1]


# What goes wrong


@on_far
def test_an_error_names_the_item(far: Pool) -> None:
    with pytest.raises(KeyError, match="seven") as caught:
        far.map_reduce_by_key(failing, range(100), "count")
    assert re.search(r"in worker \d+ on .*, at failing\(77\), item 77", str(caught.value.__notes__))
    assert far.map_reduce_by_key(keys, range(14), "count")[3] == 2  # the pool is as before


@on_far
def test_a_function_that_exits_ends_the_call_alone(far: Pool) -> None:
    with pytest.raises(WorkerDied):
        far.map_reduce_by_key(leaving, [3], "count")
    assert far.apply(abs, (-1,)) == 1


@on_far
def test_a_checkpoint_is_refused_with_the_alternative(far: Pool, engine: Any, tmp_path: Path) -> None:
    from procession import mapreduce

    (tmp_path / "text").write_text("to be\n")
    with pytest.raises(NotSupported, match="get_context"):
        mapreduce.run("wordcount", [str(tmp_path / "text")], context=engine, checkpoint=tmp_path / "kept")


@on_remote
@pytest.mark.slow
@pytest.mark.parametrize("phase", ["map", "reduce"])
def test_a_worker_killed_in_the_middle_changes_nothing(far: Pool, here: Pool, tmp_path: Path, phase: str) -> None:
    """In the map its portion is mapped again; in the reduce so is whatever had left its parcels with that worker."""
    function = DyingMap(tmp_path / "died") if phase == "map" else DyingMap(tmp_path)
    reduce: Any = "list" if phase == "map" else DyingReduce(tmp_path / "died")
    result = far.map_reduce_by_key(function, range(300), reduce)
    assert (tmp_path / "died").exists()
    assert rows(result) == rows(here.map_reduce_by_key(DyingMap(tmp_path), range(300), "list"))


def test_files_out_of_reach_are_named_with_the_mend(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("to be\n")
    files = Files(path)
    with files.divide() as plan:
        pieces, reader = files.afar(plan)
    path.rename(tmp_path / "old")
    with pytest.raises(InputOutOfReach, match=f"{path}: a worker on .* share") as caught:
        list(reader.read(pieces[0]))
    assert caught.value.host in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    (tmp_path / "copy").write_text("to be\n")
    (tmp_path / "copy").rename(path)
    with pytest.raises(InputOutOfReach, match="another version"):
        list(reader.read(pieces[0]))
    times = (tmp_path / "old").stat()
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert list(Reader(files.form).read(pieces[0])) == ["to be\n"]  # a copy that kept its time will do


def test_a_pool_that_is_terminated_ends_the_call() -> None:
    with homes.engine("threads") as context:
        pool, going, go_on = context.Pool(2), threading.Event(), threading.Event()

        def waiting(number: int) -> list[int]:
            going.set()
            go_on.wait(30)
            return [number]

        def end() -> None:
            going.wait(30)
            pool.terminate()

        ender = threading.Thread(target=end)
        ender.start()
        try:
            with pytest.raises(PoolTerminated):
                pool.map_reduce_by_key(waiting, range(10), "count")
        finally:
            go_on.set()
            ender.join()


# Portions and progress


def test_portions_are_few_for_each_worker_and_never_too_large() -> None:
    def sizes(source: Any, chunksize: int | None = None) -> list[int]:
        portions, found = Portions(source, 2, chunksize), []
        while (portion := portions.next()) is not None:
            found.append(sum(len(chunk[2]) for chunk in portion[0]))
            portions.measure(found[-1], found[-1] * 1_000_000)  # a millisecond an item
        return found

    assert sizes(items_of(range(800))) == [100] * 8
    assert sizes(items_of(range(3))) == [1, 1, 1]
    assert sizes(items_of(range(10)), 4) == [4, 4, 2]
    streamed = sizes(items_of(iter(range(1000))))
    assert sum(streamed) == 1000
    assert streamed[0] == 1
    assert max(streamed) == 200  # a fifth of a second
    large = sizes(items_of([bytes(MOST_BYTES // 2)] * 80))
    assert max(large[1:]) == 1  # once it is known how large they are

    class Piece:
        size_bytes = 600_000

    assert sizes(Pieces([Piece() for _ in range(7)], 7 * 600_000)) == [2, 2, 2, 1]


def test_progress_and_statistics_of_a_far_call() -> None:
    told: list[KeyedProgress] = []
    with homes.engine("threads") as context, context.Pool(2) as pool:
        result = pool.map_reduce_by_key(keys, NUMBERS, "count", progress=told.append)
        assert pool.statistics().outstanding == 0
    assert [told[0].phase, told[-1].phase] == ["map", "reduce"]
    assert (told[-1].items, told[-1].total_items, told[-1].bytes) == (400, 400, told[-1].total_bytes)
    assert sum(worker.pairs for worker in told[-1].workers) == result.statistics.pairs == 1200
    assert result.statistics.workers == 2
    assert result.statistics.deaths == 0


# The command


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    (tmp_path / "text").mkdir()
    for number in range(12):
        (tmp_path / "text" / f"{number}.txt").write_text(f"Ein Wörtchen {number}\nto be {number % 3}, or not\n" * 900)
    (tmp_path / "sales.csv").write_text("city,price\n" + "Rome,2.5\nBonn,3\nRome,4\n" * 50)
    (tmp_path / "jobs.py").write_text("import beside\n" + JOBS + "\nLongestLine.reduce = beside.larger\n")
    (tmp_path / "beside.py").write_text("def larger(self, left, right):\n    return max(left, right)\n")
    return tmp_path


@pytest.mark.slow
def test_the_command_prints_the_same_bytes(dask_context: Any, corpus: Path) -> None:
    """Built-in jobs, jobs of one's own that are nowhere but here, and `map`."""
    address = dask_context.cluster.address
    group = "groupby", "sales.csv", "--by", "city", "--of", "price", "--how", "mean"
    for job in [("wordcount", "text"), ("index", "text"), group, ("jobs.py:LongestLine", "text")]:
        same_output(job, address, f"workers? of {address}", corpus)
    lines = "".join(json.dumps(number) + "\n" for number in range(50))
    (corpus / "half.py").write_text("def half(number):\n    return number / 2\n")
    done = command("map", "half.py:half", "--on", address, cwd=corpus, input=lines)
    assert (done.returncode, done.stdout) == (0, "".join(f"{number / 2}\n" for number in range(50))), done.stderr


@pytest.mark.slow
def test_the_command_starts_ray(corpus: Path) -> None:
    pytest.importorskip("ray")
    same_output(("jobs.py:Lines", "text"), "ray", "workers? of ray", corpus)


def same_output(job: tuple[str, ...], engine: str, workers: str, folder: Path) -> None:
    local, far = (command("mapreduce", *job, "--format", "json", *on, cwd=folder) for on in ((), ("--on", engine)))
    assert (far.returncode, far.stdout) == (0, local.stdout), (job, far.stderr)
    assert re.search(workers, far.stderr)


def test_a_cluster_that_is_not_there_is_one_line_and_an_exit_code(corpus: Path) -> None:
    pytest.importorskip("distributed")
    patience = os.environ | {"PROCESSION_CLUSTER_TIMEOUT": "0.2"}
    done = command("mapreduce", "wordcount", "text", "--on", "dask://127.0.0.1:1", cwd=corpus, env=patience)
    assert done.returncode == 1
    assert re.fullmatch(r"procession: ClusterUnreachable: no Dask scheduler .*127\.0\.0\.1:1.*\n", done.stderr)
    done = command("map", "math:sqrt", "--on", "dusk://127.0.0.1:1", cwd=corpus, input="")
    assert done.returncode == 2
    assert "dusk://127.0.0.1:1" in done.stderr
    done = command("map", "math:sqrt", "--context", "thread", cwd=corpus, input="4\n")  # as it was called before
    assert (done.returncode, done.stdout) == (0, "2.0\n")
