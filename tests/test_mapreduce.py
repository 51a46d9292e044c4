"""Running jobs in every context: `procession.mapreduce` as a library."""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from job_files import JOBS

import procession
from procession.mapreduce import errors as causes
from procession.mapreduce import rows
from procession.mapreduce.alone import run_here
from procession.mapreduce.running import run
from procession.pool.board import KeyedProgress


def words_of(text: str) -> list[str]:
    """The words of a text, found letter by letter: an independent way to what the job should find."""
    return "".join(char if char.isalpha() else " " for char in text.lower()).split()


@pytest.fixture
def job_file(tmp_path: Path) -> str:
    path = tmp_path / "jobs_here.py"
    path.write_text(JOBS)
    return str(path)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Half a MiB of text in three files, one of them empty."""
    rng = random.Random(5)
    words = [f"word{number}é" for number in range(3000)]
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name, lines in (("large", 9000), ("small", 30), ("empty", 0)):
        text = "".join(" ".join(rng.choices(words, k=6)) + "\n" for _ in range(lines))
        (folder / name).write_text(text)
    return folder


def counted(folder: Path) -> Counter[str]:
    return Counter(word for path in folder.iterdir() for word in words_of(path.read_text()))


def test_word_count_in_every_context(context: Any, corpus: Path) -> None:
    seen: list[KeyedProgress] = []
    answer = run("wordcount", [str(corpus)], context=context, workers=2, progress=seen.append)
    assert answer.total == counted(corpus)
    assert answer.files == 3
    assert answer.pieces > 2
    assert answer.size_bytes == sum(path.stat().st_size for path in corpus.iterdir())
    assert {now.phase for now in seen} == {"map", "reduce"}
    assert all(0 <= now.bytes <= answer.size_bytes == now.total_bytes for now in seen if now.phase == "map")
    assert answer.moved_bytes > 0
    assert answer.peak_bytes > 1 << 20


def test_own_jobs_in_every_context(context: Any, corpus: Path, job_file: str) -> None:
    answer = run(f"{job_file}:Lines", [str(corpus)], context=context, workers=2)
    lines = [(path.name, line) for path in corpus.iterdir() for line in path.read_text().splitlines()]
    assert list(rows.rows_of(answer.job, answer.total)) == sorted(lines)
    assert answer.total != []
    assert run_here(f"{job_file}:LongestLine", [str(corpus)]).total == max((len(line), line) for _, line in lines)


class CountCharacters:
    """A job given as an instance."""

    def map(self, text: str) -> int:
        return len(text)

    def reduce(self, left: int, right: int) -> int:
        return left + right


def test_a_job_may_be_an_instance(corpus: Path) -> None:
    context = procession.get_context("fork")
    answer = run(CountCharacters(), [str(corpus)], context=context, workers=2)
    assert answer.total == sum(len(path.read_text()) for path in corpus.iterdir())


class Places:
    """Which processes mapped."""

    def map(self, text: str) -> set[int]:
        return {os.getpid()}

    def reduce(self, left: set[int], right: set[int]) -> set[int]:
        return left | right


def test_without_a_context_it_is_the_default_one(corpus: Path) -> None:
    procession.set_start_method("thread", force=True)
    try:
        assert run(Places(), [str(corpus)], workers=2).total == {os.getpid()}
    finally:
        procession.set_start_method(None, force=True)


def test_nothing_to_read_gives_the_answer_for_no_text(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    answer = run("wordcount", [str(tmp_path / "empty")], context=procession.get_context("fork"), workers=3)
    assert (answer.total, answer.files, answer.pieces) == ({}, 1, 0)


@pytest.mark.parametrize("workers", [0, -1])
def test_too_few_workers(workers: int, corpus: Path) -> None:
    with pytest.raises(ValueError, match=f"at least 1 worker, not {workers}"):
        run("wordcount", [str(corpus)], context=procession.get_context("fork"), workers=workers)


def test_errors_in_workers_reach_the_caller(context: Any, corpus: Path, job_file: str) -> None:
    with pytest.raises(causes.JobFailed, match="cannot stand this text") as caught:
        run(f"{job_file}:Failing", [str(corpus)], context=context, workers=2)
    assert "in map" in caught.value.details
    (corpus / "large").write_bytes(b"caf\xe9\n" * 100_000)
    with pytest.raises(causes.InputNotText):
        run("wordcount", [str(corpus)], context=context, workers=2)
