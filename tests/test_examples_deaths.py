"""What the programs in examples/ claim for the case that somebody is killed, or that they are started again."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from commands import left_behind
from documents import matches
from test_examples import EXAMPLES, run, session

import procession
from procession.errors import AbandonedLockWarning, WorkerDied
from procession.testing import chaos, descendants, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)


@contextlib.contextmanager
def started(folder: Path, name: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-W", "error", EXAMPLES / f"{name}.py", *map(str, arguments)]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as program:
        yield program


def killed_with_its_family(program: subprocess.Popen[str], folder: Path) -> None:
    """`kill -9` of everybody at once, as a machine's end is."""
    os.killpg(program.pid, signal.SIGKILL)
    program.communicate(timeout=20)
    wait_until(lambda: left_behind(folder) == [])


def test_the_bank_is_right_whoever_dies_at_whatever_step(fork: Any) -> None:
    import bank

    transfers = 300
    books = bank.Bank(fork, transfers)
    with chaos(seed=8, rate=0.005, deeds="kill"), fork.Pool(2) as pool:
        pool.map(books.transfer, range(transfers), retries=50)
        deaths = pool.statistics().deaths
    assert deaths > 0
    assert sum(books.done) == transfers
    assert sum(books.balances) == bank.ACCOUNTS * bank.OPENING
    assert list(books.balances) == [books.by_the_books(account) for account in range(bank.ACCOUNTS)]


def test_the_crawler_reads_every_page_whoever_dies_at_whatever_step(fork: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import crawler

    monkeypatch.setattr(crawler, "DEADLY", "nobody is killed on purpose")
    found, address = fork.JoinableQueue(), fork.Queue()
    server = fork.Process(target=crawler.serve, args=(address,), daemon=True)
    server.start()
    found.put(start := address.get())
    try:
        with (
            warnings.catch_warnings(action="ignore", category=AbandonedLockWarning),
            fork.Manager() as manager,
            chaos(seed=8, rate=0.004, deeds="kill"),
            fork.Pool(2, retries=100) as pool,
        ):
            pages = manager.dict({start: ""})
            crawls = pool.starmap_async(crawler.crawl, [(found, pages, fork.Lock(), fork.Semaphore(2))] * 2)
            found.join(30)
            found.shutdown()
            crawls.get(30)
            assert pool.statistics().deaths > 0
            titles = pages.values()
    finally:
        server.kill()
        server.join()
    assert len(titles) == 2 * crawler.PAGES + 1
    assert sorted(title for title in titles if title.startswith("Page")) == sorted(
        f"Page {number}" for number in range(1, crawler.PAGES + 1)
    )


def die(*args: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("stage", ["read", "parse", "write"])
def test_a_pipeline_with_a_dead_stage_ends_without_output(
    fork: Any, stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pipeline

    source, target = tmp_path / "orders.jsonl", tmp_path / "sums.tsv"
    source.write_text('{"id": 1, "cents": 2, "pieces": 3}\n' * 10_000)
    monkeypatch.setattr(pipeline, stage, die)
    try:
        with pytest.raises(WorkerDied, match="SIGKILL"):
            pipeline.run(fork, 1, source, target)
        assert not target.exists()
    finally:
        for child in procession.active_children():
            child.kill()
            child.join()


def test_a_simulation_ends_when_a_worker_is_killed(tmp_path: Path) -> None:
    pytest.importorskip("numpy")
    with started(tmp_path, "simulation", "--steps", 10_000_000, "--engine", "fork", "--workers", 3) as program:
        wait_until(lambda: len(descendants(program.pid)) >= 3, 20)
        os.kill(descendants(program.pid)[1], signal.SIGKILL)
        _, errors = program.communicate(timeout=20)
    assert program.returncode == 1
    assert "SIGKILL" in errors or "BrokenBarrierError" in errors
    wait_until(lambda: left_behind(tmp_path) == [])


def test_thumbnails_are_whole_and_go_on(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    import thumbnails

    pictures, small = tmp_path / "pictures", tmp_path / "small"
    pictures.mkdir()
    thumbnails.make_sample(pictures)
    with started(tmp_path, "thumbnails", pictures, small, "--engine", "fork") as program:
        wait_until(lambda: small.exists() and list(small.glob("*.jpg")), 20)
        killed_with_its_family(program, tmp_path)
    before = len(list(small.glob("*.jpg")))
    printed = run(tmp_path, "thumbnails", pictures, small, "--engine", "thread")
    assert printed.endswith(f"\n{12 - before} made, {before} there already\n")
    for path in small.glob("*.jpg"):
        with image.open(path) as picture:
            picture.load()


def test_etl_is_done_again_after_everybody_was_killed(tmp_path: Path) -> None:
    import etl

    database = tmp_path / "sales.db"
    files = list(etl.make_sample(tmp_path))
    with started(tmp_path, "etl", *files, "--database", database, "--engine", "fork") as program:
        wait_until(lambda: database.exists() and rows(database) > 0, 20)
        killed_with_its_family(program, tmp_path)
    assert rows(database) % 4990 == 0, "a file is loaded as a whole or not at all"
    _, expected = session("etl")
    assert matches(expected, run(tmp_path, "etl", *files, "--database", database, "--engine", "fork"))
    assert rows(database) == 8 * 4990


def rows(database: Path) -> int:
    with closing(sqlite3.connect(database)) as connection:
        try:
            return int(connection.execute("SELECT count(*) FROM sales").fetchone()[0])
        except sqlite3.OperationalError:  # no such table: it is just being made
            return 0


def test_etl_goes_on_when_a_worker_is_killed_at_its_transaction(database: str, tmp_path: Path) -> None:
    """Which waits for a row that is locked, so that it is known to be in the middle of it."""
    psycopg = pytest.importorskip("psycopg")
    import etl

    files = list(etl.make_sample(tmp_path))
    _, expected = session("etl")
    assert matches(expected, run(tmp_path, "etl", *files, "--database", database, "--engine", "thread"))
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    with psycopg.connect(database) as ours, psycopg.connect(database, autocommit=True) as watching:
        ours.execute("UPDATE sales SET cents = 0")
        with started(tmp_path, "etl", *files, "--database", database, "--engine", "fork", "--workers", 2) as program:
            wait_until(lambda: watching.execute(waiting).fetchone()[0] == 2, 20)
            os.kill(descendants(program.pid)[0], signal.SIGKILL)
            ours.rollback()
            printed, errors = program.communicate(timeout=30)
    assert program.returncode == 0, errors
    assert matches(expected, printed)


def test_hyperparameters_are_not_tried_again(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    arguments, expected = session("hyperparameters")
    assert matches(expected, run(tmp_path, "hyperparameters", *arguments, "--engine", "fork", "--workers", 2))
    # Nothing could be tried in that time
    again = run(tmp_path, "hyperparameters", *arguments, "--timeout", "1e-6", "--engine", "spawn", "--workers", 1)
    assert matches(expected, again)


def test_copies_become_links(tmp_path: Path) -> None:
    import dedupe

    files = tmp_path / "files"
    files.mkdir()
    dedupe.make_sample(files)
    before = {path.name: path.read_bytes() for path in files.iterdir()}
    assert "3.txt is" in run(tmp_path, "dedupe", files)
    assert len({path.stat().st_ino for path in files.iterdir()}) == 8, "only told"
    printed = run(tmp_path, "dedupe", files, "--link")
    assert printed.endswith("8 files read, 900,000 bytes given back\n")
    assert len({path.stat().st_ino for path in files.iterdir()}) == 5
    assert {path.name: path.read_bytes() for path in files.iterdir()} == before
