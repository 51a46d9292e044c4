"""Results that are saved, opened, sent to other processes, closed, and files that are none."""

import errno
import multiprocessing
import os
import pickle
import random
import resource
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from procession.errors import ObjectGone
from procession.gather.result import KeyedResult

WORDS = {"pear": 3, "apple": 1, "fig": 3, "": 7, "żółw": -2, "fi": 0}

# Files


def test_a_saved_result_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "words.result"
    KeyedResult.from_dict(WORDS).save(path)
    with KeyedResult.open(path) as result:
        assert result == WORDS
        assert result.nbytes == path.stat().st_size
        KeyedResult.from_dict({"other": 1}).save(str(path))  # over a file that is mapped
        assert result == WORDS
    with KeyedResult.open(path) as result:
        assert result == {"other": 1}
        result.save(path)  # over itself
        assert result == KeyedResult.open(path)
    assert os.listdir(tmp_path) == ["words.result"]


def save_and_be_killed(result: KeyedResult, path: str) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    result.save(path)


def test_a_kill_half_way_leaves_the_older_file(tmp_path: Path) -> None:
    path = tmp_path / "words.result"
    KeyedResult.from_dict(WORDS).save(path)
    large = KeyedResult.from_dict(dict.fromkeys(range(1000), "x" * 100))
    process = multiprocessing.get_context("fork").Process(target=save_and_be_killed, args=(large, str(path)))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGXFSZ
    process.close()
    with KeyedResult.open(path) as result:
        assert result == WORDS
    (draft,) = set(tmp_path.iterdir()) - {path}
    assert draft.name.startswith(".words.result.")
    assert 0 < draft.stat().st_size <= 10_000


def test_saving_never_replaces_what_is_no_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path):
        with pytest.raises(OSError, match=r"not a file|directory"):
            KeyedResult.from_dict(WORDS).save(path)
    assert os.listdir(tmp_path) == ["pipe"]
    assert pipe.is_fifo()


def test_sets_are_saved_with_their_members(tmp_path: Path) -> None:
    files = {f"word{i}": {f"file{j}" for j in range(i % 5)} for i in range(500)}
    KeyedResult.from_dict(files).save(tmp_path / "index")
    assert KeyedResult.open(tmp_path / "index") == files


def test_a_save_that_fails_leaves_nothing(tmp_path: Path) -> None:
    result = KeyedResult.from_dict(WORDS)
    with pytest.raises(FileNotFoundError) as caught:
        result.save(tmp_path / "missing" / "name")
    assert caught.value.errno == errno.ENOENT
    assert "missing" in str(caught.value)
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        result.save(tmp_path / "folder")
    assert os.listdir(tmp_path) == ["folder"]


def test_a_full_disk_is_an_oserror_and_leaves_nothing(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    signal = pytest.importorskip("signal")
    result = KeyedResult.from_dict({str(i): i for i in range(10_000)})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))  # stands in for a disk that is full
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            result.save(tmp_path / "name")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.errno == errno.EFBIG
    assert os.listdir(tmp_path) == []


def test_other_files_are_refused_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "file"
    KeyedResult.from_dict(WORDS).save(path)
    whole = path.read_bytes()
    for content, reason in (
        (b"", "not a saved result"),
        (b"x" * 10_000, "not a saved result"),
        (whole[:-1], f"cut short: the file has {len(whole) - 1} bytes of {len(whole)}"),
        (whole[:16] + b"\x07" + whole[17:], "version 7"),
        (whole[:24] + b"\x07" + whole[25:], "damaged|header"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=reason) as caught:
            KeyedResult.open(path)
        assert str(path) in str(caught.value)
    with pytest.raises(FileNotFoundError):
        KeyedResult.open(tmp_path / "missing")
    with pytest.raises(OSError, match="Bad file descriptor"):
        KeyedResult(10_000)


def test_the_format_is_the_documented_one(tmp_path: Path) -> None:
    """Read by the tables of docs/reference/memory.md, as another program would."""
    KeyedResult.from_dict(WORDS).save(tmp_path / "file")
    assert dict(read_by_the_tables((tmp_path / "file").read_bytes())) == WORDS


def read_by_the_tables(data: bytes) -> Iterator[tuple[str, int]]:
    def u64(at: int) -> int:
        return int.from_bytes(data[at : at + 8], "little")

    assert data[:8] == b"procansw"
    assert int.from_bytes(data[16:20], "little") == 1
    for segment in range(u64(32)):
        start = u64(u64(24) + 40 * segment + 16)
        n, records, values, keys = u64(start), u64(start + 40), u64(start + 56), u64(start + 72)
        kind, value_kind, size = data[start + 16], data[start + 17], data[start + 18]
        assert (kind, value_kind, size) == (5, 0, 8)
        for i in range(n):
            record = start + records + 8 * i
            first, end = (int.from_bytes(data[at : at + 4], "little") for at in (record + 4, record + 12))
            value = int.from_bytes(data[start + values + 8 * i :][:8], "little", signed=True)
            yield data[start + keys + first : start + keys + end].decode(), value


# The end, and travelling


def test_a_closed_result_raises_valueerror(tmp_path: Path) -> None:
    result = KeyedResult.from_dict({str(i): i for i in range(5000)})
    keys = iter(result)
    next(keys)
    view = result.items()
    assert not result.closed
    result.close()
    result.close()
    assert result.closed
    assert repr(result) == "<KeyedResult, closed>"
    uses: list[Any] = [
        lambda: result["1"],
        lambda: result.get("1"),
        lambda: "1" in result,
        lambda: len(result),
        lambda: list(keys),
        lambda: list(view),
        lambda: result.top(1),
        lambda: result.to_dict(),
        lambda: result.keys(sorted=True),
        lambda: result.values_array(),
        lambda: result.save(tmp_path / "name"),
        lambda: result.nbytes,
        lambda: result.__enter__(),
        lambda: pickle.dumps(result),
    ]
    for use in uses:
        with pytest.raises(ValueError, match="closed"):
            use()


def total(result: KeyedResult, answers: Any) -> None:
    answers.put((sum(result.values()), type(result) is KeyedResult))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_it_travels_to_a_child(method: str) -> None:
    context = multiprocessing.get_context(method)
    answers = context.SimpleQueue()
    with KeyedResult.from_dict(WORDS) as result:
        child = context.Process(target=total, args=(result, answers))
        child.start()
        assert answers.get() == (12, True)
        child.join()
    answers.close()
    child.close()


def test_it_travels_in_any_message_while_the_sender_keeps_it() -> None:
    result = KeyedResult.from_dict(WORDS)
    sent = pickle.dumps(result)
    copy = pickle.loads(sent)
    assert copy == WORDS
    assert len(sent) < 300
    result.close()
    assert copy == WORDS
    with pytest.raises(ObjectGone):
        pickle.loads(sent)


def test_many_threads_read_at_once_while_one_closes() -> None:
    result = KeyedResult.from_dict({i: i for i in range(20_000)})
    failures: list[object] = []
    reading = threading.Barrier(5)

    def read(seed: int) -> None:
        rng = random.Random(seed)
        reading.wait()
        try:
            while True:
                key = rng.randrange(20_000)
                if result[key] != key or result.top(3)[0] != (19_999, 19_999):
                    failures.append(key)
        except ValueError as error:
            if "closed" not in str(error):
                failures.append(error)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    reading.wait()
    assert len(list(result.items(sorted=True))) == 20_000
    result.close()
    for thread in threads:
        thread.join()
    assert failures == []
