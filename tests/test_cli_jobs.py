"""The built-in jobs through the command, against plain Python on small random input."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import re
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import COMMAND, complaint, left_behind, procession, shared_names

import procession as package
from procession.gather.result import KeyedResult
from procession.mapreduce import builtin
from procession.mapreduce.alone import equal, run_here
from procession.mapreduce.running import run

PLAIN_WORD = re.compile(r"[^\W\d_]+")  # where there are no vowel signs and circled letters


@pytest.fixture
def corpus(tmp_path: Path) -> Iterator[Path]:
    """Text in some files of very different size, one of them compressed; sales in two files of CSV."""
    rng = random.Random(11)
    words = ["".join(rng.choices("abcDEÉñß", k=rng.randint(1, 5))) for _ in range(400)]
    (tmp_path / "text").mkdir()
    for name, lines in (("large", 8000), ("small", 20), ("sub", 1), ("empty", 0)):
        text = "".join(" ".join(rng.choices(words, k=5)) + rng.choice([".\n", ", 12\n", "_x\n"]) for _ in range(lines))
        (tmp_path / "text" / f"{name}.txt").write_text(text)
    (tmp_path / "text" / "packed.gz").write_bytes(gzip.compress(b"packed words\n" * 30))
    for name, columns in (("one", ["city", "price", "n"]), ("two", ["n", "city", "price"])):
        with open(tmp_path / f"{name}.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            for _ in range(3000):
                price = rng.choice(["", "7", "-3", "2.25", " 4 ", "1e2"])
                writer.writerow({"city": rng.choice(["Rome", "São\nPaulo", 'a "b"', ""]), "price": price, "n": "x"})
    yield tmp_path
    assert left_behind(tmp_path) == [], "a process outlived the command"


def texts(corpus: Path) -> dict[str, str]:
    found = {f"text/{path.name}": path.read_text() for path in (corpus / "text").glob("*.txt")}
    return found | {"text/packed.gz": "packed words\n" * 30}


def rows(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_wordcount(corpus: Path) -> None:
    expected = Counter(word for text in texts(corpus).values() for word in PLAIN_WORD.findall(text.lower()))
    done = procession("mapreduce", "wordcount", "text", "--format", "json", "--workers", "2", cwd=corpus)
    found = rows(done)
    assert {row["word"]: row["count"] for row in found} == expected
    assert found == sorted(found, key=lambda row: (-row["count"], row["word"]))


def test_index(corpus: Path) -> None:
    expected = defaultdict(set)
    for path, text in texts(corpus).items():
        for word in PLAIN_WORD.findall(text.lower()):
            expected[word].add(path)
    found = rows(procession("mapreduce", "index", "text", "--format", "json", "--workers", "2", cwd=corpus))
    assert found == [{"word": word, "files": sorted(expected[word])} for word in sorted(expected)]


@pytest.mark.parametrize("how", ["sum", "mean", "min", "max"])
def test_groupby(how: str, corpus: Path) -> None:
    prices = defaultdict(list)
    for name in ("one", "two"):
        with open(corpus / f"{name}.csv", newline="") as file:
            for row in csv.DictReader(file):
                if row["price"]:
                    prices[row["city"]].append(float(row["price"]))
    functions: dict[str, Any] = {"sum": sum, "min": min, "max": max, "mean": lambda all: sum(all) / len(all)}
    found = rows(
        procession(
            *("mapreduce", "groupby", "one.csv", "two.csv", "--by", "city", "--of", "price", "--how", how),
            *("--format", "json", "--workers", "2"),
            cwd=corpus,
        )
    )
    assert {row["city"]: row[f"{how} of price"] for row in found} == pytest.approx(
        {city: functions[how](values) for city, values in prices.items()}
    )


def test_groupby_several_columns_counts(corpus: Path) -> None:
    with open(corpus / "one.csv", newline="") as file:
        expected = Counter((row["city"], row["price"]) for row in csv.DictReader(file))
    found = rows(procession("mapreduce", "groupby", "one.csv", "--by", "city,price", "--format", "json", cwd=corpus))
    assert {(row["city"], row["price"]): row["count"] for row in found} == expected


PATTERNS = ["ab", "^a", "c$", "a.c", "É+ñ", "a|ñ", r"\d", r"\bab", "[^a]b", r"\s1", "(?<=a)b", "a(?!b)", r"(?i)dE", ""]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_grep_finds_the_lines_that_contain_it(pattern: str) -> None:
    rng = random.Random(5)
    text = "".join("".join(rng.choices("abcDEÉñ 1", k=rng.randint(0, 8))) + "\n" for _ in range(500)) + "ab no end"
    job = builtin.Grep(pattern)
    plain = [line for line in text.split("\n") if re.search(pattern, line)]
    assert list(builtin.by_line(job.pattern, text)) == plain
    assert list(job.find(job.pattern, text)) == plain


def test_grep(corpus: Path) -> None:
    lines = {
        path: [line for line in text.splitlines() if re.search("Ab", line, re.I)]
        for path, text in texts(corpus).items()
    }
    lines = {path: found for path, found in lines.items() if found}
    options = ("text", "--pattern", "Ab", "--ignore-case", "--format", "json", "--workers", "2")
    found = rows(procession("mapreduce", "grep", *options, cwd=corpus))
    assert [(row["file"], row["count"], row["line"]) for row in found] == [
        (path, len(lines[path]), line) for path in sorted(lines) for line in lines[path]
    ], "in the order of each file"
    found = rows(procession("mapreduce", "grep", *options, "--how", "count", cwd=corpus))
    assert {row["file"]: row["count"] for row in found} == {path: len(some) for path, some in lines.items()}


@pytest.mark.parametrize(
    ("job", "arguments"),
    [
        ("wordcount", {}),
        ("index", {}),
        ("groupby", {"by": "city", "of": "price"}),
        ("groupby", {"by": "n,city"}),
        ("grep", {"pattern": "a"}),
    ],
)
def test_one_process_gives_the_same(job: str, arguments: dict[str, str], corpus: Path) -> None:
    inputs = [str(corpus / "one.csv")] if job == "groupby" else [str(corpus / "text")]
    context = package.get_context("fork")
    many = run(job, inputs, arguments=arguments, context=context, workers=2)
    alone = run_here(job, inputs, arguments=arguments)
    assert equal(alone.total, many.total)
    key = next(iter(alone.total))
    assert not equal({**alone.total, key: None}, many.total), "the comparison can tell"
    assert not equal({"no such key": 1}, many.total)


def test_words_of_scripts_with_vowel_signs() -> None:
    found = builtin.words("हिंदी naïve İstanbul x²y a_b ΟΔΟΣ")
    assert found == ["हिंदी", "naïve", "i̇stanbul", "x", "y", "a", "b", "οδος"]


def test_a_comparison_on_the_command_line(corpus: Path) -> None:
    done = procession("mapreduce", "index", "text", "--compare", cwd=corpus)
    assert done.returncode == 0, done.stderr
    assert "the same answer; speed-up" in done.stderr


def test_a_saved_answer_and_a_budget(corpus: Path) -> None:
    options = ("text", "--memory-budget", "1M", "--spill-dir", ".", "--save", "words.answer", "--top", "1")
    done = procession("mapreduce", "wordcount", *options, cwd=corpus)
    assert done.returncode == 0, done.stderr
    with KeyedResult.open(corpus / "words.answer") as saved:
        assert saved == run_here("wordcount", [str(corpus / "text")]).total
    assert sorted(path.name for path in corpus.iterdir()) == ["one.csv", "text", "two.csv", "words.answer"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["groupby", "one.csv"], 2, "groupby needs --by; procession mapreduce --help has an example"),
        (["groupby", "one.csv", "--by", "town"], 2, "one.csv has no column 'town'; it has: city, price, n"),
        (["groupby", "one.csv", "--by", "city", "--how", "mean"], 2, "groupby needs the column to take the mean of"),
        (["groupby", "one.csv", "--by", "city", "--of", "price", "--how", "count"], 2, "takes no column"),
        (["groupby", "one.csv", "--by", "city", "--of", "price", "--how", "mode"], 2, "it has: count, sum, mean"),
        (["groupby", "one.csv", "--by", "price", "--of", "n"], 3, "one.csv: record at byte 14: n is no number: 'x'"),
        (["grep", "text", "--pattern", "("], 2, "the pattern '(' is none: missing )"),
        (["grep", "text", "--pattern", "x", "--how", "many"], 2, "grep has no 'many'; it has: lines, count"),
        (["wordcount", "text", "--pattern", "x"], 2, "wordcount takes no 'pattern'; it takes: no arguments"),
        (["wordcount", "text", "--set", "x"], 2, "--set takes NAME=VALUE, not 'x'"),
        (["wordcount", "text", "--memory-budget", "lots"], 2, "'lots' is no size; write it as 2G or 512M"),
        (["wordcount", "text", "--spill-dir", "nowhere"], 2, "--spill-dir is no directory: nowhere"),
        (["wordcount", "text", "--save", "no/where"], 1, "No such file or directory"),
        (["wordcount", "-", "--compare"], 2, "standard input does not allow"),
        (["own.py:Old", "text", "--save", "x"], 2, "--save keeps answers of jobs by key"),
        (["own.py:BadKeys", "text"], 1, "keys must be str, bytes, int"),
        (["own.py:BadReduce", "text"], 1, "ZeroDivisionError"),
        (["own.py:Dies", "text"], 1, "was killed by SIGKILL"),
        (["own.py:BadRows", "text"], 1, "job BadRows failed at the rows of 'a': LookupError: no rows"),
    ],
)
def test_what_a_user_can_get_wrong(arguments: list[str], code: int, says: str, corpus: Path) -> None:
    (corpus / "own.py").write_text(OWN)
    done = procession("mapreduce", *arguments, cwd=corpus, input="")
    assert done.returncode == code, done.stderr
    assert says in complaint(done.stderr)
    assert done.stdout == ""
    assert "procession/mapreduce" not in done.stderr, "no frame of ours in a traceback"


OWN = """
import os, signal

class Old:
    def map(self, text):
        return len(text)

    def reduce(self, left, right):
        return left + right

class BadKeys:
    reduce = "count"

    def map(self, text):
        return [["a list"]]

class BadReduce:
    keyed = True

    def map(self, text):
        return [("a", 1)]

    def reduce(self, key, values):
        return 1 / 0

class BadRows:
    reduce = "count"

    def map(self, text):
        return ["a"]

    def rows(self, key, value):
        raise LookupError("no rows")

print("printed by the import")

class Prints(Old):
    def map(self, text):
        print("printed by the job", flush=True)
        return len(text)

class Dies:
    reduce = "count"

    def map(self, text):
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_jobs_of_the_help_run(corpus: Path) -> None:
    shown = procession("mapreduce", "--help", cwd=corpus).stdout
    start, end = shown.index("    class Spellings"), shown.index("A job without keys")
    (corpus / "spelling.py").write_text("if True:\n" + shown[start:end])
    done = procession("mapreduce", "spelling.py:Spellings", "text", "--format", "csv", cwd=corpus)
    found = list(csv.reader(io.StringIO(done.stdout)))
    spellings = defaultdict(set)
    for text in texts(corpus).values():
        for word in text.split():
            spellings[word.lower()].add(word)
    assert found[0] == ["word", "spellings"]
    assert {word: json.loads(some) for word, some in found[1:]} == {
        word: sorted(some) for word, some in spellings.items()
    }


@pytest.mark.parametrize("context", ["fork", "spawn", "thread"])
def test_what_a_job_prints_is_not_in_the_answer(context: str, corpus: Path) -> None:
    (corpus / "own.py").write_text(OWN)
    run = ["mapreduce", "own.py:Prints", "text/small.txt", "--context", context, "--format", "csv", "--compare"]
    done = procession(*run, cwd=corpus)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2
    assert done.stderr.count("printed by the job") == 2
    assert "printed by the import" in done.stderr


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_closed_standard_streams(closed: str, corpus: Path) -> None:
    script = f'exec "$@" {closed}'
    run = [*COMMAND, "mapreduce", "wordcount", "text", "--output", "counts", "--workers", "2"]
    done = subprocess.run(["sh", "-c", script, "sh", *run], cwd=corpus, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    run[-4:-2] = []  # to standard output
    done = subprocess.run(["sh", "-c", script, "sh", *run], cwd=corpus, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ("" if "1" in closed else (corpus / "counts").read_text())


def test_nothing_is_left_of_a_run_in_memory(corpus: Path) -> None:
    before = shared_names()
    assert procession("mapreduce", "wordcount", "text", cwd=corpus).returncode == 0
    assert shared_names() <= before
