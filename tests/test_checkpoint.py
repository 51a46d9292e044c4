"""The journal of a checkpoint, and whether function and items are the same: without a pool."""

from __future__ import annotations

import functools
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from procession.checkpoint import Checkpoint
from procession.checkpoint.identity import digest_of, function_identity
from procession.checkpoint.journal import DONE, FAILED, Journal
from procession.checkpoint.resuming import resumed
from procession.errors import (
    CheckpointError,
    CheckpointFull,
    CheckpointInUse,
    CheckpointMismatch,
    NotACheckpoint,
    PicklingError,
    PoolTerminated,
    WorkerDied,
)
from procession.testing import wait_until

IDENTITY = {"function": "here.f", "code": "3.11 abc"}


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "c.db")


def rows(path: str) -> list[int]:
    """The numbers of the items in a journal that nobody has open."""
    connection = sqlite3.connect(path)
    try:
        return [number for (number,) in connection.execute("SELECT number FROM items ORDER BY number")]
    finally:
        connection.close()


# The journal


def test_what_was_added_is_known_again(path: str) -> None:
    with Journal(path, IDENTITY) as journal:
        for number in range(0, 5000, 2):
            journal.add(number, b"%d" % number, DONE if number % 4 else FAILED, b"payload %d" % number)
    assert len(rows(path)) == 2500
    with Journal(path, IDENTITY) as journal:
        for number in range(5000):
            known = journal.known(number, b"%d" % number)
            assert known == (None if number % 2 else DONE if number % 4 else FAILED)
        assert journal.payload(4998) == b"payload 4998"
    with Journal(Checkpoint(path, retry_failed=True), IDENTITY) as journal:
        assert [journal.known(number, b"%d" % number) for number in (0, 2, 4)] == [None, DONE, None]
    assert not os.path.exists(path + "-wal"), "closed in an orderly way, it is one file"


def test_a_burst_outlives_a_kill_although_nothing_follows(path: str) -> None:
    child = os.fork()
    if child == 0:
        journal = Journal(path, IDENTITY)
        for number in range(20):
            journal.add(number, b"", DONE, b"x")
        wait_until(lambda: not journal._pending)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert rows(path) == list(range(20))


def die_at_statement(number: int) -> None:
    """Have this process killed when SQLite begins its so manieth statement."""
    left = number
    connect = sqlite3.connect

    def count(statement: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def connected(*given: Any, **named: Any) -> sqlite3.Connection:
        connection = connect(*given, **named)
        connection.set_trace_callback(count)
        return connection

    sqlite3.connect = connected  # type: ignore[assignment]


@pytest.mark.slow
def test_a_death_at_every_statement(tmp_path: Path) -> None:
    for statement in range(1, 100):
        path = str(tmp_path / f"{statement}.db")
        child = os.fork()
        if child == 0:
            die_at_statement(statement)
            with Journal(path, IDENTITY) as journal:
                for first in (0, 2, 4):
                    journal.add_all([(first, b"", DONE, b"x"), (first + 1, b"", DONE, b"x")])
            os._exit(0)
        _, status = os.waitpid(child, 0)
        with Journal(path, IDENTITY) as journal:
            known = [number for number in range(6) if journal.known(number, b"")]
            assert known in ([], [0, 1], [0, 1, 2, 3], [0, 1, 2, 3, 4, 5])
            journal.add_all([(number, b"", DONE, b"x") for number in range(len(known), 6)])
        assert rows(path) == list(range(6))
        if not os.WIFSIGNALED(status):
            break
    assert 15 < statement < 99, "each statement was one of the deaths"


def test_several_at_once_are_all_there_or_none(path: str) -> None:
    with Journal(path, IDENTITY) as journal:
        journal.add_all([(number, b"", DONE, b"") for number in range(3)])
    with pytest.raises(CheckpointError, match="NOT NULL"), Journal(path, IDENTITY) as journal:
        journal.add_all([(3, b"", DONE, b""), (4, None, DONE, b"")])  # type: ignore[list-item]
    assert rows(path) == [0, 1, 2]


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("function", "here.g", "for another function: here.f, not here.g"),
        ("code", "3.11 abd", "code has changed"),
        ("code", "3.12 abc", "written by Python 3.11, whose code cannot be compared with that of 3.12"),
        ("raw", "True", "for another raw: None, not True"),
    ],
)
def test_another_function_or_option(name: str, value: str, says: str, path: str) -> None:
    with Journal(path, IDENTITY) as journal:
        journal.add(0, b"", DONE, b"")
    with pytest.raises(CheckpointMismatch, match=says) as caught:
        Journal(path, {**IDENTITY, name: value})
    assert (caught.value.path, caught.value.part, caught.value.item) == (path, name, None)
    assert "--checkpoint-reset" in str(caught.value)
    Journal(Checkpoint(path, reset=True), {**IDENTITY, name: value}).close()
    assert rows(path) == []


def test_another_item_and_fewer_items(path: str) -> None:
    with Journal(path, IDENTITY) as journal:
        journal.add(4, b"four", DONE, b"")
    with Journal(path, IDENTITY) as journal:
        assert journal.known(3, b"anything") is None
        with pytest.raises(CheckpointMismatch, match="item 4 is not what it was") as caught:
            journal.known(4, b"five")
        assert (caught.value.part, caught.value.item) == ("item", 4)
        journal.check_end(5)
        with pytest.raises(CheckpointMismatch, match="there are 4 items, and there were more"):
            journal.check_end(4)


def test_notes_are_those_of_the_first_time(path: str) -> None:
    Journal(path, IDENTITY, {"workers": "2"}).close()
    with Journal(path, IDENTITY, {"workers": "3"}) as journal:
        assert journal.notes == {"workers": "2"}


def test_a_file_that_is_something_else(tmp_path: Path) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("not a database, and long enough to be looked at as one " * 20)
    with pytest.raises(NotACheckpoint, match=r"notes.txt: this file is not a checkpoint"):
        Journal(Checkpoint(other, reset=True), IDENTITY)
    assert other.read_text().startswith("not a database")
    database = tmp_path / "other.db"
    connection = sqlite3.connect(database)
    connection.execute("CREATE TABLE theirs (x)")
    connection.commit()
    connection.close()
    before = database.read_bytes()
    with pytest.raises(NotACheckpoint, match="this database is not a checkpoint"):
        Journal(Checkpoint(database, reset=True), IDENTITY)
    assert database.read_bytes() == before
    with pytest.raises(CheckpointError, match="is there such a directory"):
        Journal(str(tmp_path / "nowhere" / "c.db"), IDENTITY)


def test_nobody_elses(path: str) -> None:
    Journal(path, IDENTITY).close()
    assert os.stat(path).st_mode & 0o777 == 0o600
    if os.geteuid():
        pytest.skip("needs the right to give a file away")
    os.chown(path, 65534, -1)
    with pytest.raises(CheckpointError, match="belongs to user 65534"):
        Journal(path, IDENTITY)


def test_one_of_a_later_format(path: str) -> None:
    Journal(path, IDENTITY).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(NotACheckpoint, match="of format 9"):
        Journal(path, IDENTITY)


def test_two_at_once(path: str) -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        journal = Journal(path, IDENTITY)
        os.write(writer, b"open")
        wait_until(lambda: os.getppid() != parent)
        journal.close()
        os._exit(0)
    parent = os.getpid()
    os.close(writer)
    assert os.read(reader, 4) == b"open"
    os.close(reader)
    try:
        with pytest.raises(CheckpointInUse, match=f"process {child} is using this checkpoint") as caught:
            Journal(path, IDENTITY)
        assert caught.value.pid == child
        with pytest.raises(CheckpointInUse):
            Journal(Checkpoint(path, reset=True), IDENTITY)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    with Journal(path, IDENTITY), pytest.raises(CheckpointInUse, match="this process is using"):
        Journal(path, IDENTITY)
    Journal(path, IDENTITY).close()


def test_a_forked_child_does_not_keep_the_lock(path: str) -> None:
    journal = Journal(path, IDENTITY)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    journal.close()
    Journal(path, IDENTITY).close()
    os.close(writer)
    os.close(reader)
    os.waitpid(child, 0)


def fill(journal: Journal, numbers: Iterable[int]) -> None:
    with journal:
        for number in numbers:
            journal.add(number, b"", DONE, b"x" * 1000)


def test_a_full_disk_leaves_what_was_committed(small_disk: Path) -> None:
    path = str(small_disk / "c.db")
    with pytest.raises(CheckpointFull, match="free some space") as caught:
        fill(Journal(path, IDENTITY), range(10_000))
    assert caught.value.path == path
    subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)
    kept = rows(path)
    assert kept == list(range(len(kept)))
    assert len(kept) > 100
    fill(Journal(path, IDENTITY), range(len(kept), 2000))
    assert rows(path) == list(range(2000))


class Interrupting:
    """A connection in which an interrupt comes just before the first commit."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection, self.interrupts = connection, 1

    def execute(self, statement: str) -> Any:
        if statement == "COMMIT" and self.interrupts:
            self.interrupts -= 1
            signal.raise_signal(signal.SIGINT)
        return self.connection.execute(statement)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)


def test_an_interrupted_commit_is_made_up_for(path: str) -> None:
    journal = Journal(path, IDENTITY)
    journal._db = Interrupting(journal._db)  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        fill(journal, range(100))
    assert rows(path) == [0]


# Functions and items


def doubled(value: int) -> int:
    return helper(value) * 2


def helper(value: int) -> int:
    return value + 1


class Adder:
    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self, value: int) -> int:
        return value + self.number


def made(source: str) -> Callable[..., Any]:
    """The function `f` of a module with this text."""
    space: dict[str, Any] = {"__name__": "made"}
    exec(compile(source, "made.py", "exec"), space)
    function: Callable[..., Any] = space["f"]
    return function


BASE = "def g(x):\n    return x + 1\ndef f(x, n=2):\n    'Doc.'\n    return g(x) * n\n"


@pytest.mark.parametrize(
    ("source", "same"),
    [
        ("# comment\n\n" + BASE, True),
        (BASE.replace("Doc", "Other doc"), True),
        (BASE + "def h(x):\n    return 7\n", True),
        (BASE.replace("* n", "- n"), False),
        (BASE.replace("n=2", "n=3"), False),
        (BASE.replace("x + 1", "x + 2"), False),  # what it calls
        (BASE.replace("return g(x)", "return (lambda y: y)(x)"), False),
    ],
)
def test_what_makes_a_function_another_one(source: str, same: bool) -> None:
    assert (function_identity(made(source)) == function_identity(made(BASE))) is same


def test_functions_of_other_kinds() -> None:
    def closed(number: int) -> Callable[[int], int]:
        return lambda value: value + number

    different = [
        doubled, helper, Adder, Adder(1), Adder(2), Adder(1).__call__, closed(1), closed(2), len, abs, str.upper,
        functools.partial(doubled, 1), functools.partial(doubled, 2), "".join, ",".join,
    ]  # fmt: skip
    found = [tuple(function_identity(function).values()) for function in different]
    assert len(set(found)) == len(found)
    assert found[3] == tuple(function_identity(Adder(1)).values())
    assert function_identity(closed(1)) == function_identity(closed(1))


def test_items_are_compared_by_value() -> None:
    joined = "".join(["a", "b", "c" * 50])
    assert digest_of([joined, joined]) == digest_of([joined, "ab" + "c" * 50])
    assert digest_of({"k": 1, "l": 2}) != digest_of({"l": 2, "k": 1}), "order is a difference that a function can see"
    assert len({digest_of(value) for value in (1, 1.0, True, "1", b"1", (1,), [1], {1}, frozenset([1]), None)}) == 10
    loop: list[Any] = []
    loop.append(loop)
    assert digest_of(loop) == digest_of(loop)
    with pytest.raises(TypeError, match="cannot pickle"):
        digest_of(threading.Lock())


def test_sets_are_compared_whatever_their_order() -> None:
    program = (
        "from procession.checkpoint.identity import digest_of; "
        "print(digest_of({'items': [{'a', 'b', 'c', 'd'}, frozenset('xyz'), {(1, 'q'), (2, 'r')}], 'é': 1}).hex())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(found) == 1


def test_arrays_are_hashed_by_content() -> None:
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(100_000)
    assert digest_of(array) == digest_of(array.copy())
    assert digest_of(array) != digest_of(array + 1)
    assert digest_of(array) != digest_of(array.astype("int32"))


# Both together


def doing(calls: list[Any], fail: Callable[[Any], Exception | None] = lambda item: None) -> Any:
    """Stands where a pool does: notes what it was given, in an order of its own."""

    def do(items: Iterator[Any]) -> Iterator[tuple[int, bool, Any]]:
        given = list(enumerate(items))
        for place, item in reversed(given):
            calls.append(item)
            error = fail(item)
            yield (place, True, item * 2) if error is None else (place, False, error)

    return do


def outcomes(path: Any, items: Iterable[Any], do: Any) -> dict[int, Any]:
    found = {number: value for number, _, value in resumed(do, doubled, items, path, {})}
    assert sorted(found) == list(range(len(found)))
    return found


def test_what_is_known_is_not_done_again(path: str) -> None:
    calls: list[Any] = []
    stream = resumed(doing(calls), doubled, range(6), path, {})
    taken = [next(stream) for _ in range(3)]  # 5, 4, 3
    stream.close()
    assert [number for number, _, _ in taken] == [5, 4, 3]
    known = rows(path)
    calls.clear()
    assert outcomes(path, iter(range(6)), doing(calls)) == {number: number * 2 for number in range(6)}
    assert sorted(calls + known) == list(range(6))
    assert known, "what was handed over was in the journal before"


def test_more_items_than_before_are_no_mismatch(path: str) -> None:
    outcomes(path, range(3), doing([]))
    calls: list[Any] = []
    assert outcomes(path, range(5), doing(calls)) == {number: number * 2 for number in range(5)}
    assert sorted(calls) == [3, 4]
    with pytest.raises(CheckpointMismatch, match="there are 4 items"):
        outcomes(path, range(4), doing([]))


def test_an_item_put_in_between_is_noticed_there_and_what_came_before_is_kept(path: str) -> None:
    outcomes(path, ["a", "b", "c"], doing([]))
    with pytest.raises(CheckpointMismatch, match="item 1 is not") as caught:
        outcomes(path, ["a", "new", "b", "c"], doing([]))
    assert caught.value.item == 1


def test_what_the_input_raises_comes_when_the_rest_is_done(path: str) -> None:
    def items() -> Iterator[int]:
        yield from range(3)
        raise LookupError("the source went away")

    with pytest.raises(LookupError, match="went away"):
        outcomes(path, items(), doing([]))
    assert rows(path) == [0, 1, 2]


def test_a_poison_item_is_told_of_again_and_tried_only_when_asked(path: str) -> None:
    def fail(item: Any) -> Exception | None:
        return KeyError(item) if item == 1 else WorkerDied.of("w", 7, -9, item="2") if item == 2 else None

    outcomes(path, range(4), doing([], fail))
    calls: list[Any] = []
    checkpoint = Checkpoint(path)
    found = outcomes(checkpoint, range(4), doing(calls, fail))
    assert calls == []
    assert (found[0], found[3]) == (0, 6)
    assert isinstance(found[1], KeyError)
    assert isinstance(found[2], WorkerDied)
    assert (found[2].pid, found[2].signal) == (7, "SIGKILL")
    assert "item 2 failed in an earlier run" in found[2].__notes__[0]
    statistics = checkpoint.statistics()
    assert statistics is not None
    assert (statistics.resumed, statistics.failed_before, statistics.written) == (2, 2, 0)
    again = Checkpoint(path, retry_failed=True)
    assert outcomes(again, range(4), doing(calls)) == {number: number * 2 for number in range(4)}
    assert sorted(calls) == [1, 2]
    assert outcomes(path, range(4), doing(calls)) == {number: number * 2 for number in range(4)}


def test_a_death_is_not_held_against_an_item_if_everything_dies(path: str) -> None:
    stream = resumed(doing([], lambda item: WorkerDied.of("w", 7, -9)), doubled, range(3), path, {})
    next(stream)
    next(stream)
    stream.close()
    assert rows(path) == []


def test_the_end_of_a_pool_is_no_items_fault(path: str) -> None:
    outcomes(path, range(2), doing([], lambda item: PoolTerminated("over")))
    assert rows(path) == []


def test_what_cannot_be_pickled_is_named(path: str) -> None:
    with pytest.raises(PicklingError, match="item 1 cannot be compared"):
        outcomes(path, [0, threading.Lock()], doing([]))

    def do(items: Iterator[Any]) -> Iterator[tuple[int, bool, Any]]:
        yield 0, True, [threading.Lock() for _ in items]

    with pytest.raises(PicklingError, match="the result of item 0 cannot be kept"):
        outcomes(path + "2", [1], do)


def test_an_exception_that_cannot_be_pickled_is_told_in_words(path: str) -> None:
    class Local(Exception):
        pass

    outcomes(path, [1], doing([], lambda item: Local("gone wrong")))
    assert str(outcomes(path, [1], doing([]))[0]) == "Local: gone wrong"


def test_checkpoints_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="interval"):
        Checkpoint("c", interval=0)
    with pytest.raises(TypeError):
        Checkpoint(7)  # type: ignore[arg-type]
    assert repr(Checkpoint("c.db", reset=True)) == "Checkpoint('c.db', reset=True)"
