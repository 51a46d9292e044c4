"""Dividing input, finding jobs, running them: `procession.mapreduce` as a library.

Dividing is tested against the plainest model: the bytes of the pieces, put in order again, are the bytes of the files,
and every cut stands behind a line's end.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import procession
from procession.errors import InputError, JobError
from procession.mapreduce import errors as causes
from procession.mapreduce import jobs, plan, progress, rows
from procession.mapreduce.reading import read_bytes, read_text
from procession.mapreduce.running import run, run_here

JOB_FILE = '''
class LongestLine:
    """The longest line, and where it starts to be looked for."""

    columns = ("length", "line")

    def map(self, text):
        return max(((len(line), line) for line in text.splitlines()), default=(0, ""))

    def reduce(self, left, right):
        return max(left, right)


class Lines:
    """Every line, with the file it came from, to see that none is lost or doubled."""

    def map(self, text):
        return [(os.path.basename(text.path), line) for line in text.split("\\n") if line]

    def reduce(self, left, right):
        return left + right

    def finish(self, total):
        return iter(sorted(total))


class Failing(LongestLine):
    def map(self, text):
        raise ValueError("cannot stand this text")


class OnlyMap:
    def map(self, text):
        return 0


class NeedsArgument(LongestLine):
    def __init__(self, size):
        pass


import os
'''


def words_of(text: str) -> list[str]:
    """The words of a text, found letter by letter: an independent way to what the job should find."""
    return "".join(char if char.isalpha() else " " for char in text.lower()).split()


@pytest.fixture
def job_file(tmp_path: Path) -> str:
    path = tmp_path / "jobs_here.py"
    path.write_text(JOB_FILE)
    return str(path)


def random_text(rng: random.Random, lines: int) -> bytes:
    """Lines of very different lengths, some empty, CRLF among them, multi-byte characters everywhere."""
    parts = []
    for _ in range(lines):
        length = rng.choice([0, 0, 1, 7, 40, 300, 5000])
        parts.append("".join(rng.choice("ab é€𝄞\t") for _ in range(length)) + rng.choice(["\n", "\n", "\r\n"]))
    text = "".join(parts)
    return (text if rng.random() < 0.5 else text + "no newline at the end").encode()


# Dividing


@pytest.mark.parametrize("seed", range(25))
def test_every_byte_is_in_one_piece_and_cuts_stand_behind_lines(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(seed)
    monkeypatch.setattr(plan, "PIECE_BYTES", rng.choice([1, 10, 1000, 20_000]))
    monkeypatch.setattr(plan, "SMALLEST_PIECE_BYTES", 1)
    monkeypatch.setattr(plan, "BORDER_PROBE_BYTES", rng.choice([1, 13, 4096]))
    expected = {}
    for number in range(rng.randrange(1, 6)):
        path = tmp_path / f"file{number}"
        path.write_bytes(random_text(rng, rng.randrange(0, 40)))
        expected[str(path)] = path.read_bytes()
    divided = plan.divide([str(tmp_path)], workers=2)
    found: dict[str, list[plan.Span]] = {path: [] for path in expected}
    for piece in divided.pieces:
        for span in piece:
            found[span.path].append(span)
    for path, spans in found.items():
        spans.sort(key=lambda span: span.offset)
        parts = [read_bytes(span) for span in spans]
        assert b"".join(parts) == expected[path]
        assert all(part.endswith(b"\n") for part in parts[:-1])
        assert "".join(read_text(span, "utf-8", "strict") for span in spans) == expected[path].decode()
    sizes = [sum(span.length for span in piece) for piece in divided.pieces]
    assert sizes == sorted(sizes, reverse=True)
    assert divided.files == len(expected)


def test_a_large_file_is_cut_and_small_ones_are_put_together(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 99 + b"\n" + b"y" * 99 + b"\n" * (3 << 20))
    for number in range(50):
        (tmp_path / f"small{number:02}").write_bytes(b"a word\n")
    divided = plan.divide([str(tmp_path)], workers=2)
    assert 8 <= len(divided.pieces) <= 20
    assert sorted(len(piece) for piece in divided.pieces)[-2:] == [4, 47]


def test_one_endless_line_is_one_piece(tmp_path: Path) -> None:
    (tmp_path / "line").write_bytes(b"x" * (1 << 20))
    assert len(plan.divide([str(tmp_path / "line")], workers=2).pieces) == 1


@pytest.mark.parametrize(
    ("encoding", "cut"),
    [
        *((name, True) for name in ("utf-8", "utf-8-sig", "latin-1", "cp932", "gb18030")),
        *((name, False) for name in ("utf-16", "utf-16-le", "utf-32", "iso2022_jp", "utf-7", "hz", "cp037")),
    ],
)
def test_only_encodings_that_allow_it_are_cut(encoding: str, cut: bool) -> None:
    assert plan.cuts_at_newlines(encoding) is cut


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32-be", "cp932", "gb18030", "iso2022_jp"])
def test_text_in_any_encoding_is_read_once(encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "PIECE_BYTES", 50)
    monkeypatch.setattr(plan, "SMALLEST_PIECE_BYTES", 50)
    text = "日本 語の 文 words\nカタカナ\n" * 40
    (tmp_path / "text").write_bytes(text.encode(encoding))
    answer = run_here("wordcount", [str(tmp_path)], encoding=encoding)
    assert answer.total == Counter(words_of(text))


def test_directories_leave_out_binaries_and_links(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "text").write_text("one two\n")
    (tmp_path / "a").write_text("three\n")
    (tmp_path / "binary").write_bytes(b"one\0two\n")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    (tmp_path / "loop").symlink_to(tmp_path)
    divided = plan.divide([str(tmp_path)])
    assert [os.path.relpath(span.path, tmp_path) for span in divided.pieces[0]] == ["a", "b/text"]
    assert (divided.files, divided.binary_files) == (2, 1)
    assert plan.divide([str(tmp_path / "binary"), str(tmp_path / "link")]).files == 2, "what is named itself is taken"


def test_patterns_and_repeated_names(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for name in ("one.txt", "deep/two.txt", "deep/er/three.txt", "deep/four.log"):
        (tmp_path / name).write_text("x\n")
    assert plan.divide([str(tmp_path / "**" / "*.txt")]).files == 3
    assert plan.divide([str(tmp_path / "*.txt"), str(tmp_path / "one.txt")]).files == 2


def test_a_stream_is_copied_and_the_copy_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"from a stream\n")))
    with plan.divide(["-"]) as divided:
        (copy,) = divided.copies
        assert os.path.exists(copy)
        assert read_text(divided.pieces[0][0], "utf-8", "strict") == "from a stream\n"
        assert divided.pieces[0][0].shown == "<stdin>"
    assert not os.path.exists(copy)


# What can be wrong with input


@pytest.mark.parametrize("name", ["nothing", "*.nothing", "empty_directory"])
def test_input_that_names_nothing(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty_directory").mkdir()
    with pytest.raises(causes.NoInput) as caught:
        plan.divide([str(tmp_path / name)])
    assert isinstance(caught.value, InputError)
    assert isinstance(caught.value, FileNotFoundError)
    assert caught.value.filename == str(tmp_path / name)


def test_an_input_that_changes(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("one\n" * 10)
    for change in (
        lambda: path.write_text("one\n" * 9),
        lambda: path.write_text("two\n" * 10),
        lambda: path.unlink(),
    ):
        path.write_text("one\n" * 10)
        os.utime(path, ns=(0, 0))
        (piece,) = plan.divide([str(path)]).pieces
        change()
        with pytest.raises(causes.InputChanged) as caught:
            read_text(piece[0], "utf-8", "strict")
        assert str(path) in str(caught.value)
        assert caught.value.path == str(path)


def test_an_input_that_is_not_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "PIECE_BYTES", 10)
    monkeypatch.setattr(plan, "SMALLEST_PIECE_BYTES", 10)
    path = tmp_path / "text"
    path.write_bytes(b"a line of text\n" * 10 + b"caf\xe9\n")
    with pytest.raises(causes.InputNotText) as caught:
        run_here("wordcount", [str(path)])
    assert (caught.value.path, caught.value.offset) == (str(path), 153)
    assert isinstance(caught.value, UnicodeError)
    assert run_here("wordcount", [str(path)], errors="replace").total["caf"] == 1
    assert run_here("wordcount", [str(path)], errors="ignore").total["caf"] == 1


def test_errors_survive_the_way_from_a_worker() -> None:
    for error in (
        causes.InputNotText("a", 3, "utf-8", "bad"),
        causes.InputChanged("a"),
        causes.InputUnreadable(13, "not allowed", "a"),
        causes.NoInput(2, "nothing", "a"),
        causes.JobFailed("it failed", "Traceback: …"),
    ):
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert again.__dict__ == error.__dict__
        assert getattr(again, "errno", None) == getattr(error, "errno", None)


# Jobs


def test_jobs_are_found_by_name(job_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert isinstance(jobs.load_job("wordcount"), jobs.WordCount)
    assert type(jobs.load_job(f"{job_file}:LongestLine")).__name__ == "LongestLine"
    assert type(jobs.load_job("jobs_here:Lines")).__name__ == "Lines"
    del sys.modules["jobs_here"]


@pytest.mark.parametrize(
    ("name", "cause", "also", "says"),
    [
        ("worcount", causes.JobNotFound, LookupError, "there is: wordcount"),
        ("jobs_here.py:Missing", causes.JobNotFound, LookupError, "it has: Failing, Lines, LongestLine"),
        ("not_there.py:Job", causes.JobImportError, ImportError, "no job file"),
        ("no.such.module:Job", causes.JobImportError, ImportError, "No module named"),
        ("broken.py:Job", causes.JobImportError, ImportError, "SyntaxError"),
        ("jobs_here.py:OnlyMap", causes.JobIncomplete, TypeError, "no reduce"),
        ("jobs_here.py:NeedsArgument", causes.JobIncomplete, TypeError, "without arguments"),
        ("jobs_here.py:os", causes.JobIncomplete, TypeError, "no map and no reduce"),
    ],
)
def test_a_job_that_is_none(
    name: str,
    cause: type[Exception],
    also: type[Exception],
    says: str,
    job_file: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "broken.py").write_text("class Job(\n")
    with pytest.raises(cause, match=says) as caught:
        jobs.load_job(name)
    assert isinstance(caught.value, JobError)
    assert isinstance(caught.value, also)


def test_a_job_that_fails_says_where(job_file: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("a line\n")
    with pytest.raises(causes.JobFailed, match=r"text, bytes 0–7: ValueError: cannot stand this text") as caught:
        run_here(f"{job_file}:Failing", [str(tmp_path / "text")])
    assert "in map" in caught.value.details


# Rows


def test_rows_of_answers() -> None:
    job: Any = jobs.WordCount()
    counts = {"b": 2, "a": 2, "c": 9, "d": 1}
    assert list(rows.rows_of(job, counts)) == [("c", 9), ("a", 2), ("b", 2), ("d", 1)]
    assert list(rows.rows_of(job, counts, 2)) == [("c", 9), ("a", 2)]
    assert list(rows.rows_of(job, {"b": "x", "a": "y"})) == [("a", "y"), ("b", "x")]
    assert list(rows.rows_of(job, {1: 1, "a": 1})) == [("a", 1), (1, 1)], "keys that do not compare"
    assert list(rows.rows_of(job, 7)) == [(7,)]
    assert list(rows.rows_of(job, (7, "x"))) == [(7, "x")]
    assert list(rows.rows_of(job, [3, (4, 5)])) == [(3,), (4, 5)]
    assert list(rows.rows_of(job, {})) == []


def written(answer: Any, form: str) -> str:
    out = io.StringIO()
    job = jobs.WordCount()
    rows.write_rows(rows.rows_of(job, answer), job, out, form)
    return out.getvalue()


def test_formats() -> None:
    awkward = {'a,"b': 1200, "日本": 3, "\x1b[31mred": 2, "x" * 100: 1}
    table = written(awkward, "table").splitlines()
    assert table[0].split() == ["word", "count"]
    assert len({progress_width(line) for line in table[1:]}) == 1
    assert "\\x1b[31mred" in table[4], "nothing a terminal would obey"
    assert table[5].split()[0].endswith("…")
    assert written(awkward, "csv").splitlines()[:3] == ["word,count", '"a,""b",1200', "日本,3"]
    assert json.loads(written(awkward, "json"))[1] == {"word": "日本", "count": 3}
    assert json.loads(written({}, "json")) == []
    assert written({}, "csv") == "word,count\n"


def progress_width(line: str) -> int:
    return rows.display_width(line)


def test_the_progress_line_fits() -> None:
    bar = progress.Bar("wordcount", io.StringIO())
    for columns in (20, 60, 80, 200):
        for done in (0, 1 << 20, 100 << 20, 321 << 20):
            assert len(bar.line(done, 321 << 20, 2.5, columns)) < columns
    line = bar.line(100 << 20, 400 << 20, 2.0, 120)
    assert " 25%  100 MiB of 400 MiB  50.0 MiB/s  0:06 left" in line
    assert progress.size(0) == "0 B"
    assert progress.size(1 << 50) == "1024 TiB"
    assert progress.duration(3700) == "1:01:40"


# Running


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
    seen: list[tuple[int, int]] = []
    answer = run("wordcount", [str(corpus)], context=context, workers=2, progress=lambda *at: seen.append(at))
    assert answer.total == counted(corpus)
    assert answer.files == 3
    assert answer.pieces > 2
    assert answer.size_bytes == sum(path.stat().st_size for path in corpus.iterdir())
    assert all(0 <= done <= every == answer.size_bytes for done, every in seen)


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
