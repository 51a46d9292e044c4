"""Finding a job by its name, making it, and what can be wrong with one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from job_files import JOBS

import procession
from procession.errors import JobError
from procession.mapreduce import builtin, jobs
from procession.mapreduce import errors as causes
from procession.mapreduce.alone import run_here
from procession.mapreduce.running import run

JOB_FILE = (
    JOBS
    + """


class OnlyMap:
    def map(self, text):
        return 0


class Sized(LongestLine):
    def __init__(self, size: int, *, lower: bool = False, name="", part=0.5):
        self.given = size, lower, name, part


class Refuses(LongestLine):
    def __init__(self, size=1):
        raise ValueError("not of this size")


class Keyed:
    reduce = "sum"

    def map(self, text):
        return [(word, 1) for word in text.split()]


class WithCombine:
    def map(self, text):
        yield from Keyed().map(text)

    def combine(self, left, right):
        return left + right


class WithReduce(Keyed):
    keyed = True

    def reduce(self, key, values):
        return len(values)


class NoSuchReducer(Keyed):
    reduce = "median"


class Both(WithCombine):
    reduce = "sum"


class TakesWhat(Keyed):
    takes = "pictures"


import os
"""
)


@pytest.fixture
def job_file(tmp_path: Path) -> str:
    path = tmp_path / "jobs_here.py"
    path.write_text(JOB_FILE)
    return str(path)


def test_jobs_are_found_by_name(job_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert isinstance(jobs.load_job("wordcount"), builtin.WordCount)
    assert type(jobs.load_job(f"{job_file}:LongestLine")).__name__ == "LongestLine"
    assert type(jobs.load_job("jobs_here:Lines")).__name__ == "Lines"
    del sys.modules["jobs_here"]


@pytest.mark.parametrize(
    ("name", "cause", "also", "says"),
    [
        ("worcount", causes.JobNotFound, LookupError, "there is: grep, groupby, index, wordcount"),
        ("jobs_here.py:Missing", causes.JobNotFound, LookupError, "has no 'Missing'$"),
        ("not_there.py:Job", causes.JobImportError, ImportError, "no job file"),
        ("no.such.module:Job", causes.JobImportError, ImportError, "No module named"),
        ("broken.py:Job", causes.JobImportError, ImportError, "SyntaxError"),
        ("jobs_here.py:OnlyMap", causes.JobIncomplete, TypeError, "no reduce"),
        ("jobs_here.py:Sized", causes.JobIncomplete, TypeError, "cannot be made without: size"),
        ("jobs_here.py:Refuses", causes.JobIncomplete, TypeError, "cannot be made: ValueError: not of this size"),
        ("jobs_here.py:NoSuchReducer", causes.JobIncomplete, TypeError, "there is no reducer 'median'"),
        ("jobs_here.py:Both", causes.JobIncomplete, TypeError, "both was given"),
        ("jobs_here.py:TakesWhat", causes.JobIncomplete, TypeError, "takes 'pictures'"),
        ("jobs_here.py:Failings", causes.JobNotFound, LookupError, "it has: Failing"),
        ("grep", causes.JobIncomplete, TypeError, "cannot be made without: pattern"),
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


def test_arguments_become_what_the_class_says(job_file: str) -> None:
    name = f"{job_file}:Sized"
    job: Any = jobs.load_job(name, {"size": "3", "lower": "yes", "name": "7", "part": "2"})
    assert job.given == (3, True, "7", 2.0)
    assert type(job.given[3]) is float
    job = jobs.load_job(name, {"size": 3.5})
    assert job.given == (3.5, False, "", 0.5), "what is no text is taken as it is"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"size": "three"}, "size is to be of type int, and is 'three'"),
        ({"size": "1", "lower": "maybe"}, "lower is to be of type bool"),
        ({"size": "1", "sighs": "1"}, "takes no 'sighs'; it takes: size, lower, name, part"),
    ],
)
def test_arguments_that_do_not_fit(arguments: dict[str, str], says: str, job_file: str) -> None:
    with pytest.raises(causes.JobIncomplete, match=says):
        jobs.load_job(f"{job_file}:Sized", arguments)
    with pytest.raises(causes.JobIncomplete, match="takes no 'size'"):
        jobs.load_job(f"{job_file}:LongestLine", {"size": "1"})


@pytest.mark.parametrize("name", ["Keyed", "WithCombine", "WithReduce"])
def test_the_ways_to_say_what_becomes_of_values(name: str, job_file: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("b a b\n")
    job = jobs.load_job(f"{job_file}:{name}")
    assert jobs.is_keyed(job)
    assert not jobs.is_keyed(jobs.load_job(f"{job_file}:LongestLine"))
    assert run_here(f"{job_file}:{name}", [str(tmp_path / "text")]).total == {"a": 1, "b": 2}
    answer = run(f"{job_file}:{name}", [str(tmp_path / "text")], context=procession.get_context("fork"), workers=2)
    assert answer.total == {"a": 1, "b": 2}


def test_a_traceback_is_that_of_the_users_code(job_file: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("a line\n")
    with pytest.raises(causes.JobFailed) as caught:
        run(f"{job_file}:Failing", [str(tmp_path / "text")], context=procession.get_context("fork"), workers=1)
    assert "jobs_here.py" in caught.value.details
    assert "procession/mapreduce" not in caught.value.details
